import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fslice.fourier import frequencies, hermitian_weights, irfft3, rfft3, shells
from fslice.metrics import (
    credible_band,
    fsc,
    fsc_from_snr,
    mean_squared_error,
    resolution,
    shell_frequencies,
    snr_from_fsc,
    spectral_snr,
    split_half_sets,
)

sizes = st.integers(2, 9)
seeds = st.integers(0, 2**32 - 1)
dtypes = st.sampled_from([np.float32, np.float64])


def two_volumes(size, seed, dtype=np.float64):
    return np.random.default_rng(seed).normal(size=(2, size, size, size)).astype(dtype)


@given(size=sizes, seed=seeds, dtype=dtypes)
def test_a_volume_correlates_perfectly_with_itself(size, seed, dtype):
    volume = two_volumes(size, seed, dtype)[0]
    np.testing.assert_allclose(fsc(volume, volume), 1, rtol=1e-14)


@given(size=sizes, seed=seeds, dtype=dtypes)
def test_fsc_is_symmetric_and_bounded(size, seed, dtype):
    a, b = two_volumes(size, seed, dtype)
    curve = fsc(a, b)
    assert curve.shape == (size // 2 + 1,)
    assert curve.dtype == np.float64
    assert (abs(curve) <= 1).all()
    np.testing.assert_allclose(curve, fsc(b, a), atol=1e-14)


@given(size=sizes, seed=seeds)
def test_fsc_does_not_change_when_shells_are_scaled(size, seed):
    a, b = two_volumes(size, seed)
    factors = np.random.default_rng(seed).uniform(0.1, 10, size * 2)[shells(size, 3)]
    np.testing.assert_allclose(fsc(irfft3(factors * rfft3(a)), b), fsc(a, b), atol=1e-12)


@given(size=sizes, seed=seeds)
def test_fsc_is_equation_18_over_the_full_spectrum(size, seed):
    a, b = two_volumes(size, seed)
    a_ft, b_ft = (np.fft.fftn(np.fft.ifftshift(volume)) for volume in (a, b))
    k = np.fft.fftfreq(size, 1 / size)
    radius = np.sqrt(k[:, None, None] ** 2 + k[:, None] ** 2 + k**2)
    for shell, value in enumerate(fsc(a, b)):
        inside = np.rint(radius) == shell
        powers = [(abs(volume_ft[inside]) ** 2).sum() for volume_ft in (a_ft, b_ft)]
        expected = (a_ft[inside] * b_ft[inside].conj()).sum() / np.sqrt(powers[0] * powers[1])
        assert value == pytest.approx(expected.real, abs=1e-12)
        assert abs(expected.imag) < 1e-12


@pytest.mark.parametrize("size", [8, 9])
def test_shells_without_power_have_the_value_zero(size, rng):
    volume = rng.normal(size=(size,) * 3)
    np.testing.assert_array_equal(fsc(np.zeros_like(volume), volume), 0)
    flat = np.full_like(volume, 3.3)
    np.testing.assert_allclose(fsc(flat, flat), [1] + [0] * (size // 2), atol=1e-15)
    band_limited = irfft3(rfft3(volume) * (shells(size, 3) <= 2))
    np.testing.assert_allclose(fsc(band_limited, volume)[:3], fsc(volume, volume)[:3])
    np.testing.assert_array_equal(fsc(band_limited, volume)[3:], 0)


@given(exponent=st.integers(-30, 30))
def test_fsc_does_not_depend_on_the_unit_even_in_single_precision(exponent):
    a, b = two_volumes(6, 0, np.float32)
    np.testing.assert_allclose(fsc(a * np.float32(10.0**exponent), b), fsc(a, b), atol=1e-5)


def test_the_mask_multiplies_both_volumes(rng):
    a, b = two_volumes(8, 1)
    mask = rng.uniform(size=a.shape)
    np.testing.assert_allclose(fsc(a, b, mask), fsc(a * mask, b * mask), atol=1e-14)
    inside = mask > 0.5
    np.testing.assert_allclose(fsc(a, b, inside), fsc(a * inside, b * inside), atol=1e-14)


def test_volumes_of_different_precision_can_be_compared():
    a, b = two_volumes(8, 2)
    np.testing.assert_allclose(fsc(a.astype(np.float32), b), fsc(a, b), atol=1e-6)


def test_the_inputs_of_fsc_are_checked():
    cube = np.zeros((4, 4, 4))
    with pytest.raises(ValueError, match=r"b: expected shape \(4, 4, 4\), got \(5, 5, 5\)"):
        fsc(cube, np.zeros((5, 5, 5)))
    with pytest.raises(ValueError, match=r"a: expected shape \(4, 4, 4\), got \(2, 4, 4, 4\)"):
        fsc(np.zeros((2, 4, 4, 4)), cube)
    with pytest.raises(ValueError, match=r"mask: expected shape \(4, 4, 4\), got \(4, 4\)"):
        fsc(cube, cube, np.zeros((4, 4)))
    with pytest.raises(ValueError, match="b: 64 of 64 values are NaN or infinite"):
        fsc(cube, cube * np.nan)
    with pytest.raises(TypeError, match="a: expected dtype float32 or float64, got complex128"):
        fsc(cube + 0j, cube)
    with pytest.raises(TypeError, match="mask: expected dtype float32 or float64, got int64"):
        fsc(cube, cube, cube.astype(int))


def curve_of(*values):
    return np.array(values, np.float64)


def test_the_crossing_is_interpolated_between_shells():
    assert resolution(curve_of(1, 0.9, 0.5, 0.3, 0), 8, 2.0) == 16 / 2
    assert resolution(curve_of(1, 0.9, 0.6, 0.2, 0), 8, 2.0) == pytest.approx(16 / 2.25)
    half_maps = resolution(curve_of(1, 0.9, 0.6, 0.2, 0, 0), 10, 2.0, threshold=0.143)
    assert half_maps == pytest.approx(20 / (3 + 0.057 / 0.2))


def test_the_first_crossing_counts_even_if_the_curve_rises_again():
    assert resolution(curve_of(1, 0.8, 0.2, 0.9, 0.9), 8, 1.0) == pytest.approx(8 / 1.5)


def test_a_curve_that_never_falls_reaches_the_last_shell():
    assert resolution(np.ones(5), 8, 1.5) == 4.0  # that of Nyquist has no mates
    assert resolution(np.ones(5), 9, 1.0) == 9 / 4


def test_a_curve_that_is_never_above_the_threshold_resolves_nothing():
    assert resolution(curve_of(0.3, 0.2, 0.9, 0.2, 0.1), 8, 1.0) == math.inf
    assert resolution(curve_of(0.0, 0.0), 2, 1.0) == math.inf


def test_the_mean_in_shell_0_need_not_agree():
    assert resolution(curve_of(-1, 0.9, 0.5, 0.3, 0), 8, 2.0) == 16 / 2
    assert resolution(curve_of(1, 0, 0, 0, 0), 8, 1.0) == pytest.approx(16)


@given(size=st.integers(4, 32), pixel_size=st.floats(0.5, 5), cut=st.floats(0.1, 0.9))
def test_a_volume_filtered_at_a_frequency_is_resolved_to_it(size, pixel_size, cut):
    volume = two_volumes(size, 3)[0]
    last = 1 + int(cut * (size // 2 - 1))
    filtered = irfft3(rfft3(volume) * (shells(size, 3) <= last))
    found = resolution(fsc(volume, filtered), size, pixel_size)
    assert found == pytest.approx(size * pixel_size / min(last + 0.5, (size - 1) // 2))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((np.ones(4), 8, 1.0), r"curve: expected shape \(5,\), got \(4,\)"),
        ((np.full(5, np.nan), 8, 1.0), "curve: 5 of 5 values are NaN or infinite"),
        ((np.ones(5), 8, 0.0), "pixel_size: expected a positive value, got 0.0"),
        ((np.ones(5), 8, math.nan), "pixel_size: expected a positive value, got nan"),
        ((np.ones(5), 8, 1.0, 1.0), "threshold: expected a value between 0 and 1, got 1.0"),
        ((np.ones(5), 0, 1.0), "size: expected at least 1, got 0"),
    ],
)
def test_the_inputs_of_resolution_are_checked(arguments, message):
    with pytest.raises(ValueError, match=message):
        resolution(*arguments)


def test_shell_frequencies_end_at_nyquist_of_an_even_box():
    np.testing.assert_allclose(shell_frequencies(10, 2.0), [0, 0.05, 0.1, 0.15, 0.2, 0.25])
    assert shell_frequencies(9, 1.0)[-1] == pytest.approx(4 / 9)
    with pytest.raises(ValueError, match="pixel_size: expected a positive value, got -1"):
        shell_frequencies(8, -1)


@given(size=sizes, seed=seeds, dtype=dtypes)
def test_spectral_snr_is_the_ratio_of_the_sums_over_the_full_shells(size, seed, dtype):
    rng = np.random.default_rng(seed)
    mean_ft = rfft3(rng.normal(size=(size,) * 3).astype(dtype))
    sigma = rng.uniform(0.1, 1, mean_ft.shape).astype(dtype)
    weights = np.broadcast_to(hermitian_weights(size), mean_ft.shape)
    for shell, value in enumerate(spectral_snr(mean_ft, sigma)):
        inside = shells(size, 3) == shell
        signal = (weights * abs(mean_ft) ** 2)[inside].sum()
        assert value == pytest.approx(signal / (weights * sigma**2)[inside].sum(), rel=1e-5)


def test_spectral_snr_is_the_snr_of_a_mean_with_white_noise_around_it(rng):
    samples = rng.normal(size=(40, 12, 12, 12))
    power = (abs(rfft3(samples)) ** 2).mean(0)  # the variance of each frequency is 1
    np.testing.assert_allclose(spectral_snr(np.sqrt(power) + 0j, np.ones((12, 12, 7))), 1, rtol=0.5)
    np.testing.assert_allclose((power * hermitian_weights(12)).sum(), 12**3, rtol=0.02)


def test_spectral_snr_without_uncertainty_is_infinite_or_zero():
    mean_ft = (sum(k**2 for k in frequencies(6, 3)) < 2) + 0j
    snr = spectral_snr(mean_ft, np.zeros(mean_ft.shape))
    assert snr.tolist() == [math.inf, math.inf, 0, 0]


def test_the_inputs_of_spectral_snr_are_checked():
    mean_ft, sigma = np.ones((4, 4, 3), complex), np.ones((4, 4, 3))
    with pytest.raises(ValueError, match=r"sigma: expected shape \(4, 4, 3\), got \(4, 4, 4\)"):
        spectral_snr(mean_ft, np.ones((4, 4, 4)))
    with pytest.raises(ValueError, match="sigma: 48 of 48 values are NaN or infinite"):
        spectral_snr(mean_ft, sigma * np.nan)
    with pytest.raises(TypeError, match="mean_ft: expected dtype complex64 or complex128"):
        spectral_snr(sigma, sigma)


@given(snr=st.floats(0, 1e6), dtype=dtypes)
def test_snr_and_fsc_are_inverse_maps(snr, dtype):
    values = np.array([snr], dtype)
    curve = fsc_from_snr(values)
    assert curve.dtype == dtype
    if snr < 100:
        np.testing.assert_allclose(snr_from_fsc(curve), values, rtol=1e-4)
    assert 0 <= curve[0] <= 1


def test_fsc_of_two_noisy_copies_is_what_their_snr_implies(rng):
    size, snr = 24, 2.0
    signal = rng.normal(size=(size,) * 3) * math.sqrt(snr)
    a, b = signal + rng.normal(size=(2, size, size, size))
    expected = fsc_from_snr(np.full(size // 2 + 1, snr))
    np.testing.assert_allclose(fsc(a, b)[5:], expected[5:], atol=0.15)


def test_ratios_and_correlations_out_of_range_are_refused():
    with pytest.raises(ValueError, match=r"snr: expected values of at least 0, got -0\.5"):
        fsc_from_snr(np.array([1.0, -0.5]))
    with pytest.raises(ValueError, match=r"curve: expected values of at most 1, got 1\.5"):
        snr_from_fsc(np.array([1.5, 0.0]))


@given(size=sizes, seed=seeds, dtype=dtypes)
def test_mean_squared_error_is_per_voxel(size, seed, dtype):
    a, b = two_volumes(size, seed, dtype)
    assert mean_squared_error(a, b) == mean_squared_error(b, a)
    assert mean_squared_error(a, a + dtype(2)) == pytest.approx(4, rel=1e-5)
    assert mean_squared_error(a, b) == pytest.approx(np.mean((a - b) ** 2), rel=1e-5)
    assert isinstance(mean_squared_error(a, b), float)


def test_mean_squared_error_needs_volumes_of_one_shape():
    with pytest.raises(ValueError, match=r"b: expected shape \(2, 2\), got \(2, 3\)"):
        mean_squared_error(np.zeros((2, 2)), np.zeros((2, 3)))


@given(n=st.integers(2, 200), seed=seeds)
def test_half_sets_are_disjoint_complete_and_equal_in_size(n, seed):
    first, second = split_half_sets(n, np.random.default_rng(seed))
    assert sorted([*first, *second]) == list(range(n))
    assert 0 <= len(first) - len(second) <= 1
    assert (np.diff(first) > 0).all()
    assert (np.diff(second) > 0).all()
    again = split_half_sets(n, np.random.default_rng(seed))
    np.testing.assert_array_equal(first, again[0])


def test_half_sets_are_drawn_at_random():
    drawn = [split_half_sets(100, np.random.default_rng(seed))[0] for seed in range(200)]
    counts = np.bincount(np.concatenate(drawn), minlength=100)
    assert counts.min() > 60
    assert counts.max() < 140


def test_the_inputs_of_half_sets_are_checked():
    with pytest.raises(ValueError, match="n: expected at least 2, got 1"):
        split_half_sets(1, np.random.default_rng(0))
    with pytest.raises(TypeError, match=r"rng: expected a numpy\.random\.Generator, got int"):
        split_half_sets(4, 0)


def test_credible_band_holds_the_share_of_the_curves(rng):
    curves = rng.uniform(size=(4001, 3))
    low, high = credible_band(curves, 0.9)
    assert np.allclose((low, high), [[0.05] * 3, [0.95] * 3], atol=0.02)
    inside = ((low <= curves) & (curves <= high)).mean(0)
    assert np.allclose(inside, 0.9, atol=1e-3)


@pytest.mark.parametrize(
    ("curves", "level", "message"),
    [
        (np.ones(3), 0.9, r"curves: expected shape \(K, S\), got \(3,\)"),
        (np.ones((0, 3)), 0.9, "curves: expected at least one element"),
        (np.ones((2, 3)), 1.0, "level: expected a value between 0 and 1, got 1.0"),
        (np.full((2, 3), np.nan), 0.9, "curves"),
    ],
)
def test_wrong_bands_are_named(curves, level, message):
    with pytest.raises(ValueError, match=message):
        credible_band(curves, level)
