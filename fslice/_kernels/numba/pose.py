"""Products of the residual and its derivatives in the pose, compiled."""

from __future__ import annotations

import math

import numpy as np

from fslice._kernels.numba.buffer import data, inlined, kernel, pointers
from fslice._kernels.numba.ctf import tabulate_ctf, tabulate_envelope
from fslice._kernels.numba.footprint import apply_friedel, read_slopes
from fslice._kernels.numba.fused import complete_filters, scaled
from fslice._kernels.numba.locate import locate
from fslice._kernels.numba.slices import complete
from fslice._kernels.numba.traversal import row_extent, tabulate_phases


def pose_gram(kernels, volume, images, views, filters, amplitude, geometry):
    """Return what `Kernels.pose_gram` says."""
    volume, images = np.ascontiguousarray(volume), np.ascontiguousarray(images)
    filters = complete_filters(filters, len(images), geometry, volume.dtype)
    rotations, shifts, image_of, _ = complete(views, volume.dtype)
    gram = np.zeros((len(rotations), 6, 6))

    def run(buffer, start: int, stop: int) -> None:
        column = np.zeros((2, 6))
        _pose_gram(
            volume, images, rotations, shifts, image_of, *filters, amplitude, geometry, buffer,
            column, gram, start, stop,
        )  # fmt: skip

    kernels.for_each(run, len(gram), geometry, volume.dtype)
    return gram + np.triu(gram, 1).swapaxes(1, 2)


@kernel
def _pose_gram(
    volume, images, rotations, shifts, image_of, ctf_values, ctf_coefficients, weights, group_of,
    amplitude, geometry, buffer, column, gram, start, stop,
):  # fmt: skip
    flat, taps, buffer = data(volume), geometry.taps, pointers(buffer)
    for v in range(start, stop):
        image = image_of[v]
        group = group_of[image]
        tabulate_phases(shifts[v], amplitude, geometry, buffer)
        tabulate_envelope(ctf_coefficients, image, geometry, buffer)
        for j in range(geometry.rows):
            ky, count = row_extent(j, geometry)
            locate(rotations[v], ky, count, geometry, buffer)
            read_slopes(taps, flat, None, count, geometry, buffer)
            tabulate_ctf(ctf_values, ctf_coefficients, image, j, ky, count, buffer)
            for i in range(count):
                factor = scaled(buffer.ctf[i], buffer.phase_x[i] * buffer.phase_y[j])
                value = apply_friedel(buffer, i, buffer.value[i])
                write_turns(column, rotations[v], i, ky, factor, buffer, geometry)
                write_shifts(column, i, ky, factor * value, images[image, j, i], geometry)
                pair = 1.0 if i == 0 else 2.0
                add_products(gram[v], pair * weights[group, j, i], column)


@inlined
def write_turns(column, rotation, kx, ky, factor, buffer, geometry):
    """Write the derivatives in w: a turn moves the sample at k by ``w x k``."""
    dx, dy, dz = buffer.slope_x[kx], buffer.slope_y[kx], buffer.slope_z[kx]
    mate = buffer.sign[kx]  # there dq = -dp, and the value is conjugate
    for axis in range(3):
        x, y, z = rotation[0, axis], rotation[1, axis], rotation[2, axis]
        slope = factor * complex(
            geometry.scale * mate * (x * dx.real + y * dy.real + z * dz.real),
            geometry.scale * (x * dx.imag + y * dy.imag + z * dz.imag),
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
def write_shifts(column, kx, ky, value, image, geometry):
    """Write the derivatives in the shift, ``-2 pi i k / D`` times the value, and the residual."""
    x, y = 2 * math.pi * kx / geometry.columns, 2 * math.pi * ky / geometry.rows
    column[0, 3], column[1, 3] = x * value.imag, -x * value.real
    column[0, 4], column[1, 4] = y * value.imag, -y * value.real
    column[0, 5], column[1, 5] = value.real - image.real, value.imag - image.imag


@inlined
def add_products(gram, weight, column):
    """Add the upper triangle of the products."""
    for a in range(6):
        for b in range(a, 6):
            gram[a, b] += weight * (column[0, a] * column[0, b] + column[1, a] * column[1, b])
