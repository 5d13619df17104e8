"""Stacks of images in MRC files, read when they are asked for."""

from __future__ import annotations

import dataclasses
import os
from pathlib import Path
from typing import Any

import numpy as np

from fslice.io._files import read_into
from fslice.io._mrc_header import Layout, read_layout
from fslice.io._resample import CommonGrid

# Pixels that are looked at together: 16 MB of them.
_BATCH = 2**22


@dataclasses.dataclass(frozen=True, eq=False, repr=False)
class ImageStack:
    """Images of one or many MRC files, in any order, read when they are asked for.

    Indexing opens the files, reads the chosen images and closes the files, so a stack may be
    larger than memory, files may number in the thousands, and threads and processes may
    share it. `open_stack` and `read_particles` make it.

    Parameters
    ----------
    files : tuple of Layout
        At least one; all of the same box, unless there is a `grid`.
    file_index : (n,) int array
        Which file an image is in.
    image_index : (n,) int array
        Which image of that file, from 0.
    signs : (n,) float array, optional
        1 or -1, by which an image is multiplied when it is read: contrast that a file says
        is reversed.
    grid : CommonGrid, optional
        To which images of several boxes and pixel sizes are resampled when they are read.

    Examples
    --------
    >>> import tempfile
    >>> from fslice.io import StackWriter
    >>> path = os.path.join(tempfile.mkdtemp(), "images.mrcs")
    >>> with StackWriter(path, 3, 8, 1.5) as writer:
    ...     writer.write(np.arange(3.0)[:, None, None] * np.ones((8, 8)))
    >>> stack = open_stack(path)
    >>> stack
    ImageStack of 3 images of 8 x 8 pixels in 1 file
    >>> stack[1:].mean((1, 2))
    array([1., 2.], dtype=float32)
    """

    files: tuple[Layout, ...]
    file_index: np.ndarray
    image_index: np.ndarray
    signs: np.ndarray | None = None
    grid: CommonGrid | None = None

    def __reduce__(self) -> tuple:
        """Take to another process only the files of these images, by names that hold in any folder.

        Its current folder may be another one.
        """
        used, numbers = np.unique(self.file_index, return_inverse=True)
        files = tuple(
            dataclasses.replace(layout, path=Path(os.path.abspath(layout.path)))
            for layout in (self.files[number] for number in used)
        )
        return ImageStack, (files, numbers.reshape(-1), self.image_index, self.signs)

    @property
    def shape(self) -> tuple[int, int, int]:
        """``(n, D, D)``."""
        size = self.files[0].shape[1] if self.grid is None else self.grid.size
        return len(self.file_index), size, size

    @property
    def ndim(self) -> int:
        """3."""
        return 3

    @property
    def dtype(self) -> np.dtype:
        """Of the images as they are returned: float32 in native byte order."""
        return np.dtype(np.float32)

    def __len__(self) -> int:
        return len(self.file_index)

    def __repr__(self) -> str:
        number, size, _ = self.shape
        files = len(self.files)
        return (
            f"ImageStack of {number} image{'s' * (number != 1)} of {size} x {size} pixels "
            f"in {files} file{'s' * (files != 1)}"
        )

    def select(self, index: Any) -> ImageStack:
        """Choose and order images without reading them.

        Parameters
        ----------
        index : int, slice, or array of integers or booleans
            An integer selects a stack of one image.
        """
        chosen = np.arange(len(self))[index].reshape(-1)
        grid = self.grid
        if grid is not None:
            grid = dataclasses.replace(grid, pixel_sizes=grid.pixel_sizes[chosen])
        return dataclasses.replace(
            self,
            file_index=self.file_index[chosen],
            image_index=self.image_index[chosen],
            signs=None if self.signs is None else self.signs[chosen],
            grid=grid,
        )

    def identities(self) -> np.ndarray:
        """Return a number for every image that only the same image of the same file shares.

        Returns
        -------
        (n,) int array
            From 0, in no particular order. An image that is listed twice, also through two
            names of one file, has one number.
        """
        real = [os.path.realpath(layout.path) for layout in self.files]
        numbers = np.unique(real, return_inverse=True)[1].reshape(-1)[self.file_index]
        pairs = np.stack([numbers, self.image_index], axis=1)
        return np.unique(pairs, axis=0, return_inverse=True)[1].reshape(-1)

    def __getitem__(self, index: Any) -> np.ndarray:
        """Read images: ``(D, D)`` for an integer, ``(b, D, D)`` for a slice or an array.

        Integers and slices may follow for rows and columns, as in ``stack[:, 0, 0]``.
        """
        if isinstance(index, tuple) and index:
            first, *within = index
            if len(within) > 2 or not all(
                isinstance(part, int | np.integer | slice) for part in within
            ):
                raise IndexError(
                    f"ImageStack: expected integers or slices after images, got {index}"
                )
            all_columns = [slice(None)] * (2 - len(within))
            return self[first][(..., *within, *all_columns)]
        chosen = np.arange(len(self))[index]
        images = np.empty((chosen.size, *self.shape[1:]), self.dtype)
        rows = chosen.ravel()
        for number in np.unique(self.file_index[rows]):
            here = np.flatnonzero(self.file_index[rows] == number)
            if self.grid is None:
                _read_into(images, here, self.files[number], self.image_index[rows[here]])
            else:
                self._resample_into(images, here, rows[here])
        if self.signs is not None:
            images *= self.signs[chosen.ravel(), None, None]
        return images.reshape(chosen.shape + self.shape[1:])

    def _resample_into(self, images: np.ndarray, here: np.ndarray, rows: np.ndarray) -> None:
        """Read images of one file on their own grids, and resample them into places."""
        assert self.grid is not None
        layout = self.files[self.file_index[rows[0]]]
        own = np.empty((len(rows), *layout.shape[1:]), self.dtype)
        _read_into(own, np.arange(len(rows)), layout, self.image_index[rows])
        for pixel_size in np.unique(self.grid.pixel_sizes[rows]):
            alike = np.flatnonzero(self.grid.pixel_sizes[rows] == pixel_size)
            images[here[alike]] = self.grid.apply(own[alike], rows[alike[0]])

    def check_finite(self) -> None:
        """Read every image once, and raise if a pixel is NaN or infinite.

        Raises
        ------
        ValueError
            With the number of such pixels and where the first one is.
        """
        step = max(1, _BATCH // (self.shape[1] * self.shape[2]))
        count, first, where = 0, None, None
        for start in range(0, len(self), step):
            bad = ~np.isfinite(self[start : start + step])
            if first is None and bad.any():
                image, row, column = (int(i) for i in np.unravel_index(bad.argmax(), bad.shape))
                first = (start + image, row, column)
                where = self.files[self.file_index[first[0]]].path
            count += int(bad.sum())
        if first is not None:
            total = len(self) * self.shape[1] * self.shape[2]
            raise ValueError(
                f"{where}: {count} of {total} pixels are NaN or infinite, "
                f"the first at index {first}"
            )

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray:
        if copy is False:
            raise ValueError("ImageStack: expected copy to be allowed, since the images are read")
        return self[:].astype(dtype or self.dtype, copy=False)


def _read_into(images: np.ndarray, here: np.ndarray, layout: Layout, wanted: np.ndarray) -> None:
    """Read the images `wanted` of one file into the places `here`, runs of neighbours at once.

    Read and not mapped: reading a mapped file that has shrunk since ends the process.
    """
    rows, columns = layout.shape[1:]
    image_bytes = rows * columns * layout.dtype.itemsize
    breaks = (np.diff(wanted) != 1) | (np.diff(here) != 1)
    starts = [0, *(np.flatnonzero(breaks) + 1)]
    with open(layout.path, "rb", buffering=0) as file:
        for start, stop in zip(starts, [*starts[1:], len(wanted)], strict=True):
            place = images[here[start] : here[stop - 1] + 1]
            values = place if layout.dtype == place.dtype else np.empty(place.shape, layout.dtype)
            file.seek(layout.offset + int(wanted[start]) * image_bytes)
            if read_into(file, values) < values.nbytes:
                raise layout.too_short(os.path.getsize(layout.path))  # it has shrunk since
            if values is not place:
                place[...] = values


def open_stack(path: str | os.PathLike[str]) -> ImageStack:
    """Open all images of an MRC file without reading them.

    Parameters
    ----------
    path : path
        An uncompressed MRC file (``.mrcs``, ``.mrc``) of mode 0, 1, 2, 6 or 12 in either
        byte order.

    Raises
    ------
    ValueError
        Not such a file, shorter than its header claims, or images that are not square.
    OSError
        The file cannot be read.

    Examples
    --------
    >>> open_stack("absent.mrcs")
    Traceback (most recent call last):
    ...
    FileNotFoundError: [Errno 2] No such file or directory: 'absent.mrcs'
    """
    layout = stack_layout(path)
    number = layout.shape[0]
    return ImageStack((layout,), np.zeros(number, np.intp), np.arange(number))


def stack_layout(path: str | os.PathLike[str]) -> Layout:
    """Read the header of a stack and check that its images can be mapped and are square."""
    layout = read_layout(path)
    _, rows, columns = layout.shape
    if layout.compressed:
        raise ValueError(f"{path}: expected an uncompressed stack, which can be read in parts")
    if layout.axes != (3, 2, 1):
        order = ", ".join(map(str, layout.axes[::-1]))
        raise ValueError(f"{path}: expected a stack with the axes 1, 2, 3, got {order}")
    if rows != columns:
        raise ValueError(f"{path}: expected square images, got {rows} rows of {columns} columns")
    return layout
