"""The Poisson log-likelihood: against SciPy, its gradient, and its Gaussian limit."""

import numpy as np
import pytest
from hypothesis import given
from scipy.special import gammaln
from scipy.stats import poisson
from strategies import batches, precisions, seeds

from fslice import Projector, random_rotations
from fslice.likelihoods.density import gaussian_log_density
from fslice.likelihoods.poisson import (
    log_factorial,
    poisson_log_likelihood,
    poisson_log_likelihood_gradient,
)
from fslice.testing import check_gradient


@given(seed=seeds, batch=batches, dtype=precisions)
def test_it_is_the_log_probability(seed, batch, dtype):
    rng = np.random.default_rng(seed)
    rates = rng.gamma(1, 10.0 ** rng.integers(-2, 4), (*batch, 5, 5)).astype(dtype)
    counts = rng.poisson(rates).astype(dtype)
    found = poisson_log_likelihood(counts, rates)
    assert found.dtype == np.float64
    assert np.allclose(found, poisson.logpmf(counts, rates.astype("f8")).sum((-2, -1)), rtol=1e-10)


def test_log_factorial_between_whole_numbers_too():
    y = np.concatenate([np.linspace(0, 20, 200), np.logspace(1, 7, 50)])
    assert np.allclose(log_factorial(y), gammaln(y + 1), rtol=1e-12, atol=1e-12)


@given(seed=seeds)
def test_the_gradient_is_exact(seed):
    rng = np.random.default_rng(seed)
    rates, direction = rng.uniform(0.5, 30, (2, 4, 4)), rng.normal(size=(2, 4, 4))
    counts = rng.poisson(rates).astype(float)
    check_gradient(
        lambda r: poisson_log_likelihood(counts, r).sum(),
        lambda r: poisson_log_likelihood_gradient(counts, r),
        rates,
        direction,
    )


def test_the_gradient_reaches_the_volume(rng):
    projector, rotations = Projector(6, 2), random_rotations(3, rng)
    volume, direction = rng.uniform(size=(2, 6, 6, 6))
    counts = rng.poisson(20, (3, 6, 6)).astype(float)

    def rates(v):
        return 20 * (1 + 0.01 * projector.project(v, rotations))

    check_gradient(
        lambda v: poisson_log_likelihood(counts, rates(v)).sum(),
        projector.backproject(
            0.2 * poisson_log_likelihood_gradient(counts, rates(volume)), rotations
        ),
        volume,
        direction,
    )


def test_empty_pixels_of_rate_zero_are_certain():
    zero = np.zeros((2, 2))
    assert abs(poisson_log_likelihood(zero, zero)) < 1e-12
    assert (poisson_log_likelihood_gradient(zero, zero) == -1).all()


def test_electrons_where_none_can_be_are_impossible():
    counts, rates = np.eye(2), np.zeros((2, 2))
    assert poisson_log_likelihood(counts, rates) == -np.inf
    with pytest.raises(ValueError, match=r"rates: expected values above 0 .*, got 0 in 2 pixels"):
        poisson_log_likelihood_gradient(counts, rates)


def test_at_high_rates_it_tends_to_the_gaussian(rng):
    gaps = []
    for rate in (1e2, 1e4, 1e6):
        rates = np.full((50, 8, 8), rate)
        counts = rng.poisson(rates).astype(float)
        power = ((counts - rates) ** 2).sum()
        gaussian = gaussian_log_density(power, rate, counts.size)
        gaps.append(abs(poisson_log_likelihood(counts, rates).sum() - gaussian) / counts.size)
    assert gaps[0] < 0.02
    assert gaps[2] < 1e-3


@pytest.mark.parametrize(
    ("counts", "rates", "error", "message"),
    [
        (np.ones((2, 2)), np.ones((2, 3)), ValueError, r"rates: expected shape \(2, 2\)"),
        (
            -np.ones((2, 2)),
            np.ones((2, 2)),
            ValueError,
            "counts: expected no value below 0",
        ),
        (np.ones((2, 2)), -np.ones((2, 2)), ValueError, "rates: expected no value below 0"),
        (np.ones((2, 2)), np.full((2, 2), np.nan), ValueError, "rates: 4 of 4 values"),
        (np.ones((2, 2), int), np.ones((2, 2)), TypeError, "counts: expected dtype"),
        (np.ones((2, 2)), np.ones((2, 2), "f4"), TypeError, "precisions differ"),
        (np.ones((0, 2, 2)), np.ones((0, 2, 2)), ValueError, "counts: expected at least one"),
    ],
)
def test_bad_input_is_named(counts, rates, error, message):
    for function in (poisson_log_likelihood, poisson_log_likelihood_gradient):
        with pytest.raises(error, match=message):
            function(counts, rates)
