"""What compiled kernels know of one row of a slice: a buffer with a column per sample.

`locate` fills it, `footprint` reads from or adds into the volume where it says, and the kernels
work on whole rows in between, which the compiler vectorises.
"""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import numba
import numpy as np
from numba import extending, types

from fslice._arrays import real_dtype
from fslice._kernels.interface import SliceGeometry
from fslice._kernels.numba.caching import cached_kernel

OPTIONS: Any = {
    "nogil": True,
    "error_model": "numpy",
    "boundscheck": False,
    "fastmath": {"contract", "nsz", "arcp", "reassoc"},
    "forceinline": True,  # a call would pass every pointer by value
}
intrinsic: Any = extending.intrinsic  # typed as the compiler calls it, not as compiled code does
kernel = cached_kernel(**OPTIONS)
inlined = numba.njit(**OPTIONS)

LANES = 8  # samples are located, and mostly read, so many at a time
CACHED_BYTES = 24 << 20  # prefetching a smaller volume cost more than it saved
_SHIFT = 3  # to the number of a group
AHEAD = 8  # samples before one is needed, the stencil's kernel prefetches its record


class RowBuffer(NamedTuple):
    """The samples of one row, rounded up to `LANES`, and `AHEAD` more to look at.

    In `cell` and `position` the samples come in groups of `LANES`: a group has all its first
    items, then all its second ones. So compiled code reaches a group by a single pointer.
    From `sign` to `whole` there is room for two rows: while one is read, the next is prefetched.
    """

    plain: Any  # None: instructions of `rows` and `locate`; else those of `plain`
    sign: Any  # -1 where the sample is read at its Friedel mate, else 1
    cell: Any  # offsets of the taps along y, from the first x, and along z; the first tap's x, y, z
    position: Any  # where in the cell, along x, y and z
    whole: Any  # a bit for each sample of a group: all taps lie in the grid, as neighbours along x
    edge: Any  # taps**3 items: a copy of a cell that is not whole
    edge_cell: Any  # offsets of its taps, along y and along z
    value: Any  # what is read, or is to be added
    slope_x: Any  # its derivatives
    slope_y: Any
    slope_z: Any
    phase_x: Any
    phase_y: Any  # one item per row of the slice
    column: Any  # kx, as float64
    kx: Any  # the same in the precision of the volume
    ctf: Any  # of this row
    envelope_x: Any  # of the CTF
    envelope_y: Any  # one item per row of the slice
    sine: Any  # coefficients of the sine
    pairs: Any  # half the frequencies of the plane that a column stands for: 1/2 first, then 1
    zero: Any  # in the precision of the volume
    distant: bool  # whether the volume is too large for the cache, and worth prefetching


def row_buffer(geometry: SliceGeometry, dtype: Any, plain: bool = False) -> RowBuffer:
    """Allocate the buffer of one thread, for volumes of that type."""
    columns, taps = geometry.slice_shape[1], len(geometry.taps)
    length = columns + -columns % LANES + AHEAD
    real, phases = real_dtype(dtype), np.result_type(dtype, np.complex64)
    offsets = np.int32 if np.prod(geometry.volume_shape) < 2**30 else np.int64
    return RowBuffer(
        plain or None,
        sign=np.zeros((2, length), real),
        cell=np.zeros((2, (2 * taps + 3) * length), offsets),
        position=np.zeros((2, 3 * length), real),
        whole=np.zeros((2, length // LANES), np.uint8),
        edge=np.zeros(taps**3, dtype),
        edge_cell=np.outer([taps, taps**2], np.arange(taps)).ravel().astype(offsets),
        value=np.zeros(length, dtype),
        slope_x=np.zeros(length, dtype),
        slope_y=np.zeros(length, dtype),
        slope_z=np.zeros(length, dtype),
        phase_x=np.zeros(length, phases),
        phase_y=np.zeros(geometry.rows, phases),
        column=np.arange(length, dtype=np.float64),
        kx=np.arange(max(length, geometry.rows)).astype(real),
        ctf=np.zeros(length, real),
        envelope_x=np.ones(length, real),
        envelope_y=np.ones(geometry.rows, real),
        sine=_sine_terms(real),
        pairs=np.where(np.arange(length) == 0, 0.5, 1.0).astype(real),
        zero=real.type(0),
        distant=np.prod(geometry.volume_shape) * np.dtype(dtype).itemsize > CACHED_BYTES,
    )


def _sine_terms(real: Any) -> np.ndarray:
    """Return the coefficients of ``sin(2 pi z) / z`` in powers of ``z**2``.

    Up to a quarter of a turn the first that is left out adds less than 2e-18.
    """
    turn, odd = 2 * math.pi, range(1, 20, 2)
    return np.array([(-1) ** (n // 2) * turn**n / math.factorial(n) for n in odd], real)


@intrinsic
def data(typing_context, array):
    """Return the pointer to an array's numbers, for which no references are counted."""

    def generate(context, builder, signature, arguments):
        return context.make_array(array)(context, builder, arguments[0]).data

    return types.CPointer(array.dtype)(array), generate


@inlined
def pointers(buffer):
    """Return the buffer with pointers for its arrays: reading an array there counts references."""
    return _pointers(buffer, 0)


@inlined
def two_rows(buffer):
    """Return the same for two rows, which share all but where their samples are."""
    return _pointers(buffer, 0), _pointers(buffer, 1)


@inlined
def _pointers(buffer, row):
    return RowBuffer(
        buffer.plain, data(buffer.sign[row]), data(buffer.cell[row]), data(buffer.position[row]),
        data(buffer.whole[row]), data(buffer.edge), data(buffer.edge_cell), data(buffer.value),
        data(buffer.slope_x), data(buffer.slope_y), data(buffer.slope_z),
        data(buffer.phase_x), data(buffer.phase_y), data(buffer.column), data(buffer.kx),
        data(buffer.ctf), data(buffer.envelope_x), data(buffer.envelope_y), data(buffer.sine),
        data(buffer.pairs), buffer.zero, buffer.distant,
    )  # fmt: skip


@inlined
def cell_place(taps, item, i):
    """Return where an item of sample `i` is in `RowBuffer.cell`."""
    return ((i >> _SHIFT) * (2 * len(taps) + 3) + item) * LANES + (i & (LANES - 1))


@inlined
def position_place(axis, i):
    """Return where the position of sample `i` along an axis is in `RowBuffer.position`."""
    return ((i >> _SHIFT) * 3 + axis) * LANES + (i & (LANES - 1))


@inlined
def is_whole(buffer, i):
    """Tell whether all taps of sample `i` lie in the grid, as neighbours along x."""
    return (buffer.whole[i >> _SHIFT] >> (i & (LANES - 1))) & 1 != 0


@inlined
def corner(taps, axis, buffer, i):
    """Return the signed frequency of sample `i`'s first tap along an axis."""
    return buffer.cell[cell_place(taps, 2 * len(taps) + axis, i)]
