"""What the readers of particle files have in common: one record, one set of checks."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np

from fslice._arrays import Array
from fslice.io._files import check_pixel_size, find_named_file
from fslice.io.stack import ImageStack, stack_layout
from fslice.operators.ctf import CTF

PIXEL_SIZE_TOLERANCE = 1e-4
"""Relative; a box of 512 pixels is then off by less than a twentieth of a pixel."""


@dataclasses.dataclass(frozen=True, eq=False)
class Metadata:
    """Particles as a file describes them, their images not opened yet.

    Parameters
    ----------
    path : Path
        The file.
    stacks : list of list of str
        For every stack the names under which it may be found, its own first.
    file_index, image_index : (n,) int array
        Which stack, and which image of it from 0, a particle is.
    size : int or None
        Box in pixels, where the file says.
    unmodelled : list of str
        Optical parameters that the file sets and `CTF` leaves out.
    fields : dict
        The other fields of `Particles`, in the conventions of this library.
    """

    path: Path
    stacks: list[list[str]]
    file_index: np.ndarray
    image_index: np.ndarray
    size: int | None
    unmodelled: list[str]
    fields: dict[str, Any]

    def open_images(self) -> ImageStack:
        """Find and open the stacks; check their boxes and that they hold every image."""
        files = tuple(stack_layout(find_named_file(names, self.path)) for names in self.stacks)
        size = self.size or files[0].shape[1]
        for layout in files:
            if layout.shape[1] != size:
                got = layout.shape[1]
                raise ValueError(
                    f"{self.path}: expected images of {size} x {size} pixels, got {got} x {got} "
                    f"in {layout.path}"
                )
        counts = np.array([layout.shape[0] for layout in files])[self.file_index]
        beyond = np.flatnonzero((self.image_index < 0) | (self.image_index >= counts))
        if beyond.size:
            first = beyond[0]
            name = self.stacks[self.file_index[first]][0]
            raise ValueError(
                f"{self.path}: expected an image of the stack, which has {counts[first]}, "
                f"got {self.image_index[first] + 1:06d}@{name}"
            )
        return ImageStack(files, self.file_index, self.image_index)


def check_pixel_sizes(
    path: Path, sizes: np.ndarray | None, given: float | None, columns: str, number: int
) -> np.ndarray:
    """Return the particles' pixel sizes in Angstrom: the file's, or the caller's if it has none."""
    if sizes is None:
        if given is None:
            raise ValueError(
                f"{path}: expected a pixel size ({columns}), got none; pass pixel_size in Angstrom"
            )
        return np.full(number, check_pixel_size("pixel_size", given))
    if given is not None:
        raise ValueError(
            f"pixel_size: expected None, since {path} says {sizes[0]:g} Angstrom, got {given}"
        )
    bad = ~(np.isfinite(sizes) & (sizes > 0))
    if bad.any():
        raise ValueError(
            f"{path}: expected a positive pixel size ({columns}), got {sizes[bad][0]:g}"
        )
    if sizes.max() > sizes.min() * (1 + PIXEL_SIZE_TOLERANCE):
        raise ValueError(
            f"{path}: expected one pixel size for all particles, "
            f"got {sizes.min():g} to {sizes.max():g} Angstrom"
        )
    return sizes


def one_size(path: Path, sizes: Array) -> int:
    """Return the box that all particles share."""
    if len(np.unique(sizes)) > 1:
        raise ValueError(
            f"{path}: expected one image size for all particles, "
            f"got {sizes.min():g} to {sizes.max():g} pixels"
        )
    return int(sizes.flat[0])


def make_ctf(path: Path, **parameters: Array) -> CTF:
    """Make the CTF, with the name of the file in its errors."""
    try:
        return CTF(**parameters)
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from error


def half_sets(values: np.ndarray | None) -> np.ndarray | None:
    """Return the half, 1 or 2, of every particle, or None if some particle has none."""
    if values is None or not np.isin(values, (1, 2)).all():
        return None
    return values.astype(np.int64)
