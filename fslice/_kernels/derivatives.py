"""Derivatives of slices in their poses, in array code, from those in the position of samples.

Coordinates of a pose are (wx, wy, wz, tx, ty): ``R exp([w]x)`` and ``t + (tx, ty)``. A turn moves
the sample at k = (kx, ky, 0) to ``k + w x k + w x (w x k) / 2 + ...``, in the axes of the image.
"""

from __future__ import annotations

import numpy as np

from fslice._arrays import Array, array_namespace
from fslice._kernels.interface import SliceGeometry, signed_frequencies


def first_derivatives(
    rotations: Array, values: Array, slopes: Array, geometry: SliceGeometry
) -> list[Array]:
    """Return the derivatives of (v, rows, columns//2 + 1) slices in the five coordinates."""
    kx, ky = signed_frequencies(geometry, array_namespace(values))
    x, y, z = _in_image_axes(rotations, slopes, geometry)
    rate_x, rate_y = _rates(geometry, kx, ky)
    return [ky * z, -kx * z, kx * y - ky * x, rate_x * values, rate_y * values]


def second_derivatives(
    rotations: Array, values: Array, slopes: Array, curvatures: Array, geometry: SliceGeometry
) -> dict[tuple[int, int], Array]:
    """Return the second derivatives of slices, by their two coordinates, of which a <= b.

    With the gradient g and the Hessian H of the volume in the axes of the image, and the motions
    ``e_a x k``, that of two turns is ``(e_a x k).H (e_b x k) + g.(e_a k_b + e_b k_a) / 2``, less
    ``g.k`` where a = b: the second order of the turn.
    """
    kx, ky = signed_frequencies(geometry, array_namespace(values))
    x, y, z = _in_image_axes(rotations, slopes, geometry)
    xx, xy, xz, yy, yz, zz = _hessian_in_image_axes(rotations, curvatures, geometry)
    rates = _rates(geometry, kx, ky)
    across = kx * yz - ky * xz  # along the beam, and along the turn in the plane
    turns = {
        (0, 0): ky**2 * zz - ky * y,
        (0, 1): -kx * ky * zz + (ky * x + kx * y) / 2,
        (1, 1): kx**2 * zz - kx * x,
        (0, 2): ky * across + kx * z / 2,
        (1, 2): -kx * across + ky * z / 2,
        (2, 2): ky**2 * xx - 2 * kx * ky * xy + kx**2 * yy - kx * x - ky * y,
    }
    first = first_derivatives(rotations, values, slopes, geometry)
    shifts = {
        (a, 3 + axis): rate * first[a] for axis, rate in enumerate(rates) for a in range(4 + axis)
    }
    return turns | shifts


def _rates(geometry: SliceGeometry, kx: Array, ky: Array) -> tuple[Array, Array]:
    """Return what multiplies a slice in its derivatives in the shift (eq. 12)."""
    return -2j * np.pi / geometry.columns * kx, -2j * np.pi / geometry.rows * ky


def _in_image_axes(rotations: Array, slopes: Array, geometry: SliceGeometry) -> list[Array]:
    return [
        geometry.scale
        * sum(rotations[:, axis, column, None, None] * slopes[axis] for axis in range(3))
        for column in range(3)
    ]


def _hessian_in_image_axes(
    rotations: Array, curvatures: Array, geometry: SliceGeometry
) -> list[Array]:
    """Return ``scale^2 R^T H R``, its entries xx, xy, xz, yy, yz and zz."""
    place = ((0, 1, 2), (1, 3, 4), (2, 4, 5))
    columns = [
        [sum(rotations[:, i, b, None, None] * curvatures[place[a][i]] for i in range(3))
         for b in range(3)]
        for a in range(3)
    ]  # fmt: skip
    return [
        geometry.scale**2 * sum(rotations[:, i, a, None, None] * columns[i][b] for i in range(3))
        for a in range(3)
        for b in range(a, 3)
    ]
