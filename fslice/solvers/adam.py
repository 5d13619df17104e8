"""The stochastic search for the mean: minibatches, variance reduction, Adam.

Every epoch begins at an anchor with a pass over all images, which gives the exact bound and
its exact gradient there. Then follow steps on minibatches. Because the images enter the model
linearly, the minibatch gradient (of eq. 15) at ``anchor + delta`` differs from that at the
anchor by ``P^H P delta``, which needs no image: so a step takes the full gradient at the anchor
plus the minibatch estimate of that difference (a control variate, as in SVRG; Johnson and
Zhang 2013). Its noise vanishes as the fit converges, where that of plain minibatches would
stay and force small steps.

Steps are measured in posterior standard deviations: in ``u = mu / s`` the curvature of the
bound is of order one everywhere, whatever the scale of the data, the sampling or the noise.
This is why one set of constants serves all inputs.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field, replace

import numpy as np

from fslice._arrays import Array
from fslice.data.dataset import Dataset
from fslice.operators.projector import Projector
from fslice.optim import adam_init, adam_update
from fslice.solvers.variational import Bound, relative_decrement

STEPS = 32
"""Steps per epoch."""
RATE = 0.5
"""Step per whitened gradient. With Adam's running mean steps up to 38 / curvature are stable."""
HALVINGS = 8
"""How often a step that made the bound worse is undone and halved before the fit gives up."""
CHUNK = 512
"""Images per pass of the kernels."""


@dataclass(frozen=True, eq=False)
class Anchor:
    """A mean, with all that a pass over the images tells about it."""

    mean: Array = field(repr=False)
    gradient: Array = field(repr=False)
    misfit: float
    noise_variance: float
    bound: float
    bound_of_prior: float

    def decrement(self, bound: Bound) -> float:
        """Return the estimated share of the bound that is still to be gained."""
        whitened = bound.sigma(self.noise_variance) * self.gradient
        return relative_decrement(whitened, self.bound - self.bound_of_prior)


@dataclass(frozen=True, eq=False)
class FitState:
    """Where a fit stands between two epochs; what a checkpoint holds."""

    mean: Array = field(repr=False)
    epoch: int
    rate: float
    trace: tuple[float, ...]
    best: Array | None = field(repr=False)
    """The last mean whose bound was measured, to return to if the next one is worse."""


def fit(
    dataset: Dataset,
    projector: Projector,
    bound: Bound,
    state: FitState,
    *,
    epochs: int,
    batch_size: int,
    tolerance: float,
    seed: int,
    on_batch: Callable[[int, int, float | None], object],
    on_epoch: Callable[[FitState], object],
) -> tuple[Anchor, FitState, bool]:
    """Run epochs until the bound has converged.

    Parameters
    ----------
    dataset, projector, bound
        The problem.
    state : FitState
        Where to begin.
    epochs : int
        Stop after so many, converged or not.
    batch_size : int
        Images per step.
    tolerance : float
        Stop when the estimated rest is at most this share of the gain over the prior.
    seed : int
        Of the minibatches; epoch e draws the same whether or not the fit was interrupted.
    on_batch : callable
        Called as ``on_batch(images, epoch, bound)`` after each batch of a full pass.
    on_epoch : callable
        Called with the state after each epoch.

    Returns
    -------
    anchor : Anchor
        The end of the fit, exactly evaluated.
    state : FitState
    converged : bool
    """
    while True:
        anchor = evaluate(dataset, projector, bound, state, on_batch)
        if state.trace and anchor.bound < state.trace[-1] and state.best is not None:
            state = replace(state, mean=state.best, rate=state.rate / 2, best=None)
            continue
        state = replace(state, trace=(*state.trace, anchor.bound), best=anchor.mean)
        if anchor.decrement(bound) <= tolerance:
            return anchor, state, True
        if state.epoch >= epochs or state.rate < RATE / 2**HALVINGS:
            return anchor, state, False
        rng = np.random.default_rng((seed, state.epoch))
        mean = anchor.mean + _search(dataset, projector, bound, anchor, state.rate, batch_size, rng)
        state = replace(state, mean=mean, epoch=state.epoch + 1)
        on_epoch(state)


def evaluate(
    dataset: Dataset,
    projector: Projector,
    bound: Bound,
    state: FitState,
    on_batch: Callable[[int, int, float | None], object],
) -> Anchor:
    """Pass over all images: the bound at a mean, its gradient, and the best noise variance."""
    gradient = np.zeros_like(state.mean)
    misfit = 0.0
    latest = state.trace[-1] if state.trace else None
    for images_ft, rotations, shifts, ctf in dataset.batches(CHUNK):
        power, part = projector.misfit(state.mean, images_ft, rotations, shifts, ctf)
        misfit += float(power.sum())
        gradient += part
        on_batch(len(rotations), state.epoch, latest)
    variance = bound.best_noise_variance(misfit)
    gradient /= gradient.real.dtype.type(variance)
    gradient += state.mean * gradient.real.dtype.type(1 / bound.prior_variance)
    return Anchor(
        state.mean,
        gradient,
        misfit,
        variance,
        bound.value(state.mean, misfit, variance),
        bound.value_of_prior(variance),
    )


def _search(
    dataset: Dataset,
    projector: Projector,
    bound: Bound,
    anchor: Anchor,
    rate: float,
    batch_size: int,
    rng: np.random.Generator,
) -> Array:
    """Return the displacement from an anchor that an epoch of minibatch steps arrives at."""
    sigma = bound.sigma(anchor.noise_variance)
    real = sigma.dtype.type
    prior = real(1 / bound.prior_variance)
    slope = sigma * anchor.gradient
    # Adam's epsilon is its unit: at the largest gradient of the anchor, entries move in
    # proportion to their gradients, and none ever moves further than that allows.
    unit = float(abs(slope).max()) or 1.0
    displacement, adam = np.zeros_like(slope), adam_init(slope)
    for index in _minibatches(dataset.views, batch_size, rng):
        delta = sigma * displacement
        gradient = _curvature(dataset, projector, delta, index)
        gradient *= real(dataset.views / len(index) / anchor.noise_variance)
        gradient += delta * prior
        gradient *= sigma
        gradient += slope
        direction, adam = adam_update(gradient, adam, beta2=0.9, epsilon=unit)
        displacement -= real(rate * unit) * direction
    return sigma * displacement


def _minibatches(n_images: int, batch_size: int, rng: np.random.Generator) -> list[np.ndarray]:
    """Draw the images of each step: permutations, cut, so that no image is left out for long."""
    batch_size = min(batch_size, n_images)
    rounds = math.ceil(STEPS * batch_size / n_images)
    order = np.concatenate([rng.permutation(n_images) for _ in range(rounds)])
    return [order[i * batch_size : (i + 1) * batch_size] for i in range(STEPS)]


def _curvature(dataset: Dataset, projector: Projector, delta: Array, index: np.ndarray) -> Array:
    """Return ``P^H P delta`` over some images."""
    total = np.zeros_like(delta)
    for start in range(0, len(index), CHUNK):
        _, rotations, _, ctf = dataset.poses(index[start : start + CHUNK])
        total += projector.gram(delta, rotations, ctf)
    return total
