"""Joint inference in another frame: halves laid upon each other, axes laid where they belong."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from fslice._arrays import Array, to_numpy
from fslice.alignment.axes import Axes, find_axes
from fslice.alignment.grid_map import rescaled
from fslice.alignment.posterior import PosePosterior
from fslice.alignment.rounds import Half, JointState, Rounds, agreed_shell
from fslice.metrics import MapAlignment
from fslice.symmetry.average import symmetrize
from fslice.symmetry.rotation import rotate_volume

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
            f"copies by {axes.correlation:.2f}, where its noise lets expect {axes.expected:.2f}",
            volume, "not_symmetric",
        )  # fmt: skip
    first, second = state.halves
    halves = (
        _moved(first, axes, axes.symmetry),
        _moved(_moved(second, laid, None), axes, axes.symmetry),
    )
    done = max(options.most - _SYMMETRIC_ROUNDS, options.searched)
    state = replace(
        state, dataset=replace(state.dataset, symmetry=axes.symmetry), halves=halves,
        finished=False, round=done, imposed=True,
    )  # fmt: skip
    return state, axes


def _moved(half: Half, motion: MapAlignment | Axes, symmetry: str | None) -> Half:
    """Return a half in the frame of a moved map, averaged over a group if one is given."""
    assert half.poses is not None
    band = half.map.band
    volume = rotate_volume(half.map.in_box(band.size), motion.rotation, motion.shift)
    if symmetry is not None:
        volume = symmetrize(volume, symmetry)
    return replace(
        half, map=replace(half.map, volume=rescaled(volume, band.box)),
        poses=moved_poses(half.poses, motion.rotation, motion.shift),
    )  # fmt: skip


def moved_poses(poses: PosePosterior, rotation: np.ndarray, shift: np.ndarray) -> PosePosterior:
    """Return the poses in the frame of a moved map, ``moved(x) = v(R (x - t))``.

    The slice of v at Q is that of the moved map at ``R^T Q``, and what t moves along the image's
    axes its shift takes back.
    """
    rotations = rotation.T @ poses.rotations
    along = (rotations.swapaxes(1, 2) @ shift)[:, :2]
    return replace(poses, rotations=rotations, shifts=poses.shifts - along)
