"""Sets of orientations: their distributions, and how evenly the grid covers SO(3)."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from fslice.geometry import (
    angle_between,
    check_rotations,
    grid_rotations,
    matrix_to_euler,
    matrix_to_quaternion,
    random_rotations,
    rotations_in_cone,
)


def assert_uniform(samples, low, high):
    """Kolmogorov and Smirnov's test at a level that a fixed seed passes or a fault fails."""
    assert stats.kstest(samples, stats.uniform(low, high - low).cdf).pvalue > 1e-3


def nearest_angles(rotations, probes):
    """Return the angle in degrees from each probe to the nearest of the rotations."""
    cosines = abs(matrix_to_quaternion(probes) @ matrix_to_quaternion(rotations).T).max(axis=1)
    return np.rad2deg(2 * np.arccos(np.minimum(cosines, 1)))


@pytest.mark.parametrize(
    "draw",
    [random_rotations, lambda n, rng: rotations_in_cone(n, 180, rng)],
    ids=["random_rotations", "rotations_in_cone of 180 degrees"],
)
def test_random_rotations_are_uniform(draw, rng):
    rotations = draw(20_000, rng)
    check_rotations("rotations", rotations)
    rot, tilt, psi = matrix_to_euler(rotations).T
    assert_uniform(rot, -180, 180)
    assert_uniform(np.cos(np.deg2rad(tilt)), -1, 1)
    assert_uniform(psi, -180, 180)
    # The angle of a uniform rotation has the density (1 - cos t) / pi.
    angle = np.deg2rad(angle_between(np.eye(3), rotations))
    assert_uniform((angle - np.sin(angle)) / np.pi, 0, 1)
    # Uniform rotations stay so when turned: no moment of order one or two prefers a direction.
    assert abs(rotations.mean(axis=0)).max() < 5 / np.sqrt(3 * 20_000)
    second = np.einsum("nij,nkl->ijkl", rotations, rotations) / 20_000
    expected = np.einsum("ik,jl->ijkl", np.eye(3), np.eye(3)) / 3
    assert abs(second - expected).max() < 5 * 0.3 / np.sqrt(20_000)


def test_a_seed_repeats_the_random_rotations():
    first, again = (random_rotations(3, np.random.default_rng(7)) for _ in range(2))
    assert np.array_equal(first, again)


@pytest.mark.parametrize("max_tilt", [0.001, 15, 90, 150])
def test_directions_are_uniform_on_the_cap_of_the_cone(max_tilt, rng):
    rotations = rotations_in_cone(5000, max_tilt, rng)
    check_rotations("rotations", rotations)
    rot, tilt, psi = matrix_to_euler(rotations).T
    assert tilt.max() <= max_tilt * (1 + 1e-9)
    assert_uniform(rot, -180, 180)
    assert_uniform(psi, -180, 180)
    height = np.sin(np.deg2rad(tilt) / 2) ** 2 / np.sin(np.deg2rad(max_tilt) / 2) ** 2
    assert_uniform(height, 0, 1)


def test_a_cone_of_no_width_looks_along_z(rng):
    assert np.array_equal(rotations_in_cone(3, 0, rng)[:, :, 2], [[0, 0, 1]] * 3)


@given(n=st.one_of(st.integers(1, 20), st.sampled_from([1000, 4096, 9999])))
def test_the_grid_has_any_size_and_repeats_itself(n):
    grid = grid_rotations(n)
    assert grid.shape == (n, 3, 3)
    check_rotations("grid", grid)
    assert np.array_equal(grid, grid_rotations(n))


@pytest.mark.parametrize("n", [100, 1000])
def test_the_grid_covers_rotations_more_evenly_than_random_ones(n, rng):
    probes = random_rotations(10_000, rng)
    grid = nearest_angles(grid_rotations(n), probes)
    random = nearest_angles(random_rotations(n, rng), probes)
    # Balls of this radius about n points would fill SO(3) exactly once: t - sin t = pi / n.
    ideal = np.rad2deg((6 * np.pi / n) ** (1 / 3))
    assert grid.max() < 2 * ideal
    assert grid.max() < 0.8 * random.max()
    assert grid.mean() < 0.9 * random.mean()


@pytest.mark.parametrize("n", [100, 1000])
def test_the_grid_keeps_its_points_apart(n, rng):
    def closest(rotations):
        quaternions = matrix_to_quaternion(rotations)
        cosines = abs(quaternions @ quaternions.T)
        np.fill_diagonal(cosines, 0)
        return 2 * np.rad2deg(np.arccos(np.minimum(cosines.max(), 1)))

    assert closest(grid_rotations(n)) > 3 * closest(random_rotations(n, rng))


def test_the_grid_has_no_preferred_direction():
    grid = grid_rotations(5000)
    assert abs(grid.mean(axis=0)).max() < 0.1 / np.sqrt(3 * 5000)
    second = np.einsum("nij,nkl->ijkl", grid, grid) / 5000
    expected = np.einsum("ik,jl->ijkl", np.eye(3), np.eye(3)) / 3
    assert abs(second - expected).max() < 0.1 * 0.3 / np.sqrt(5000)


@pytest.mark.parametrize(
    "draw",
    [
        lambda n, rng: random_rotations(n, rng),
        lambda n, rng: rotations_in_cone(n, 10, rng),
        lambda n, rng: grid_rotations(n),
    ],
    ids=["random", "cone", "grid"],
)
def test_the_number_of_rotations_is_a_positive_integer(draw, rng):
    with pytest.raises(ValueError, match="n: expected at least 1, got 0"):
        draw(0, rng)
    with pytest.raises(TypeError, match=r"n: expected an integer, got 2\.5"):
        draw(2.5, rng)


@pytest.mark.parametrize("draw", [random_rotations, lambda n, rng: rotations_in_cone(n, 10, rng)])
def test_the_source_of_randomness_is_a_generator(draw):
    with pytest.raises(TypeError, match=r"rng: expected a numpy.random.Generator, got int"):
        draw(3, 0)


@pytest.mark.parametrize("max_tilt", [-1, 180.5, np.nan])
def test_a_cone_beyond_the_sphere_is_refused(max_tilt, rng):
    with pytest.raises(ValueError, match="max_tilt: expected an angle from 0 to 180 degrees, got"):
        rotations_in_cone(3, max_tilt, rng)
