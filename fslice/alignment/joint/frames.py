"""Joint inference in another frame: halves laid upon each other, axes laid where they belong."""

from __future__ import annotations

from dataclasses import replace

from fslice._arrays import Array, to_numpy
from fslice.alignment.joint.axes import Axes, find_axes
from fslice.alignment.joint.motions import moved
from fslice.alignment.joint.rounds import JointState, Rounds, agreed_shell
from fslice.metrics import MapAlignment

_SYMMETRIC_ROUNDS = 3


class NoStructureError(ValueError):
    """The images do not determine a map; `volume` is what was found instead.

    Parameters
    ----------
    message : str
    volume : (D, D, D) real array
    name : str
        What to call it in a file's name: no_structure, inverted_contrast, not_symmetric.
    """

    def __init__(self, message: str, volume: Array, name: str) -> None:
        super().__init__(message)
        self.volume, self.name = volume, name


def mean_map(state: JointState, laid: MapAlignment) -> Array:
    """Return the mean of the two half maps, the second laid upon the first."""
    return (state.halves[0].map.in_box(state.dataset.size) + laid.volume) / 2


def imposed(
    state: JointState, laid: MapAlignment, symmetry: str, options: Rounds
) -> tuple[JointState, Axes]:
    """Return the state with the axes of a group in their places, and the symmetry imposed.

    A few more rounds are to follow, which refine the poses that were found.

    Raises
    ------
    NoStructureError
        The map does not have the symmetry.
    """
    volume = mean_map(state, laid)
    curve = to_numpy(laid.curve)
    axes = find_axes(volume, symmetry, max(3, agreed_shell(curve, 0.5)), curve)
    if not axes.found:
        raise NoStructureError(
            f"symmetry: expected {axes.symmetry}, got a map that correlates with its rotated "
            f"copies by {axes.correlation:.2f} to {axes.largest:.2f}, where its noise lets expect "
            f"{axes.expected:.2f}",
            volume, "not_symmetric",
        )  # fmt: skip
    first, second = state.halves
    halves = (
        moved(first, axes.rotation, axes.shift, axes.symmetry),
        moved(moved(second, laid.rotation, laid.shift), axes.rotation, axes.shift, axes.symmetry),
    )
    state = replace(
        state, dataset=replace(state.dataset, symmetry=axes.symmetry), halves=halves,
        finished=False, round=max(options.most - _SYMMETRIC_ROUNDS, 0), search_next=False,
        imposed=True,
    )  # fmt: skip
    return state, axes
