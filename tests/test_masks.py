"""Masks hold the object, leave noise alone, and say so where there is nothing to hold."""

import warnings

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fslice.fourier import irfft3, radii, rfft3
from fslice.io import read_volume
from fslice.postprocess.detection import detect_object, distance_from_centre
from fslice.postprocess.masks import check_mask, cut_share, mask_from_map, soft_spherical_mask
from fslice.simulation import phantom

seeds = st.integers(0, 2**32 - 1)
SIZE, PIXEL_SIZE = 48, 4.0


@pytest.fixture(scope="module")
def truth():
    return phantom(SIZE, PIXEL_SIZE).volume(SIZE, PIXEL_SIZE)


def noisy(truth, level, seed=0):
    """Return the map with noise of a standard deviation relative to the map's largest value."""
    noise = np.random.default_rng(seed).normal(size=truth.shape)
    return truth + level * truth.max() * noise


def noise_map(seed, kind):
    """Return noise alone: white, falling with frequency, or cut off outside a sphere."""
    volume = np.random.default_rng(seed).normal(size=(40, 40, 40))
    if kind == "coloured":
        return irfft3(rfft3(volume) / (1 + radii(40, 3)))
    return volume * soft_spherical_mask(40, 16, 3) if kind == "masked" else volume


@given(
    size=st.integers(3, 12),
    radius=st.floats(0, 6),
    edge=st.floats(0.1, 6),
    dtype=st.sampled_from(["float32", "float64"]),
)
def test_a_spherical_mask_is_1_within_its_radius_and_0_beyond_its_edge(size, radius, edge, dtype):
    mask, distance = soft_spherical_mask(size, radius, edge, dtype), distance_from_centre(size)
    assert mask.dtype == dtype
    assert (mask[distance <= radius] == 1).all()
    np.testing.assert_allclose(mask[distance >= radius + edge], 0, atol=1e-12)
    middle = (distance > radius) & (distance < radius + edge)
    expected = (1 + np.cos(np.pi * (distance[middle] - radius) / edge)) / 2
    np.testing.assert_allclose(mask[middle], expected, atol=1e-6)


@pytest.mark.parametrize("level", [0, 0.1, 0.3, 0.6])
def test_the_mask_holds_the_object_at_any_level_of_noise(level, truth):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        mask = mask_from_map(noisy(truth, level), PIXEL_SIZE)
    assert (truth * mask).sum() > 0.98 * truth.sum()
    assert mask.mean() < 0.35
    assert mask.min() == 0
    assert mask.max() == 1


def test_the_mask_turns_with_the_map(truth):
    size = 47  # an odd box is its own mirror image about the origin
    truth = phantom(size, PIXEL_SIZE).volume(size, PIXEL_SIZE)
    quarter = np.rot90(truth, axes=(0, 2))
    expected = np.rot90(mask_from_map(truth, PIXEL_SIZE), axes=(0, 2))
    np.testing.assert_allclose(mask_from_map(quarter, PIXEL_SIZE), expected, atol=1e-9)


@given(factor=st.floats(1e-6, 1e6), offset=st.floats(-10, 10))
def test_the_mask_depends_neither_on_the_unit_nor_on_an_offset(truth, factor, offset):
    volume = noisy(truth, 0.2)
    moved = factor * (volume + offset * volume.std())
    expected = mask_from_map(volume, PIXEL_SIZE)
    assert abs(mask_from_map(moved, PIXEL_SIZE) - expected).mean() < 1e-3


@pytest.mark.parametrize("kind", ["white", "coloured", "masked"])
def test_noise_is_no_object(kind):
    found = [detect_object(noise_map(seed, kind), 3.0) for seed in range(30)]
    assert found == [None] * 30


@pytest.mark.parametrize("kind", ["white", "coloured", "masked"])
def test_noise_gets_a_sphere_and_a_warning(kind):
    with pytest.warns(UserWarning, match="no object stands out of the noise"):
        mask = mask_from_map(noise_map(1, kind), 3.0)
    assert mask[distance_from_centre(40) <= 14].min() == 1
    assert mask[distance_from_centre(40) >= 20].max() == 0


def test_a_flat_map_gets_a_sphere_and_a_warning():
    with pytest.warns(UserWarning, match="no object stands out of the noise"):
        mask = mask_from_map(np.full((12, 12, 12), 3.0), 3.0)
    assert mask[6, 6, 6] == 1


def test_inverted_contrast_is_named_and_the_mask_is_the_same(truth):
    volume = noisy(truth, 0.2)
    with pytest.warns(UserWarning, match="is the contrast inverted"):
        mask = mask_from_map(-volume, PIXEL_SIZE)
    np.testing.assert_array_equal(mask, mask_from_map(volume, PIXEL_SIZE))


def test_a_speck_away_from_the_object_is_left_out_and_an_equal_part_is_not():
    x = distance_from_centre(SIZE)
    ball = np.exp(-((x / 6) ** 2))
    two = np.roll(ball, -11, 2) + np.roll(ball, 11, 2)
    far = two + np.roll(np.exp(-((x / 1.5) ** 2)), 17, 0)
    mask = mask_from_map(far, PIXEL_SIZE, extend=0, edge=0)
    centre = SIZE // 2
    assert mask[centre, centre, centre - 11] == mask[centre, centre, centre + 11] == 1
    assert mask[centre + 17, centre, centre] == 0


def test_wider_extents_make_wider_masks(truth):
    volumes = [mask_from_map(truth, PIXEL_SIZE, extend=e, edge=0).sum() for e in (0, 2, 4)]
    assert volumes[0] < volumes[1] < volumes[2]
    away = mask_from_map(truth, PIXEL_SIZE, extend=2, edge=3)
    assert (mask_from_map(truth, PIXEL_SIZE, extend=2, edge=0) == (away == 1)).all()
    assert ((away > 0) <= (mask_from_map(truth, PIXEL_SIZE, extend=5, edge=0) == 1)).all()


def test_the_precision_is_that_of_the_map(truth):
    mask = mask_from_map(truth.astype(np.float32), PIXEL_SIZE)
    assert mask.dtype == np.float32
    assert abs(mask - mask_from_map(truth, PIXEL_SIZE)).mean() < 1e-3


@given(share=st.floats(0, 1))
def test_the_share_cut_is_that_of_the_density(truth, share):
    cut = cut_share(noisy(truth, 0.1), np.full_like(truth, 1 - share), PIXEL_SIZE)
    assert cut == pytest.approx(share, abs=1e-9)


def test_a_mask_beside_the_object_cuts_all_of_it_and_its_own_mask_nothing(truth):
    volume = noisy(truth, 0.1)
    beside = 1 - soft_spherical_mask(SIZE, SIZE / 2, 1)
    assert cut_share(volume, beside, PIXEL_SIZE) > 0.99
    assert cut_share(volume, mask_from_map(volume, PIXEL_SIZE), PIXEL_SIZE) == 0
    assert np.isnan(cut_share(noise_map(0, "white"), np.ones((40, 40, 40)), 3.0))


@pytest.mark.parametrize(
    ("name", "pixel_size", "low", "high"),
    [
        ("emd_1080_groel_11.5A.mrc", 2.7, 0.05, 0.3),
        ("clean70SRibosome_vol_65p.mrc", 5.0, 0.05, 0.3),
    ],
)
def test_real_maps_get_a_mask_of_their_own(data, name, pixel_size, low, high):
    pytest.importorskip("mrcfile")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # headers of these files
        volume, _ = read_volume(data / "maps" / name)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        mask = mask_from_map(volume, pixel_size)
    assert low < mask.mean() < high
    energy = (volume.astype(np.float64) - np.median(volume)) ** 2
    assert (energy * mask).sum() > 0.9 * energy.sum()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"volume": np.zeros((4, 4, 5))}, r"volume: expected shape \(4, 4, 4\)"),
        ({"volume": np.full((4, 4, 4), np.nan)}, "volume: 64 of 64 values are NaN"),
        ({"pixel_size": 0.0}, "pixel_size: expected Angstrom above 0, got 0"),
        ({"resolution": -1.0}, "resolution: expected Angstrom above 0, got -1"),
        ({"extend": -1.0}, "extend: expected finite pixels of at least 0, got -1"),
        ({"edge": np.inf}, "edge: expected finite pixels of at least 0, got inf"),
    ],
)
def test_wrong_input_is_named(arguments, message):
    with pytest.raises(ValueError, match=message):
        mask_from_map(**{"volume": np.ones((4, 4, 4)), "pixel_size": 2.0, **arguments})


def test_wrong_masks_and_spheres_are_named():
    cube = np.zeros((4, 4, 4))
    with pytest.raises(ValueError, match=r"mask: expected values from 0 to 1, got 0 to 2"):
        check_mask(np.linspace(0, 2, 64).reshape(4, 4, 4), cube)
    with pytest.raises(ValueError, match=r"mask: expected shape \(4, 4, 4\), got \(5, 5, 5\)"):
        check_mask(np.zeros((5, 5, 5)), cube)
    with pytest.raises(ValueError, match="edge: expected finite pixels above 0, got 0"):
        soft_spherical_mask(8, 3, 0)
    with pytest.raises(ValueError, match="radius: expected finite pixels of at least 0, got -1"):
        soft_spherical_mask(8, -1)
