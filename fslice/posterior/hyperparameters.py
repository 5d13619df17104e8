"""Prior and noise learned from the images themselves, by maximising their evidence."""

from __future__ import annotations

import dataclasses
import math
import warnings
from collections.abc import Callable
from typing import Any, NamedTuple, TypeVar

import numpy as np

from fslice._arrays import Array, array_namespace, check_size, to_numpy
from fslice.fourier import hermitian_weights, inner_product, shells
from fslice.posterior.cg import conjugate_gradients
from fslice.posterior.elbo import expected_residual
from fslice.posterior.masked import SupportedPrecision, SupportedSolution, solve_supported
from fslice.posterior.normal import NormalEquations
from fslice.posterior.precision import Precision
from fslice.posterior.samples import white_noise
from fslice.posterior.shell_prior import ShellPrior, shell_prior
from fslice.posterior.solve import ExactSolution, solve_exact
from fslice.posterior.wiener import solve_wiener

_SEED = 1
_ERROR = 2e-3
"""Of solves, in posterior deviations."""

_P = TypeVar("_P", Precision, SupportedPrecision)


def learn(
    normal: NormalEquations,
    *,
    prior_variance: Array | float | None = None,
    noise_variance: float | None = None,
    max_iterations: int = 30,
    tolerance: float = 2e-4,
    progress: Callable[[int, Precision], Any] | None = None,
) -> ExactSolution:
    """Solve for the volume, learning what is not given of prior and noise variance.

    Parameters
    ----------
    normal : NormalEquations
    prior_variance : float or real array, optional
        As in `Precision`. Learned, one value per shell, if it is not given.
    noise_variance : float, optional
        Learned if it is not given.
    max_iterations : int, optional
    tolerance : float, optional
        Stops when a step is expected to raise the log evidence by less than this, in nats for
        each number that the images determine.
    progress : callable, optional
        Called after each iteration with its number and the precision it leads to.

    Returns
    -------
    ExactSolution
        Its ``precision`` holds what was learned.

    Raises
    ------
    ValueError
        There is no image, or none that shows anything.

    Warns
    -----
    UserWarning
        The variances still changed after the last iteration; or as `solve_exact`.

    Notes
    -----
    At a maximum of the evidence (MacKay 1992), with H = 1 - V / tau^2 and V the posterior
    variances::

        sum_S m |mean|^2 / tau_S^2 = sum_S m H,   sigma^2 = |residual of the mean|^2 / (d - sum m H)

    The sums over H count the coefficients that the images determine. They are estimated by one
    probe, whose solve costs as much as that of the mean; steps are those of Fisher scoring
    (`fslice.posterior.shell_prior`).

    Examples
    --------
    >>> import fslice
    >>> from fslice.posterior.accumulate import accumulate
    >>> rng = np.random.default_rng(0)
    >>> projector, rotations = fslice.Projector(16), fslice.random_rotations(300, rng)
    >>> images_ft = projector.project_ft(fslice.rfft3(rng.normal(size=(16, 16, 16))), rotations)
    >>> images = fslice.irfft2(images_ft) + 3 * rng.normal(size=(300, 16, 16))
    >>> learned = learn(accumulate(images, rotations, projector=projector)).precision
    >>> abs(learned.noise_variance / 9 - 1) < 0.02
    True
    """
    noise = _pixel_variance(normal) if noise_variance is None else noise_variance
    prior, shell = prior_variance, None
    if prior is None:
        shell = shell_prior(_powers(normal, _first_map(normal, noise)), *_band(normal))
        prior = shell.variance()
    precision, start = _iterate(
        Precision(normal, prior, noise), shell, noise_variance is None,
        max_iterations, tolerance, progress,
    )  # fmt: skip
    return solve_exact(normal, precision.prior_variance, precision.noise_variance, start=start)


def learn_supported(
    normal: NormalEquations,
    mask: Array,
    *,
    prior_variance: Array | float | None = None,
    noise_variance: float | None = None,
    max_iterations: int = 30,
    tolerance: float = 2e-4,
    progress: Callable[[int, SupportedPrecision], Any] | None = None,
) -> SupportedSolution:
    """Solve for a volume inside a mask, learning what is not given of prior and noise variance.

    Parameters
    ----------
    normal : NormalEquations
    mask : (D, D, D) real array
        As in `SupportedPrecision`; ones if all that is known of the object is its box.
    prior_variance : float or real array, optional
        As in `SupportedPrecision`. Learned, one value per shell, if it is not given.
    noise_variance, max_iterations, tolerance, progress
        As in `learn`.

    Returns
    -------
    SupportedSolution
        Its ``precision`` holds what was learned.

    Raises
    ------
    ValueError
        There is no image, or none that shows anything.

    Warns
    -----
    UserWarning
        The variances still changed after the last iteration; or as `solve_supported`.

    Examples
    --------
    >>> import fslice
    >>> from fslice.posterior.accumulate import accumulate
    >>> from fslice.posterior.masked import soft_sphere
    >>> rng = np.random.default_rng(0)
    >>> projector, rotations = fslice.Projector(16, 2), fslice.random_rotations(300, rng)
    >>> mask = soft_sphere(16, radius=4, edge=2)
    >>> images = projector.project(mask * rng.normal(size=(16, 16, 16)), rotations)
    >>> images += 3 * rng.normal(size=images.shape)
    >>> normal = accumulate(images, rotations, projector=projector)
    >>> learned = learn_supported(normal, mask).precision
    >>> abs(learned.noise_variance / 9 - 1) < 0.02
    True
    """
    noise = _pixel_variance(normal) if noise_variance is None else noise_variance
    prior, shell = prior_variance, None
    if prior is None:
        xp = array_namespace(normal.b, mask)
        # checks the mask, too
        inside = SupportedPrecision(normal, 1.0, mask, noise)
        first = inside.spectrum_adjoint(normal.projector.transform(
            normal.projector.to_volume(_first_map(normal, noise))
        ))  # fmt: skip
        share = float(xp.mean(inside.mask**2))
        if not share:
            raise ValueError("mask: expected one that is not zero everywhere")
        shell = shell_prior(_powers(normal, first) / share, float((normal.projector.size - 1) // 2))
        prior = shell.variance()
    precision, start = _iterate(
        SupportedPrecision(normal, prior, mask, noise), shell, noise_variance is None,
        max_iterations, tolerance, progress,
    )  # fmt: skip
    return solve_supported(precision, start=start)


class _Response(NamedTuple):
    """What a posterior says about its hyperparameters, per shell."""

    power: np.ndarray
    determined: np.ndarray
    information: np.ndarray


def _iterate(
    precision: _P,
    prior: ShellPrior | None,
    learns_noise: bool,
    max_iterations: int,
    tolerance: float,
    progress: Callable[[int, _P], Any] | None,
) -> tuple[_P, Array]:
    """Return the precision with what maximises the evidence, and nearly its mean."""
    xp = array_namespace(precision.normal.b)
    probe = white_noise(precision, np.random.default_rng(_SEED))
    probe /= abs(probe)
    mean = answer = None
    degrees = float(precision.normal.degrees.sum())
    for iteration in range(check_size("max_iterations", max_iterations)):
        scale, diagonal = xp.sqrt(precision.prior_variance), precision.preconditioner()
        mean = _solved(precision, precision.rhs, diagonal, mean)
        answer = _solved(precision, probe / scale, diagonal, answer)
        response = _respond(precision, mean / scale, probe, answer / scale)
        gain, change = 0.0, dict[str, Any]()
        if prior is not None:
            prior, gain = prior.step(*response)
            change["prior_variance"] = prior.variance()
        if learns_noise:
            left = max(degrees - float(response.determined.sum()), 1.0)
            noise = expected_residual(precision, precision.spectrum(mean)) / left
            gain += degrees / 4 * math.log(noise / precision.noise_variance) ** 2
            change["noise_variance"] = noise
        precision = dataclasses.replace(precision, **change)
        if progress is not None:
            progress(iteration + 1, precision)
        gain /= max(float(response.determined.sum()), 1.0)
        if gain <= tolerance:
            break
    else:
        warnings.warn(
            f"prior and noise could still raise the log evidence by {gain:.2g} nats per "
            f"determined number in iteration {max_iterations}, expected {tolerance:.2g}",
            stacklevel=3,
        )
    return precision, mean


def _solved(precision: _P, rhs: Array, diagonal: Array, start: Array | None) -> Array:
    """Solve until the error is a small part of the posterior's deviation, in the average.

    A relative tolerance would ask too little: the low frequencies, which hold the power, are solved
    first, while of a shell of which little is known the little would still be missing.
    """
    tolerance = _ERROR * math.sqrt(precision.box**rhs.ndim / inner_product(rhs, rhs / diagonal))
    return conjugate_gradients(precision, rhs, diagonal, tolerance=tolerance, start=start).x


def _respond(precision: _P, mean: Array, probe: Array, answer: Array) -> _Response:
    """Compare a mean and a solved probe, both in units of the prior's deviation, per shell."""
    explained = probe - answer
    sums = [
        _shell_sums(precision.box, values)
        for values in (
            mean.real**2 + mean.imag**2,
            (probe.conj() * explained).real,
            # counts what H shares with other shells as well, so that no step is too large
            explained.real**2 + explained.imag**2,
        )
    ]
    return _Response(*sums)


def _pixel_variance(normal: NormalEquations) -> float:
    """Return the noise variance if the images were noise only."""
    degrees = float(normal.degrees.sum())
    if not degrees:
        raise ValueError("normal: expected at least one image to learn from, got none")
    return float(normal.power.sum()) / degrees


def _shell_sums(box: int, values: Array) -> np.ndarray:
    """Sum over each shell of a box, the corners beyond counting to the last."""
    index = np.minimum(shells(box, values.ndim), box // 2).ravel()
    weighted = (to_numpy(values) * hermitian_weights(box)).ravel()
    return np.bincount(index, weighted, box // 2 + 1)


def _powers(normal: NormalEquations, map_ft: Array) -> np.ndarray:
    """Return the mean power of each shell."""
    box = map_ft.shape[0]
    power = map_ft.real**2 + map_ft.imag**2
    return _shell_sums(box, power) / _shell_sums(box, np.ones(power.shape))


def _band(normal: NormalEquations) -> tuple[float, float]:
    """Return the last shell of the padded box inside the images' band, and the oversampling."""
    projector = normal.projector
    scale = projector.padded_size / projector.size
    return float(int(scale * ((projector.size - 1) // 2))), scale


def _first_map(normal: NormalEquations, noise: float) -> Array:
    """Return a lightly regularised map."""
    scale = float(normal.diagonal().max()) / noise
    return solve_wiener(normal, 1e4 / scale if scale else 1.0, noise)
