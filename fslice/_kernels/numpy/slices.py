"""The kernels in plain array code: the definition that the compiled ones must agree with.

`_cells` is the one traversal: for every tap of the interpolation kernel it yields where the
samples fall, with which weight, and where the Friedel mate is stored instead. All functions
take a few images at a time, so that the tables stay in the cache.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

from fslice._arrays import real_dtype
from fslice._kernels import splines
from fslice._kernels.interface import Lattice, add_friedel_mates, band

_SAMPLES = 1 << 16  # of a block of images


class Block(NamedTuple):
    """The samples of a few images: one row per image, one column per sample in the band."""

    images: slice
    fraction: np.ndarray  # (3, n, samples), of the cell
    corner: np.ndarray  # (3, n, samples) integer, the cell's lower corner
    mate: np.ndarray  # True where the sample is read at its Friedel mate
    phase: np.ndarray  # shift phase and amplitude


def gather(volume, rotations, shifts, amplitude, lattice):
    """Sample slices of a volume."""
    slices, inside, flat = (
        _slices(len(rotations), lattice, volume.dtype),
        band(lattice),
        volume.ravel(),
    )
    for block in _blocks(rotations, shifts, amplitude, lattice, volume.dtype):
        slices[block.images, inside] = _read(flat, block, lattice) * block.phase
    return slices


def scatter(slices, rotations, shifts, amplitude, lattice):
    """Add slices into a volume: the adjoint of `gather`."""
    volume, inside = np.zeros(lattice.volume_shape, slices.dtype), band(lattice)
    halves = _pair_weights(lattice) / 2
    for block in _blocks(rotations, shifts, amplitude, lattice, slices.dtype):
        _add(volume, block, lattice, slices[block.images, inside] * block.phase.conj() * halves)
    return add_friedel_mates(volume)


def scatter_squares(weights, rotations, lattice):
    """Add weights into a volume with squared interpolation weights."""
    volume, inside = np.zeros(lattice.volume_shape, weights.dtype), band(lattice)
    halves = _pair_weights(lattice) / 2
    still = np.zeros((len(rotations), 2))
    for block in _blocks(rotations, still, 1.0, lattice, weights.dtype):
        _add(volume, block, lattice, weights[block.images, inside] * halves, power=2)
    return add_friedel_mates(volume)


def gather_vjp(volume, cotangent, rotations, shifts, amplitude, lattice):
    """Return the gradients of `gather` in volume, rotations and shifts."""
    grad_volume, flat, inside = np.zeros_like(volume, order="C"), volume.ravel(), band(lattice)
    grad_rotation = np.zeros((len(rotations), 3, 3))
    grad_shift = np.zeros((len(rotations), 2))
    pairs = _pair_weights(lattice)
    frequencies = np.stack(_frequencies(lattice))
    turns = 2 * np.pi * frequencies / np.array([[lattice.columns], [lattice.rows]])
    for block in _blocks(rotations, shifts, amplitude, lattice, volume.dtype):
        g = cotangent[block.images, inside] * block.phase.conj() * pairs
        _add(grad_volume, block, lattice, g / 2)
        value, *slopes = _read_slopes(flat, block, lattice)
        for axis, slope in enumerate(slopes):
            product = (g.conj() * slope).real
            grad_rotation[block.images, axis, :2] = lattice.scale * product @ frequencies.T
        grad_shift[block.images] = (g.conj() * value).imag @ turns.T
    return add_friedel_mates(grad_volume), grad_rotation, grad_shift


def misfit(volume, images, rotations, shifts, ctf, precision, amplitude, lattice):
    """Return each image's weighted squared residual and the gradient of half their sum."""
    grad_volume, flat, inside = np.zeros_like(volume, order="C"), volume.ravel(), band(lattice)
    losses = np.zeros(len(rotations))
    pairs = _pair_weights(lattice) * precision[inside]
    for block in _blocks(rotations, shifts, amplitude, lattice, volume.dtype):
        factor = block.phase if ctf is None else block.phase * ctf[block.images, inside]
        residual = _read(flat, block, lattice) * factor - images[block.images, inside]
        losses[block.images] = (pairs * abs(residual) ** 2).sum(1, dtype=np.float64)
        _add(grad_volume, block, lattice, residual * factor.conj() * (pairs / 2))
    return losses, add_friedel_mates(grad_volume)


def misfit_gradients(volume, images, rotations, shifts, ctf, precision, amplitude, lattice):
    """Return `misfit` with the gradients in rotations, shifts and, unless it is None, the CTF."""
    poses, inside = (rotations, shifts, amplitude, lattice), band(lattice)
    slices = gather(volume, *poses)
    residual = np.where(inside, (slices if ctf is None else slices * ctf) - images, 0)
    pairs = _pair_weights(lattice) * precision[inside]
    losses = (pairs * abs(residual[:, inside]) ** 2).sum(1, dtype=np.float64)
    cotangent = residual * precision
    grad_ctf = None if ctf is None else (cotangent.conj() * slices).real
    by_poses = gather_vjp(volume, cotangent if ctf is None else cotangent * ctf, *poses)
    return losses, *by_poses, grad_ctf


def _slices(n_images: int, lattice: Lattice, dtype: np.dtype) -> np.ndarray:
    return np.zeros((n_images, *lattice.slice_shape), dtype)


def _frequencies(lattice: Lattice) -> tuple[np.ndarray, np.ndarray]:
    """Return kx and ky of every sample in the band."""
    row, column = np.nonzero(band(lattice))
    return column.astype(float), np.where(row <= (lattice.rows - 1) // 2, row, row - lattice.rows)


def _pair_weights(lattice: Lattice) -> np.ndarray:
    """Return 2 where a sample stands for a Friedel pair, 1 where its mate is stored as well."""
    return np.where(_frequencies(lattice)[0] == 0, 1.0, 2.0).astype(np.float32)


def _blocks(rotations, shifts, amplitude, lattice, dtype) -> Iterator[Block]:
    kx, ky = _frequencies(lattice)
    (columns, at_column), (rows, at_row) = (np.unique(k, return_inverse=True) for k in (kx, ky))
    step = max(1, _SAMPLES // len(kx))
    phases = np.result_type(dtype, np.complex64)
    for start in range(0, len(rotations), step):
        images = slice(start, start + step)
        axes = rotations[images].astype(np.float64) * lattice.scale
        x, y, z = (axes[:, i, :1] * kx + axes[:, i, 1:2] * ky for i in range(3))
        mate = x < 0
        position = np.stack([x, y, z]) * np.where(mate, -1.0, 1.0)
        corner = np.floor(position)
        turns = -2j * np.pi * shifts[images].astype(np.float64) / [lattice.columns, lattice.rows]
        phase_x = amplitude * np.exp(turns[:, :1] * columns)
        phase_y = np.exp(turns[:, 1:] * rows)
        phase = phase_x.astype(phases)[:, at_column] * phase_y.astype(phases)[:, at_row]
        yield Block(
            images,
            (position - corner).astype(real_dtype(dtype)),
            corner.astype(np.int64),
            mate,
            phase,
        )


def _cells(block: Block, lattice: Lattice, power: int = 1, slopes: bool = False) -> Iterator:
    """Yield per tap where it is stored, its weights, and which samples meet its mate there.

    With `slopes` the weights are those of the value and of its derivatives along x, y and z.
    """
    nz, ny, nh = lattice.volume_shape
    axes = list(enumerate((lattice.nx, ny, nz)))
    (x, wx), (y, wy), (z, wz) = (
        _taps(block, lattice, axis, size, splines.WEIGHTS, power) for axis, size in axes
    )
    if slopes:
        sx, sy, sz = (_taps(block, lattice, axis, size, splines.SLOPES)[1] for axis, size in axes)
    rows, planes = (
        [_wrapped(tap, ny) * nh for tap in y],
        [_wrapped(tap, nz) * (ny * nh) for tap in z],
    )
    for c, b in itertools.product(range(len(z)), range(len(y))):
        start, row = planes[c] + rows[b], wz[c] * wy[b]
        for a in range(len(x)):
            index, ghost = start + x[a], None
            if lattice.taps[a] < 0:  # x may be negative: the mate is stored, at -y and -z
                ghost = x[a] < 0
                mirrored = (_wrapped(-z[c], nz) * ny + _wrapped(-y[b], ny)) * nh
                index = np.where(ghost, mirrored - x[a], index)
            weights = [row * wx[a]]
            if slopes:
                weights += [row * sx[a], wz[c] * sy[b] * wx[a], sz[c] * wy[b] * wx[a]]
            yield index, weights, ghost


def _wrapped(k, size):
    """Return where frequencies along y or z are stored: those below zero after the others."""
    return np.where(k < 0, k + size, k)


def _taps(block, lattice, axis, size, polynomials, power=1):
    """Return per tap the signed position along an axis and the weight; zero outside the grid."""
    if size == 1:  # the first tap reads it, whatever the position
        first = np.full_like(block.fraction[axis], polynomials is splines.WEIGHTS)
        others = [np.zeros_like(first)] * (len(lattice.taps) - 1)
        return [np.zeros_like(block.corner[axis])] * len(lattice.taps), [first, *others]
    positions, weights = [], []
    for tap, polynomial in zip(lattice.taps, polynomials[len(lattice.taps)], strict=True):
        weight = splines.evaluate(polynomial, block.fraction[axis])
        position = block.corner[axis] + tap
        inside = abs(position) <= (size - 1) // 2
        positions.append(np.where(inside, position, 0))
        weights.append(np.where(inside, weight**power, 0).astype(weight.dtype))
    return positions, weights


def _read(flat, block, lattice):
    """Return the interpolated values."""
    return _sums(flat, block, lattice, slopes=False)[0]


def _read_slopes(flat, block, lattice):
    """Return the interpolated values and their derivatives along x, y and z of the volume."""
    value, *slopes = _sums(flat, block, lattice, slopes=True)
    # a mate is read at minus the position, which turns the sign of every derivative
    return value, *(np.where(block.mate, -slope, slope) for slope in slopes)


def _sums(flat, block, lattice, slopes):
    sums = np.zeros((4 if slopes else 1, *block.mate.shape), flat.dtype)
    for index, weights, ghost in _cells(block, lattice, slopes=slopes):
        tap = flat[index]
        if ghost is not None:
            np.conjugate(tap, out=tap, where=ghost)
        for number, weight in zip(sums, weights, strict=True):
            number += weight * tap
    return np.conjugate(sums, out=sums, where=block.mate)


def _add(volume, block, lattice, values, power=1):
    """Add values into the cells they are read from, with the same weights."""
    flat, values = volume.reshape(-1), values.astype(volume.dtype)
    values = np.where(block.mate, values.conj(), values)
    for index, (weight,), ghost in _cells(block, lattice, power):
        share = weight * (values if ghost is None else np.where(ghost, values.conj(), values))
        np.add.at(flat, index.ravel(), share.ravel())
