"""What the kernels compute, written out: every sample against every point of the grid.

Nothing here knows of cells, taps, half spectra or mirror images. The spectrum is the whole one,
and the interpolation kernel is a function that is evaluated everywhere.
"""

from __future__ import annotations

import functools
import operator

import numpy as np

from fslice.fourier import frequencies, radii


def hat(t: np.ndarray) -> np.ndarray:
    """Return the kernel of linear interpolation."""
    return np.maximum(0, 1 - abs(t))


def cubic_spline(t: np.ndarray) -> np.ndarray:
    """Return the cubic B-spline."""
    t = abs(t)
    near, far = 2 / 3 - t**2 + t**3 / 2, np.maximum(0, 2 - t) ** 3 / 6
    return np.where(t < 1, near, far)


KERNELS = {"linear": hat, "cubic": cubic_spline}


def interpolate(array: np.ndarray, points: np.ndarray, kernel: str) -> np.ndarray:
    """Interpolate the spectrum of a real array.

    Parameters
    ----------
    array : (M, M, M) or (M, M) real array
    points : (p, d) real array
        Frequencies (x, y, z) in cycles per box M.
    kernel : str

    Returns
    -------
    (p,) complex128 array
        ``sum_k V(k) prod_axis w(q - k)`` over whole frequencies k of less than M/2 per axis.
    """
    size, axes = array.shape[0], range(array.ndim)
    values = np.fft.fftn(np.fft.ifftshift(array.astype(np.float64)), norm="ortho")
    k = np.rint(np.fft.fftfreq(size) * size)
    weights = KERNELS[kernel](points[:, :, None] - k) * (abs(k) < size / 2)
    for axis in reversed(axes):  # the last axis of the array is x, the first of the points
        own = weights[:, array.ndim - 1 - axis]
        values = np.einsum("...k,pk->...p" if axis == array.ndim - 1 else "...kp,pk->...p",
                           values, own)  # fmt: skip
    return values


def slices(
    array: np.ndarray, rotations: np.ndarray, size: int, kernel: str, max_radius: float
) -> np.ndarray:
    """Return slices of box `size` of the spectrum of a real array."""
    flat = array.ndim - 1
    k = np.stack([part.ravel() for part in np.broadcast_arrays(*frequencies(size, flat))])
    points = len(array) / size * (rotations.astype(np.float64)[..., :flat] @ k)
    taken = band(size, flat, max_radius)
    return np.stack([interpolate(array, p.T, kernel).reshape(taken.shape) for p in points]) * taken


def band(size: int, ndim: int, max_radius: float) -> np.ndarray:
    """Return which frequencies take part: within the radius, and below D/2 along each axis."""
    below = [abs(k) < size / 2 for k in frequencies(size, ndim)]
    return functools.reduce(operator.and_, below, radii(size, ndim) <= max_radius)


def shift_factors(shifts: np.ndarray, size: int) -> np.ndarray:
    """Return ``exp(-2 pi i k . t / D)`` on the half spectrum of images or lines."""
    k = frequencies(size, shifts.shape[-1])
    turns = sum(
        shifts[(slice(None), axis) + (None,) * len(k)].astype(np.float64) * k[axis]
        for axis in range(len(k))
    )
    return np.exp(-2j * np.pi / size * turns)
