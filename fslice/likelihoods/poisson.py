"""The Poisson log-likelihood of counted electrons, in real space (the paper's appendix D).

It has no closed form in Fourier space: images are projected, transformed back, and compared pixel
by pixel. At high rates it tends to the Gaussian whose variance is the rate.
"""

from __future__ import annotations

import math

from fslice._arrays import (
    Array,
    array_namespace,
    check_alike,
    check_finite,
    check_real,
    check_shape,
)


def poisson_log_likelihood(counts: Array, rates: Array) -> Array:
    """Return the log probability of counted images.

    Parameters
    ----------
    counts : (..., D, D) real array
        Electrons in each pixel, not negative; those of a camera's gain need not be whole.
    rates : (..., D, D) real array
        Their expectation, not negative: such as ``dose * (1 + contrast * projection)``.

    Returns
    -------
    (...) float64 array
        ``sum(counts * log(rates) - rates - log(counts!))``; ``-inf`` where electrons hit a pixel of
        rate 0.

    Raises
    ------
    ValueError
        A shape differs, or a value is negative, NaN or infinite.
    TypeError
        Array libraries are mixed, or precisions differ.

    Examples
    --------
    >>> import numpy as np
    >>> from scipy.stats import poisson
    >>> counts, rates = np.array([[3.0, 0.0]]), np.array([[2.5, 0.1]])
    >>> np.isclose(poisson_log_likelihood(counts, rates), poisson.logpmf(counts, rates).sum())
    np.True_
    """
    xp = _check(counts, rates)
    y, rate = counts.astype(xp.float64), rates.astype(xp.float64)
    hit = y > 0
    impossible = hit & (rate == 0)
    logs = xp.log(xp.where(hit & ~impossible, rate, 1))
    terms = xp.where(impossible, -xp.inf, y * logs) - rate - log_factorial(y)
    return terms.sum((-2, -1))


def poisson_log_likelihood_gradient(counts: Array, rates: Array) -> Array:
    """Return the gradient of the summed log probability in the rates.

    Parameters
    ----------
    counts, rates
        As in `poisson_log_likelihood`.

    Returns
    -------
    (..., D, D) real array
        ``counts / rates - 1``; -1 where both are 0. In the precision of `rates`.

    Raises
    ------
    ValueError
        As `poisson_log_likelihood`, or electrons hit a pixel of rate 0, where it has no gradient.
    TypeError
        Array libraries are mixed, or precisions differ.

    Examples
    --------
    The gradient in a volume is that in the rates, through the adjoint of the projection:

    >>> import numpy as np, fslice
    >>> rng = np.random.default_rng(0)
    >>> projector, rotations = fslice.Projector(8), fslice.random_rotations(2, rng)
    >>> volume, dose, contrast = rng.uniform(size=(8, 8, 8)), 20.0, 0.01
    >>> rates = dose * (1 + contrast * projector.project(volume, rotations))
    >>> counts = rng.poisson(rates).astype(float)
    >>> by_rates = poisson_log_likelihood_gradient(counts, rates)
    >>> grad_volume = projector.backproject(dose * contrast * by_rates, rotations)
    >>> grad_volume.shape
    (8, 8, 8)
    """
    xp = _check(counts, rates)
    impossible = (counts > 0) & (rates == 0)
    if bool(impossible.any()):
        raise ValueError(
            f"rates: expected values above 0 where counts are, got 0 in {int(impossible.sum())} "
            "pixels"
        )
    return counts / xp.where(rates > 0, rates, 1) - 1


def log_factorial(y: Array) -> Array:
    """Return ``log(y!)``, or ``log Gamma(y + 1)`` between whole numbers, of y >= 0 in float64.

    Notes
    -----
    Stirling's series nine steps further out, where five of its terms are exact to rounding, less
    the logarithms of the steps.

    Examples
    --------
    >>> import numpy as np
    >>> bool(abs(log_factorial(np.array([5.0])) - np.log(120)) < 1e-12)
    True
    """
    xp = array_namespace(y)
    steps = sum(xp.log(y + i) for i in range(1, 10))
    z = y + 10
    square = z**-2
    series = (
        1 / 12 - square * (1 / 360 - square * (1 / 1260 - square * (1 / 1680 - square / 1188)))
    ) / z
    return (z - 0.5) * xp.log(z) - z + math.log(2 * math.pi) / 2 + series - steps


def _check(counts: Array, rates: Array):
    """Return the array library, or raise unless the arrays fit."""
    check_real("counts", counts)
    check_real("rates", rates)
    check_alike(counts=counts, rates=rates)
    for name, array in (("counts", counts), ("rates", rates)):
        check_shape(name, array, (..., "D", "D"))
        check_finite(name, array)
        if bool((array < 0).any()):
            raise ValueError(f"{name}: expected no value below 0, got {float(array.min()):g}")
    check_shape("rates", rates, counts.shape)
    return array_namespace(counts, rates)
