"""Quaternions, scalar last, and rotation matrices."""

from __future__ import annotations

from typing import NamedTuple

from fslice._arrays import (
    Array,
    array_namespace,
    check_cotangent,
    check_finite,
    check_real,
    check_shape,
)
from fslice.geometry.matrices import as_matrices, check_rotations, tangent_vjp


def quaternion_to_matrix(quaternions: Array) -> Array:
    """Convert quaternions to rotation matrices.

    Parameters
    ----------
    quaternions : (..., 4) real array
        ``(x, y, z, w)``, the scalar last as in SciPy. They are normalised here: any
        multiple, negative ones too, is the same rotation.

    Returns
    -------
    (..., 3, 3) real array
        In the precision of `quaternions`.

    Raises
    ------
    ValueError
        The last dimension is not 4, an entry is not finite, or a quaternion is zero.
    TypeError
        Not a float32 or float64 array.

    Notes
    -----
    ``R = I + 2 w [v]x + 2 [v]x [v]x`` for the unit quaternion of vector v and scalar w.

    Examples
    --------
    >>> import numpy as np
    >>> quaternion_to_matrix(np.array([0.0, 0.0, 1.0, 1.0])).round(12)  # 90 degrees about z
    array([[ 0., -1.,  0.],
           [ 1.,  0.,  0.],
           [ 0.,  0.,  1.]])
    """
    _check_quaternions(quaternions)
    xp = array_namespace(quaternions)
    x, y, z, w = (_unit(quaternions)[0][..., i] for i in range(4))
    rows = [
        [1 - 2 * (y * y + z * z), 2 * (x * y - w * z), 2 * (x * z + w * y)],
        [2 * (x * y + w * z), 1 - 2 * (x * x + z * z), 2 * (y * z - w * x)],
        [2 * (x * z - w * y), 2 * (y * z + w * x), 1 - 2 * (x * x + y * y)],
    ]
    return xp.stack([xp.stack(row, axis=-1) for row in rows], axis=-2)


class QuaternionGradients(NamedTuple):
    """Gradients of `quaternion_to_matrix`."""

    quaternions: Array


def quaternion_to_matrix_vjp(quaternions: Array, *, cotangent: Array) -> QuaternionGradients:
    """Carry the gradient from matrix entries to quaternions.

    Parameters
    ----------
    quaternions : (..., 4) real array
        ``(x, y, z, w)`` of any length but zero.
    cotangent : (..., 3, 3) real array
        Gradient of a scalar with respect to the entries of
        ``quaternion_to_matrix(quaternions)``.

    Returns
    -------
    QuaternionGradients
        ``quaternions`` (..., 4) real: the gradient of the same scalar with respect to the
        quaternions as given. It is orthogonal to them, because their length has no effect.

    Raises
    ------
    ValueError
        The shapes do not fit each other, an entry is not finite, or a quaternion is zero.
    TypeError
        Array libraries are mixed, or precisions differ.

    Notes
    -----
    A change of q turns the image by twice the vector of ``conj(q) dq / |q|^2`` about its own
    axes. With g from `tangent_vjp` and the unit quaternion (v, w), the gradient is
    ``2 (w g + v x g, -v . g) / |q|``.

    Examples
    --------
    >>> import numpy as np
    >>> entry = np.zeros((3, 3))
    >>> entry[1, 0] = 1  # the sine of a turn about z
    >>> gradients = quaternion_to_matrix_vjp(np.array([0.0, 0.0, 0.0, 2.0]), cotangent=entry)
    >>> gradients.quaternions + 0.0
    array([0., 0., 1., 0.])
    """
    _check_quaternions(quaternions)
    check_cotangent(check_real, cotangent, (*quaternions.shape[:-1], 3, 3), quaternions=quaternions)
    xp = array_namespace(quaternions)
    unit, norm = _unit(quaternions)
    vector, scalar = unit[..., :3], unit[..., 3:]
    gradient = tangent_vjp(quaternion_to_matrix(quaternions), cotangent=cotangent).tangent
    per_unit = xp.concatenate(
        [
            scalar * gradient + xp.cross(vector, gradient),
            -(vector * gradient).sum(-1, keepdims=True),
        ],
        axis=-1,
    )
    return QuaternionGradients((2 / norm) * per_unit)


def matrix_to_quaternion(rotations: Array) -> Array:
    """Convert rotation matrices to unit quaternions.

    Parameters
    ----------
    rotations : (..., 3, 3) real array, or SciPy Rotation

    Returns
    -------
    (..., 4) real array
        ``(x, y, z, w)`` of length 1 with w >= 0. At 180 degrees, where w = 0 and both signs
        are the same rotation, the entry of largest magnitude is positive.

    Raises
    ------
    ValueError
        Not rotation matrices (see `check_rotations`).
    TypeError
        Not a float32 or float64 array.

    Notes
    -----
    The entries of ``4 q q.T`` are sums of entries of R; its row with the largest diagonal
    entry is a multiple of q that never comes from a difference of like numbers.

    Examples
    --------
    >>> import numpy as np
    >>> matrix_to_quaternion(np.diag([-1.0, -1.0, 1.0]))  # 180 degrees about z
    array([0., 0., 1., 0.])
    """
    rotations = as_matrices(rotations)
    check_rotations("rotations", rotations)
    check_shape("rotations", rotations, (..., 3, 3))
    xp = array_namespace(rotations)
    outer = _four_outer_products(rotations)
    diagonal = xp.stack([outer[..., i, i] for i in range(4)], axis=-1)
    largest = diagonal.argmax(axis=-1)[..., None, None]
    unit, _ = _unit(xp.take_along_axis(outer, largest, axis=-2)[..., 0, :])
    return xp.where(unit[..., 3:] < 0, -unit, unit) + 0.0


def _four_outer_products(rotations: Array) -> Array:
    """Return ``4 q q.T`` of the unit quaternions of rotation matrices."""
    xp = array_namespace(rotations)
    (a, b, c), (d, e, f), (g, h, i) = (
        [rotations[..., row, column] for column in range(3)] for row in range(3)
    )
    rows = [
        [1 + a - e - i, b + d, c + g, h - f],
        [b + d, 1 - a + e - i, f + h, c - g],
        [c + g, f + h, 1 - a - e + i, d - b],
        [h - f, c - g, d - b, 1 + a + e + i],
    ]
    return xp.stack([xp.stack(row, axis=-1) for row in rows], axis=-2)


def _unit(quaternions: Array) -> tuple[Array, Array]:
    """Return quaternions of length 1, and the lengths; safe from overflow and underflow."""
    largest = abs(quaternions).max(axis=-1, keepdims=True)
    scaled = quaternions / largest
    norm = array_namespace(quaternions).sqrt((scaled**2).sum(-1, keepdims=True))
    return scaled / norm, largest * norm


def _check_quaternions(quaternions: Array) -> None:
    check_real("quaternions", quaternions)
    check_shape("quaternions", quaternions, (..., 4))
    check_finite("quaternions", quaternions)
    zero = int((abs(quaternions).max(axis=-1) == 0).sum())
    if zero:
        raise ValueError(f"quaternions: expected nonzero quaternions, got {zero} that are zero")
