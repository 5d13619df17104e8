"""``fslice poses`` with defocus, contrast and directions free: what it writes and says."""

import json
import warnings
from argparse import Namespace
from dataclasses import replace

import numpy as np
import pytest
from cli_tools import fail, succeed

import fslice
from fslice import CTF, Poses, Projector
from fslice.alignment.posterior import PosePosterior
from fslice.cli._messages import Messages
from fslice.cli._pose_priors import check_priors
from fslice.io import Particles, StackWriter, read_particles, write_volume
from fslice.io.relion_write import write_particles

SIZE, PIXEL, COUNT = 32, 2.0, 60


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """Return a folder with a map, particles whose file has a wrong defocus, and the truth."""
    folder, rng = tmp_path_factory.mktemp("priors"), np.random.default_rng(3)
    model = fslice.simulation.GaussianModel(
        14 * rng.uniform(-1, 1, (60, 3)), rng.uniform(0.5, 1.5, 60), np.full(60, 12.0)
    )
    volume = model.volume(SIZE, PIXEL)
    volume /= volume.std()
    rotations = fslice.geometry.rotations_in_cone(COUNT, 40, rng)
    shifts, defocus = rng.normal(size=(COUNT, 2)), rng.uniform(6000, 12000, COUNT)
    offset, contrast = 300 * rng.normal(size=COUNT), 1 + 0.2 * rng.normal(size=COUNT)
    common = {"astigmatism_angle": 20, "voltage": 300, "spherical_aberration": 2.7,
              "amplitude_contrast": 0.1, "pixel_size": PIXEL}  # fmt: skip
    ctf = CTF(defocus_u=defocus, defocus_v=defocus - 300, **common)
    true = CTF(defocus_u=defocus + offset, defocus_v=defocus - 300 + offset, **common)
    images = Projector(SIZE, 2, "cubic").project(volume, rotations, shifts, true)
    images *= contrast[:, None, None]
    images += 0.5 * images.std() * rng.normal(size=images.shape)
    with StackWriter(folder / "particles.mrcs", COUNT, SIZE, PIXEL) as writer:
        writer.write(images.astype(np.float32))
    particles = Particles(rotations=rotations, shifts=shifts, ctf=ctf, pixel_size=PIXEL)
    write_particles(folder / "particles.star", particles, "particles.mrcs")
    write_volume(folder / "map.mrc", (5 * volume).astype(np.float32), PIXEL)
    return folder, Poses(rotations, shifts), offset, contrast


def test_defocus_and_contrast_are_refined_and_written(run, tmp_path, capsys):
    folder, _, offset, contrast = run
    words = "poses", folder / "particles.star", "--volume", folder / "map.mrc", "-o", tmp_path
    words = (*words, "--local", "--shift-std", 1, "--refine-defocus", 300, "--contrast", 0.2)
    printed = succeed(capsys, *words, "--prior-directions", "learned")
    for word in ("defocus  ", "contrast  ", "times as bright", "times as many as evenly"):
        assert word in printed
    posterior = PosePosterior.load(tmp_path / "posterior.npz")
    assert posterior.columns == ("wx", "wy", "wz", "tx", "ty", "defocus", "contrast")
    assert posterior.covariance.shape[1:] == (7, 7)
    best = posterior.best_modes()
    before, after = (read_particles(path / "particles.star").ctf for path in (folder, tmp_path))
    for name in ("defocus_u", "defocus_v"):
        change = getattr(after, name) - getattr(before, name)
        assert np.allclose(change, posterior.defocus[best], atol=1e-6)
    assert np.allclose(after.scale, posterior.contrast[best])
    assert np.corrcoef(posterior.defocus[best], offset)[0, 1] > 0.5
    assert np.corrcoef(posterior.contrast[best], contrast)[0, 1] > 0.9
    results = json.loads((tmp_path / "result.json").read_text())
    assert results["map_scale"] == pytest.approx(0.2, rel=0.1)
    assert 10 < results["defocus"]["predicted_error"] < 300
    assert results["direction_density"]["most"] > 2
    with np.load(tmp_path / "posterior.npz") as archive:
        assert archive["direction_weights"].sum() == pytest.approx(1)


def test_noise_is_no_map_of_any_contrast(run, tmp_path, capsys, rng):
    folder = run[0]
    with StackWriter(tmp_path / "particles.mrcs", COUNT, SIZE, PIXEL) as writer:
        writer.write(rng.normal(size=(COUNT, SIZE, SIZE)).astype(np.float32))
    (tmp_path / "particles.star").write_text((folder / "particles.star").read_text())
    line = fail(
        capsys, "poses", tmp_path / "particles.star", "--volume", folder / "map.mrc",
        "-o", tmp_path / "out", "--local", "--shift-std", 1, "--contrast", 0.2,
    )  # fmt: skip
    assert "the images do not show the map" in line


def test_defocus_without_a_ctf_is_one_line(run, tmp_path, capsys):
    folder, poses, *_ = run
    particles = Particles(rotations=poses.rotations, shifts=poses.shifts, pixel_size=PIXEL)
    (tmp_path / "particles.mrcs").symlink_to(folder / "particles.mrcs")
    write_particles(tmp_path / "particles.star", particles, "particles.mrcs")
    line = fail(
        capsys, "poses", tmp_path / "particles.star", "--volume", folder / "map.mrc",
        "-o", tmp_path / "out", "--local", "--refine-defocus", 300,
    )  # fmt: skip
    assert "--refine-defocus: expected a CTF, got none in " in line


def test_a_contrast_that_could_be_negative_is_one_line(run, tmp_path, capsys):
    folder = run[0]
    line = fail(
        capsys, "poses", folder / "particles.star", "--volume", folder / "map.mrc",
        "-o", tmp_path / "out", "--contrast", 0.7,
    )  # fmt: skip
    assert "--contrast: expected at most 0.5, as a contrast is positive, got 0.7" in line


@pytest.mark.parametrize(
    ("state", "words", "what"),
    [
        ("phase_flipped", {"refine_defocus": 300.0}, "--refine-defocus: the defocus"),
        ("premultiplied", {"refine_defocus": 300.0}, "--refine-defocus: the defocus"),
        ("premultiplied", {"contrast": 0.2}, "--contrast: the scale of the CTF"),
        ("phase_flipped", {"contrast": 0.2}, None),
    ],
)
def test_a_ctf_by_which_images_were_not_corrected_is_named(run, state, words, what):
    """Read again, such images would be divided by, or flipped as by, another CTF than they were."""
    folder, *_ = run
    particles = replace(read_particles(folder / "particles.star"), **{state: True})
    arguments = Namespace(**({"refine_defocus": None, "contrast": None} | words))
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        check_priors(arguments, particles, Messages())
    assert [str(each.message).split(" in part")[0] for each in caught] == ([what] if what else [])
