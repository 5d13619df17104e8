"""The phantom is seven-fold, has a hand and an up, and ends within the box and its band."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fslice.geometry import euler_to_matrix
from fslice.simulation.gaussians import GaussianModel
from fslice.simulation.phantoms import phantom


def overlap(a, b):
    """Integrate the product of two models: a Gaussian of the sum of variances per pair."""
    square = ((a.positions[:, None] - b.positions) ** 2).sum(-1)
    variance = a.variances[:, None] + b.variances
    terms = np.exp(-square / (2 * variance)) / (2 * np.pi * variance) ** 1.5
    return a.weights @ terms @ b.weights


def correlation(a, b):
    return overlap(a, b) / np.sqrt(overlap(a, a) * overlap(b, b))


def about_z(model, degrees):
    return model.rotate(euler_to_matrix(np.array([degrees, 0.0, 0.0])))


MODEL = phantom(128, 2.0)


def test_the_closed_form_correlation_is_that_of_densities():
    turned = about_z(MODEL, 20.0)
    a, b = MODEL.density(128, 2.0), turned.density(128, 2.0)
    expected = (a * b).sum() / np.sqrt((a**2).sum() * (b**2).sum())
    assert np.isclose(correlation(MODEL, turned), expected)


def test_a_seventh_of_a_turn_about_z_changes_nothing():
    assert abs(correlation(MODEL, about_z(MODEL, 360 / 7)) - 1) < 1e-12


@pytest.mark.parametrize("fold", [2, 3, 4, 5, 6, 8, 14])
def test_no_other_fraction_of_a_turn_does_so(fold):
    assert correlation(MODEL, about_z(MODEL, 360 / fold)) < 0.97


def best_over_turns(model):
    """Correlate at all turns about z within the period, 360/7 degrees."""
    return max(correlation(MODEL, about_z(model, a)) for a in np.linspace(0, 360 / 7, 53))


def test_it_differs_from_its_mirror_image():
    for axis in range(3):
        mirrored = MODEL.positions * np.where(np.arange(3) == axis, -1.0, 1.0)
        assert best_over_turns(GaussianModel(mirrored, MODEL.weights, MODEL.variances)) < 0.98


def test_it_differs_from_itself_upside_down():
    assert best_over_turns(MODEL.rotate(np.diag([1.0, -1.0, -1.0]))) < 0.95


@given(size=st.integers(32, 48), pixel_size=st.floats(0.5, 5))
def test_it_ends_within_the_band_and_the_box(size, pixel_size):
    model = phantom(size, pixel_size)
    density = model.density(size, pixel_size)
    error = np.linalg.norm(model.volume(size, pixel_size) - density) / np.linalg.norm(density)
    assert error < 2e-6
    assert np.isclose(density.sum(), 450_500, rtol=1e-8)


@given(size=st.integers(64, 200), radius=st.floats(0.3, 1))
def test_its_radius_is_as_asked_for(size, radius):
    assert np.isclose(phantom(size, 2.0, radius=radius).diameter, radius * size * 2.0)


def test_it_scales_with_the_box():
    small, large = phantom(144, 2.0), phantom(288, 3.0)
    assert np.allclose(large.positions, 3 * small.positions)
    assert np.allclose(large.variances, 9 * small.variances)


@pytest.mark.parametrize("radius", [0.0, 0.2, 1.1, np.nan])
def test_it_refuses_radii_that_hold_no_phantom(radius):
    with pytest.raises(ValueError, match=r"radius: expected 0\.3 to 1 of half the box, got"):
        phantom(64, 2.0, radius=radius)


def test_it_refuses_a_pixel_size_of_zero():
    with pytest.raises(ValueError, match="pixel_size: expected Angstrom above 0, got 0"):
        phantom(64, 0)
