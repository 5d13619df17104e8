"""What the readers of particle files have in common: one request, one record."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np

from fslice._arrays import Array
from fslice.io._files import check_pixel_size, find_named_file
from fslice.io._mrc_header import Layout
from fslice.io._resample import CommonGrid, common_grid
from fslice.io.stack import ImageStack, stack_layout

PIXEL_SIZE_TOLERANCE = 1e-4
"""Relative; a box of 512 pixels is then off by less than a twentieth of a pixel."""

_ADVICE = (
    "choose particles of one size with optics_group (--optics-group), or bring all to one grid "
    "with optics_group='all'"
)
UNMODELLED = "not modelled, and left out"


@dataclasses.dataclass(frozen=True, kw_only=True)
class Request:
    """What a caller wants of a file; the parameters of `fslice.io.read_particles`.

    `together` is ``optics_group="all"``: groups of different pixel size or box on one grid.
    """

    poses: bool = True
    pixel_size: float | None = None
    optics_group: int | None = None
    together: bool = False
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
    size : int, (n,) array or None
        Box in pixels, where the file says; of every particle, with `pixel_sizes`.
    pixel_sizes : (n,) array, optional
        Of the images, where they are to be brought to one grid.
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
    size: Any
    pixel_sizes: np.ndarray | None = None
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
        for index, layout in zip(used, files, strict=True):
            if layout.shape[0] > 1 and index in self.bare:
                raise ValueError(
                    f"{self.path}: expected one image, or its number before '@', got the name "
                    f"{self.stacks[index][0]!r} of {layout.shape[0]} sections (a volume, or a tilt "
                    "series)"
                )
        self._check_boxes(files, file_index)
        counts = np.array([layout.shape[0] for layout in files])[file_index]
        beyond = np.flatnonzero((self.image_index < 0) | (self.image_index >= counts))
        if beyond.size:
            first = beyond[0]
            name = self.stacks[self.file_index[first]][0]
            raise ValueError(
                f"{self.path}: expected an image of the stack, which has {counts[first]}, "
                f"got {self.image_index[first] + 1:06d}@{name}"
            )
        grid = self._grid(np.array([layout.shape[1] for layout in files])[file_index])
        return ImageStack(files, file_index.reshape(-1), self.image_index, self.signs, grid)

    def _check_boxes(self, files: tuple[Layout, ...], file_index: np.ndarray) -> None:
        """Raise unless the boxes of the stacks are those that the particles say."""
        got = np.array([layout.shape[1] for layout in files])[file_index]
        size = self.size
        if size is None:
            size = got[0] if self.pixel_sizes is None else got
        size = np.broadcast_to(size, got.shape)
        wrong = np.flatnonzero(got != size)
        if wrong.size:
            first = wrong[file_index[wrong].argmin()]
            raise ValueError(
                f"{self.path}: expected images of {size[first]:g} x {size[first]:g} pixels, got "
                f"{got[first]} x {got[first]} in {files[file_index[first]].path}"
            )

    def _grid(self, boxes: np.ndarray) -> CommonGrid | None:
        """Return the grid for images of different boxes or pixel sizes, if they are so."""
        if self.pixel_sizes is None:
            return None
        size, pixel_size = common_grid(boxes, self.pixel_sizes)
        if (boxes == size).all() and (self.pixel_sizes == pixel_size).all():
            return None
        return CommonGrid(size, pixel_size, self.pixel_sizes)

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
    path: Path, sizes: np.ndarray | None, request: Request, columns: str, warnings: list[str]
) -> tuple[np.ndarray | float, float]:
    """Return the pixel sizes in the units of the file, and the one that is to be used.

    Parameters
    ----------
    sizes : (n,) array or None
        What the file says.
    request : Request
        May say another pixel size, or take groups of several together: then that of the
        coarsest is used.
    columns : str
        Where the file would say it.
    warnings : list of str
        Gets a line where the caller overrides the file.
    """
    given = request.pixel_size
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
    several = high > low * (1 + PIXEL_SIZE_TOLERANCE)
    if several and (given is not None or not request.together):  # one is that of one group
        raise ValueError(
            f"{path}: expected one pixel size for all particles, got {low:g} to {high:g} Angstrom; "
            f"{_ADVICE}"
        )
    if not 0.2 <= (given or low) <= 50:
        warnings.append(f"unusual pixel size: {given or low:g} Angstrom")
    if given is None:
        return sizes, high if several else float(sizes[0])
    if not 1 / (1 + PIXEL_SIZE_TOLERANCE) < given / low < 1 + PIXEL_SIZE_TOLERANCE:
        warnings.append(f"pixel size {given:g} Angstrom as given, where the file says {low:g}")
    return sizes, given


def to_common(
    sizes: np.ndarray | float, pixel_size: float, request: Request
) -> tuple[np.ndarray | None, Any]:
    """Return the pixel sizes of images that are brought to one, and what that makes of lengths."""
    if not request.together or isinstance(sizes, float):
        return None, 1.0
    return sizes, (sizes / pixel_size)[:, None]


def one_size(path: Path, name: str, sizes: Array, request: Request) -> int | Array:
    """Return the box that all particles share, or that of each if groups are taken together."""
    bad = (sizes < 2) | (sizes != np.rint(sizes))
    if bad.any():
        got = sizes[bad].flat[0]
        raise ValueError(f"{path}: {name}: expected a whole number of pixels from 2, got {got:g}")
    if request.together:
        return sizes if sizes.ndim == 1 else sizes[:, 0]
    if len(np.unique(sizes)) > 1:
        raise ValueError(
            f"{path}: expected one image size for all particles, "
            f"got {sizes.min():g} to {sizes.max():g} pixels; {_ADVICE}"
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
