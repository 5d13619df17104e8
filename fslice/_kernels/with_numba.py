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

from fslice._arrays import real_dtype
from fslice._kernels.cells import add, read, read_slopes
from fslice._kernels.lattice import Lattice, add_friedel_mates
from fslice._kernels.walk import (
    inlined,
    kernel,
    locate,
    row_extent,
    scratch,
    square_weights,
    tabulate_phases,
)

_ACCUMULATOR_BYTES = 4 << 30  # what private copies of the volume may take together


def gather(volume, rotations, shifts, amplitude, lattice):
    """Sample slices of a volume."""
    volume = np.ascontiguousarray(volume)
    slices = np.empty((len(rotations), *lattice.slice_shape), volume.dtype)

    def run(start: int, stop: int) -> None:
        row = scratch(lattice, real_dtype(volume.dtype))
        _gather(volume, rotations, shifts, amplitude, lattice, row, slices, start, stop)

    _in_threads(run, len(rotations), numba.get_num_threads())
    return slices


def scatter(slices, rotations, shifts, amplitude, lattice):
    """Add slices into a volume: the adjoint of `gather`."""
    slices = np.ascontiguousarray(slices)

    def run(volume: np.ndarray, start: int, stop: int) -> None:
        row = scratch(lattice, real_dtype(slices.dtype))
        _scatter(slices, rotations, shifts, amplitude, lattice, row, volume, start, stop)

    return _accumulated(run, len(rotations), lattice, slices.dtype)


def scatter_squares(weights, rotations, lattice):
    """Add weights into a volume with squared interpolation weights."""
    weights = np.ascontiguousarray(weights)

    def run(volume: np.ndarray, start: int, stop: int) -> None:
        row = scratch(lattice, weights.dtype)
        _scatter_squares(weights, rotations, lattice, row, volume, start, stop)

    return _accumulated(run, len(rotations), lattice, weights.dtype)


def gather_vjp(volume, cotangent, rotations, shifts, amplitude, lattice):
    """Return the gradients of `gather` in volume, rotations and shifts."""
    volume, cotangent = np.ascontiguousarray(volume), np.ascontiguousarray(cotangent)
    by_rotation = np.zeros((len(rotations), 3, 3))
    by_shift = np.zeros((len(rotations), 2))

    def run(by_volume: np.ndarray, start: int, stop: int) -> None:
        row = scratch(lattice, real_dtype(volume.dtype), slopes=True)
        _gather_vjp(
            volume, cotangent, rotations, shifts, amplitude, lattice, row,
            by_volume, by_rotation, by_shift, start, stop,
        )  # fmt: skip

    by_volume = _accumulated(run, len(rotations), lattice, volume.dtype)
    return by_volume, by_rotation, by_shift


def misfit(volume, images, rotations, shifts, ctf, precision, amplitude, lattice):
    """Return each image's weighted squared residual and the gradient of half their sum."""
    volume, images = np.ascontiguousarray(volume), np.ascontiguousarray(images)
    losses = np.zeros(len(rotations))

    def run(by_volume: np.ndarray, start: int, stop: int) -> None:
        row = scratch(lattice, real_dtype(volume.dtype))
        _misfit(
            volume, images, rotations, shifts, ctf, precision, amplitude, lattice, row,
            by_volume, losses, start, stop,
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
    index, weight, slope, phase_x, phase_y = row
    flat = volume.reshape(volume.size)
    for n in range(start, stop):
        tabulate_phases(shifts[n], amplitude, lattice, phase_x, phase_y)
        for j in range(lattice.rows):
            ky, count = row_extent(j, lattice)
            locate(rotations[n], ky, count, lattice, index, weight, slope)
            for i in range(count):
                phase = phase_x[i] * phase_y[j]
                slices[n, j, i] = read(lattice.taps, flat, i, index, weight, lattice) * phase
            slices[n, j, count:] = 0


@kernel
def _scatter(slices, rotations, shifts, amplitude, lattice, row, volume, start, stop):
    index, weight, slope, phase_x, phase_y = row
    flat = volume.reshape(volume.size)
    for n in range(start, stop):
        tabulate_phases(shifts[n], amplitude, lattice, phase_x, phase_y)
        for j in range(lattice.rows):
            ky, count = row_extent(j, lattice)
            locate(rotations[n], ky, count, lattice, index, weight, slope)
            # both halves of the column kx = 0 are stored, so each stands for half a pair
            phase_x[0] *= 0.5
            for i in range(count):
                phase = phase_x[i] * phase_y[j]
                add(
                    lattice.taps,
                    flat,
                    i,
                    index,
                    weight,
                    lattice,
                    slices[n, j, i] * phase.conjugate(),
                )
            phase_x[0] *= 2.0


@kernel
def _scatter_squares(weights, rotations, lattice, row, volume, start, stop):
    index, weight, slope = row[:3]
    flat = volume.reshape(volume.size)
    for n in range(start, stop):
        for j in range(lattice.rows):
            ky, count = row_extent(j, lattice)
            locate(rotations[n], ky, count, lattice, index, weight, slope)
            square_weights(count, weight)
            for i in range(count):
                half = 0.5 if i == 0 else 1.0
                add(lattice.taps, flat, i, index, weight, lattice, half * weights[n, j, i])


@kernel
def _gather_vjp(
    volume, cotangent, rotations, shifts, amplitude, lattice, row,
    by_volume, by_rotation, by_shift, start, stop,
):  # fmt: skip
    index, weight, slope, phase_x, phase_y = row
    flat, by_flat = volume.reshape(volume.size), by_volume.reshape(by_volume.size)
    for n in range(start, stop):
        tabulate_phases(shifts[n], amplitude, lattice, phase_x, phase_y)
        for j in range(lattice.rows):
            ky, count = row_extent(j, lattice)
            locate(rotations[n], ky, count, lattice, index, weight, slope)
            sums = (0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0)
            for i in range(count):
                phase = phase_x[i] * phase_y[j]
                g = cotangent[n, j, i] * phase.conjugate()
                value, dx, dy, dz = read_slopes(
                    lattice.taps, flat, i, index, weight, slope, lattice
                )
                pair = 1.0 if i == 0 else 2.0
                add(lattice.taps, by_flat, i, index, weight, lattice, _scaled(0.5 * pair, g))
                sums = _pose_sums(sums, pair, i, g, value, dx, dy, dz)
            _add_pose_sums(sums, ky, lattice, by_rotation[n], by_shift[n])


@kernel
def _misfit(
    volume, images, rotations, shifts, ctf, precision, amplitude, lattice, row,
    by_volume, losses, start, stop,
):  # fmt: skip
    index, weight, slope, phase_x, phase_y = row
    flat, by_flat = volume.reshape(volume.size), by_volume.reshape(by_volume.size)
    for n in range(start, stop):
        tabulate_phases(shifts[n], amplitude, lattice, phase_x, phase_y)
        loss = 0.0
        for j in range(lattice.rows):
            ky, count = row_extent(j, lattice)
            locate(rotations[n], ky, count, lattice, index, weight, slope)
            for i in range(count):
                factor = phase_x[i] * phase_y[j]
                if ctf is not None:
                    factor = _scaled(ctf[n, j, i], factor)
                residual = (
                    read(lattice.taps, flat, i, index, weight, lattice) * factor - images[n, j, i]
                )
                pair = 1.0 if i == 0 else 2.0
                w = pair * precision[j, i]
                loss += w * (residual.real**2 + residual.imag**2)
                add(
                    lattice.taps,
                    by_flat,
                    i,
                    index,
                    weight,
                    lattice,
                    _scaled(0.5 * w, residual * factor.conjugate()),
                )
        losses[n] = loss


@inlined
def _scaled(s, z):
    return complex(s * z.real, s * z.imag)


@inlined
def _pose_sums(sums, pair, kx, g, value, dx, dy, dz):
    """Add one sample to the sums over a row: slopes, slopes times kx, and phase rates."""
    x = pair * (g.real * dx.real + g.imag * dx.imag)
    y = pair * (g.real * dy.real + g.imag * dy.imag)
    z = pair * (g.real * dz.real + g.imag * dz.imag)
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
