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
    buffer = pointers(buffer)
    for n in range(start, stop):
        tabulate_envelope(coefficients, n, geometry, buffer)
        for j in range(geometry.rows):
            ky, width = row_frequency(j, geometry), geometry.columns // 2 + 1
            tabulate_ctf(coefficients, n, j, ky, width, geometry, buffer)
            for i in range(width):
                values[n, j, i] = buffer.ctf[i]


@inlined
def tabulate_envelope(ctf, n, geometry, buffer):
    """Split ``-c6 exp(-c5 |k|^2)`` into a factor per column and per row, if `ctf` holds those."""
    if ctf is not None and ctf.ndim == 2:
        for kx in range(geometry.columns // 2 + 1):
            buffer.envelope_x[kx] = _decay(ctf[n, 5], kx)
        for row in range(geometry.rows):
            ky = row_frequency(row, geometry)
            buffer.envelope_y[row] = -ctf[n, 6] * _decay(ctf[n, 5], ky)


@inlined
def _decay(rate, k):
    return math.exp(-rate * k * k) if rate != 0 else 1.0


@inlined
def tabulate_ctf(ctf, n, row, ky, count, geometry, buffer):
    """Write the CTF of image `n` along a row to the buffer, from its values or coefficients."""
    if ctf is not None:
        if ctf.ndim == 2:
            _tabulate_angles(ctf, n, ky, count, buffer)
            _replace_by_sines(count, buffer.envelope_y[row], buffer)
        else:
            for i in range(count):
                buffer.ctf[i] = ctf[n, row, i]


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
