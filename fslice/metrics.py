"""How good is a map: Fourier shell correlation, spectral signal-to-noise ratio, resolution."""

from __future__ import annotations

import math

import numpy as np

from fslice._arrays import (
    Array,
    array_namespace,
    check_array,
    check_complex,
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
        never falls below the threshold reaches the last shell, ``D // 2`` (two pixels for
        even D). Shell 0, the mean, is not asked to be above the threshold; a curve that is
        below it in shells 0 and 1 resolves nothing: infinity.

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
    values = to_numpy(curve).tolist()
    below = [shell for shell, value in enumerate(values) if value < threshold and shell > 0]
    if not below:
        shell = float(size // 2)
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


def spectral_snr(mean_ft: Array, sigma: Array) -> Array:
    """Return a Gaussian posterior's signal-to-noise ratio per shell (paper, eq. 19).

    Parameters
    ----------
    mean_ft : (D, D, D//2 + 1) complex array
        Posterior mean, a half spectrum.
    sigma : (D, D, D//2 + 1) real array
        Posterior standard deviation of each frequency: ``E |v - mean|^2 = sigma^2``.

    Returns
    -------
    (D//2 + 1,) float64 array
        ``sum_S |mean|^2 / sum_S sigma^2`` over the shells of the full spectrum; infinite
        where only `sigma` is zero, 0 where both are.

    Raises
    ------
    ValueError
        The shapes are not as above, or a value is not finite.
    TypeError
        A dtype is not as above, or array libraries are mixed.

    Examples
    --------
    >>> mean_ft = np.full((4, 4, 3), 2 + 0j)
    >>> spectral_snr(mean_ft, np.ones((4, 4, 3)))
    array([4., 4., 4.])
    """
    check_complex("mean_ft", mean_ft)
    check_real("sigma", sigma)
    xp = array_namespace(mean_ft, sigma)
    size = mean_ft.shape[0] if mean_ft.ndim else 0
    for name, array in (("mean_ft", mean_ft), ("sigma", sigma)):
        check_shape(name, array, (size, size, size // 2 + 1))
        check_finite(name, array)
    signal = shell_sum(abs(mean_ft.astype(np.complex128)) ** 2, size, 3)
    noise = shell_sum(sigma.astype(np.float64) ** 2, size, 3)
    unbounded = xp.where(signal > 0, xp.inf, 0.0)
    return xp.where(noise > 0, signal / xp.where(noise > 0, noise, 1.0), unbounded)


def fsc_from_snr(snr: Array) -> Array:
    """Return the shell correlation that a signal-to-noise ratio implies.

    Parameters
    ----------
    snr : real array
        At least 0; infinity is a perfect map.

    Returns
    -------
    real array
        ``snr / (1 + snr)``: the expected correlation of two maps that share the signal and
        have independent noise, each with this ratio (Unser et al. 1987).

    Examples
    --------
    >>> fsc_from_snr(np.array([0.0, 1.0, 3.0, np.inf]))
    array([0.  , 0.5 , 0.75, 1.  ])
    """
    check_real("snr", snr)
    check_shape("snr", snr, (...,))
    xp = array_namespace(snr)
    if not bool((snr >= 0).all()):
        raise ValueError(f"snr: expected values of at least 0, got {float(snr.min())}")
    finite = xp.where(xp.isinf(snr), 0, snr)
    return xp.where(xp.isinf(snr), 1, finite / (1 + finite))


def snr_from_fsc(curve: Array) -> Array:
    """Return the signal-to-noise ratio that a shell correlation implies.

    Parameters
    ----------
    curve : real array
        At most 1.

    Returns
    -------
    real array
        ``curve / (1 - curve)``, the inverse of `fsc_from_snr`; infinite at 1, and 0 where the
        correlation is negative.

    Examples
    --------
    >>> snr_from_fsc(np.array([-0.1, 0.5, 0.75, 1.0]))
    array([ 0.,  1.,  3., inf])
    """
    check_real("curve", curve)
    check_shape("curve", curve, (...,))
    xp = array_namespace(curve)
    if not bool((curve <= 1).all()):
        raise ValueError(f"curve: expected values of at most 1, got {float(curve.max())}")
    left = 1 - curve
    return xp.where(left > 0, xp.maximum(curve, 0) / xp.where(left > 0, left, 1), xp.inf)


def credible_band(curves: Array, level: float = 0.95) -> tuple[Array, Array]:
    """Return where a share of the curves of posterior samples lies, shell by shell.

    Parameters
    ----------
    curves : (K, D//2 + 1) real array
        One curve for each sample, as from `fslice.posterior.samples.predicted_fsc`.
    level : float, optional
        The share, between 0 and 1.

    Returns
    -------
    low, high : (D//2 + 1,) float64 arrays
        The quantiles ``(1 - level) / 2`` and ``(1 + level) / 2``; of few samples, hardly more
        than the smallest and the largest.

    Raises
    ------
    ValueError
        The shape is not as above, a value is not finite, or `level` is out of range.

    Examples
    --------
    >>> low, high = credible_band(np.linspace(0, 1, 101)[:, None] * np.ones(3), 0.9)
    >>> low.round(2), high.round(2)
    (array([0.05, 0.05, 0.05]), array([0.95, 0.95, 0.95]))
    """
    check_real("curves", curves)
    check_shape("curves", curves, ("K", "S"))
    check_finite("curves", curves)
    if not 0 < level < 1:
        raise ValueError(f"level: expected a value between 0 and 1, got {level}")
    xp = array_namespace(curves)
    low, high = (xp.quantile(curves, (1 + side * level) / 2, axis=0) for side in (-1, 1))
    return low, high


def mean_squared_error(a: Array, b: Array) -> float:
    """Return the mean of ``(a - b)^2`` over all voxels, accumulated in double precision.

    Parameters
    ----------
    a, b : real array
        Of one shape; their precisions may differ.

    Returns
    -------
    float
        In the square of the arrays' unit.

    Raises
    ------
    ValueError
        The shapes differ.
    TypeError
        An array is not real, or array libraries are mixed.

    Examples
    --------
    >>> mean_squared_error(np.zeros((2, 2, 2)), np.full((2, 2, 2), 3.0))
    9.0
    """
    check_real("a", a)
    check_real("b", b)
    array_namespace(a, b)
    check_shape("b", b, a.shape)
    return float(((a.astype(np.float64) - b) ** 2).mean())


def split_half_sets(n: int, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Split n images at random into two halves, as for a half-map correlation.

    Parameters
    ----------
    n : int
        Number of images, at least 2.
    rng : numpy.random.Generator

    Returns
    -------
    (n - n//2,) int64 array, (n//2,) int64 array
        Indices in ascending order: disjoint, and together complete.

    Examples
    --------
    >>> first, second = split_half_sets(5, np.random.default_rng(0))
    >>> sorted([*first.tolist(), *second.tolist()])
    [0, 1, 2, 3, 4]
    """
    if not isinstance(rng, np.random.Generator):
        raise TypeError(f"rng: expected a numpy.random.Generator, got {type(rng).__name__}")
    order = rng.permutation(check_size("n", n, minimum=2))
    middle = n - n // 2
    return np.sort(order[:middle]), np.sort(order[middle:])


def _check_pixel_size(pixel_size: float) -> None:
    if not 0 < pixel_size < math.inf:
        raise ValueError(f"pixel_size: expected a positive value, got {pixel_size}")
