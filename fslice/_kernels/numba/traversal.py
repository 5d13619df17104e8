"""The traversal of a slice's rows that all compiled kernels share: extent, phases, CTF."""

from __future__ import annotations

import math

from fslice._kernels.numba.buffer import inlined

_EXACT = 16  # powers of a root of unity are taken so far before rounding is swept out


@inlined
def row_frequency(row, geometry):
    """Return the signed frequency of a row."""
    return row if row <= (geometry.rows - 1) // 2 else row - geometry.rows


@inlined
def row_extent(row, geometry):
    """Return the signed frequency of a row and how many of its columns lie in the band."""
    ky = row_frequency(row, geometry)
    left = geometry.max_radius * geometry.max_radius - ky * ky
    if left < 0 or abs(ky) > (geometry.rows - 1) // 2:
        return ky, 0
    count = int(math.sqrt(left)) + 1
    if count * count <= left:  # a root may round down
        count += 1
    return ky, min(count, (geometry.columns - 1) // 2 + 1)


@inlined
def tabulate_phases(shift, amplitude, geometry, buffer):
    """Split ``amplitude * exp(-2 pi i k t / D)`` (eq. 12) into a factor per column and per row."""
    angle_x = -2 * math.pi * shift[0] / geometry.columns
    angle_y = -2 * math.pi * shift[1] / geometry.rows
    power = complex(1.0, 0.0)
    step = complex(math.cos(angle_x), math.sin(angle_x))
    for kx in range(geometry.columns // 2 + 1):
        power = _power(kx, angle_x, step, power)
        buffer.phase_x[kx] = power
    step = complex(math.cos(angle_y), math.sin(angle_y))
    for ky in range(geometry.rows // 2 + 1):
        power = _power(ky, angle_y, step, power)
        phase = complex(amplitude * power.real, amplitude * power.imag)
        if ky < geometry.rows:
            buffer.phase_y[ky] = phase
        if ky > 0 and 2 * ky != geometry.rows:
            buffer.phase_y[geometry.rows - ky] = phase.conjugate()


@inlined
def _power(k, angle, step, before):
    """Return ``exp(i k angle)``, given that of ``k - 1``."""
    if k % _EXACT == 0:
        return complex(math.cos(k * angle), math.sin(k * angle))
    return before * step
