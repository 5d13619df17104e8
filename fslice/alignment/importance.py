"""How close a posterior over poses is to the true one: importance sampling, image by image.

Poses are drawn from the mixture, or from one with heavier tails, and weighed by what the exact
posterior is there. It cannot see modes that the mixture lacks.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np

from fslice._arrays import Array, array_namespace, check_size, to_numpy
from fslice.alignment.level import Level
from fslice.alignment.model import PoseModel
from fslice.alignment.newton import Starts, moved
from fslice.alignment.posterior import PosePosterior
from fslice.data.passes import Batch, sum_over
from fslice.geometry import matrix_to_rotvec
from fslice.likelihoods.tails import normal_log_density, student_log_density

_VIEWS = 4096  # that are scored at a time


@dataclass(frozen=True, eq=False)
class PoseCheck:
    """What importance sampling says of the posterior of n images."""

    rows: Array
    """(n,) int64: the images, as in `PosePosterior.rows`."""
    evidence: Array
    """(n,) float64: as `PosePosterior.evidence`, but without the approximation."""
    effective: Array
    """(n,) float64: effective sample size over the number of draws; 1 where q is exact."""
    divergence: Array
    """(n,) float64: KL from q to the exact posterior, in nats."""
    mean: Array
    """(n, c) float64: mean of the exact posterior about the best mode, near that mode."""
    covariance: Array
    """(n, c, c) float64: its covariance."""

    def __len__(self) -> int:
        """Return the number of images."""
        return len(self.rows)

    def __add__(self, other: PoseCheck) -> PoseCheck:
        """Return the check of the images of both."""
        xp = array_namespace(self.rows)
        names = ("rows", "evidence", "effective", "divergence", "mean", "covariance")
        return PoseCheck(*(xp.concatenate([getattr(self, n), getattr(other, n)]) for n in names))

    def sorted(self) -> PoseCheck:
        """Return the images in the order of their rows."""
        order = array_namespace(self.rows).argsort(self.rows)
        names = ("rows", "evidence", "effective", "divergence", "mean", "covariance")
        return PoseCheck(*(getattr(self, name)[order] for name in names))


def check_posterior(
    model: PoseModel,
    found: PosePosterior,
    rng: np.random.Generator,
    *,
    draws: int = 100,
    degrees: float | None = None,
) -> PoseCheck:
    """Compare a posterior over poses with the exact one of its images.

    Parameters
    ----------
    model : PoseModel
        With which it was found.
    found : PosePosterior
    rng : numpy.random.Generator
    draws : int, optional
        Of each image.
    degrees : float, optional
        Of the t distributions that are drawn from in place of the Gaussians: wider tails, for
        moments. Default: the Gaussians themselves.

    Returns
    -------
    PoseCheck

    Notes
    -----
    With draws x from g, the weights are ``r = p(y, x) / g(x)``, densities in the uniform measure
    of rotations: about a mode that of w is ``2 (1 - cos |w|) / |w|^2``. Then the evidence is
    ``log <r>``, the effective sample size ``<r>^2 / <r^2>``, and the divergence
    ``log <r> - <(q / g) log(p(y, x) / q)> / <q / g>``.
    """
    check_size("draws", draws, 2)
    xp = array_namespace(found.weights)
    rows = xp.arange(len(found)) if found.rows is None else found.rows
    place = xp.zeros(len(model.dataset), np.int64)
    place[rows] = xp.arange(len(found))
    last = len(model.prepared.levels) - 1

    def of_batch(batch: Batch) -> PoseCheck:
        response = model.prepared.response(model.dataset, batch)
        level = model.prepared.level(batch, last, model.noise_variance, response)
        own = found[place[batch.rows]]
        step = max(1, _VIEWS // draws)
        parts = [
            _check(level, own, slice(start, start + step), rng, draws, degrees)
            for start in range(0, len(own), step)
        ]
        return sum(parts[1:], parts[0])

    checked = sum_over(model.dataset, of_batch, rows=to_numpy(rows)).sorted()
    return PoseCheck(
        checked.rows, checked.evidence - model.prepared.log_volume, checked.effective,
        checked.divergence, checked.mean, checked.covariance,
    )  # fmt: skip


def _check(
    level: Level, found: PosePosterior, part: slice, rng: np.random.Generator, draws: int,
    degrees: float | None,
) -> PoseCheck:  # fmt: skip
    """Check some images of a batch; the evidence still lacks the prior's constant."""
    xp = array_namespace(found.weights)
    some = found[part]
    n, count = len(some), xp.arange(len(found))[part]
    image_of = xp.repeat(xp.arange(n), draws)
    mode, steps = some.draw(rng, draws, degrees)
    drawn = moved(modes_of(some, image_of, mode), steps)
    score = level.scores(drawn._replace(image_of=count[image_of]), level.powers())
    q = log_density(some, drawn)
    g = q if degrees is None else log_density(some, drawn, degrees)
    table = (score - g).reshape((n, draws))
    top = table.max(1)
    weights = xp.exp(table - top[:, None])
    evidence = top + xp.log(weights.mean(1))
    effective = weights.sum(1) ** 2 / (weights**2).sum(1) / draws
    share = xp.exp((q - g).reshape((n, draws)))
    gap = ((score - q).reshape((n, draws)) * share).sum(1) / share.sum(1)
    mean, covariance = _moments(some, mode, steps, weights)
    return PoseCheck(some.rows, evidence, effective, evidence - gap, mean, covariance)


def modes_of(found: PosePosterior, image_of: Array, modes: Array) -> Starts:
    """Return some modes of a posterior, of these images, as a list of poses."""
    xp, free = array_namespace(found.weights), list(found.parameters.values())
    parameters = xp.stack([values[modes] for values in free], 1) if free else None
    return Starts(image_of, found.rotations[modes], found.shifts[modes], parameters)


def _moments(
    found: PosePosterior, mode: Array, steps: Array, weights: Array
) -> tuple[Array, Array]:
    """Return mean and covariance of the steps from each image's best mode."""
    xp, (n, draws) = array_namespace(weights), weights.shape
    own = weights * (mode.reshape((n, draws)) == found.best_modes()[:, None])
    share = own / xp.maximum(own.sum(1, keepdims=True), xp.finfo(np.float64).tiny)
    steps = steps.reshape((n, draws, steps.shape[1]))
    mean = (share[..., None] * steps).sum(1)
    centred = steps - mean[:, None]
    return mean, (share[..., None] * centred).swapaxes(1, 2) @ centred


def log_density(found: PosePosterior, poses: Starts, degrees: float | None = None) -> Array:
    """Return the log density of a posterior at poses of its images, (m,).

    In the uniform measure of rotations, of the volume ``8 pi^2``, of shifts, and of parameters.
    """
    xp = array_namespace(found.weights)
    counts = found.mode_counts
    first = xp.cumsum(counts) - counts
    total: Any = xp.full(len(poses.image_of), -xp.inf)
    for number in range(int(counts.max())):
        there = counts[poses.image_of] > number
        mode = xp.where(there, first[poses.image_of] + number, 0)
        turn = matrix_to_rotvec(found.rotations[mode].swapaxes(1, 2) @ poses.rotations)
        apart = [turn, poses.shifts - found.shifts[mode]]
        for column, values in enumerate(found.parameters.values()):
            assert poses.parameters is not None
            apart.append((poses.parameters[:, column] - values[mode])[:, None])
        steps = xp.concatenate(apart, 1)
        covariance = found.covariance[mode]
        density = (
            normal_log_density(steps, covariance)
            if degrees is None
            else student_log_density(steps, covariance, degrees)
        )
        density = density + xp.log(found.weights[mode]) - _log_volume_element(turn)
        total = xp.logaddexp(total, xp.where(there, density, -xp.inf))
    return total


def _log_volume_element(turn: Array) -> Array:
    """Return the log of ``2 (1 - cos |w|) / |w|^2``: rotations to a volume of w."""
    xp = array_namespace(turn)
    half = xp.sqrt((turn**2).sum(-1)) / 2
    return 2 * xp.log(xp.maximum(abs(xp.sinc(half / math.pi)), 1e-12))
