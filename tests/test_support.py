"""Volumes confined to a mask, against dense linear algebra."""

from dataclasses import replace

import numpy as np
import pytest
from dense import accumulate, dense_problem, masked, real_matrix

import fslice
from fslice.fourier import irfft3, rfft3, shells
from fslice.posterior.evidence import held_out_log_likelihood, log_determinant, log_evidence
from fslice.posterior.hyperparameters import fit_hyperparameters
from fslice.posterior.latent import MaskedVolume
from fslice.posterior.mean import solve
from fslice.posterior.samples import centred_samples, predicted_fsc, voxel_std
from fslice.posterior.stencil import no_images
from fslice.postprocess.masks import soft_spherical_mask
from fslice.testing import check_adjoint

NOISE = 0.7


def posed(size=4, oversampling=1, n=8):
    inputs, design, data = dense_problem(size, oversampling, n)
    rng = np.random.default_rng(5)
    mask = rng.uniform(0, 1, (size,) * 3)
    mask[0] = 0
    prior = np.linspace(3, 0.5, size // 2 + 1)
    return masked(accumulate(**inputs), prior, mask, NOISE), design, data


def dense_problem_of(precision, design):
    """Return the matrices from white noise to the whitened images and to the real volume."""
    projector = precision.normal.projector
    size, box = projector.size, projector.padded_size
    units = np.eye(size**3).reshape(-1, size, size, size)
    width = np.sqrt(precision.prior_variance)
    make = np.stack([precision.latent.volume(width * rfft3(e)).ravel() for e in units], 1)
    padded = np.stack([irfft3(projector.transform(e)).ravel() for e in units], 1)
    assert padded.shape == (box**3, size**3)
    return design @ padded @ make, make


def dense_posterior(precision, design, data):
    """Return mean and covariance of the real volume, from the images."""
    whole, make = dense_problem_of(precision, design)
    inverse = np.linalg.inv(whole.T @ whole / NOISE + np.eye(whole.shape[1]))
    return make @ inverse @ whole.T @ data / NOISE, make @ inverse @ make.T


@pytest.mark.parametrize(("size", "oversampling"), [(4, 1), (5, 1), (3, 2)])
def test_mean_equals_the_dense_one(size, oversampling):
    precision, design, data = posed(size, oversampling)
    found = solve(precision, tolerance=1e-12)
    mean, _ = dense_posterior(precision, design, data)
    assert np.allclose(found.volume().ravel(), mean, rtol=0, atol=1e-10)


def test_samples_have_the_dense_covariance():
    """Draws are a linear map of white noise: its square is compared, not an estimate."""
    precision, design, data = posed(3)
    _, covariance = dense_posterior(precision, design, data)
    drawn = iter(np.eye(27).reshape(27, 3, 3, 3))

    class Units:
        def standard_normal(self, shape, dtype):
            return next(drawn)

    columns = [
        precision.latent.volume(w).ravel()
        for w in centred_samples(precision, 27, Units(), tolerance=1e-11)
    ]
    root = np.stack(columns, 1)
    assert np.allclose(root @ root.T, covariance, rtol=0, atol=1e-7 * abs(covariance).max())


def test_voxel_stds_approach_the_dense_ones_and_are_zero_outside(rng):
    precision, design, data = posed(4, n=12)
    _, covariance = dense_posterior(precision, design, data)
    found = voxel_std(precision, centred_samples(precision, 400, rng))
    assert not found[precision.latent.mask == 0].any()
    assert np.allclose(found.ravel(), np.sqrt(covariance.diagonal()), rtol=0.2)


@pytest.mark.parametrize(("size", "oversampling"), [(3, 1), (3, 2)])
def test_log_determinant_and_evidence_equal_the_dense_ones(size, oversampling):
    precision, design, data = posed(size, oversampling, n=4)
    whole, _ = dense_problem_of(precision, design)
    inside = np.eye(whole.shape[1]) + whole.T @ whole / NOISE
    widths = np.linalg.slogdet(real_matrix(lambda w: precision.prior_variance * w, size))[1]
    estimate = log_determinant(precision, probes=60, tolerance=1e-9)
    assert abs(estimate.value - (np.linalg.slogdet(inside)[1] - widths)) < 4 * estimate.error
    assert estimate.error < 1
    normal, mean = precision.normal, np.linalg.solve(inside, whole.T @ data / NOISE)
    expected = (
        -(data @ data - data @ whole @ mean) / (2 * NOISE)
        - normal.degrees.sum() / 2 * np.log(2 * np.pi * NOISE)
        + normal.log_weights / 2
        - np.linalg.slogdet(inside)[1] / 2
    )
    evidence = log_evidence(precision, probes=60, tolerance=1e-9)
    assert abs(evidence.value - expected) < 4 * evidence.error


def test_spectrum_and_its_adjoint(rng):
    precision, _, _ = posed(6, 1.5)
    z = rfft3(rng.normal(size=(6, 6, 6)))
    check_adjoint(
        precision.latent.spectrum,
        precision.latent.spectrum_adjoint,
        z,
        rfft3(rng.normal(size=(9, 9, 9))),
    )


def test_without_a_mask_the_posterior_is_the_plain_one():
    inputs, _, _ = dense_problem(5, n=40)
    normal = accumulate(**inputs)
    open_mask = masked(normal, 2.0, np.ones((5, 5, 5)), NOISE)
    matrix = real_matrix(open_mask, 5)
    assert np.allclose(matrix, matrix.T, atol=1e-9)
    assert np.linalg.eigvalsh(matrix)[0] >= 1 / 2 - 1e-10


def drawn_from_the_model(rng, prior, mask, noise=1.0, n=300):
    """Return images of a volume drawn inside a mask, summed up, and the volume."""
    size = len(mask)
    projector = fslice.Projector(size, 2)
    rotations = fslice.random_rotations(n, rng)
    width = np.sqrt(prior)[np.minimum(shells(size, 3), size // 2)]
    volume = mask * irfft3(width * rfft3(rng.normal(size=mask.shape)))
    images = projector.project(volume, rotations)
    images += np.sqrt(noise) * rng.normal(size=images.shape)
    return accumulate(images, rotations, projector=projector), volume


def test_prior_and_noise_inside_a_mask_are_learned_and_predict_the_correlation():
    rng = np.random.default_rng(0)
    size, noise = 24, 60.0
    prior = 10.0 ** (1 - np.linspace(0, 3, size // 2 + 1))
    mask = soft_spherical_mask(size, 7, 3)
    normal, volume = drawn_from_the_model(rng, prior, mask, noise)
    seen = []
    learned = fit_hyperparameters(
        normal, MaskedVolume(normal.projector, mask), progress=lambda step, _: seen.append(step)
    )
    assert seen == list(range(1, len(seen) + 1))
    precision = learned.precision
    assert abs(precision.noise_variance / noise - 1) < 0.01
    ratio = precision.prior_variance[0, 0, : size // 2] / prior[: size // 2]
    # the mask mixes neighbouring shells
    assert abs(np.convolve(np.log(ratio[1:9]), np.ones(3) / 3, "valid")).max() < 0.4
    curves = predicted_fsc(precision, learned.mean, centred_samples(precision, 8, rng))
    actual = fslice.fsc(learned.volume(), volume)
    assert abs(curves.mean(0) - actual)[2:11].max() < 0.15
    crossings = [24 / fslice.resolution(c, size, 1.0) for c in (curves.mean(0), actual)]
    assert abs(crossings[0] - crossings[1]) < 1
    true = masked(normal, prior, mask, noise)
    assert log_evidence(precision).value > log_evidence(true).value - 5


def test_what_is_given_is_kept_inside_a_mask():
    rng = np.random.default_rng(0)
    mask = soft_spherical_mask(16, 4, 2)
    normal, _ = drawn_from_the_model(rng, np.full(9, 4.0), mask)
    learned = fit_hyperparameters(
        normal, MaskedVolume(normal.projector, mask), prior_variance=4.0
    ).precision
    assert np.array_equal(learned.prior_variance.ravel(), [4.0])
    assert abs(learned.noise_variance - 1) < 0.01
    assert (
        fit_hyperparameters(
            normal, MaskedVolume(normal.projector, mask), noise_variance=1.5
        ).precision.noise_variance
        == 1.5
    )


def test_the_evidence_prefers_the_mask_that_the_volume_came_from():
    rng = np.random.default_rng(0)
    size, prior = 16, np.full(9, 4.0)
    normal, _ = drawn_from_the_model(rng, prior, soft_spherical_mask(size, 4, 2), noise=20.0)
    masks = [soft_spherical_mask(size, radius, 2) for radius in (3, 4, 5)]
    models = [masked(normal, prior, mask, 20.0) for mask in masks]
    found = [log_evidence(model, tolerance=1e-4).value for model in models]
    assert found[1] == max(found)


def test_images_held_out_are_predicted_inside_a_mask():
    rng = np.random.default_rng(0)
    prior, mask = np.full(5, 4.0), soft_spherical_mask(8, 2, 2)
    projector, rotations = fslice.Projector(8), fslice.random_rotations(60, rng)
    images = projector.project(2 * mask * rng.normal(size=mask.shape), rotations)
    images += rng.normal(size=images.shape)
    first, second = (accumulate(images[i::2], rotations[i::2], projector=projector) for i in (0, 1))
    training = masked(first, prior, mask)
    both = masked(first + second, prior, mask)
    values = [log_evidence(m, probes=20, tolerance=1e-4).value for m in (both, training)]
    found = held_out_log_likelihood(training, second, probes=20, tolerance=1e-4)
    assert abs(found.value - (values[0] - values[1])) < 1e-3 * abs(found.value)
    assert found.value > log_evidence(replace(training, normal=second)).value


def test_where_nothing_was_seen_the_prior_remains_inside_a_mask():
    mask = soft_spherical_mask(6, 2, 1)
    with pytest.warns(UserWarning, match="100 % of the frequencies in the band were seen by no"):
        found = solve(masked(no_images(fslice.Projector(6)), 4.0, mask))
    assert not found.volume().any()
    assert np.allclose(log_evidence(found.precision), 0, atol=1e-9)


def test_nothing_is_learned_from_images_that_show_nothing():
    projector, mask = fslice.Projector(6), soft_spherical_mask(6, 2, 1)
    with pytest.raises(ValueError, match="normal: expected at least one image to learn from"):
        fit_hyperparameters(no_images(projector), MaskedVolume(projector, mask))
    rng = np.random.default_rng(0)
    images, rotations = rng.normal(size=(3, 6, 6)), fslice.random_rotations(3, rng)
    blind = accumulate(images, rotations, ctf=np.zeros((3, 6, 4)), projector=projector)
    with pytest.raises(ValueError, match="images: expected images that show something"):
        fit_hyperparameters(blind, MaskedVolume(projector, mask))
    with pytest.raises(ValueError, match="mask: expected one that is not zero everywhere"):
        MaskedVolume(projector, 0 * mask)


def test_a_small_support_is_solved_in_few_iterations(rng):
    projector = fslice.Projector(32, 2)
    rotations = fslice.random_rotations(300, rng)
    mask = soft_spherical_mask(32, 8, 4)
    volume = mask * rng.normal(size=(32, 32, 32))
    images = projector.project(volume, rotations)
    images += np.sqrt(images.var()) * rng.normal(size=images.shape)
    normal = accumulate(images, rotations, projector=projector)
    precision = masked(normal, 1.0, mask, float(images.var() / 2))
    solved = solve(precision, tolerance=1e-3)
    assert solved.iterations <= 60
    found = solved.volume()
    assert not found[mask == 0].any()
    assert np.corrcoef(found.ravel(), volume.ravel())[0, 1] > 0.6


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"mask": np.full((6, 6, 6), 2.0)}, "mask: expected values from 0 to 1"),
        ({"mask": np.ones((5, 6, 6))}, r"mask: expected shape \(6, 6, 6\), got \(5, 6, 6\)"),
        ({"noise_variance": 0.0}, "noise_variance: expected a finite value above 0, got 0"),
        ({"prior_variance": -1.0}, "prior_variance: expected finite values above 0"),
        ({"prior_variance": np.ones(3)}, r"prior_variance: expected a number or shape \(4,\) or"),
    ],
)
def test_wrong_inputs_are_named(change, message):
    right = {"prior_variance": 1.0, "mask": np.ones((6, 6, 6)), "noise_variance": 1.0}
    given = {**right, **change}
    with pytest.raises(ValueError, match=message):
        masked(no_images(fslice.Projector(6)), *given.values())
