"""The correlation of half maps, corrected for the mask, and its limits in words."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fslice.fourier import irfft3, radii, rfft3, shell_sum, shells, transform_about_zero
from fslice.metrics import fsc, resolution
from fslice.postprocess.filters import apply_b_factor, low_pass, phase_randomize
from fslice.postprocess.fsc import corrected_fsc
from fslice.postprocess.masks import soft_spherical_mask
from fslice.postprocess.random_phases import low_frequencies, random_phase_fsc
from fslice.postprocess.resolution import find_resolution, last_shell
from fslice.postprocess.shell_sums import shell_products
from fslice.simulation import phantom

seeds = st.integers(0, 2**32 - 1)
sizes = st.integers(4, 9)
SIZE, PIXEL_SIZE = 48, 4.0


def noise(seed, size=SIZE, count=2):
    return np.random.default_rng(seed).normal(size=(count, size, size, size))


def halves_of_phantom(level, seed=0):
    """Return two maps of a phantom with independent noise."""
    truth = phantom(SIZE, PIXEL_SIZE).volume(SIZE, PIXEL_SIZE)
    return truth, truth + level * truth.std() * noise(seed)


# random phases and filters -----------------------------------------------------------------------


@given(size=sizes, seed=seeds, first=st.integers(0, 5), dtype=st.sampled_from(["f4", "f8"]))
def test_random_phases_keep_amplitudes_and_what_is_before_the_shell(size, seed, first, dtype):
    volume = noise(seed, size, 1)[0].astype(dtype)
    result = phase_randomize(volume, first, np.random.default_rng(seed))
    assert result.dtype == volume.dtype
    before, after = rfft3(volume.astype("f8")), rfft3(result.astype("f8"))
    np.testing.assert_allclose(abs(after), abs(before), atol=1e-5)
    kept = shells(size, 3) < first
    np.testing.assert_allclose(after[kept], before[kept], atol=1e-5)


def test_random_phases_have_nothing_in_common_with_the_map_or_with_each_other():
    volume, rng = noise(0)[0], np.random.default_rng(1)
    one, two = (phase_randomize(volume, 3, rng) for _ in range(2))
    for a, b in ((volume, one), (one, two)):
        curve = fsc(a, b)
        np.testing.assert_allclose(curve[:3], 1)
        assert abs(curve[6:]).max() < 0.15


def test_the_seed_decides_the_phases():
    volume = noise(0, 8)[0]
    one, again, other = (phase_randomize(volume, 1, np.random.default_rng(s)) for s in (5, 5, 6))
    np.testing.assert_array_equal(one, again)
    assert not np.allclose(one, other)


@given(size=sizes, seed=seeds, cutoff=st.floats(2.5, 9), edge=st.floats(0.05, 2))
def test_the_low_pass_is_a_cosine_in_frequency(size, seed, cutoff, edge):
    volume = noise(seed, size, 1)[0]
    relative = radii(size, 3) / size * cutoff
    passed = (1 + np.cos(np.pi * np.clip((relative - 1 + edge / 2) / edge, 0, 1))) / 2
    expected = irfft3(rfft3(volume) * passed)
    np.testing.assert_allclose(low_pass(volume, 1.0, cutoff, edge=edge), expected, atol=1e-12)


@given(size=sizes, seed=seeds, b_factor=st.floats(-50, 50), pixel_size=st.floats(1, 4))
def test_b_factors_are_gaussians_in_frequency(size, seed, b_factor, pixel_size):
    volume = noise(seed, size, 1)[0]
    s = radii(size, 3) / (size * pixel_size)
    expected = irfft3(rfft3(volume) * np.exp(-b_factor * s**2 / 4))
    np.testing.assert_allclose(apply_b_factor(volume, pixel_size, b_factor), expected, atol=1e-9)


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda v: low_pass(v, 0.0, 8.0), ValueError, "pixel_size: expected Angstrom above 0"),
        (lambda v: low_pass(v, 1.0, math.nan), ValueError, "resolution: expected Angstrom above 0"),
        (lambda v: low_pass(v, 1.0, 8.0, edge=0), ValueError, "edge: expected above 0 and at most"),
        (lambda v: apply_b_factor(v, 1.0, math.inf), ValueError, "b_factor: expected a finite"),
        (lambda v: phase_randomize(v, -1, np.random.default_rng(0)), ValueError, "first_shell: ex"),
        (lambda v: phase_randomize(v, 1, 0), TypeError, r"rng: expected a numpy\.random\.Generato"),
    ],
)
def test_wrong_input_of_filters_is_named(call, error, message):
    with pytest.raises(error, match=message):
        call(np.ones((4, 4, 4)))


# the corrected curve -----------------------------------------------------------------------------


def test_the_curve_is_chen_s_formula_beyond_the_first_random_shells():
    _, halves = halves_of_phantom(1.0)
    curves = corrected_fsc(*halves, soft_spherical_mask(SIZE, 16, 5), PIXEL_SIZE)
    first = curves.first_random_shell
    assert curves.unmasked[first] < 0.8
    assert (curves.unmasked[1:first] >= 0.8).all()
    np.testing.assert_array_equal(curves.corrected[: first + 2], curves.masked[: first + 2])
    t, n = curves.masked[first + 2 :], curves.randomized[first + 2 :]
    expected = np.where(n > t, 0, (t - n) / (1 - n))
    np.testing.assert_allclose(curves.corrected[first + 2 :], expected)


def test_a_wide_mask_changes_nothing():
    _, halves = halves_of_phantom(1.0)
    curves = corrected_fsc(*halves, np.ones_like(halves[0]), PIXEL_SIZE)
    np.testing.assert_array_equal(curves.unmasked, curves.masked)
    assert abs(curves.randomized[curves.first_random_shell :]).max() < 0.1
    assert abs(curves.corrected - curves.unmasked).max() < 0.1


def test_the_correlation_inside_a_hard_mask_is_what_is_there_without_one():
    """A hard mask smears the strong, shared low frequencies over all others."""
    smooth = low_pass(noise(0)[0], 1.0, 12.0)
    halves = 30 * smooth / smooth.std() + noise(1)
    curves = corrected_fsc(*halves, soft_spherical_mask(SIZE, 12, 0.01), 1.0)
    outer = slice(14, (SIZE - 1) // 2)
    assert curves.masked[outer].min() > 0.5  # a resolution that is not there
    assert curves.corrected[outer].mean() < 0.2
    assert any("the mask itself adds" in note for note in curves.notes)


@pytest.mark.parametrize("seed", range(3))
def test_noise_in_a_hard_mask_has_nothing_in_common(seed):
    curves = corrected_fsc(*noise(seed), soft_spherical_mask(SIZE, 10, 0.01), PIXEL_SIZE)
    assert math.isinf(curves.resolutions["unmasked"].first_falls)
    assert abs(curves.corrected[4:]).mean() < 0.05
    assert any("the half maps have nothing in common" in note for note in curves.notes)


def test_identical_halves_are_named():
    volume = noise(0)[0]
    curves = corrected_fsc(volume, volume, soft_spherical_mask(SIZE, 16, 5), PIXEL_SIZE)
    np.testing.assert_allclose(curves.corrected, 1)
    assert curves.first_random_shell is None
    assert curves.notes == ("the half maps are identical: their correlation of 1 says nothing",)


def test_halves_that_share_images_are_doubted():
    shared, one, two = noise(0, count=3)
    mask = soft_spherical_mask(SIZE, 16, 5)
    curves = corrected_fsc(one + shared, two + shared, mask, PIXEL_SIZE)
    assert any("the halves share images" in note for note in curves.notes)
    unshared = corrected_fsc(one, two, mask, PIXEL_SIZE).notes
    assert not any("share images" in note for note in unshared)


def test_halves_above_to_the_end_are_limited_by_the_pixel():
    volume = noise(0)[0]
    halves = volume + 0.3 * noise(1)
    curves = corrected_fsc(*halves, soft_spherical_mask(SIZE, 16, 5), PIXEL_SIZE)
    found = curves.resolutions["corrected"]
    assert found.limit == "pixel"
    assert curves.resolution == pytest.approx(SIZE * PIXEL_SIZE / ((SIZE - 1) // 2))
    assert "limited by the pixel" in found.words
    assert any("is not corrected for the mask" in note for note in curves.notes)


def test_a_curve_that_ends_with_the_band_is_said_not_to_be_corrected():
    """Maps of this library are zero in the last shell of an even box: it is not one that falls."""
    one, two = 20 * noise(0, 16, 1) + noise(1, 16)
    inside = radii(16, 3) <= 7
    one, two = (irfft3(inside * rfft3(half)) for half in (one, two))
    curves = corrected_fsc(one, two, soft_spherical_mask(16, 5, 2), PIXEL_SIZE)
    assert curves.unmasked[1:8].min() > 0.9
    assert any("is not corrected for the mask" in note for note in curves.notes)


def test_maps_that_end_before_the_pixel_say_so():
    band = shells(SIZE, 3) <= 10
    volume = noise(0)[0]
    halves = [irfft3(rfft3(half) * band) for half in volume + 0.1 * noise(1)]
    found = corrected_fsc(*halves, np.ones_like(volume), PIXEL_SIZE).resolutions["corrected"]
    assert found.limit == "band"
    assert found.first_falls == pytest.approx(SIZE * PIXEL_SIZE / 10)
    assert "where the maps end" in found.words


@pytest.mark.parametrize(("size", "first"), [(11, 3), (12, 2), (12, 1)])
def test_the_random_curve_is_the_mean_over_all_random_phases(size, first):
    """Thousands of draws, their products and their powers summed each by itself."""
    smooth = low_pass(noise(0, size, 1)[0], 1.0, 5.0)
    halves = 3 + 10 * smooth + noise(1, size)
    mask = soft_spherical_mask(size, size / 5, 1.0)
    rng = np.random.default_rng(2)
    sums = np.zeros((3, size // 2 + 1))
    for _ in range(2000):
        one, two = (rfft3(mask * phase_randomize(half, first, rng)) for half in halves)
        for row, value in enumerate(((one * two.conj()).real, abs(one) ** 2, abs(two) ** 2)):
            sums[row] += shell_sum(value, size, 3)
    expected = sums[0] / np.sqrt(sums[1] * sums[2])
    found = random_phase_fsc(*halves, mask, first)
    np.testing.assert_allclose(found, expected, atol=0.02)
    assert abs(found).max() > 0.3


def test_beyond_the_last_shell_no_phase_is_random():
    halves, mask = noise(0, 10), soft_spherical_mask(10, 2, 1)
    found = random_phase_fsc(*halves, mask, 10)
    np.testing.assert_allclose(found, fsc(*halves, mask), atol=1e-12)


@given(size=sizes, seed=seeds, data=st.data())
def test_products_of_boxes_are_those_of_the_padded_volumes(size, seed, data):
    starts, stops = np.sort(data.draw(st.lists(
        st.tuples(st.integers(0, size - 1), st.integers(0, size - 1)), min_size=3, max_size=3,
    )), axis=1).T  # fmt: skip
    box = tuple(slice(a, b + 1) for a, b in zip(starts, stops, strict=True))
    one, two = np.zeros((2, *[size] * 3))
    one[box], two[box] = (part[box] for part in noise(seed, size))
    a_ft, b_ft = rfft3(one), rfft3(two)
    expected = [
        size**3 * shell_sum(values, size, 3)
        for values in ((a_ft * b_ft.conj()).real, abs(a_ft) ** 2, abs(b_ft) ** 2)
    ]
    np.testing.assert_allclose(shell_products(one[box], two[box], size), expected, atol=1e-8)


@given(size=sizes, seed=seeds, first=st.integers(0, 12))
def test_low_frequencies_are_those_before_a_shell(size, seed, first):
    volume = noise(seed, size, 1)[0]
    expected = irfft3(rfft3(volume) * (shells(size, 3) < first))
    box = (slice(1, 3), slice(0, size), slice(size - 1, size))
    found = low_frequencies(transform_about_zero(volume), first, box)
    np.testing.assert_allclose(found, expected[box], atol=1e-12)


def test_single_precision_gives_the_same_curves():
    _, halves = halves_of_phantom(1.0)
    mask = soft_spherical_mask(SIZE, 16, 5)
    double = corrected_fsc(*halves, mask, PIXEL_SIZE)
    single = corrected_fsc(*halves.astype("f4"), mask.astype("f4"), PIXEL_SIZE)
    for name in ("unmasked", "masked", "randomized", "corrected"):
        np.testing.assert_allclose(getattr(single, name), getattr(double, name), atol=1e-5)


def test_the_corrected_resolution_is_near_that_of_the_mean_against_the_truth():
    truth, halves = halves_of_phantom(1.5)
    mask = soft_spherical_mask(SIZE, 15, 6)
    curve = fsc(halves.mean(0), truth, mask)
    expected = resolution(curve, SIZE, PIXEL_SIZE, 0.5)
    found = corrected_fsc(*halves, mask, PIXEL_SIZE).resolution
    assert found == pytest.approx(expected, rel=0.05)


# where a curve falls -----------------------------------------------------------------------------


def test_a_dip_has_a_first_and_a_last_fall():
    curve = np.array([1, 1, 0.6, 0.4, 0.6, 0.6, 0.2, 0.1, 0])
    found = find_resolution(curve, 16, 1.0, 0.5)
    assert found.first_falls == pytest.approx(16 / 2.5)
    assert found.last_falls == pytest.approx(16 / 5.25)
    assert found.limit == "threshold"
    assert "rises above it again and falls for the last time at 3.05 Å" in found.words


@pytest.mark.parametrize(
    ("curve", "first", "last", "limit"),
    [
        ([1, 0.9, 0.8, 0.7, 0], 8 / 3, 8 / 3, "pixel"),  # the shell D // 2 is not in the band
        ([1, 0.1, 0.1, 0.1, 0], math.inf, math.inf, "nothing"),
        ([1, 0.1, 0.9, 0.1, 0], math.inf, 8 / 2.5, "nothing"),
        ([1, 0.9, 0.1, 0.9, 0], 8 / 1.5, 8 / 3, "threshold"),
        ([1, 0.9, 0.9, 0.1, 0], 8 / 2.5, 8 / 2.5, "threshold"),
    ],
)
def test_what_limits_a_curve(curve, first, last, limit):
    found = find_resolution(np.array(curve, float), 8, 1.0, 0.5)
    assert (found.first_falls, found.last_falls) == (pytest.approx(first), pytest.approx(last))
    assert found.limit == limit


def test_the_last_shell_is_within_the_band_and_has_power():
    assert last_shell(np.array([1, 0.5, 0.1, 0.2, 0.3]), 8) == 3
    assert last_shell(np.array([1, 0.5, 0.1, 0.2, 0.3]), 9) == 4
    assert last_shell(np.array([1, 0.5, 0, 0, 0]), 8) == 1
    assert last_shell(np.zeros(5), 8) == 0


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"half2": np.zeros((5, 5, 5))}, r"half2: expected shape \(4, 4, 4\), got \(5, 5, 5\)"),
        ({"half1": np.full((4, 4, 4), np.inf)}, "half1: 64 of 64 values are NaN or infinite"),
        ({"mask": np.full((4, 4, 4), -0.5)}, "mask: expected values from 0 to 1, got -0.5 to -0.5"),
        ({"pixel_size": -1.0}, "pixel_size: expected a positive value, got -1"),
        ({"threshold": 1.0}, "threshold: expected a value between 0 and 1, got 1"),
        ({"randomize_below": 0.0}, "randomize_below: expected a value between 0 and 1, got 0"),
    ],
)
def test_wrong_input_is_named(changes, message):
    cube = np.ones((4, 4, 4))
    given = {"half1": cube, "half2": cube, "mask": cube, "pixel_size": 1.0}
    with pytest.raises(ValueError, match=message):
        corrected_fsc(**{**given, **changes})
