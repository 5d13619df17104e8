"""The stochastic search for the mean: minibatches, variance reduction, Adam.

Every epoch begins with an evaluation: a pass over all images that gives the exact bound and its
exact gradient at the mean of that moment, the snapshot. Then follow steps on minibatches. Because
the images enter the model linearly, the minibatch gradient (of eq. 15) at ``snapshot + delta``
differs from that at the snapshot by ``P^H P delta``, which needs no image: so a step takes the full
gradient at the snapshot plus the minibatch estimate of that difference (a control variate, as in
SVRG; Johnson and Zhang 2013). Its noise vanishes as the fit converges, where that of plain
minibatches would stay and force small steps.

Steps are measured in posterior standard deviations: in ``u = mu / s`` the curvature of the
bound is of order one everywhere, whatever the scale of the data, the sampling or the noise.
This is why one set of constants serves all inputs.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from fslice._arrays import Array, array_namespace
from fslice.data.cache import SpectraCache
from fslice.data.dataset import Dataset
from fslice.data.passes import Batch, make_batch, sum_over
from fslice.fourier import inner_product
from fslice.optim import adam_init, adam_update
from fslice.posterior.elbo import best_noise_variance, elbo, elbo_of_prior, mean_field_std
from fslice.posterior.precision import PosteriorPrecision

STEPS = 32
"""Steps per epoch."""
RATE = 0.5
"""Step per whitened gradient. With Adam's running mean steps up to 38 / curvature are stable."""
HALVINGS = 8
"""How often a step that made the bound worse is undone and halved before the fit gives up."""
CHUNK = 512
"""Images per pass of the kernels."""


@dataclass(frozen=True, eq=False)
class Problem:
    """What is fitted, and how.

    Parameters
    ----------
    dataset : Dataset
    rows : (k,) int64 array
        Which images of it.
    precision : PosteriorPrecision
        Under the first noise variance.
    gaussian : bool
        Whether q is Gaussian; else it is a point, and the bound is the log joint density.
    fits_noise : bool
    batch_size : int
        Images per step.
    seed : int
        Of the minibatches; epoch e draws the same whether or not the fit was interrupted.
    cache : SpectraCache or None
    """

    dataset: Dataset
    rows: np.ndarray = field(repr=False)
    precision: PosteriorPrecision
    gaussian: bool
    fits_noise: bool
    batch_size: int
    seed: int
    cache: SpectraCache | None = None


@dataclass(frozen=True, eq=False)
class Evaluation:
    """A mean, with all that a pass over the images tells about it."""

    mean: Array = field(repr=False)
    gradient: Array = field(repr=False)
    precision: PosteriorPrecision
    """Under the noise variance that is best for this mean."""
    bound: float
    bound_of_prior: float

    def decrement(self, fits_noise: bool) -> float:
        """Return the estimated share of the bound that is still to be gained.

        Half the squared gradient in units of posterior standard deviations, where the curvature
        is about one, over the gain so far. Of clean images that is very much: what is left must
        not pass for noise where its spectrum is learned apart, and is compared with a nat for
        each number in the images.
        """
        whitened = mean_field_std(self.precision) * self.gradient
        gain = (self.bound - self.bound_of_prior) * self.precision.normal.order
        if not fits_noise:
            gain = min(gain, float(self.precision.normal.degrees.sum()))
        return inner_product(whitened, whitened) / 2 / gain if gain > 0 else math.inf


@dataclass(frozen=True, eq=False)
class FitState:
    """Where a fit stands between two epochs; what a checkpoint holds."""

    mean: Array = field(repr=False)
    epoch: int
    rate: float
    trace: tuple[float, ...]
    best: Array | None = field(repr=False)
    """The last mean whose bound was measured, to return to if the next one is worse."""


class _Misfit:
    """The chi-squared of images and its gradient, which add."""

    def __init__(self, chi_squared: float, gradient: Array) -> None:
        self.chi_squared, self.gradient = chi_squared, gradient

    def __add__(self, other: _Misfit) -> _Misfit:
        self.gradient += other.gradient
        return _Misfit(self.chi_squared + other.chi_squared, self.gradient)


def fit(
    problem: Problem,
    state: FitState,
    *,
    epochs: int,
    tolerance: float,
    on_batch: Callable[[int, FitState], object],
    on_epoch: Callable[[FitState], object],
) -> tuple[Evaluation, FitState, bool]:
    """Run epochs until the bound has converged.

    Parameters
    ----------
    problem : Problem
    state : FitState
        Where to begin.
    epochs : int
        Stop after so many, converged or not.
    tolerance : float
        Stop when the estimated rest is at most this share of the gain over the prior.
    on_batch : callable
        Called as ``on_batch(images, state)`` after each batch of a full pass.
    on_epoch : callable
        Called with the state after each epoch.

    Returns
    -------
    Evaluation
        The end of the fit, exactly evaluated.
    FitState
    converged : bool
    """
    while True:
        snapshot = evaluate(problem, state, on_batch)
        if state.trace and snapshot.bound < state.trace[-1] and state.best is not None:
            state = replace(state, mean=state.best, rate=state.rate / 2, best=None)
            continue
        state = replace(state, trace=(*state.trace, snapshot.bound), best=snapshot.mean)
        if snapshot.decrement(problem.fits_noise) <= tolerance:
            return snapshot, state, True
        if state.epoch >= epochs or state.rate < RATE / 2**HALVINGS:
            return snapshot, state, False
        rng = np.random.default_rng((problem.seed, state.epoch))
        mean = snapshot.mean + _search(problem, snapshot, state.rate, rng)
        state = replace(state, mean=mean, epoch=state.epoch + 1)
        on_epoch(state)


def evaluate(
    problem: Problem, state: FitState, on_batch: Callable[[int, FitState], object]
) -> Evaluation:
    """Pass over all images: the bound at a mean, its gradient, and the best noise variance."""
    precision, projector = problem.precision, problem.precision.normal.projector
    spectrum = precision.latent.spectrum(state.mean)

    def misfit(batch: Batch) -> _Misfit:
        chi_squared, gradient = projector.misfit(
            spectrum, batch.images_ft, batch.rotations, batch.shifts, batch.ctf,
            image_of=batch.image_of,
        )  # fmt: skip
        return _Misfit(float(chi_squared.sum()), gradient)

    sums = sum_over(
        problem.dataset, misfit, rows=problem.rows, batch_size=CHUNK, cache=problem.cache,
        progress=lambda images: on_batch(images, state),
    )  # fmt: skip
    if problem.fits_noise:
        noise = best_noise_variance(precision, sums.chi_squared, gaussian=problem.gaussian)
        precision = replace(precision, noise_variance=noise)
    gradient = precision.latent.spectrum_adjoint(sums.gradient * (1 / precision.noise_variance))
    gradient = gradient + state.mean / precision.prior_variance
    std = mean_field_std(precision) if problem.gaussian else None
    return Evaluation(
        state.mean,
        gradient,
        precision,
        elbo(precision, state.mean, std, sums.chi_squared),
        elbo_of_prior(precision, gaussian=problem.gaussian),
    )


def _search(problem: Problem, snapshot: Evaluation, rate: float, rng: np.random.Generator) -> Array:
    """Return the displacement from a snapshot that an epoch of minibatch steps arrives at."""
    precision = snapshot.precision
    std = mean_field_std(precision)
    slope = std * snapshot.gradient
    # Adam's epsilon is its unit: at the largest gradient of the snapshot, entries move in
    # proportion to their gradients, and none ever moves further than that allows.
    unit = float(abs(slope).max()) or 1.0
    displacement, adam = array_namespace(slope).zeros_like(slope), adam_init(slope)
    for index in _minibatches(len(problem.rows), problem.batch_size, rng):
        delta = std * displacement
        gradient = _curvature(problem, delta, problem.rows[index])
        gradient *= len(problem.rows) / len(index) / precision.noise_variance
        gradient = precision.latent.spectrum_adjoint(gradient)
        gradient += delta / precision.prior_variance
        gradient *= std
        gradient += slope
        direction, adam = adam_update(gradient, adam, beta2=0.9, epsilon=unit)
        displacement -= rate * unit * direction
    return std * displacement


def _minibatches(n_images: int, batch_size: int, rng: np.random.Generator) -> list[np.ndarray]:
    """Draw the images of each step: permutations, cut, so that no image is left out for long."""
    batch_size = min(batch_size, n_images)
    rounds = math.ceil(STEPS * batch_size / n_images)
    order = np.concatenate([rng.permutation(n_images) for _ in range(rounds)])
    return [order[i * batch_size : (i + 1) * batch_size] for i in range(STEPS)]


def _curvature(problem: Problem, delta: Array, rows: np.ndarray) -> Array:
    """Return ``P^H P`` times the sliced spectrum of a latent one, over some images.

    Shifts turn phases forth and back, so they drop out.
    """
    dataset, projector = problem.dataset, problem.precision.normal.projector
    spectrum = problem.precision.latent.spectrum(delta)
    total: Any = 0
    for start in range(0, len(rows), CHUNK):
        batch = make_batch(dataset, dataset.xp.asarray(rows[start : start + CHUNK]))
        total = total + projector.gram(
            spectrum, batch.rotations, batch.ctf, image_of=batch.image_of
        )
    return total
