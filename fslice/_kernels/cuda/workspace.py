"""What the CUDA kernels share: the launcher, buffers, and views prepared for the device."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np

from fslice._arrays import Array, array_namespace, real_dtype
from fslice._kernels.cuda.buffers import Buffers, Tables
from fslice._kernels.cuda.launch import CupyLauncher, Launcher
from fslice._kernels.cuda.sources import Instantiation
from fslice._kernels.cuda.structs import VIEW_DOUBLES, geometry_struct
from fslice._kernels.interface import SliceGeometry, Views

THREADS = 256
MOST_BLOCKS = 1 << 12
"""Blocks of a kernel whose threads take one element after another."""


class Prepared(NamedTuple):
    """Some of the views of a call, as the kernels take them."""

    part: slice
    views: Array
    number: np.int64


@dataclass(frozen=True, eq=False)
class Workspace:
    """How the CUDA kernels run.

    How many views are taken at a time does not depend on the card, so that bits do not.
    """

    deterministic: bool = True  # equal input gives equal bits; False: atomic operations
    most_views: int = 1 << 16  # that are prepared at a time: 11 MB
    most_bytes: int = 1 << 29  # of the slices that are passed from one kernel to the next
    launcher: Launcher = field(default_factory=CupyLauncher)
    buffers: Buffers = field(default_factory=Buffers, repr=False)
    tables: Tables = field(default_factory=Tables, repr=False)

    def run(
        self,
        entry: str,
        instantiation: Instantiation,
        grid: tuple[int, ...],
        arguments: tuple[Any, ...],
        like: Array,
        threads: int = THREADS,
    ) -> None:
        """Launch a kernel where an array is; a grid without blocks is none."""
        if 0 not in grid:
            self.launcher.launch(entry, instantiation, grid, (threads,), arguments, like)

    @contextlib.contextmanager
    def lent(self, size: int, dtype: Any, like: Array) -> Iterator[Array]:
        """Give an array of one axis, of any content, until the block ends."""
        with self.buffers.lent(self.launcher.queue_of(like), size, dtype, like) as buffer:
            yield buffer

    def prepared(
        self, views: Views, geometry: SliceGeometry, most: int | None = None
    ) -> Iterator[Prepared]:
        """Yield the views, at most so many at a time, each part overwriting the last."""
        count, like = len(views.rotations), views.rotations
        chunk = self.most_views if most is None else min(most, self.most_views)
        reals = tuple(_real(a) for a in (views.rotations, views.shifts, views.weights, like))
        instantiation = *reals[:2], reals[2] or reals[3]
        with self.lent(VIEW_DOUBLES * min(count, chunk), np.float64, like) as buffer:
            for start in range(0, count, chunk):
                part = slice(start, min(start + chunk, count))
                size = np.int64(part.stop - start)
                poses = (views.rotations, views.shifts, views.image_of, views.weights)
                arguments = (
                    *(None if array is None else array[part] for array in poses),
                    geometry_struct(geometry), np.int64(start), size, buffer,
                )  # fmt: skip
                blocks = -(-int(size) // THREADS)
                self.run("prepare_views", instantiation, (blocks,), arguments, like)
                yield Prepared(part, buffer, size)


def contiguous(array: Array | None) -> Array | None:
    """Return an array whose elements lie in order: itself if they do."""
    return None if array is None else array_namespace(array).ascontiguousarray(array)


def scalar(array: Array) -> str:
    """Return the real type of CUDA that an array is made of.

    Examples
    --------
    >>> scalar(np.zeros(1, np.complex64)), scalar(np.zeros(1))
    ('float', 'double')
    """
    return {"float32": "float", "float64": "double"}[real_dtype(array.dtype).name]


def _real(array: Array | None) -> str:
    return "" if array is None else scalar(array)


def tiles(geometry: SliceGeometry, each: int = 8 * THREADS) -> int:
    """Return how many blocks share the pixels of a slice."""
    rows, columns = geometry.slice_shape
    return min(65535, -(-rows * columns // each))  # more than that no grid has along y


def blocks_for(count: int) -> tuple[int, ...]:
    """Return a grid of blocks that take so many elements between them, again and again.

    Examples
    --------
    >>> blocks_for(1000), blocks_for(10**9)
    ((4,), (4096,))
    """
    return (min(MOST_BLOCKS, -(-count // THREADS)),)
