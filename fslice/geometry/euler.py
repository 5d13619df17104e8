"""Euler angles in the ZYZ convention (rot, tilt, psi) and rotation matrices."""

from __future__ import annotations

from math import pi
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


def euler_to_matrix(angles: Array) -> Array:
    """Convert ZYZ Euler angles to rotation matrices.

    Parameters
    ----------
    angles : (..., 3) real array
        rot, tilt and psi in degrees.

    Returns
    -------
    (..., 3, 3) real array
        ``Rz(rot) @ Ry(tilt) @ Rz(psi)``, in the precision of `angles`: what SciPy's
        ``Rotation.from_euler("ZYZ", angles, degrees=True).as_matrix()`` gives.

    Raises
    ------
    ValueError
        The last dimension is not 3, or an angle is not finite.
    TypeError
        Not a float32 or float64 array.

    Notes
    -----
    The volume is seen along the direction of azimuth rot and polar angle tilt, and psi turns
    the image in its plane (Ullrich et al. 2019, section 4.1, uses the same angles).

    Examples
    --------
    A tilt of 90 degrees looks along the volume's x axis (column 2):

    >>> import numpy as np
    >>> euler_to_matrix(np.array([0.0, 90.0, 0.0])).round(12) + 0.0
    array([[ 0.,  0.,  1.],
           [ 0.,  1.,  0.],
           [-1.,  0.,  0.]])
    """
    _check_angles(angles)
    (sa, ca), (sb, cb), (sc, cc) = _sines_and_cosines(angles)
    xp = array_namespace(angles)
    rows = [
        [ca * cb * cc - sa * sc, -ca * cb * sc - sa * cc, ca * sb],
        [sa * cb * cc + ca * sc, -sa * cb * sc + ca * cc, sa * sb],
        [-sb * cc, sb * sc, cb],
    ]
    return xp.stack([xp.stack(row, axis=-1) for row in rows], axis=-2)


class EulerGradients(NamedTuple):
    """Gradients of `euler_to_matrix`."""

    angles: Array


def euler_to_matrix_vjp(angles: Array, *, cotangent: Array) -> EulerGradients:
    """Carry the gradient from matrix entries to Euler angles.

    Parameters
    ----------
    angles : (..., 3) real array
        rot, tilt and psi in degrees.
    cotangent : (..., 3, 3) real array
        Gradient of a scalar with respect to the entries of ``euler_to_matrix(angles)``.

    Returns
    -------
    EulerGradients
        ``angles`` (..., 3) real: the gradient of the same scalar, per degree.

    Raises
    ------
    ValueError
        The shapes do not fit each other, or an angle is not finite.
    TypeError
        Array libraries are mixed, or precisions differ.

    Notes
    -----
    A change of rot, tilt or psi turns the image about its own axes ``R.T @ z``,
    ``Rz(psi).T @ y`` or ``z``; the gradient is the projection of `tangent_vjp` on them. At
    tilt 0 and 180 degrees the axes of rot and psi coincide: the gradient is right there too,
    but no step in the angles tilts about the third direction.

    Examples
    --------
    >>> import numpy as np
    >>> cosine = np.zeros((3, 3))
    >>> cosine[2, 2] = 1  # R[2, 2] is the cosine of tilt
    >>> gradients = euler_to_matrix_vjp(np.array([10.0, 90.0, 20.0]), cotangent=cosine)
    >>> np.allclose(gradients.angles, [0, -np.pi / 180, 0])
    True
    """
    _check_angles(angles)
    check_cotangent(check_real, cotangent, (*angles.shape[:-1], 3, 3), angles=angles)
    _, (sb, cb), (sc, cc) = _sines_and_cosines(angles)
    gradient = tangent_vjp(euler_to_matrix(angles), cotangent=cotangent).tangent
    x, y, z = (gradient[..., i] for i in range(3))
    per_radian = [-sb * cc * x + sb * sc * y + cb * z, sc * x + cc * y, z]
    return EulerGradients(array_namespace(angles).stack(per_radian, axis=-1) * (pi / 180))


def matrix_to_euler(rotations: Array) -> Array:
    """Convert rotation matrices to ZYZ Euler angles.

    Parameters
    ----------
    rotations : (..., 3, 3) real array, or SciPy Rotation

    Returns
    -------
    (..., 3) real array
        rot, tilt and psi in degrees: rot and psi from -180 to 180, tilt from 0 to 180.

    Raises
    ------
    ValueError
        Not rotation matrices (see `check_rotations`).
    TypeError
        Not a float32 or float64 array.

    Notes
    -----
    At tilt 0 and 180 degrees only the sum or the difference of rot and psi is determined;
    rot is then 0. psi is read from ``Rz(rot).T @ R``, whatever rot came out, so
    `euler_to_matrix` gives the same matrix back to rounding error at every tilt.

    Examples
    --------
    >>> import numpy as np
    >>> matrix_to_euler(euler_to_matrix(np.array([10.0, 20.0, 30.0]))).round(9)
    array([10., 20., 30.])
    """
    rotations = as_matrices(rotations)
    check_rotations("rotations", rotations)
    check_shape("rotations", rotations, (..., 3, 3))
    xp = array_namespace(rotations)
    # Adding zero turns -0 into +0, of which the arctangent would be 180 degrees.
    x, y = rotations[..., 0, 2] + 0.0, rotations[..., 1, 2] + 0.0
    rot = xp.arctan2(y, x)
    tilt = xp.arctan2(xp.hypot(x, y), rotations[..., 2, 2])
    sine, cosine = xp.sin(rot)[..., None], xp.cos(rot)[..., None]
    turned = cosine * rotations[..., 1, :2] - sine * rotations[..., 0, :2]
    psi = xp.arctan2(turned[..., 0] + 0.0, turned[..., 1])
    return xp.stack([rot, tilt, psi], axis=-1) * (180 / pi)


def _check_angles(angles: Array) -> None:
    check_real("angles", angles)
    check_shape("angles", angles, (..., 3))
    check_finite("angles", angles)


def _sines_and_cosines(angles: Array) -> list[tuple[Array, Array]]:
    xp = array_namespace(angles)
    radians = angles * (pi / 180)
    return [(xp.sin(radians[..., i]), xp.cos(radians[..., i])) for i in range(3)]
