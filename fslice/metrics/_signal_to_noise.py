"""Signal-to-noise ratios per shell, and the correlations that they imply."""

from __future__ import annotations

import numpy as np

from fslice._arrays import (
    Array,
    array_namespace,
    check_complex,
    check_finite,
    check_real,
    check_shape,
)
from fslice.fourier import shell_sum


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
