"""Closed forms of Gaussian models against sums, integrals and transforms."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fslice import fourier
from fslice.geometry import random_rotations
from fslice.simulation import _gaussian_sums
from fslice.simulation.gaussians import GaussianModel, check_box


def blobs(size, rng, count=7, pixel_size=1.0, deviation=2.0):
    """Return blobs that are smooth on the grid and vanish at the faces of the box."""
    reach = size / 2 - 6 * deviation
    return GaussianModel(
        rng.uniform(-reach, reach, (count, 3)) * pixel_size / np.sqrt(3),
        rng.normal(size=count),
        (deviation * pixel_size * rng.uniform(0.98, 1.0, count)) ** 2,
    )


def points(size, rng, count=40, largest=0.5):
    return GaussianModel(
        rng.uniform(-size / 2, size / 2, (count, 3)),
        rng.uniform(1, 8, count),
        rng.uniform(0, largest, count),
    )


def relative_error(got, expected):
    return np.linalg.norm(got - expected) / np.linalg.norm(expected)


sizes = st.integers(28, 33)
seeds = st.integers(0, 2**32 - 1)


@given(size=st.integers(3, 9), seed=seeds, pixel_size=st.floats(0.5, 4))
def test_spectrum_is_the_sum_of_the_gaussians_transforms(size, seed, pixel_size):
    rng = np.random.default_rng(seed)
    model = points(size, rng, count=5)
    kx, ky, kz = fourier.frequencies(size, 3)
    s = np.stack(np.broadcast_arrays(kx, ky, kz), -1) / (size * pixel_size)
    terms = model.weights * np.exp(
        -2 * np.pi**2 * model.variances * (s**2).sum(-1)[..., None]
        - 2j * np.pi * s @ model.positions.T
    )
    expected = terms.sum(-1) / size**1.5 * (fourier.radii(size, 3) <= (size - 1) // 2)
    assert np.allclose(model.spectrum(size, pixel_size), expected, rtol=0, atol=1e-12)


@given(size=sizes, seed=seeds)
def test_density_is_the_inverse_transform_of_the_spectrum_of_smooth_blobs(size, seed):
    model = blobs(size, np.random.default_rng(seed), pixel_size=2.5)
    density = model.density(size, 2.5)
    assert relative_error(model.volume(size, 2.5), density) < 1e-6
    assert np.isclose(density.sum(), model.weights.sum(), atol=1e-6 * np.abs(model.weights).sum())


@given(size=sizes, seed=seeds)
def test_parseval_holds_between_spectrum_and_density(size, seed):
    model = blobs(size, np.random.default_rng(seed))
    spectrum = model.spectrum(size, 1.0)
    assert np.isclose(
        fourier.inner_product(spectrum, spectrum), (model.density(size, 1.0) ** 2).sum()
    )


@given(size=st.integers(4, 24), seed=seeds, largest=st.sampled_from([0.0, 0.3, 3.0, 30.0]))
def test_gridded_spectrum_agrees_with_the_direct_sum(size, seed, largest):
    model = points(size, np.random.default_rng(seed), largest=largest)
    parts = model.positions, model.weights, model.variances, size
    band = fourier.radii(size, 3) <= (size - 1) // 2
    direct = _gaussian_sums.direct_spectrum(*parts)[band]
    gridded = _gaussian_sums.gridded_spectrum(*parts)[band]
    assert np.abs(gridded - direct).max() < 1e-7 * np.abs(direct).max()
    assert relative_error(gridded, direct) < 1e-7


def test_a_large_model_is_gridded_to_the_spectrum_of_its_parts(rng):
    model = points(20, rng, count=1500)
    halves = [slice(0, 750), slice(750, 1500)]
    parts = [
        GaussianModel(model.positions[h], model.weights[h], model.variances[h]) for h in halves
    ]
    expected = sum(part.spectrum(20, 1.2) for part in parts)
    assert relative_error(model.spectrum(20, 1.2), expected) < 1e-7


@given(size=sizes, seed=seeds)
def test_projection_is_the_integral_along_the_beam(size, seed):
    rng = np.random.default_rng(seed)
    model, pixel_size = blobs(size, rng, pixel_size=1.5), 1.5
    rotation = random_rotations(1, rng)[0]
    axis = (np.arange(size) - size // 2) * pixel_size
    z, y, x = np.meshgrid(axis, axis, axis, indexing="ij")
    seen = np.stack([x, y, z], -1) @ rotation.T  # v(R @ (x, y, z))
    values = np.zeros(seen.shape[:-1])
    for centre, weight, variance in zip(
        model.positions, model.weights, model.variances, strict=True
    ):
        square = ((seen - centre) ** 2).sum(-1)
        values += weight * np.exp(-square / (2 * variance)) / (2 * np.pi * variance) ** 1.5
    expected = values.sum(0) * pixel_size**3
    assert relative_error(model.project(rotation, size, pixel_size), expected) < 1e-6


@given(size=sizes, seed=seeds)
def test_projection_is_the_sum_over_z_of_the_turned_density(size, seed):
    rng = np.random.default_rng(seed)
    model, rotation = blobs(size, rng), random_rotations(1, rng)[0]
    expected = model.rotate(rotation.T).density(size, 1.0).sum(0)
    assert relative_error(model.project(rotation, size, 1.0), expected) < 1e-6


@given(size=sizes, seed=seeds)
def test_transform_of_a_projection_is_project_ft(size, seed):
    rng = np.random.default_rng(seed)
    model, rotations = blobs(size, rng, pixel_size=3.0), random_rotations(3, rng)
    shifts = rng.uniform(-0.5, 0.5, (3, 2))
    images = model.project(rotations, size, 3.0, shifts)
    assert relative_error(model.project_ft(rotations, size, 3.0, shifts), fourier.rfft2(images)) < (
        1e-6
    )


@given(size=st.integers(3, 12), seed=seeds)
def test_projections_along_the_axes_are_planes_of_the_spectrum(size, seed):
    model = points(size, np.random.default_rng(seed))
    spectrum = model.spectrum(size, 1.0) * size**0.5
    along_z, along_y = np.eye(3), np.array([[1.0, 0, 0], [0, 0, -1], [0, 1, 0]])
    slices = model.project_ft(np.stack([along_z, along_y]), size, 1.0)
    assert np.allclose(slices[0], spectrum[0])
    assert np.allclose(slices[1], spectrum[:, 0])  # the image's y axis is the volume's z


@given(size=st.integers(3, 12), seed=seeds)
def test_project_ft_is_the_slice_at_the_rotated_frequencies(size, seed):
    rng = np.random.default_rng(seed)
    model, rotation = points(size, rng, count=6), random_rotations(1, rng)[0]
    kx, ky = np.broadcast_arrays(*fourier.frequencies(size, 2))
    s = np.stack([kx, ky, 0 * kx], -1) @ rotation.T / size
    terms = model.weights * np.exp(
        -2 * np.pi**2 * model.variances * (s**2).sum(-1)[..., None]
        - 2j * np.pi * s @ model.positions.T
    )
    expected = terms.sum(-1) / size * (fourier.radii(size, 2) <= (size - 1) // 2)
    assert np.allclose(model.project_ft(rotation, size, 1.0), expected, rtol=0, atol=1e-11)


def test_a_shift_moves_the_particle_to_where_it_says(rng):
    model = GaussianModel([[0, 0, 0]], [1], [4])
    image = model.project(np.eye(3), 32, 1.0, np.array([3.0, -5.0]))
    assert np.unravel_index(image.argmax(), image.shape) == (16 - 5, 16 + 3)


def test_images_do_not_depend_on_how_they_are_split(rng, monkeypatch):
    model, rotations = points(16, rng), random_rotations(5, rng)
    shifts = rng.normal(size=(5, 2))
    whole = model.project_ft(rotations, 16, 1.0, shifts)
    monkeypatch.setattr("fslice.simulation._inputs.TABLE", 16 * 7)
    assert np.allclose(model.project_ft(rotations, 16, 1.0, shifts), whole)


def test_leading_axes_are_kept(rng):
    model, rotations = blobs(28, rng), random_rotations(6, rng).reshape(2, 3, 3, 3)
    shifts = rng.normal(size=(2, 3, 2))
    assert model.project(rotations, 28, 1.0, shifts).shape == (2, 3, 28, 28)
    expected = model.project_ft(rotations[1, 2], 28, 1.0, shifts[1, 2])
    assert np.allclose(model.project_ft(rotations, 28, 1.0, shifts)[1, 2], expected)


def test_single_precision_agrees_with_double(rng):
    model, rotations = blobs(28, rng), random_rotations(2, rng)
    for method in (model.project, model.project_ft):
        single = method(rotations, 28, 1.0, dtype=np.float32)
        assert single.real.dtype == np.float32
        assert relative_error(single, method(rotations, 28, 1.0)) < 1e-6
    assert model.density(28, 1.0, dtype=np.float32).dtype == np.float32
    assert model.spectrum(28, 1.0, dtype=np.float32).dtype == np.complex64
    assert model.volume(28, 1.0, dtype=np.float32).dtype == np.float32


def test_a_model_keeps_copies_that_cannot_be_written_to():
    positions = np.zeros((1, 3))
    model = GaussianModel(positions, [1], [1])
    positions[0, 0] = 5
    assert model.positions[0, 0] == 0
    with pytest.raises(ValueError, match="read-only"):
        model.weights[0] = 2


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((np.zeros((4, 2)), np.ones(4), np.ones(4)), r"positions: expected shape \(J, 3\), got"),
        ((np.zeros((0, 3)), np.ones(0), np.ones(0)), "positions: expected at least one element"),
        ((np.zeros((4, 3)), np.ones(3), np.ones(4)), r"weights: expected shape \(4,\), got \(3,\)"),
        ((np.zeros((1, 3)), [np.nan], [1]), "weights: 1 of 1 values are NaN or infinite"),
        ((np.zeros((1, 3)), [1], [-2]), "variances: expected none below 0, got -2"),
    ],
)
def test_a_model_refuses(arguments, message):
    with pytest.raises(ValueError, match=message):
        GaussianModel(*arguments)


def test_points_have_no_density(rng):
    model = GaussianModel([[0, 0, 0]], [1], [0])
    with pytest.raises(ValueError, match="variances: expected all above 0 to sample the density"):
        model.density(8, 1.0)
    with pytest.raises(ValueError, match="variances: expected all above 0"):
        model.project(np.eye(3), 8, 1.0)


def test_projections_refuse_what_is_no_pose(rng):
    model = GaussianModel([[0, 0, 0]], [1], [1])
    with pytest.raises(ValueError, match="rotations: expected orthonormal"):
        model.project(2 * np.eye(3), 8, 1.0)
    with pytest.raises(ValueError, match=r"shifts: expected shape \(5, 2\), got \(4, 2\)"):
        model.project_ft(random_rotations(5, rng), 8, 1.0, np.zeros((4, 2)))
    with pytest.raises(ValueError, match="shifts: 1 of 2 values are NaN"):
        model.project_ft(np.eye(3), 8, 1.0, np.array([0, np.nan]))


@pytest.mark.parametrize("pixel_size", [0, -1.5, np.nan, np.inf])
def test_a_box_needs_a_positive_pixel_size(pixel_size):
    with pytest.raises(ValueError, match="pixel_size: expected Angstrom above 0, got"):
        check_box(8, pixel_size)


def test_a_box_needs_a_positive_size():
    with pytest.raises(ValueError, match="size: expected at least 1, got 0"):
        check_box(0, 1.0)
