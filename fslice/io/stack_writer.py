"""Stacks of images, written batch by batch without ever holding a whole stack."""

from __future__ import annotations

import os
from pathlib import Path
from types import TracebackType

import numpy as np
from mrcfile.dtypes import HEADER_DTYPE

from fslice._arrays import (
    Array,
    check_finite,
    check_real,
    check_shape,
    check_size,
    to_numpy,
)
from fslice.io._files import atomic_write, check_pixel_size
from fslice.io._mrc_header import make_header
from fslice.io.mrc import check_plain_name


class StackWriter:
    """Write a stack of a known number of images, batch by batch, completely or not at all.

    Parameters
    ----------
    path : path
    n : int
        Number of images.
    size : int
        Box D.
    pixel_size : float
        In Angstrom.

    Raises
    ------
    ValueError
        A value is out of range; on leaving, fewer images than `n` were written.
    OSError
        The file cannot be written. After this, as after any error inside the ``with``
        block, nothing is left behind, and a file that had this name is unchanged.

    Examples
    --------
    >>> import tempfile
    >>> from fslice.io import open_stack
    >>> path = os.path.join(tempfile.mkdtemp(), "images.mrcs")
    >>> with StackWriter(path, 5, 8, 1.5) as writer:
    ...     writer.write(np.ones((2, 8, 8)))
    ...     writer.write(np.ones((3, 8, 8)))
    >>> open_stack(path).shape
    (5, 8, 8)
    """

    def __init__(self, path: str | os.PathLike[str], n: int, size: int, pixel_size: float) -> None:
        self._path = Path(path)
        self._shape = check_size("n", n), check_size("size", size), size
        self._pixel_size = check_pixel_size("pixel_size", pixel_size)
        check_plain_name(path)
        self._written = 0
        self._sum = self._sum_of_squares = 0.0
        self._least, self._greatest = np.inf, -np.inf

    def __enter__(self) -> StackWriter:
        self._context = atomic_write(self._path)
        self._file = self._context.__enter__()
        self._file.seek(HEADER_DTYPE.itemsize)  # the header comes last, with the statistics
        return self

    def write(self, images: Array) -> None:
        """Append images.

        Parameters
        ----------
        images : (b, D, D) real array
            Stored in single precision.

        Raises
        ------
        ValueError
            The shape differs, a pixel is NaN or infinite, or there are more images than
            announced.
        TypeError
            The images are not real.
        OSError
            They cannot be written.
        """
        check_real("images", images)
        check_shape("images", images, ("b", *self._shape[1:]))
        check_finite("images", images)
        self._written += len(images)
        if self._written > self._shape[0]:
            raise ValueError(f"{self._path}: {self._count_error()}")
        values = np.ascontiguousarray(to_numpy(images), "<f4")
        self._sum += float(values.sum(dtype=np.float64))
        # Single precision within an image, double between them: ample for a header.
        self._sum_of_squares += float(np.einsum("nij,nij->n", values, values).sum(dtype=np.float64))
        self._least = min(self._least, float(values.min()))
        self._greatest = max(self._greatest, float(values.max()))
        self._file.write(values.data)

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if error is None:
            try:
                self._finish()
            except BaseException as failure:
                kind, error, trace = type(failure), failure, failure.__traceback__
                self._context.__exit__(kind, error, trace)
                raise
        self._context.__exit__(kind, error, trace)

    def _finish(self) -> None:
        if self._written != self._shape[0]:
            raise ValueError(f"{self._path}: {self._count_error()}")
        number = self._written * self._shape[1] ** 2
        mean = self._sum / number
        deviation = max(self._sum_of_squares / number - mean**2, 0.0) ** 0.5
        self._file.seek(0)
        statistics = self._least, self._greatest, mean, deviation
        self._file.write(
            make_header(self._shape, self._pixel_size, space_group=0, statistics=statistics)
        )

    def _count_error(self) -> str:
        return f"expected {self._shape[0]} images to be written, got {self._written}"
