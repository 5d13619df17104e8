"""Volumes confined to a mask, against dense linear algebra."""

import numpy as np
import pytest
from dense import dense_problem, real_matrix

import fslice
from fslice.exact.accumulate import accumulate
from fslice.exact.normal import no_images
from fslice.exact.support import (
    SupportedPrecision,
    soft_sphere,
    solve_supported,
    supported_deviations,
)
from fslice.fourier import rfft3
from fslice.testing import check_adjoint

NOISE = 0.7


def posed(size=4, oversampling=1, n=8):
    inputs, design, data = dense_problem(size, oversampling, n)
    rng = np.random.default_rng(5)
    mask = rng.uniform(0, 1, (size,) * 3)
    mask[0] = 0
    prior = np.linspace(3, 0.5, size // 2 + 1)
    return SupportedPrecision(accumulate(**inputs), prior, mask, NOISE), design, data


def dense_posterior(precision, design, data):
    """Return mean and covariance of the real volume, from the images."""
    projector = precision.normal.projector
    size, box = projector.size, projector.box
    units = np.eye(size**3).reshape(-1, size, size, size)
    make = np.stack([precision.volume(rfft3(e)).ravel() for e in units], 1)
    padded = np.stack([fslice.irfft3(projector.transform(e)).ravel() for e in units], 1)
    assert padded.shape == (box**3, size**3)
    whole = design @ padded @ make
    inverse = np.linalg.inv(whole.T @ whole / NOISE + np.eye(size**3))
    return make @ inverse @ whole.T @ data / NOISE, make @ inverse @ make.T


@pytest.mark.parametrize(("size", "oversampling"), [(4, 1), (5, 1), (3, 2)])
def test_mean_equals_the_dense_one(size, oversampling):
    precision, design, data = posed(size, oversampling)
    solved = solve_supported(precision, tolerance=1e-12)
    mean, _ = dense_posterior(precision, design, data)
    assert np.allclose(precision.volume(solved.x).ravel(), mean, rtol=0, atol=1e-10)


def test_samples_have_the_dense_covariance():
    """Draws are a linear map of white noise: its square is compared, not an estimate."""
    precision, design, data = posed(3)
    _, covariance = dense_posterior(precision, design, data)
    # each draw takes the white noise of the prior, then that of the images
    drawn = iter(np.eye(54).reshape(108, 3, 3, 3))

    class Units:
        def standard_normal(self, shape, dtype):
            return next(drawn)

    columns = [
        precision.volume(z).ravel()
        for z in supported_deviations(precision, 54, Units(), tolerance=1e-11)
    ]
    root = np.stack(columns, 1)
    assert np.allclose(root @ root.T, covariance, rtol=0, atol=1e-7 * abs(covariance).max())


def test_spectrum_and_its_adjoint(rng):
    precision, _, _ = posed(6, 1.5)
    z = rfft3(rng.normal(size=(6, 6, 6)))
    check_adjoint(
        precision.spectrum, precision.spectrum_adjoint, z, rfft3(rng.normal(size=(9, 9, 9)))
    )


def test_without_a_mask_the_posterior_is_the_plain_one():
    inputs, _, _ = dense_problem(5, n=40)
    normal = accumulate(**inputs)
    open_mask = SupportedPrecision(normal, 2.0, np.ones((5, 5, 5)), NOISE)
    matrix = real_matrix(open_mask, 5)
    assert np.allclose(matrix, matrix.T, atol=1e-9)
    assert np.linalg.eigvalsh(matrix)[0] >= 1 - 1e-10


def test_a_small_support_is_solved_in_few_iterations(rng):
    projector = fslice.Projector(32, 2)
    rotations = fslice.random_rotations(300, rng)
    mask = soft_sphere(32, 8, 4)
    volume = mask * rng.normal(size=(32, 32, 32))
    images = projector.project(volume, rotations)
    images += np.sqrt(images.var()) * rng.normal(size=images.shape)
    normal = accumulate(images, rotations, projector=projector)
    precision = SupportedPrecision(normal, 1.0, mask, float(images.var() / 2))
    solved = solve_supported(precision, tolerance=1e-3)
    assert solved.iterations <= 60
    found = precision.volume(solved.x)
    assert not found[mask == 0].any()
    assert np.corrcoef(found.ravel(), volume.ravel())[0, 1] > 0.6


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"mask": np.full((6, 6, 6), 2.0)}, "mask: expected values from 0 to 1"),
        ({"mask": np.ones((5, 6, 6))}, r"mask: expected shape \(6, 6, 6\), got \(5, 6, 6\)"),
        ({"noise_variance": 0.0}, "noise_variance: expected a finite value above 0, got 0"),
        ({"prior_variance": -1.0}, "prior_variance: expected finite values above 0"),
        ({"prior_variance": np.ones(3)}, r"prior_variance: expected shape \(4,\), got \(3,\)"),
    ],
)
def test_wrong_inputs_are_named(change, message):
    right = {"prior_variance": 1.0, "mask": np.ones((6, 6, 6)), "noise_variance": 1.0}
    with pytest.raises(ValueError, match=message):
        SupportedPrecision(no_images(fslice.Projector(6)), **{**right, **change})


def test_wrong_spheres_are_named():
    with pytest.raises(ValueError, match=r"radius, edge: expected .* got 3, 0"):
        soft_sphere(8, 3, 0)
