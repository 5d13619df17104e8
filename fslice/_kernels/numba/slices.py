"""The kernels compiled by Numba.

Each walks over the rows of its slices: `locate` tabulates a row's samples, `cells` reads them or
adds to them, and what is done to a row in between the compiler vectorises. Threads take ranges
of images, each with a table of its own and, where the kernel adds into a volume, with a volume of
its own.
"""

from __future__ import annotations

import math

import numba
import numpy as np

from fslice._kernels import splines
from fslice._kernels.filters import of_images
from fslice._kernels.numba.accumulators import accumulated
from fslice._kernels.numba.cells import add, add_squared, read, read_slopes, turned
from fslice._kernels.numba.locate import locate
from fslice._kernels.numba.table import data, inlined, kernel, pointers, scratch
from fslice._kernels.numba.threads import divided, in_threads
from fslice._kernels.numba.walk import row_extent, tabulate_phases

_PIECE = 32  # images that a thread takes at a time: short enough to end with the others


def gather(volume, views, amplitude, geometry, out=None):
    """Sample slices of a volume."""
    n = len(views.rotations)
    slices = np.empty((n, *geometry.slice_shape), volume.dtype) if out is None else out

    def run(start: int, stop: int) -> None:
        table = scratch(geometry, volume.dtype)
        _gather(
            volume, views.rotations, views.shifts, amplitude, geometry, table, slices, start, stop
        )

    threads = numba.get_num_threads()
    in_threads(run, divided(n, max(threads, -(-n // _PIECE))), threads)
    return slices


def scatter(slices, views, amplitude, geometry):
    """Add slices into a volume: the adjoint of `gather`."""
    slices = np.ascontiguousarray(_per_view(slices, views))

    def run(volume: np.ndarray, start: int, stop: int) -> None:
        table = scratch(geometry, slices.dtype)
        _scatter(
            slices, views.rotations, views.shifts, amplitude, geometry, table, volume, start, stop
        )

    return accumulated(run, len(slices), geometry, slices.dtype)


def scatter_squares(values, views, geometry):
    """Add values into a volume with squared interpolation weights."""
    values = np.ascontiguousarray(_per_view(values, views))
    # all taps meet an axis of one frequency: their weights sum to one there, their squares do not
    squares = sum(polynomial[0] ** 2 for polynomial in splines.WEIGHTS[len(geometry.taps)])
    unit = squares ** -sum(size == 1 for size in (geometry.nz, geometry.ny, geometry.nx))

    def run(volume: np.ndarray, start: int, stop: int) -> None:
        table = scratch(geometry, values.dtype)
        _scatter_squares(values, views.rotations, unit, geometry, table, volume, start, stop)

    return accumulated(run, len(values), geometry, values.dtype)


def gather_vjp(volume, cotangent, views, amplitude, geometry):
    """Return the gradients of `gather` in volume, rotations and shifts."""
    n = len(views.rotations)
    grad_rotation, grad_shift = np.zeros((n, 3, 3)), np.zeros((n, 2))

    def run(grad_volume: np.ndarray, start: int, stop: int) -> None:
        table = scratch(geometry, volume.dtype)
        _gather_vjp(
            volume, cotangent, views.rotations, views.shifts, amplitude, geometry, table,
            grad_volume, grad_rotation, grad_shift, start, stop,
        )  # fmt: skip

    grad_volume = accumulated(run, n, geometry, volume.dtype)
    return grad_volume, grad_rotation, grad_shift


def misfit(volume, images, views, ctf, weights, amplitude, geometry):
    """Return each image's weighted squared residual and the gradient of half their sum."""
    arguments = volume, images, views, ctf, weights, amplitude, geometry
    return _misfit_and(None, None, None, *arguments)


def misfit_gradients(volume, images, views, ctf, weights, amplitude, geometry):
    """Return `misfit` with the gradients in rotations, shifts and, unless it is None, the CTF."""
    n = len(views.rotations)
    grad_rotation, grad_shift = np.zeros((n, 3, 3)), np.zeros((n, 2))
    grad_ctf = None if ctf is None else np.empty(images.shape, ctf.dtype)
    arguments = volume, images, views, ctf, weights, amplitude, geometry
    losses, grad_volume = _misfit_and(grad_rotation, grad_shift, grad_ctf, *arguments)
    return losses, grad_volume, grad_rotation, grad_shift, grad_ctf


def _misfit_and(
    grad_rotation, grad_shift, grad_ctf, volume, images, views, ctf, weights, amplitude, geometry
):
    losses = np.zeros(len(views.rotations))

    def run(grad_volume: np.ndarray, start: int, stop: int) -> None:
        table = scratch(geometry, volume.dtype)
        _misfit(
            volume, images, views.rotations, views.shifts, ctf, weights, amplitude, geometry, table,
            grad_volume, grad_rotation, grad_shift, grad_ctf, losses, start, stop,
        )  # fmt: skip

    return losses, accumulated(run, len(losses), geometry, volume.dtype)


def _per_view(values, views):
    """Return what each view adds: its image's values, times its weight."""
    values = of_images(values, views, slice(None))
    if views.weights is None:
        return values
    return values * views.weights[:, None, None].astype(values.real.dtype)


@kernel
def _gather(volume, rotations, shifts, amplitude, lattice, table, slices, start, stop):
    flat, taps, table = data(volume), lattice.taps, pointers(table)
    for n in range(start, stop):
        tabulate_phases(shifts[n], amplitude, lattice, table)
        for j in range(lattice.rows):
            ky, count = row_extent(j, lattice)
            locate(rotations[n], ky, count, lattice, table)
            read(taps, flat, None, count, lattice, table)
            for i in range(count):
                slices[n, j, i] = turned(table, i, table.value[i]) * (
                    table.phase_x[i] * table.phase_y[j]
                )
            slices[n, j, count:] = 0


@kernel
def _scatter(slices, rotations, shifts, amplitude, lattice, table, volume, start, stop):
    flat, taps, table = data(volume), lattice.taps, pointers(table)
    for n in range(start, stop):
        tabulate_phases(shifts[n], amplitude, lattice, table)
        table.phase_x[0] *= 0.5  # both halves of the column kx = 0 are stored: each is half a pair
        for j in range(lattice.rows):
            ky, count = row_extent(j, lattice)
            locate(rotations[n], ky, count, lattice, table)
            for i in range(count):
                phase = table.phase_x[i] * table.phase_y[j]
                table.value[i] = turned(table, i, slices[n, j, i] * phase.conjugate())
            add(taps, flat, count, lattice, table)


@kernel
def _scatter_squares(weights, rotations, unit, lattice, table, volume, start, stop):
    flat, taps, table = data(volume), lattice.taps, pointers(table)
    for n in range(start, stop):
        for j in range(lattice.rows):
            ky, count = row_extent(j, lattice)
            locate(rotations[n], ky, count, lattice, table)
            for i in range(count):
                table.value[i] = weights[n, j, i] * (0.5 * unit if i == 0 else unit)
            add_squared(taps, flat, count, lattice, table)


@kernel
def _gather_vjp(
    volume, cotangent, rotations, shifts, amplitude, lattice, table,
    grad_volume, grad_rotation, grad_shift, start, stop,
):  # fmt: skip
    flat, grad_flat, taps, table = data(volume), data(grad_volume), lattice.taps, pointers(table)
    for n in range(start, stop):
        tabulate_phases(shifts[n], amplitude, lattice, table)
        for j in range(lattice.rows):
            ky, count = row_extent(j, lattice)
            locate(rotations[n], ky, count, lattice, table)
            read_slopes(taps, flat, grad_flat, count, lattice, table)
            sums = (0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0)
            for i in range(count):
                phase = table.phase_x[i] * table.phase_y[j]
                g = cotangent[n, j, i] * phase.conjugate()
                g = turned(table, i, _scaled(1.0 if i == 0 else 2.0, g))
                sums = _pose_sums(sums, i, g, table)
                table.value[i] = _scaled(0.5, g)
            _add_pose_sums(sums, ky, lattice, grad_rotation[n], grad_shift[n])
            add(taps, grad_flat, count, lattice, table)


@kernel
def _misfit(
    volume, images, rotations, shifts, ctf, precision, amplitude, lattice, table,
    grad_volume, grad_rotation, grad_shift, grad_ctf, losses, start, stop,
):  # fmt: skip
    # what is None is known when this is compiled, and leaves nothing behind
    flat, grad_flat, taps, table = data(volume), data(grad_volume), lattice.taps, pointers(table)
    for n in range(start, stop):
        tabulate_phases(shifts[n], amplitude, lattice, table)
        loss = 0.0
        for j in range(lattice.rows):
            ky, count = row_extent(j, lattice)
            locate(rotations[n], ky, count, lattice, table)
            if grad_rotation is None:
                read(taps, flat, grad_flat, count, lattice, table)
            else:
                read_slopes(taps, flat, grad_flat, count, lattice, table)
            sums = (0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0)
            for i in range(count):
                factor = phase = table.phase_x[i] * table.phase_y[j]
                if ctf is not None:
                    factor = _scaled(ctf[n, j, i], phase)
                value = turned(table, i, table.value[i])
                residual = value * factor - images[n, j, i]
                w = precision[j, i] * (1.0 if i == 0 else 2.0)
                loss += w * (residual.real**2 + residual.imag**2)
                g = turned(table, i, _scaled(w, residual * factor.conjugate()))
                if grad_rotation is not None:
                    sums = _pose_sums(sums, i, g, table)
                if grad_ctf is not None:
                    grad_ctf[n, j, i] = precision[j, i] * _dot(residual, value * phase)
                table.value[i] = _scaled(0.5, g)
            add(taps, grad_flat, count, lattice, table)
            if grad_rotation is not None:
                _add_pose_sums(sums, ky, lattice, grad_rotation[n], grad_shift[n])
            if grad_ctf is not None:
                grad_ctf[n, j, count:] = 0
        losses[n] = loss


@inlined
def _scaled(s, z):
    return complex(s * z.real, s * z.imag)


@inlined
def _dot(a, b):
    return a.real * b.real + a.imag * b.imag


@inlined
def _pose_sums(sums, i, g, table):
    """Add one sample to the sums over a row: slopes, slopes times kx, and phase rates."""
    value, h = table.value[i], _scaled(table.sign[i], g)  # at the mate dq = -dp
    x, y, z = _dot(h, table.slope_x[i]), _dot(h, table.slope_y[i]), _dot(h, table.slope_z[i])
    turn = h.real * value.imag - h.imag * value.real
    return (
        sums[0] + x, sums[1] + y, sums[2] + z, sums[3] + turn,
        sums[4] + i * x, sums[5] + i * y, sums[6] + i * z, sums[7] + i * turn,
    )  # fmt: skip


@inlined
def _add_pose_sums(sums, ky, lattice, grad_rotation, grad_shift):
    """Chain a row's sums to the matrix entries (eq. 7) and the shift (eq. 12)."""
    for axis in range(3):
        grad_rotation[axis, 0] += lattice.scale * sums[4 + axis]
        grad_rotation[axis, 1] += lattice.scale * ky * sums[axis]
    grad_shift[0] += 2 * math.pi / lattice.columns * sums[7]
    grad_shift[1] += 2 * math.pi / lattice.rows * ky * sums[3]
