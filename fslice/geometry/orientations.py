"""Sets of orientations: uniform, inside a cone of tilts, and a near-uniform grid of any size."""

from __future__ import annotations

from math import pi, sqrt
from typing import Any

import numpy as np

from fslice._arrays import Array, check_size, placed
from fslice.geometry.euler import euler_to_matrix
from fslice.geometry.quaternion import quaternion_to_matrix

_SPIRAL_A = sqrt(2)
_SPIRAL_B = 1.533751168755204288118041
"""The positive root of ``b**4 = b + 4``."""


def random_rotations(
    n: int, rng: np.random.Generator, *, dtype: Any = None, like: Array | None = None
) -> Array:
    """Draw rotations uniformly from SO(3).

    Parameters
    ----------
    n : int
        How many.
    rng : numpy.random.Generator
        Of the host: one seed gives the same rotations in every library.
    dtype : {"float64", "float32"}, optional
    like : array, optional
        Give the rotations its library, device and precision.

    Returns
    -------
    (n, 3, 3) real array

    Raises
    ------
    ValueError
        `n` is below 1.
    TypeError
        `n` is not an integer, or `rng` not a generator.

    Notes
    -----
    Four independent normal numbers point in a uniform direction, and unit quaternions of
    uniform direction are uniform rotations.

    Examples
    --------
    >>> random_rotations(5, np.random.default_rng(0)).shape
    (5, 3, 3)
    """
    n = check_size("n", n)
    _check_generator(rng)
    return placed(quaternion_to_matrix(rng.standard_normal((n, 4))), like, dtype)


def rotations_in_cone(
    n: int,
    max_tilt: float,
    rng: np.random.Generator,
    *,
    dtype: Any = None,
    like: Array | None = None,
) -> Array:
    """Draw rotations whose direction of projection lies within `max_tilt` of the z axis.

    Parameters
    ----------
    n : int
        How many.
    max_tilt : float
        Largest tilt in degrees, from 0 to 180: half the cone's angle. The "30 degree
        cone" of Ullrich et al. 2019, section 6.3, with tilts from -15 to 15, is 15.
    rng : numpy.random.Generator
        Of the host: one seed gives the same rotations in every library.
    dtype : {"float64", "float32"}, optional
    like : array, optional
        Give the rotations its library, device and precision.

    Returns
    -------
    (n, 3, 3) real array

    Raises
    ------
    ValueError
        `n` is below 1, or `max_tilt` outside 0 to 180.
    TypeError
        `n` is not an integer, or `rng` not a generator.

    Notes
    -----
    rot and psi are uniform on the circle and the direction is uniform on the cap of the
    sphere, so ``cos(tilt)`` is uniform; with `max_tilt` 180 the rotations are uniform on
    SO(3). Negative tilts add nothing: ``(rot, -tilt, psi)`` and
    ``(rot + 180, tilt, psi + 180)`` are the same rotation.

    Examples
    --------
    >>> rotations = rotations_in_cone(100, 15, np.random.default_rng(0))
    >>> bool((rotations[:, 2, 2] >= np.cos(np.deg2rad(15))).all())
    True
    """
    n = check_size("n", n)
    if not 0 <= max_tilt <= 180:
        raise ValueError(f"max_tilt: expected an angle from 0 to 180 degrees, got {max_tilt}")
    _check_generator(rng)
    rot, psi = rng.uniform(-180, 180, (2, n))
    # 1 - cos(tilt), by the half angle: no digits are lost in a narrow cone.
    tilt = 2 * np.arcsin(np.sqrt(rng.uniform(0, 1, n)) * np.sin(np.deg2rad(max_tilt) / 2))
    angles = np.stack([rot, np.rad2deg(tilt), psi], axis=-1)
    return placed(euler_to_matrix(angles), like, dtype)


def grid_rotations(n: int, *, dtype: Any = None, like: Array | None = None) -> Array:
    """Return a near-uniform grid of rotations of any size.

    Parameters
    ----------
    n : int
        How many.
    dtype : {"float64", "float32"}, optional
    like : array, optional
        As in `random_rotations`.

    Returns
    -------
    (n, 3, 3) real array
        The same for every call.

    Raises
    ------
    ValueError
        `n` is below 1.
    TypeError
        `n` is not an integer.

    Notes
    -----
    The super-Fibonacci spiral of unit quaternions (Alexa, "Super-Fibonacci spirals: fast,
    low-discrepancy sampling of SO(3)", CVPR 2022). Point ``s = i + 1/2`` of n lies on the
    torus of radii ``r = sqrt(s / n)`` and ``sqrt(1 - s / n)``, at the angles ``2 pi s / a``
    and ``2 pi s / b``, where ``a = sqrt(2)`` and ``b`` is the positive root of
    ``b^4 = b + 4``.

    Examples
    --------
    >>> grid_rotations(1000).shape
    (1000, 3, 3)
    """
    s = np.arange(check_size("n", n)) + 0.5
    outer, rest = np.sqrt(s / n), np.sqrt(1 - s / n)
    alpha, beta = 2 * pi * (s / _SPIRAL_A % 1), 2 * pi * (s / _SPIRAL_B % 1)
    spiral = [outer * np.sin(alpha), outer * np.cos(alpha)]
    spiral += [rest * np.sin(beta), rest * np.cos(beta)]
    return placed(quaternion_to_matrix(np.stack(spiral, axis=-1)), like, dtype)


def _check_generator(rng: Any) -> None:
    if not isinstance(rng, np.random.Generator):
        raise TypeError(f"rng: expected a numpy.random.Generator, got {type(rng).__name__}")
