"""The kernels in plain array code: the definition that the compiled ones must agree with.

`_cells` is the one traversal: for every tap of the interpolation kernel it yields where the
samples fall, with which weight, and where the Friedel mate is stored instead. All functions
take a few views at a time, so that the tables stay in the cache.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np

from fslice._arrays import Array, array_namespace, real_dtype
from fslice._kernels import splines
from fslice._kernels.filters import of_images
from fslice._kernels.interface import (
    SliceGeometry,
    Views,
    add_friedel_mates,
    band,
    signed_frequencies,
)

_SAMPLES = 1 << 16  # of a block of views


class Block(NamedTuple):
    """The samples of a few views: one row per view, one column per sample in the band."""

    views: slice
    fraction: np.ndarray  # (3, n, samples), of the cell
    corner: np.ndarray  # (3, n, samples) integer, the cell's lower corner
    mate: np.ndarray  # True where the sample is read at its Friedel mate
    phase: np.ndarray  # shift phase and amplitude


def gather(volume, views, amplitude, geometry, out=None):
    """Sample slices of a volume."""
    slices = _slices(views, geometry, volume.dtype) if out is None else out
    slices[...] = 0
    inside, flat = band(geometry), volume.ravel()
    for block in _blocks(views, amplitude, geometry, volume.dtype):
        (value,) = _read(flat, block, geometry, order=0)
        slices[block.views, inside] = value * block.phase
    return slices


def gather_slopes(volume, views, amplitude, geometry):
    """Sample slices and their derivatives along x, y and z of the volume."""
    slices, inside, flat = _slices(views, geometry, volume.dtype), band(geometry), volume.ravel()
    slopes = np.zeros((3, *slices.shape), slices.dtype)
    for block in _blocks(views, amplitude, geometry, volume.dtype):
        value, *along = _read(flat, block, geometry, order=1)
        slices[block.views, inside] = value * block.phase
        for axis, slope in enumerate(along):
            slopes[axis][block.views, inside] = slope * block.phase
    return slices, slopes


def gather_curvatures(volume, views, amplitude, geometry):
    """Sample slices, their derivatives, and their second derivatives xx, xy, xz, yy, yz, zz.

    In arrays of any library.
    """
    xp, n = array_namespace(volume), len(views.rotations)
    places, flat = xp.flatnonzero(band(geometry, xp)), volume.ravel()
    sums = xp.zeros((10, n, math.prod(geometry.slice_shape)), volume.dtype)
    for block in _blocks(views, amplitude, geometry, volume.dtype):
        sums[:, block.views, places] = _read(flat, block, geometry, order=2) * block.phase
    sums = sums.reshape((10, n, *geometry.slice_shape))
    return sums[0], sums[1:4], sums[4:]


def scatter(slices, views, amplitude, geometry):
    """Add slices into a volume: the adjoint of `gather`."""
    volume, inside = np.zeros(geometry.volume_shape, slices.dtype), band(geometry)
    for block in _blocks(views, amplitude, geometry, slices.dtype):
        own = of_images(slices, views, block.views)[:, inside]
        own = own * block.phase.conj() * _shares(views, block, geometry)
        _add(volume, block, geometry, own)
    return add_friedel_mates(volume)


def scatter_squares(values, views, geometry):
    """Add values into a volume with squared interpolation weights."""
    volume, inside = np.zeros(geometry.volume_shape, values.dtype), band(geometry)
    for block in _blocks(views, 1.0, geometry, values.dtype):
        own = of_images(values, views, block.views)[:, inside] * _shares(views, block, geometry)
        _add(volume, block, geometry, own, power=2)
    return add_friedel_mates(volume)


def _slices(views: Views, geometry: SliceGeometry, dtype: np.dtype) -> np.ndarray:
    return np.zeros((len(views.rotations), *geometry.slice_shape), dtype)


def _frequencies(geometry: SliceGeometry, xp: Any = np) -> tuple[Array, Array]:
    """Return kx and ky of every sample in the band."""
    inside = band(geometry, xp)
    kx, ky = (xp.broadcast_to(k, inside.shape) for k in signed_frequencies(geometry, xp))
    return kx[inside], ky[inside]


def _shares(views: Views, block: Block, geometry: SliceGeometry) -> np.ndarray:
    """Return how much of each sample is added: all, or half of a Friedel pair on ``kx = 0``."""
    shares = np.where(_frequencies(geometry)[0] == 0, 0.5, 1.0).astype(np.float32)
    return shares if views.weights is None else shares * views.weights[block.views, None]


def _blocks(views, amplitude, geometry, dtype) -> Iterator[Block]:
    xp = array_namespace(views.rotations)
    kx, ky = _frequencies(geometry, xp)
    at_row, at_column = xp.nonzero(band(geometry, xp))
    columns, rows = (k.ravel() for k in signed_frequencies(geometry, xp))
    step = max(1, _SAMPLES // len(kx))
    phases = np.result_type(dtype, np.complex64)
    for start in range(0, len(views.rotations), step):
        part = slice(start, start + step)
        axes = views.rotations[part].astype(np.float64) * geometry.scale
        x, y, z = (axes[:, i, :1] * kx + axes[:, i, 1:2] * ky for i in range(3))
        mate = x < 0
        position = xp.stack([x, y, z]) * xp.where(mate, -1.0, 1.0)
        corner = xp.floor(position)
        turns = -2j * np.pi * views.shifts[part].astype(np.float64)
        phase_x = amplitude * xp.exp(turns[:, :1] / geometry.columns * columns)
        phase_y = xp.exp(turns[:, 1:] / geometry.rows * rows)
        phase = phase_x.astype(phases)[:, at_column] * phase_y.astype(phases)[:, at_row]
        yield Block(
            part,
            (position - corner).astype(real_dtype(dtype)),
            corner.astype(np.int64),
            mate,
            phase,
        )


def _cells(block: Block, geometry: SliceGeometry, power: int = 1, order: int = 0) -> Iterator:
    """Yield per tap where it is stored, its weights, and which samples meet its mate there.

    The weights are those of the value; from order 1 on also of its derivatives along x, y and z;
    with order 2 also of the second ones, xx, xy, xz, yy, yz and zz.
    """
    nz, ny, nh = geometry.volume_shape
    axes = list(enumerate((geometry.nx, ny, nz)))
    (x, wx), (y, wy), (z, wz) = (
        _taps(block, geometry, axis, size, splines.WEIGHTS, power) for axis, size in axes
    )
    if order > 0:
        sx, sy, sz = (_taps(block, geometry, axis, size, splines.SLOPES)[1] for axis, size in axes)
    if order > 1:
        cx, cy, cz = (
            _taps(block, geometry, axis, size, splines.CURVATURES)[1] for axis, size in axes
        )
    rows, planes = (
        [_wrapped(tap, ny) * nh for tap in y],
        [_wrapped(tap, nz) * (ny * nh) for tap in z],
    )
    for c, b in itertools.product(range(len(z)), range(len(y))):
        start, row = planes[c] + rows[b], wz[c] * wy[b]
        for a in range(len(x)):
            index, ghost = start + x[a], None
            if geometry.taps[a] < 0:  # x may be negative: the mate is stored, at -y and -z
                ghost = x[a] < 0
                mirrored = (_wrapped(-z[c], nz) * ny + _wrapped(-y[b], ny)) * nh
                index = array_namespace(index).where(ghost, mirrored - x[a], index)
            weights = [row * wx[a]]
            if order > 0:
                weights += [row * sx[a], wz[c] * sy[b] * wx[a], sz[c] * wy[b] * wx[a]]
            if order > 1:
                weights += [row * cx[a], wz[c] * sy[b] * sx[a], sz[c] * wy[b] * sx[a]]
                weights += [wz[c] * cy[b] * wx[a], sz[c] * sy[b] * wx[a], cz[c] * wy[b] * wx[a]]
            yield index, weights, ghost


def _wrapped(k, size):
    """Return where frequencies along y or z are stored: those below zero after the others."""
    return array_namespace(k).where(k < 0, k + size, k)


def _taps(block, geometry, axis, size, polynomials, power=1):
    """Return per tap the signed position along an axis and the weight; zero outside the grid."""
    xp = array_namespace(block.mate)
    if size == 1:  # the first tap reads it, whatever the position
        first = xp.full_like(block.fraction[axis], polynomials is splines.WEIGHTS)
        others = [xp.zeros_like(first)] * (len(geometry.taps) - 1)
        return [xp.zeros_like(block.corner[axis])] * len(geometry.taps), [first, *others]
    positions, weights = [], []
    for tap, polynomial in zip(geometry.taps, polynomials[len(geometry.taps)], strict=True):
        weight = splines.evaluate(polynomial, block.fraction[axis])
        position = block.corner[axis] + tap
        inside = abs(position) <= (size - 1) // 2
        positions.append(xp.where(inside, position, 0))
        weights.append(xp.where(inside, weight**power, 0).astype(weight.dtype))
    return positions, weights


def _read(flat, block, geometry, order):
    """Return the interpolated values, then the derivatives of each order, as `_cells` says."""
    xp = array_namespace(flat)
    sums = xp.zeros(((1, 4, 10)[order], *block.mate.shape), flat.dtype)
    for index, weights, ghost in _cells(block, geometry, order=order):
        tap = flat[index]
        if ghost is not None:
            tap = xp.where(ghost, tap.conj(), tap)
        for number, weight in enumerate(weights):
            sums[number] += weight * tap
    sums = xp.where(block.mate, sums.conj(), sums)
    # a mate is read at minus the position, which turns the sign of odd derivatives
    sums[1:4] = xp.where(block.mate, -sums[1:4], sums[1:4])
    return sums


def _add(volume, block, geometry, values, power=1):
    """Add values into the cells they are read from, with the same weights."""
    flat, values = volume.reshape(-1), values.astype(volume.dtype)
    values = np.where(block.mate, values.conj(), values)
    for index, (weight,), ghost in _cells(block, geometry, power):
        share = weight * (values if ghost is None else np.where(ghost, values.conj(), values))
        np.add.at(flat, index.ravel(), share.ravel())
