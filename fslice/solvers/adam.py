"""The stochastic solver: steps on minibatches of images, for any interpolation kernel."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from fslice._arrays import check_size, to_numpy
from fslice.data.cache import LIMIT, SpectraCache
from fslice.data.dataset import Dataset
from fslice.fourier import transform
from fslice.posterior.elbo import mean_field_std
from fslice.posterior.latent import SlicedSpectrum
from fslice.posterior.mean import (
    unfiltered_spectrum,
    unfiltered_volume,
    warn_if_unobserved,
)
from fslice.posterior.normal import check_informative
from fslice.posterior.power import latent_variance, pixel_variance
from fslice.posterior.precision import PosteriorPrecision
from fslice.posterior.result import Posterior
from fslice.posterior.sums import NormalSums
from fslice.solvers.alternate import Fit, alternate, posterior_of
from fslice.solvers.checkpoint import Checkpoint
from fslice.solvers.model import Model
from fslice.solvers.outliers import sum_watching
from fslice.solvers.progress import Progress, Reporter
from fslice.solvers.steps import RATE, FitState, Problem, fit

TOLERANCE = 1e-4
"""A fit has converged when the rest is at most this share of the gain over the prior."""


@dataclass(frozen=True)
class Adam:
    """Variance-reduced Adam on the evidence lower bound (the paper's eqs. 14 and 15).

    It takes any interpolation kernel, and one prior variance, learned or given, or one given for
    each shell. It converges when half the squared gradient, in units of posterior standard
    deviations, is at most 1e-4 of the gain over the prior; see `fslice.solvers.steps`.

    Parameters
    ----------
    epochs : int, optional
        At most so many.
    batch_size : int, optional
        Images per step. Default: so many that even the outermost frequencies are hit about
        four times (without oversampling), or all images if there are fewer.
    seed : int, optional
        Of the minibatches. The same inputs and number of threads repeat bit for bit.
    checkpoint : path, optional
        An ``.npz`` file, written after each epoch. If it exists the fit continues from it, to
        the result of an uninterrupted one.

    Examples
    --------
    >>> import fslice
    >>> data = fslice.simulate(fslice.phantom(20, 4.0), 100, 20, 4.0, snr=1.0)
    >>> found = fslice.reconstruct(data.images(), data.rotations, solver=Adam(epochs=20))
    >>> found.converged
    True
    """

    epochs: int = 50
    batch_size: int | None = None
    seed: int = 0
    checkpoint: str | os.PathLike[str] | None = None

    def __post_init__(self) -> None:
        check_size("epochs", self.epochs)
        check_size("seed", self.seed, 0)
        if self.batch_size is not None:
            check_size("batch_size", self.batch_size)

    def __call__(
        self,
        dataset: Dataset,
        model: Model,
        progress: Callable[[Progress], object] | bool | None = None,
    ) -> Posterior:
        """Return the posterior of a data set under a model."""
        model.check(dataset)
        if model.given_prior("scalar") is None:
            raise ValueError("prior: expected 'scalar' or a variance with the solver Adam")
        report, cache = Reporter(progress), SpectraCache(LIMIT)
        everything = np.arange(len(dataset))
        first = [self.checkpoint]  # later fits, under learned noise, are not kept

        def fit_once(data: Dataset, model: Model) -> Fit:
            file = first.pop() if first else None
            return self._fit(data, model, everything, report, cache, file)

        found, data = alternate(dataset, model, fit_once, report, cache)
        halves = self._halves(data, model, found, report, cache)
        notes = warn_if_unobserved(found.precision.normal)
        evaluation: Any = found
        return replace(
            posterior_of("adam", found, data, report, evaluation.bound_of_prior, notes),
            elbo_trace=list(evaluation.epochs_trace),
            iterations=evaluation.epochs,
            half_maps=None if halves is None else halves[:2],
            unfiltered_half_maps=None if halves is None else halves[2:],
        )

    def _fit(
        self,
        dataset: Dataset,
        model: Model,
        rows: np.ndarray,
        report: Reporter,
        cache: SpectraCache | None,
        checkpoint: Any,
        precision: PosteriorPrecision | None = None,
    ) -> AdamFit:
        """Fit some images; a precision gives prior and noise if they are not to be learned."""
        problem = self._problem(dataset, model, rows, report, cache, precision)
        store = Checkpoint(checkpoint, problem)
        state = store.load(FitState(_start(problem.precision), 0, RATE, (), None))
        total = (self.epochs + 1) * len(rows)
        with report.stage("fitting", total) as advance:
            advance(state.epoch * len(rows))
            found, state, converged = fit(
                problem, state, epochs=self.epochs, tolerance=TOLERANCE,
                on_batch=lambda images, now: advance(images, self._note(now)),
                on_epoch=store.save,
            )  # fmt: skip
        return AdamFit(
            found.precision,
            found.mean,
            mean_field_std(found.precision) if model.gaussian else None,
            found.bound,
            converged,
            bound_of_prior=found.bound_of_prior,
            epochs_trace=state.trace,
            epochs=state.epoch,
        )

    def _checkpoint_of(self, half: int) -> Path | None:
        """Return the file of the fit to half of the images, beside that of all."""
        if self.checkpoint is None:
            return None
        path = Path(self.checkpoint)
        return path.with_name(f"{path.stem}_half{half}{path.suffix}")

    def _note(self, state: FitState) -> str:
        latest = f", ELBO {state.trace[-1]:.5g}" if state.trace else ""
        return f"epoch {state.epoch}/{self.epochs}{latest}"

    def _problem(
        self,
        dataset: Dataset,
        model: Model,
        rows: np.ndarray,
        report: Reporter,
        cache: SpectraCache | None,
        known: PosteriorPrecision | None,
    ) -> Problem:
        """Pass once over the images for what the bound needs to know."""
        with report.stage("reading", len(rows)) as advance:
            sums = NormalSums(model.projector, stencil=False)
            (normal,) = sum_watching(
                dataset, sums, report.warnings, [rows], cache=cache, progress=advance
            )
        check_informative(normal)
        latent = model.latent(normal.b)
        prior = model.given_prior("scalar") if known is None else known.prior_variance
        if isinstance(prior, str):
            prior = latent_variance(normal, latent)
        noise = model.noise_variance if known is None else known.noise_variance
        start = pixel_variance(normal) if noise is None else noise
        return Problem(
            dataset, rows, PosteriorPrecision(normal, prior, start, latent), model.gaussian,
            noise is None, self._batch_size(dataset, model), self.seed, cache,
        )  # fmt: skip

    def _batch_size(self, dataset: Dataset, model: Model) -> int:
        """Return a batch that hits a frequency at the rim, of 2 pi r neighbours, about 4 times."""
        if self.batch_size is not None:
            return self.batch_size
        views = max(64, round(8 * model.projector.padded_size / 2))
        return max(1, views // dataset.order)

    def _halves(
        self, dataset: Dataset, model: Model, found: Fit, report: Reporter, cache: Any
    ) -> Any:
        """Return the maps of the half sets under the prior and the noise of all, and unfiltered."""
        if dataset.half_sets is None:
            return None
        labels = to_numpy(dataset.half_sets)
        maps, unfiltered = [], []
        for half in (1, 2):
            rows = np.flatnonzero(labels == half)
            file = self._checkpoint_of(half)
            part = self._fit(dataset, model, rows, report, None, file, found.precision)
            maps.append(part.precision.map_of(part.mean))
            unfiltered.append(unfiltered_volume(part.precision.normal))
        return (*maps, *unfiltered)


@dataclass(frozen=True, eq=False)
class AdamFit(Fit):
    """A fit with the course that it took."""

    bound_of_prior: float = 0.0
    epochs_trace: tuple[float, ...] = ()
    epochs: int = 0


def _start(precision: PosteriorPrecision) -> Any:
    """Return the conventional map as a latent spectrum."""
    normal, latent = precision.normal, precision.latent
    first = unfiltered_spectrum(normal)
    if isinstance(latent, SlicedSpectrum):
        return first
    volume = normal.projector.to_volume(first)
    return transform(volume, volume.ndim)
