"""Intervals of the exact posterior hold the truth as often as they say."""

import numpy as np
import pytest
from dense import accumulate, solve_exact

import fslice
from fslice.fourier import hermitian_part, hermitian_weights, radii, rfft3, shells
from fslice.posterior.samples import centred_samples, marginal_variance, voxel_std

SIZE, IMAGES, SETS = 16, 300, 10
NORMAL_68, NORMAL_95 = 1.0, 1.96


@pytest.fixture(scope="module")
def scores():
    """Return errors over deviations: of voxels and of coefficients, exact and mean-field."""
    rng = np.random.default_rng(0)
    projector = fslice.Projector(SIZE)
    prior = 10.0 ** (1 - np.linspace(0, 2, SIZE // 2 + 1))
    width = np.sqrt(prior)[np.minimum(shells(SIZE, 3), SIZE // 2)]
    inside = radii(SIZE, 3) <= (SIZE - 1) // 2
    found = {name: [] for name in ("voxels", "mean-field voxels", "waves", "mean-field waves")}
    for _ in range(SETS):
        truth = width * rfft3(rng.normal(size=(SIZE,) * 3))
        rotations = fslice.random_rotations(IMAGES, rng)
        images = fslice.irfft2(projector.project_ft(truth, rotations))
        images += 4 * rng.normal(size=images.shape)
        solution = solve_exact(
            accumulate(images, rotations, projector=projector), prior, 16.0, tolerance=1e-6
        )
        deviations = list(centred_samples(solution.precision, 60, rng))
        exact = np.sqrt(marginal_variance(solution.precision, deviations).variance)
        # real and imaginary part share the variance; self-conjugate coefficients have one part
        chosen = inside & (hermitian_part(1j * truth, 3) != 0)
        error = (truth - solution.mean)[chosen]
        for name, sigma in (("waves", exact), ("mean-field waves", solution.std)):
            scaled = error / (sigma[chosen] / np.sqrt(2))
            found[name].append(np.concatenate([scaled.real, scaled.imag]))
        difference = projector.to_volume(truth - solution.mean)
        attenuation = projector.to_volume(rfft3(np.ones((SIZE,) * 3)))
        flat = np.sqrt((hermitian_weights(SIZE) * solution.std**2).sum() / SIZE**3)
        found["voxels"].append(difference / voxel_std(solution.precision, deviations))
        found["mean-field voxels"].append(difference / (flat * attenuation))
    return {name: np.concatenate([s.ravel() for s in sets]) for name, sets in found.items()}


@pytest.mark.parametrize("name", ["voxels", "waves"])
def test_exact_intervals_cover_what_they_say(scores, name):
    assert abs((abs(scores[name]) < NORMAL_68).mean() - 0.68) <= 0.03
    assert abs((abs(scores[name]) < NORMAL_95).mean() - 0.95) <= 0.02


@pytest.mark.parametrize(("name", "least"), [("voxels", 0.005), ("waves", 0.03)])
def test_mean_field_intervals_are_too_narrow(scores, name, least):
    """Of coefficients more than of voxels, which average over many."""
    for bound in (NORMAL_68, NORMAL_95):
        exact, mean_field = ((abs(scores[n]) < bound).mean() for n in (name, f"mean-field {name}"))
        assert exact - mean_field > least
