"""Reading slices and adding them, compiled.

Each kernel walks over the rows of its slices: `locate` tabulates a row's samples, `footprint` reads
them or adds to them, and what is done to a row in between the compiler vectorises. Threads take
ranges of views, each with a buffer of its own and, where the kernel adds into a volume, with a
volume of its own.
"""

from __future__ import annotations

import numpy as np

from fslice._arrays import real_dtype
from fslice._kernels import splines
from fslice._kernels.interface import Views
from fslice._kernels.numba.buffer import data, inlined, kernel, pointers, two_rows
from fslice._kernels.numba.footprint import add, apply_friedel, locate_row, read, read_slopes
from fslice._kernels.numba.traversal import tabulate_phases


def complete(views: Views, dtype) -> Views:
    """Return views with every array that the compiled kernels take, for volumes of that type."""
    n, real = len(views.rotations), real_dtype(dtype)
    image_of = np.arange(n) if views.image_of is None else views.image_of
    weights = np.ones(n, real) if views.weights is None else views.weights.astype(real, copy=False)
    return Views(views.rotations, views.shifts, image_of, weights)


def gather(kernels, volume, views, amplitude, geometry, out=None):
    """Return what `Kernels.gather` says."""
    n, volume = len(views.rotations), np.ascontiguousarray(volume)
    slices = np.empty((n, *geometry.slice_shape), volume.dtype) if out is None else out

    def run(buffer, start: int, stop: int) -> None:
        pose = views.rotations, views.shifts, amplitude
        _gather(volume, *pose, geometry, buffer, slices, start, stop)

    kernels.for_each(run, n, geometry, volume.dtype)
    return slices


def gather_slopes(kernels, volume, views, amplitude, geometry):
    """Return what `Kernels.gather_slopes` says."""
    n, volume = len(views.rotations), np.ascontiguousarray(volume)
    slices = np.empty((n, *geometry.slice_shape), volume.dtype)
    slopes = np.empty((3, *slices.shape), volume.dtype)

    def run(buffer, start: int, stop: int) -> None:
        pose = views.rotations, views.shifts, amplitude
        _gather_slopes(volume, *pose, geometry, buffer, slices, slopes, start, stop)

    kernels.for_each(run, n, geometry, volume.dtype)
    return slices, slopes


def scatter(kernels, slices, views, amplitude, geometry):
    """Return what `Kernels.scatter` says."""
    slices, views = np.ascontiguousarray(slices), complete(views, slices.dtype)

    def run(volume: np.ndarray, buffer, start: int, stop: int) -> None:
        _scatter(slices, *views, amplitude, geometry, buffer, volume, start, stop)

    return kernels.accumulated(run, views.rotations, geometry, slices.dtype)


def scatter_squares(kernels, values, views, geometry):
    """Return what `Kernels.scatter_squares` says."""
    values, views = np.ascontiguousarray(values), complete(views, values.dtype)
    # all taps meet an axis of one frequency: their weights sum to one there, their squares do not
    squares = sum(polynomial[0] ** 2 for polynomial in splines.WEIGHTS[len(geometry.taps)])
    unit = squares ** -sum(size == 1 for size in (geometry.nz, geometry.ny, geometry.nx))

    def run(volume: np.ndarray, buffer, start: int, stop: int) -> None:
        own = views.rotations, views.image_of, views.weights
        _scatter_squares(values, *own, unit, geometry, buffer, volume, start, stop)

    return kernels.accumulated(run, views.rotations, geometry, values.dtype)


@kernel
def _gather(volume, rotations, shifts, amplitude, geometry, buffer, slices, start, stop):
    flat, taps, buffer = data(volume), geometry.taps, pointers(buffer)
    for v in range(start, stop):
        tabulate_phases(shifts[v], amplitude, geometry, buffer)
        for j in range(geometry.rows):
            _, count = locate_row(j, taps, flat, rotations[v], geometry, buffer)
            read(taps, flat, None, count, geometry, buffer)
            for i in range(count):
                phase = buffer.phase_x[i] * buffer.phase_y[j]
                slices[v, j, i] = apply_friedel(buffer, i, buffer.value[i]) * phase
            slices[v, j, count:] = 0


@kernel
def _gather_slopes(
    volume, rotations, shifts, amplitude, geometry, buffer, slices, slopes, start, stop
):
    flat, taps, buffer = data(volume), geometry.taps, pointers(buffer)
    for v in range(start, stop):
        tabulate_phases(shifts[v], amplitude, geometry, buffer)
        for j in range(geometry.rows):
            _, count = locate_row(j, taps, flat, rotations[v], geometry, buffer)
            read_slopes(taps, flat, None, count, geometry, buffer)
            for i in range(count):
                phase = buffer.phase_x[i] * buffer.phase_y[j]
                turned = buffer.sign[i] * phase  # at the mate dq = -dp
                slices[v, j, i] = apply_friedel(buffer, i, buffer.value[i]) * phase
                slopes[0, v, j, i] = apply_friedel(buffer, i, buffer.slope_x[i]) * turned
                slopes[1, v, j, i] = apply_friedel(buffer, i, buffer.slope_y[i]) * turned
                slopes[2, v, j, i] = apply_friedel(buffer, i, buffer.slope_z[i]) * turned
            slices[v, j, count:] = 0
            slopes[:, v, j, count:] = 0


@kernel
def _scatter(
    slices, rotations, shifts, image_of, weights, amplitude, geometry, buffer, volume, start, stop
):
    flat, taps = data(volume), geometry.taps
    even, odd = two_rows(buffer)
    for v in range(start, stop):
        image, rotation = slices[image_of[v]], rotations[v]
        tabulate_phases(shifts[v], amplitude * weights[v], geometry, even)
        even.phase_x[0] *= 0.5  # both halves of the column kx = 0 are stored: each is half a pair
        _, count = locate_row(0, taps, flat, rotation, geometry, even)
        for j in range(0, geometry.rows, 2):  # in pairs: swapping buffers cost a tenth
            _, after = locate_row(j + 1, taps, flat, rotation, geometry, odd)
            _scatter_row(taps, flat, image, j, count, geometry, even)
            _, count = locate_row(j + 2, taps, flat, rotation, geometry, even)
            _scatter_row(taps, flat, image, j + 1, after, geometry, odd)


@inlined
def _scatter_row(taps, flat, image, j, count, geometry, buffer):
    """Add row `j` of an image at the samples that `buffer` has of it."""
    for i in range(count):
        phase = buffer.phase_x[i] * buffer.phase_y[j]
        buffer.value[i] = apply_friedel(buffer, i, image[j, i] * phase.conjugate())
    add(taps, flat, count, geometry, buffer)


@kernel
def _scatter_squares(
    values, rotations, image_of, weights, unit, geometry, buffer, volume, start, stop
):
    flat, taps, buffer = data(volume), geometry.taps, pointers(buffer)
    for v in range(start, stop):
        image, weight = image_of[v], unit * weights[v]
        for j in range(geometry.rows):
            _, count = locate_row(j, taps, flat, rotations[v], geometry, buffer)
            for i in range(count):
                buffer.value[i] = values[image, j, i] * (weight * buffer.pairs[i])
            add(taps, flat, count, geometry, buffer, True)
