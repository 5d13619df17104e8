"""Noise per shell, learned together with the volume."""

import numpy as np
import pytest

import fslice
from fslice.data.dataset import Dataset
from fslice.data.poses import Poses
from fslice.fourier import shells
from fslice.likelihoods.gaussian import GaussianNoise
from fslice.posterior.precision import PosteriorPrecision
from fslice.posterior.sums import normal_equations
from fslice.postprocess.masks import soft_spherical_mask
from fslice.simulation.draws import random_ctf
from fslice.solvers.adam import Adam
from fslice.solvers.alternate import Fit, measure
from fslice.solvers.exact import Exact
from fslice.solvers.model import Model
from fslice.solvers.wiener import Wiener

SIZE, N = 24, 400
SPECTRUM = 4.0 * np.exp(-np.arange(SIZE // 2 + 1) / 5)
LAST = (SIZE - 1) // 2


@pytest.fixture(scope="module")
def data():
    """Return a simulation, and its images with coloured noise instead of white."""
    rng = np.random.default_rng(0)
    simulated = fslice.simulate(fslice.phantom(SIZE, 4.0), N, SIZE, 4.0, seed=1, shift_std=1.0)
    clean = simulated.images()
    clean = clean / clean.std()
    width = np.sqrt(SPECTRUM)[np.minimum(shells(SIZE, 2), SIZE // 2)]
    noise = fslice.irfft2(width * fslice.rfft2(rng.normal(size=clean.shape)))
    return simulated, (clean + noise).astype(np.float32)


def test_the_spectrum_follows_the_residuals_of_all_images(data):
    simulated, images = data
    dataset = Dataset(images, Poses(simulated.rotations, simulated.shifts))
    projector, rng = fslice.Projector(SIZE), np.random.default_rng(1)
    mean = fslice.rfft3(rng.normal(size=[SIZE] * 3)).astype("c8")
    model = Model(projector, noise="shell")
    precision = PosteriorPrecision(normal_equations(dataset, projector), 1.0)
    learned, _ = measure(dataset, model, Fit(precision, mean, None, 0.0, True), None)
    found = learned.noise.variances[0]
    poses = dataset.poses.rotations, dataset.poses.shifts
    residual = fslice.rfft2(images) - projector.project_ft(mean, *poses)
    pairs = fslice.fourier.hermitian_weights(SIZE) * np.ones((SIZE, 1))
    expected = []
    for shell in (0, 3, LAST - 1):
        inside = shells(SIZE, 2) == shell
        power = (abs(residual) ** 2 * pairs)[:, inside].sum()
        expected.append(power / (N * pairs[inside].sum()))
    assert np.allclose(found[[0, 3, LAST - 1]] / found[3], expected / expected[1], rtol=1e-4)
    assert found[LAST + 1] == found[LAST]


@pytest.mark.parametrize("solver", [Adam(), Exact()])
def test_the_spectrum_is_found_and_the_bound_and_the_map_gain_from_it(data, solver):
    simulated, images = data
    poses = simulated.rotations, simulated.shifts
    white = fslice.reconstruct(images, *poses, solver=solver)
    coloured = fslice.reconstruct(images, *poses, solver=solver, noise="shell")
    assert coloured.noise_variance.shape == (SIZE // 2 + 1,)
    # the interpolation error of the strongest shells, 1 and 2, counts as noise
    assert abs(np.log(coloured.noise_variance / SPECTRUM))[3 : LAST + 1].max() < 0.03
    assert coloured.elbo > white.elbo + 1000
    scores = [fslice.fsc(r.mean, simulated.truth)[4:10].mean() for r in (white, coloured)]
    assert scores[1] > scores[0]


def test_both_solvers_agree_on_the_bound(data):
    simulated, images = data
    poses = simulated.rotations, simulated.shifts
    fits = [
        fslice.reconstruct(images, *poses, solver=s, prior="scalar", noise="shell")
        for s in (Adam(), Exact())
    ]
    gain = fits[1].elbo - fits[1].elbo_prior
    assert abs(fits[0].elbo - fits[1].elbo) < 2e-3 * gain
    assert np.allclose(fits[0].noise_variance, fits[1].noise_variance, rtol=0.01)


def test_white_noise_stays_white_and_the_bound_is_that_of_the_pixels():
    ctf = random_ctf(300, 4.0, np.random.default_rng(0))
    simulated = fslice.simulate(fslice.phantom(20, 4.0), 300, 20, 4.0, snr=0.2, seed=1, ctf=ctf)
    fits = [
        fslice.reconstruct(
            simulated.images(), simulated.rotations, simulated.shifts, simulated.ctf, noise=noise
        )
        for noise in ("white", "shell")
    ]  # fmt: skip
    assert np.allclose(fits[1].noise_variance[2:], fits[0].noise_variance, rtol=0.06)
    assert abs(fits[1].elbo - fits[0].elbo) < 10


@pytest.mark.parametrize("solver", [Adam(epochs=3), Exact(), Wiener()])
def test_a_spectrum_that_is_found_at_once_is_in_the_unit_of_the_images(monkeypatch, solver):
    monkeypatch.setattr("fslice.solvers.alternate.CHANGE", 100.0)
    simulated = fslice.simulate(fslice.phantom(20, 4.0), 300, 20, 4.0, snr=0.1, seed=1)
    images = 30 / np.sqrt(simulated.noise_variance) * simulated.images()
    found = fslice.reconstruct(images, simulated.rotations, noise="shell", solver=solver)
    assert np.allclose(found.noise_variance[2:], 900, rtol=0.1)


@pytest.mark.parametrize("solver", [Adam(epochs=3), Exact(), Wiener()])
def test_a_white_noise_that_is_known_changes_the_unit_alone(solver):
    simulated = fslice.simulate(fslice.phantom(20, 4.0), 300, 20, 4.0, snr=0.1, seed=1)
    known = Dataset(simulated.images().astype(float), Poses(simulated.rotations))
    known = known.with_noise(GaussianNoise(4.0))
    one, other = (fslice.reconstruct(d, solver=solver) for d in (known.with_noise(None), known))
    assert np.allclose(one.mean, other.mean, atol=1e-4 * abs(one.mean).max())
    assert np.isclose(one.noise_variance, other.noise_variance, rtol=1e-3)
    assert np.isclose(one.elbo, other.elbo, rtol=1e-5)


def test_a_support_can_be_had_with_it(data):
    simulated, images = data
    result = fslice.reconstruct(
        images, simulated.rotations, simulated.shifts, solver=Exact(samples=2), noise="shell",
        mask=soft_spherical_mask(SIZE, 8, 3, "float32"),
    )  # fmt: skip
    assert abs(np.log(result.noise_variance / SPECTRUM))[3 : LAST + 1].max() < 0.03
    assert result.fsc_samples.shape == (2, SIZE // 2 + 1)
    assert result.prior_variance.shape == (SIZE // 2 + 1,)


def test_a_given_variance_and_a_learned_spectrum_exclude_each_other(data):
    simulated, images = data
    with pytest.raises(ValueError, match="noise_variance: expected None with noise='shell', got 1"):
        fslice.reconstruct(images, simulated.rotations, noise="shell", noise_variance=1.0)


def test_noise_is_learned_for_each_optics_group(data):
    simulated, images = data
    groups = np.arange(N) % 2
    rng = np.random.default_rng(3)
    louder = images + 3.0 * groups[:, None, None] * rng.normal(size=images.shape)
    found = fslice.reconstruct(
        louder.astype(np.float32), simulated.rotations, simulated.shifts, noise="group",
        groups=groups,
    )  # fmt: skip
    assert found.noise_variance.shape == (2, SIZE // 2 + 1)
    truth = np.stack([SPECTRUM, SPECTRUM + 9])
    assert abs(np.log(found.noise_variance / truth))[:, 3 : LAST + 1].max() < 0.06
