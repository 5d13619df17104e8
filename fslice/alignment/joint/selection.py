"""Which of several maps is the best, and whether one is a map at all: by images held out."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from fslice._arrays import Array, array_namespace, to_numpy
from fslice._sums import group_sums
from fslice.alignment.band_images import BandImages
from fslice.alignment.joint.grid_em import log_likelihoods, make_grid
from fslice.alignment.joint.grid_map import GridMap
from fslice.alignment.joint.starts import shift_grid
from fslice.geometry import grid_rotations, random_rotations

_SIGNIFICANT = 5.0
"""Standard errors by which a map must predict unseen images better than its spherical average."""


class HeldOut(NamedTuple):
    """What a map says of images that it was not made from, per image and in nats."""

    log_likelihood: float
    """Mean log density, the poses summed out over a grid: it ranks maps of the same images."""
    above_noise: float
    """Mean of the same above that of images without a particle."""
    above_sphere: float
    """Mean of the same above that of the spherical average of the map."""
    error: float
    """Standard error of `above_sphere`."""

    @property
    def is_structure(self) -> bool:
        """Whether the map predicts images better than a ball does."""
        return self.above_sphere > max(_SIGNIFICANT * self.error, 0.1)


def held_out(
    now: GridMap, images: BandImages, rng: np.random.Generator, rotations: int = 4608
) -> HeldOut:
    """Return what a map says of unseen images.

    Parameters
    ----------
    now : GridMap
    images : BandImages
        That the map was not made from.
    rng : numpy.random.Generator
        Turns the grid.
    rotations : int, optional
        Of the grid.
    """
    grid = make_grid(
        random_rotations(1, rng)[0] @ grid_rotations(rotations),
        shift_grid(now.band, now.shift_std), now.shift_std, images.ctf,
    )  # fmt: skip
    few = make_grid(np.eye(3)[None], to_numpy(grid.shifts), now.shift_std, images.ctf)
    unseen = images.limited(now.band)
    whole, above = log_likelihoods(now.volume, unseen, grid, now.noise)
    round_, _ = log_likelihoods(spherical_average(now.volume), unseen, few, now.noise)
    difference = to_numpy(whole - round_)
    return HeldOut(
        float(whole.mean()), float(above.mean()), float(difference.mean()),
        float(difference.std() / max(len(difference) - 1, 1) ** 0.5),
    )  # fmt: skip


def spherical_average(volume: Array) -> Array:
    """Return the map whose value depends on the distance from the centre only.

    Examples
    --------
    >>> cube = np.zeros((5, 5, 5))
    >>> cube[2, 2, 3] = 6
    >>> spherical_average(cube)[2, 2].tolist()
    [0.0, 1.0, 0.0, 1.0, 0.0]
    """
    xp, size = array_namespace(volume), len(volume)
    ticks = xp.arange(size) - size // 2
    distance = xp.sqrt(sum(t**2 for t in xp.meshgrid(ticks, ticks, ticks, indexing="ij")))
    index = xp.rint(2 * distance).astype(np.int64)
    count = xp.bincount(index.ravel())
    total = group_sums(index.ravel(), volume.ravel().astype(np.float64), len(count))
    return (total / xp.maximum(count, 1))[index].astype(volume.dtype)
