"""Rotation vectors (axis times angle) and rotation matrices."""

from __future__ import annotations

from math import factorial
from typing import NamedTuple

import numpy as np

from fslice._arrays import (
    Array,
    array_namespace,
    check_cotangent,
    check_finite,
    check_real,
    check_shape,
)
from fslice.geometry.matrices import tangent_vjp
from fslice.geometry.quaternion import matrix_to_quaternion

_CUBIC_SERIES = [(-1) ** k / factorial(2 * k + 3) for k in range(8)]
"""Taylor coefficients of ``(t - sin t) / t**3`` in ``t**2``: 1e-16 relative at t = 1."""


def rotvec_to_matrix(vectors: Array) -> Array:
    """Convert rotation vectors to rotation matrices.

    Parameters
    ----------
    vectors : (..., 3) real array
        The axis times the angle in radians; any length.

    Returns
    -------
    (..., 3, 3) real array
        ``exp([w]x)``, in the precision of `vectors`.

    Raises
    ------
    ValueError
        The last dimension is not 3, or an entry is not finite.
    TypeError
        Not a float32 or float64 array.

    Notes
    -----
    Rodrigues' formula: ``I + (sin t / t) [w]x + ((1 - cos t) / t^2) [w]x [w]x`` with
    ``t = |w|``. Smooth everywhere, at w = 0 too.

    Examples
    --------
    >>> rotvec_to_matrix(np.array([0.0, 0.0, np.pi / 2])).round(12)
    array([[ 0., -1.,  0.],
           [ 1.,  0.,  0.],
           [ 0.,  0.,  1.]])
    """
    _check_vectors(vectors)
    xp = array_namespace(vectors)
    first, second, _ = _coefficients(vectors)
    x, y, z = (vectors[..., i] for i in range(3))
    rows = [
        [
            1 - second * (y * y + z * z),
            second * x * y - first * z,
            second * x * z + first * y,
        ],
        [
            second * x * y + first * z,
            1 - second * (x * x + z * z),
            second * y * z - first * x,
        ],
        [
            second * x * z - first * y,
            second * y * z + first * x,
            1 - second * (x * x + y * y),
        ],
    ]
    return xp.stack([xp.stack(row, axis=-1) for row in rows], axis=-2)


class RotvecGradients(NamedTuple):
    """Gradients of `rotvec_to_matrix`."""

    vectors: Array


def rotvec_to_matrix_vjp(vectors: Array, *, cotangent: Array) -> RotvecGradients:
    """Carry the gradient from matrix entries to rotation vectors.

    Parameters
    ----------
    vectors : (..., 3) real array
        The axis times the angle in radians; any length.
    cotangent : (..., 3, 3) real array
        Gradient of a scalar with respect to the entries of ``rotvec_to_matrix(vectors)``.

    Returns
    -------
    RotvecGradients
        ``vectors`` (..., 3) real: the gradient of the same scalar, per radian.

    Raises
    ------
    ValueError
        The shapes do not fit each other, or an entry is not finite.
    TypeError
        Array libraries are mixed, or precisions differ.

    Notes
    -----
    The transpose of the right Jacobian of the exponential map, applied to g from
    `tangent_vjp`: ``g + ((1 - cos t) / t^2) w x g + ((t - sin t) / t^3) w x (w x g)``.

    Examples
    --------
    >>> entry = np.zeros((3, 3))
    >>> entry[1, 0] = 1  # the sine of a turn about z
    >>> rotvec_to_matrix_vjp(np.zeros(3), cotangent=entry).vectors
    array([0., 0., 1.])
    """
    _check_vectors(vectors)
    check_cotangent(check_real, cotangent, (*vectors.shape[:-1], 3, 3), vectors=vectors)
    xp = array_namespace(vectors)
    gradient = tangent_vjp(rotvec_to_matrix(vectors), cotangent=cotangent).tangent
    _, second, third = _coefficients(vectors)
    once = xp.cross(vectors, gradient)
    twice = xp.cross(vectors, once)
    return RotvecGradients(gradient + second[..., None] * once + third[..., None] * twice)


def matrix_to_rotvec(rotations: Array) -> Array:
    """Convert rotation matrices to the shortest rotation vectors.

    Parameters
    ----------
    rotations : (..., 3, 3) real array, or SciPy Rotation

    Returns
    -------
    (..., 3) real array
        The axis times the angle in radians, of length pi at most. At pi, where both signs
        are the same rotation, the entry of largest magnitude is positive.

    Raises
    ------
    ValueError
        Not rotation matrices (see `check_rotations`).
    TypeError
        Not a float32 or float64 array.

    Notes
    -----
    Through the unit quaternion (v, w): ``2 arctan2(|v|, w) v / |v|``, accurate at angle 0
    and at pi.

    Examples
    --------
    >>> matrix_to_rotvec(np.diag([1.0, -1.0, -1.0])).round(6)  # 180 degrees about x
    array([3.141593, 0.      , 0.      ])
    """
    quaternions = matrix_to_quaternion(rotations)
    xp = array_namespace(quaternions)
    vector, scalar = quaternions[..., :3], quaternions[..., 3:]
    norm = xp.sqrt((vector**2).sum(-1, keepdims=True))
    # Below eps the ratio of arctangent and length is 1 / w; the square may have underflowed.
    small = norm < np.finfo(norm.dtype).eps
    safe = xp.where(small, xp.ones_like(norm), norm)
    return vector * xp.where(small, 2 * xp.ones_like(norm), 2 * xp.arctan2(safe, scalar) / safe)


def _coefficients(vectors: Array) -> tuple[Array, Array, Array]:
    """Return ``sin t / t``, ``(1 - cos t) / t**2`` and ``(t - sin t) / t**3``, t the length."""
    xp = array_namespace(vectors)
    square = (vectors**2).sum(-1)
    angle = xp.sqrt(square)
    zero = angle == 0
    safe = xp.where(zero, xp.ones_like(angle), angle)
    first = xp.where(zero, xp.ones_like(angle), xp.sin(safe) / safe)
    # Twice the squared sine of the half angle: no difference of like numbers.
    half = xp.where(zero, xp.ones_like(angle), xp.sin(safe / 2) / (safe / 2))
    large = xp.where(angle < 1, xp.ones_like(angle), angle)
    series = xp.zeros_like(square)
    for coefficient in reversed(_CUBIC_SERIES):
        series = series * xp.minimum(square, xp.ones_like(square)) + coefficient
    third = xp.where(angle < 1, series, (large - xp.sin(large)) / large**3)
    return first, half**2 / 2, third


def _check_vectors(vectors: Array) -> None:
    check_real("vectors", vectors)
    check_shape("vectors", vectors, (..., 3))
    check_finite("vectors", vectors)
