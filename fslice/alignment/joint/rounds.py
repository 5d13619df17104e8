"""Stage B of unknown poses: rounds of pose search and map, on halves that stay independent."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from fslice._arrays import Array, check_size, to_numpy
from fslice.alignment.joint.grid_map import GridMap
from fslice.alignment.joint.motions import mirrored
from fslice.alignment.joint.restart import begun_again, half_behind
from fslice.alignment.joint.steps import (
    ImageSet,
    mapped,
    posed,
    search_finds_more,
    with_noise,
)
from fslice.alignment.noise import log_density_of_noise
from fslice.alignment.search import PoseSearch
from fslice.data.dataset import Dataset
from fslice.metrics import MapAlignment, align_maps

_GROWTH = 1.5
"""Of the radius, where the halves agree up to its end."""
_AGREE = 0.143


@dataclass(frozen=True, eq=False)
class Rounds:
    """How stage B runs.

    Parameters
    ----------
    most : int
        Rounds on the halves, and rounds on all images, at most.
    folds : int
        Into which each set of images is dealt; an image is scored against the map of the other
        folds.
    draws : int
        Poses of an image that enter the map.
    search : PoseSearch
        Its radii are set round by round.
    gain : float
        Share of the evidence: after a round that gains less the band grows, or this was the last.
    """

    most: int = 14
    folds: int = 4
    draws: int = 2
    search: PoseSearch = field(
        default_factory=lambda: PoseSearch(rotations=9216, candidates=20, max_modes=4, window=8.0)
    )
    gain: float = 0.05

    def __post_init__(self) -> None:
        check_size("folds", self.folds, 2)
        if self.search.parameters:
            raise ValueError(
                "search: expected no free defocus or contrast, which the map would not know, got "
                f"{', '.join(self.search.parameters)}"
            )


@dataclass(frozen=True, eq=False)
class JointState:
    """Where stage B stands after a round."""

    halves: tuple[ImageSet, ImageSet]
    dataset: Dataset = field(repr=False)
    """With the model of the noise as it is now."""
    radius: int
    """Of the next round, in shells of the box."""
    power: np.ndarray = field(repr=False)
    """(D//2 + 1,) float64: mean power of the images in each shell."""
    round: int = 0
    curve: np.ndarray | None = field(default=None, repr=False)
    """Fourier shell correlation of the halves' maps, laid upon each other, where it is known."""
    trace: tuple[dict, ...] = ()
    """Of each round: images, radius, evidence, log likelihood, shell of agreement."""
    finished: bool = False
    start: int = 0
    """Which start it goes on from."""
    search_next: bool = True
    """Whether the next round searches all poses."""
    imposed: bool = False
    """Whether the symmetry was imposed since the last round."""
    restarted: bool = False
    """Whether a half that fell behind has begun again from the map of the other."""
    whole: ImageSet | None = None
    """All images together, once the halves are done; see `fslice.alignment.joint.whole`."""


def first_state(
    dataset: Dataset, start: GridMap, half_sets: np.ndarray, radius: int, power: np.ndarray
) -> JointState:
    """Return the state before the first round: both halves begin from one map of low resolution."""
    rows = [np.flatnonzero(half_sets == half) for half in (1, 2)]
    halves = (ImageSet(rows[0], start), ImageSet(rows[1], start))
    return JointState(halves, dataset, min(radius, (dataset.size - 1) // 2), power)


def next_round(
    state: JointState, sphere_radius: float, options: Rounds, rng: np.random.Generator
) -> JointState:
    """Return the state after one more round on the halves.

    All poses are searched when the band has grown, if that finds better ones for some images; then
    the modes that were found are refined until little is gained, and the band grows again where
    the halves agree up to its end, unless that has gained little. A round that makes the images
    less likely, given the maps of others, is undone.
    """
    search = replace(options.search, radii=levels(state.radius))
    halves, entry = _posed_halves(state, search)
    gain, same = gain_of(state, entry)
    if gain < 0:
        if not same:
            return replace(state, finished=True)
        halves, entry = state.halves, state.trace[-1]
    anew = state.search_next and state.trace and not state.restarted
    behind = half_behind(state.dataset, halves, search) if anew else None
    radius, last = state.radius, state.round + 1 >= options.most
    if behind is None:
        settled = gain < options.gain * abs(entry["evidence"])
        if same if settled else state.search_next and not entry["searched"]:
            most = (state.dataset.size - 1) // 2
            radius = grown(radius, agreed_shell(curve_of(state), _AGREE), most)
        last = last or (settled and radius == state.radius)
    elif not last:
        before = state.trace[-1]["radius"]
        known = replace(options.search, radii=levels(before))
        halves = begun_again(state.dataset, halves, behind, before, known)
        entry = entry | {"restarted": behind + 1}
    trace = (*state.trace[: len(state.trace) - (gain < 0)], entry)
    state = replace(
        state, halves=halves, round=state.round + 1, trace=trace, finished=last,
        restarted=state.restarted or "restarted" in entry,
    )  # fmt: skip
    return state if last else _mapped_halves(state, radius, sphere_radius, options, rng)


def _posed_halves(
    state: JointState, search: PoseSearch
) -> tuple[tuple[ImageSet, ImageSet], dict[str, Any]]:
    """Return both halves with their poses, and what the round reports."""
    everywhere = state.search_next and any(
        search_finds_more(state.dataset, half, search) for half in state.halves
    )
    first, second = (
        posed(state.dataset, half, search, everywhere=everywhere) for half in state.halves
    )
    return (first, second), entry_of(state, (first, second)) | {"searched": everywhere}


def _mapped_halves(
    state: JointState, radius: int, sphere_radius: float, options: Rounds, rng: np.random.Generator
) -> JointState:
    """Return the state with the noise and the maps that the poses of both halves give."""
    dataset = with_noise(state.dataset, state.halves)
    first, second = (
        mapped(dataset, half, radius, sphere_radius, rng, folds=options.folds, draws=options.draws)
        for half in state.halves
    )
    entry, curve = state.trace[-1], None
    # once a symmetry is imposed the hand is known, and a mirror image may have its axes elsewhere
    if state.search_next and dataset.symmetry == "C1":
        first, second, laid = of_one_hand(first, second, radius)
        curve = to_numpy(laid.curve)
        entry = entry | {"agreed": min(agreed_shell(curve, _AGREE), radius)}
    return replace(
        state, halves=(first, second), dataset=dataset, radius=radius, curve=curve,
        trace=(*state.trace[:-1], entry), search_next=radius > state.radius, imposed=False,
    )  # fmt: skip


def curve_of(state: JointState) -> np.ndarray:
    """Return the Fourier shell correlation of the halves' maps, laid upon each other."""
    return to_numpy(lay_halves(state.halves).curve) if state.curve is None else state.curve


def gain_of(state: JointState, entry: dict) -> tuple[float, bool]:
    """Return what a round gained, in nats per image, and whether the last one had its band."""
    if not state.trace or state.imposed or state.trace[-1]["images"] != entry["images"]:
        return np.inf, False
    last = state.trace[-1]
    return entry["log_likelihood"] - last["log_likelihood"], last["radius"] == entry["radius"]


def entry_of(state: JointState, parts: tuple[ImageSet, ...]) -> dict:
    """Return what a round reports: radius and means over the images of some sets, in nats."""
    count = sum(len(part.rows) for part in parts)
    evidence = sum(part.evidence * len(part.rows) for part in parts) / count
    noise = log_density_of_noise(state.dataset, state.power)
    return {
        "images": len(parts[0].rows), "radius": state.radius, "searched": False,
        "evidence": evidence, "log_likelihood": evidence + noise,
    }  # fmt: skip


def grown(radius: int, agreed: int, most: int) -> int:
    """Return the radius of the next round.

    Examples
    --------
    >>> grown(12, 12, 31), grown(24, 18, 31), grown(16, 15, 31)
    (18, 24, 24)
    """
    return min(most, max(radius + 2, round(_GROWTH * radius))) if agreed >= radius - 1 else radius


def agreed_shell(curve: Array, threshold: float) -> int:
    """Return the last shell before the first that falls below a threshold.

    Examples
    --------
    >>> agreed_shell(np.array([1.0, 0.9, 0.5, 0.1, 0.6]), 0.143)
    2
    """
    below = np.flatnonzero(np.asarray(curve)[1:] < threshold)
    return int(below[0]) if len(below) else len(curve) - 1


def of_one_hand(
    first: ImageSet, second: ImageSet, radius: int
) -> tuple[ImageSet, ImageSet, MapAlignment]:
    """Return both halves, the second mirrored where that makes it agree, and how it is laid.

    At low frequency many objects look like their mirror image, and the halves, which begin from one
    map of low resolution, may each end with another hand.
    """
    laid = _laid(first, second, radius)
    if agreed_shell(to_numpy(laid.curve), _AGREE) >= radius - 1:
        return first, second, laid
    other = mirrored(second)
    turned = _laid(first, other, radius)
    return (first, other, turned) if turned.nats > laid.nats else (first, second, laid)


def lay_halves(halves: tuple[ImageSet, ImageSet]) -> MapAlignment:
    """Lay the second half's map upon the first's.

    They drift apart, and far: nothing holds a map where it began, and one that is nearly symmetric
    about an axis turns about it easily. So all rotations are tried.
    """
    return _laid(*halves, int(halves[0].map.band.radius))


def _laid(first: ImageSet, second: ImageSet, radius: int) -> MapAlignment:
    return align_maps(_map_of(second), _map_of(first), max_radius=radius)


def _map_of(part: ImageSet) -> Array:
    return part.map.in_box(part.map.band.size)


def levels(radius: int) -> tuple[float, ...]:
    """Return the radii at which poses are refined: two at least, the first 16 at most.

    Each is twice the one before.

    Examples
    --------
    >>> levels(31), levels(12)
    ((16, 31), (6, 12))
    """
    found = [radius]
    while len(found) < 2 or found[0] > 16:
        found.insert(0, -(-found[0] // 2))
    return tuple(found)
