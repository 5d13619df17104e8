"""Noise models: densities that are densities, gradients, and updates that are the best."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import norm
from strategies import noise, precisions, seeds

from fslice import Projector, irfft2, random_rotations, rfft2
from fslice.fourier import hermitian_weights, inner_product, radii, shells
from fslice.likelihoods.density import gaussian_log_density, squared_residuals
from fslice.likelihoods.gaussian import GaussianNoise
from fslice.testing import check_gradient

COUNT = 5


def draw_model(rng, size, kind, max_radius=None):
    """Return a model: white, per shell, per group, or both."""
    columns = size // 2 + 1 if "shell" in kind else 1
    if "group" not in kind:
        return GaussianNoise(rng.uniform(0.5, 2, columns), max_radius=max_radius)
    groups = rng.integers(0, 3, COUNT)
    return GaussianNoise(rng.uniform(0.5, 2, (4, columns)), groups, max_radius)


def draw_images(rng, size, dtype="float64"):
    images, expected = noise(rng, (2, COUNT, size, size), dtype)
    return rfft2(images), rfft2(expected)


kinds = st.sampled_from(["white", "shell", "group", "group and shell"])
sizes = st.integers(2, 9)
radius = st.sampled_from([None, 2.5])


@given(seed=seeds, size=sizes)
def test_the_white_density_is_that_of_the_pixels(seed, size):
    rng = np.random.default_rng(seed)
    images, expected = rng.normal(size=(2, COUNT, size, size))
    found = GaussianNoise(0.7).log_likelihood(rfft2(images), rfft2(expected))
    pixels = norm.logpdf(images, expected, np.sqrt(0.7)).sum((1, 2))
    assert np.allclose(found, pixels, rtol=1e-10)


@given(seed=seeds, size=sizes, kind=kinds, max_radius=radius, dtype=precisions)
def test_the_density_is_the_sum_over_coefficients(seed, size, kind, max_radius, dtype):
    rng = np.random.default_rng(seed)
    model, (y, mean) = draw_model(rng, size, kind, max_radius), draw_images(rng, size, dtype)
    variance = np.broadcast_to(model.evaluate(size), y.shape)
    weights = hermitian_weights(size) * (radii(size, 2) <= (max_radius or np.inf))
    terms = abs(y - mean) ** 2 / variance + np.log(2 * np.pi * variance)
    found = model.log_likelihood(y, mean)
    assert found.dtype == np.float64
    assert np.allclose(found, -0.5 * (weights * terms).sum((1, 2)), rtol=1e-5)


def test_one_variance_in_the_band_is_the_white_likelihood(rng):
    y, mean = draw_images(rng, 8)
    band = radii(8, 2) <= 3
    degrees = (band * hermitian_weights(8)).sum()
    expected = [
        gaussian_log_density(p, 0.3, degrees) for p in squared_residuals(y * band, mean * band)
    ]
    assert np.allclose(GaussianNoise(0.3, max_radius=3).log_likelihood(y, mean), expected)


@given(seed=seeds, size=sizes, kind=kinds, max_radius=radius)
def test_the_gradients_are_exact(seed, size, kind, max_radius):
    rng = np.random.default_rng(seed)
    model, (y, mean) = draw_model(rng, size, kind, max_radius), draw_images(rng, size)
    grad_expected, grad_variances = model.log_likelihood_gradients(y, mean)

    def total(mean=mean, variances=model.variances):
        own = GaussianNoise(variances, model.groups, max_radius)
        return own.log_likelihood(y, mean).sum()

    check_gradient(
        lambda z: total(mean=z), grad_expected, mean, rfft2(rng.normal(size=(COUNT, size, size)))
    )
    direction = rng.normal(size=model.variances.shape)
    check_gradient(lambda v: total(variances=v), grad_variances, model.variances, direction)


@given(seed=seeds, size=sizes, kind=kinds, max_radius=radius)
def test_the_update_is_where_the_gradient_vanishes(seed, size, kind, max_radius):
    rng = np.random.default_rng(seed)
    model, (y, mean) = draw_model(rng, size, kind, max_radius), draw_images(rng, size)
    best = model.updated(y, mean)
    _, slope = best.log_likelihood_gradients(y, mean)
    assert np.allclose(slope, 0, atol=1e-9)
    before = model.log_likelihood(y, mean).sum()
    assert best.log_likelihood(y, mean).sum() >= before - 1e-9 * abs(before)
    # where nothing was seen, nothing changes
    seen = shells(size, 2)[radii(size, 2) <= (max_radius or np.inf)]
    columns = model.variances.shape[1]
    for group in range(len(model.variances)):
        for shell in range(columns):
            images = model.groups is None or (model.groups == group).any()
            if not (images and (columns == 1 or shell <= seen.max())):
                assert best.variances[group, shell] == model.variances[group, shell]


def test_an_uncertain_expectation_adds_to_the_noise(rng):
    y, mean = draw_images(rng, 8)
    one = np.ones(y.shape)
    certain, uncertain = (
        GaussianNoise(1.0).updated(y, mean),
        GaussianNoise(1.0).updated(y, mean, one),
    )
    assert np.allclose(uncertain.variances - certain.variances, 1)


def test_coloured_noise_is_learned_from_images_of_it(rng):
    size, count = 16, 300
    truth = GaussianNoise(
        np.stack([np.linspace(3, 1, 9), np.linspace(1, 4, 9)]), np.arange(count) % 2
    )
    deviations = np.sqrt(truth.evaluate(size))
    images_ft = rfft2(irfft2(rfft2(rng.normal(size=(count, size, size))) * deviations))
    flat = GaussianNoise(np.ones((2, 9)), truth.groups)
    learned = flat.updated(images_ft, 0 * images_ft).variances
    assert np.allclose(learned[:, 1:] / truth.variances[:, 1:], 1, atol=0.12)
    assert np.allclose(learned[:, 0] / truth.variances[:, 0], 1, atol=0.4)  # one value per image


def test_its_inverse_weights_the_fits(rng):
    size = 8
    projector, model = Projector(size), GaussianNoise(rng.uniform(1, 2, 5), max_radius=3)
    volume_ft, rotations = (
        projector.transform(rng.normal(size=(size,) * 3)),
        random_rotations(2, rng),
    )
    images_ft = rfft2(rng.normal(size=(2, size, size)))
    power, grad_volume = projector.misfit(
        volume_ft, images_ft, rotations, weights=1 / model.evaluate(size)[0]
    )
    expected_ft = projector.project_ft(volume_ft, rotations)
    grad_expected, _ = model.log_likelihood_gradients(images_ft, expected_ft)
    assert np.isclose(power.sum(), inner_product(images_ft - expected_ft, grad_expected))
    assert np.allclose(grad_volume, -projector.backproject_ft(grad_expected, rotations))


def test_images_are_selected_with_their_groups():
    model = GaussianNoise([[1.0], [2.0], [3.0]], np.array([0, 2, 1]))
    assert list(model[[1, 2]].groups) == [2, 1]
    assert model[model.groups > 0].evaluate(4).shape == (2, 4, 3)
    white = GaussianNoise(1.0)
    assert white[:3] is white


Y, Noise = np.ones((2, 4, 3), complex), GaussianNoise


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: Noise(0.0), ValueError, "variances: expected finite values above 0"),
        (lambda: Noise([1.0, np.nan]), ValueError, "variances: expected finite values"),
        (lambda: Noise(np.ones((2, 1))), ValueError, "groups: expected one for each image"),
        (lambda: Noise(np.ones((1, 2, 3))), ValueError, r"variances: expected shape \(G, S\)"),
        (lambda: Noise(1.0, np.zeros(2)), TypeError, "groups: expected integers, got float64"),
        (lambda: Noise(1.0, np.array([0, 1])), ValueError, "groups: expected 0 to 0, got 1"),
        (lambda: Noise(1.0, np.array([-1, 0])), ValueError, "groups: expected 0 to 0, got -1"),
        (lambda: Noise([1.0, 1.0]).log_likelihood(Y, Y), ValueError,
         "variances: expected 1 or 3 shells for box 4, got 2"),
        (lambda: Noise(1.0, np.zeros(3, int)).log_likelihood(Y, Y), ValueError,
         r"images_ft: expected shape \(3, 4, 3\), got \(2, 4, 3\)"),
        (lambda: Noise(1.0).log_likelihood(Y, Y[:1]), ValueError, "expected_ft: expected"),
        (lambda: Noise(1.0).log_likelihood(Y.real, Y), TypeError, "images_ft: expected"),
        (lambda: Noise(1.0).log_likelihood(Y, Y.astype("c8")), TypeError, "precisions differ"),
        (lambda: Noise(1.0).updated(Y, Y, np.ones((2, 4))), ValueError,
         "uncertainty: expected shape"),
    ],
)  # fmt: skip
def test_bad_input_is_named(call, error, message):
    with pytest.raises(error, match=message):
        call()
