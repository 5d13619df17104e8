"""Noise per shell, learned together with the volume."""

import numpy as np
import pytest

import fslice
from fslice.data.dataset import Dataset
from fslice.fourier import shells
from fslice.posterior.masked import soft_sphere
from fslice.simulation.draws import random_ctf
from fslice.solvers.noise_spectrum import residual_spectrum

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


def test_the_residual_spectrum_is_the_sum_over_images(data):
    simulated, images = data
    dataset = Dataset(images, simulated.rotations, simulated.shifts, None)
    projector = fslice.Projector(SIZE)
    rng = np.random.default_rng(1)
    mean, deviation = (fslice.rfft3(v).astype("c8") for v in rng.normal(size=(2, *[SIZE] * 3)))
    found = residual_spectrum(dataset, projector, mean, deviation)
    rotations, shifts = dataset.rotations, dataset.shifts
    residual = fslice.rfft2(images) - projector.project_ft(mean, rotations, shifts)
    spread = projector.project_ft(deviation, rotations)
    pairs = fslice.fourier.hermitian_weights(SIZE) * np.ones((SIZE, 1))
    for shell in (0, 3, LAST - 1):
        inside = shells(SIZE, 2) == shell
        power = ((abs(residual) ** 2 + abs(spread) ** 2) * pairs)[:, inside].sum()
        assert np.isclose(found[shell], power / (N * pairs[inside].sum()), rtol=1e-4)
    assert found[LAST + 1] == found[LAST]


@pytest.mark.parametrize("solver", ["adam", "exact"])
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
    fits = [fslice.reconstruct(images, *poses, solver=s, noise="shell") for s in ("adam", "exact")]
    gain = fits[1].elbo - fits[1].elbo_prior
    assert abs(fits[0].elbo - fits[1].elbo) < 2e-3 * gain
    assert np.allclose(fits[0].noise_variance, fits[1].noise_variance, rtol=0.01)


def test_white_noise_stays_white_and_the_bound_is_that_of_the_pixels():
    ctf = random_ctf(300, 4.0, np.random.default_rng(0))
    simulated = fslice.simulate(fslice.phantom(20, 4.0), 300, 20, 4.0, snr=0.2, seed=1, ctf=ctf)
    fits = [
        fslice.reconstruct(
            simulated.images(), simulated.rotations, simulated.shifts, simulated.ctf,
            solver="exact", noise=noise,
        )
        for noise in ("white", "shell")
    ]  # fmt: skip
    assert np.allclose(fits[1].noise_variance[2:], fits[0].noise_variance, rtol=0.06)
    assert abs(fits[1].elbo - fits[0].elbo) < 30


def test_a_support_can_be_had_with_it(data):
    simulated, images = data
    result = fslice.reconstruct(
        images, simulated.rotations, simulated.shifts, solver="exact", noise="shell",
        prior="shell", support=soft_sphere(SIZE, 8, 3, "float32"), samples=2,
    )  # fmt: skip
    assert abs(np.log(result.noise_variance / SPECTRUM))[3 : LAST + 1].max() < 0.03
    assert result.fsc_samples.shape == (2, SIZE // 2 + 1)
    assert result.prior_variance.shape == (SIZE // 2 + 1,)


def test_a_given_variance_and_a_learned_spectrum_exclude_each_other(data):
    simulated, images = data
    with pytest.raises(ValueError, match="noise_variance: expected None with noise='shell', got 1"):
        fslice.reconstruct(images, simulated.rotations, noise="shell", noise_variance=1.0)
