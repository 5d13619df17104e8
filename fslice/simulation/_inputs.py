"""What the closed forms of Gaussians are asked for: arrays on the host, poses, boxes."""

from __future__ import annotations

import numpy as np

from fslice._arrays import (
    Array,
    check_alike,
    check_finite,
    check_on_host,
    check_real,
    check_shape,
    check_size,
    is_array,
)
from fslice.geometry import as_matrices, check_rotations

TABLE = 2**19
"""How many table entries are held at a time."""


class Poses:
    """Rotations and shifts, checked, with their leading axes flattened."""

    def __init__(self, rotations: Array, shifts: Array | None) -> None:
        rotations = as_matrices(rotations, like=shifts)
        check_rotations("rotations", rotations)
        if shifts is not None:
            check_real("shifts", shifts)
            check_shape("shifts", shifts, (*rotations.shape[:-2], 2))
            check_finite("shifts", shifts)
            check_alike(rotations=rotations, shifts=shifts)
        check_on_host("rotations", rotations)
        self.batch = rotations.shape[:-2]
        self.count = int(np.prod(self.batch))
        self.axes = np.asarray(rotations, np.float64).reshape(-1, 3, 3)[:, :, :2]
        self.shifts = np.zeros((self.count, 2))
        if shifts is not None:
            self.shifts = np.asarray(shifts, np.float64).reshape(-1, 2)

    def parts(self, count: int, size: int) -> list[tuple[slice, slice]]:
        """Split images and Gaussians such that the tables of a part stay small."""
        atoms = min(count, max(1, TABLE // size))
        rows = max(1, TABLE // (size * atoms))
        return [
            (slice(row, row + rows), slice(atom, atom + atoms))
            for row in range(0, self.count, rows)
            for atom in range(0, count, atoms)
        ]

    def seen(self, rows: slice, positions: np.ndarray) -> np.ndarray:
        """Return where positions [pixels] appear in the images: (2, n, J), x then y."""
        seen = np.matmul(positions, self.axes[rows]) + self.shifts[rows, None]
        return np.ascontiguousarray(np.moveaxis(seen, -1, 0))


def constant(name: str, values: Array) -> np.ndarray:
    """Return a read-only float64 copy of numbers on the host, or raise."""
    if is_array(values):  # a list of numbers is one of NumPy's
        check_on_host(name, values)
    array = np.array(values, dtype=np.float64)
    array.flags.writeable = False
    return array


def check_box(size: int, pixel_size: float) -> tuple[int, float]:
    """Return box and pixel size, or raise unless both are positive and finite.

    Examples
    --------
    >>> check_box(64, 0)
    Traceback (most recent call last):
    ...
    ValueError: pixel_size: expected Angstrom above 0, got 0
    """
    if not (np.isfinite(pixel_size) and pixel_size > 0):
        raise ValueError(f"pixel_size: expected Angstrom above 0, got {pixel_size:g}")
    return check_size("size", size), float(pixel_size)
