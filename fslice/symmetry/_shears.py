"""Rotations of a volume by shears along its axes, each exact for what the grid can hold."""

from __future__ import annotations

from math import pi, sin, tan

import numpy as np

from fslice._arrays import Array, array_namespace, complex_dtype
from fslice.fourier import axis_transform, inverse_axis_transform
from fslice.geometry import matrix_to_euler

_EXACT = 1e-9
"""Matrix entries this close to -1, 0 or 1 are those of a rotation of the grid onto itself."""

X, Y, Z = -1, -2, -3
"""Array axes of the coordinates."""


def turn(volume: Array, rotation: np.ndarray) -> Array:
    """Return ``v(R x)`` at every voxel x of a periodic cube.

    Parameters
    ----------
    volume : (D, D, D) real array
        About voxel ``D // 2``.
    rotation : (3, 3) float64 array
        R, acting on (x, y, z).

    Returns
    -------
    (D, D, D) real array

    Notes
    -----
    A rotation about a coordinate axis by at most 45 degrees is three shears,
    ``[c -s; s c] = [1 -t; 0 1] [1 0; s 1] [1 -t; 0 1]`` with ``t = tan(angle / 2)``, and a shear
    shifts each row by a fraction of a voxel: a phase in the row's spectrum (Larkin, Oldfield and
    Klemm 1997). Quarter turns move voxels. Others are rotations about z, y and z. Nothing is
    lost but at D/2 of an even box, so the adjoint, which is exact, is the inverse rotation.
    Object and spectrum reach up to 1.08 times further from the origin between shears: what
    then leaves the cube, or its band, comes in at the other side.
    """
    if is_of_grid(rotation):
        return permute(volume, rotation)
    for axes, angle in _steps(rotation):
        volume = _turn_plane(volume, axes, angle)
    return volume


def turn_adjoint(volume: Array, rotation: np.ndarray) -> Array:
    """Apply the adjoint of `turn`."""
    if is_of_grid(rotation):
        return permute(volume, rotation.T)
    for axes, angle in reversed(_steps(rotation)):
        volume = _turn_plane_adjoint(volume, axes, angle)
    return volume


def is_of_grid(rotation: np.ndarray) -> bool:
    """Return whether a rotation takes the grid onto itself."""
    return bool((abs(rotation - np.rint(rotation)) < _EXACT).all())


def shears(rotation: np.ndarray) -> int:
    """Return how many shears a rotation costs."""
    if is_of_grid(rotation):
        return 0
    return 3 * sum(abs(_split(angle)[1]) > 0 for _, angle in _steps(rotation))


def permute(volume: Array, rotation: np.ndarray) -> Array:
    """Return ``v(R x)`` for a rotation of the grid: voxels change places."""
    xp, signs = array_namespace(volume), np.rint(rotation)
    # coordinate a of R x is plus or minus the coordinate source[a] of x
    source = abs(signs).argmax(1)
    for coordinate in range(3):
        if signs[coordinate, source[coordinate]] < 0:
            volume = mirror(volume, 2 - coordinate)
    order = [0, 0, 0]
    for coordinate in range(3):
        order[2 - source[coordinate]] = 2 - coordinate
    return xp.transpose(volume, order)


def mirror(volume: Array, axis: int) -> Array:
    """Return the volume with one coordinate negated; -D/2 of an even box is its own mirror."""
    xp = array_namespace(volume)
    flipped = xp.flip(volume, axis)
    return flipped if volume.shape[axis] % 2 else xp.roll(flipped, 1, axis)


def _steps(rotation: np.ndarray) -> list[tuple[tuple[int, int], float]]:
    """Return turns in coordinate planes, in degrees, in the order in which they apply.

    ``v(A B x)`` is v turned by A, then by B.
    """
    rot, tilt, psi = matrix_to_euler(rotation)
    steps = [((X, Y), float(rot)), ((Z, X), float(tilt)), ((X, Y), float(psi))]
    return [(axes, angle) for axes, angle in steps if abs(angle) > _EXACT]


def _split(angle: float) -> tuple[int, float]:
    """Return quarter turns, and the rest of at most 45 degrees in radians."""
    quarters = round(angle / 90)
    rest = (angle - 90 * quarters) * pi / 180
    return quarters % 4, rest if abs(rest) > _EXACT else 0.0


def _turn_plane(volume: Array, axes: tuple[int, int], angle: float) -> Array:
    quarters, rest = _split(angle)
    return _quarter_turns(_three_shears(volume, axes, rest), axes, quarters)


def _turn_plane_adjoint(volume: Array, axes: tuple[int, int], angle: float) -> Array:
    quarters, rest = _split(angle)
    return _three_shears(_quarter_turns(volume, axes, -quarters % 4), axes, -rest)


def _quarter_turns(volume: Array, axes: tuple[int, int], count: int) -> Array:
    """Return ``v(-q, p)`` for a plane (p, q), repeatedly."""
    xp = array_namespace(volume)
    for _ in range(count):
        volume = xp.swapaxes(mirror(volume, axes[0]), *axes)
    return volume


def _three_shears(volume: Array, axes: tuple[int, int], angle: float) -> Array:
    """Return ``v(c p - s q, s p + c q)``."""
    if angle == 0:
        return volume
    p, q = axes
    volume = _shear(volume, p, q, -tan(angle / 2))
    volume = _shear(volume, q, p, sin(angle))
    return _shear(volume, p, q, -tan(angle / 2))


def _shear(volume: Array, along: int, by: int, slope: float) -> Array:
    """Return ``v(p + slope q, q)``, p being the coordinate `along` and q that of `by`."""
    xp, size = array_namespace(volume), volume.shape[along]
    shift = slope * (xp.arange(size) - size // 2)
    phase = 2 * pi / size * shift[:, None] * xp.arange(size // 2 + 1)
    waves = xp.exp(1j * phase).astype(complex_dtype(volume.dtype))
    shape = [1, 1, 1]
    shape[by], shape[along] = waves.shape
    # p and q are in array order or not
    waves = waves if by % 3 < along % 3 else waves.T
    spectrum = axis_transform(volume, along)
    spectrum *= waves.reshape(shape)
    return inverse_axis_transform(spectrum, along, size)
