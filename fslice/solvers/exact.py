"""The exact solver: one pass over the images, then everything is closed form."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from fslice._arrays import Array, check_size, to_numpy
from fslice.data.cache import SpectraCache
from fslice.data.dataset import Dataset
from fslice.metrics import fsc
from fslice.posterior.elbo import elbo, elbo_of_prior, mean_field_std
from fslice.posterior.evidence import Estimate, log_evidence
from fslice.posterior.hyperparameters import (
    fit_hyperparameters,
    signal_variance,
    solve_tolerance,
)
from fslice.posterior.latent import mean_square
from fslice.posterior.mean import Solution, solve
from fslice.posterior.normal import NormalEquations
from fslice.posterior.precision import PosteriorPrecision
from fslice.posterior.result import Posterior
from fslice.posterior.samples import centred_samples
from fslice.posterior.sums import normal_equations
from fslice.solvers.alternate import Fit, alternate, noise_of
from fslice.solvers.model import Model
from fslice.solvers.progress import Progress, Reporter

_PROBES = 4
_TOLERANCE = 1e-3
"""At 1e-2 samples kept much of the prior's spread where the images say a lot."""
_ITERATIONS = 30


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

        def fit(data: Dataset) -> Fit:
            return self._fit(data, model, report, cache)

        found, data = alternate(dataset, model, fit, report, cache)
        return self._result(found, data, model, report)

    def _check(self, dataset: Dataset, model: Model) -> None:
        if (self.samples or self.evidence) and not model.gaussian:
            name = "samples" if self.samples else "evidence"
            raise ValueError(f"{name}: expected posterior='gaussian', got {model.posterior!r}")
        if self.evidence and dataset.order > 1:
            raise ValueError(
                f"evidence: expected symmetry='C1', got {dataset.symmetry!r}; to compare groups "
                "see fslice.posterior.evidence.symmetry_evidence"
            )

    def _fit(
        self, dataset: Dataset, model: Model, report: Reporter, cache: SpectraCache | None
    ) -> Fit:
        """Sum the images, and solve."""
        halves = self._sums(dataset, model, report, cache)
        normal: Any = halves[0] if len(halves) == 1 else halves[0] + halves[1]
        latent = model.latent(normal.b)
        prior = model.given_prior("shell")
        if isinstance(prior, str):
            prior = signal_variance(normal) / mean_square(latent)
        with report.stage("fitting", _ITERATIONS, "iterations") as advance:
            solution = fit_hyperparameters(
                normal, latent, prior_variance=prior, noise_variance=model.noise_variance,
                max_iterations=_ITERATIONS, progress=lambda *_: advance(),
            )  # fmt: skip
            solved = [solution, *(_half(half, solution) for half in halves if len(halves) > 1)]
        std = mean_field_std(solution.precision) if model.gaussian else None
        return Fit(
            solution.precision, solution.mean, std,
            elbo(solution.precision, solution.mean, std), solution.converged, solved[1:],
        )  # fmt: skip

    def _sums(
        self, dataset: Dataset, model: Model, report: Reporter, cache: SpectraCache | None
    ) -> list[Any]:
        """Return the normal equations of all images, or of each half set."""
        parts: list[Any] = [None]
        if dataset.half_sets is not None:
            labels = to_numpy(dataset.half_sets)
            parts = [np.flatnonzero(labels == half) for half in (1, 2)]
        with report.stage("reading", len(dataset)) as advance:
            return [
                normal_equations(
                    dataset, model.projector, rows=rows, cache=cache, executor=self.executor,
                    progress=advance,
                )
                for rows in parts
            ]  # fmt: skip

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
        return Posterior(
            mean=precision.map_of(found.mean),
            latent_mean=found.mean,
            posterior_std=found.std,
            elbo=found.elbo,
            elbo_prior=elbo_of_prior(precision, gaussian=model.gaussian),
            elbo_trace=list(found.trace),
            noise_variance=noise_of(dataset, precision.noise_variance),
            prior_variance=precision.reported_prior(),
            iterations=len(found.trace),
            converged=found.converged,
            seconds=dict(report.seconds),
            solver="exact",
            images=len(dataset),
            symmetry=dataset.symmetry,
            half_maps=_maps(found.halves),
            contrast=dataset.contrast,
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


def _half(normal: NormalEquations, whole: Solution) -> Solution:
    """Return the map of half of the images, under the prior and the noise of all."""
    precision = PosteriorPrecision(
        normal, whole.precision.prior_variance, whole.precision.noise_variance,
        whole.precision.latent,
    )  # fmt: skip
    tolerance = solve_tolerance(precision.latent)
    return solve(precision, start=whole.mean, tolerance=tolerance)


def _maps(halves: list[Solution]) -> tuple[Array, Array] | None:
    if not halves:
        return None
    first, second = (half.volume() for half in halves)
    return first, second
