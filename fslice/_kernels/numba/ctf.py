"""Contrast transfer functions from their seven coefficients, a row at a time.

The phase is computed in double precision and whole turns are dropped from it before anything is
rounded. A row costs about as much as reading a row of stored values from memory.
"""

from __future__ import annotations

import math

import numpy as np

from fslice._kernels.numba.buffer import inlined, kernel, pointers
from fslice._kernels.numba.traversal import row_frequency


def ctf_values(kernels, coefficients, geometry, dtype):
    """Return what `Kernels.ctf_values` says."""
    values = np.empty((len(coefficients), *geometry.slice_shape), dtype)

    def run(buffer, start: int, stop: int) -> None:
        _ctf_values(coefficients, geometry, buffer, values, start, stop)

    kernels.for_each(run, len(values), geometry, values.dtype)
    return values


@kernel
def _ctf_values(coefficients, geometry, buffer, values, start, stop):
    buffer, width = pointers(buffer), geometry.columns // 2 + 1
    for n in range(start, stop):
        tabulate_envelope(coefficients, n, geometry, buffer)
        for j in range(geometry.rows):
            _tabulate_angles(coefficients, n, row_frequency(j, geometry), width, buffer)
            _replace_by_sines(width, buffer.envelope_y[j], buffer)
            for i in range(width):
                values[n, j, i] = buffer.ctf[i]


@inlined
def tabulate_envelope(coefficients, n, geometry, buffer):
    """Split ``-c6 exp(-c5 |k|^2)`` of image `n` into a factor per column and per row.

    Where there are no coefficients, nothing is done.
    """
    if len(coefficients) > 0:
        for kx in range(geometry.columns // 2 + 1):
            buffer.envelope_x[kx] = _decay(coefficients[n, 5], kx)
        for row in range(geometry.rows):
            decay = _decay(coefficients[n, 5], row_frequency(row, geometry))
            buffer.envelope_y[row] = -coefficients[n, 6] * decay


@inlined
def _decay(rate, k):
    return math.exp(-rate * k * k) if rate != 0 else 1.0


@inlined
def tabulate_ctf(values, coefficients, n, row, ky, count, buffer):
    """Write the CTF of image `n` along a row, from coefficients, from values, or ones."""
    if len(coefficients) > 0:
        _tabulate_angles(coefficients, n, ky, count, buffer)
        _replace_by_sines(count, buffer.envelope_y[row], buffer)
    elif len(values) > 0:
        for i in range(count):
            buffer.ctf[i] = values[n, row, i]
    else:
        for i in range(count):
            buffer.ctf[i] = 1


@inlined
def _tabulate_angles(coefficients, n, ky, count, buffer):
    """Write z, at most a quarter of a turn, with ``sin(2 pi z) == sin(gamma)``."""
    turn = 2 * math.pi
    xx, xy, yy = coefficients[n, 0] / turn, coefficients[n, 1] / turn, coefficients[n, 2] / turn
    quartic, constant = coefficients[n, 3] / turn, coefficients[n, 4] / turn
    linear, ky_squared = xy * ky, float(ky * ky)
    constant += yy * ky_squared - 0.25  # a cosine is even: its angle may be taken positive
    for i in range(count):
        kx = buffer.column[i]
        squares = kx * kx + ky_squared
        turns = kx * (xx * kx + linear) + (quartic * squares * squares + constant)
        buffer.ctf[i] = 0.25 - abs(turns - np.rint(turns))


@inlined
def _replace_by_sines(count, envelope, buffer):
    c = buffer.sine
    c0, c1, c2, c3, c4, c5, c6, c7, c8, c9 = (
        c[0], c[1], c[2], c[3], c[4], c[5], c[6], c[7], c[8], c[9],
    )  # fmt: skip
    for i in range(count):
        z = buffer.ctf[i]
        s = z * z
        even = c5 + s * (c6 + s * (c7 + s * (c8 + s * c9)))
        even = c0 + s * (c1 + s * (c2 + s * (c3 + s * (c4 + s * even))))
        buffer.ctf[i] = z * even * (envelope * buffer.envelope_x[i])
