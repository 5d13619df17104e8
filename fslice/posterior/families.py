"""Distributions over a volume's half spectrum: samples, divergences, reparameterised gradients.

The prior is N(0, tau^2) for every voxel, hence for every coefficient of the unitary spectrum.
A `GaussianPosterior` is independent Gaussians in Fourier space, ``mu + s * rfft3(white noise)``,
with one ``s`` for the real and the imaginary part of each coefficient; a `DiracPosterior` is a
point. Gradients are in the inner product of half spectra, ``dL = sum_k m Re(conj(g) dz)``.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from fslice._arrays import (
    Array,
    array_namespace,
    check_alike,
    check_complex,
    check_real,
    check_shape,
)
from fslice.fourier import hermitian_weights
from fslice.posterior.random import white_noise


@dataclass(frozen=True, eq=False)
class DiracPosterior:
    """A point estimate of the half spectrum.

    Parameters
    ----------
    mean : (M, M, M//2 + 1) complex array
    """

    mean: Array

    def sample(self, rng: np.random.Generator) -> Array:
        """Return the point."""
        return self.mean

    def kl(self, prior_variance: Array | float) -> float:
        """Return minus the log prior, which is what remains of the divergence at a point.

        Parameters
        ----------
        prior_variance : float, or real array that broadcasts with `mean`
            ``tau^2``.

        Examples
        --------
        >>> import numpy as np, fslice
        >>> from scipy.stats import norm
        >>> volume = np.random.default_rng(0).normal(size=(4, 4, 4))
        >>> q = DiracPosterior(fslice.rfft3(volume))
        >>> np.isclose(q.kl(4.0), -norm.logpdf(volume, scale=2).sum())
        np.True_
        """
        xp = array_namespace(self.mean)
        terms = abs(self.mean) ** 2 / prior_variance + xp.log(
            2 * math.pi * xp.asarray(prior_variance, dtype=self.mean.real.dtype)
        )
        return 0.5 * weighted_sum(terms)


@dataclass(frozen=True, eq=False)
class GaussianPosterior:
    """Independent Gaussians for the coefficients of the half spectrum of a real volume.

    Parameters
    ----------
    mean : (M, M, M//2 + 1) complex array
        ``mu``.
    std : (M, M, M//2 + 1) real array
        ``s > 0``, symmetric on the planes ``kx = 0`` and ``kx = M/2``: there a coefficient and
        its Friedel mate are both stored.

    Examples
    --------
    >>> import numpy as np, fslice
    >>> mean = fslice.rfft3(np.zeros((4, 4, 4)))
    >>> q = GaussianPosterior(mean, np.full(mean.shape, 2.0))
    >>> q.kl(4.0)  # equal to the prior
    0.0
    """

    mean: Array
    std: Array

    def __post_init__(self) -> None:
        check_complex("mean", self.mean)
        check_real("std", self.std)
        check_alike(mean=self.mean, std=self.std)
        check_shape("std", self.std, self.mean.shape)

    def noise(self, rng: np.random.Generator) -> Array:
        """Draw the half spectrum of white noise of variance 1 that `sample` scales."""
        return white_noise(self.mean, rng)

    def sample(self, rng: np.random.Generator) -> Array:
        """Draw a half spectrum ``mu + s * noise``, that of a real volume."""
        return self.mean + self.std * self.noise(rng)

    def reparameterised(self, noise: Array, gradient: Array) -> tuple[Array, Array]:
        """Chain a gradient at the sample ``mu + s * noise`` to the parameters.

        Parameters
        ----------
        noise : (M, M, M//2 + 1) complex array
            What the sample was made from.
        gradient : (M, M, M//2 + 1) complex array
            With respect to the sample.

        Returns
        -------
        grad_mean : (M, M, M//2 + 1) complex array
        grad_log_std : (M, M, M//2 + 1) real array
            ``s Re(conj(noise) gradient)``: an unbiased but noisy gradient of the expectation
            over samples (Kingma and Welling 2013; the paper's section 5.1).
        """
        return gradient, self.std * (noise.conj() * gradient).real

    def kl(self, prior_variance: Array | float) -> float:
        """Return the Kullback-Leibler divergence to the prior (the last term of eq. 14).

        Parameters
        ----------
        prior_variance : float, or real array that broadcasts with `std`
            ``tau^2``.

        Returns
        -------
        float
            ``1/2 sum_k m [(s^2 + |mu|^2) / tau^2 - 1 - log(s^2 / tau^2)]``.
        """
        ratio = self.std**2 / prior_variance
        xp = array_namespace(self.mean)
        terms = abs(self.mean) ** 2 / prior_variance + (ratio - 1 - xp.log(ratio))
        return 0.5 * weighted_sum(terms)

    def kl_gradients(self, prior_variance: Array | float) -> tuple[Array, Array]:
        """Return the gradients of `kl` in the mean and in the logarithm of std.

        Examples
        --------
        >>> import numpy as np, fslice
        >>> q = GaussianPosterior(fslice.rfft3(np.ones((4, 4, 4))), np.ones((4, 4, 3)))
        >>> grad_mean, grad_log_std = q.kl_gradients(2.0)
        >>> float(grad_mean[0, 0, 0].real), float(grad_log_std[0, 0, 0])
        (4.0, -0.5)
        """
        return self.mean / prior_variance, self.std**2 / prior_variance - 1


def weighted_sum(values: Array) -> float:
    """Sum a real array over a half spectrum, each entry by its hermitian_weights."""
    xp = array_namespace(values)
    columns = values.reshape(-1, values.shape[-1]).sum(0, dtype=xp.float64)
    return float(columns @ hermitian_weights(values.shape[0], xp))
