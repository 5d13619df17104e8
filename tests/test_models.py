"""Where the truth comes from: atoms as Gaussians, maps in another box."""

import sys
from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fslice import fourier
from fslice.geometry import euler_to_matrix
from fslice.simulation.form_factors import electron_form_factors
from fslice.simulation.gaussians import GaussianModel
from fslice.simulation.models import check_fits, resample_map

sizes = st.integers(4, 13)
seeds = st.integers(0, 2**32 - 1)


def atoms(**changes):
    parts = {
        "positions": np.array([[1.0, 2, 3], [5, 4, 3], [0, 0, 0]]),
        "atomic_numbers": np.array([6, 8, 7]),
        "b_factors": np.array([0.0, 8 * np.pi**2, 30]),
    }
    return SimpleNamespace(**{**parts, **changes})


def smooth_model(rng, reach):
    return GaussianModel(rng.uniform(-reach, reach, (6, 3)), rng.uniform(1, 2, 6), np.full(6, 40.0))


def test_atoms_become_gaussians_of_their_number_and_b_factor():
    model = GaussianModel.from_atoms(atoms(), scattering="atomic-number", extra_variance=0.5)
    assert np.allclose(model.weights, [6, 8, 7])
    assert np.allclose(model.variances, [0.5, 1.5, 30 / (8 * np.pi**2) + 0.5])
    assert np.allclose(model.positions, [[-1, 0, 1], [3, 2, 1], [-2, -2, -2]])


def test_atoms_scatter_electrons_by_their_form_factors():
    """The model's spectrum is the sum of f(s) exp(-B s^2 / 4) over the atoms."""
    pytest.importorskip("gemmi", reason="gemmi is not installed")
    given, size, pixel_size = atoms(), 16, 1.5
    model = GaussianModel.from_atoms(given)
    amplitudes, widths = electron_form_factors(given.atomic_numbers)
    assert amplitudes.shape == widths.shape == (3, 5)
    kx, ky, kz = np.broadcast_arrays(*fourier.frequencies(size, 3))
    s = np.stack([kx, ky, kz], -1) / (size * pixel_size)
    square = (s**2).sum(-1)
    expected = np.zeros(square.shape, complex)
    for position, a, b, b_factor in zip(
        given.positions - given.positions.mean(0), amplitudes, widths, given.b_factors, strict=True
    ):
        f = (a * np.exp(-b * square[..., None] / 4)).sum(-1)
        expected += f * np.exp(-b_factor * square / 4 - 2j * np.pi * s @ position)
    expected *= (fourier.radii(size, 3) <= (size - 1) // 2) / size**1.5
    assert np.allclose(model.spectrum(size, pixel_size), expected, rtol=0, atol=1e-12)


MOTT_BETHE = 0.023934  # m e^2 / (8 pi eps0 h^2) in 1/Angstrom


@pytest.mark.parametrize("atomic_number", [1, 6, 7, 8, 12, 15, 16, 26, 30])
@pytest.mark.parametrize("s", [0.6, 1.0, 2.0])
def test_form_factors_are_those_of_the_charge_seen_by_x_rays(atomic_number, s):
    """The formula of Mott and Bethe ties them to another table, and to the 1s orbital."""
    gemmi = pytest.importorskip("gemmi", reason="gemmi is not installed")
    (amplitudes,), (widths,) = electron_form_factors([atomic_number])
    square = s**2 / 4  # (sin(theta) / wavelength)^2
    electrons = gemmi.Element(atomic_number).it92.calculate_sf(square)
    if atomic_number == 1:  # the table has that of a bond
        electrons = (1 + (np.pi * 0.529177 * s) ** 2) ** -2
    expected = MOTT_BETHE * (atomic_number - electrons) / square
    assert (amplitudes * np.exp(-widths * square)).sum() == pytest.approx(expected, rel=0.02)


def test_elements_without_a_form_factor_are_named():
    pytest.importorskip("gemmi", reason="gemmi is not installed")
    for number in (0, 99, 200):
        with pytest.raises(ValueError, match=f"atomic_numbers: expected elements .* got {number}"):
            GaussianModel.from_atoms(atoms(atomic_numbers=np.array([6, number, 7])))
    with pytest.raises(ValueError, match=r"atomic_numbers: expected shape \(J,\), got \(\)"):
        electron_form_factors(6)
    with pytest.raises(ValueError, match="scattering: expected 'electron' or 'atomic-number', got"):
        GaussianModel.from_atoms(atoms(), scattering="x-ray")


def test_without_gemmi_the_command_that_installs_it_is_given(monkeypatch):
    monkeypatch.setitem(sys.modules, "gemmi", None)
    with pytest.raises(ImportError, match="form factors of electrons need the package gemmi"):
        GaussianModel.from_atoms(atoms())
    assert len(GaussianModel.from_atoms(atoms(), scattering="atomic-number")) == 3


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"positions": np.zeros((0, 3))}, "atoms: expected at least one, got none"),
        ({"b_factors": [1, -3, 0]}, "b_factors: expected none below 0, got -3"),
        ({"b_factors": [1, np.nan, 0]}, "b_factors: 1 of 3 values are NaN"),
        ({"atomic_numbers": [1, 2]}, r"atomic_numbers: expected shape \(3,\), got \(2,\)"),
    ],
)
def test_atoms_are_refused(changes, message):
    with pytest.raises(ValueError, match=message):
        GaussianModel.from_atoms(atoms(**changes))


def test_a_negative_extra_variance_is_refused():
    with pytest.raises(ValueError, match="extra_variance: expected at least 0, got -1"):
        GaussianModel.from_atoms(atoms(), extra_variance=-1)


def test_a_model_larger_than_the_box_is_refused_with_both_lengths():
    model = GaussianModel([[30.0, 40, 0]], [1], [4])
    check_fits(model, 56, 2.0)
    message = r"size: expected at least 112.0 Angstrom to hold the model, got 32 x 2 = 64.0 Angstro"
    with pytest.raises(ValueError, match=message):
        check_fits(model, 32, 2.0)


@given(size=sizes, seed=seeds)
def test_the_same_box_returns_the_same_map(size, seed):
    volume = np.random.default_rng(seed).normal(size=(size,) * 3)
    assert np.allclose(resample_map(volume, 1.3, size, 1.3), volume)


@given(size=sizes, target=st.integers(4, 19), seed=seeds)
def test_the_same_pixel_size_crops_or_pads(size, target, seed):
    volume = np.zeros((size,) * 3)
    inner = volume[size // 2 - 1 : size // 2 + 2]
    inner = inner[:, size // 2 - 1 : size // 2 + 2, size // 2 - 1 : size // 2 + 2]
    inner[...] = np.random.default_rng(seed).normal(size=inner.shape)
    wide = max(size, target) + 2
    expected = fourier.crop(fourier.pad(volume, wide, 3), target, 3)
    assert np.allclose(resample_map(volume, 2.0, target, 2.0), expected)


@given(
    size=st.integers(48, 53),
    target=st.integers(30, 50),
    pixel_size=st.floats(1.9, 2.1),
    new=st.floats(3.1, 4.0),
    seed=seeds,
)
def test_smooth_densities_keep_their_values_at_any_ratio(size, target, pixel_size, new, seed):
    model = smooth_model(np.random.default_rng(seed), 10.0)
    sampled = model.density(size, pixel_size) / pixel_size**3
    expected = model.density(target, new) / new**3
    got = resample_map(sampled, pixel_size, target, new)
    assert np.linalg.norm(got - expected) < 1e-5 * np.linalg.norm(expected)


def test_finer_pixels_interpolate_a_band_limited_map(rng):
    model = smooth_model(rng, 12.0)
    got = resample_map(model.density(32, 3.0) / 27, 3.0, 61, 1.37)
    expected = model.density(61, 1.37) / 1.37**3
    assert np.linalg.norm(got - expected) < 1e-5 * np.linalg.norm(expected)


def test_what_the_new_pixels_cannot_carry_is_removed(rng):
    size, k = 32, 13  # a wave beyond the Nyquist frequency of pixels twice as large
    wave = np.cos(2 * np.pi * k * (np.arange(size) - size // 2) / size)
    volume = 1 + np.broadcast_to(wave, (size,) * 3)
    assert np.allclose(resample_map(volume, 1.0, 16, 2.0), 1)


def test_it_is_zero_outside_the_map_and_not_periodic():
    resampled = resample_map(np.ones((8, 8, 8)), 1.0, 12, 1.0)
    assert resampled.sum() == pytest.approx(8**3)
    assert resampled[0, 0, 0] == 0


def test_single_precision_stays_single(rng):
    volume = rng.normal(size=(8, 8, 8)).astype(np.float32)
    assert resample_map(volume, 1.0, 8, 1.0).dtype == np.float32


def test_a_map_larger_than_the_box_is_refused_with_both_lengths():
    message = "size: expected at least 27.0 Angstrom to hold 99 % of the map's energy, got 8 x 3 ="
    with pytest.raises(ValueError, match=message):
        resample_map(np.ones((9, 9, 9)), 3.0, 8, 3.0)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((np.ones((4, 4, 5)), 1.0, 4, 1.0), r"volume: expected shape \(4, 4, 4\), got \(4, 4, 5\)"),
        ((np.full((2, 2, 2), np.inf), 1.0, 4, 1.0), "volume: 8 of 8 values are NaN or infinite"),
        ((np.ones((4, 4, 4)), 0.0, 4, 1.0), "pixel_size: expected Angstrom above 0, got 0"),
        ((np.ones((4, 4, 4)), 1.0, 4, -1.0), "pixel_size: expected Angstrom above 0, got -1"),
        ((np.ones((4, 4, 4)), 1.0, 0, 1.0), "size: expected at least 1, got 0"),
    ],
)
def test_maps_and_boxes_are_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        resample_map(*arguments)


@pytest.fixture(scope="module")
def groel_groes(data):
    from fslice.io import read_atoms

    atoms = read_atoms(data / "atomic" / "1aon.pdb.gz")
    return GaussianModel.from_atoms(atoms, scattering="atomic-number")


def test_1aon_has_its_electrons_and_fits_its_box(groel_groes):
    assert len(groel_groes) == 58_870
    assert groel_groes.weights.sum() == 390_117
    check_fits(groel_groes, 128, 2.8)
    with pytest.raises(ValueError, match=r"to hold the model, got 64 x 2\.8 = 179\.2 Angstrom"):
        check_fits(groel_groes, 64, 2.8)


def test_1aon_is_seven_fold_about_z(groel_groes):
    def spectrum(degrees):
        turned = groel_groes.rotate(euler_to_matrix(np.array([degrees, 0.0, 0.0])))
        result = turned.spectrum(48, 7.5)
        result[0, 0, 0] = 0
        return result

    def correlation(a, b):
        return fourier.inner_product(a, b) / np.sqrt(
            fourier.inner_product(a, a) * fourier.inner_product(b, b)
        )

    original = spectrum(0.0)
    assert correlation(original, spectrum(360 / 7)) > 0.99
    assert correlation(original, spectrum(360 / 14)) < 0.8


def test_1aon_volume_holds_its_electrons(groel_groes):
    assert np.isclose(groel_groes.volume(64, 5.6).sum(), 390_117)


def test_emd_1080_keeps_its_dyad_in_another_box(data):
    mrcfile = pytest.importorskip("mrcfile")
    with mrcfile.open(data / "maps" / "emd_1080_groel_11.5A.mrc", permissive=True) as file:
        volume = file.data.astype(np.float32)
    resampled = resample_map(volume, 2.7, 65, 4.1)
    turned = resampled[::-1, ::-1]  # half a turn about x, in an odd box about its centre
    correlations = [
        np.corrcoef(resampled.ravel(), np.roll(turned, (dz, dy), (0, 1)).ravel())[0, 1]
        for dz in (-1, 0, 1)
        for dy in (-1, 0, 1)
    ]
    assert int(np.argmax(correlations)) == 4
