"""No image is scored against a map that it made itself: sets of images are dealt into folds."""

from dataclasses import replace

import numpy as np
import pytest
from joint_problem import SIZE, simulated

import fslice
from fslice import Dataset, Poses
from fslice.alignment.band import Band
from fslice.alignment.find import poses_as_posterior
from fslice.alignment.joint.grid_map import GridMap, object_mask, rescaled, sphere
from fslice.alignment.joint.restart import half_behind
from fslice.alignment.joint.rounds import JointState, Rounds, next_round
from fslice.alignment.joint.steps import ImageSet, mapped, posed, search_finds_more, with_noise
from fslice.alignment.noise import mean_power, residual_noise
from fslice.alignment.posterior import PosePosterior
from fslice.alignment.search import PoseSearch
from fslice.likelihoods.gaussian import GaussianNoise
from fslice.metrics import fsc
from fslice.simulation import GaussianModel
from fslice.symmetry._shears import mirror

COUNT, RADIUS, FOLDS = 60, 8, 4
SEARCH = PoseSearch(radii=(RADIUS,), rotations=4000, candidates=8)


def nothing(part):
    """Return the set with an empty map."""
    empty = replace(part.map, volume=0 * part.map.volume)
    return ImageSet(part.rows, empty, (), part.poses)


@pytest.fixture
def noise_only(rng):
    """Return images of noise in random poses, and the set of all of them before its first map."""
    images = rng.normal(size=(COUNT, SIZE, SIZE))
    rotations = fslice.random_rotations(COUNT, rng)
    noise = GaussianNoise(np.ones(SIZE // 2 + 1))
    dataset = Dataset(images, Poses(rotations), noise=noise)
    poses = PosePosterior(
        np.arange(COUNT), rotations, np.zeros((COUNT, 2)), np.ones(COUNT),
        np.tile(1e-4 * np.eye(5), (COUNT, 1, 1)), np.zeros(COUNT), np.zeros(COUNT),
    )  # fmt: skip
    band = Band(SIZE, 4, interpolation="linear")
    start = GridMap(np.zeros((band.box,) * 3), band, np.ones(band.box // 2 + 1), np.ones(5), 0.5)
    part = ImageSet(np.arange(COUNT), start, poses=poses)
    return dataset, mapped(dataset, part, RADIUS, 9.0, rng, folds=FOLDS, draws=0)


def test_noise_explains_itself_but_not_other_noise(noise_only):
    dataset, part = noise_only
    search = PoseSearch(radii=(RADIUS,))
    others = posed(dataset, part, search, everywhere=False)
    own = posed(dataset, ImageSet(part.rows, part.map, (), part.poses), search, everywhere=False)
    assert own.evidence > others.evidence + 5
    unscored = posed(dataset, nothing(part), search, everywhere=False)  # a map of zeros
    assert others.evidence < unscored.evidence


def test_noise_is_not_underestimated_by_a_map_of_others(noise_only):
    dataset, part = noise_only
    own = ImageSet(part.rows, part.map, (), part.poses)
    by_own, by_others = (
        with_noise(dataset, (each,)).noise.variances[0, 2:RADIUS] for each in (own, part)
    )
    assert by_own.mean() < 0.95
    assert by_others.mean() > 1


def test_the_map_without_a_fold_does_not_depend_on_its_images(noise_only, rng):
    dataset, part = noise_only
    images = np.array(dataset.images)
    images[part.folds(FOLDS)[1]] = 10.0
    changed = replace(dataset, images=images)
    before, after = (
        mapped(each, part, RADIUS, 9.0, rng, folds=FOLDS, draws=0).without
        for each in (dataset, changed)
    )
    assert np.allclose(before[1], after[1], atol=1e-9 * abs(before[1]).max())
    assert not np.allclose(before[0], after[0], atol=0.1 * abs(before[0]).max())


@pytest.mark.parametrize("right", [True, False])
def test_a_search_is_worth_it_where_poses_are_wrong(rng, right):
    dataset, data = simulated(100, shift_std=0.0)
    noise = GaussianNoise(np.full(SIZE // 2 + 1, data.noise_variance))
    poses = data.rotations if right else fslice.random_rotations(100, rng)
    band = Band(SIZE, SIZE // 2 - 1, interpolation="linear")
    map_ = GridMap(rescaled(data.truth, band.box), band, np.ones(1), np.ones(1), 0.5)
    part = ImageSet(np.arange(100), map_, poses=poses_as_posterior(Poses(poses)))
    assert search_finds_more(dataset.with_noise(noise), part, SEARCH) == (not right)


@pytest.fixture(scope="module")
def halves_of():
    """Return images, and what makes two halves of them, posed under one map each."""
    dataset, data = simulated(240, shift_std=0.0)
    dataset = dataset.with_noise(GaussianNoise(np.full(SIZE // 2 + 1, data.noise_variance)))
    band, truth = Band(SIZE, RADIUS, interpolation="linear"), data.truth
    maps = {"right": truth, "mixed": (truth + mirror(truth, 0)) / 2}

    def halves(*names):
        parts = []
        for number, name in enumerate(names):
            prior = np.full(band.box // 2 + 1, 1.0)
            map_ = GridMap(rescaled(maps[name], band.box), band, prior, np.ones(RADIUS + 1), 0.5)
            parts.append(ImageSet(np.arange(number, 240, 2), map_))
        return tuple(posed(dataset, part, SEARCH, everywhere=True) for part in parts)

    return dataset, truth, halves


@pytest.mark.parametrize(
    ("names", "behind"),
    [(("right", "right"), None), (("right", "mixed"), 1), (("mixed", "right"), 0)],
)
def test_a_half_whose_map_mixes_both_hands_is_behind(halves_of, names, behind):
    dataset, _, halves = halves_of
    assert half_behind(dataset, halves(*names), SEARCH) == behind


def test_a_half_that_is_behind_begins_again_from_the_other_map_once(halves_of, rng):
    dataset, truth, halves = halves_of
    before = {"images": 120, "radius": 6, "evidence": 1.0, "log_likelihood": -1e9}
    state = JointState(
        halves("right", "mixed"), dataset, RADIUS, mean_power(dataset), trace=(before,)
    )
    options = Rounds(search=SEARCH)
    after = next_round(state, 9.0, options, rng)
    assert after.restarted
    assert after.trace[-1]["restarted"] == 2
    maps = [rescaled(half.map.volume, SIZE) for half in after.halves]
    assert min(fsc(volume, truth)[1:6].min() for volume in maps) > 0.9
    again = next_round(replace(after, search_next=True), 9.0, options, rng)
    assert "restarted" not in again.trace[-1]


def test_the_noise_beyond_a_map_is_the_power_of_the_images(rng):
    """A map that ends at a shell leaves what the whole box would show, at less cost."""
    dataset, data = simulated(40, shift_std=0.0)
    band = Band(SIZE, 6, interpolation="linear")
    volume = rescaled(rescaled(data.truth, band.box), SIZE)
    poses, rows = poses_as_posterior(Poses(data.rotations)), np.arange(40)
    in_band, in_box = (
        residual_noise(dataset, volume, poses, rows, radius).noise.variances[0]
        for radius in (band.box / 2, None)
    )
    assert np.allclose(in_band[:6], in_box[:6], rtol=1e-3)
    assert np.allclose(in_band[band.box // 2 + 1 :], mean_power(dataset)[band.box // 2 + 1 :])


def test_the_mask_holds_the_object_and_little_else(rng):
    size = 48
    model = GaussianModel(rng.uniform(-8, 8, (40, 3)), np.ones(40), np.full(40, 9.0))
    volume = model.volume(size, 1.0)
    fine = Band(size, 18, interpolation="linear")
    noisy = rescaled(volume + 0.1 * volume.max() * rng.normal(size=volume.shape), fine.box)
    mask, inside = object_mask(fine, 20.0, noisy), sphere(fine, 20.0, noisy)
    clean = rescaled(volume, fine.box)
    assert (mask * clean).sum() > 0.98 * clean.sum()
    assert mask.mean() < 0.7 * inside.mean()
    coarse = Band(size, 8, interpolation="linear")  # where the object ends is not seen yet
    small = rescaled(volume, coarse.box)
    assert np.array_equal(object_mask(coarse, 20.0, small), sphere(coarse, 20.0, small))
    nothing = rng.normal(size=noisy.shape)
    assert (object_mask(fine, 20.0, nothing) <= inside).all()


def test_every_image_is_in_one_fold(rng):
    part = ImageSet(np.sort(rng.permutation(100)[:37]), None)
    folds = part.folds(FOLDS)
    assert np.array_equal(np.sort(np.concatenate(folds)), np.arange(37))
    assert {len(fold) for fold in folds} == {9, 10}
