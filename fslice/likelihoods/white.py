"""The Gaussian log-likelihood of images, in Fourier space (the paper's eqs. 2 and 11)."""

from __future__ import annotations

import math

from fslice._arrays import Array, array_namespace, check_alike, check_complex, check_shape
from fslice.fourier import hermitian_weights


def residual_power(images_ft: Array, expected_ft: Array) -> Array:
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
    >>> np.isclose(residual_power(fslice.rfft2(image), np.zeros((5, 3), complex)), (image**2).sum())
    np.True_
    """
    check_complex("images_ft", images_ft)
    check_complex("expected_ft", expected_ft)
    check_alike(images_ft=images_ft, expected_ft=expected_ft)
    check_shape("images_ft", images_ft, (..., "D", "D//2 + 1"))
    check_shape("expected_ft", expected_ft, images_ft.shape)
    xp = array_namespace(images_ft, expected_ft)
    difference = images_ft - expected_ft
    power = (difference.real**2 + difference.imag**2).sum(-2, dtype=xp.float64)
    return power @ hermitian_weights(images_ft.shape[-2], xp)


def log_likelihood(power: float, noise_variance: float, degrees: float) -> float:
    """Return the Gaussian log density of a residual.

    Parameters
    ----------
    power : float
        Squared residual, as `residual_power` sums it, or its expectation.
    noise_variance : float
        ``sigma^2`` of every real pixel; of each Fourier coefficient half in its real and half
        in its imaginary part, all of it in the real part where the coefficient is real.
    degrees : float
        Number d of real degrees of freedom that `power` sums: all D^2 pixels of an image, or
        the multiplicities of the frequencies in its band.

    Returns
    -------
    float
        ``-power / (2 sigma^2) - d/2 log(2 pi sigma^2)``.

    Notes
    -----
    On the full plane this equals the density of the image in real space (eq. 2), because the
    transform is unitary; eq. 11 states it per coefficient.

    Examples
    --------
    >>> import numpy as np
    >>> from scipy.stats import norm
    >>> pixels = np.array([0.3, -1.2])
    >>> np.isclose(log_likelihood(pixels @ pixels, 4.0, 2), norm.logpdf(pixels, scale=2).sum())
    np.True_
    """
    return -power / (2 * noise_variance) - degrees / 2 * math.log(2 * math.pi * noise_variance)


def log_likelihood_gradients(
    images_ft: Array, expected_ft: Array, noise_variance: float, degrees: float
) -> tuple[Array, float]:
    """Return the gradients of the summed log-likelihood in the expectation and in the variance.

    Parameters
    ----------
    images_ft, expected_ft : (..., D, D//2 + 1) complex arrays
        Half spectra.
    noise_variance : float
        ``sigma^2``.
    degrees : float
        Real degrees of freedom of all images together.

    Returns
    -------
    grad_expected : (..., D, D//2 + 1) complex array
        ``(y - y^) / sigma^2``, a gradient in the inner product of half spectra.
    grad_noise_variance : float
        ``power / (2 sigma^4) - d / (2 sigma^2)``, which vanishes at the closed-form update
        ``sigma^2 = power / d``.

    Examples
    --------
    >>> import numpy as np, fslice
    >>> images_ft = fslice.rfft2(np.random.default_rng(0).normal(size=(3, 6, 6)))
    >>> zero = np.zeros_like(images_ft)
    >>> best = residual_power(images_ft, zero).sum() / 108
    >>> abs(log_likelihood_gradients(images_ft, zero, best, 108)[1]) < 1e-10
    np.True_
    """
    power = float(residual_power(images_ft, expected_ft).sum())
    grad_expected = (images_ft - expected_ft) / noise_variance
    return grad_expected, (power / noise_variance - degrees) / (2 * noise_variance)
