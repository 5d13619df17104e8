"""Fourier shell correlation, and the resolution that is read from it."""

from __future__ import annotations

import math

import numpy as np

from fslice._arrays import (
    Array,
    array_namespace,
    check_array,
    check_finite,
    check_real,
    check_shape,
    check_size,
    to_numpy,
)
from fslice.fourier import rfft3, shell_sum


def fsc(a: Array, b: Array, mask: Array | None = None) -> Array:
    """Return the Fourier shell correlation of two volumes (Ullrich et al. 2019, eq. 18).

    Parameters
    ----------
    a, b : (D, D, D) real array
        Volumes; their precisions may differ.
    mask : (D, D, D) real or boolean array, optional
        Multiplies both volumes before they are compared.

    Returns
    -------
    (D//2 + 1,) float64 array
        One value from -1 to 1 for each shell ``round(|k|)``; the corners beyond shell
        ``D // 2`` belong to none. A shell in which either volume has no power, up to the
        rounding error of its transform, has the value 0.

    Raises
    ------
    ValueError
        The volumes are not cubes of one size, or not finite.
    TypeError
        An array is not real, or array libraries are mixed.

    Notes
    -----
    ``sum_S Re(A conj(B)) / sqrt(sum_S |A|^2  sum_S |B|^2)`` over each shell S of the full
    spectrum, in double precision.

    Examples
    --------
    >>> volume = np.random.default_rng(0).normal(size=(6, 6, 6))
    >>> fsc(volume, -volume)
    array([-1., -1., -1., -1.])
    """
    check_real("a", a)
    check_real("b", b)
    if mask is not None:
        check_array("mask", mask)
    array_namespace(a, b, mask)
    size = a.shape[-1] if a.ndim else 0
    for name, array in (("a", a), ("b", b), ("mask", mask)):
        if array is not None:
            check_shape(name, array, (size, size, size))
            check_finite(name, array)
    if mask is not None and mask.dtype != bool:
        check_real("mask", mask)
    a_ft, b_ft = (
        rfft3(array.astype(np.float64) * (1 if mask is None else mask)) for array in (a, b)
    )
    return fsc_from_spectra(a_ft, b_ft)


def fsc_from_spectra(a_ft: Array, b_ft: Array) -> Array:
    """Return the Fourier shell correlation of two half spectra; see `fsc`.

    Parameters
    ----------
    a_ft, b_ft : (D, D, D//2 + 1) complex128 array

    Returns
    -------
    (D//2 + 1,) float64 array

    Examples
    --------
    >>> volume_ft = rfft3(np.random.default_rng(0).normal(size=(6, 6, 6)))
    >>> fsc_from_spectra(volume_ft, 1j * volume_ft).round(12) + 0.0
    array([0., 0., 0., 0.])
    """
    xp = array_namespace(a_ft, b_ft)
    overlap = shell_sum((a_ft * b_ft.conj()).real, a_ft.shape[0], 3)
    norms = _shell_norms(a_ft) * _shell_norms(b_ft)
    return xp.clip(overlap / xp.where(norms > 0, norms, xp.inf), -1, 1)


def _shell_norms(volume_ft: Array) -> Array:
    """Return the norm of each shell, zero where it is no more than rounding error."""
    xp = array_namespace(volume_ft)
    power = abs(volume_ft) ** 2
    norms = xp.sqrt(shell_sum(power, volume_ft.shape[0], 3))
    floor = 16 * np.finfo(np.float64).eps * xp.sqrt(power.sum())
    return xp.where(norms > floor, norms, 0.0)


def resolution(curve: Array, size: int, pixel_size: float, threshold: float = 0.5) -> float:
    """Return the resolution at which a shell correlation first falls below a threshold.

    Parameters
    ----------
    curve : (D//2 + 1,) real array
        As from `fsc`.
    size : int
        Box D.
    pixel_size : float
        In Angstrom.
    threshold : float, optional
        0.5 against a true map; 0.143 between two half maps.

    Returns
    -------
    float
        In Angstrom. The crossing is interpolated linearly between shells. A curve that
        never falls below the threshold reaches the last shell, ``(D - 1) // 2``: that of
        Nyquist, in an even box, has no mates, and plays no part. Shell 0, the mean, is not
        asked to be above the threshold; a curve that is below it in shells 0 and 1 resolves
        nothing: infinity.

    Raises
    ------
    ValueError
        The curve has another length or is not finite, `pixel_size` is not positive, or
        `threshold` is not between 0 and 1.

    Examples
    --------
    Half-way between shells 2 and 3 of a box of 8 pixels of 1 Angstrom, at 2.5 / 8:

    >>> resolution(np.array([1.0, 1.0, 0.75, 0.25, 0.0]), 8, 1.0)
    3.2
    """
    check_real("curve", curve)
    check_shape("curve", curve, (check_size("size", size) // 2 + 1,))
    check_finite("curve", curve)
    _check_pixel_size(pixel_size)
    if not 0 < threshold < 1:
        raise ValueError(f"threshold: expected a value between 0 and 1, got {threshold}")
    last = (size - 1) // 2
    values = to_numpy(curve).tolist()[: last + 1]
    below = [shell for shell, value in enumerate(values) if value < threshold and shell > 0]
    if not below:
        shell = float(last)
    else:
        before, after = values[below[0] - 1], values[below[0]]
        if before < threshold:
            return math.inf
        shell = below[0] - (threshold - after) / (before - after)
    return size * pixel_size / shell if shell else math.inf


def shell_frequencies(size: int, pixel_size: float) -> np.ndarray:
    """Return the spatial frequency of each shell of `fsc`, in 1/Angstrom.

    Parameters
    ----------
    size : int
        Box D.
    pixel_size : float
        In Angstrom.

    Returns
    -------
    (D//2 + 1,) float64 array
        ``shell / (D * pixel_size)``.

    Examples
    --------
    >>> shell_frequencies(8, 0.5)
    array([0.  , 0.25, 0.5 , 0.75, 1.  ])
    """
    _check_pixel_size(pixel_size)
    return np.arange(check_size("size", size) // 2 + 1) / (size * pixel_size)


def _check_pixel_size(pixel_size: float) -> None:
    if not 0 < pixel_size < math.inf:
        raise ValueError(f"pixel_size: expected a positive value, got {pixel_size}")
