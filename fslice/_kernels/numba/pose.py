"""Products of the residual and its derivatives in the pose, compiled."""

from __future__ import annotations

import math

import numpy as np

from fslice._arrays import real_dtype
from fslice._kernels.numba.buffer import data, inlined, kernel, pointers
from fslice._kernels.numba.ctf import tabulate_ctf, tabulate_envelope
from fslice._kernels.numba.footprint import apply_friedel, locate_row, read_slopes
from fslice._kernels.numba.fused import complete_filters, scaled
from fslice._kernels.numba.slices import complete
from fslice._kernels.numba.traversal import tabulate_phases


def pose_gram(kernels, volume, images, views, filters, amplitude, geometry):
    """Return what `Kernels.pose_gram` says."""
    volume, images = np.ascontiguousarray(volume), np.ascontiguousarray(images)
    filters = complete_filters(filters, len(images), geometry, volume.dtype)
    rotations, shifts, image_of, _ = complete(views, volume.dtype)
    gram = np.zeros((len(rotations), 6, 6))

    def run(buffer, start: int, stop: int) -> None:
        _pose_gram(
            volume, images, rotations, shifts, image_of, *filters, amplitude, geometry, buffer,
            row_table(buffer), gram, start, stop,
        )  # fmt: skip

    kernels.for_each(run, len(gram), geometry, volume.dtype)
    return gram + np.triu(gram, 1).swapaxes(1, 2)


def row_table(buffer) -> np.ndarray:
    """Allocate the factors of a row, (13, length): real and imaginary parts, and weights."""
    return np.zeros((13, len(buffer.value)), real_dtype(buffer.value.dtype))


@kernel
def _pose_gram(
    volume, images, rotations, shifts, image_of, ctf_values, ctf_coefficients, weights, group_of,
    amplitude, geometry, buffer, table, gram, start, stop,
):  # fmt: skip
    flat, taps, stride, rows = data(volume), geometry.taps, len(buffer.value), data(table)
    buffer = pointers(buffer)
    for v in range(start, stop):
        image = image_of[v]
        group = group_of[image]
        tabulate_phases(shifts[v], amplitude, geometry, buffer)
        tabulate_envelope(ctf_coefficients, image, geometry, buffer)
        for j in range(geometry.rows):
            ky, count = locate_row(j, taps, flat, rotations[v], geometry, buffer)
            read_slopes(taps, flat, None, count, geometry, buffer)
            tabulate_ctf(ctf_values, ctf_coefficients, image, j, ky, count, buffer)
            for i in range(count):
                factor = scaled(buffer.ctf[i], buffer.phase_x[i] * buffer.phase_y[j])
                value = apply_friedel(buffer, i, buffer.value[i])
                write_turns(rows, stride, rotations[v], i, ky, factor, buffer, geometry)
                residual = factor * value - images[image, j, i]
                write_shifts(rows, stride, i, ky, factor * value, residual, geometry)
                rows[12 * stride + i] = 2 * buffer.pairs[i] * weights[group, j, i]
            add_products(gram[v], rows, stride, count, buffer.zero)


@inlined
def write_turns(rows, stride, rotation, kx, ky, factor, buffer, geometry):
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
            rows[4 * stride + kx], rows[5 * stride + kx] = -ky * slope.real, -ky * slope.imag
        elif axis == 1:
            rows[4 * stride + kx] += kx * slope.real
            rows[5 * stride + kx] += kx * slope.imag
        else:
            rows[kx], rows[stride + kx] = ky * slope.real, ky * slope.imag
            rows[2 * stride + kx], rows[3 * stride + kx] = -kx * slope.real, -kx * slope.imag


@inlined
def write_shifts(rows, stride, kx, ky, value, residual, geometry):
    """Write the derivatives in the shift, ``-2 pi i k / D`` times the value, and the residual."""
    x, y = 2 * math.pi * kx / geometry.columns, 2 * math.pi * ky / geometry.rows
    rows[6 * stride + kx], rows[7 * stride + kx] = x * value.imag, -x * value.real
    rows[8 * stride + kx], rows[9 * stride + kx] = y * value.imag, -y * value.real
    rows[10 * stride + kx], rows[11 * stride + kx] = residual.real, residual.imag


@inlined
def add_products(gram, rows, stride, count, zero):
    """Add the upper triangle of a row's products: sums that the compiler makes of vectors."""
    weights = 12 * stride
    for a in range(6):
        real, imaginary = 2 * a * stride, (2 * a + 1) * stride
        for b in range(a, 6):
            other, mirrored = 2 * b * stride, (2 * b + 1) * stride
            total = zero
            for i in range(count):
                product = rows[real + i] * rows[other + i]
                product += rows[imaginary + i] * rows[mirrored + i]
                total += rows[weights + i] * product
            gram[a, b] += total
