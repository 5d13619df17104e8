"""Prior and noise learned from images that were drawn from the model."""

import numpy as np
import pytest
from dense import accumulate

import fslice
from fslice.fourier import rfft3, shells
from fslice.posterior.evidence import log_evidence
from fslice.posterior.hyperparameters import fit_hyperparameters
from fslice.posterior.precision import PosteriorPrecision
from fslice.posterior.stencil import no_images

SIZE = 16
TRUE_PRIOR = 10.0 ** -np.linspace(0, 2, SIZE // 2 + 1)
TRUE_NOISE = 0.5


@pytest.fixture(scope="module")
def normal():
    rng = np.random.default_rng(0)
    projector = fslice.Projector(SIZE)
    rotations = fslice.random_rotations(1000, rng)
    deviation = np.sqrt(TRUE_PRIOR)[np.minimum(shells(SIZE, 3), SIZE // 2)]
    images_ft = projector.project_ft(deviation * rfft3(rng.normal(size=(SIZE,) * 3)), rotations)
    images = fslice.irfft2(images_ft) + TRUE_NOISE**0.5 * rng.normal(size=(1000, SIZE, SIZE))
    return accumulate(images, rotations, projector=projector)


def shell_priors(precision):
    grid = np.broadcast_to(precision.prior_variance, precision.normal.b.shape)
    return grid[0, 0, : SIZE // 2]


def test_noise_and_prior_are_found(normal):
    learned = fit_hyperparameters(normal).precision
    assert abs(learned.noise_variance / TRUE_NOISE - 1) < 0.01
    # a shell has few coefficients: 6, 50, 98, ... of which the prior is an average
    ratio = shell_priors(learned)[1:] / TRUE_PRIOR[1:-1]
    assert abs(np.log(ratio)).max() < 0.6
    assert abs(np.log(ratio[2:])).max() < 0.3


def test_what_is_given_is_kept(normal):
    learned = fit_hyperparameters(normal, prior_variance=2.0).precision
    assert np.array_equal(learned.prior_variance.ravel(), [2.0])
    assert abs(learned.noise_variance / TRUE_NOISE - 1) < 0.02
    assert fit_hyperparameters(normal, noise_variance=0.6).precision.noise_variance == 0.6


def test_the_learned_model_has_more_evidence_than_the_true_one(normal):
    learned = fit_hyperparameters(normal, noise_variance=TRUE_NOISE).precision
    true = PosteriorPrecision(normal, TRUE_PRIOR, TRUE_NOISE)
    shared = [log_evidence(precision, probes=8) for precision in (learned, true)]
    assert shared[0].value > shared[1].value - 5


def test_progress_is_told_and_a_cut_off_is_warned_of(normal):
    seen = []
    with pytest.warns(
        UserWarning, match="could still raise the log evidence by .* nats in iteration 1"
    ):
        found = fit_hyperparameters(
            normal, max_iterations=1, progress=lambda step, precision: seen.append(step)
        )
    assert seen == [1]
    assert not found.converged
    assert fit_hyperparameters(normal).converged


def test_nothing_is_learned_from_no_images():
    with pytest.raises(ValueError, match="normal: expected at least one image to learn from"):
        fit_hyperparameters(no_images(fslice.Projector(8)))
