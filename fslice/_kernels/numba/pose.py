"""Products of the residual and its derivatives in the pose, compiled.

A row's samples are read to the buffer. Then one loop, which stores nothing and stays in the
precision of the volume, sums up their products: so the compiler makes vectors of it.
"""

from __future__ import annotations

import math

import numpy as np

from fslice._arrays import real_dtype
from fslice._kernels.numba.buffer import data, inlined, kernel, pointers
from fslice._kernels.numba.ctf import tabulate_ctf, tabulate_envelope
from fslice._kernels.numba.footprint import apply_friedel, locate_row, read_slopes
from fslice._kernels.numba.fused import complete_filters, dot, scaled
from fslice._kernels.numba.slices import complete
from fslice._kernels.numba.traversal import tabulate_phases


def pose_gram(kernels, volume, images, views, filters, amplitude, geometry):
    """Return what `Kernels.pose_gram` says."""
    volume, images = np.ascontiguousarray(volume), np.ascontiguousarray(images)
    filters = complete_filters(filters, len(images), geometry, volume.dtype)
    rotations, shifts, image_of, _ = complete(views, volume.dtype)
    motions, gram = motions_of(rotations, geometry, volume.dtype), np.zeros((len(rotations), 6, 6))

    def run(buffer, start: int, stop: int) -> None:
        _pose_gram(
            volume, images, rotations, motions, shifts, image_of, *filters, amplitude, geometry,
            buffer, gram, start, stop,
        )  # fmt: skip

    kernels.for_each(run, len(gram), geometry, volume.dtype)
    return completed(gram, geometry)


def motions_of(rotations: np.ndarray, geometry, dtype) -> np.ndarray:
    """Return how a step along each axis of the image moves a sample: (v, 3, 3), in columns."""
    return (geometry.scale * rotations).astype(real_dtype(dtype))


def completed(products: np.ndarray, geometry) -> np.ndarray:
    """Return the products of all frequencies, of what the kernels sum up.

    That is the upper triangle, of half the frequencies, with shifts in units of D / 2 pi.
    """
    rates = np.ones(products.shape[1])
    rates[3:5] = 2 * math.pi / geometry.columns, 2 * math.pi / geometry.rows
    return (products + np.triu(products, 1).swapaxes(1, 2)) * (2 * rates * rates[:, None])


@kernel
def _pose_gram(
    volume, images, rotations, motions, shifts, image_of, ctf_values, ctf_coefficients, weights,
    group_of, amplitude, geometry, buffer, gram, start, stop,
):  # fmt: skip
    flat, taps, buffer = data(volume), geometry.taps, pointers(buffer)
    for v in range(start, stop):
        image = image_of[v]
        group = group_of[image]
        tabulate_phases(shifts[v], amplitude, geometry, buffer)
        tabulate_envelope(ctf_coefficients, image, geometry, buffer)
        for j in range(geometry.rows):
            ky, count = locate_row(j, taps, flat, rotations[v], geometry, buffer)
            read_slopes(taps, flat, None, count, geometry, buffer)
            tabulate_ctf(ctf_values, ctf_coefficients, image, j, ky, count, buffer)
            add_row(gram[v], motions[v], images[image, j], weights[group, j], j, ky, count, buffer)


@inlined
def add_row(gram, motion, image, weights, j, ky, count, buffer):
    """Add the products of a row's derivatives and residuals, the upper triangle."""
    ky, sums = in_precision(ky, buffer), _no_products(buffer.zero)
    for i in range(count):
        kx, factor = buffer.kx[i], filter_of(i, j, buffer)
        value = factor * apply_friedel(buffer, i, buffer.value[i])
        x, y, z = image_slopes(motion, i, buffer)
        beam, turn = factor * z, factor * (scaled(kx, y) - scaled(ky, x))
        rate = complex(value.imag, -value.real)  # -i times the value
        sums = _with_products(
            sums, buffer.pairs[i] * weights[i], scaled(ky, beam), scaled(-kx, beam), turn,
            scaled(kx, rate), scaled(ky, rate), value - image[i],
        )  # fmt: skip
    add_upper(gram, sums)


@inlined
def in_precision(k, buffer):
    """Return a frequency in the precision of the volume."""
    return buffer.kx[k] if k >= 0 else -buffer.kx[-k]


@inlined
def filter_of(i, j, buffer):
    """Return what multiplies sample `i` of row `j`: the CTF, and the phase of the shift."""
    return scaled(buffer.ctf[i], buffer.phase_x[i] * buffer.phase_y[j])


@inlined
def image_slopes(motion, i, buffer):
    """Return the derivatives of sample `i`, before its filter, along the axes of the image."""
    dx, dy, dz = buffer.slope_x[i], buffer.slope_y[i], buffer.slope_z[i]
    return (
        _along(motion[0, 0], motion[1, 0], motion[2, 0], dx, dy, dz, buffer.sign[i]),
        _along(motion[0, 1], motion[1, 1], motion[2, 1], dx, dy, dz, buffer.sign[i]),
        _along(motion[0, 2], motion[1, 2], motion[2, 2], dx, dy, dz, buffer.sign[i]),
    )


@inlined
def _along(x, y, z, dx, dy, dz, mate):
    """Return a directional derivative; a mate is conjugate, and there dq = -dp."""
    return complex(
        mate * (x * dx.real + y * dy.real + z * dz.real), x * dx.imag + y * dy.imag + z * dz.imag
    )


@inlined
def _no_products(zero):
    return (
        zero, zero, zero, zero, zero, zero, zero, zero, zero, zero, zero, zero, zero, zero, zero,
        zero, zero, zero, zero, zero, zero,
    )  # fmt: skip


@inlined
def _with_products(sums, weight, a, b, c, d, e, f):
    """Return the upper triangle of products with those of one sample added."""
    u, v, w = scaled(weight, a), scaled(weight, b), scaled(weight, c)
    x, y, z = scaled(weight, d), scaled(weight, e), scaled(weight, f)
    return (
        sums[0] + dot(u, a), sums[1] + dot(u, b), sums[2] + dot(u, c), sums[3] + dot(u, d),
        sums[4] + dot(u, e), sums[5] + dot(u, f), sums[6] + dot(v, b), sums[7] + dot(v, c),
        sums[8] + dot(v, d), sums[9] + dot(v, e), sums[10] + dot(v, f), sums[11] + dot(w, c),
        sums[12] + dot(w, d), sums[13] + dot(w, e), sums[14] + dot(w, f), sums[15] + dot(x, d),
        sums[16] + dot(x, e), sums[17] + dot(x, f), sums[18] + dot(y, e), sums[19] + dot(y, f),
        sums[20] + dot(z, f),
    )  # fmt: skip


@inlined
def add_upper(matrix, sums):
    """Add sums, row by row of the upper triangle, to a matrix."""
    place = 0
    for a in range(len(matrix)):
        for b in range(a, len(matrix)):
            matrix[a, b] += sums[place]
            place += 1
