"""The Gaussian log density of residuals of one variance (the paper's eqs. 2 and 11)."""

from __future__ import annotations

import math

from fslice._arrays import Array, array_namespace, check_alike, check_complex, check_shape
from fslice.fourier import hermitian_weights


def gaussian_log_density(sum_of_squares: float, variance: float, degrees: float) -> float:
    """Return the log density of independent Gaussian numbers of one variance.

    Parameters
    ----------
    sum_of_squares : float
        Of the residuals, or its expectation.
    variance : float
        ``sigma^2`` of every real number. Of a coefficient of a unitary Fourier transform half
        is in the real and half in the imaginary part, all of it in the real part where the
        coefficient is real.
    degrees : float
        How many real numbers: all D^2 pixels of an image, or the sum of the Hermitian weights
        in its band.

    Returns
    -------
    float
        ``-sum / (2 sigma^2) - d/2 log(2 pi sigma^2)``, in nats.

    Notes
    -----
    On the full plane this equals the density of the image in real space (the paper's eq. 2),
    because the transform is unitary; eq. 11 states it per coefficient.

    Examples
    --------
    >>> import numpy as np
    >>> from scipy.stats import norm
    >>> pixels = np.array([0.3, -1.2])
    >>> density = gaussian_log_density(pixels @ pixels, 4.0, 2)
    >>> np.isclose(density, norm.logpdf(pixels, scale=2).sum())
    np.True_
    """
    return -sum_of_squares / (2 * variance) - degrees / 2 * math.log(2 * math.pi * variance)


def squared_residuals(images_ft: Array, expected_ft: Array) -> Array:
    """Return the squared distance of each image to its expectation, in double precision.

    Parameters
    ----------
    images_ft, expected_ft : (..., D, D//2 + 1) complex arrays
        Half spectra.

    Returns
    -------
    (...) float64 array
        ``sum_k m |y - y^|^2``, which is the squared distance of the real images.

    Examples
    --------
    >>> import numpy as np, fslice
    >>> image = np.random.default_rng(0).normal(size=(5, 5))
    >>> zero = np.zeros((5, 3), complex)
    >>> np.isclose(squared_residuals(fslice.rfft2(image), zero), (image**2).sum())
    np.True_
    """
    check_complex("images_ft", images_ft)
    check_complex("expected_ft", expected_ft)
    check_alike(images_ft=images_ft, expected_ft=expected_ft)
    check_shape("images_ft", images_ft, (..., "D", "D//2 + 1"))
    check_shape("expected_ft", expected_ft, images_ft.shape)
    xp = array_namespace(images_ft, expected_ft)
    difference = images_ft - expected_ft
    squares = (difference.real**2 + difference.imag**2).sum(-2, dtype=xp.float64)
    return squares @ hermitian_weights(images_ft.shape[-2], xp)
