"""How chi-squared curves with the pose, compiled: the Gauss-Newton products and the residual's."""

from __future__ import annotations

import math

import numpy as np

from fslice._kernels.numba.buffer import data, inlined, kernel, pointers
from fslice._kernels.numba.ctf import tabulate_ctf, tabulate_envelope
from fslice._kernels.numba.footprint import apply_friedel, locate_row, read_curvatures
from fslice._kernels.numba.fused import complete_filters, scaled
from fslice._kernels.numba.pose import add_products, row_table, write_shifts, write_turns
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
    gram, curvature = np.zeros((len(rotations), 6, 6)), np.zeros((len(rotations), 5, 5))

    def run(buffer, start: int, stop: int) -> None:
        curves = np.zeros(6 * len(buffer.value), volume.dtype)
        _pose_curvature(
            volume, images, rotations, shifts, image_of, *filters, amplitude, geometry, buffer,
            curves, row_table(buffer), gram, curvature, start, stop,
        )  # fmt: skip

    kernels.for_each(run, len(gram), geometry, volume.dtype)
    full = [part + np.triu(part, 1).swapaxes(1, 2) for part in (gram, curvature)]
    return full[0], full[1]


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
    volume, images, rotations, shifts, image_of, ctf_values, ctf_coefficients, weights, group_of,
    amplitude, geometry, buffer, curves, table, gram, curvature, start, stop,
):  # fmt: skip
    stride, rows = len(buffer.value), data(table)
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
            for i in range(count):
                factor = scaled(buffer.ctf[i], buffer.phase_x[i] * buffer.phase_y[j])
                value = apply_friedel(buffer, i, buffer.value[i])
                write_turns(rows, stride, rotations[v], i, ky, factor, buffer, geometry)
                residual = factor * value - images[image, j, i]
                write_shifts(rows, stride, i, ky, factor * value, residual, geometry)
                weight = 2 * buffer.pairs[i] * weights[group, j, i]
                rows[12 * stride + i] = weight
                h = scaled(weight, residual.conjugate() * factor)
                _add_second(
                    curvature[v], rotations[v], i, ky, h, value, buffer, second, stride, geometry
                )
            add_products(gram[v], rows, stride, count, buffer.zero)


@inlined
def _add_second(curvature, rotation, kx, ky, h, value, buffer, second, stride, geometry):
    """Add ``Re(h * b)`` of every second derivative b, the upper triangle."""
    scale, mate = geometry.scale, buffer.sign[kx]
    dx, dy, dz = buffer.slope_x[kx], buffer.slope_y[kx], buffer.slope_z[kx]
    # parts of the product with h: of slopes, which turn their sign at a mate, and of curvatures
    re, im = h.real, mate * h.imag  # Re(h * conjugate) has the other sign of the imaginary part
    gx, gy, gz = (
        mate * (re * dx.real - im * dx.imag),
        mate * (re * dy.real - im * dy.imag),
        mate * (re * dz.real - im * dz.imag),
    )
    # Im(h * slope), with which the shift turns the phase
    tx, ty, tz = (
        mate * h.imag * dx.real + h.real * dx.imag,
        mate * h.imag * dy.real + h.real * dy.imag,
        mate * h.imag * dz.real + h.real * dz.imag,
    )
    xx, xy, xz = second[kx], second[stride + kx], second[2 * stride + kx]
    yy, yz, zz = second[3 * stride + kx], second[4 * stride + kx], second[5 * stride + kx]
    hxx, hxy, hxz = (
        re * xx.real - im * xx.imag, re * xy.real - im * xy.imag, re * xz.real - im * xz.imag
    )  # fmt: skip
    hyy, hyz, hzz = (
        re * yy.real - im * yy.imag, re * yz.real - im * yz.imag, re * zz.real - im * zz.imag
    )  # fmt: skip
    # the motions of a turn: n along the beam, times ky or -kx, and e within the plane
    nx, ny, nz = scale * rotation[0, 2], scale * rotation[1, 2], scale * rotation[2, 2]
    ex, ey, ez = (
        scale * (kx * rotation[0, 1] - ky * rotation[0, 0]),
        scale * (kx * rotation[1, 1] - ky * rotation[1, 0]),
        scale * (kx * rotation[2, 1] - ky * rotation[2, 0]),
    )
    px, py, pz = (
        hxx * nx + hxy * ny + hxz * nz,
        hxy * nx + hyy * ny + hyz * nz,
        hxz * nx + hyz * ny + hzz * nz,
    )
    along, across = nx * px + ny * py + nz * pz, ex * px + ey * py + ez * pz
    within = ex * (hxx * ex + hxy * ey + hxz * ez)
    within += ey * (hxy * ex + hyy * ey + hyz * ez)
    within += ez * (hxz * ex + hyz * ey + hzz * ez)
    x = scale * (rotation[0, 0] * gx + rotation[1, 0] * gy + rotation[2, 0] * gz)
    y = scale * (rotation[0, 1] * gx + rotation[1, 1] * gy + rotation[2, 1] * gz)
    z = nx * gx + ny * gy + nz * gz
    curvature[0, 0] += ky * ky * along - ky * y
    curvature[0, 1] += -kx * ky * along + 0.5 * (ky * x + kx * y)
    curvature[1, 1] += kx * kx * along - kx * x
    curvature[0, 2] += ky * across + 0.5 * kx * z
    curvature[1, 2] += -kx * across + 0.5 * ky * z
    curvature[2, 2] += within - kx * x - ky * y
    rate_x = 2 * math.pi / geometry.columns * kx
    rate_y = 2 * math.pi / geometry.rows * ky
    beam, turn = nx * tx + ny * ty + nz * tz, ex * tx + ey * ty + ez * tz
    curvature[0, 3] += rate_x * ky * beam
    curvature[1, 3] -= rate_x * kx * beam
    curvature[2, 3] += rate_x * turn
    curvature[0, 4] += rate_y * ky * beam
    curvature[1, 4] -= rate_y * kx * beam
    curvature[2, 4] += rate_y * turn
    whole = h.real * value.real - h.imag * value.imag
    curvature[3, 3] -= rate_x * rate_x * whole
    curvature[3, 4] -= rate_x * rate_y * whole
    curvature[4, 4] -= rate_y * rate_y * whole
