"""Trilinear sampling of a volume at given positions, its adjoint and its slope.

All three walk the same `_corners`, so they share one boundary rule: zero outside the grid.
Positions are in voxels, x first; two dimensions are bilinear by the same code.
"""

from __future__ import annotations

import functools
import itertools
import operator
from collections.abc import Iterator

from fslice._arrays import Array, array_namespace
from fslice.fourier import crop, pad

# Zeros kept around the volume: a position outside is moved into them, and needs no mask.
_MARGIN = 2


def with_margin(volume: Array) -> Array:
    """Return a cube with the margin of zeros that `sample` and `slopes` expect, flattened."""
    return pad(volume, volume.shape[-1] + 2 * _MARGIN, volume.ndim).ravel()


def empty_with_margin(size: int, dimension: int, like: Array) -> Array:
    """Return zeros for `spread` to add to, in the library and precision of `like`."""
    xp = array_namespace(like)
    return xp.zeros((size + 2 * _MARGIN) ** dimension, like.dtype)


def without_margin(padded: Array, size: int, dimension: int) -> Array:
    """Return the cube of what `spread` has added, a new array."""
    return crop(padded.reshape((size + 2 * _MARGIN,) * dimension), size, dimension).copy()


def sample(padded: Array, positions: Array, size: int) -> Array:
    """Interpolate a volume of box `size` at (d, p) positions: (p,) values."""
    return sum(
        padded[index] * functools.reduce(operator.mul, factors)
        for index, _, factors in _corners(positions, size)
    )


def spread(padded: Array, positions: Array, values: Array, size: int) -> None:
    """Add (p,) values at (d, p) positions in place: the adjoint of `sample`."""
    xp = array_namespace(padded)
    for index, _, factors in _corners(positions, size):
        xp.add.at(padded, index, functools.reduce(operator.mul, factors, values))


def slopes(padded: Array, positions: Array, size: int) -> Array:
    """Return the derivative of each sample along each axis, (d, p): the paper's eq. (7).

    On the faces between cells, where it jumps, it is the one to the right.
    """
    xp = array_namespace(padded)
    result = xp.zeros_like(positions)
    for index, corner, factors in _corners(positions, size):
        values = padded[index]
        for axis, upper in enumerate(corner):
            others = factors[:axis] + factors[axis + 1 :]
            change = functools.reduce(operator.mul, others, values)
            result[axis] += change if upper else -change
    return result


def _corners(
    positions: Array, size: int
) -> Iterator[tuple[Array, tuple[int, ...], tuple[Array, ...]]]:
    """Yield the corners of the cells around the positions.

    Each with its index into the flat array with margin, which side of the cell it is on along
    each axis, and its weight's factor along each axis.
    """
    xp = array_namespace(positions)
    lower = xp.floor(positions)
    upper_weight = positions - lower
    weights = (1 - upper_weight, upper_weight)
    inside = xp.clip(lower, -_MARGIN, size).astype(xp.int64) + _MARGIN
    strides = [(size + 2 * _MARGIN) ** axis for axis in range(len(positions))]
    first = sum(stride * row for stride, row in zip(strides, inside, strict=True))
    for corner in itertools.product((0, 1), repeat=len(positions)):
        step = sum(stride * side for stride, side in zip(strides, corner, strict=True))
        yield first + step, corner, tuple(weights[side][i] for i, side in enumerate(corner))
