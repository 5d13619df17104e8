"""The ELBO of all images at once, from their normal equations: value, gradient, and Adam on it."""

from __future__ import annotations

from collections.abc import Callable

from fslice._arrays import Array, array_namespace, check_size
from fslice.fourier import inner_product
from fslice.likelihoods.white import log_likelihood
from fslice.optim import adam_init, adam_update
from fslice.posterior.families import GaussianPosterior, weighted_sum
from fslice.posterior.precision import PosteriorPrecision, Precision
from fslice.posterior.wiener import solve_wiener


def collapsed_elbo(precision: Precision, mean_ft: Array, sigma: Array) -> float:
    """Return the ELBO of an independent-Gaussian posterior, over all images, exactly.

    Parameters
    ----------
    precision : Precision
        Images, noise and prior.
    mean_ft : (M, M, M//2 + 1) complex array
    sigma : (M, M, M//2 + 1) real array

    Returns
    -------
    float
        In nats; `expected_log_likelihood` minus the divergence from the prior, of one asymmetric
        unit if the images were summed under a symmetry.

    Examples
    --------
    Without images the best posterior is the prior, and its ELBO is 0:

    >>> import numpy as np, fslice
    >>> from fslice.posterior.normal import no_images
    >>> precision = Precision(no_images(fslice.Projector(4)), 4.0)
    >>> mean_ft = np.zeros((4, 4, 3), complex)
    >>> collapsed_elbo(precision, mean_ft, np.full((4, 4, 3), 2.0))
    0.0
    """
    posterior = GaussianPosterior(mean_ft, sigma)
    divergence = posterior.kl(precision.prior_variance) / precision.normal.order
    return expected_log_likelihood(precision, mean_ft, sigma**2) - divergence


def expected_log_likelihood(
    precision: PosteriorPrecision, mean_ft: Array, variance: Array | None = None
) -> float:
    """Return the log-likelihood of all images, expected under a posterior, in nats.

    Parameters
    ----------
    precision : Precision
    mean_ft : (M, M, M//2 + 1) complex array
    variance : (M, M, M//2 + 1) real array, optional
        Of independent coefficients; without it the log-likelihood at `mean_ft`.

    Returns
    -------
    float
        Over the band of the images, each of which counts once whatever the symmetry::

            -1/2 [sum w |y|^2 - 2 <b, mu> + <mu, A mu> + sum m diag(A) s^2] / sigma^2
            - d/2 log(2 pi sigma^2) + 1/2 sum m log w

    Notes
    -----
    The variance enters by the diagonal alone: independent coefficients have no covariance, and
    ``E <v, A v>`` does not contain ``E v(k) v(-k)``.
    """
    normal = precision.normal
    power = expected_residual(precision, mean_ft, variance)
    degrees = float(normal.degrees.sum())
    total = log_likelihood(power, precision.noise_variance, degrees) + normal.log_weights / 2
    return total / normal.order


def expected_residual(
    precision: PosteriorPrecision, mean_ft: Array, variance: Array | None = None
) -> float:
    """Return the expected ``sum w |y - P v|^2`` over all copies of the images."""
    normal = precision.normal
    fitted = inner_product(mean_ft, normal.apply(mean_ft)) - 2 * inner_product(normal.b, mean_ft)
    spread = 0.0 if variance is None else weighted_sum(normal.diagonal() * variance)
    return float(normal.power.sum()) + fitted + spread


def collapsed_elbo_gradient(
    precision: Precision, mean_ft: Array, sigma: Array
) -> tuple[Array, Array]:
    """Return the gradients of `collapsed_elbo` in the mean and in the logarithm of sigma.

    Both are zero at the solution of `fslice.posterior.solve.solve_exact`.
    """
    share = 1 / precision.normal.order
    grad_mean = share * (precision.rhs - precision(mean_ft))
    return grad_mean, share * (1 - precision.diagonal() * sigma**2)


def adam_on_collapsed(
    precision: Precision,
    steps: int = 200,
    *,
    rate: float = 1.0,
    progress: Callable[[int, float], object] | None = None,
) -> tuple[GaussianPosterior, list[float]]:
    """Maximise the collapsed ELBO by Adam, to see what the iteration does without its noise.

    It starts from the weighted back-projection and from the width of the prior.

    Parameters
    ----------
    precision : Precision
    steps : int, optional
    rate : float, optional
        First step, in units of each coefficient's standard deviation, or of its first
        correction if that is larger; of a tenth for log s. It falls to zero along half a cosine.
    progress : callable, optional
        Called after each step with its number and the ELBO.

    Returns
    -------
    GaussianPosterior
    list of float
        The ELBO after each step.

    Examples
    --------
    >>> import numpy as np, fslice
    >>> from fslice.posterior.accumulate import accumulate
    >>> from fslice.posterior.solve import solve_exact
    >>> rng = np.random.default_rng(0)
    >>> images, rotations = rng.normal(size=(200, 8, 8)), fslice.random_rotations(200, rng)
    >>> normal = accumulate(images, rotations, projector=fslice.Projector(8))
    >>> exact = solve_exact(normal, prior_variance=0.1)
    >>> posterior, elbos = adam_on_collapsed(exact.precision)
    >>> gain = (elbos[-1] - exact.elbo_prior) / (exact.elbo - exact.elbo_prior)
    >>> 0.999 < gain <= 1
    True
    """
    xp = array_namespace(precision.normal.b)
    mean = solve_wiener(precision.normal, precision.prior_variance, precision.noise_variance)
    variance = 1 / precision.diagonal()
    correction = variance * abs(precision.rhs - precision(mean))
    scale = xp.sqrt(variance + correction**2)
    prior = xp.broadcast_to(precision.prior_variance, scale.shape)
    log_sigma = xp.log(prior) / 2
    of_mean, of_sigma = adam_init(mean), adam_init(log_sigma)
    elbos = []
    for step in range(check_size("steps", steps)):
        grad_mean, grad_log_sigma = collapsed_elbo_gradient(precision, mean, xp.exp(log_sigma))
        left = (1 + float(xp.cos(xp.pi * step / steps))) / 2
        direction, of_mean = adam_update(grad_mean * scale, of_mean)
        mean = mean + (rate * left) * scale * direction
        direction, of_sigma = adam_update(grad_log_sigma, of_sigma)
        log_sigma = log_sigma + (rate * left / 10) * direction
        elbos.append(collapsed_elbo(precision, mean, xp.exp(log_sigma)))
        if progress is not None:
            progress(step + 1, elbos[-1])
    return GaussianPosterior(mean, xp.exp(log_sigma)), elbos
