"""Simulated images: what is drawn, how exact the projections are, how strong the noise is."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fslice import fourier
from fslice.operators.ctf import CTF
from fslice.simulation import draws
from fslice.simulation.gaussians import GaussianModel
from fslice.simulation.particles import simulate
from fslice.simulation.phantoms import phantom

SIZE, PIXEL_SIZE = 32, 4.0
MODEL = phantom(SIZE, PIXEL_SIZE)


def make(n=20, model=MODEL, **options):
    return simulate(model, n, SIZE, PIXEL_SIZE, **options)


def relative_error(got, expected):
    return np.linalg.norm(got - expected) / np.linalg.norm(expected)


def test_clean_images_are_the_analytic_projections():
    simulation = make(shift_std=1.0)
    expected = MODEL.project(simulation.rotations, SIZE, PIXEL_SIZE, simulation.shifts)
    assert relative_error(simulation.images(), expected) < 1e-5
    assert simulation.images().dtype == np.float32


def test_truth_is_the_models_volume():
    expected = MODEL.volume(SIZE, PIXEL_SIZE)
    assert relative_error(make().truth, expected) < 1e-6
    assert make().truth.dtype == np.float32


@pytest.mark.parametrize("size", [48, 49])
def test_large_models_are_projected_with_an_error_below_1e_4(size, monkeypatch):
    model = phantom(size, PIXEL_SIZE, radius=0.5)
    analytic = simulate(model, 8, size, PIXEL_SIZE, shift_std=2.0)
    monkeypatch.setattr("fslice.simulation._clean_spectra._FEW", 0)
    sampled = simulate(model, 8, size, PIXEL_SIZE, shift_std=2.0)
    assert relative_error(sampled.images(), analytic.images()) < 1e-4


@pytest.mark.parametrize("size", [48, 49])
def test_sharp_models_are_projected_accurately_up_to_the_bands_edge(size, rng):
    positions = rng.uniform(-1, 1, (300, 3)) * size * PIXEL_SIZE / 8
    model = GaussianModel(positions, rng.uniform(1, 8, 300), rng.uniform(0, 1, 300))
    simulation = simulate(model, 3, size, PIXEL_SIZE, shift_std=2.0)
    poses = simulation.rotations, size, PIXEL_SIZE, simulation.shifts
    exact = model.project_ft(*poses)
    error = np.abs(fourier.rfft2(simulation.images()) - exact) ** 2
    power, error = (fourier.shell_sum(p.sum(0), size, 2) for p in (np.abs(exact) ** 2, error))
    band = slice(0, (size - 1) // 2 + 1)
    assert np.sqrt(error[band] / power[band]).max() < 3e-4
    assert relative_error(simulation.truth, model.volume(size, PIXEL_SIZE)) < 1e-6


def test_a_volume_is_projected_like_the_model_it_comes_from():
    volume = MODEL.volume(SIZE, PIXEL_SIZE)
    simulation = make(model=volume)
    assert relative_error(simulation.truth, volume) < 1e-6
    assert relative_error(simulation.images(), make().images()) < 2e-4


def test_truth_and_images_are_limited_to_the_band(rng):
    simulation = make(model=rng.normal(size=(SIZE,) * 3))
    for spectrum, ndim in (
        (fourier.rfft3(simulation.truth)[None], 3),
        (fourier.rfft2(simulation.images()), 2),
    ):
        beyond = fourier.radii(SIZE, ndim) > (SIZE - 1) // 2
        assert np.abs(spectrum[:, beyond]).max() < 1e-5 * np.abs(spectrum).max()


def test_the_ctf_multiplies_the_spectra():
    simulation = make(ctf=(10_000.0, 20_000.0), shift_std=1.0)
    clean = MODEL.project_ft(simulation.rotations, SIZE, PIXEL_SIZE, simulation.shifts)
    expected = fourier.irfft2(clean * simulation.ctf.evaluate(SIZE))
    assert relative_error(simulation.images(), expected) < 1e-5


def test_ctfs_given_are_those_used(rng):
    ctf = draws.random_ctf(20, PIXEL_SIZE, rng)
    simulation = make(ctf=ctf)
    assert simulation.ctf is ctf
    assert not np.allclose(simulation.images(), make().images())


@pytest.mark.parametrize("ctf", [None, (8_000.0, 30_000.0)])
@pytest.mark.parametrize("few", [0, 200])
def test_signal_variance_is_that_of_all_clean_pixels(ctf, few, monkeypatch):
    monkeypatch.setattr("fslice.simulation._clean_spectra._FEW", few)
    simulation = make(n=100, snr=0.3, ctf=ctf, shift_std=1.0)
    expected = simulation.clean_images().var(dtype=np.float64)
    assert np.isclose(simulation.signal_variance, expected, rtol=1e-5)
    assert np.isclose(simulation.snr, 0.3)


@given(snr=st.floats(0.01, 10), seed=st.integers(0, 2**32))
def test_measured_snr_is_the_one_asked_for(snr, seed):
    simulation = make(n=60, snr=snr, seed=seed)
    clean = simulation.clean_images()
    noise = (simulation.images() - clean).astype(np.float64)
    measured = clean.var(dtype=np.float64) / noise.var()
    assert abs(measured / snr - 1) < 5 * np.sqrt(2 / noise.size)
    assert abs(noise.mean()) < 5 * noise.std() / np.sqrt(noise.size)


def test_noise_variance_is_the_one_asked_for():
    simulation = make(n=100, noise_variance=9.0)
    noise = (simulation.images() - simulation.clean_images()).astype(np.float64)
    assert abs(noise.var() / 9 - 1) < 5 * np.sqrt(2 / noise.size)
    assert simulation.signal_variance is None
    assert simulation.snr is None


def test_noise_is_white_and_independent_among_images():
    noise = np.zeros((200, SIZE, SIZE), np.float32)
    draws.add_noise(noise, 1.0, seed=3)
    power = (np.abs(fourier.rfft2(noise)) ** 2).mean(0)
    assert abs(power[:, 1:-1] - 1).max() < 6 / np.sqrt(200)
    flat = noise.reshape(200, -1)
    correlations = flat @ flat.T / flat.shape[1] - np.eye(200)
    assert abs(correlations).max() < 6 / np.sqrt(flat.shape[1] / 2)


def test_without_noise_images_are_clean():
    simulation = make()
    assert simulation.noise_variance == 0
    assert np.array_equal(simulation.images(), simulation.clean_images())


@given(batch_size=st.integers(1, 160))
def test_images_are_the_same_in_batches_of_any_size(batch_size):
    simulation = make(n=150, noise_variance=4.0, shift_std=0.5, seed=7)
    batches = list(simulation.batches(batch_size))
    assert [len(batch) for batch in batches[:-1]] == [batch_size] * (len(batches) - 1)
    assert np.array_equal(np.concatenate(batches), simulation.images())


def test_the_seed_decides_everything():
    options = {"noise_variance": 1.0, "shift_std": 1.0, "ctf": (10_000.0, 20_000.0)}
    first, again, other = (make(seed=seed, **options) for seed in (1, 1, 2))
    assert np.array_equal(first.images(), again.images())
    assert not np.allclose(first.rotations, other.rotations)
    assert not np.allclose(first.shifts, other.shifts)
    assert not np.allclose(first.ctf.defocus_u, other.ctf.defocus_u)


def test_options_do_not_disturb_each_others_draws():
    plain, rich = make(), make(noise_variance=1.0, shift_std=1.0, ctf=(10_000.0, 20_000.0))
    assert np.array_equal(plain.rotations, rich.rotations)


def test_poses_are_uniform_unless_limited():
    simulation = make(n=5000)
    assert np.abs(simulation.rotations.mean(0)).max() < 6 / np.sqrt(3 * 5000)


@given(cone=st.floats(0, 360))
def test_a_cone_limits_tilts_to_half_its_opening(cone):
    beams = make(cone=cone).rotations[:, :, 2]
    tilts = np.rad2deg(np.arctan2(np.hypot(beams[:, 0], beams[:, 1]), beams[:, 2]))
    assert tilts.max() <= cone / 2 + 1e-6


def test_shifts_have_the_deviation_asked_for():
    shifts = make(n=5000, shift_std=2.0).shifts
    assert np.allclose(shifts.std(0), 2, rtol=0.05)
    assert not make().shifts.any()


def test_defocus_is_drawn_from_its_range(rng):
    ctf = draws.random_ctf(1000, 1.5, rng, defocus=(5_000, 6_000), astigmatism=100)
    mean = (ctf.defocus_u + ctf.defocus_v) / 2
    assert mean.min() >= 5_000
    assert mean.max() <= 6_000
    assert (ctf.defocus_u >= ctf.defocus_v).all()
    assert np.isclose(np.sqrt(np.mean((ctf.defocus_u - ctf.defocus_v) ** 2)), 100, rtol=0.1)
    assert (ctf.voltage[0], ctf.spherical_aberration[0]) == (300, 2.7)
    assert (ctf.amplitude_contrast[0], ctf.pixel_size[0]) == (0.1, 1.5)


def test_progress_hears_of_every_image():
    heard = []
    make(n=150, snr=1.0, progress=heard.append)
    assert sum(heard) == 150


@pytest.mark.parametrize("snr", [0, -1.0, np.nan, np.inf])
def test_an_snr_has_to_be_positive(snr):
    with pytest.raises(ValueError, match="snr: expected a number above 0, got"):
        make(snr=snr)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"n": 0}, "n: expected at least 1, got 0"),
        ({"seed": -1}, "seed: expected at least 0, got -1"),
        ({"noise_variance": -1.0}, "noise_variance: expected at least 0, got -1"),
        ({"snr": 1.0, "noise_variance": 1.0}, "snr, noise_variance: expected at most one"),
        ({"cone": 400.0}, "cone: expected an angle of 0 to 360 degrees, got 400"),
        ({"shift_std": -0.5}, "shift_std: expected pixels of at least 0, got -0.5"),
        ({"ctf": (2.0, 1.0)}, r"defocus: expected \(lowest, highest\) in Angstrom, got"),
        ({"model": np.zeros((32, 32, 32)), "snr": 1.0}, "snr: expected a model whose projections"),
        ({"model": np.zeros((16, 16, 16))}, r"model: expected shape \(32, 32, 32\), got"),
        ({"model": np.full((32, 32, 32), np.nan)}, "model: 32768 of 32768 values are NaN"),
        ({"model": GaussianModel([[90, 0, 0]], [1], [4])}, "size: expected at least 192.0 Angstr"),
    ],
)
def test_simulations_are_refused(options, message):
    with pytest.raises(ValueError, match=message):
        make(**options)


@pytest.mark.parametrize("pixel_size", [0, -2.8, np.nan])
def test_a_pixel_size_has_to_be_positive(pixel_size):
    with pytest.raises(ValueError, match="pixel_size: expected Angstrom above 0, got"):
        simulate(MODEL, 5, SIZE, pixel_size)


def test_other_kinds_of_models_are_refused():
    with pytest.raises(TypeError, match="model: expected a GaussianModel or an array, got str"):
        make(model="phantom")
    with pytest.raises(TypeError, match="model: expected dtype float32 or float64, got int64"):
        make(model=np.zeros((32, 32, 32), int))


def test_ctfs_have_to_fit_the_images(rng):
    with pytest.raises(ValueError, match="ctf: expected one for each of the 20 images, got 3"):
        make(ctf=draws.random_ctf(3, PIXEL_SIZE, rng))
    with pytest.raises(ValueError, match="ctf: expected a pixel_size of 4, got 2"):
        make(ctf=draws.random_ctf(20, 2.0, rng))


def test_astigmatism_has_to_be_positive(rng):
    with pytest.raises(ValueError, match="astigmatism: expected Angstrom of at least 0, got -1"):
        draws.random_ctf(3, 1.0, rng, astigmatism=-1)
    assert isinstance(draws.random_ctf(3, 1.0, rng, astigmatism=0), CTF)


@pytest.mark.parametrize(("start", "stop"), [(-1, 5), (5, 5), (0, 21)])
def test_images_outside_the_set_are_refused(start, stop):
    with pytest.raises(ValueError, match="start, stop: expected 0 <= start < stop <= 20, got"):
        make().images(start, stop)
