"""Log densities of multivariate normal and t distributions, of many covariances at a time."""

from __future__ import annotations

import math

from fslice._arrays import Array, array_namespace


def normal_log_density(steps: Array, covariance: Array) -> Array:
    """Return the log density of normal distributions about zero.

    Parameters
    ----------
    steps : (m, d) float64 array
    covariance : (m, d, d) float64 array

    Returns
    -------
    (m,) float64 array

    Examples
    --------
    >>> import numpy as np
    >>> from scipy.stats import multivariate_normal
    >>> step, covariance = np.array([0.3, -0.2]), np.array([[2.0, 0.5], [0.5, 1.0]])
    >>> density = normal_log_density(step[None], covariance[None])[0]
    >>> np.isclose(density, multivariate_normal([0, 0], covariance).logpdf(step))
    np.True_
    """
    squares, log_det = _whitened(steps, covariance)
    return -(squares + log_det + steps.shape[-1] * math.log(2 * math.pi)) / 2


def student_log_density(steps: Array, covariance: Array, degrees: float) -> Array:
    """Return the log density of t distributions about zero, of that scale matrix.

    Examples
    --------
    >>> import numpy as np
    >>> from scipy.stats import multivariate_t
    >>> step, scale = np.array([0.3, -0.2]), np.array([[2.0, 0.5], [0.5, 1.0]])
    >>> density = student_log_density(step[None], scale[None], 6.0)[0]
    >>> np.isclose(density, multivariate_t([0, 0], scale, 6).logpdf(step))
    np.True_
    """
    xp, size = array_namespace(steps), steps.shape[-1]
    squares, log_det = _whitened(steps, covariance)
    constant = math.lgamma((degrees + size) / 2) - math.lgamma(degrees / 2)
    constant -= size / 2 * math.log(degrees * math.pi)
    return constant - log_det / 2 - (degrees + size) / 2 * xp.log1p(squares / degrees)


def _whitened(steps: Array, covariance: Array) -> tuple[Array, Array]:
    """Return ``x^T C^-1 x`` and ``log det C``."""
    xp = array_namespace(steps, covariance)
    squares = (steps * xp.linalg.solve(covariance, steps[..., None])[..., 0]).sum(-1)
    return squares, xp.linalg.slogdet(covariance)[1]
