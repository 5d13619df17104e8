"""The walk along the rows of a slice that all compiled kernels share: its extent, its phases."""

from __future__ import annotations

import math

from fslice._kernels.numba.table import inlined


@inlined
def tabulate_phases(shift, amplitude, lattice, table):
    """Split ``amplitude * exp(-2 pi i k t / D)`` (eq. 12) into a factor per column and per row."""
    for kx in range(lattice.columns // 2 + 1):
        angle = -2 * math.pi * kx * shift[0] / lattice.columns
        table.phase_x[kx] = complex(math.cos(angle), math.sin(angle))
    for row in range(lattice.rows):
        ky = row if row <= (lattice.rows - 1) // 2 else row - lattice.rows
        angle = -2 * math.pi * ky * shift[1] / lattice.rows
        table.phase_y[row] = complex(amplitude * math.cos(angle), amplitude * math.sin(angle))


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
