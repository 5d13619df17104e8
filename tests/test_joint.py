"""Poses and structure together: rounds, frames, symmetry, and failure as an answer."""

import json
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
from cli_tools import fail, result
from hypothesis import given, settings
from hypothesis import strategies as st
from joint_problem import FAST, SIZE, blobs, simulated

import fslice
from fslice import Dataset, Poses
from fslice.alignment.band import Band
from fslice.alignment.find import poses_as_posterior
from fslice.alignment.joint import infer, infer_poses, rounds
from fslice.alignment.joint.axes import find_axes
from fslice.alignment.joint.equations import expected_equations
from fslice.alignment.joint.frames import NoStructureError
from fslice.alignment.joint.grid_map import GridMap, rescaled
from fslice.alignment.joint.motions import mirrored_poses, moved_poses
from fslice.alignment.joint.rounds import JointState, Rounds, grown, lay_halves
from fslice.alignment.joint.steps import ImageSet
from fslice.alignment.posterior import PosePosterior
from fslice.alignment.search import PoseSearch
from fslice.cli import _unknown_poses
from fslice.cli._unknown_poses import lines_of, numbers_of
from fslice.geometry import angle_between, matrix_to_rotvec, rotvec_to_matrix
from fslice.io import read_particles, read_volume
from fslice.likelihoods.gaussian import GaussianNoise
from fslice.metrics import align_maps, fsc, resolution
from fslice.posterior.sums import normal_equations
from fslice.postprocess.masks import soft_spherical_mask
from fslice.reconstruction import _joint_options
from fslice.simulation import GaussianModel
from fslice.symmetry import rotate_volume, symmetrize
from fslice.symmetry._shears import mirror


@pytest.fixture(scope="module")
def found():
    """Return what joint inference finds from random maps, and the truth."""
    dataset, data = simulated()
    return infer_poses(dataset, FAST), dataset, data


def test_the_structure_is_found_from_random_maps(found):
    inferred, _dataset, data = found
    with_poses = fslice.reconstruct(data.images().astype("f4"), data.rotations, data.shifts)
    known = resolution(fsc(with_poses.mean, data.truth.astype("f4")), SIZE, 1.0)
    posed = fslice.reconstruct(inferred.dataset.with_noise(None))
    aligned = align_maps(posed.mean, data.truth, hand=True)
    assert resolution(aligned.curve, SIZE, 1.0) < 1.1 * known
    assert inferred.starts[0].is_structure


def test_the_poses_are_right_up_to_one_rotation_and_hand(found):
    inferred, _, data = found
    aligned = align_maps(inferred.volume.astype("f4"), data.truth, hand=True)
    flip = np.diag([1.0, 1.0, -1.0])
    rotations = inferred.poses.best().rotations
    if aligned.mirrored:
        rotations = flip @ rotations @ flip
    errors = angle_between(aligned.rotation.T @ rotations, data.rotations)
    assert np.median(errors) < 5


def test_rounds_report_what_they_reached(found):
    inferred, dataset, _ = found
    halves = [entry for entry in inferred.trace if entry["images"] < len(dataset)]
    together = inferred.trace[len(halves) :]
    for some in (halves, together):
        radii = [entry["radius"] for entry in some]
        assert radii == sorted(radii)
        assert len(radii) > 1
    for before, after in zip(inferred.trace, inferred.trace[1:], strict=False):
        # a round that makes images less likely under the map of others is undone
        if before["radius"] == after["radius"] or before in together:
            assert after["log_likelihood"] >= before["log_likelihood"]


def test_an_interrupted_run_goes_on_to_the_same_end(tmp_path, monkeypatch, found):
    inferred, dataset, _ = found
    options, steps = replace(FAST, checkpoint=tmp_path / "c.npz"), []

    def interrupted(name):
        step = getattr(infer, name)

        def of_round(*arguments):
            steps.append(name)
            if steps.count(name) == 2:
                raise KeyboardInterrupt
            return step(*arguments)

        return of_round

    for name in ("next_round", "next_round_of_all"):
        with monkeypatch.context() as patch:
            patch.setattr(infer, name, interrupted(name))
            with pytest.raises(KeyboardInterrupt):
                infer_poses(dataset, options)
    resumed = infer_poses(dataset, options)
    assert np.allclose(resumed.volume, inferred.volume, atol=1e-4 * inferred.volume.max())
    assert [e["radius"] for e in resumed.trace] == [e["radius"] for e in inferred.trace]
    with pytest.raises(ValueError, match="belongs to other images or settings"):
        infer_poses(dataset, replace(options, seed=1))


def test_a_symmetry_is_found_in_the_map_and_imposed():
    dataset, data = simulated(symmetry="C3", seed=2)
    inferred = infer_poses(dataset, replace(FAST, symmetry="C3"))
    assert inferred.axes.found
    assert inferred.dataset.symmetry == "C3"
    average = symmetrize(inferred.volume, "C3")
    assert np.corrcoef(inferred.volume.ravel(), average.ravel())[0, 1] > 0.98
    aligned = align_maps(inferred.volume.astype("f4"), data.truth, hand=True)
    assert aligned.curve[1:6].min() > 0.9


def test_a_symmetry_that_the_map_lacks_is_refused(found):
    _, dataset, _ = found
    with pytest.raises(NoStructureError, match="symmetry: expected C5, got a map") as caught:
        infer_poses(dataset, replace(FAST, symmetry="C5"))
    assert caught.value.name == "not_symmetric"
    assert caught.value.volume.shape == (SIZE,) * 3


def test_noise_is_no_structure(rng):
    images = rng.normal(size=(400, SIZE, SIZE)).astype("f4")
    dataset = Dataset(images, Poses(np.tile(np.eye(3), (400, 1, 1))))
    with pytest.raises(NoStructureError, match="no structure: the best map explains unseen"):
        infer_poses(dataset, FAST)


def test_inverted_contrast_is_named():
    dataset, _data = simulated()
    inverted = Dataset(-np.asarray(dataset.images), dataset.poses)
    with pytest.raises(NoStructureError, match="inverted contrast: the object is darker"):
        infer_poses(inverted, FAST)


def test_too_few_images_and_copies_are_refused():
    dataset, _ = simulated(60)
    few = Dataset(dataset.images[:20], Poses(np.tile(np.eye(3), (20, 1, 1))))
    with pytest.raises(ValueError, match=r"images: expected at least 50 .* got 20"):
        infer_poses(few, FAST)
    same = Dataset(np.repeat(dataset.images[:1], 60, 0), dataset.poses)
    with pytest.raises(ValueError, match="images: expected different ones, got 1 among 60"):
        infer_poses(same, FAST)


def test_an_image_needs_others_to_be_scored_against():
    with pytest.raises(ValueError, match="folds: expected at least 2, got 1"):
        Rounds(folds=1)


def test_noise_of_groups_counts_by_their_images():
    images = np.ones((4, 8, 8))
    noise = GaussianNoise(np.array([np.ones(5), 9 * np.ones(5)]), np.array([0, 0, 1, 0]))
    dataset = Dataset(images, Poses(np.tile(np.eye(3), (4, 1, 1))), noise=noise)
    assert np.allclose(infer._times(np.full(5, 2.0), dataset), 2 * 3)


def test_what_the_rounds_would_leave_out_is_refused():
    with pytest.raises(ValueError, match=r"search: expected no free defocus .* got contrast$"):
        Rounds(search=PoseSearch(contrast_std=0.2))
    dataset, _ = simulated(60)
    with pytest.raises(ValueError, match="joint: expected the symmetry of the images, C3, got C1"):
        fslice.reconstruct(replace(dataset, symmetry="C3"), poses="unknown", joint=FAST)


@pytest.mark.parametrize("symmetry", ["C1", "T"])
def test_a_symmetric_half_is_not_mirrored(monkeypatch, symmetry):
    """The mirror image of T with the axes of RELION has them elsewhere."""
    tried = []

    def laid(first, second, radius):
        tried.append(radius)
        return first, second, SimpleNamespace(curve=np.ones(SIZE // 2 + 1))

    dataset, _ = simulated(60)
    dataset = replace(dataset.with_noise(GaussianNoise(np.ones(SIZE // 2 + 1))), symmetry=symmetry)
    poses = replace(poses_as_posterior(dataset.poses), evidence=np.ones(60))
    halves = tuple(ImageSet(np.arange(i, 60, 2), None, (), poses[i::2]) for i in range(2))
    for name in ("posed", "mapped"):
        monkeypatch.setattr(rounds, name, lambda dataset, part, *_, **__: part)
    monkeypatch.setattr(rounds, "with_noise", lambda dataset, parts: dataset)
    monkeypatch.setattr(rounds, "search_finds_more", lambda *_: True)
    monkeypatch.setattr(rounds, "of_one_hand", laid)
    state = JointState(halves, dataset, 8, np.ones(SIZE // 2 + 1))
    rounds.next_round(state, 9.0, Rounds(), None)
    assert len(tried) == (symmetry == "C1")


@given(agreed=st.integers(1, 31), radius=st.integers(4, 31))
def test_the_radius_never_shrinks_nor_leaves_the_band(agreed, radius):
    assert radius <= grown(radius, agreed, 31) <= 31


@given(seed=st.integers(0, 10**6))
@settings(max_examples=5)
def test_poses_follow_a_map_that_is_moved(seed):
    rng = np.random.default_rng(seed)
    smooth = GaussianModel(rng.uniform(-4, 4, (6, 3)), np.ones(6), np.full(6, 1.5))
    volume = smooth.volume(SIZE, 1.0)
    poses = poses_as_posterior(Poses(fslice.random_rotations(5, rng), rng.normal(size=(5, 2))))
    rotation, shift = fslice.random_rotations(1, rng)[0], rng.normal(size=3)
    moved = moved_poses(poses, rotation, shift)
    projector = fslice.Projector(SIZE, 2, "cubic", 8)
    before = projector.project(volume, poses.rotations, poses.shifts)
    after = projector.project(rotate_volume(volume, rotation, shift), moved.rotations, moved.shifts)
    assert np.allclose(before, after, atol=2e-3 * abs(before).max())


@pytest.mark.parametrize("degrees", [37, 170])
def test_halves_are_laid_upon_each_other_however_far_they_drift(rng, degrees):
    """A ring with a mark: turned about its axis by any angle it almost lies upon itself."""
    volume = symmetrize(blobs().volume(SIZE, 1.0), "C7") + 0.3 * blobs(1).volume(SIZE, 1.0)
    turn = rotvec_to_matrix(np.radians(degrees) * np.array([0.1, 0.1, 1.0]))
    band = Band(SIZE, SIZE // 2 - 1, interpolation="linear")
    halves = tuple(
        ImageSet(
            np.arange(1), GridMap(rescaled(each, band.box), band, np.ones(1), np.ones(1), 1.0)
        )
        for each in (volume, rotate_volume(volume, turn, rng.normal(size=3)))
    )  # fmt: skip
    assert fsc(lay_halves(halves).volume, volume)[: SIZE // 3].min() > 0.95


def test_the_error_bars_of_poses_follow_a_map_that_is_moved(rng):
    """The steps are so small that only what is linear in them matters."""
    spread = np.eye(5) + 0.3 * rng.normal(size=(4, 5, 5))
    spread *= 1e-3 * np.array([1, 2, 1.5, 5, 8])[:, None]
    poses = replace(
        poses_as_posterior(Poses(fslice.random_rotations(4, rng), rng.normal(size=(4, 2)))),
        covariance=spread @ spread.swapaxes(1, 2),
    )
    frame = fslice.random_rotations(1, rng)[0], np.array([4.0, -3.0, 5.0])
    drawn = poses.sample(np.random.default_rng(0), 20000)
    every = moved_poses(poses_as_posterior(Poses(drawn.rotations, drawn.shifts)), *frame)
    moved = moved_poses(poses, *frame)
    steps = matrix_to_rotvec(moved.rotations.swapaxes(1, 2)[drawn.image_of] @ every.rotations)
    steps = np.concatenate([steps, every.shifts - moved.shifts[drawn.image_of]], 1)
    for own, expected in zip(steps.reshape(4, -1, 5), moved.covariance, strict=True):
        root = np.linalg.inv(np.linalg.cholesky(expected))
        assert np.allclose(root @ np.cov(own.T) @ root.T, np.eye(5), atol=0.1)


def test_the_mirror_image_gives_the_same_images_and_steps(rng):
    smooth = GaussianModel(rng.uniform(-4, 4, (6, 3)), np.ones(6), np.full(6, 1.5))
    volume = smooth.volume(SIZE, 1.0)
    poses = poses_as_posterior(Poses(fslice.random_rotations(5, rng), rng.normal(size=(5, 2))))
    spread, step = rng.normal(size=(5, 5, 5)), 0.2 * rng.normal(size=(5, 5))
    poses = replace(poses, covariance=spread @ spread.swapaxes(1, 2))
    other, signs = mirrored_poses(poses), np.array([-1, -1, 1, 1, 1])
    projector = fslice.Projector(SIZE, 2, "cubic", 8)
    before, after = (
        projector.project(
            map_, own.rotations @ rotvec_to_matrix(each[:, :3]), own.shifts + each[:, 3:]
        )
        for map_, own, each in ((volume, poses, step), (mirror(volume, 0), other, signs * step))
    )
    assert np.allclose(before, after, atol=2e-3 * abs(before).max())
    own, others = (np.linalg.inv(each.covariance) for each in (poses, other))
    assert np.allclose(
        np.einsum("ni,nij,nj->n", step, own, step),
        np.einsum("ni,nij,nj->n", signs * step, others, signs * step),
    )


@pytest.mark.parametrize("symmetry", ["C1", "C3"])
def test_sure_poses_give_the_equations_of_known_ones(rng, symmetry):
    images, ctf = rng.normal(size=(12, 10, 10)), rng.normal(size=(12, 10, 6))
    known = Poses(fslice.random_rotations(12, rng), rng.normal(size=(12, 2)))
    dataset = Dataset(images, known, ctf, symmetry=symmetry)
    band, rows = Band(10, 4, interpolation="linear"), np.array([0, 2, 3, 7, 11])
    found = expected_equations(
        dataset, band, poses_as_posterior(known)[rows], rng, draws=0, rows=rows
    )
    expected = normal_equations(dataset, fslice.Projector(10, 2, max_radius=4), rows=rows)
    for name in ("b", "stencil", "squares", "degrees"):
        own, other = getattr(found, name), getattr(expected, name)
        assert np.allclose(own, other, atol=1e-10 * abs(other).max()), name
    assert (found.count, found.symmetry) == (expected.count, expected.symmetry)


@pytest.mark.parametrize("symmetry", ["C3", "D2", "T"])
def test_axes_are_found_in_any_orientation(rng, symmetry):
    volume = blobs(3, symmetry).volume(SIZE, 1.0)
    moved = rotate_volume(volume, fslice.random_rotations(1, rng)[0], rng.uniform(-1, 1, 3))
    axes = find_axes(moved, symmetry, 8)
    assert axes.found
    average = symmetrize(axes.volume, symmetry)
    assert fsc(axes.volume, average)[1:9].min() > 0.98


def test_axes_that_are_not_there_are_not_found(rng):
    assert not find_axes(blobs(1).volume(SIZE, 1.0), "C4", 8).found


@pytest.mark.parametrize(("own", "more"), [("C2", "D2"), ("C4", "D4")])
def test_the_axes_of_a_subgroup_are_not_those_of_the_group(own, more, rng):
    """Half of the rotations hold exactly, the others not at all; their mean looks symmetric."""
    volume = blobs(1, own).volume(SIZE, 1.0)
    moved = rotate_volume(volume, fslice.random_rotations(1, rng)[0], rng.uniform(-1, 1, 3))
    moved += 0.5 * volume.std() * rng.normal(size=volume.shape)
    found = find_axes(moved, more, 5)
    assert not found.found
    assert found.largest > 0.9 > found.correlation + 0.1


def test_a_mask_of_any_other_form_than_a_sphere_is_refused_where_poses_are_unknown(found):
    _, dataset, _ = found
    inside = soft_spherical_mask(SIZE, 9, 2)
    halved = inside * (np.arange(SIZE) < SIZE // 2)
    with pytest.raises(ValueError, match="mask: expected one that rotations leave as it is"):
        fslice.reconstruct(dataset, poses="unknown", mask=halved, joint=FAST)
    assert _joint_options(dataset, FAST, inside) is FAST


def test_reconstruct_takes_images_without_poses(found):
    _, dataset, _ = found
    posterior = fslice.reconstruct(np.asarray(dataset.images), poses="unknown", joint=FAST)
    own = posterior.joint
    assert own.chosen == 0
    # its half maps are of poses that the halves have found by themselves, the mean of the others
    for poses, maps in ((own.half_dataset, posterior.half_maps), (own.dataset, [posterior.mean])):
        made = fslice.reconstruct(poses.with_noise(None))
        expected = made.half_maps if len(maps) == 2 else [made.mean]
        assert np.array_equal(maps, expected)
    assert not np.allclose(own.half_poses.best().rotations, own.poses.best().rotations, atol=1e-3)
    with pytest.raises(ValueError, match="rotations: expected None with poses='unknown'"):
        fslice.reconstruct(dataset.images, dataset.poses.rotations, poses="unknown")
    with pytest.raises(ValueError, match="joint: expected None with poses='known'"):
        fslice.reconstruct(dataset, joint=FAST)


@pytest.fixture
def fast(monkeypatch):
    """Let the command line search little."""

    def options(arguments, inputs):
        return replace(FAST, checkpoint=arguments.output / _unknown_poses.CHECKPOINT)

    monkeypatch.setattr(_unknown_poses, "_options", options)


def test_the_command_writes_map_and_poses(tmp_path, capsys, fast):
    blobs_map = tmp_path / "model.mrc"
    fslice.io.write_volume(blobs_map, blobs().volume(SIZE, 1.0).astype("f4"), 1.0)
    run = tmp_path / "run"
    result(
        capsys, "simulate", blobs_map, "-o", run, "-n", 500, "--snr", 1, "--shift-std", 0.5,
        "--json",
    )  # fmt: skip
    line = result(
        capsys, "reconstruct", run / "particles.star", "-o", tmp_path / "out", "--poses", "unknown",
        "--truth", run / "truth.mrc",
    )  # fmt: skip
    assert line["resolutions_angstrom"]["truth"] < 4
    assert line["poses"]["hand"] == "undetermined"
    assert line["poses"]["starts"][0]["above_sphere"] > 1
    written = read_particles(tmp_path / "out" / "particles.star")
    assert len(written) == 500
    assert set(np.asarray(written.half_set).tolist()) == {1, 2}
    modes = PosePosterior.load(tmp_path / "out" / "poses.npz")
    best = modes.best().astype(np.float64).rotations
    assert angle_between(best, written.rotations).max() < 0.01
    assert not list((tmp_path / "out").glob("checkpoint*"))
    volume, _ = read_volume(tmp_path / "out" / "mean.mrc")
    assert volume.shape == (SIZE,) * 3


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--starts", "3"], "--starts: expected --poses unknown beside it"),
        (["--poses", "unknown", "--no-halves"], "--no-halves: expected half sets"),
        (["--poses", "unknown", "--support", "auto"], "--support: expected a radius in Angstrom"),
        (["--poses", "unknown", "--mask", "m.mrc"], "--mask: expected none with --poses unknown"),
    ],
)
def test_options_that_do_not_go_together_are_refused(tmp_path, capsys, words, message):
    assert message in fail(capsys, "reconstruct", "absent.star", "-o", tmp_path / "out", *words)


def test_what_is_written_of_starts_is_json(found):
    inferred, _, _ = found
    assert len(lines_of(inferred)) == 3
    numbers = numbers_of(inferred)
    assert json.dumps(numbers["rounds"])
