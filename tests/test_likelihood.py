import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import norm

from fslice import rfft2
from fslice.fourier import inner_product
from fslice.likelihoods.density import gaussian_log_density, squared_residuals
from fslice.likelihoods.gaussian import GaussianNoise


@given(size=st.integers(3, 9), seed=st.integers(0, 99), deviation=st.floats(0.1, 10))
def test_the_fourier_log_likelihood_is_that_of_the_pixels(size, seed, deviation):
    images, expected = np.random.default_rng(seed).normal(size=(2, 3, size, size))
    power = squared_residuals(rfft2(images), rfft2(expected)).sum()
    fourier = gaussian_log_density(power, deviation**2, images.size)
    pixels = norm.logpdf(images, expected, deviation).sum()
    assert fourier == pytest.approx(pixels, rel=1e-10)


def test_the_density_per_coefficient_is_eq_11():
    """Half the variance in the real and half in the imaginary part, all of it where real."""
    image = np.random.default_rng(0).normal(size=(5, 5))
    spectrum, variance = np.fft.fft2(np.fft.ifftshift(image), norm="ortho"), 0.7
    pairs = [(y, x) for y in range(5) for x in range(5) if (y, x) < (-y % 5, -x % 5)]
    deviation = np.sqrt(variance / 2)
    density = norm.logpdf(spectrum[0, 0].real, scale=np.sqrt(variance))
    for y, x in pairs:
        for part in (spectrum[y, x].real, spectrum[y, x].imag):
            density += norm.logpdf(part, scale=deviation)
    density -= len(pairs) * np.log(2)  # d(re) d(im) of a pair against two real coordinates
    power = squared_residuals(rfft2(image), rfft2(np.zeros((5, 5))))
    assert gaussian_log_density(power, variance, 25) == pytest.approx(density, rel=1e-12)


def test_gradients_match_central_differences(rng):
    images, expected, direction = rng.normal(size=(3, 4, 6, 6))
    y, z, dz = rfft2(images), rfft2(expected), rfft2(direction)

    def value(step, variance):
        power = squared_residuals(y, z + step * dz).sum()
        return gaussian_log_density(power, variance, images.size)

    gradients = GaussianNoise(2.0).log_likelihood_gradients(y, z)
    h = 1e-5
    slope = (value(h, 2.0) - value(-h, 2.0)) / (2 * h)
    assert inner_product(gradients.expected, dz) == pytest.approx(slope, rel=1e-7)
    slope = (value(0, 2.0 + h) - value(0, 2.0 - h)) / (2 * h)
    assert gradients.variances[0, 0] == pytest.approx(slope, rel=1e-7)
