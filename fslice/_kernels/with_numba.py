"""The kernels compiled by Numba.

The compiled functions release the interpreter lock. `_in_threads` runs one contiguous range
of images per thread, each thread with scratch tables and, where the kernel adds into a
volume, with an accumulator of its own.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numba
import numpy as np

from fslice._kernels import splines
from fslice._kernels.cells import add, add_squared, read, read_slopes
from fslice._kernels.lattice import Lattice, add_friedel_mates
from fslice._kernels.walk import (
    data,
    inlined,
    kernel,
    locate,
    row_extent,
    scratch,
    tabulate_phases,
)

_ACCUMULATOR_BYTES = 4 << 30  # what private copies of the volume may take together


def gather(volume, rotations, shifts, amplitude, lattice):
    """Sample slices of a volume."""
    volume = np.ascontiguousarray(volume)
    slices = np.empty((len(rotations), *lattice.slice_shape), volume.dtype)

    def run(start: int, stop: int) -> None:
        row = scratch(lattice, volume.dtype)
        _gather(volume, rotations, shifts, amplitude, lattice, row, slices, start, stop)

    _in_threads(run, len(rotations), numba.get_num_threads())
    return slices


def scatter(slices, rotations, shifts, amplitude, lattice):
    """Add slices into a volume: the adjoint of `gather`."""
    slices = np.ascontiguousarray(slices)

    def run(volume: np.ndarray, start: int, stop: int) -> None:
        row = scratch(lattice, slices.dtype)
        _scatter(slices, rotations, shifts, amplitude, lattice, row, volume, start, stop)

    return _accumulated(run, len(rotations), lattice, slices.dtype)


def scatter_squares(weights, rotations, lattice):
    """Add weights into a volume with squared interpolation weights."""
    weights = np.ascontiguousarray(weights)
    # all taps meet an axis of one frequency: their weights sum to one there, their squares do not
    squares = sum(polynomial[0] ** 2 for polynomial in splines.WEIGHTS[len(lattice.taps)])
    unit = squares ** -sum(size == 1 for size in (lattice.nz, lattice.ny, lattice.nx))

    def run(volume: np.ndarray, start: int, stop: int) -> None:
        row = scratch(lattice, weights.dtype)
        _scatter_squares(weights, rotations, unit, lattice, row, volume, start, stop)

    return _accumulated(run, len(rotations), lattice, weights.dtype)


def gather_vjp(volume, cotangent, rotations, shifts, amplitude, lattice):
    """Return the gradients of `gather` in volume, rotations and shifts."""
    volume, cotangent = np.ascontiguousarray(volume), np.ascontiguousarray(cotangent)
    by_rotation = np.zeros((len(rotations), 3, 3))
    by_shift = np.zeros((len(rotations), 2))

    def run(by_volume: np.ndarray, start: int, stop: int) -> None:
        row = scratch(lattice, volume.dtype)
        _gather_vjp(
            volume, cotangent, rotations, shifts, amplitude, lattice, row,
            by_volume, by_rotation, by_shift, start, stop,
        )  # fmt: skip

    by_volume = _accumulated(run, len(rotations), lattice, volume.dtype)
    return by_volume, by_rotation, by_shift


def misfit(volume, images, rotations, shifts, ctf, precision, amplitude, lattice):
    """Return each image's weighted squared residual and the gradient of half their sum."""
    arguments = volume, images, rotations, shifts, ctf, precision, amplitude, lattice
    return _misfit_and(None, None, None, *arguments)


def misfit_gradients(volume, images, rotations, shifts, ctf, precision, amplitude, lattice):
    """Return `misfit` with the gradients in rotations, shifts and, unless it is None, the CTF."""
    by_rotation, by_shift = np.zeros((len(rotations), 3, 3)), np.zeros((len(rotations), 2))
    by_ctf = None if ctf is None else np.empty(images.shape, ctf.dtype)
    arguments = volume, images, rotations, shifts, ctf, precision, amplitude, lattice
    losses, by_volume = _misfit_and(by_rotation, by_shift, by_ctf, *arguments)
    return losses, by_volume, by_rotation, by_shift, by_ctf


def _misfit_and(
    by_rotation, by_shift, by_ctf,
    volume, images, rotations, shifts, ctf, precision, amplitude, lattice,
):  # fmt: skip
    volume, images = np.ascontiguousarray(volume), np.ascontiguousarray(images)
    losses = np.zeros(len(rotations))

    def run(by_volume: np.ndarray, start: int, stop: int) -> None:
        row = scratch(lattice, volume.dtype)
        _misfit(
            volume, images, rotations, shifts, ctf, precision, amplitude, lattice, row,
            by_volume, by_rotation, by_shift, by_ctf, losses, start, stop,
        )  # fmt: skip

    return losses, _accumulated(run, len(rotations), lattice, volume.dtype)


def _accumulated(run: Callable, n_images: int, lattice: Lattice, dtype: Any) -> np.ndarray:
    """Call ``run(accumulator, start, stop)`` in threads and return the sum, mates added.

    Every range of images has its own accumulator and they are summed in order, so that equal
    numbers of threads give equal bits.
    """
    size = int(np.prod(lattice.volume_shape)) * np.dtype(dtype).itemsize
    threads = max(1, min(numba.get_num_threads(), _ACCUMULATOR_BYTES // size, n_images))
    volumes = {
        n_images * i // threads: np.zeros(lattice.volume_shape, dtype) for i in range(threads)
    }
    _in_threads(lambda start, stop: run(volumes[start], start, stop), n_images, threads)
    total = volumes.pop(0)
    for volume in volumes.values():
        total += volume
    return add_friedel_mates(total)


def _in_threads(run: Callable, n_images: int, threads: int) -> None:
    """Call ``run(start, stop)`` on contiguous ranges of images, one thread each."""
    threads = min(threads, n_images)
    if threads <= 1:
        run(0, n_images)
        return
    bounds = [n_images * i // threads for i in range(threads + 1)]
    with ThreadPoolExecutor(threads) as pool:
        list(pool.map(run, bounds[:-1], bounds[1:]))


@kernel
def _gather(volume, rotations, shifts, amplitude, lattice, row, slices, start, stop):
    offset, fraction, whole, edge, phase_x, phase_y = row
    flat, edge, taps = data(volume), data(edge), lattice.taps
    for n in range(start, stop):
        tabulate_phases(shifts[n], amplitude, lattice, phase_x, phase_y)
        for j in range(lattice.rows):
            ky, count = row_extent(j, lattice)
            locate(rotations[n], ky, count, lattice, offset, fraction, whole)
            for i in range(count):
                value = read(taps, flat, i, offset, fraction, whole, edge, lattice)
                slices[n, j, i] = value * (phase_x[i] * phase_y[j])
            slices[n, j, count:] = 0


@kernel
def _scatter(slices, rotations, shifts, amplitude, lattice, row, volume, start, stop):
    offset, fraction, whole, edge, phase_x, phase_y = row
    flat, edge, taps = data(volume), data(edge), lattice.taps
    for n in range(start, stop):
        tabulate_phases(shifts[n], amplitude, lattice, phase_x, phase_y)
        phase_x[0] *= 0.5  # both halves of the column kx = 0 are stored: each is half a pair
        for j in range(lattice.rows):
            ky, count = row_extent(j, lattice)
            locate(rotations[n], ky, count, lattice, offset, fraction, whole)
            for i in range(count):
                value = slices[n, j, i] * (phase_x[i] * phase_y[j]).conjugate()
                add(taps, flat, i, offset, fraction, whole, edge, lattice, value)


@kernel
def _scatter_squares(weights, rotations, unit, lattice, row, volume, start, stop):
    offset, fraction, whole, edge = row[:4]
    flat, edge, taps = data(volume), data(edge), lattice.taps
    for n in range(start, stop):
        for j in range(lattice.rows):
            ky, count = row_extent(j, lattice)
            locate(rotations[n], ky, count, lattice, offset, fraction, whole)
            for i in range(count):
                value = weights[n, j, i] * (0.5 * unit if i == 0 else unit)
                add_squared(taps, flat, i, offset, fraction, whole, edge, lattice, value)


@kernel
def _gather_vjp(
    volume, cotangent, rotations, shifts, amplitude, lattice, row,
    by_volume, by_rotation, by_shift, start, stop,
):  # fmt: skip
    offset, fraction, whole, edge, phase_x, phase_y = row
    flat, by_flat, edge, taps = data(volume), data(by_volume), data(edge), lattice.taps
    for n in range(start, stop):
        tabulate_phases(shifts[n], amplitude, lattice, phase_x, phase_y)
        for j in range(lattice.rows):
            ky, count = row_extent(j, lattice)
            locate(rotations[n], ky, count, lattice, offset, fraction, whole)
            sums = (0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0)
            for i in range(count):
                pair = 1.0 if i == 0 else 2.0
                g = cotangent[n, j, i] * (phase_x[i] * phase_y[j]).conjugate()
                local = read_slopes(taps, flat, i, offset, fraction, whole, edge, lattice)
                sums = _pose_sums(sums, pair, i, g, local)
                share = _scaled(0.5 * pair, g)
                add(taps, by_flat, i, offset, fraction, whole, edge, lattice, share)
            _add_pose_sums(sums, ky, lattice, by_rotation[n], by_shift[n])


@kernel
def _misfit(
    volume, images, rotations, shifts, ctf, precision, amplitude, lattice, row,
    by_volume, by_rotation, by_shift, by_ctf, losses, start, stop,
):  # fmt: skip
    # what is None is known when this is compiled, and leaves nothing behind
    offset, fraction, whole, edge, phase_x, phase_y = row
    flat, by_flat, edge, taps = data(volume), data(by_volume), data(edge), lattice.taps
    for n in range(start, stop):
        tabulate_phases(shifts[n], amplitude, lattice, phase_x, phase_y)
        loss = 0.0
        for j in range(lattice.rows):
            ky, count = row_extent(j, lattice)
            locate(rotations[n], ky, count, lattice, offset, fraction, whole)
            sums = (0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0)
            for i in range(count):
                factor = phase = phase_x[i] * phase_y[j]
                if ctf is not None:
                    factor = _scaled(ctf[n, j, i], phase)
                if by_rotation is None:
                    value = read(taps, flat, i, offset, fraction, whole, edge, lattice)
                else:
                    local = read_slopes(taps, flat, i, offset, fraction, whole, edge, lattice)
                    value = local[0]
                residual = value * factor - images[n, j, i]
                w = precision[j, i] * (1.0 if i == 0 else 2.0)
                loss += w * (residual.real**2 + residual.imag**2)
                g = _scaled(w, residual * factor.conjugate())
                share = _scaled(0.5, g)
                add(taps, by_flat, i, offset, fraction, whole, edge, lattice, share)
                if by_rotation is not None:
                    sums = _pose_sums(sums, 1.0, i, g, local)
                if by_ctf is not None:
                    by_ctf[n, j, i] = precision[j, i] * _dot(residual, value * phase)
            if by_rotation is not None:
                _add_pose_sums(sums, ky, lattice, by_rotation[n], by_shift[n])
            if by_ctf is not None:
                by_ctf[n, j, count:] = 0
        losses[n] = loss


@inlined
def _scaled(s, z):
    return complex(s * z.real, s * z.imag)


@inlined
def _dot(a, b):
    return a.real * b.real + a.imag * b.imag


@inlined
def _pose_sums(sums, pair, kx, g, local):
    """Add one sample to the sums over a row: slopes, slopes times kx, and phase rates."""
    value, dx, dy, dz = local
    x, y, z = pair * _dot(g, dx), pair * _dot(g, dy), pair * _dot(g, dz)
    turn = pair * (g.real * value.imag - g.imag * value.real)
    return (
        sums[0] + x, sums[1] + y, sums[2] + z, sums[3] + turn,
        sums[4] + kx * x, sums[5] + kx * y, sums[6] + kx * z, sums[7] + kx * turn,
    )  # fmt: skip


@inlined
def _add_pose_sums(sums, ky, lattice, by_rotation, by_shift):
    """Chain a row's sums to the matrix entries (eq. 7) and the shift (eq. 12)."""
    for axis in range(3):
        by_rotation[axis, 0] += lattice.scale * sums[4 + axis]
        by_rotation[axis, 1] += lattice.scale * ky * sums[axis]
    by_shift[0] += 2 * math.pi / lattice.columns * sums[7]
    by_shift[1] += 2 * math.pi / lattice.rows * ky * sums[3]
