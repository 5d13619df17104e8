"""What the readers of particle files have in common: one request, one record."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np

from fslice._arrays import Array
from fslice.io._files import check_pixel_size, find_named_file
from fslice.io.stack import ImageStack, stack_layout

PIXEL_SIZE_TOLERANCE = 1e-4
"""Relative; a box of 512 pixels is then off by less than a twentieth of a pixel."""

UNMODELLED = "not modelled, and left out"


@dataclasses.dataclass(frozen=True, kw_only=True)
class Request:
    """What a caller wants of a file; the parameters of `fslice.io.read_particles`."""

    poses: bool = True
    pixel_size: float | None = None
    optics_group: int | None = None
    class_index: int | None = None
    phase_flipped: bool | None = None
    passthrough: Path | None = None


@dataclasses.dataclass(frozen=True, eq=False, kw_only=True)
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
    bare : set of int, optional
        The stacks that particles name without saying which image.
    signs : (n,) array, optional
        1 or -1, by which the images are to be multiplied.
    size : int or None
        Box in pixels, where the file says.
    warnings : list of str
        What is not modelled, or assumed.
    notes : list of str, optional
        What else was read to know it.
    fields : dict
        The other fields of `Particles`, in the conventions of this library.
    """

    path: Path
    stacks: list[list[str]]
    file_index: np.ndarray
    image_index: np.ndarray
    bare: frozenset[int] = frozenset()
    signs: np.ndarray | None = None
    size: int | None
    warnings: list[str]
    notes: tuple[str, ...] = ()
    fields: dict[str, Any]

    def open_images(self, datadir: Path | None) -> ImageStack:
        """Find and open the stacks; check their boxes and that they hold every image."""
        # Those of particles that were not chosen need not exist.
        used, file_index = np.unique(self.file_index, return_inverse=True)
        found = [find_named_file(self.stacks[index], self.path, datadir) for index in used]
        if datadir is not None:
            self._check_distinct(used, found)
        files = tuple(stack_layout(path) for path in found)
        size = self.size or files[0].shape[1]
        for index, layout in zip(used, files, strict=True):
            sections, got, _ = layout.shape
            if sections > 1 and index in self.bare:
                raise ValueError(
                    f"{self.path}: expected one image, or its number before '@', got the name "
                    f"{self.stacks[index][0]!r} of {sections} sections (a volume, or a tilt series)"
                )
            if got != size:
                raise ValueError(
                    f"{self.path}: expected images of {size} x {size} pixels, got {got} x {got} "
                    f"in {layout.path}"
                )
        counts = np.array([layout.shape[0] for layout in files])[file_index]
        beyond = np.flatnonzero((self.image_index < 0) | (self.image_index >= counts))
        if beyond.size:
            first = beyond[0]
            name = self.stacks[self.file_index[first]][0]
            raise ValueError(
                f"{self.path}: expected an image of the stack, which has {counts[first]}, "
                f"got {self.image_index[first] + 1:06d}@{name}"
            )
        return ImageStack(files, file_index.reshape(-1), self.image_index, self.signs)

    def _check_distinct(self, used: np.ndarray, found: list[Path]) -> None:
        """Raise if the ends of two names lead to one file, which would be wrong for one of them."""
        names: dict[Path, str] = {}
        for index, path in zip(used, found, strict=True):
            name = self.stacks[index][0]
            if names.setdefault(path, name) != name:
                raise ValueError(
                    f"{self.path}: expected a file for each stack in datadir, got {path} for both "
                    f"{names[path]!r} and {name!r}"
                )


def common_pixel_size(
    path: Path, sizes: np.ndarray | None, given: float | None, columns: str, warnings: list[str]
) -> tuple[np.ndarray | float, float]:
    """Return the pixel sizes in the units of the file, and the one that is to be used.

    Parameters
    ----------
    sizes : (n,) array or None
        What the file says.
    given : float or None
        What the caller says instead.
    columns : str
        Where the file would say it.
    warnings : list of str
        Gets a line where the caller overrides the file.
    """
    if given is not None:
        given = check_pixel_size("pixel_size", given)
    if sizes is None:
        if given is None:
            raise ValueError(
                f"{path}: expected a pixel size ({columns}), got none; pass pixel_size in Angstrom"
            )
        return given, given
    bad = ~(np.isfinite(sizes) & (sizes > 0))
    if bad.any():
        raise ValueError(
            f"{path}: expected a positive pixel size ({columns}), got {sizes[bad][0]:g}"
        )
    low, high = float(sizes.min()), float(sizes.max())
    if high > low * (1 + PIXEL_SIZE_TOLERANCE):  # also where one is given: it is that of one group
        raise ValueError(
            f"{path}: expected one pixel size for all particles, got {low:g} to {high:g} Angstrom; "
            f"choose particles of one size with optics_group (--optics-group)"
        )
    if not 0.2 <= (given or low) <= 50:
        warnings.append(f"unusual pixel size: {given or low:g} Angstrom")
    if given is None:
        return sizes, float(sizes[0])
    if not 1 / (1 + PIXEL_SIZE_TOLERANCE) < given / low < 1 + PIXEL_SIZE_TOLERANCE:
        warnings.append(f"pixel size {given:g} Angstrom as given, where the file says {low:g}")
    return sizes, given


def one_size(path: Path, name: str, sizes: Array) -> int:
    """Return the box that all particles share."""
    bad = (sizes < 2) | (sizes != np.rint(sizes))
    if bad.any():
        got = sizes[bad].flat[0]
        raise ValueError(f"{path}: {name}: expected a whole number of pixels from 2, got {got:g}")
    if len(np.unique(sizes)) > 1:
        raise ValueError(
            f"{path}: expected one image size for all particles, "
            f"got {sizes.min():g} to {sizes.max():g} pixels; choose particles of one size with "
            f"optics_group (--optics-group)"
        )
    return int(sizes.flat[0])


def half_sets(values: np.ndarray | None, name: str, warnings: list[str]) -> np.ndarray | None:
    """Return the half, 1 or 2, of every particle, or None if the file does not part them."""
    if values is None:
        return None
    if not np.isin(values, (1, 2)).all():
        warnings.append(f"{name}: not every particle is in half 1 or 2, so the halves are not used")
        return None
    if len(np.unique(values)) == 1 < len(values):
        warnings.append(f"{name}: all particles are in half {values[0]:g}, so it is not used")
        return None
    return values.astype(np.int64)


def choose(
    path: Path, rows: np.ndarray, values: np.ndarray | None, wanted: int, what: tuple[str, str]
) -> np.ndarray:
    """Return those of the chosen rows whose value is the one wanted.

    Parameters
    ----------
    rows : (m,) int array
    values : (n,) array or None
        Of all particles.
    what : tuple of 2 str
        The parameter of the caller and the column of the file, for the error.
    """
    parameter, column = what
    if values is None:
        raise ValueError(f"{parameter}: expected None, since {path} has no {column}, got {wanted}")
    chosen = rows[values[rows] == wanted]
    if not chosen.size:
        there = ", ".join(f"{value:g}" for value in np.unique(values[rows])[:20])
        raise ValueError(f"{parameter}: expected one of {there} ({path}, {column}), got {wanted}")
    return chosen
