"""Stage B of unknown poses: rounds of pose search and map, on two halves that stay independent."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import numpy as np

from fslice._arrays import Array, to_numpy
from fslice.alignment.band import Band
from fslice.alignment.equations import expected_equations
from fslice.alignment.find import pose_model
from fslice.alignment.grid_map import GridMap, maximisation, sphere
from fslice.alignment.noise import residual_noise
from fslice.alignment.posterior import PosePosterior
from fslice.alignment.search import PoseSearch
from fslice.data.dataset import Dataset
from fslice.metrics import MapAlignment, align_nearby
from fslice.posterior.latent import latent_map

_GROWTH = 1.5
"""Of the radius from round to round, where the halves agree up to its end."""
_BEYOND = 3
"""Shells beyond the last one on which the halves agree, else."""
_AGREE = 0.143
_ROUGH, _ERROR = 0.03, 0.01
"""Of solves, in posterior deviations: where the band has just grown, and where it stays."""


@dataclass(frozen=True, eq=False)
class Rounds:
    """How stage B runs.

    Parameters
    ----------
    most : int
        Rounds at most.
    searched : int
        How many of the first rounds search all poses; the others refine those that were found.
    draws : int
        Poses of an image that enter the map.
    search : PoseSearch
        Its radii are set round by round.
    gain : float
        Share of the bound: a round at the last radius that gains less is the last one.
    """

    most: int = 10
    searched: int = 2
    draws: int = 2
    search: PoseSearch = field(default_factory=lambda: PoseSearch(rotations=9216, candidates=12))
    gain: float = 0.06


@dataclass(frozen=True, eq=False)
class Half:
    """One half of the images: its map, and what it says of their poses."""

    rows: np.ndarray
    map: GridMap
    poses: PosePosterior | None = None

    @property
    def evidence(self) -> float:
        """Mean log evidence of an image above noise alone, in nats, given the map."""
        assert self.poses is not None
        return float(self.poses.evidence.mean())

    def bound(self, before: Half) -> float:
        """Return the mean of the evidence, less what the map cost that the poses were found in."""
        return self.evidence - before.map.complexity / len(self.rows)


@dataclass(frozen=True, eq=False)
class JointState:
    """Where stage B stands after a round."""

    halves: tuple[Half, Half]
    dataset: Dataset = field(repr=False)
    """With the model of the noise as it is now."""
    radius: int
    """Of the next round, in shells of the box."""
    round: int = 0
    curve: np.ndarray | None = field(default=None, repr=False)
    """Fourier shell correlation of the halves' maps, laid upon each other."""
    trace: tuple[dict, ...] = ()
    """Of each round: radius, evidence, bound, shell up to which the halves agree."""
    finished: bool = False
    start: int = 0
    """Which start it goes on from."""
    search_next: bool = False
    """Whether the next round searches all poses once more."""
    searched_last: bool = False
    """Whether that was done at the last radius."""
    imposed: bool = False
    """Whether the symmetry was imposed since the last round."""


def first_state(dataset: Dataset, start: GridMap, half_sets: np.ndarray, radius: int) -> JointState:
    """Return the state before the first round: both halves begin from one map of low resolution."""
    rows = [np.flatnonzero(half_sets == half) for half in (1, 2)]
    halves = (Half(rows[0], start), Half(rows[1], start))
    return JointState(halves, dataset, min(radius, (dataset.size - 1) // 2))


def next_round(
    state: JointState, sphere_radius: float, options: Rounds, rng: np.random.Generator
) -> JointState:
    """Return the state after one more round.

    At an unchanged radius and noise, a round that lowers the bound is undone. The bound is the
    log evidence of the images given the map, less what the map costs: see `Learned.complexity`.
    """
    one, two = state.halves
    halves = _posed(state, one, options), _posed(state, two, options)
    now = replace(state, halves=halves, search_next=False)
    same = bool(state.trace) and state.trace[-1]["radius"] == state.radius and not state.imposed
    evidence = float(np.mean([half.evidence for half in halves]))
    pairs = zip(halves, state.halves, strict=True)
    bound = float(np.mean([half.bound(before) for half, before in pairs]))
    gain = bound - state.trace[-1]["bound"] if same else np.inf
    if gain < 0:
        return _ended(state, options)
    if not same:
        now = _with_noise(now)
    made = (
        _mapped(now, halves[0], sphere_radius, options, rng),
        _mapped(now, halves[1], sphere_radius, options, rng),
    )
    laid = lay_halves(made, state.radius)
    agreed = min(agreed_shell(to_numpy(laid.curve), _AGREE), state.radius)
    entry = {"radius": state.radius, "evidence": evidence, "bound": bound, "agreed": agreed}
    now = replace(
        now, halves=made, radius=grown(state.radius, agreed, (state.dataset.size - 1) // 2),
        round=state.round + 1, curve=to_numpy(laid.curve), trace=(*state.trace, entry),
        imposed=False,
    )  # fmt: skip
    if gain < options.gain * abs(bound) or now.round >= options.most:
        return _ended(now, options)
    return now


def _ended(state: JointState, options: Rounds) -> JointState:
    """Return the state finished; or to be searched once more, where the halves fall short.

    Where they agree up to the end of the band the poses are right. Else some may be in the wrong
    mode, from when the map was worse.
    """
    last = state.trace[-1]
    if last["agreed"] >= last["radius"] - 2 or state.searched_last or state.round >= options.most:
        return replace(state, finished=True)
    return replace(state, search_next=True, searched_last=True)


def grown(radius: int, agreed: int, most: int) -> int:
    """Return the radius of the next round.

    Examples
    --------
    >>> grown(12, 12, 31), grown(24, 18, 31), grown(16, 15, 31)
    (18, 24, 24)
    """
    if agreed >= radius - 1:
        return min(most, max(radius + 2, round(_GROWTH * radius)))
    return min(most, max(radius, agreed + _BEYOND))


def agreed_shell(curve: Array, threshold: float) -> int:
    """Return the last shell before the first that falls below a threshold.

    Examples
    --------
    >>> agreed_shell(np.array([1.0, 0.9, 0.5, 0.1, 0.6]), 0.143)
    2
    """
    below = np.flatnonzero(np.asarray(curve)[1:] < threshold)
    return int(below[0]) if len(below) else len(curve) - 1


def lay_halves(halves: tuple[Half, ...], radius: int) -> MapAlignment:
    """Lay the second half's map upon the first's: they drift apart, slowly, as poses do."""
    size = halves[0].map.band.size
    first, second = (half.map.in_box(size) for half in halves)
    return align_nearby(second, first, min(radius, (size - 1) // 2))


def _posed(state: JointState, half: Half, options: Rounds) -> Half:
    """Return a half with the posterior of its poses under its own map."""
    search = replace(options.search, radii=levels(state.radius))
    volume = half.map.in_box(state.dataset.size).astype(state.dataset.dtype)
    searches = state.search_next or state.round < options.searched
    before = None if searches else half.poses
    known = None if before is None else (before, half.rows)
    model = pose_model(
        state.dataset, volume, noise_variance=1.0, shift_std=half.map.shift_std, search=search,
        known=known,
    )  # fmt: skip
    found = model.find(half.rows) if before is None else model.refine(before, half.rows)
    return replace(half, poses=found)


def levels(radius: int) -> tuple[float, ...]:
    """Return the radii at which poses are refined: the first 16 at most, each twice the one before.

    Examples
    --------
    >>> levels(31), levels(12)
    ((16, 31), (12,))
    """
    found = [radius]
    while found[0] > 16:
        found.insert(0, -(-found[0] // 2))
    return tuple(found)


def _with_noise(state: JointState) -> JointState:
    """Return the state with the noise of what both maps leave of their images."""
    variances = []
    for half in state.halves:
        assert half.poses is not None
        volume = half.map.in_box(state.dataset.size)
        found = residual_noise(state.dataset, volume, half.poses, half.rows)
        assert found.noise is not None
        variances.append(found.noise.variances)
    assert found.noise is not None
    noise = replace(found.noise, variances=(variances[0] + variances[1]) / 2)
    return replace(state, dataset=state.dataset.with_noise(noise))


def _mapped(
    state: JointState, half: Half, sphere_radius: float, options: Rounds, rng: np.random.Generator
) -> Half:
    """Return a half with the map of its images in the poses that were found."""
    assert half.poses is not None
    band = Band(state.dataset.size, state.radius, interpolation="linear")
    normal = expected_equations(
        state.dataset, band, half.poses, rng, draws=options.draws, rows=half.rows
    )
    before = half.map.limited_to(band)
    latent = latent_map(band.projector, sphere(band, sphere_radius, before.volume), normal.b)
    grew = half.map.band.radius < state.radius
    made = maximisation(
        normal, latent, before.prior, before=before.volume, updates=2 if grew else 1,
        error=_ROUGH if grew else _ERROR,
    )  # fmt: skip
    learned = replace(
        before, volume=made.volume, prior=made.prior, complexity=made.complexity,
        shift_std=spread_of(half.poses),
    )  # fmt: skip
    return replace(half, map=learned)


def spread_of(poses: PosePosterior) -> float:
    """Return the standard deviation of shifts along an axis, half a pixel at least."""
    squares = poses.weights * (
        (poses.shifts**2).sum(1) + poses.covariance[:, 3, 3] + poses.covariance[:, 4, 4]
    )
    return max(float((squares.sum() / (2 * len(poses))) ** 0.5), 0.5)
