"""Local resolution is that of each place, agrees with the whole, and calls noise unresolved."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fslice.fourier import irfft3, radii, rfft3
from fslice.metrics import fsc, resolution
from fslice.postprocess.filters import apply_b_factor, low_pass
from fslice.postprocess.local_resolution import local_resolution
from fslice.postprocess.masks import soft_spherical_mask

SIZE = 32


def noise(seed, count, size=SIZE):
    return np.random.default_rng(seed).normal(size=(count, size, size, size))


def decaying(volume, size=SIZE):
    """Return noise whose power falls with frequency, so that it sinks below white noise."""
    volume_ft = rfft3(volume)
    return irfft3(volume_ft * 4 * np.exp(-((radii(size, 3) / (0.22 * size)) ** 2)))


def rod(size, thickness=6):
    """Return a mask of 1 along x through the middle."""
    mask = np.zeros((size,) * 3)
    middle = slice(size // 2 - thickness // 2, size // 2 + thickness // 2)
    mask[middle, middle] = 1
    return mask


def test_each_place_has_its_own_resolution():
    volume, *parts = noise(0, 3, 64)
    truth = np.where(np.arange(64) < 32, low_pass(volume, 1.0, 8.0), volume)
    halves = [truth + 0.5 * part for part in parts]
    profile = np.nanmedian(local_resolution(*halves, rod(64), 1.0, window=16)[29:35, 29:35], (0, 1))
    assert profile[4:20].min() > 5
    assert profile[4:20].max() < 9
    np.testing.assert_allclose(profile[44:60], 2, atol=0.1)


@pytest.mark.parametrize("threshold", [0.143, 0.5])
def test_a_map_that_is_alike_everywhere_has_the_resolution_of_the_whole(threshold):
    volume, *parts = noise(1, 3)
    halves = [decaying(volume) + part for part in parts]
    whole = resolution(fsc(*halves), SIZE, 1.5, threshold)
    found = local_resolution(*halves, np.ones_like(volume), 1.5, window=24, threshold=threshold)
    assert np.median(found) == pytest.approx(whole, rel=0.06)
    assert np.percentile(found, 10) > 0.75 * whole
    assert np.percentile(found, 90) < 1.35 * whole


@pytest.mark.parametrize("b_factor", [-150.0, 300.0])
def test_strong_low_frequencies_do_not_make_the_others_look_alike(b_factor):
    """Sharpening and blurring change no correlation of shells; the window must not see them."""
    volume, *parts = noise(1, 3)
    halves = [decaying(volume) + part for part in parts]
    mask = np.ones_like(volume)
    expected = local_resolution(*halves, mask, 1.5, window=24)
    changed = [apply_b_factor(half, 1.5, b_factor) for half in halves]
    found = local_resolution(*changed, mask, 1.5, window=24)
    assert np.median(abs(found / expected - 1)) < 0.005
    assert np.median(found) == pytest.approx(np.median(expected), rel=0.003)


@pytest.mark.parametrize("size", [31, 32])
def test_noise_is_not_resolved(size):
    found = local_resolution(*noise(2, 2, size), np.ones((size,) * 3), 1.0, window=15)
    assert np.median(found) > 10
    assert np.percentile(found, 1) > 4


def test_identical_maps_are_resolved_to_two_pixels():
    volume = noise(3, 1)[0]
    found = local_resolution(volume, volume, np.ones_like(volume), 1.5, window=20)
    np.testing.assert_allclose(found, 3)


@settings(max_examples=8)
@given(
    size=st.integers(20, 25),
    pixel_size=st.floats(0.5, 5),
    scale=st.floats(1e-3, 1e3),
    dtype=st.sampled_from(["f4", "f8"]),
)
def test_units_do_not_matter_and_nothing_is_said_outside_the_mask(size, pixel_size, scale, dtype):
    one, two = noise(4, 2, size)
    halves = [(one + 0.5 * two).astype(dtype), (one - 0.5 * two).astype(dtype)]
    mask = soft_spherical_mask(size, size / 4, 3, dtype)
    window = 10 * pixel_size
    found = local_resolution(*halves, mask, pixel_size, window=window)
    assert found.dtype == dtype
    np.testing.assert_array_equal(np.isnan(found), mask < 0.5)
    inside = found[mask >= 0.5]
    assert inside.min() >= 2 * pixel_size * (1 - 1e-6)
    assert inside.max() <= window * (1 + 1e-6)
    scaled = local_resolution(
        *(half * dtype_of(scale, dtype) for half in halves), mask, pixel_size, window=window
    )
    np.testing.assert_allclose(scaled, found, rtol=1e-3)
    unit = local_resolution(*halves, mask, 1.0, window=10.0)
    np.testing.assert_allclose(found / pixel_size, unit, rtol=1e-3)


def dtype_of(value, dtype):
    return np.dtype(dtype).type(value)


def test_places_do_not_depend_on_where_else_a_resolution_is_asked_for():
    volume, *parts = noise(5, 3)
    halves = [decaying(volume) + part for part in parts]
    everywhere = local_resolution(*halves, np.ones_like(volume), 1.0, window=12)
    mask = np.zeros_like(volume)
    mask[7:15, 13:20, 20:] = 1
    part = local_resolution(*halves, mask, 1.0, window=12)
    np.testing.assert_allclose(part[mask == 1], everywhere[mask == 1])
    corner = np.zeros_like(volume)
    corner[:2, :3, :4] = 1
    part = local_resolution(*halves, corner, 1.0, window=12)
    np.testing.assert_allclose(part[corner == 1], everywhere[corner == 1])
    assert np.isnan(local_resolution(*halves, np.zeros_like(volume), 1.0)).all()


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"half2": np.zeros((9, 9, 9))}, r"half2: expected shape \(8, 8, 8\), got \(9, 9, 9\)"),
        ({"half1": np.full((8, 8, 8), np.nan)}, "half1: 512 of 512 values are NaN or infinite"),
        ({"mask": np.full((8, 8, 8), 2.0)}, "mask: expected values from 0 to 1, got 2 to 2"),
        ({"pixel_size": 0.0}, "pixel_size: expected a positive value, got 0"),
        ({"window": 3.0}, "window: expected 4 to 4 Angstrom, four pixels to half the box, got 3"),
        ({"threshold": 0.0}, "threshold: expected a value between 0 and 1, got 0"),
    ],
)
def test_wrong_input_is_named(changes, message):
    cube = np.ones((8, 8, 8))
    given = {"half1": cube, "half2": cube, "mask": cube, "pixel_size": 1.0}
    with pytest.raises(ValueError, match=message):
        local_resolution(**{**given, **changes})
