"""Sets of images in another frame: maps and poses moved together, or mirrored together."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np

from fslice._arrays import Array, array_namespace
from fslice.alignment.joint.grid_map import rescaled
from fslice.alignment.joint.steps import ImageSet
from fslice.alignment.posterior import PosePosterior
from fslice.symmetry._shears import mirror
from fslice.symmetry.average import symmetrize
from fslice.symmetry.rotation import rotate_volume


def moved(
    part: ImageSet, rotation: np.ndarray, shift: np.ndarray, symmetry: str = "C1"
) -> ImageSet:
    """Return a set in the frame of a moved map, ``moved(x) = v(R (x - t))``.

    Its maps are then averaged over a point group.
    """
    assert part.poses is not None
    size = part.map.band.size

    def of(volume: Array) -> Array:
        return symmetrize(rotate_volume(rescaled(volume, size), rotation, shift), symmetry)

    return _with_maps(replace(part, poses=moved_poses(part.poses, rotation, shift)), of)


def moved_poses(poses: PosePosterior, rotation: np.ndarray, shift: np.ndarray) -> PosePosterior:
    """Return the poses in the frame of a moved map, ``moved(x) = v(R (x - t))``.

    The slice of v at Q is that of the moved map at ``R^T Q``, and what t moves along the image's
    axes, p, its shift takes back. After a step ``exp([w]x)`` that is ``exp(-[w]x) p``, so that a
    step's shift grows by ``w x p``, to first order, and the covariance is that of both.
    """
    xp = array_namespace(poses.rotations)
    rotations = xp.asarray(rotation.T) @ poses.rotations
    x, y, z = (rotations.swapaxes(1, 2) @ xp.asarray(shift)).T
    steps = xp.tile(xp.eye(len(poses.columns)), (len(x), 1, 1))
    steps[:, 3, 1], steps[:, 3, 2] = z, -y
    steps[:, 4, 2], steps[:, 4, 0] = x, -z
    return replace(
        poses, rotations=rotations, shifts=poses.shifts - xp.stack([x, y], 1),
        covariance=steps @ poses.covariance @ steps.swapaxes(1, 2),
    )  # fmt: skip


def mirrored(part: ImageSet) -> ImageSet:
    """Return a set under the mirror image of its map, z being negated: the images are the same."""
    assert part.poses is not None
    size = part.map.band.size

    def of(volume: Array) -> Array:
        return mirror(rescaled(volume, size), 0)

    return _with_maps(replace(part, poses=mirrored_poses(part.poses)), of)


def mirrored_poses(poses: PosePosterior) -> PosePosterior:
    """Return poses Q as ``F Q F`` with ``F = diag(1, 1, -1)``: those of the mirror image.

    A step ``exp([w]x)`` of a pose becomes that of ``(-wx, -wy, wz)``.
    """
    xp = array_namespace(poses.weights)
    flip = xp.asarray([1.0, 1.0, -1.0])
    signs = xp.where(xp.arange(len(poses.columns)) < 2, -1.0, 1.0)
    return replace(
        poses, rotations=flip[:, None] * poses.rotations * flip,
        covariance=signs[:, None] * poses.covariance * signs,
    )  # fmt: skip


def _with_maps(part: ImageSet, of: Callable[[Array], Array]) -> ImageSet:
    """Return a set with all maps changed in the box D."""
    box = part.map.band.box
    return replace(
        part, map=replace(part.map, volume=rescaled(of(part.map.volume), box)),
        without=tuple(rescaled(of(volume), box) for volume in part.without),
    )  # fmt: skip
