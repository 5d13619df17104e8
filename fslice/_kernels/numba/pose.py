"""Products of the residual and its derivatives in the pose, compiled."""

from __future__ import annotations

import math

import numba
import numpy as np

from fslice._kernels.numba.cells import read_slopes, turned
from fslice._kernels.numba.locate import locate
from fslice._kernels.numba.table import data, inlined, kernel, pointers, scratch
from fslice._kernels.numba.threads import divided, in_threads
from fslice._kernels.numba.walk import row_extent, tabulate_phases


def pose_gram(volume, images, views, ctf, weights, amplitude, geometry):
    """Return the (v, 6, 6) products."""
    gram = np.zeros((len(views.rotations), 6, 6))

    def run(start: int, stop: int) -> None:
        table = scratch(geometry, volume.dtype)
        _pose_gram(
            volume, images, views.rotations, views.shifts, ctf, weights, amplitude, geometry,
            table, np.zeros((2, 6)), gram, start, stop,
        )  # fmt: skip

    threads = numba.get_num_threads()
    in_threads(run, divided(len(gram), threads), threads)
    return gram + np.triu(gram, 1).swapaxes(1, 2)


@kernel
def _pose_gram(
    volume, images, rotations, shifts, ctf, precision, amplitude, lattice, table,
    column, gram, start, stop,
):  # fmt: skip
    flat, taps, table = data(volume), lattice.taps, pointers(table)
    for n in range(start, stop):
        tabulate_phases(shifts[n], amplitude, lattice, table)
        for j in range(lattice.rows):
            ky, count = row_extent(j, lattice)
            locate(rotations[n], ky, count, lattice, table)
            read_slopes(taps, flat, None, count, lattice, table)
            for i in range(count):
                factor = table.phase_x[i] * table.phase_y[j]
                if ctf is not None:
                    factor = complex(ctf[n, j, i] * factor.real, ctf[n, j, i] * factor.imag)
                value = turned(table, i, table.value[i])
                _turns(column, rotations[n], i, ky, factor, table, lattice)
                _shifts(column, i, ky, factor * value, images[n, j, i], lattice)
                pair = 1.0 if i == 0 else 2.0
                _add_products(gram[n], pair * precision[j, i], column)


@inlined
def _turns(column, rotation, kx, ky, factor, table, lattice):
    """Write the derivatives in w: a turn moves the sample at k by ``w x k``."""
    dx, dy, dz = table.slope_x[kx], table.slope_y[kx], table.slope_z[kx]
    mate = table.sign[kx]  # there dq = -dp, and the value is conjugate
    for axis in range(3):
        x, y, z = rotation[0, axis], rotation[1, axis], rotation[2, axis]
        slope = factor * complex(
            lattice.scale * mate * (x * dx.real + y * dy.real + z * dz.real),
            lattice.scale * (x * dx.imag + y * dy.imag + z * dz.imag),
        )
        if axis == 0:
            column[0, 2], column[1, 2] = -ky * slope.real, -ky * slope.imag
        elif axis == 1:
            column[0, 2] += kx * slope.real
            column[1, 2] += kx * slope.imag
        else:
            column[0, 0], column[1, 0] = ky * slope.real, ky * slope.imag
            column[0, 1], column[1, 1] = -kx * slope.real, -kx * slope.imag


@inlined
def _shifts(column, kx, ky, value, image, lattice):
    """Write the derivatives in the shift, ``-2 pi i k / D`` times the value, and the residual."""
    x, y = 2 * math.pi * kx / lattice.columns, 2 * math.pi * ky / lattice.rows
    column[0, 3], column[1, 3] = x * value.imag, -x * value.real
    column[0, 4], column[1, 4] = y * value.imag, -y * value.real
    column[0, 5], column[1, 5] = value.real - image.real, value.imag - image.imag


@inlined
def _add_products(gram, weight, column):
    """Add the upper triangle of the products."""
    for a in range(6):
        for b in range(a, 6):
            gram[a, b] += weight * (column[0, a] * column[0, b] + column[1, a] * column[1, b])
