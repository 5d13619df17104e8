"""The last rounds of stage B: all images together, against one map that both halves make.

A half sees half of the images, and its poses are as good as its map. Once the halves can do no
more, their poses are laid into one frame, and all images make one map. What follows is not
independent between the halves any more: the half maps that are kept are those from before.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from fslice.alignment.joint.motions import moved_poses
from fslice.alignment.joint.rounds import JointState, Rounds, entry_of, gain_of, levels
from fslice.alignment.joint.steps import ImageSet, mapped, posed, with_noise
from fslice.alignment.posterior import PosePosterior
from fslice.metrics import MapAlignment

_GROWTH = 1.3
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
    whole = mapped(
        state.dataset, whole, state.radius, sphere_radius, rng, folds=options.folds,
        draws=options.draws,
    )  # fmt: skip
    return replace(
        state, whole=whole, finished=False, round=0, search_next=False, imposed=False
    )  # fmt: skip


def next_round_of_all(
    state: JointState, sphere_radius: float, options: Rounds, rng: np.random.Generator
) -> JointState:
    """Return the state after one more round on all images.

    The modes that the halves have found are refined, and the band grows, until little is gained. A
    round that makes images less likely, given the map of others, is undone, and is the last.
    """
    assert state.whole is not None
    search = replace(options.search, radii=levels(state.radius))
    part = posed(state.dataset, state.whole, search, everywhere=False)
    entry = entry_of(state, (part,))
    gain, _ = gain_of(state, entry)
    if gain < 0:
        return replace(state, finished=True)
    radius = min(round(_GROWTH * state.radius), (state.dataset.size - 1) // 2)
    round_ = state.round + 1
    trace = (*state.trace, entry)
    if round_ >= options.most or gain < options.gain * abs(entry["evidence"]):
        return replace(state, whole=part, trace=trace, round=round_, finished=True)
    dataset = with_noise(state.dataset, (part,))
    part = mapped(
        dataset, part, radius, sphere_radius, rng, folds=options.folds, draws=options.draws
    )
    return replace(
        state, whole=part, dataset=dataset, radius=radius, trace=trace, round=round_,
    )  # fmt: skip
