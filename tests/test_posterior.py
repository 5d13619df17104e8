import numpy as np
import pytest
from scipy.stats import norm

from fslice import Projector, random_rotations, rfft2, rfft3
from fslice.fourier import hermitian_part, inner_product, irfft3
from fslice.posterior.families import DiracPosterior, GaussianPosterior, weighted_sum


def gaussian(rng, size):
    """Return a posterior whose s is symmetric on the Hermitian planes."""
    volume = rng.normal(size=(size,) * 3)
    std = np.exp(rfft3(irfft3(0.3 * rfft3(rng.normal(size=(size,) * 3)))).real)
    std = np.exp(hermitian_part(np.log(std).astype(complex), 3).real)
    return GaussianPosterior(rfft3(volume), std)


@pytest.mark.parametrize("size", [4, 5])
def test_samples_have_the_mean_and_the_deviations(rng, size):
    q = gaussian(rng, size)
    draws = np.stack([q.sample(rng) for _ in range(4000)])
    error = abs(draws.mean(0) - q.mean) / q.std
    assert error.max() < 5 / np.sqrt(4000)
    power = (abs(draws - q.mean) ** 2).mean(0) / q.std**2
    assert abs(power - 1).max() < 6 * np.sqrt(2 / 4000)


def test_samples_are_spectra_of_real_volumes(rng):
    sample = gaussian(rng, 6).sample(rng)
    np.testing.assert_allclose(hermitian_part(sample, 3), sample, atol=1e-12)


@pytest.mark.parametrize("size", [4, 5])
def test_kl_agrees_with_a_monte_carlo_estimate(rng, size):
    q, tau2 = gaussian(rng, size), 1.7
    white = np.ones(q.mean.shape)

    def log_q_minus_log_prior():
        noise = q.noise(rng)
        sample = q.mean + q.std * noise
        log_q = -0.5 * inner_product(noise, noise) - weighted_sum(np.log(q.std))
        log_p = -0.5 * inner_product(sample, sample) / tau2 - 0.5 * np.log(tau2) * weighted_sum(
            white
        )
        return log_q - log_p

    draws = [log_q_minus_log_prior() for _ in range(4000)]
    assert q.kl(tau2) == pytest.approx(np.mean(draws), abs=5 * np.std(draws) / np.sqrt(4000))


def test_kl_gradients_match_central_differences(rng):
    q, tau2, h = gaussian(rng, 5), 1.7, 1e-5
    direction = gaussian(rng, 5)
    change = np.log(direction.std)
    grad_mean, grad_log_std = q.kl_gradients(tau2)

    def kl(a, b):
        moved = GaussianPosterior(q.mean + a * direction.mean, q.std * np.exp(b * change))
        return moved.kl(tau2)

    slope = (kl(h, 0) - kl(-h, 0)) / (2 * h)
    assert inner_product(grad_mean, direction.mean) == pytest.approx(slope, rel=1e-6)
    slope = (kl(0, h) - kl(0, -h)) / (2 * h)
    assert weighted_sum(grad_log_std * change) == pytest.approx(slope, rel=1e-6)


def test_reparameterised_gradients_match_central_differences(rng):
    q, noise, h = gaussian(rng, 5), gaussian(rng, 5).noise(rng), 1e-5
    direction, target = gaussian(rng, 5), rfft3(rng.normal(size=(5, 5, 5)))
    change = np.log(direction.std)

    def loss(a, b):
        sample = q.mean + a * direction.mean + q.std * np.exp(b * change) * noise
        return 0.5 * inner_product(sample - target, sample - target)

    gradient = q.mean + q.std * noise - target
    grad_mean, grad_log_std = q.reparameterised(noise, gradient)
    slope = (loss(h, 0) - loss(-h, 0)) / (2 * h)
    assert inner_product(grad_mean, direction.mean) == pytest.approx(slope, rel=1e-6)
    slope = (loss(0, h) - loss(0, -h)) / (2 * h)
    assert weighted_sum(grad_log_std * change) == pytest.approx(slope, rel=1e-6)


def test_reparameterised_gradients_average_to_the_closed_form(rng):
    """The noisy gradient of the expected misfit has the expectation ``a s^2 - 0``."""
    size, projector = 6, Projector(6)
    q, rotations = gaussian(rng, size), random_rotations(5, rng)
    images_ft = rfft2(rng.normal(size=(5, size, size)))
    closed = projector.gram_diagonal(rotations) * q.std**2
    draws = []
    for _ in range(3000):
        noise = q.noise(rng)
        _, gradient = projector.misfit(q.mean + q.std * noise, images_ft, rotations)
        draws.append(q.reparameterised(noise, gradient)[1])
    draws = np.array(draws)
    deviation = np.maximum(draws.std(0) / np.sqrt(len(draws)), 1e-12)
    assert (abs(draws.mean(0) - closed) / deviation).max() < 5.5


def test_a_dirac_pays_minus_the_log_prior(rng):
    volume = rng.normal(size=(5, 5, 5))
    expected = -norm.logpdf(volume, scale=3).sum()
    assert DiracPosterior(rfft3(volume)).kl(9.0) == pytest.approx(expected, rel=1e-12)


def test_mixed_precisions_are_refused(rng):
    mean = rfft3(rng.normal(size=(4, 4, 4)))
    with pytest.raises(TypeError, match="precisions differ: mean is complex128, std is float32"):
        GaussianPosterior(mean, np.ones(mean.shape, np.float32))
    with pytest.raises(ValueError, match=r"std: expected shape \(4, 4, 3\), got \(4, 4, 4\)"):
        GaussianPosterior(mean, np.ones((4, 4, 4)))
