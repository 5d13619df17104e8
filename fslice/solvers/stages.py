"""The courses that a fit can take, from a data set to its result."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from dataclasses import replace
from typing import NamedTuple

import numpy as np

from fslice.data.dataset import Dataset
from fslice.fourier import rfft3
from fslice.operators.projector import Projector
from fslice.posterior.accumulate import accumulate
from fslice.posterior.precision import Precision
from fslice.solvers.adam import RATE, FitState, fit
from fslice.solvers.checkpoint import Checkpoint
from fslice.solvers.closed_form import solve, statistics_of
from fslice.solvers.exact_posterior import (
    Extras,
    Fitted,
    draw,
    evidence_of,
    fit_learned,
    symmetric_volume,
)
from fslice.solvers.noise_spectrum import CHANGE, ROUNDS, residual_spectrum
from fslice.solvers.results import Reconstruction, Reporter, result_of
from fslice.solvers.variational import Bound, Statistics, collect, signal_variance
from fslice.symmetry.average import symmetrize

TOLERANCE = 1e-4
"""A fit has converged when the rest is at most this share of the gain over the prior."""


class Settings(NamedTuple):
    """What is asked of the bound; None is found from the data."""

    prior_variance: float | None
    noise_variance: float | None
    gaussian: bool
    extras: Extras

    def bound(self, statistics: Statistics) -> Bound:
        """Return the bound of images that are known by these sums."""
        tau2 = self.prior_variance
        tau2 = signal_variance(statistics) if tau2 is None else float(tau2)
        return Bound(statistics, tau2, self.gaussian, self.noise_variance)


def stochastic(
    dataset: Dataset,
    projector: Projector,
    settings: Settings,
    report: Reporter,
    *,
    batch_size: int,
    seed: int,
    checkpoint: str | os.PathLike[str] | None,
) -> Reconstruction:
    """Fit by steps on minibatches."""
    clock = [time.perf_counter()]
    bound = settings.bound(collect(dataset, projector, report.reading))
    clock.append(time.perf_counter())
    start = FitState(bound.statistics.weighted_backprojection(), 0, RATE, (), None)
    store = Checkpoint(checkpoint, dataset, projector, bound, batch_size, seed)
    anchor, state, converged = fit(
        dataset,
        projector,
        bound,
        store.load(start),
        epochs=report.epochs,
        batch_size=batch_size,
        tolerance=TOLERANCE,
        seed=seed,
        on_batch=report.fitting,
        on_epoch=store.save,
    )
    clock.append(time.perf_counter())
    mean = symmetrize(projector.to_volume(anchor.mean), dataset.symmetry)
    fitted = anchor, list(state.trace), state.epoch, converged
    return result_of(dataset, mean, bound, *fitted, clock)


def closed_form(
    dataset: Dataset,
    projector: Projector,
    settings: Settings,
    report: Reporter,
    solver: str,
    seed: int,
) -> Reconstruction:
    """Sum the images once, and solve."""
    clock = [time.perf_counter()]
    normal = accumulate(
        dataset.images,
        dataset.rotations,
        dataset.shifts,
        dataset.ctf,
        projector=projector,
        symmetry=dataset.symmetry,
        noise_variance=None if dataset.noise_shape is None else dataset.noise_shape[None],
        progress=report.read,
    )
    clock.append(time.perf_counter())
    extras, bound = settings.extras, settings.bound(statistics_of(normal))
    if extras.learns:
        fitted = fit_learned(normal, extras, settings.prior_variance, settings.noise_variance)
        anchor, trace, converged = fitted.anchor, [fitted.anchor.bound], fitted.converged
    else:
        anchor, trace, converged = solve(normal, bound, solver)
        precision = Precision(normal, bound.prior_variance, anchor.noise_variance)
        fitted = Fitted(
            precision, anchor.mean, anchor, bound.sigma(anchor.noise_variance),
            bound.prior_variance, None, converged,
        )  # fmt: skip
    clock.append(time.perf_counter())
    fit = anchor, trace, len(trace) - 1, converged
    mean = symmetric_volume(fitted.precision, fitted.unknowns)
    result = result_of(dataset, mean, bound, *fit, clock)
    known = fitted.evidence
    if extras.evidence and known is None:
        known = evidence_of(fitted.precision, fitted.unknowns)
    drawn = draw(fitted.precision, fitted.unknowns, extras.samples, seed)
    if extras.samples or extras.evidence:
        result.seconds["sampling"] = time.perf_counter() - clock[-1]
    return replace(
        result,
        sigma=fitted.sigma if settings.gaussian else None,
        prior_variance=fitted.prior_variance,
        evidence=known,
        voxel_sigma=drawn.voxel_sigma,
        fsc_samples=drawn.fsc_samples,
    )


def with_noise_spectrum(
    dataset: Dataset,
    projector: Projector,
    extras: Extras,
    once: Callable[[Dataset, Extras, int], Reconstruction],
) -> Reconstruction:
    """Fit in turns with the noise variance per shell, then draw the samples that are asked for."""
    rng = np.random.default_rng(0)
    # s is known without a support only, and the noise hardly depends on the model of the volume
    simple = Extras(extras.prior)
    shape, seconds = np.ones(projector.size // 2 + 1), 0.0
    for turn in range(ROUNDS):
        result = once(replace(dataset, noise_shape=shape), simple, turn)
        start = time.perf_counter()
        white = rfft3(rng.standard_normal((projector.padded_size,) * 3).astype(dataset.dtype))
        deviation = white * (0 if result.sigma is None else result.sigma)
        found = residual_spectrum(
            replace(dataset, noise_shape=shape), projector, result.mean_ft, deviation
        )
        seconds += sum(result.seconds.values()) + time.perf_counter() - start
        ratio = found / found.mean()
        shape = shape * ratio
        if abs(np.log(ratio)).max() <= CHANGE:
            break
    result = once(replace(dataset, noise_shape=shape), extras, ROUNDS)
    return replace(
        result,
        noise_variance=result.noise_variance * shape,
        seconds={**result.seconds, "noise": seconds},
    )
