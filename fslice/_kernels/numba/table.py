"""What compiled kernels know of one row of a slice: a table with a column per sample.

`locate` fills it, `cells` reads from or adds into the volume where it says, and the kernels work
on whole rows in between, which the compiler vectorises.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numba
import numpy as np
from numba import extending, types

from fslice._arrays import real_dtype
from fslice._kernels.interface import SliceGeometry as Lattice

OPTIONS: Any = {
    "nogil": True,
    "error_model": "numpy",
    "boundscheck": False,
    "fastmath": {"contract", "nsz", "arcp", "reassoc"},
    "forceinline": True,  # a call would pass every pointer by value
}
intrinsic: Any = extending.intrinsic  # typed as the compiler calls it, not as compiled code does
kernel = numba.njit(**OPTIONS, cache=True)
inlined = numba.njit(**OPTIONS)

LANES = 8  # samples are located so many at a time
AHEAD = 8  # samples before one is needed, `gram_numba` asks for its memory


class Table(NamedTuple):
    """The samples of one row, rounded up to `LANES`, and `AHEAD` more to look at.

    A field of several rows has them one after the other, each `length` long.
    """

    length: int
    sign: Any  # -1 where the sample is read at its Friedel mate, else 1
    corner: Any  # (3,): the cell's first tap along x, y and z, as signed frequencies
    position: Any  # (3,): where in the cell, along x, y and z
    whole: Any  # whether all taps lie in the grid, as neighbours along x
    start: Any  # (2, taps): offsets in the volume of the taps along y, from the first x, and z
    edge: Any  # taps**3 items: a copy of a cell that is not whole
    edge_start: Any  # (2, taps): offsets of its taps
    value: Any  # what is read, or is to be added
    slope_x: Any  # its derivatives
    slope_y: Any
    slope_z: Any
    phase_x: Any
    phase_y: Any  # one item per row of the slice


def scratch(lattice: Lattice, dtype: Any) -> Table:
    """Allocate the table of one thread, for volumes of that type."""
    columns, taps = lattice.slice_shape[1], len(lattice.taps)
    length = columns + -columns % LANES + AHEAD
    real, phases = real_dtype(dtype), np.result_type(dtype, np.complex64)
    return Table(
        length,
        sign=np.zeros(length, real),
        corner=np.zeros(3 * length, np.int64),
        position=np.zeros(3 * length, real),
        whole=np.zeros(length, np.int8),
        start=np.zeros(2 * taps * length, np.int64),
        edge=np.zeros(taps**3, dtype),
        edge_start=np.outer([taps, taps**2], np.arange(taps)).ravel(),
        value=np.zeros(length, dtype),
        slope_x=np.zeros(length, dtype),
        slope_y=np.zeros(length, dtype),
        slope_z=np.zeros(length, dtype),
        phase_x=np.zeros(length, phases),
        phase_y=np.zeros(lattice.rows, phases),
    )


@intrinsic
def data(typing_context, array):
    """Return the pointer to an array's numbers, for which no references are counted."""

    def generate(context, builder, signature, arguments):
        return context.make_array(array)(context, builder, arguments[0]).data

    return types.CPointer(array.dtype)(array), generate


@inlined
def pointers(table):
    """Return the table with pointers for its arrays: reading an array there counts references."""
    return Table(
        table.length, data(table.sign), data(table.corner), data(table.position),
        data(table.whole), data(table.start), data(table.edge),
        data(table.edge_start), data(table.value),
        data(table.slope_x), data(table.slope_y), data(table.slope_z),
        data(table.phase_x), data(table.phase_y),
    )  # fmt: skip
