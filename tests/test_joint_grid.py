"""EM over a grid of poses: exact against brute force, and its bound never falls."""

import dataclasses

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import fslice
from fslice import Dataset, Poses
from fslice.alignment.band import Band
from fslice.alignment.band_images import BandImages, read_band
from fslice.alignment.joint import Joint
from fslice.alignment.joint.grid_em import (
    expectation,
    log_likelihoods,
    make_grid,
    normal_equations_of,
    updated_noise,
)
from fslice.alignment.joint.grid_map import GridMap, maximisation, rescaled, sphere
from fslice.alignment.joint.infer import _start
from fslice.alignment.joint.selection import spherical_average
from fslice.alignment.joint.sign import upright
from fslice.alignment.joint.starts import GridEM, Level, given_map, random_map, run_grid_em
from fslice.fourier import inner_product
from fslice.operators.shifts import shift_slices
from fslice.posterior.cg import conjugate_gradients
from fslice.posterior.latent import latent_map
from fslice.posterior.precision import PosteriorPrecision
from fslice.solvers.progress import Reporter

SIZE, RADIUS = 12, 3
BAND = Band(SIZE, RADIUS, interpolation="linear")


def problem(rng, count=6, rotations=5, shifts=3):
    """Return random images in a band, a map, a grid, and the noise of each shell."""
    whole = rng.normal(size=(count, SIZE, SIZE))
    images = BAND.flatten(BAND.crop(fslice.rfft2(whole)))
    ctf = rng.normal(size=images.shape)
    volume = rng.normal(size=(BAND.box,) * 3)
    grid = make_grid(
        fslice.random_rotations(rotations, rng), rng.normal(size=(shifts, 2)), 1.3, images
    )
    return BandImages(BAND, images, ctf), volume, grid, rng.uniform(0.5, 2, RADIUS + 1)


def each_log_density(images, volume, grid, noise):
    """Return log p(y_n, g, t | v), pose by pose: (n, G, T)."""
    band, variance = images.band, noise[images.shell_of()]
    volume_ft = band.projector.transform(volume)
    found = np.empty((len(images), len(grid.rotations), len(grid.shifts)))
    for g, rotation in enumerate(grid.rotations):
        slice_ft = band.projector.project_ft(volume_ft, rotation)
        for t, shift in enumerate(grid.shifts):
            moved = band.flatten(shift_slices(slice_ft, shift * band.scale))
            residual = abs(images.images - images.ctf * moved) ** 2 / variance
            density = -0.5 * (residual + np.log(2 * np.pi * variance)) @ band.multiplicities
            found[:, g, t] = density + grid.log_prior[t] - np.log(len(grid.rotations))
    return found


@given(seed=st.integers(0, 10**6))
@settings(max_examples=5)
def test_the_likelihood_is_the_sum_over_all_poses(seed):
    images, volume, grid, noise = problem(np.random.default_rng(seed))
    expected = np.logaddexp.reduce(
        each_log_density(images, volume, grid, noise).reshape(len(images), -1), 1
    )
    whole, above = log_likelihoods(volume, images, grid, noise)
    assert np.allclose(whole, expected, rtol=1e-9)
    nothing, none = log_likelihoods(0 * volume, images, grid, noise)
    assert np.allclose(whole - above, nothing)
    assert np.allclose(none, 0)


@given(seed=st.integers(0, 10**6))
@settings(max_examples=5)
def test_the_normal_equations_are_those_of_all_images_in_all_poses(seed):
    rng = np.random.default_rng(seed)
    images, volume, grid, noise = problem(rng)
    found = expectation(volume, images, grid, noise)
    normal = normal_equations_of(found, grid, BAND)
    log_joint = each_log_density(images, volume, grid, noise)
    gamma = np.exp(log_joint - np.logaddexp.reduce(log_joint, (1, 2), keepdims=True))
    gamma = np.maximum(gamma, np.exp(-30) * gamma.max((1, 2), keepdims=True))
    n, rotations, shifts = gamma.shape
    deviation = noise[images.shell_of()] ** 0.5
    y, ctf = (BAND.unflatten(part / deviation) for part in (images.images, images.ctf))
    views = {
        "image_of": np.repeat(np.arange(n), rotations * shifts),
        "view_weights": gamma.ravel(),
    }
    poses = (
        np.tile(np.repeat(grid.rotations, shifts, 0), (n, 1, 1)),
        np.tile(grid.shifts * BAND.scale, (n * rotations, 1)),
    )
    b = BAND.projector.backproject_ft(y, *poses, ctf, **views)
    assert np.allclose(normal.b, b, atol=1e-7 * abs(b).max())
    some = BAND.projector.transform(rng.normal(size=volume.shape))
    seen = BAND.projector.project_ft(some, *poses) * ctf[views["image_of"]] ** 2
    image_of = {"image_of": np.arange(len(seen)), "view_weights": gamma.ravel()}
    product = BAND.projector.backproject_ft(seen, *poses, **image_of)
    assert np.allclose(normal.apply(some), product, atol=1e-7 * abs(product).max())
    assert np.allclose(found.shifts, gamma.sum((0, 1)))
    assert np.isclose(found.log_likelihood, log_likelihoods(volume, images, grid, noise)[0].sum())


def test_statistics_of_shares_add_up(rng):
    images, volume, grid, noise = problem(rng)
    whole = expectation(volume, images, grid, noise)
    parts = expectation(volume, images[:2], grid, noise) + expectation(
        volume, images[2:], grid, noise
    )
    for name in dataclasses.asdict(whole):
        assert np.allclose(getattr(whole, name), getattr(parts, name)), name


@given(seed=st.integers(0, 10**6))
@settings(max_examples=5)
def test_the_noise_is_the_mean_squared_residual_over_all_poses(seed):
    images, volume, grid, noise = problem(np.random.default_rng(seed), count=200)
    found = expectation(volume, images, grid, noise)
    better = updated_noise(found, volume, grid, images, noise)

    log_joint = each_log_density(images, volume, grid, noise)
    gamma = np.exp(log_joint - np.logaddexp.reduce(log_joint, (1, 2), keepdims=True))
    volume_ft = BAND.projector.transform(volume)
    squares = 0
    for g, rotation in enumerate(grid.rotations):
        slice_ft = BAND.projector.project_ft(volume_ft, rotation)
        for t, shift in enumerate(grid.shifts):
            moved = BAND.flatten(shift_slices(slice_ft, shift * BAND.scale))
            squares = squares + gamma[:, g, t] @ abs(images.images - images.ctf * moved) ** 2
    sums = np.bincount(images.shell_of(), BAND.multiplicities * squares)
    degrees = len(images) * np.bincount(images.shell_of(), BAND.multiplicities)
    assert np.allclose(better, sums / degrees, rtol=1e-6)


@given(seed=st.integers(0, 10**6))
@settings(max_examples=5)
def test_the_bound_never_falls(seed):
    """Log posterior of map and noise, poses summed out, under a fixed prior and grid."""
    rng = np.random.default_rng(seed)
    images, volume, grid, noise = problem(rng, count=30, rotations=12)
    latent = latent_map(BAND.projector, sphere(BAND, 5.0, images.ctf), images.images)
    mean, prior = fslice.rfft3(volume), np.full(BAND.box // 2 + 1, 0.3)
    bounds = []
    for _ in range(6):
        volume = latent.volume(mean)
        found = expectation(volume, images, grid, noise)
        bounds.append(found.log_likelihood - inner_product(mean, mean) / (2 * 0.3))
        normal = normal_equations_of(found, grid, BAND)
        precision = PosteriorPrecision(normal, prior, 1.0, latent)
        mean = conjugate_gradients(
            precision, precision.rhs, precision.preconditioner(), start=mean, tolerance=1e-8
        ).x
        found = expectation(latent.volume(mean), images, grid, noise)
        bounds.append(found.log_likelihood - inner_product(mean, mean) / (2 * 0.3))
        noise = updated_noise(found, latent.volume(mean), grid, images, noise)
    assert (np.diff(bounds) > -1e-7 * abs(bounds[0])).all()
    assert bounds[-1] > bounds[0]


def test_a_map_keeps_its_projections_in_another_box(rng):
    model = fslice.phantom(24, 4.0)
    volume = model.volume(24, 4.0)
    rotations = fslice.random_rotations(4, rng)
    band = Band(24, 5, interpolation="linear")
    small = rescaled(volume, band.box)
    found = band.projector.project_ft(band.projector.transform(small), rotations)
    whole = Band(24, 5, interpolation="linear")
    expected = whole.projector.project_ft(whole.transform(volume), rotations)
    assert np.allclose(found, expected, atol=0.01 * abs(expected).max())
    assert np.allclose(rescaled(rescaled(volume, 28), 24), volume, atol=1e-9)


def test_images_are_read_once_and_limited_afterwards(rng):
    images = rng.normal(size=(9, 16, 16))
    ctf = rng.normal(size=(9, 16, 9))
    dataset = Dataset(images, Poses(fslice.random_rotations(9, rng)), ctf)
    large, small = (Band(16, radius, interpolation="linear") for radius in (6, 3))
    rows = np.array([1, 4, 5])
    read = read_band(dataset, large, rows=rows)
    expected = small.flatten(small.crop(fslice.rfft2(images[rows])))
    assert np.allclose(read.limited(small).images, expected)
    assert np.allclose(read.limited(small).ctf, small.flatten(small.crop(ctf[rows])))


def simulated(count=300, snr=1.0, size=20, seed=0):
    """Return images of an object without symmetry, and its map."""
    rng = np.random.default_rng(seed)
    model = fslice.simulation.GaussianModel(
        rng.normal(size=(10, 3)) * size / 10, rng.uniform(0.5, 1, 10), np.full(10, 1.5)
    )
    data = fslice.simulate(model, count, size, 1.0, snr=snr, seed=seed)
    return Dataset(data.images(), Poses(data.rotations)), data.truth


SMALL = GridEM((Level(3, 300, 150, 12), Level(4, 600, 150, 8)), shift_std=0.7)


def test_a_random_map_becomes_the_object():
    dataset, truth = simulated()
    images = read_band(dataset, Band(20, 4, interpolation="linear"))
    found = run_grid_em(images, 8.0, np.random.default_rng(1), SMALL)
    aligned = fslice.metrics.align_maps(found.in_box(20), truth, hand=True, max_radius=4)
    assert aligned.curve[1:4].min() > 0.8
    assert found.trace[-1] > found.trace[0]
    assert np.isfinite(found.prior).all()


@pytest.mark.parametrize("background", [0.0, -40.0])
def test_an_inverted_initial_map_is_said_and_turned_whatever_the_background(background):
    dataset, truth = simulated(200)
    dataset = dataclasses.replace(dataset, images=np.asarray(dataset.images) + background)
    images = read_band(dataset, Band(20, 8, interpolation="linear"))
    power, images = images.mean_power(), images.limited(Band(20, 4, interpolation="linear"))
    right, wrong = (given_map(sign * truth, images, power, 1.0) for sign in (1, -1))
    assert upright(right, images) is right
    with pytest.warns(UserWarning, match="the initial map is inverted: its negative explains"):
        found = upright(wrong, images)
    assert np.array_equal(found.volume, -wrong.volume)


@pytest.mark.parametrize("sign", [1, -1])
def test_an_initial_map_that_images_do_not_show_is_not_said_to_be_inverted(sign):
    """Both signs explain the images worse than noise alone; one is always less bad."""
    dataset, _ = simulated(200)
    images = read_band(dataset, Band(20, 8, interpolation="linear"))
    power, images = images.mean_power(), images.limited(Band(20, 4, interpolation="linear"))
    unrelated = sign * np.random.default_rng(1).normal(size=(20, 20, 20))
    start = given_map(unrelated, images, power, 1.0)
    assert upright(start, images) is start


def test_joint_inference_says_that_its_initial_map_is_inverted():
    dataset, truth = simulated(200)
    images = read_band(dataset, Band(20, 9, interpolation="linear"))
    power, images = images.mean_power(), images.limited(Band(20, 4, interpolation="linear"))
    options, rng = Joint(initial=-truth, grid_em=SMALL), np.random.default_rng(0)
    with pytest.warns(UserWarning, match="the initial map is inverted"):
        found = _start(images, power, 8.0, options, rng, Reporter())
    aligned = fslice.metrics.align_maps(found.in_box(20), truth, max_radius=4)
    assert aligned.curve[1:4].min() > 0.8


def test_a_map_that_is_given_may_be_in_any_unit():
    """It begins as bright as the images show it, whatever their CTF."""
    dataset, truth = simulated(200)
    ctf = np.full((200, 20, 11), 0.5)
    dataset = dataclasses.replace(dataset, images=4 * np.asarray(dataset.images), ctf=ctf)
    images = read_band(dataset, Band(20, 8, interpolation="linear"))
    band = Band(20, 4, interpolation="linear")
    for unit in (-1e-3, 1.0, 1e4):
        start = given_map(unit * truth, images.limited(band), images.mean_power(), 1.0)
        expected = np.sign(unit) * 8 * rescaled(truth, band.box)
        assert np.allclose(start.volume, expected, rtol=0.15, atol=0)
    with pytest.raises(ValueError, match=r"initial: expected shape \(20, 20, 20\), got \(12,"):
        given_map(np.ones((12, 12, 12)), images.limited(band), images.mean_power(), 1.0)


def test_noise_gives_a_map_that_is_finite_and_small(rng):
    dataset = Dataset(
        rng.normal(size=(150, 16, 16)).astype(np.float32), Poses(np.tile(np.eye(3), (150, 1, 1)))
    )
    images = read_band(dataset, Band(16, 4, interpolation="linear"))
    start = random_map(images, 6.0, rng)
    assert isinstance(start, GridMap)
    found = run_grid_em(images, 6.0, rng, SMALL, start=start)
    projections = fslice.Projector(16).project(
        found.in_box(16), fslice.random_rotations(9, rng, like=images.ctf)
    )
    assert projections.std() < 0.5


def test_a_spherical_average_looks_the_same_from_everywhere(rng):
    average = spherical_average(rng.normal(size=(9, 9, 9)))
    assert np.allclose(average, average.transpose(2, 0, 1))
    assert np.allclose(average, average[::-1])
    assert np.allclose(average, spherical_average(average))


def test_em_stays_on_its_device(rng, device):
    images, volume, grid, noise = problem(rng)
    on_device = BandImages(BAND, device.asarray(images.images), device.asarray(images.ctf))
    there = make_grid(grid.rotations, grid.shifts, 1.3, on_device.images)
    found = expectation(device.asarray(volume), on_device, there, noise)
    normal = normal_equations_of(found, there, BAND)
    latent = latent_map(BAND.projector, sphere(BAND, 5.0, on_device.ctf), on_device.images)
    prior = np.full(BAND.box // 2 + 1, 0.3)
    moved, *_ = maximisation(normal, latent, prior, before=device.asarray(volume))
    here = expectation(volume, images, grid, noise)
    own = latent_map(BAND.projector, sphere(BAND, 5.0, images.ctf), images.images)
    expected, *_ = maximisation(normal_equations_of(here, grid, BAND), own, prior, before=volume)
    assert isinstance(moved, device.ndarray)
    assert np.allclose(moved.get(), expected, atol=1e-6 * abs(expected).max())
