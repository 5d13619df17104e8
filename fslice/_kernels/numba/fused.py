"""The derivatives of slices and of chi-squared, compiled: no projection is stored."""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np

from fslice._arrays import real_dtype
from fslice._kernels.interface import Filters
from fslice._kernels.numba.buffer import data, inlined, kernel, pointers
from fslice._kernels.numba.ctf import tabulate_ctf, tabulate_envelope
from fslice._kernels.numba.footprint import add, apply_friedel, locate_row, read, read_slopes
from fslice._kernels.numba.slices import complete
from fslice._kernels.numba.traversal import tabulate_phases


class CompleteFilters(NamedTuple):
    """`Filters` with every array that the compiled kernels take; of the CTF one or both are empty.

    So one compiled kernel serves all kinds of filters.
    """

    ctf_values: np.ndarray
    ctf_coefficients: np.ndarray
    weights: np.ndarray
    group_of: np.ndarray


def complete_filters(filters: Filters, n_images: int, geometry, dtype) -> CompleteFilters:
    """Return the filters for volumes of that type."""
    real, weights, group_of = real_dtype(dtype), filters.weights, filters.group_of
    values, coefficients = np.empty((0, *geometry.slice_shape), real), np.empty((0, 7))
    if filters.ctf is not None and filters.ctf.ndim == 2:
        coefficients = filters.ctf
    elif filters.ctf is not None:
        values = filters.ctf
    if weights is None:
        weights = np.ones((1, *geometry.slice_shape), real)
    if filters.weights is None or group_of is None:
        group_of = np.zeros(n_images, np.int64)
    return CompleteFilters(values, coefficients, weights, group_of)


def gather_vjp(kernels, volume, cotangent, views, amplitude, geometry):
    """Return what `Kernels.gather_vjp` says."""
    volume, cotangent = np.ascontiguousarray(volume), np.ascontiguousarray(cotangent)
    n = len(views.rotations)
    grad_rotations, grad_shifts = np.zeros((n, 3, 3)), np.zeros((n, 2))

    def run(grad_volume: np.ndarray, buffer, start: int, stop: int) -> None:
        _gather_vjp(
            volume, cotangent, views.rotations, views.shifts, amplitude, geometry,
            buffer, grad_volume, grad_rotations, grad_shifts, start, stop,
        )  # fmt: skip

    grad_volume = kernels.accumulated(run, views.rotations, geometry, volume.dtype)
    return grad_volume, grad_rotations, grad_shifts


def misfit(kernels, volume, images, views, filters, amplitude, geometry):
    """Return what `Kernels.misfit` says."""
    losses = np.zeros(len(views.rotations))
    arguments = volume, images, views, filters, amplitude, geometry
    return losses, _fused(kernels, (losses, None, None, None), *arguments)


def misfit_gradients(kernels, volume, images, views, filters, amplitude, geometry):
    """Return what `Kernels.misfit_gradients` says."""
    n, grad_ctf = len(views.rotations), None
    if filters.ctf is not None:
        grad_ctf = np.empty((n, *geometry.slice_shape), real_dtype(volume.dtype))
    per_view = np.zeros(n), np.zeros((n, 3, 3)), np.zeros((n, 2)), grad_ctf
    arguments = volume, images, views, filters, amplitude, geometry
    losses, *gradients = per_view
    return losses, _fused(kernels, per_view, *arguments), *gradients


def gram(kernels, volume, views, filters, amplitude, geometry):
    """Return what `Kernels.gram` says."""
    arguments = volume, None, views, filters, amplitude, geometry
    return _fused(kernels, (None, None, None, None), *arguments)


def _fused(kernels, per_view, volume, images, views, filters, amplitude, geometry):
    """Fill what is asked for per view, and return the gradient in the volume."""
    volume = np.ascontiguousarray(volume)
    images = None if images is None else np.ascontiguousarray(images)
    views = complete(views, volume.dtype)
    filters = complete_filters(
        filters, int(views.image_of.max(initial=-1)) + 1, geometry, volume.dtype
    )

    def run(grad_volume: np.ndarray, buffer, start: int, stop: int) -> None:
        _misfit(
            volume, images, *views, *filters, amplitude, geometry, buffer,
            grad_volume, *per_view, start, stop,
        )  # fmt: skip

    return kernels.accumulated(run, views.rotations, geometry, volume.dtype)


@kernel
def _gather_vjp(
    volume, cotangent, rotations, shifts, amplitude, geometry, buffer,
    grad_volume, grad_rotations, grad_shifts, start, stop,
):  # fmt: skip
    flat, grad_flat, taps, buffer = data(volume), data(grad_volume), geometry.taps, pointers(buffer)
    for v in range(start, stop):
        tabulate_phases(shifts[v], amplitude, geometry, buffer)
        for j in range(geometry.rows):
            ky, count = locate_row(j, taps, flat, rotations[v], geometry, buffer)
            read_slopes(taps, flat, grad_flat, count, geometry, buffer)
            sums = _no_sums(buffer)
            for i in range(count):
                phase = buffer.phase_x[i] * buffer.phase_y[j]
                g = cotangent[v, j, i] * phase.conjugate()
                g = apply_friedel(buffer, i, scaled(buffer.pairs[i], g))
                sums = _pose_sums(sums, i, g, buffer)
                buffer.value[i] = g
            _add_pose_sums(sums, ky, geometry, grad_rotations[v], grad_shifts[v])
            add(taps, grad_flat, count, geometry, buffer)


@kernel
def _misfit(
    volume, images, rotations, shifts, image_of, view_weights,
    ctf_values, ctf_coefficients, weights, group_of, amplitude, geometry, buffer,
    grad_volume, losses, grad_rotations, grad_shifts, grad_ctf, start, stop,
):  # fmt: skip
    # what is None is known when this is compiled, and leaves nothing behind
    flat, grad_flat, taps, buffer = data(volume), data(grad_volume), geometry.taps, pointers(buffer)
    for v in range(start, stop):
        image, share = image_of[v], view_weights[v]
        group = group_of[image]
        tabulate_phases(shifts[v], amplitude, geometry, buffer)
        tabulate_envelope(ctf_coefficients, image, geometry, buffer)
        loss = 0.0
        for j in range(geometry.rows):
            ky, count = locate_row(j, taps, flat, rotations[v], geometry, buffer)
            if grad_rotations is None:
                read(taps, flat, grad_flat, count, geometry, buffer)
            else:
                read_slopes(taps, flat, grad_flat, count, geometry, buffer)
            tabulate_ctf(ctf_values, ctf_coefficients, image, j, ky, count, buffer)
            sums, row_loss = _no_sums(buffer), buffer.zero
            for i in range(count):
                phase = buffer.phase_x[i] * buffer.phase_y[j]
                factor = scaled(buffer.ctf[i], phase)
                value = apply_friedel(buffer, i, buffer.value[i])
                residual = value * factor
                if images is not None:
                    residual = residual - images[image, j, i]
                w = weights[group, j, i] * buffer.pairs[i]
                if losses is not None:
                    row_loss += w * (residual.real * residual.real + residual.imag * residual.imag)
                w = w * share
                g = apply_friedel(buffer, i, scaled(w, residual * factor.conjugate()))
                if grad_rotations is not None:
                    sums = _pose_sums(sums, i, g, buffer)
                if grad_ctf is not None:
                    whole = weights[group, j, i] * share
                    grad_ctf[v, j, i] = whole * dot(residual, value * phase)
                buffer.value[i] = g
            add(taps, grad_flat, count, geometry, buffer)
            loss += 2.0 * row_loss
            if grad_rotations is not None:
                _add_pose_sums(sums, ky, geometry, grad_rotations[v], grad_shifts[v])
            if grad_ctf is not None:
                grad_ctf[v, j, count:] = 0
        if losses is not None:
            losses[v] = loss


@inlined
def scaled(s, z):
    """Multiply a complex number by a real one, in their precision."""
    return complex(s * z.real, s * z.imag)


@inlined
def dot(a, b):
    """Return the real part of the conjugate of one number times another."""
    return a.real * b.real + a.imag * b.imag


@inlined
def _no_sums(buffer):
    zero = buffer.zero
    return zero, zero, zero, zero, zero, zero, zero, zero


@inlined
def _pose_sums(sums, i, g, buffer):
    """Add one sample, half a pair, to sums over a row: slopes, slopes times kx, phase rates."""
    value, kx = buffer.value[i], buffer.kx[i]
    h = scaled(buffer.sign[i], g)  # at the mate dq = -dp
    x, y, z = dot(h, buffer.slope_x[i]), dot(h, buffer.slope_y[i]), dot(h, buffer.slope_z[i])
    turn = h.real * value.imag - h.imag * value.real
    return (
        sums[0] + x, sums[1] + y, sums[2] + z, sums[3] + turn,
        sums[4] + kx * x, sums[5] + kx * y, sums[6] + kx * z, sums[7] + kx * turn,
    )  # fmt: skip


@inlined
def _add_pose_sums(sums, ky, geometry, grad_rotation, grad_shift):
    """Chain a row's sums to the matrix entries (eq. 7) and the shift (eq. 12)."""
    for axis in range(3):
        grad_rotation[axis, 0] += 2 * geometry.scale * sums[4 + axis]
        grad_rotation[axis, 1] += 2 * geometry.scale * ky * sums[axis]
    grad_shift[0] += 4 * math.pi / geometry.columns * sums[7]
    grad_shift[1] += 4 * math.pi / geometry.rows * ky * sums[3]
