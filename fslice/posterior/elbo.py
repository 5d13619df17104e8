"""The evidence lower bound of all images, in closed form, and what maximises it.

With known poses the model is linear with Gaussian noise, so the expectation over q needs no
samples. For independent latent coefficients with means mu and deviations s the bound is
quadratic in mu and separable in s (the paper's eqs. 14-15). Every image counts once, and so does
every set of coefficients that a symmetry ties together.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from fslice._arrays import Array, array_namespace
from fslice.fourier import inner_product
from fslice.likelihoods.density import gaussian_log_density
from fslice.posterior.families import DiracPosterior, GaussianPosterior, weighted_sum
from fslice.posterior.latent import SlicedSpectrum
from fslice.posterior.precision import PosteriorPrecision
from fslice.posterior.random import unit_probe

_FLOOR = 1e-6
"""Share of the images' power below which no residual is believed: it is a difference of sums."""


class ElboGradients(NamedTuple):
    """Gradients of `elbo`."""

    mean: Array
    log_std: Array


def mean_field_std(precision: PosteriorPrecision) -> Array:
    """Return the best deviations of independent coefficients: ``diag(precision)^-1/2``."""
    return 1 / array_namespace(precision.normal.b).sqrt(precision.diagonal())


def elbo(
    precision: PosteriorPrecision,
    mean: Array,
    std: Array | None = None,
    residual: float | None = None,
) -> float:
    """Return the evidence lower bound of all images, exactly (eq. 14).

    Parameters
    ----------
    precision : PosteriorPrecision
        Images, noise and prior.
    mean : latent half spectrum
    std : real array of its shape, optional
        Deviations of independent coefficients. Without them q is a point, and the bound is the
        log joint density.
    residual : float, optional
        ``sum w |y - P mean|^2`` over all views, if it is known already.

    Returns
    -------
    float
        In nats.

    Examples
    --------
    Without images the best posterior is the prior, and its bound is 0:

    >>> import fslice
    >>> from fslice.posterior.stencil import no_images
    >>> precision = PosteriorPrecision(no_images(fslice.Projector(4)), 4.0)
    >>> elbo(precision, precision.zero, np.full((4, 4, 3), 2.0))
    0.0
    """
    if residual is None:
        residual = expected_residual(precision, precision.latent.spectrum(mean))
    if std is None:
        divergence = DiracPosterior(mean).kl(precision.prior_variance)
        total = residual
    else:
        divergence = GaussianPosterior(mean, std).kl(precision.prior_variance)
        total = residual + spread(precision, std)
    return _per_image(precision, total) - divergence / precision.normal.order


def elbo_of_prior(precision: PosteriorPrecision, *, gaussian: bool = True) -> float:
    """Return the bound of what is known without the images: q = prior, or the point zero."""
    squares = float(precision.normal.squares.sum())
    if not gaussian:
        return elbo(precision, precision.zero, residual=squares)
    xp = array_namespace(precision.normal.b)
    width = xp.sqrt(xp.broadcast_to(precision.prior_variance, precision.zero.shape))
    return _per_image(precision, squares + spread(precision, width))


def elbo_gradients(precision: PosteriorPrecision, mean: Array, std: Array) -> ElboGradients:
    """Return the gradients of `elbo` in the mean and in the logarithm of the deviations.

    Both are zero at the posterior mean and at `mean_field_std`.
    """
    share = 1 / precision.normal.order
    residual = precision.rhs - precision(mean)
    return ElboGradients(share * residual, share * (1 - precision.diagonal() * std**2))


def expected_log_likelihood(precision: PosteriorPrecision, spectrum: Array) -> float:
    """Return the log-likelihood of all images at a sliced spectrum, in nats.

    Over the band of the images, each of which counts once whatever the symmetry::

        -1/2 [sum w |y|^2 - 2 <b, v> + <v, A v>] / sigma^2
        - d/2 log(2 pi sigma^2) + 1/2 sum m log w
    """
    return _per_image(precision, expected_residual(precision, spectrum))


def expected_residual(precision: PosteriorPrecision, spectrum: Array) -> float:
    """Return ``sum w |y - P v|^2`` over all views of the images.

    A difference of large sums: not below a millionth of what the images hold.
    """
    normal = precision.normal
    squares = float(normal.squares.sum())
    fitted = inner_product(spectrum, normal.apply(spectrum)) - 2 * inner_product(normal.b, spectrum)
    return max(squares + fitted, _FLOOR * squares)


def spread(precision: PosteriorPrecision, std: Array) -> float:
    """Return what independent deviations add to the expected residual: ``sum m diag(A) s^2``.

    Through a mask the diagonal is known well but not exactly, and one random probe of unit
    modulus tells the sum without bias.
    """
    normal, latent = precision.normal, precision.latent
    if isinstance(latent, SlicedSpectrum):
        return weighted_sum(normal.diagonal() * std**2)
    probe = latent.spectrum(std * unit_probe(precision.zero, np.random.default_rng(0)))
    return inner_product(probe, normal.apply(probe))


def best_noise_variance(precision: PosteriorPrecision, residual: float, *, gaussian: bool) -> float:
    """Return the noise variance that maximises the bound for a residual of the mean.

    The maximum satisfies ``sigma^2 = (residual + sum m a s^2) / d``, where s depends on it
    in turn; iterating the two raises the bound each time.
    """
    normal = precision.normal
    degrees = float(normal.degrees.sum())
    floor = _FLOOR * float(normal.squares.sum()) / degrees or 1.0
    variance = max(residual / degrees, floor)
    diagonal = precision.latent.diagonal(normal)
    for _ in range(20 if gaussian else 0):
        before = variance
        inverse = diagonal / variance + 1 / precision.prior_variance
        variance = max((residual + weighted_sum(diagonal / inverse)) / degrees, floor)
        if abs(variance - before) < 1e-6 * variance:
            break
    return variance


def _per_image(precision: PosteriorPrecision, squares: float) -> float:
    """Return the log density of squared residuals over all views, each image counted once."""
    normal = precision.normal
    degrees = float(normal.degrees.sum())
    density = gaussian_log_density(squares, precision.noise_variance, degrees)
    return (density + normal.log_weights / 2) / normal.order
