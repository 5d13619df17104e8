"""The prior of directions of view: learned, flat where views are even, and a density throughout."""

import dataclasses

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from strategies import noise, seeds

import fslice
from fslice import Poses, Projector, random_rotations, rfft2
from fslice.alignment.band import Band
from fslice.alignment.bound import kl_to_prior
from fslice.alignment.coarse import make_templates
from fslice.alignment.directions import DirectionPrior, learned_directions
from fslice.alignment.find import find_poses, pose_model, poses_as_posterior
from fslice.alignment.importance import check_posterior
from fslice.alignment.newton import CONVERGED
from fslice.alignment.posterior import PosePosterior
from fslice.alignment.prepare import prepare
from fslice.alignment.search import PoseSearch
from fslice.geometry import (
    angle_between,
    grid_rotations,
    rotations_in_cone,
    rotvec_to_matrix,
)
from fslice.postprocess.healpix import bin_directions
from fslice.symmetry import symmetry_rotations

SIZE, PIXEL = 24, 5.0
SEARCH = PoseSearch(rotations=2304, candidates=8)
LEARNED = dataclasses.replace(SEARCH, prior_directions="learned")


def images_of(rotations, snr, rng):
    """Return a map, images of it, and the variance of their noise."""
    model = fslice.simulation.GaussianModel(
        28 * rng.uniform(-1, 1, (30, 3)), rng.uniform(0.5, 1.5, 30), np.full(30, 60.0)
    )
    volume = model.volume(SIZE, PIXEL).astype("f4")
    clean = Projector(SIZE, 2, "cubic").project(volume, rotations.astype("f4"))
    variance = clean.var() / snr
    return volume, clean + np.sqrt(variance) * rng.normal(size=clean.shape), float(variance)


@settings(max_examples=10)
@given(seed=seeds, count=st.integers(10, 400), cone=st.floats(5, 179))
@pytest.mark.parametrize("symmetry", ["C1", "D2"])
def test_it_is_a_density(symmetry, seed, count, cone):
    """Its mean over the sphere is one, and equivalent directions have the same."""
    rng = np.random.default_rng(seed)
    poses = rotations_in_cone(count, cone, rng)
    prior = learned_directions(poses_as_posterior(Poses(poses)), symmetry)
    assert prior.weights.sum() == pytest.approx(1)
    assert (prior.weights > 0).all()
    density = np.exp(prior.at(bin_directions(32)))
    assert density.mean() == pytest.approx(1, abs=1e-3)
    some = bin_directions(8)
    mates = np.exp([prior.at(some @ g.T) for g in symmetry_rotations(symmetry)])
    assert np.allclose(mates, mates[0], rtol=1e-9)


@settings(max_examples=5)
@given(seed=seeds, count=st.integers(12, 200))
@pytest.mark.parametrize("symmetry", ["C1", "C3"])
def test_its_derivatives_are_those_of_differences(symmetry, seed, count):
    rng = np.random.default_rng(seed)
    weights = rng.random(count)
    prior = DirectionPrior(weights / weights.sum(), symmetry)
    rotations, direction, step = random_rotations(4, rng), noise(rng, (4, 3)), 1e-4
    found = prior.derivatives(rotations)
    ahead, here, back = (
        prior.log(rotations @ rotvec_to_matrix(by * direction)) for by in (step, 0.0, -step)
    )
    scale = prior.concentration * (direction**2).sum(1)
    assert np.allclose(found.value, here)
    slope = np.einsum("na,na->n", direction, found.gradient)
    assert (abs((ahead - back) / (2 * step) - slope) < 1e-6 * scale).all()
    bend = np.einsum("na,nab,nb->n", direction, found.hessian, direction)
    assert (abs((ahead - 2 * here + back) / step**2 - bend) < 1e-5 * scale).all()


def test_even_views_give_a_flat_density_and_others_theirs(rng):
    even = learned_directions(poses_as_posterior(Poses(random_rotations(2000, rng))))
    assert abs(even.at(bin_directions(16))).max() < 0.05
    half = rotations_in_cone(2000, 90, rng)
    found = learned_directions(poses_as_posterior(Poses(half)))
    up = np.exp(found.log(rotations_in_cone(500, 75, rng)))
    assert up.mean() == pytest.approx(2, rel=0.05)
    in_a_bump = 2 * 2000 / len(found.weights)
    assert (up / 2).std() < 1.2 / in_a_bump**0.5  # as counts of Poisson scatter
    down = rotations_in_cone(500, 75, rng) @ np.diag([1.0, -1.0, -1.0])
    assert np.exp(found.log(down)).max() < 0.2


def test_the_weights_of_modes_share_an_image_among_its_directions():
    """Two modes of equal weight: the one where other images look from wins, as EM has it."""
    axis = np.eye(3)[None]
    other = np.diag([1.0, -1.0, -1.0])[None]
    n = 300
    rotations = np.concatenate([np.concatenate([axis, other]), np.tile(axis, (n, 1, 1))])
    image_of = np.concatenate([[0, 0], 1 + np.arange(n)])
    weights = np.concatenate([[0.5, 0.5], np.ones(n)])
    found = PosePosterior(
        image_of, rotations, np.zeros((n + 2, 2)), weights, np.tile(np.eye(5), (n + 2, 1, 1)),
        np.zeros(n + 1), np.zeros(n + 1),
    )  # fmt: skip
    prior = learned_directions(found)
    assert prior.log(axis)[0] - prior.log(other)[0] > np.log(n)


@settings(max_examples=4)
@given(seed=seeds)
def test_scores_with_it_are_a_normalised_probability(seed):
    """Over a grid, the mean of the likelihood ratio over images of pure noise is one."""
    rng, size = np.random.default_rng(seed), 8
    band, variance = Band(size, 2), 40.0
    rotations, shifts = grid_rotations(40), np.array([[0.0, 0.0], [1.0, -1.0]])
    volume_ft = band.transform(noise(rng, (size,) * 3))
    weights = rng.random(48)
    prior = DirectionPrior(weights / weights.sum())
    log_rotations = prior.log(rotations)
    log_rotations -= np.log(np.exp(log_rotations).sum())  # over the grid
    templates = make_templates(
        volume_ft, band, rotations, shifts, log_prior=np.log([0.25, 0.75]), compress=False
    )
    templates = dataclasses.replace(templates, log_directions=log_rotations)
    draws = 20_000
    images = np.sqrt(variance) * rng.normal(size=(draws, size, size))
    flat = band.flatten(band.crop(rfft2(images)))
    scores = templates.scores(templates.encode(flat, None, variance))
    ratios = np.exp(scores).sum((1, 2))
    assert abs(ratios.mean() - 1) < 5 * ratios.std() / draws**0.5
    best, shift = templates.best_over_shifts(templates.encode(flat[:50], None, variance))
    assert np.allclose(best, scores[:50].max(1))
    assert (shift == scores[:50].argmax(1)).all()


def test_preferred_views_are_found_more_often_and_explain_unseen_images_better(rng):
    views = rotations_in_cone(360, 25, rng)
    volume, images, variance = images_of(views, 0.12, rng)
    given = {"noise_variance": variance, "shift_std": 1.0}
    model = pose_model(images[:240], volume, search=LEARNED, **given)
    plain = find_poses(images, volume, search=SEARCH, **given)
    share = [
        (angle_between(poses.best().rotations, views[:240]) < 15).mean()
        for poses in (plain[np.arange(240)], model.find())
    ]
    assert share[1] > share[0] + 0.05
    unseen = plain[np.arange(240, 360)]
    logs = model.prepared.directions.log(unseen.rotations)
    gain = np.log(np.bincount(unseen.image_of, unseen.weights * np.exp(logs)))
    assert gain.mean() > 4 * gain.std() / 120**0.5


def test_the_evidence_is_that_of_importance_sampling_and_the_bound_has_the_prior(rng):
    views = rotations_in_cone(60, 30, rng)
    volume, images, variance = images_of(views, 1.0, rng)
    model = pose_model(images, volume, noise_variance=variance, shift_std=1.0, search=LEARNED)
    found = model.find()
    checked = check_posterior(model, found, np.random.default_rng(0), draws=300)
    assert abs(np.median(checked.evidence - found.evidence)) < 0.1
    directions = model.prepared.directions
    best = found.best_modes()
    single = found.mode_counts == 1
    change = kl_to_prior(found, 1.0) - kl_to_prior(found, 1.0, directions=directions)
    drawn = found.sample(np.random.default_rng(0), 400)
    logs = directions.log(drawn.rotations).reshape(60, 400)
    error = logs.std(1) / 20
    assert (abs(change - logs.mean(1)) < 5 * error + 0.02).all()
    flat = find_poses(images, volume, noise_variance=variance, shift_std=1.0, search=SEARCH)
    single &= flat.mode_counts == 1
    assert single.sum() > 30
    gain = (found.evidence - flat.evidence)[single]
    # the modes are narrow, and the density varies slowly
    apart = abs(gain - directions.log(found.rotations[best])[single])
    assert np.median(apart) < 0.05
    assert apart.max() < CONVERGED


def test_where_a_symmetry_is_relaxed_a_pose_of_the_grid_stands_for_all_its_mates(rng):
    volume, _, _ = images_of(random_rotations(2, rng), 1.0, rng)
    cone = rotations_in_cone(300, 30, rng) @ rotvec_to_matrix(np.array([0, 1.5, 0]))
    prior = learned_directions(poses_as_posterior(Poses(cone.swapaxes(1, 2))))
    found = prepare(volume, SEARCH, relax="C3").with_directions(prior)
    mates = symmetry_rotations("C3")[:, None] @ found.templates.rotations
    expected = np.log(np.exp([prior.log(each) for each in mates]).mean(0))
    assert np.allclose(found.templates.log_directions, expected, atol=1e-5)
    assert np.allclose(found.directions.log(mates[1]), prior.log(mates[1]))


def test_choices_are_checked():
    with pytest.raises(ValueError, match="prior_directions: expected 'uniform' or 'learned', got"):
        PoseSearch(prior_directions="some")
    with pytest.raises(ValueError, match="contrast_std: expected at most"):
        PoseSearch(contrast_std=0.6)
