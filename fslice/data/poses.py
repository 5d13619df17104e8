"""The poses of images: orientations and shifts, checked once."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from fslice._arrays import (
    Array,
    array_namespace,
    check_finite,
    check_one_library,
    check_real,
    check_shape,
)
from fslice.geometry import as_matrices, check_rotations
from fslice.symmetry.groups import symmetry_rotations


@dataclass(frozen=True, eq=False)
class Poses:
    """Where and how the particle sits in each of n images.

    Parameters
    ----------
    rotations : (n, 3, 3) real array, or scipy.spatial.transform.Rotation
        Image to volume coordinates, acting on (x, y, z). (n, 2, 2) for images of lines.
    shifts : (n, 2) real array, optional
        Where the particle sits, (x, y) in pixels. (n, 1) for lines.

    Raises
    ------
    ValueError
        A shape is not as above, a matrix is no rotation, or a shift is not finite.
    TypeError
        An array is not real, or array libraries are mixed.

    Examples
    --------
    >>> import fslice
    >>> poses = Poses(fslice.random_rotations(5, np.random.default_rng(0)))
    >>> len(poses), poses
    (5, Poses(5 images, no shifts))
    """

    rotations: Array = field(repr=False)
    shifts: Array | None = field(default=None, repr=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "rotations", as_matrices(self.rotations))
        check_real("rotations", self.rotations)
        n, dimension = len(self.rotations), self.rotations.shape[-1]
        if self.rotations.ndim != 3 or self.rotations.shape[1:] not in ((2, 2), (3, 3)):
            raise ValueError(
                f"rotations: expected shape (n, 3, 3), got {tuple(self.rotations.shape)}"
            )
        check_rotations("rotations", self.rotations)
        if self.shifts is not None:
            check_real("shifts", self.shifts)
            check_one_library(self.rotations, self.shifts)
            check_shape("shifts", self.shifts, (n, dimension - 1))
            check_finite("shifts", self.shifts)

    def __len__(self) -> int:
        """Return the number of images."""
        return int(self.rotations.shape[0])

    def __repr__(self) -> str:
        """Say how many there are."""
        return f"Poses({len(self)} images, {'no ' if self.shifts is None else ''}shifts)"

    def __getitem__(self, index: Any) -> Poses:
        """Select images by a slice, or by an array of integers or booleans."""
        return self._with(
            self.rotations[index], None if self.shifts is None else self.shifts[index]
        )

    @property
    def dimension(self) -> int:
        """3 for volumes that are projected to images, 2 for images that are to lines."""
        return int(self.rotations.shape[-1])

    def astype(self, dtype: Any) -> Poses:
        """Return the poses in another precision, float32 or float64."""
        shifts = None if self.shifts is None else self.shifts.astype(dtype)
        return self._with(self.rotations.astype(dtype), shifts)

    def equivalent(self, symmetry: str) -> Poses:
        """Return the poses from which a symmetric object looks the same: g R, for every g.

        All images under the first rotation of the group, the identity, come first, then all
        under the second, and so on.
        """
        if symmetry == "C1":
            return self
        xp = array_namespace(self.rotations)
        group = symmetry_rotations(symmetry)
        if self.dimension == 2:
            raise ValueError(f"symmetry: expected C1 for images of lines, got {symmetry}")
        mates = xp.asarray(group.astype(self.rotations.dtype))[:, None] @ self.rotations
        shifts = None if self.shifts is None else xp.tile(self.shifts, (len(group), 1))
        return self._with(mates.reshape(-1, 3, 3), shifts)

    def viewing_order(self) -> Array:
        """Return an order, (n,) int64, in which successive slices are close to each other.

        Opposite directions have the same slice. The hemisphere of directions is laid out
        flat, equal areas to equal areas, and walked in strips, up and down: slices that follow
        each other then meet the same memory, which makes sums over them about twice as fast.
        """
        xp = array_namespace(self.rotations)
        beam = self.rotations[:, :, -1].astype(np.float64)
        beam = beam * xp.where(beam[:, -1:] < 0, -1.0, 1.0)
        if self.dimension == 2:
            return xp.argsort(beam[:, 0])
        flat = beam[:, :2] / xp.sqrt(1 + beam[:, 2:])
        strips = max(1, math.isqrt(len(self) // 2))
        strip = xp.floor((flat[:, 0] + 1) / 2 * strips)
        along = xp.where(strip % 2 == 1, -flat[:, 1], flat[:, 1])
        return xp.argsort(strip * 4 + along)

    def _with(self, rotations: Array, shifts: Array | None) -> Poses:
        """Return poses that need no check."""
        poses = object.__new__(Poses)
        object.__setattr__(poses, "rotations", rotations)
        object.__setattr__(poses, "shifts", shifts)
        return poses
