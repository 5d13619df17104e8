"""How densely views sample Fourier space: counted, and in closed form for a cone of views."""

from __future__ import annotations

import math

import numpy as np

from fslice._arrays import Array, array_namespace, check_real, check_shape, check_size
from fslice.fourier import frequencies
from fslice.operators.slices import insert_slices

_BATCH = 512


def sampling_density(rotations: Array, size: int) -> Array:
    """Return the samples of all slices near each frequency: ones, inserted by the linear kernel.

    Parameters
    ----------
    rotations : (n, 3, 3) real array
        Image to volume coordinates.
    size : int
        Box D.

    Returns
    -------
    (D, D, D//2 + 1) real array
        Samples per frequency, on the grid of half spectra, within ``|k| <= (D - 1) // 2``.

    Examples
    --------
    >>> import fslice
    >>> density = sampling_density(fslice.random_rotations(100, np.random.default_rng(0)), 16)
    >>> bool(density[0, 0, 0] > 100), float(density[8, 8, 8])  # all meet at 0, none in the corner
    (True, 0.0)
    """
    check_real("rotations", rotations)
    check_shape("rotations", rotations, ("n", 3, 3))
    check_size("size", size)
    xp = array_namespace(rotations)
    precision = "complex64" if rotations.dtype == np.float32 else "complex128"
    ones = xp.ones((min(_BATCH, len(rotations)), size, size // 2 + 1), precision)
    total = xp.zeros((size, size, size // 2 + 1), rotations.dtype)
    for start in range(0, len(rotations), _BATCH):
        part = rotations[start : start + _BATCH]
        total += insert_slices(ones[: len(part)], part, size=size).real
    return total


def cone_sampling_density(size: int, max_tilt: float) -> np.ndarray:
    """Return the expected number of samples per frequency of one slice with a tilt in a cone.

    Parameters
    ----------
    size : int
        Box D.
    max_tilt : float
        Largest tilt in degrees, above 0 and up to 180: half the cone's angle. Directions of view
        are uniform inside, as `fslice.geometry.rotations_in_cone` draws them.

    Returns
    -------
    (D, D, D//2 + 1) float64 array
        On the grid of half spectra; infinite at the zero frequency.

    Raises
    ------
    ValueError
        `max_tilt` is out of its range.

    Notes
    -----
    A slice has one sample per unit of area. The planes across directions d hold k where
    ``d . k = 0``: the density is ``(1 / |k|) E[delta(d . k / |k|)]``. For d uniform on the cap of
    angle beta, of area ``2 pi (1 - cos beta)``, that is the length of the great circle across k
    inside the cap over this area, ``2 arccos(cos beta / sin theta) / (2 pi (1 - cos beta))``, where
    theta is the angle from k to z. It is 0 within ``90 - beta`` degrees of z, and ``1 / (2 |k|)``
    if all directions are seen.

    Examples
    --------
    >>> density = cone_sampling_density(16, 15)
    >>> float(density[5, 0, 0]), float(density[0, 0, 5].round(3))  # along z, and across
    (0.0, 0.489)
    """
    if not 0 < max_tilt <= 180:
        raise ValueError(f"max_tilt: expected an angle above 0 up to 180 degrees, got {max_tilt}")
    kx, ky, kz = frequencies(check_size("size", size), 3)
    across = np.sqrt(kx**2 + ky**2)
    distance = np.sqrt(across**2 + kz**2)
    beta = math.radians(max_tilt)
    with np.errstate(divide="ignore", invalid="ignore"):
        height = math.cos(beta) * distance / across  # of the cap's rim on the circle across k
        inside = np.arccos(np.clip(np.nan_to_num(height, posinf=np.inf), -1, 1))
        density = inside / (math.pi * (1 - math.cos(beta)) * distance)
    density[0, 0, 0] = np.inf
    return density
