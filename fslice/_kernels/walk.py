"""The one walk along the rows of a slice that all compiled kernels share.

For each row of a slice `locate` tabulates where its samples fall in the volume: the taps along
each axis, and the position between them. The kernels then only read or add. The geometry, the
boundary and the mirrored half space exist here and in `cells`, and nowhere else in compiled code.

Tabulating first lets the compiler vectorise the geometry, which measured twice as fast as
locating each sample when it is read. Coordinates are always double precision: only positions
within a cell are rounded to the precision of the volume.
"""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import numba
import numpy as np
from numba import extending, int64, types

from fslice._arrays import real_dtype
from fslice._kernels.lattice import Lattice

OPTIONS: Any = {
    "nogil": True,
    "error_model": "numpy",
    "boundscheck": False,
    "fastmath": {"contract", "nsz", "arcp", "reassoc"},
    "forceinline": True,  # a call would pass every table by value
}
intrinsic: Any = extending.intrinsic  # typed as the compiler calls it, not as compiled code does
kernel = numba.njit(**OPTIONS, cache=True)
inlined = numba.njit(**OPTIONS)


AHEAD = 8  # samples before one is needed, its memory is asked for


class Row(NamedTuple):
    """Scratch tables of one row, one entry per sample, and `AHEAD` more to look at.

    Kernels unpack them once: reading an array from a tuple inside the loop counts references.
    """

    offset: np.ndarray  # (1 + 2 * taps, columns): first x; then offsets of the taps along y and z
    fraction: np.ndarray  # (4, columns): sign; then position in the cell along x, y and z
    whole: np.ndarray  # (columns,): whether the taps are in the grid and neighbours along x
    edge: np.ndarray  # (taps**3,): a copy of a cell that is not whole
    phase_x: np.ndarray
    phase_y: np.ndarray


def scratch(lattice: Lattice, dtype: Any) -> Row:
    """Allocate the tables of one thread, for volumes of that type."""
    columns = lattice.slice_shape[1]
    samples = columns + AHEAD
    phases = np.result_type(dtype, np.complex64)
    return Row(
        np.zeros((1 + 2 * len(lattice.taps), samples), np.int64),
        np.zeros((4, samples), real_dtype(dtype)),
        np.zeros(samples, np.bool_),
        np.zeros(len(lattice.taps) ** 3, dtype),
        np.zeros(columns, phases),
        np.zeros(lattice.rows, phases),
    )


@intrinsic
def data(typing_context, array):
    """Return the pointer to an array's numbers, for which no references are counted."""

    def generate(context, builder, signature, arguments):
        return context.make_array(array)(context, builder, arguments[0]).data

    return types.CPointer(array.dtype)(array), generate


@inlined
def tabulate_phases(shift, amplitude, lattice, phase_x, phase_y):
    """Split ``amplitude * exp(-2 pi i k t / D)`` (eq. 12) into a factor per column and per row."""
    for kx in range(len(phase_x)):
        angle = -2 * math.pi * kx * shift[0] / lattice.columns
        phase_x[kx] = complex(math.cos(angle), math.sin(angle))
    for row in range(lattice.rows):
        ky = row if row <= (lattice.rows - 1) // 2 else row - lattice.rows
        angle = -2 * math.pi * ky * shift[1] / lattice.rows
        phase_y[row] = complex(amplitude * math.cos(angle), amplitude * math.sin(angle))


@inlined
def row_extent(row, lattice):
    """Return the signed frequency of a row and how many of its columns lie in the band."""
    half = (lattice.rows - 1) // 2
    ky = row if row <= half else row - lattice.rows
    left = lattice.max_radius * lattice.max_radius - ky * ky
    if left < 0 or abs(ky) > half:
        return ky, 0
    count = int(math.sqrt(left)) + 1
    if count * count <= left:  # a root may round down
        count += 1
    return ky, min(count, (lattice.columns - 1) // 2 + 1)


@inlined
def locate(rotation, ky, count, lattice, offset, fraction, whole):
    """Tabulate the samples of one row; those at negative x are read at their Friedel mates.

    The sign in ``fraction[0]`` is -1 for those; a cubic tap may still fall on x = -1. Along y and
    z, taps outside the grid have the offset -1.
    """
    columns = lattice.nx // 2 + 1
    far = int64(lattice.scale * (lattice.rows + lattice.columns)) + 1  # no sample is beyond
    step, start = lattice.scale * rotation[0, 0], lattice.scale * rotation[0, 1] * ky
    _tabulate_x(lattice.taps, step, start, count, lattice.nx, offset, fraction, whole)
    step, start = lattice.scale * rotation[1, 0], lattice.scale * rotation[1, 1] * ky
    _tabulate(
        lattice.taps, 1, step, start, count, far, lattice.ny, columns, offset, fraction, whole
    )
    step, start = lattice.scale * rotation[2, 0], lattice.scale * rotation[2, 1] * ky
    plane = columns * lattice.ny
    _tabulate(lattice.taps, 2, step, start, count, far, lattice.nz, plane, offset, fraction, whole)


@inlined
def _tabulate_x(taps, step, start, count, size, offset, fraction, whole):
    """Write sign, position in the cell and first tap along x."""
    first, last, limit = taps[0], taps[len(taps) - 1], int64((size - 1) // 2)
    for i in range(count):
        t = step * i + start
        sign = -1.0 if t < 0 else 1.0
        t *= sign
        k = int64(t)
        fraction[0, i] = sign
        fraction[1, i] = t - k if size > 1 else 0.0
        offset[0, i] = k + first
        whole[i] = k + first >= 0 and k + last <= limit


@inlined
def _tabulate(taps, axis, step, start, count, far, size, stride, offset, fraction, whole):
    """Write position in the cell and offsets of the taps along y or z.

    Along an axis of a single frequency all taps meet it: their weights sum to one.
    """
    first, last, limit = taps[0], taps[len(taps) - 1], int64((size - 1) // 2)
    table = 1 + (axis - 1) * len(taps)
    for i in range(count):
        t = fraction[0, i] * (step * i + start)
        k = int64(t + far) - far  # floor, as t > -far
        fraction[axis + 1, i] = t - k if size > 1 else 0.0
        whole[i] &= size == 1 or (-limit <= k + first and k + last <= limit)
        for tap in range(len(taps)):
            p = k + first + tap if size > 1 else 0
            wrapped = (p if p >= 0 else p + size) * stride
            offset[table + tap, i] = wrapped if -limit <= p and p <= limit else -1
