"""The one walk along the rows of a slice that all compiled kernels share.

For each row of a slice `locate` tabulates where its samples fall in the volume: index,
weight and slope per axis and tap. The kernels then only read or add. The geometry, the
boundary and the mirrored half space exist here and nowhere else in compiled code.

Tabulating first lets the compiler vectorise the geometry, which measured twice as fast as
locating each sample when it is read. Coordinates are always double precision: only weights are
rounded to the precision of the volume.
"""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import numba
import numpy as np
from numba import int64
from numba.extending import overload

from fslice._kernels import splines
from fslice._kernels.lattice import Lattice

OPTIONS: Any = {
    "nogil": True,
    "error_model": "numpy",
    "boundscheck": False,
    "fastmath": {"contract", "nsz", "arcp", "reassoc"},
    "forceinline": True,  # a call would pass every table by value
}
kernel = numba.njit(**OPTIONS, cache=True)
inlined = numba.njit(**OPTIONS)
_cubic_weights = inlined(splines.cubic_weights)
_cubic_slopes = inlined(splines.cubic_slopes)


class Row(NamedTuple):
    """Scratch tables of one row, one entry per sample.

    Kernels unpack them once: reading an array from a tuple inside the loop counts references.
    """

    offset: np.ndarray  # (3 * taps, columns): offsets into the flat volume, one per axis and tap
    weight: np.ndarray  # (1 + 3 * taps, columns): signs, then weights like `index`
    slope: np.ndarray  # like `weight`, of the weights' derivatives; empty where no kernel asks
    phase_x: np.ndarray
    phase_y: np.ndarray


def scratch(lattice: Lattice, dtype: Any, slopes: bool = False) -> Row:
    """Allocate the tables of one thread, for volumes of the real precision `dtype`."""
    columns = lattice.slice_shape[1]
    tables = 3 * len(lattice.taps)
    phases = np.result_type(dtype, np.complex64)
    return Row(
        np.zeros((tables, columns), np.int64),
        np.zeros((1 + tables, columns), dtype),
        np.zeros((1 + tables if slopes else 0, columns), dtype),
        np.zeros(columns, phases),
        np.zeros(lattice.rows, phases),
    )


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
def locate(rotation, ky, count, lattice, index, weight, slope):
    """Tabulate the samples of one row; those at negative x are read at their Friedel mates.

    The sign in ``weight[0]`` is -1 for those. A cubic tap may still fall on x = -1: it keeps
    the offset -1, by which `cells` knows it.
    """
    columns, plane = lattice.nx // 2 + 1, (lattice.nx // 2 + 1) * lattice.ny
    far = int64(lattice.scale * (lattice.rows + lattice.columns)) + 1  # no sample is beyond
    step, start = lattice.scale * rotation[0, 0], lattice.scale * rotation[0, 1] * ky
    for i in range(count):
        weight[0, i] = -1.0 if step * i + start < 0 else 1.0
    _tabulate(lattice.taps, 0, step, start, count, far, lattice.nx, 0, 1, index, weight, slope)
    step, start = lattice.scale * rotation[1, 0], lattice.scale * rotation[1, 1] * ky
    _tabulate(
        lattice.taps, 1, step, start, count, far, lattice.ny, lattice.ny, columns,
        index, weight, slope,
    )  # fmt: skip
    step, start = lattice.scale * rotation[2, 0], lattice.scale * rotation[2, 1] * ky
    _tabulate(
        lattice.taps, 2, step, start, count, far, lattice.nz, lattice.nz, plane,
        index, weight, slope,
    )  # fmt: skip


@inlined
def square_weights(count, weight):
    """Square the tabulated weights in place."""
    for table in range(1, len(weight)):
        for i in range(count):
            weight[table, i] **= 2


def _tabulate(taps, axis, step, start, count, far, size, wrap, stride, index, weight, slope):
    """Write offset, weight and slope of every tap along one axis; zero outside the grid."""
    raise NotImplementedError("compiled code only")


@overload(_tabulate, jit_options=OPTIONS)
def _choose_tabulate(taps, axis, step, start, count, far, size, wrap, stride, index, weight, slope):
    return _tabulate_linear if len(taps) == 2 else _tabulate_cubic


@inlined
def _tabulate_one(taps, axis, count, index, weight, slope):
    """Tabulate an axis of a single frequency: the first tap reads it, whatever the position."""
    for tap in range(len(taps)):
        a = len(taps) * axis + tap
        for i in range(count):
            index[a, i] = 0
            weight[a + 1, i] = 1.0 if tap == 0 else 0.0
            if len(slope) > 0:
                slope[a + 1, i] = 0.0


def _tabulate_linear(taps, axis, step, start, count, far, size, wrap, stride, index, weight, slope):
    if size == 1:
        _tabulate_one(taps, axis, count, index, weight, slope)
        return
    limit = int64((size - 1) // 2)
    a = 2 * axis
    for i in range(count):
        t = weight[0, i] * (step * i + start)
        k = int64(t + far) - far  # floor, as t > -far
        f = t - k
        lower = -limit <= k and k <= limit
        upper = -limit <= k + 1 and k + 1 <= limit
        weight[a + 1, i] = 1 - f if lower else 0.0
        weight[a + 2, i] = f if upper else 0.0
        k0 = k if lower else 0
        k1 = k + 1 if upper else 0
        index[a, i] = (k0 if k0 >= 0 else k0 + wrap) * stride
        index[a + 1, i] = (k1 if k1 >= 0 else k1 + wrap) * stride
        if len(slope) > 0:
            slope[a + 1, i] = -1.0 if lower else 0.0
            slope[a + 2, i] = 1.0 if upper else 0.0


def _tabulate_cubic(taps, axis, step, start, count, far, size, wrap, stride, index, weight, slope):
    if size == 1:
        _tabulate_one(taps, axis, count, index, weight, slope)
        return
    limit = int64((size - 1) // 2)
    a = 4 * axis
    for i in range(count):
        t = weight[0, i] * (step * i + start)
        k = int64(t + far) - far
        f = t - k
        weights = _cubic_weights(f)
        slopes = _cubic_slopes(f)
        for tap in range(4):
            p = k + tap - 1
            inside = -limit <= p and p <= limit
            weight[a + tap + 1, i] = weights[tap] if inside else 0.0
            if len(slope) > 0:
                slope[a + tap + 1, i] = slopes[tap] if inside else 0.0
            p = p if inside else 0
            index[a + tap, i] = (p if p >= 0 else p + wrap) * stride
