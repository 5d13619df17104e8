"""The last rounds of stage B: all images together, against one map that both halves make.

A half sees half of the images, and its poses are as good as its map. Once the halves can do no
more, their poses are laid into one frame, and all images make one map. What follows is not
independent between the halves any more: the half maps that are kept are those from before.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from fslice.alignment.motions import moved_poses
from fslice.alignment.posterior import PosePosterior
from fslice.alignment.rounds import JointState, Rounds, entry_of, levels
from fslice.alignment.steps import ImageSet, mapped, posed, with_noise
from fslice.metrics import MapAlignment

_GROWTH = 1.2
"""Of the radius from round to round."""


def poses_in_one_frame(state: JointState, laid: MapAlignment) -> PosePosterior:
    """Return the poses that images have in their halves, the second half laid upon the first."""
    first, second = (half.poses for half in state.halves)
    assert first is not None
    assert second is not None
    return (first + moved_poses(second, laid.rotation, laid.shift)).sorted()


def joined(
    state: JointState, laid: MapAlignment, sphere_radius: float, options: Rounds,
    rng: np.random.Generator,
) -> JointState:  # fmt: skip
    """Return the state before the first round on all images, with the map of their poses."""
    poses = poses_in_one_frame(state, laid)
    whole = ImageSet(np.arange(len(state.dataset)), state.halves[0].map, poses=poses)
    radius = round(state.radius / _GROWTH)  # poses are searched well within the band, and faster
    whole = mapped(
        state.dataset, whole, radius, sphere_radius, rng, folds=options.folds, draws=options.draws
    )
    return replace(state, whole=whole, radius=radius, finished=False, round=0, search_next=True)


def next_round_of_all(
    state: JointState, sphere_radius: float, options: Rounds, rng: np.random.Generator
) -> JointState:
    """Return the state after one more round on all images.

    The band grows from round to round, as long as images become likelier, given the map of
    others. A round that makes them less likely is undone, and is the last.
    """
    assert state.whole is not None
    search = replace(options.search, radii=levels(state.radius))
    part = posed(state.dataset, state.whole, search, everywhere=state.search_next)
    entry = entry_of(state, (part,))
    last = state.trace[-1]
    first = last["images"] < len(part.rows)
    gain = np.inf if first else entry["log_likelihood"] - last["log_likelihood"]
    if gain < 0:
        return replace(state, finished=True)
    round_, trace = state.round + 1, (*state.trace, entry)
    small = not state.search_next and gain < options.gain * abs(entry["evidence"])
    if small or round_ >= options.most:
        return replace(state, whole=part, trace=trace, round=round_, finished=True)
    dataset = with_noise(state.dataset, (part,))
    radius = min(round(_GROWTH * state.radius), (dataset.size - 1) // 2)
    part = mapped(
        dataset, part, radius, sphere_radius, rng, folds=options.folds, draws=options.draws
    )
    again = state.search_next and gain > options.gain * abs(entry["evidence"])
    return replace(
        state, whole=part, dataset=dataset, radius=radius, trace=trace, round=round_,
        search_next=again,
    )  # fmt: skip
