"""Prior and noise learned from the images themselves, by maximising their evidence."""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable
from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np

from fslice._arrays import Array, array_namespace, check_size, to_numpy
from fslice._large import at_once
from fslice.fourier import inner_product, shell_sum
from fslice.posterior.cg import conjugate_gradients
from fslice.posterior.elbo import expected_residual
from fslice.posterior.latent import LatentMap, SlicedSpectrum, mean_square
from fslice.posterior.mean import Solution, solve, weighted_backprojection
from fslice.posterior.normal import NormalEquations, check_informative
from fslice.posterior.power import pixel_variance
from fslice.posterior.precision import PosteriorPrecision
from fslice.posterior.prior import ShellPrior, shell_prior
from fslice.posterior.random import unit_probe

_SEED = 1
_ERROR, _ROUGH = 2e-3, 1e-2
"""Of solves, in posterior deviations: as a rule, and in the first steps, which are far off."""
_ROUGH_STEPS = 2
_SOLVES = 150
"""Iterations of conjugate gradients in one step of the hyperparameters, at most."""
_NATS = 0.5
"""A gain that no data set can tell from none."""
_FAR = 10
"""Times the gain at which it would stop: a fit that is cut off further away warns."""


def fit_hyperparameters(
    normal: NormalEquations,
    latent: LatentMap | None = None,
    *,
    prior_variance: Array | float | None = None,
    noise_variance: float | None = None,
    max_iterations: int = 30,
    tolerance: float = 2e-4,
    progress: Callable[[int, PosteriorPrecision], Any] | None = None,
) -> Solution:
    """Solve for the volume, learning what is not given of prior and noise variance.

    Parameters
    ----------
    normal : NormalEquations
    latent : LatentMap, optional
        As in `PosteriorPrecision`.
    prior_variance : float or real array, optional
        As in `PosteriorPrecision`. Learned, one value per shell, if it is not given.
    noise_variance : float, optional
        Learned if it is not given.
    max_iterations : int, optional
    tolerance : float, optional
        Stops when a step is expected to raise the log evidence by less than this, in nats for
        each effective degree of freedom, or by half a nat in all.
    progress : callable, optional
        Called after each iteration with its number and the precision it leads to.

    Returns
    -------
    Solution
        Its ``precision`` holds what was learned. Converged if the variances are, and the mean.

    Raises
    ------
    ValueError
        There is no image, or none that shows anything.

    Warns
    -----
    UserWarning
        The variances still changed after the last iteration; or as `fslice.posterior.mean.solve`.

    Notes
    -----
    At a maximum of the evidence (MacKay 1992), with H = 1 - V / tau^2 and V the posterior
    variances::

        sum_S m |mean|^2 / tau_S^2 = sum_S m H,   sigma^2 = |residual of the mean|^2 / (d - sum m H)

    The sums over H count the effective degrees of freedom: the coefficients that the images
    determine. They are estimated by one probe, whose solve costs as much as that of the mean;
    steps are those of Fisher scoring (`fslice.posterior.prior`).

    Examples
    --------
    >>> import fslice
    >>> from fslice.data.dataset import Dataset
    >>> from fslice.data.poses import Poses
    >>> from fslice.posterior.sums import normal_equations
    >>> rng = np.random.default_rng(0)
    >>> projector, rotations = fslice.Projector(16), fslice.random_rotations(300, rng)
    >>> images_ft = projector.project_ft(fslice.rfft3(rng.normal(size=(16, 16, 16))), rotations)
    >>> images = fslice.irfft2(images_ft) + 3 * rng.normal(size=(300, 16, 16))
    >>> normal = normal_equations(Dataset(images, Poses(rotations)), projector)
    >>> learned = fit_hyperparameters(normal).precision
    >>> abs(learned.noise_variance / 9 - 1) < 0.02
    True
    """
    check_informative(normal)
    latent = SlicedSpectrum(normal.projector) if latent is None else latent
    noise = pixel_variance(normal) if noise_variance is None else noise_variance
    prior, shells = prior_variance, None
    if prior is None:
        shells = _first_prior(normal, latent, noise)
        prior = shells.variance()
    precision, start, settled = iterate(
        PosteriorPrecision(normal, prior, noise, latent), shells, noise_variance is None,
        max_iterations, tolerance, progress,
    )  # fmt: skip
    solved = solve(precision, start=start, tolerance=solve_tolerance(latent))
    return solved._replace(converged=solved.converged and settled)


def solve_tolerance(latent: LatentMap) -> float:
    """Return how well a mean is to be solved for.

    High frequencies, which hold little of the power, are the last to be right. A mask's
    preconditioner weighs them more: there less is enough.
    """
    return 1e-5 if isinstance(latent, SlicedSpectrum) else 1e-4


class _Response(NamedTuple):
    """What a posterior says about its hyperparameters, per shell."""

    power: np.ndarray
    effective: np.ndarray
    information: np.ndarray


def iterate(
    precision: PosteriorPrecision,
    prior: ShellPrior | None,
    fits_noise: bool,
    max_iterations: int,
    tolerance: float,
    progress: Callable[[int, PosteriorPrecision], Any] | None,
    rough_steps: int = _ROUGH_STEPS,
) -> tuple[PosteriorPrecision, Array, bool]:
    """Return the precision with what maximises the evidence, nearly its mean, and whether it does.

    That it does not, noticeably, is warned of.
    """
    probe = unit_probe(precision.zero, np.random.default_rng(_SEED))
    mean = answer = None
    information = precision.latent.information(precision.normal)
    for iteration in range(check_size("max_iterations", max_iterations)):
        diagonal = precision.preconditioner(information)
        error = _ROUGH if iteration < rough_steps else _ERROR
        mean, answer, response = _respond(precision, diagonal, probe, mean, answer, error)
        gain, change = 0.0, dict[str, Any]()
        if prior is not None:
            prior, gain = prior.step(*response)
            change["prior_variance"] = prior.variance()
        if fits_noise:
            noise, noise_gain = _noise_step(precision, mean, float(response.effective.sum()))
            change["noise_variance"] = noise
            gain += noise_gain
        precision = replace(precision, **change)
        if progress is not None:
            progress(iteration + 1, precision)
        enough = max(_NATS, tolerance * float(response.effective.sum()))
        if gain <= enough and error == _ERROR:
            return precision, mean, True
    settled = gain <= _FAR * enough
    if not settled:
        warnings.warn(
            f"prior and noise could still raise the log evidence by {gain:.3g} nats in iteration "
            f"{max_iterations}, expected at most {enough:.3g}",
            stacklevel=3,
        )
    return precision, mean, settled


def _noise_step(
    precision: PosteriorPrecision, mean: Array, effective: float
) -> tuple[float, float]:
    """Return the noise variance that explains the residual, and the nats that it should gain."""
    degrees = float(precision.normal.degrees.sum())
    residual = expected_residual(precision, precision.latent.spectrum(mean))
    noise = residual / max(degrees - effective, 1.0)
    return noise, degrees / 4 * math.log(noise / precision.noise_variance) ** 2


def _respond(
    precision: PosteriorPrecision,
    diagonal: Array,
    probe: Array,
    mean: Array | None,
    answer: Array | None,
    error: float,
) -> tuple[Array, Array, _Response]:
    """Solve for mean and probe, and compare both in units of the prior's deviation, per shell."""
    scale = array_namespace(probe).sqrt(precision.prior_variance)
    mean, answer = at_once(
        lambda: _solved(precision, precision.rhs, diagonal, mean, error),
        lambda: _solved(precision, probe / scale, diagonal, answer, error),
        like=probe,
    )
    in_units, explained = mean / scale, probe - answer / scale
    sums = [
        _shell_sums(values, precision.latent.size)
        for values in (
            in_units.real**2 + in_units.imag**2,
            (probe.conj() * explained).real,
            # counts what H shares with other shells as well, so that no step is too large
            explained.real**2 + explained.imag**2,
        )
    ]
    return mean, answer, _Response(*sums)


def _solved(
    precision: PosteriorPrecision, rhs: Array, diagonal: Array, start: Array | None, error: float
) -> Array:
    """Solve until the error is that part of the posterior's deviation, in the average.

    A relative tolerance would ask too little: the low frequencies, which hold the power, are solved
    first, while of a shell of which little is known the little would still be missing.
    """
    power = inner_product(rhs, rhs / diagonal)
    if not power:
        return rhs
    tolerance = error * math.sqrt(precision.latent.size**rhs.ndim / power)
    return conjugate_gradients(
        precision, rhs, diagonal, tolerance=tolerance, max_iterations=_SOLVES, start=start,
        afresh=False,
    ).x  # fmt: skip


def _first_prior(normal: NormalEquations, latent: LatentMap, noise: float) -> ShellPrior:
    """Return a prior per shell from the power of a lightly regularised map."""
    projector, ndim = normal.projector, normal.b.ndim
    scale = float(normal.diagonal().max()) / noise
    light = PosteriorPrecision(normal, 1e4 / scale if scale else 1.0, noise)
    first = weighted_backprojection(light)
    if isinstance(latent, SlicedSpectrum):
        ratio = projector.padded_size / projector.size
        band = float(int(ratio * ((projector.size - 1) // 2)))
        return shell_prior(_mean_powers(first, latent.size, ndim), band, ratio)
    volume = projector.transform(projector.to_volume(first))
    powers = _mean_powers(latent.spectrum_adjoint(volume), latent.size, ndim)
    return shell_prior(powers / mean_square(latent), float((projector.size - 1) // 2))


def _shell_sums(values: Array, size: int) -> np.ndarray:
    """Sum over each shell of a box, the corners beyond counting to the last: on the host."""
    return to_numpy(shell_sum(values, size, values.ndim, corners=True))


def _mean_powers(map_ft: Array, size: int, ndim: int) -> np.ndarray:
    """Return the mean power of each shell."""
    power = map_ft.real**2 + map_ft.imag**2
    ones = array_namespace(map_ft).ones_like(power)
    return _shell_sums(power, size) / _shell_sums(ones, size)
