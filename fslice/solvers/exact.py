"""The exact solver: one pass over the images, then everything is closed form."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import numpy as np

from fslice._arrays import Array, check_size, to_numpy
from fslice._large import at_once
from fslice.data.cache import SpectraCache
from fslice.data.dataset import Dataset
from fslice.data.shares import for_functions
from fslice.metrics import fsc
from fslice.posterior.adapt import adapt_hyperparameters
from fslice.posterior.elbo import elbo, elbo_of_prior, mean_field_std
from fslice.posterior.evidence import Estimate, log_evidence
from fslice.posterior.hyperparameters import fit_hyperparameters
from fslice.posterior.latent import SlicedSpectrum, latent_map, mean_square
from fslice.posterior.mean import (
    Solution,
    solve_observed,
    unfiltered_volume,
    unobserved_note,
    weighted_backprojection,
)
from fslice.posterior.normal import NormalEquations
from fslice.posterior.partial_sums import PartialSums
from fslice.posterior.power import latent_variance
from fslice.posterior.precision import PosteriorPrecision
from fslice.posterior.result import Posterior
from fslice.posterior.samples import centred_samples
from fslice.posterior.sums import NormalSums
from fslice.solvers.alternate import Fit, alternate, posterior_of
from fslice.solvers.model import Model
from fslice.solvers.outliers import Watched, sum_watching
from fslice.solvers.progress import Progress, Reporter

_PROBES = 4
_TOLERANCE = 1e-3
"""At 1e-2 samples kept much of the prior's spread where the images say a lot."""
_ITERATIONS = 30
_TOLERANCE_INSIDE = 1e-3
"""Of a map inside a mask that was found: at 1e-4 its error to the truth is the same."""
_TOLERANCE_HALF = 1e-3
"""Of half maps: at 1e-6 their correlation is the same to three digits."""
_MEAN_SQUARE_WEIGHTS = {"linear": 2 / 3, "cubic": 151 / 315}
"""Sum of the squares of an interpolation kernel's weights along an axis, in the mean over places:
the value at 0 of the B-spline of twice the order."""


@dataclass(frozen=True)
class Exact:
    """The posterior in closed form, for known poses: normal equations and conjugate gradients.

    Prior and noise maximise the evidence. With linear interpolation the images are read once;
    with cubic, each product with their matrix is a pass over the poses.

    Parameters
    ----------
    samples : int, optional
        Draws from the exact posterior, for `Posterior.voxel_std` and `Posterior.fsc_samples`; 8
        are enough for a resolution, 50 for voxels.
    evidence : bool, optional
        Whether to estimate the log probability of the images.
    seed : int, optional
        Of the samples.
    executor : concurrent.futures.Executor, optional
        Works on shares of the images, as in `fslice.data.passes.sum_over`.
    checkpoint : path, optional
        A folder, where partial sums of an executor are kept once they took long to sum, or when
        the run is interrupted; a run of the same images and settings goes on from there, to the
        same bits, with any number of workers. See `fslice.posterior.partial_sums.PartialSums`.
    mask_from : callable, optional
        Takes the map of a first solve, (D, D, D), and returns a mask, from 0 to 1: the map is
        solved for again inside it, from the same normal equations, with what the first solve has
        learned. See `fslice.postprocess.masks.mask_from_map`.

    Examples
    --------
    >>> import fslice
    >>> data = fslice.simulate(fslice.phantom(20, 4.0), 100, 20, 4.0, snr=1.0)
    >>> found = fslice.reconstruct(data.images(), data.rotations, solver=Exact(samples=2))
    >>> found.voxel_std.shape, found.fsc_samples.shape
    ((20, 20, 20), (2, 11))
    """

    samples: int = 0
    evidence: bool = False
    seed: int = 0
    executor: Any = None
    mask_from: Callable[[Array], Array] | None = None
    checkpoint: str | os.PathLike[str] | None = None

    def __post_init__(self) -> None:
        check_size("samples", self.samples, 0)
        check_size("seed", self.seed, 0)

    def __call__(
        self,
        dataset: Dataset,
        model: Model,
        progress: Callable[[Progress], object] | bool | None = None,
    ) -> Posterior:
        """Return the posterior of a data set under a model."""
        model.check(dataset)
        self._check(dataset, model)
        report = Reporter(progress)
        cache = SpectraCache() if model.noise != "white" or model.contrast else None

        store = None
        if self.checkpoint is not None and model.projector.interpolation == "linear":
            store = PartialSums(self.checkpoint, Watched)

        def fit(data: Dataset, model: Model) -> Fit:
            return self._fit(data, model, report, cache, store)

        found, data = alternate(dataset, model, fit, report, cache, for_functions(self.executor))
        result = self._result(found, data, model, report)
        if not found.halves:
            return result
        halves = _both(found.halves, found.precision.normal)
        prior = replace(found.precision, normal=halves[0])
        del found  # the equations of all images: a third of the memory
        with report.stage("half maps", 2, "maps") as advance:
            solved, unfiltered = _half_maps(halves, prior)
            advance(2)
        return replace(
            result, half_maps=solved, unfiltered_half_maps=unfiltered, seconds=dict(report.seconds)
        )

    def _check(self, dataset: Dataset, model: Model) -> None:
        if (self.samples or self.evidence) and not model.gaussian:
            name = "samples" if self.samples else "evidence"
            raise ValueError(f"{name}: expected posterior='gaussian', got {model.posterior!r}")
        if self.mask_from is not None and model.mask is not None:
            raise ValueError("mask: expected None with mask_from, which finds it, got a mask")
        if self.evidence and dataset.order > 1:
            raise ValueError(
                f"evidence: expected symmetry='C1', got {dataset.symmetry!r}; to compare groups "
                "see fslice.posterior.evidence.symmetry_evidence"
            )

    def _fit(
        self,
        dataset: Dataset,
        model: Model,
        report: Reporter,
        cache: SpectraCache | None,
        store: PartialSums | None,
    ) -> Fit:
        """Sum the images, and solve."""
        halves: list[Any] = self._sums(dataset, model, report, cache, store)
        normal = halves.pop() if len(halves) == 1 else halves[0] + halves[1]
        if halves:  # less is kept: see `_both`
            halves[int(halves[0].count <= halves[1].count)] = None
        with report.stage("fitting", _ITERATIONS, "iterations") as advance:
            solution = self._solve(normal, model, lambda *_: advance())
        if self.mask_from is not None:
            mask = self.mask_from(solution.volume())
            with report.stage("solving in the mask", 1, "maps") as advance:
                solution = _solve_inside(mask, solution, model)
                advance()
        std = mean_field_std(solution.precision) if model.gaussian else None
        return Fit(
            solution.precision, solution.mean, std,
            elbo(solution.precision, solution.mean, std), solution.converged, halves,
        )  # fmt: skip

    def _solve(self, normal: Any, model: Model, progress: Callable[..., object]) -> Solution:
        """Solve for the map of all images, and for what is not given of prior and noise."""
        latent = model.latent(normal.b)
        prior = model.given_prior("shell")
        if isinstance(prior, str):
            prior = latent_variance(normal, latent)
        return fit_hyperparameters(
            normal, latent, prior_variance=prior, noise_variance=model.noise_variance,
            max_iterations=_ITERATIONS, progress=progress,
        )  # fmt: skip

    def _sums(
        self,
        dataset: Dataset,
        model: Model,
        report: Reporter,
        cache: SpectraCache | None,
        store: PartialSums | None,
    ) -> list[Any]:
        """Return the normal equations of all images, or of each half set."""
        row_sets = [np.arange(len(dataset))]
        if dataset.half_sets is not None:
            labels = to_numpy(dataset.half_sets)
            row_sets = [np.flatnonzero(labels == half) for half in (1, 2)]
        with report.stage("reading", len(dataset)) as advance:
            sums = NormalSums.of(model.projector, overwrite=cache is None)
            return sum_watching(
                dataset, sums, report.warnings, row_sets, cache=cache,
                executor=self.executor, progress=advance, store=store,
            )  # fmt: skip

    def _result(self, found: Fit, dataset: Dataset, model: Model, report: Reporter) -> Posterior:
        """Return what was found, with samples and evidence."""
        precision = found.precision
        voxel_std = fsc_samples = evidence = None
        if self.samples:
            with report.stage("sampling", self.samples, "samples") as advance:
                voxel_std, fsc_samples = self._draw(precision, found.mean, advance)
        if self.evidence:
            with report.stage("evidence", _PROBES, "probes") as advance:
                evidence = self._evidence(precision, found.mean)
                advance(_PROBES)
        bound = elbo_of_prior(precision, gaussian=model.gaussian)
        return replace(
            posterior_of("exact", found, dataset, report, bound, unobserved_note(precision.normal)),
            evidence=evidence,
            voxel_std=voxel_std,
            fsc_samples=fsc_samples,
        )

    def _draw(
        self, precision: PosteriorPrecision, mean: Array, advance: Callable[..., None]
    ) -> tuple[Array, Array]:
        """Draw from the posterior: deviations of voxels, and a shell correlation per sample."""
        rng = np.random.default_rng(self.seed)
        volume, squares, curves = precision.map_of(mean), 0.0, []
        for sample in centred_samples(precision, self.samples, rng, tolerance=_TOLERANCE):
            deviation = precision.deviation_of(sample)
            squares = squares + deviation**2
            curves.append(to_numpy(fsc(volume, volume + deviation)))
            advance()
        return (squares / self.samples) ** 0.5, np.stack(curves)

    def _evidence(self, precision: PosteriorPrecision, mean: Array) -> Estimate:
        """Return the log evidence to within a few nats."""
        return log_evidence(precision, mean, probes=_PROBES, tolerance=_TOLERANCE)


def _solve_inside(mask: Array, whole: Solution, model: Model) -> Solution:
    """Solve again inside a mask, from the noise and the power that the first solve has learned."""
    known = whole.precision
    latent = latent_map(model.projector, mask, known.normal.b)
    given, prior = model.given_prior("shell"), known.reported_prior()
    if given is None:
        prior = prior * _power_of_latent(known) / mean_square(latent)
    elif isinstance(given, str):
        prior = latent_variance(known.normal, latent)
    inside = adapt_hyperparameters(
        PosteriorPrecision(known.normal, prior, known.noise_variance, latent),
        prior=given is None, noise=model.noise_variance is None, tolerance=_TOLERANCE_INSIDE,
    )  # fmt: skip
    return inside._replace(converged=inside.converged and whole.converged)


def _power_of_latent(precision: PosteriorPrecision) -> float:
    """Return the power of a volume's spectrum relative to a learned prior variance.

    A sliced spectrum in its own box is taken for independent coefficients, though an object does
    not fill the box: interpolation averages them, and the prior is learned larger by as much.
    """
    if not isinstance(precision.latent, SlicedSpectrum):
        return 1.0
    projector, ndim = precision.normal.projector, precision.normal.b.ndim
    return float(_MEAN_SQUARE_WEIGHTS[projector.interpolation] ** ndim)


def _both(halves: Sequence[Any], whole: Any) -> list[Any]:
    """Return the normal equations of both halves, the larger of which the other leaves of all.

    The smaller cannot be what is left: of a few images beside many the sum has lost digits.
    """
    return [whole - halves[1 - i] if half is None else half for i, half in enumerate(halves)]


def _half_maps(
    halves: Sequence[NormalEquations], whole: PosteriorPrecision
) -> tuple[tuple[Array, Array], tuple[Array, Array]]:
    """Return the maps of both halves, and unfiltered ones."""
    first, second = (partial(_half, half, whole) for half in halves)
    (one, one_unfiltered), (two, two_unfiltered) = at_once(first, second, like=halves[0].b)
    return (one, two), (one_unfiltered, two_unfiltered)


def _half(normal: NormalEquations, whole: PosteriorPrecision) -> tuple[Array, Array]:
    """Return the map of half of the images, under the prior and the noise of all; and unfiltered.

    The solve begins at zero or at the half's own back-projection: what both halves began with they
    would have in common. What no image has seen is said of all images already.
    """
    density, precision = normal.row_sums(), replace(whole, normal=normal)
    start = None
    if isinstance(precision.latent, SlicedSpectrum):
        start = weighted_backprojection(precision, density)
    solution = solve_observed(
        precision, tolerance=_TOLERANCE_HALF, start=start, afresh=False, overwrite_start=True
    )
    return solution.volume(), unfiltered_volume(normal, density)
