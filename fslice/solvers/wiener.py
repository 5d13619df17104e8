"""The conventional map: weighted back-projection, as a baseline."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from fslice._arrays import Array, array_namespace, to_numpy
from fslice.data.cache import SpectraCache
from fslice.data.dataset import Dataset
from fslice.likelihoods.gaussian import GaussianNoise
from fslice.posterior.elbo import (
    best_noise_variance,
    elbo,
    elbo_of_prior,
    expected_residual,
    mean_field_std,
)
from fslice.posterior.latent import SlicedSpectrum
from fslice.posterior.mean import (
    solve,
    unfiltered_volume,
    warn_if_unobserved,
    weighted_backprojection,
)
from fslice.posterior.normal import check_informative
from fslice.posterior.power import pixel_variance, signal_variance
from fslice.posterior.precision import PosteriorPrecision
from fslice.posterior.prior import prior_grid
from fslice.posterior.result import Posterior
from fslice.posterior.sums import NormalSums, normal_equations
from fslice.solvers.alternate import Fit, alternate, posterior_of
from fslice.solvers.model import Model
from fslice.solvers.outliers import sum_watching
from fslice.solvers.progress import Progress, Reporter

_ITERATIONS = 3
"""Of the map and its noise variance: the one hardly depends on the other."""


@dataclass(frozen=True)
class Wiener:
    """Back-projection over the sampling density, with one prior variance (the paper's section 6.1).

    Each coefficient by itself, as if the interpolation spread nothing to its neighbours.

    Examples
    --------
    >>> import fslice
    >>> data = fslice.simulate(fslice.phantom(20, 4.0), 100, 20, 4.0, snr=1.0)
    >>> found = fslice.reconstruct(data.images(), data.rotations, solver=Wiener())
    >>> bool(fslice.fsc(found.mean, data.truth)[2] > 0.9)
    True
    """

    def __call__(
        self,
        dataset: Dataset,
        model: Model,
        progress: Callable[[Progress], object] | bool | None = None,
    ) -> Posterior:
        """Return the posterior of a data set under a model."""
        model.check(dataset)
        if model.mask is not None:
            raise ValueError("mask: expected None with the solver Wiener, got a mask")
        prior = model.given_prior("scalar")
        if prior is None:
            raise ValueError("prior: expected 'scalar' or a variance with the solver Wiener")
        report = Reporter(progress)
        cache = SpectraCache() if model.noise != "white" or model.contrast else None

        def fit(data: Dataset, model: Model) -> Fit:
            found = _fit(data, model, report, cache)
            # what is left by a map whose frequencies were fitted one by one is not the noise
            return found if cache is None else replace(found, mean=solve(found.precision).mean)

        found, data = alternate(dataset, model, fit, report, cache)
        precision = found.precision
        if data.noise is not None:
            found = replace(found, mean=_filtered(data, precision, cache))
        elif cache is not None:
            found = replace(found, mean=weighted_backprojection(precision))
        notes = warn_if_unobserved(precision.normal)
        bound = elbo_of_prior(precision, gaussian=model.gaussian)
        result = posterior_of("wiener", found, data, report, bound, notes)
        if not found.halves:
            return result
        one, other = _half_maps(found, data, cache)
        first, second = (unfiltered_volume(half) for half in found.halves)
        return replace(result, half_maps=(one, other), unfiltered_half_maps=(first, second))


def _half_rows(dataset: Dataset) -> list[Any]:
    """Return which images belong to each half; None, which is all, where there are no halves."""
    if dataset.half_sets is None:
        return [None]
    labels = to_numpy(dataset.half_sets)
    return [np.flatnonzero(labels == half) for half in (1, 2)]


def _half_maps(found: Fit, dataset: Dataset, cache: SpectraCache | None) -> list[Array]:
    """Return the maps of the halves, under the prior and the noise of all."""
    whole: Any = found.precision
    if dataset.noise is None:
        return [_half_map(half, whole) for half in found.halves]
    rows = _half_rows(dataset)
    return [whole.map_of(_filtered(dataset, whole, cache, part)) for part in rows]


def _fit(dataset: Dataset, model: Model, report: Reporter, cache: SpectraCache | None) -> Fit:
    with report.stage("reading", len(dataset)) as advance:
        sums = sum_watching(
            dataset, NormalSums.of(model.projector), report.warnings, _half_rows(dataset),
            cache=cache, progress=advance,
        )  # fmt: skip
    normal = sums[0] if len(sums) == 1 else sums[0] + sums[1]
    check_informative(normal)
    given = model.given_prior("scalar")
    prior = signal_variance(normal) if isinstance(given, str) else given
    noise = model.noise_variance or pixel_variance(normal)
    precision = PosteriorPrecision(normal, prior, noise, SlicedSpectrum(model.projector))
    with report.stage("fitting", _ITERATIONS, "iterations") as advance:
        for _ in range(_ITERATIONS):
            mean = weighted_backprojection(precision)
            residual = expected_residual(precision, mean)
            if model.noise_variance is None:
                noise = best_noise_variance(precision, residual, gaussian=model.gaussian)
                precision = replace(precision, noise_variance=noise)
            advance()
    std = mean_field_std(precision) if model.gaussian else None
    halves = sums if len(sums) == 2 else []
    return Fit(precision, mean, std, elbo(precision, mean, std, residual), True, halves)


def _half_map(normal: Any, whole: PosteriorPrecision) -> Array:
    """Return the back-projection of half of the images, under the prior and the noise of all."""
    precision = replace(whole, normal=normal)
    return precision.map_of(weighted_backprojection(precision))


def _spectrum_left(noise: GaussianNoise, levels: Array, count: int) -> Array:
    """Return the noise of a sum of images, each over the level of its group, per unit of weight.

    With n images of the level l and the variances v, ``sum n v / l^2`` over ``sum n / l``.
    """
    xp = array_namespace(levels)
    images = xp.full(1, float(count))
    if noise.groups is not None:
        images = xp.bincount(noise.groups, minlength=len(levels)).astype(np.float64)
    weights = images[:, None] / levels
    return (weights * noise.variances / levels).sum(0) / weights.sum()


def _filtered(
    dataset: Dataset, precision: PosteriorPrecision, cache: SpectraCache | None, rows: Any = None
) -> Array:
    """Return the map under a noise spectrum: groups are weighted by it, and shells filtered.

    Neighbours of different weights would draw their mean to one side. So an image is weighted by
    its group's noise as a whole, and the spectrum that is left acts with the prior.
    """
    noise: Any = dataset.noise
    xp, projector, b = dataset.xp, precision.normal.projector, precision.normal.b
    levels = xp.exp(xp.log(noise.variances).mean(1, keepdims=True))
    spectrum = _spectrum_left(
        noise if rows is None else noise[xp.asarray(rows)], levels, len(dataset)
    )
    leveled = dataset.with_noise(replace(noise, variances=levels))
    normal = normal_equations(leveled, projector, rows=rows, cache=cache)
    size, ratio = projector.padded_size, projector.padded_size / projector.size
    shells = np.rint(np.arange(size // 2 + 1) / ratio).astype(int)
    shells = np.minimum(shells, len(spectrum) - 1)  # of white noise there is one
    padded = prior_grid(spectrum[xp.asarray(shells)], size, b.ndim, b)
    prior, variance = precision.prior_variance / padded, precision.noise_variance
    return weighted_backprojection(PosteriorPrecision(normal, prior, variance))
