"""Poses and structure together: rounds, frames, symmetry, and failure as an answer."""

import json
from dataclasses import replace

import numpy as np
import pytest
from cli_tools import fail, result
from hypothesis import given, settings
from hypothesis import strategies as st

import fslice
from fslice import Dataset, Poses
from fslice.alignment import joint
from fslice.alignment.axes import find_axes
from fslice.alignment.band import Band
from fslice.alignment.equations import expected_equations
from fslice.alignment.find import poses_as_posterior
from fslice.alignment.frames import NoStructureError, moved_poses
from fslice.alignment.joint import Joint, infer_poses
from fslice.alignment.rounds import Rounds, grown
from fslice.alignment.search import PoseSearch
from fslice.alignment.starts import GridEM, Level
from fslice.cli import _unknown_poses, main
from fslice.cli._unknown_poses import lines_of, numbers_of
from fslice.geometry import angle_between
from fslice.io import read_particles, read_volume
from fslice.metrics import align_maps, fsc, resolution
from fslice.posterior.sums import normal_equations
from fslice.simulation import GaussianModel
from fslice.symmetry import rotate_volume, symmetrize, symmetry_rotations

SIZE = 24
FAST = Joint(
    starts=1,
    radius=9.0,
    grid_em=GridEM((Level(3, 300, 150, 15), Level(4, 1000, 200, 10)), shift_std=0.7),
    rounds=Rounds(most=5, searched=3, search=PoseSearch(rotations=4000, candidates=8)),
)


def blobs(seed=0, symmetry="C1"):
    """Return the model of an object without other symmetry, well inside its box."""
    rng = np.random.default_rng(seed)
    group = symmetry_rotations(symmetry)
    centres = (group @ (5.5 * rng.uniform(-1, 1, (8, 3))).T).swapaxes(1, 2).reshape(-1, 3)
    weights = np.tile(rng.uniform(0.5, 1.5, 8), len(group))
    return GaussianModel(centres, weights, np.full(len(centres), 0.8))


def simulated(count=500, symmetry="C1", seed=0, **options):
    """Return images of blobs in poses that the data set does not tell, and the true map."""
    options = {"snr": 1.0, "shift_std": 0.5, "seed": seed} | options
    data = fslice.simulate(blobs(seed, symmetry), count, SIZE, 1.0, **options)
    images = data.images().astype(np.float32)
    return Dataset(images, Poses(np.tile(np.eye(3), (count, 1, 1)))), data


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


def test_half_maps_come_from_their_own_images_only(found):
    inferred, _dataset, _ = found
    labels = np.asarray(inferred.dataset.half_sets)
    assert set(labels.tolist()) == {1, 2}
    # nothing is shared beyond the band of the first map: their agreement is not above the truth's
    assert len(inferred.half_maps) == 2
    assert not np.allclose(*inferred.half_maps)


def test_rounds_report_what_they_reached(found):
    inferred, _, _ = found
    radii = [entry["radius"] for entry in inferred.trace]
    assert radii == sorted(radii)
    for before, after in zip(inferred.trace, inferred.trace[1:], strict=False):
        if before["radius"] == after["radius"]:  # a round that lowers the bound is undone
            assert after["bound"] >= before["bound"]


def test_an_interrupted_run_goes_on_to_the_same_end(tmp_path, monkeypatch, found):
    inferred, dataset, _ = found
    options, rounds = replace(FAST, checkpoint=tmp_path / "c.npz"), []

    def interrupted(*arguments):
        rounds.append(1)
        if len(rounds) == 2:
            raise KeyboardInterrupt
        return whole(*arguments)

    whole = joint.next_round
    with monkeypatch.context() as patch:
        patch.setattr(joint, "next_round", interrupted)
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


def test_reconstruct_takes_images_without_poses(found):
    _, dataset, _ = found
    posterior = fslice.reconstruct(np.asarray(dataset.images), poses="unknown", joint=FAST)
    assert posterior.joint.chosen == 0
    assert posterior.half_maps is not None
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
    assert not list((tmp_path / "out").glob("checkpoint*"))
    volume, _ = read_volume(tmp_path / "out" / "mean.mrc")
    assert volume.shape == (SIZE,) * 3


def test_the_command_ends_in_one_line_where_there_is_only_noise(tmp_path, capsys, fast):
    run = tmp_path / "run"
    result(
        capsys, "simulate", "phantom", "-o", run, "-n", 200, "--size", SIZE, "--pixel-size", 5,
        "--snr", 1e-6, "--json",
    )  # fmt: skip
    out = tmp_path / "out"
    words = "reconstruct", run / "particles.star", "-o", out, "--poses", "unknown"
    assert main([str(word) for word in words]) == 2
    printed = capsys.readouterr()
    assert printed.out == ""
    error = printed.err.splitlines(keepends=True)[-1]  # on a slow machine after lines of progress
    assert error.startswith("error: ")
    assert "no structure" in error
    assert "no_structure.mrc" in error
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["no_structure.mrc"]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--starts", "3"], "--starts: expected --poses unknown beside it"),
        (["--poses", "unknown", "--no-halves"], "--no-halves: expected half sets"),
        (["--poses", "unknown", "--support", "auto"], "--support: expected a radius in Angstrom"),
    ],
)
def test_options_that_do_not_go_together_are_refused(tmp_path, capsys, words, message):
    assert message in fail(capsys, "reconstruct", "absent.star", "-o", tmp_path / "out", *words)


def test_what_is_written_of_starts_is_json(found):
    inferred, _, _ = found
    assert len(lines_of(inferred)) == 3
    numbers = numbers_of(inferred)
    assert json.dumps(numbers["rounds"])
