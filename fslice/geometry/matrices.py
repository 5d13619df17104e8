"""Rotation matrices: their check, the angle between two, the gradient in the tangent space."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from fslice._arrays import (
    Array,
    array_namespace,
    check_alike,
    check_cotangent,
    check_finite,
    check_real,
    check_shape,
    placed,
    to_numpy,
)

TOLERANCE = 1e-3
"""How far the entries of ``R.T @ R`` may be from the identity: files round to a few digits."""


def check_rotations(name: str, rotations: Array) -> None:
    """Raise unless the array holds rotation matrices.

    Parameters
    ----------
    name : str
        What the caller's argument is called; the message begins with it.
    rotations : (..., 3, 3) or (..., 2, 2) real array

    Raises
    ------
    ValueError
        The shape is different, an entry is not finite, a matrix is not orthonormal within
        0.001, or it is a reflection.
    TypeError
        Not a float32 or float64 array.

    Examples
    --------
    >>> check_rotations("rotations", np.diag([1.0, 1.0, 2.0]))
    Traceback (most recent call last):
    ...
    ValueError: rotations: expected orthonormal matrices within 0.001, got one off by 3 at index ()
    """
    check_real(name, rotations)
    dimension = 2 if rotations.shape[-1:] == (2,) else 3
    check_shape(name, rotations, (..., dimension, dimension))
    check_finite(name, rotations)
    xp = array_namespace(rotations)
    gram = xp.swapaxes(rotations, -1, -2) @ rotations
    deviation = abs(gram - xp.eye(dimension, dtype=gram.dtype)).max(axis=(-1, -2))
    if bool((deviation > TOLERANCE).any()):
        index, worst = _first(to_numpy(deviation), to_numpy(deviation > TOLERANCE))
        raise ValueError(
            f"{name}: expected orthonormal matrices within {TOLERANCE}, "
            f"got one off by {worst:.3g} at index {index}"
        )
    determinant = _determinant(rotations)
    if bool((determinant < 0).any()):
        index, _ = _first(to_numpy(determinant), to_numpy(determinant < 0))
        raise ValueError(f"{name}: expected determinant +1, got -1 (a reflection) at index {index}")


def _determinant(matrices: Array) -> Array:
    """Return the determinants of 2 x 2 or 3 x 3 matrices."""
    columns = [matrices[..., i] for i in range(matrices.shape[-1])]
    if len(columns) == 2:
        return columns[0][..., 0] * columns[1][..., 1] - columns[0][..., 1] * columns[1][..., 0]
    return (columns[0] * array_namespace(matrices).cross(columns[1], columns[2])).sum(-1)


def _first(values: np.ndarray, bad: np.ndarray) -> tuple[tuple[int, ...], float]:
    """Return the index of the first bad entry and the value there."""
    index = tuple(int(i) for i in np.unravel_index(int(bad.argmax()), bad.shape))
    return index, float(values[index])


class TangentGradients(NamedTuple):
    """Gradients of ``R @ exp([w]x)`` at w = 0."""

    tangent: Array


def tangent_vjp(rotations: Array, *, cotangent: Array) -> TangentGradients:
    """Carry the gradient from matrix entries to the tangent space of the rotations.

    Parameters
    ----------
    rotations : (..., 3, 3) real array, or SciPy Rotation
    cotangent : (..., 3, 3) real array
        Gradient of a scalar with respect to the entries of `rotations`.

    Returns
    -------
    TangentGradients
        ``tangent`` (..., 3) real: the gradient with respect to w, in radians, of the same
        scalar at ``R @ exp([w]x)``, w = 0.

    Raises
    ------
    ValueError
        The shapes are different, or not ``(..., 3, 3)``, or a matrix is no rotation.
    TypeError
        Array libraries are mixed, or precisions differ.

    Notes
    -----
    With ``P = R.T @ G``: ``(P[2, 1] - P[1, 2], P[0, 2] - P[2, 0], P[1, 0] - P[0, 1])``, since
    the derivative of ``sum(G * (R @ [w]x))`` is ``sum(P * [w]x)``. The step that descends is
    ``R @ exp([-rate * gradient]x)``; w is in the axes of the image.

    Examples
    --------
    The z component of the volume's x axis, seen from the image, changes as the image turns
    about its own y axis:

    >>> entry = np.zeros((3, 3))
    >>> entry[0, 2] = 1
    >>> tangent_vjp(np.eye(3), cotangent=entry).tangent
    array([0., 1., 0.])
    """
    rotations = as_matrices(rotations, like=cotangent)
    check_rotations("rotations", rotations)
    check_shape("rotations", rotations, (..., 3, 3))
    check_cotangent(check_real, cotangent, rotations.shape, rotations=rotations)
    xp = array_namespace(rotations, cotangent)
    return TangentGradients(_skew_vector(xp.swapaxes(rotations, -1, -2) @ cotangent))


def _skew_vector(matrices: Array) -> Array:
    """Return w such that ``P - P.T = [w]x``."""
    columns = [
        matrices[..., 2, 1] - matrices[..., 1, 2],
        matrices[..., 0, 2] - matrices[..., 2, 0],
        matrices[..., 1, 0] - matrices[..., 0, 1],
    ]
    return array_namespace(matrices).stack(columns, axis=-1)


def angle_between(a: Array, b: Array) -> Array:
    """Return the angle in degrees of the rotation that leads from one orientation to another.

    Parameters
    ----------
    a, b : (..., 3, 3) real arrays, or SciPy Rotation
        Rotation matrices; their leading dimensions broadcast.

    Returns
    -------
    (...) real array
        From 0 to 180 degrees, accurate at both ends.

    Raises
    ------
    ValueError
        Not rotation matrices (see `check_rotations`).
    TypeError
        Array libraries are mixed, or precisions differ.

    Notes
    -----
    With ``Q = a.T @ b``, ``cos = (trace(Q) - 1) / 2`` and ``sin`` is half the length of the
    vector of ``Q - Q.T``; the arctangent of both is accurate where the arccosine is not.

    Examples
    --------
    >>> from fslice.geometry.euler import euler_to_matrix
    >>> turned = euler_to_matrix(np.array([[0.0, 0.0, 0.0], [0.0, 30.0, 0.0]]))
    >>> angle_between(np.eye(3), turned).round(9)
    array([ 0., 30.])
    """
    a, b = as_matrices(a, like=b), as_matrices(b, like=a)
    check_rotations("a", a)
    check_rotations("b", b)
    xp = array_namespace(a, b)
    check_alike(a=a, b=b)
    relative = xp.swapaxes(a, -1, -2) @ b
    sine = xp.sqrt((_skew_vector(relative) ** 2).sum(-1)) / 2
    cosine = (xp.trace(relative, axis1=-2, axis2=-1) - 1) / 2
    return xp.arctan2(sine, cosine) * (180 / np.pi)


def as_matrices(rotations: Any, like: Array | None = None) -> Array:
    """Return the matrices of SciPy `Rotation` objects, and anything else as it is.

    Parameters
    ----------
    rotations : scipy.spatial.transform.Rotation, or any other value
    like : array, optional
        Where the matrices are to lie: they get its library, its device and its precision.
        Default NumPy, in double precision.

    Returns
    -------
    (..., 3, 3) real array, or `rotations`

    Examples
    --------
    >>> from scipy.spatial.transform import Rotation
    >>> as_matrices(Rotation.identity(5), np.zeros(1, "complex64")).dtype
    dtype('float32')
    """
    if not hasattr(rotations, "as_matrix"):
        return rotations
    beside = like if getattr(like, "dtype", np.dtype("O")).kind in "fc" else None
    return placed(rotations.as_matrix(), beside)
