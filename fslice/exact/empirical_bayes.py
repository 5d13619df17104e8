"""Prior and noise learned from the images themselves, by maximising their evidence."""

from __future__ import annotations

import dataclasses
import math
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np

from fslice._arrays import Array, check_size, to_numpy
from fslice.exact.collapsed import expected_residual
from fslice.exact.normal import NormalEquations
from fslice.exact.precision import Precision
from fslice.exact.samples import marginal_variance, posterior_deviations
from fslice.exact.solve import ExactSolution, solve_exact
from fslice.exact.wiener import solve_wiener
from fslice.fourier import multiplicity, shells

_SEED = 1


def learn(
    normal: NormalEquations,
    *,
    prior_variance: Array | float | None = None,
    noise_variance: float | None = None,
    max_iterations: int = 30,
    tolerance: float = 0.01,
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
        Stops when no learned variance within the band changed by more than this share.
    progress : callable, optional
        Called after each iteration with its number and the precision it leads to.

    Returns
    -------
    ExactSolution
        Its ``precision`` holds what was learned.

    Warns
    -----
    UserWarning
        The variances still changed after the last iteration; or as `solve_exact`.

    Notes
    -----
    Fixed points of the evidence (MacKay 1992). With V the marginal variances, of which one
    exact sample of the posterior tells shell averages well::

        tau_S^2 <- sum_S m |mean|^2 / sum_S m (1 - V / tau^2)
        sigma^2 <- (expected residual power) / d

    The denominator counts the coefficients of the shell that the images determine. Shells
    with none left, and those beyond the band, take the value of the last one before.

    Examples
    --------
    >>> import fslice
    >>> from fslice.exact.accumulate import accumulate
    >>> rng = np.random.default_rng(0)
    >>> projector, rotations = fslice.Projector(16), fslice.random_rotations(300, rng)
    >>> images_ft = projector.project_ft(fslice.rfft3(rng.normal(size=(16, 16, 16))), rotations)
    >>> images = fslice.irfft2(images_ft) + 3 * rng.normal(size=(300, 16, 16))
    >>> learned = learn(accumulate(images, rotations, projector=projector)).precision
    >>> abs(learned.noise_variance / 9 - 1) < 0.02
    True
    """
    noise = _pixel_variance(normal) if noise_variance is None else noise_variance
    prior: Any = _first_prior(normal, noise) if prior_variance is None else prior_variance
    start, change = None, math.inf
    for iteration in range(check_size("max_iterations", max_iterations)):
        solution = solve_exact(normal, prior, noise, tolerance=1e-4, start=start)
        start, before = solution.mean_ft, (prior, noise)
        if prior_variance is None:
            prior = _next_prior(solution, prior)
        if noise_variance is None:
            power = expected_residual(solution.precision, start, solution.sigma**2)
            noise = power / float(normal.degrees.sum())
        change = float(np.max(abs(np.log(prior / before[0])))) + abs(math.log(noise / before[1]))
        if progress is not None:
            progress(iteration + 1, dataclasses.replace(
                solution.precision, prior_variance=prior, noise_variance=noise
            ))  # fmt: skip
        if change <= tolerance:
            break
    else:
        warnings.warn(
            f"prior and noise still changed by {100 * change:.2g} % in iteration {max_iterations}",
            stacklevel=2,
        )
    return solve_exact(normal, prior, noise, start=start)


def _pixel_variance(normal: NormalEquations) -> float:
    """Return the noise variance if the images were noise only."""
    degrees = float(normal.degrees.sum())
    if not degrees:
        raise ValueError("normal: expected at least one image to learn from, got none")
    return float(normal.power.sum()) / degrees


def _shell_means(normal: NormalEquations, values: Array) -> np.ndarray:
    """Average over each shell of the box, the corners beyond counting to the last."""
    box, ndim = normal.projector.box, normal.b.ndim
    index = np.minimum(shells(box, ndim), box // 2).ravel()
    pairs = np.broadcast_to(multiplicity(box), values.shape).ravel()
    total = np.bincount(index, pairs * to_numpy(values).ravel(), box // 2 + 1)
    return total / np.bincount(index, pairs, box // 2 + 1)


def _first_prior(normal: NormalEquations, noise: float) -> np.ndarray:
    """Return the power per shell of a lightly regularised map."""
    scale = float(normal.diagonal().max()) / noise
    map_ft = solve_wiener(normal, 1e4 / scale, noise)
    power = _shell_means(normal, abs(map_ft) ** 2)
    return _extended(normal, power, power > 0)


def _next_prior(solution: ExactSolution, prior: np.ndarray) -> np.ndarray:
    normal, precision = solution.precision.normal, solution.precision
    rng = np.random.default_rng(_SEED)
    variance = marginal_variance(precision, posterior_deviations(precision, 1, rng)).variance
    power = _shell_means(normal, abs(solution.mean_ft) ** 2)
    spread = _shell_means(normal, variance)
    determined = 1 - spread / prior
    known = determined > 0.01
    # far from the fixed point a step is bounded
    ratio = np.clip(power / np.where(known, determined, 1) / prior, 0.1, 10)
    return _extended(normal, prior * ratio, known)


def _extended(normal: NormalEquations, prior: np.ndarray, known: np.ndarray) -> np.ndarray:
    """Return the prior with unknown shells, and those outside the band, filled by neighbours."""
    box = normal.projector.box
    limit = int(normal.projector.oversampling * ((normal.projector.size - 1) // 2))
    good = np.flatnonzero(known & (np.arange(box // 2 + 1) <= limit))
    if not len(good):
        return prior
    nearest = np.maximum(np.searchsorted(good, np.arange(box // 2 + 1), "right") - 1, 0)
    floor = prior[good].max() * 1e-9
    return np.maximum(prior[good][nearest], floor)
