"""Bins of the sphere are equal, complete and in their places; views are counted and judged."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fslice.geometry import euler_to_matrix, grid_rotations, random_rotations, rotations_in_cone
from fslice.postprocess.healpix import bin_count, bin_directions, bin_of
from fslice.postprocess.orientations import orientation_distribution
from fslice.symmetry.groups import symmetry_rotations

seeds = st.integers(0, 2**32 - 1)
nsides = st.integers(1, 9)


@given(nside=nsides)
def test_centres_are_unit_vectors_in_their_own_bins(nside):
    directions = bin_directions(nside)
    assert directions.shape == (bin_count(nside), 3)
    np.testing.assert_allclose(np.linalg.norm(directions, axis=1), 1)
    np.testing.assert_array_equal(bin_of(directions, nside), np.arange(len(directions)))


@given(nside=nsides, seed=seeds, scale=st.floats(1e-3, 1e3), dtype=st.sampled_from(["f4", "f8"]))
def test_every_direction_is_in_a_bin_whose_centre_is_near(nside, seed, scale, dtype):
    directions = np.random.default_rng(seed).normal(size=(50, 3))
    found = bin_of((scale * directions).astype(dtype), nside)
    assert found.min() >= 0
    assert found.max() < bin_count(nside)
    unit = directions / np.linalg.norm(directions, axis=1, keepdims=True)
    cosine = (bin_directions(nside)[found] * unit).sum(1)
    assert np.degrees(np.arccos(np.clip(cosine, -1, 1))).max() < 65 / nside


@pytest.mark.parametrize("nside", [1, 2, 3, 4, 7])
def test_bins_have_equal_areas(nside):
    fine = bin_directions(16 * nside)  # a grid of equal areas itself
    counts = np.bincount(bin_of(fine, nside), minlength=bin_count(nside))
    np.testing.assert_allclose(counts, 256, atol=20)
    drawn = np.random.default_rng(0).normal(size=(200 * bin_count(nside), 3))
    counts = np.bincount(bin_of(drawn, nside), minlength=bin_count(nside))
    chi_square = ((counts - 200) ** 2 / 200).sum()
    assert chi_square < bin_count(nside) + 5 * np.sqrt(2 * bin_count(nside))


@given(nside=nsides, seed=seeds)
def test_a_quarter_turn_about_z_moves_bins_within_their_ring(nside, seed):
    x, y, z = np.random.default_rng(seed).normal(size=(3, 40))
    before = bin_of(np.stack([x, y, z], -1), nside)
    after = bin_of(np.stack([-y, x, z], -1), nside)
    heights = bin_directions(nside)[:, 2]
    np.testing.assert_allclose(heights[after], heights[before])


@pytest.mark.parametrize("nside", [1, 2, 5])
def test_poles_corners_and_seams_have_a_bin(nside):
    axes = np.concatenate([np.eye(3), -np.eye(3)])
    signs = np.array(np.meshgrid([-1, 0.0, 1], [-1, 0.0, 1], [-1, 0.0, 1])).reshape(3, -1).T
    seam = np.stack([np.full(9, -1.0), np.full(9, -1e-300), np.linspace(-3, 3, 9)], -1)
    for directions in (axes, signs[np.abs(signs).sum(1) > 0], seam):
        found = bin_of(directions, nside)
        assert ((found >= 0) & (found < bin_count(nside))).all()


def test_directions_of_view_are_the_third_columns():
    rotations = random_rotations(500, np.random.default_rng(0))
    found = orientation_distribution(rotations, nside=4)
    expected = np.bincount(bin_of(rotations[:, :, 2], 4), minlength=192)
    np.testing.assert_array_equal(found.counts, expected)
    assert found.counts.sum() == 500


def test_even_views_are_efficient_and_see_everything():
    found = orientation_distribution(grid_rotations(20_000))
    assert found.efficiency > 0.98
    assert found.unseen == 0
    assert found.empty == 0


@pytest.mark.parametrize("tilt", [10, 20, 45])
def test_a_cone_of_views_leaves_its_cone_of_frequencies_unseen(tilt):
    rotations = rotations_in_cone(20_000, tilt, np.random.default_rng(0))
    found = orientation_distribution(rotations, shell=64)
    assert found.unseen == pytest.approx(1 - np.sin(np.deg2rad(tilt)), abs=0.05)
    assert found.efficiency < 2 * (1 - found.unseen) / (2 - found.unseen) + 0.02


def test_views_of_one_direction_show_one_plane():
    psi = np.linspace(0, 360, 100)
    rotations = euler_to_matrix(np.stack([0 * psi, 0 * psi, psi], -1))
    found = orientation_distribution(rotations, shell=32)
    assert found.unseen > 0.95
    assert found.efficiency < 0.1


def test_side_views_about_one_axis_see_all_and_are_less_efficient():
    rot = np.linspace(0, 360, 2000)
    rotations = euler_to_matrix(np.stack([rot, 0 * rot + 90, 0 * rot], -1))
    found = orientation_distribution(rotations)
    assert found.unseen == 0
    # c = 2 / (pi sin(theta)) at the angle theta from the axis
    cosine = (np.arange(10_000) + 0.5) / 10_000
    c = 2 / (np.pi * np.sqrt(1 - cosine**2))
    assert found.efficiency == pytest.approx((2 * c / (1 + c)).mean(), abs=0.01)


def test_the_whole_turned_is_as_efficient():
    rotations = rotations_in_cone(5000, 50, np.random.default_rng(0))
    turn = random_rotations(1, np.random.default_rng(1))[0]
    one, other = (orientation_distribution(r) for r in (rotations, turn @ rotations))
    assert other.efficiency == pytest.approx(one.efficiency, abs=0.05)
    assert other.unseen == pytest.approx(one.unseen, abs=0.03)


def test_symmetry_fills_what_single_views_leave():
    rotations = rotations_in_cone(3000, 40, np.random.default_rng(0))
    alone = orientation_distribution(rotations)
    octahedral = orientation_distribution(rotations, views=symmetry_rotations("O"))
    assert alone.unseen > 0.2
    assert octahedral.unseen == 0
    assert octahedral.efficiency > 0.9
    np.testing.assert_array_equal(alone.counts, octahedral.counts)


def test_the_empty_share_counts_opposite_bins_as_one():
    views = rotations_in_cone(50_000, 90, np.random.default_rng(0))
    up = orientation_distribution(views, nside=8)
    assert up.empty == 0
    assert (up.counts == 0).mean() > 0.4


@pytest.mark.parametrize(
    ("rotations", "options", "message"),
    [
        (np.eye(3), {}, r"rotations: expected shape \(n, 3, 3\), got \(3, 3\)"),
        (np.eye(3)[None], {"nside": 0}, "nside: expected at least 1, got 0"),
        (np.eye(3)[None], {"shell": 0}, "shell: expected at least 1, got 0"),
        (np.eye(3)[None], {"views": np.eye(3)}, r"views: expected shape \(m, 3, 3\)"),
    ],
)
def test_wrong_input_is_named(rotations, options, message):
    with pytest.raises(ValueError, match=message):
        orientation_distribution(rotations, **options)


@pytest.mark.parametrize(("number", "nside"), [(1, 2), (600, 2), (2400, 5), (40_000, 16)])
def test_bins_hold_about_eight_images_by_default(number, nside):
    assert orientation_distribution(grid_rotations(number)).nside == nside
