"""How chi-squared curves with the pose, compiled: the Gauss-Newton products and the residual's."""

from __future__ import annotations

import numpy as np

from fslice._kernels.numba.buffer import data, inlined, kernel, pointers
from fslice._kernels.numba.ctf import tabulate_ctf, tabulate_envelope
from fslice._kernels.numba.footprint import apply_friedel, locate_row, read_curvatures
from fslice._kernels.numba.fused import complete_filters, scaled
from fslice._kernels.numba.pose import (
    add_row,
    add_upper,
    completed,
    filter_of,
    image_slopes,
    in_precision,
    motions_of,
)
from fslice._kernels.numba.slices import complete
from fslice._kernels.numba.traversal import tabulate_phases


def gather_curvatures(kernels, volume, views, amplitude, geometry):
    """Return what `Kernels.gather_curvatures` says."""
    n, volume = len(views.rotations), np.ascontiguousarray(volume)
    slices = np.empty((10, n, *geometry.slice_shape), volume.dtype)

    def run(buffer, start: int, stop: int) -> None:
        curves = np.zeros(6 * len(buffer.value), volume.dtype)
        pose = views.rotations, views.shifts, amplitude
        _gather_curvatures(volume, *pose, geometry, buffer, curves, slices, start, stop)

    kernels.for_each(run, n, geometry, volume.dtype)
    return slices[0], slices[1:4], slices[4:]


def pose_curvature(kernels, volume, images, views, filters, amplitude, geometry):
    """Return what `Kernels.pose_curvature` says."""
    volume, images = np.ascontiguousarray(volume), np.ascontiguousarray(images)
    filters = complete_filters(filters, len(images), geometry, volume.dtype)
    rotations, shifts, image_of, _ = complete(views, volume.dtype)
    motions = motions_of(rotations, geometry, volume.dtype)
    gram, curvature = np.zeros((len(rotations), 6, 6)), np.zeros((len(rotations), 5, 5))

    def run(buffer, start: int, stop: int) -> None:
        curves = np.zeros(6 * len(buffer.value), volume.dtype)
        _pose_curvature(
            volume, images, rotations, motions, shifts, image_of, *filters, amplitude, geometry,
            buffer, curves, gram, curvature, start, stop,
        )  # fmt: skip

    kernels.for_each(run, len(gram), geometry, volume.dtype)
    return completed(gram, geometry), completed(curvature, geometry)


@kernel
def _gather_curvatures(
    volume, rotations, shifts, amplitude, geometry, buffer, curves, slices, start, stop
):
    stride = len(buffer.value)
    flat, taps, buffer, second = data(volume), geometry.taps, pointers(buffer), data(curves)
    for v in range(start, stop):
        tabulate_phases(shifts[v], amplitude, geometry, buffer)
        for j in range(geometry.rows):
            _, count = locate_row(j, taps, flat, rotations[v], geometry, buffer)
            read_curvatures(taps, flat, count, geometry, buffer, second, stride)
            for i in range(count):
                phase = buffer.phase_x[i] * buffer.phase_y[j]
                turned = buffer.sign[i] * phase  # at the mate dq = -dp
                slices[0, v, j, i] = apply_friedel(buffer, i, buffer.value[i]) * phase
                slices[1, v, j, i] = apply_friedel(buffer, i, buffer.slope_x[i]) * turned
                slices[2, v, j, i] = apply_friedel(buffer, i, buffer.slope_y[i]) * turned
                slices[3, v, j, i] = apply_friedel(buffer, i, buffer.slope_z[i]) * turned
                for c in range(6):
                    slices[4 + c, v, j, i] = (
                        apply_friedel(buffer, i, second[c * stride + i]) * phase
                    )
            slices[:, v, j, count:] = 0


@kernel
def _pose_curvature(
    volume, images, rotations, motions, shifts, image_of, ctf_values, ctf_coefficients, weights,
    group_of, amplitude, geometry, buffer, curves, gram, curvature, start, stop,
):  # fmt: skip
    stride = len(buffer.value)
    flat, taps, buffer, second = data(volume), geometry.taps, pointers(buffer), data(curves)
    for v in range(start, stop):
        image = image_of[v]
        group = group_of[image]
        tabulate_phases(shifts[v], amplitude, geometry, buffer)
        tabulate_envelope(ctf_coefficients, image, geometry, buffer)
        for j in range(geometry.rows):
            ky, count = locate_row(j, taps, flat, rotations[v], geometry, buffer)
            read_curvatures(taps, flat, count, geometry, buffer, second, stride)
            tabulate_ctf(ctf_values, ctf_coefficients, image, j, ky, count, buffer)
            row = motions[v], images[image, j], weights[group, j], j, ky, count, buffer
            add_row(gram[v], *row)
            _add_second(curvature[v], second, stride, *row)


@inlined
def _add_second(curvature, second, stride, motion, image, weights, j, ky, count, buffer):
    """Add ``Re(h * b)`` of every second derivative b, the upper triangle, of a row's samples.

    Here h is the conjugate of the residual, weighted and filtered.
    """
    ky, sums = in_precision(ky, buffer), _no_sums(buffer.zero)
    beam = motion[0, 2], motion[1, 2], motion[2, 2]
    half = buffer.pairs[0]  # in the precision of the volume
    for i in range(count):
        kx, factor = buffer.kx[i], filter_of(i, j, buffer)
        value = apply_friedel(buffer, i, buffer.value[i])
        residual = factor * value - image[i]
        h = scaled(buffer.pairs[i] * weights[i], residual.conjugate() * factor)
        x, y, z = image_slopes(motion, i, buffer)
        turn = _in_plane(motion, kx, ky)
        hessian = _times_hessian(apply_friedel(buffer, i, h), second, stride, i)
        along, across = _product(hessian, beam), _product(hessian, turn)
        bends = _inner(beam, along), _inner(turn, along), _inner(turn, across)
        sums = _with_second(sums, kx, ky, half, (h * x, h * y, h * z), bends, (h * value).real)
    add_upper(curvature, sums)


@inlined
def _with_second(sums, kx, ky, half, slopes, bends, value):
    """Return the sums with one sample: `fslice._kernels.derivatives.second_derivatives` times h.

    The bends are those of the volume along two motions: the first two turns move a sample along
    the beam, by ky and -kx, the third one moves it in the plane.
    """
    x, y, z = slopes[0].real, slopes[1].real, slopes[2].real
    beam, turn = slopes[2].imag, kx * slopes[1].imag - ky * slopes[0].imag
    return (
        sums[0] + ky * (ky * bends[0] - y),
        sums[1] - kx * ky * bends[0] + half * (ky * x + kx * y),
        sums[2] + ky * bends[1] + half * kx * z,
        sums[3] + kx * ky * beam,  # a shift turns phases: Im(h * b)
        sums[4] + ky * ky * beam,
        sums[5] + kx * (kx * bends[0] - x),
        sums[6] - kx * bends[1] + half * ky * z,
        sums[7] - kx * kx * beam,
        sums[8] - kx * ky * beam,
        sums[9] + bends[2] - kx * x - ky * y,
        sums[10] + kx * turn,
        sums[11] + ky * turn,
        sums[12] - kx * kx * value,
        sums[13] - kx * ky * value,
        sums[14] - ky * ky * value,
    )


@inlined
def _in_plane(motion, kx, ky):
    """Return how a turn about the beam moves a sample of the volume."""
    return (
        kx * motion[0, 1] - ky * motion[0, 0],
        kx * motion[1, 1] - ky * motion[1, 0],
        kx * motion[2, 1] - ky * motion[2, 0],
    )


@inlined
def _times_hessian(h, second, stride, i):
    """Return ``Re(h * b)`` of the second derivatives b along xx, xy, xz, yy, yz and zz."""
    return (
        _real(h, second[i]), _real(h, second[stride + i]), _real(h, second[2 * stride + i]),
        _real(h, second[3 * stride + i]), _real(h, second[4 * stride + i]),
        _real(h, second[5 * stride + i]),
    )  # fmt: skip


@inlined
def _real(a, b):
    return a.real * b.real - a.imag * b.imag


@inlined
def _product(hessian, a):
    """Return a symmetric matrix, of which there is the upper triangle, times a vector."""
    xx, xy, xz, yy, yz, zz = hessian
    return (
        xx * a[0] + xy * a[1] + xz * a[2],
        xy * a[0] + yy * a[1] + yz * a[2],
        xz * a[0] + yz * a[1] + zz * a[2],
    )


@inlined
def _inner(a, b):
    return a[0] * b[0] + a[1] * b[1] + a[2] * b[2]


@inlined
def _no_sums(zero):
    return (
        zero, zero, zero, zero, zero, zero, zero, zero, zero, zero, zero, zero, zero, zero, zero
    )  # fmt: skip
