"""Images that do not determine a map end in one line; what was found has a name that says so."""

from dataclasses import replace

import numpy as np
import pytest
from cli_tools import names
from joint_problem import FAST, SIZE, simulated

from fslice.alignment.band import Band
from fslice.alignment.joint.checkpoint import JointCheckpoint
from fslice.alignment.joint.grid_map import GridMap, rescaled
from fslice.alignment.joint.rounds import JointState
from fslice.alignment.joint.steps import ImageSet
from fslice.cli import _unknown_poses, main
from fslice.io import Particles, StackWriter, write_particles
from fslice.likelihoods.gaussian import GaussianNoise


@pytest.fixture(autouse=True)
def fast(monkeypatch):
    """Let the command line search little."""

    def options(arguments, inputs):
        checkpoint = arguments.output / _unknown_poses.CHECKPOINT
        return replace(FAST, symmetry=arguments.symmetry, checkpoint=checkpoint)

    monkeypatch.setattr(_unknown_poses, "_options", options)


def written(folder, images):
    """Write images, of which nothing is known, as a STAR file and a stack; return the first."""
    with StackWriter(folder / "p.mrcs", len(images), SIZE, 1.0) as stack:
        stack.write(images)
    star = folder / "p.star"
    write_particles(star, Particles(images=images, pixel_size=1.0), "p.mrcs")
    return star


def error_of(capsys, folder, images, *words):
    """Reconstruct them with unknown poses; return the error, and the files that are left."""
    out = folder / "out"
    command = "reconstruct", written(folder, images), "-o", out, "--poses", "unknown", *words
    assert main([str(word) for word in command]) == 2
    printed = capsys.readouterr()
    assert printed.out == ""
    error = printed.err.splitlines(keepends=True)[-1]  # on a slow machine after lines of progress
    assert error.startswith("error: ")
    return error, names(out) if out.exists() else []


def test_pure_noise_shows_no_structure(tmp_path, capsys, rng):
    error, left = error_of(capsys, tmp_path, rng.normal(size=(200, SIZE, SIZE)))
    assert "no structure: the best map explains unseen images by" in error
    assert left == ["no_structure.mrc"]


def test_dark_particles_are_named(tmp_path, capsys):
    dataset, _ = simulated()
    error, left = error_of(capsys, tmp_path, -np.asarray(dataset.images))
    assert "inverted contrast: the object is darker than its surroundings" in error
    assert left == ["inverted_contrast.mrc"]


def test_twenty_images_are_too_few(tmp_path, capsys):
    dataset, _ = simulated(20)
    error, left = error_of(capsys, tmp_path, np.asarray(dataset.images))
    assert "images: expected at least 50 to find poses and structure, got 20" in error
    assert left == []


def test_copies_of_one_image_are_refused(tmp_path, capsys):
    dataset, _ = simulated(1)
    error, left = error_of(capsys, tmp_path, np.repeat(np.asarray(dataset.images), 60, 0))
    assert "images: expected different ones, got 1 among 60" in error
    assert left == []


def test_an_object_of_another_group_is_named(tmp_path, capsys):
    dataset, _ = simulated(symmetry="C3", seed=2)
    error, left = error_of(capsys, tmp_path, np.asarray(dataset.images), "--symmetry", "C4")
    assert "symmetry: expected C4, got a map that correlates with its rotated copies by" in error
    assert left == ["not_symmetric.mrc"]


def test_a_checkpoint_of_other_images_or_settings_is_refused(tmp_path):
    """What tells a run apart is not only the pixels, but all that is known of the images."""
    dataset, data = simulated(60)
    options = replace(FAST, initial=data.truth)
    own = JointCheckpoint(tmp_path / "c.npz", dataset, options)
    half_sets, ctf = np.arange(60) % 2 + 1, np.ones((60, SIZE, SIZE // 2 + 1), "f4")
    band = Band(SIZE, 4, interpolation="linear")
    start = GridMap(rescaled(data.truth, band.box), band, np.ones(7), np.ones(5), 1.0)
    halves = (ImageSet(np.arange(30), start), ImageSet(np.arange(30, 60), start))
    coloured = dataset.with_noise(GaussianNoise(np.ones(SIZE // 2 + 1)))
    own.save(JointState(halves, coloured, 4, np.ones(SIZE // 2 + 1)), ())
    assert own.load(dataset) is not None
    others = [
        (dataset, replace(options, seed=1)),
        (dataset, replace(options, initial=-data.truth)),
        (replace(dataset, ctf=ctf), options),
        (replace(dataset, half_sets=half_sets), options),
        (replace(dataset, contrast=np.full(60, 2.0)), options),
    ]
    for images, settings in others:
        with pytest.raises(ValueError, match="belongs to other images or settings"):
            JointCheckpoint(own.path, images, settings).load(images)
