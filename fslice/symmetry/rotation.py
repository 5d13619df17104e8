"""Volumes that are rotated and shifted about the centre of their box, without interpolation."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np

from fslice._arrays import Array, array_namespace, check_finite, check_real, check_shape
from fslice.fourier import crop, fast_size, frequencies, irfft3, pad, radii, rfft3
from fslice.geometry import check_rotations
from fslice.symmetry._shears import turn

_ROOM = 1.5
"""Box in which a volume is turned, as a multiple of its own: its corners stay out of the sphere."""
_BAND = 1.1
"""How much finer it is sampled meanwhile: shears stretch its spectrum by up to 1.08."""


def rotate_volume(volume: Array, rotation: np.ndarray, shift: np.ndarray | None = None) -> Array:
    """Return the volume that is ``v(R (x - t))`` at x.

    Parameters
    ----------
    volume : (D, D, D) real array
        About voxel ``D // 2``.
    rotation : (3, 3) float64 array
        R, acting on (x, y, z); on the host.
    shift : (3,) float64 array, optional
        t, along x, y and z in voxels; on the host.

    Returns
    -------
    (D, D, D) real array
        In the precision of `volume`.

    Raises
    ------
    ValueError, TypeError
        The volume, the rotation or the shift is not as above.

    Notes
    -----
    v is zero outside its box. Its trigonometric polynomial, limited to ``|k| < D / 2``, is
    evaluated at the turned voxels by shears (`fslice.symmetry._shears.turn`): exact for what lies
    inside the sphere of diameter D. The shift is a phase.

    Examples
    --------
    >>> volume = np.zeros((9, 9, 9))
    >>> volume[4, 4, 6] = 1  # on the x axis
    >>> quarter = np.array([[0.0, 1.0, 0.0], [-1.0, 0.0, 0.0], [0.0, 0.0, 1.0]])
    >>> moved = rotate_volume(volume, quarter, np.array([0.0, 0.0, 1.0]))
    >>> [int(i) for i in np.unravel_index(moved.argmax(), moved.shape)]  # [z, y, x]
    [5, 6, 4]
    """
    check_cubic(volume)
    check_rotations("rotation", rotation)
    check_shape("rotation", rotation, (3, 3))
    if shift is not None:
        check_shape("shift", shift, (3,))
        check_finite("shift", shift)
    return with_room(volume, lambda wide: turn(wide, rotation), shift)


def check_cubic(volume: Array) -> None:
    """Raise unless a volume is a cube of finite real numbers."""
    check_real("volume", volume)
    check_shape("volume", volume, (len(volume) if volume.ndim else "D",) * 3)
    check_finite("volume", volume)


def with_room(
    volume: Array, operator: Callable[[Array], Array], shift: np.ndarray | None = None
) -> Array:
    """Return an operator's value of a periodic cube with room for a volume to turn in, cut back."""
    xp, size = array_namespace(volume), len(volume)
    room = fast_size(round(_ROOM * size))
    fine = fast_size(round(_BAND * room))
    padded = rfft3(pad(volume, room, 3))
    padded[radii(room, 3, xp) >= room / 2] = 0
    turned = resized(rfft3(operator(irfft3(resized(padded, fine)))), room)
    if shift is not None:
        along = sum(float(t) * k for t, k in zip(shift, frequencies(room, 3, xp), strict=True))
        turned = turned * xp.exp(-2j * math.pi / room * along).astype(turned.dtype)
    return xp.ascontiguousarray(crop(irfft3(turned), size, 3))


def resized(volume_ft: Array, size: int) -> Array:
    """Return a half spectrum in a larger or smaller box of the same length."""
    xp, own = array_namespace(volume_ft), volume_ft.shape[0]
    less = min(own, size)
    rows = xp.concatenate([xp.arange((less + 1) // 2), xp.arange(-(less // 2), 0)])
    common = xp.ix_(rows, rows, xp.arange(less // 2 + 1))
    spectrum = xp.zeros((size, size, size // 2 + 1), volume_ft.dtype)
    spectrum[common] = volume_ft[common]
    return spectrum
