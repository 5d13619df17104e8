"""What the filters of some views are, in array code: for backends and for the composition."""

from __future__ import annotations

from typing import Any

import numpy as np

from fslice._arrays import Array, array_namespace
from fslice._kernels.interface import Filters, SliceGeometry, Views, signed_frequencies

_PIXELS = 1 << 16  # whose CTF is evaluated together


def part_of(views: Views, part: slice) -> Views:
    """Return some of the views, each with its own pose and weight, but not which image it is of."""
    weights = None if views.weights is None else views.weights[part]
    return Views(views.rotations[part], views.shifts[part], None, weights)


def of_images(values: Array, views: Views, part: slice) -> Array:
    """Return, for some of the views, what belongs to the image that each is of."""
    return values[part] if views.image_of is None else values[views.image_of[part]]


def weights_of(filters: Filters, views: Views, part: slice) -> Array | float:
    """Return the weights of the residual in some views: (v or 1, rows, columns//2 + 1), or 1."""
    if filters.weights is None:
        return 1.0
    if filters.group_of is None:
        return filters.weights[:1]
    return filters.weights[of_images(filters.group_of, views, part)]


def ctf_of(
    filters: Filters, views: Views, part: slice, geometry: SliceGeometry, dtype: Any
) -> Array | None:
    """Return the values of the CTF in some views, (v, rows, columns//2 + 1), or None."""
    if filters.ctf is None:
        return None
    chosen = of_images(filters.ctf, views, part)
    return ctf_values(chosen, geometry, dtype) if chosen.ndim == 2 else chosen


def ctf_values(coefficients: Array, geometry: SliceGeometry, dtype: Any) -> Array:
    """Return what `Kernels.ctf_values` says.

    Examples
    --------
    The phase is pi / 2 everywhere, and the envelope is 1:

    >>> from fslice._kernels.interface import LINEAR
    >>> coefficients = np.array([[0.0, 0.0, 0.0, 0.0, -np.pi / 2, 0.0, 3.0]])
    >>> ctf_values(coefficients, SliceGeometry(4, 4, 4, 2, 2, 1.0, 1.0, LINEAR), "float32")
    array([[[3., 3.],
            [3., 3.]]], dtype=float32)
    """
    xp = array_namespace(coefficients)
    kx, ky = signed_frequencies(geometry, xp)
    squares = kx**2 + ky**2
    basis = xp.stack([kx**2 + 0 * ky, kx * ky, 0 * kx + ky**2, squares**2, xp.ones_like(squares)])
    basis, squares = basis.reshape(5, -1), squares.ravel()
    values = xp.empty((len(coefficients), squares.size), dtype)
    step = max(1, _PIXELS // squares.size)
    for start in range(0, len(coefficients), step):
        part = coefficients[start : start + step]
        turns = part[:, :5] / (2 * np.pi) @ basis
        turns -= xp.rint(turns)  # whole turns are dropped before anything is rounded
        waves = xp.sin((2 * np.pi * turns).astype(dtype))
        decay = xp.exp(-part[:, 5, None] * squares)
        values[start : start + step] = -part[:, 6, None] * waves * decay
    return values.reshape((-1, *geometry.slice_shape))
