"""``fslice poses``: what it writes, what it says, and how it fails."""

import json

import numpy as np
import pytest
from cli_tools import fail, names, result, succeed
from cs_files import save
from pose_files import simulated_run

from fslice.alignment.posterior import PosePosterior
from fslice.cli._messages import Messages
from fslice.cli._star import write_star
from fslice.geometry import angle_between
from fslice.io import Particles, StackWriter, read_particles, read_volume, write_volume

FILES = ["particles.star", "poses.png", "posterior.npz", "result.json"]


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """Return a folder with a map, and images of it with CTF and shifts."""
    folder, atoms = tmp_path_factory.mktemp("poses"), (30, 28.0, 40.0)
    return simulated_run(folder, 60, 32, 4.0, atoms=atoms, snr=1, shift_std=1)


def test_poses_are_found_and_written(run, tmp_path, capsys):
    pytest.importorskip("matplotlib", reason="Matplotlib is not installed")
    words = "poses", run / "particles.star", "--volume", run / "truth.mrc", "-o", tmp_path / "out"
    printed = succeed(capsys, *words, "--check", 5)
    assert "images" in printed
    assert "nats from the exact posterior" in printed
    assert names(tmp_path / "out") == FILES
    truth = read_particles(run / "particles.star")
    found = read_particles(tmp_path / "out" / "particles.star")
    angles = angle_between(found.rotations, truth.rotations)
    assert np.median(angles) < 4
    assert np.median(np.hypot(*(found.shifts - truth.shifts).T)) < 0.6
    assert np.array_equal(np.asarray(found.images), np.asarray(truth.images))
    posterior = PosePosterior.load(tmp_path / "out" / "posterior.npz")
    assert np.allclose(posterior.best().rotations, found.rotations, atol=1e-6)
    star = (tmp_path / "out" / "particles.star").read_text()
    for column in ("MaxValueProbDistribution", "LogLikeliContribution", "NrOfSignificantSamples"):
        assert f"_rln{column}" in star
    results = json.loads((tmp_path / "out" / "result.json").read_text())
    assert results["images"] == 60
    assert results["has_signal"]
    assert results["check"]["images"] == 5
    assert 0.3 < np.median(angles) / results["predicted_error_degrees"] < 1.6
    assert results["share_with_particle"] > 0.9


def test_poses_of_images_that_no_star_file_can_name_are_not_lost(run, tmp_path, capsys):
    """cryoSPARC keeps extracted images with the opposite sign."""
    truth = read_particles(run / "particles.star")[:12]
    with StackWriter(tmp_path / "a.mrc", 12, 32, 4.0) as writer:
        writer.write(-truth.images[:])
    ctf = {"defocus_u": "df1_A", "defocus_v": "df2_A", "voltage": "accel_kv"}
    ctf |= {"spherical_aberration": "cs_mm", "amplitude_contrast": "amp_contrast"}
    fields = {f"ctf/{field}": getattr(truth.ctf, name) for name, field in ctf.items()}
    fields |= {
        "ctf/df_angle_rad": np.deg2rad(truth.ctf.astigmatism_angle),
        "blob/path": np.full(12, b"a.mrc"), "blob/idx": np.arange(12),
        "blob/psize_A": np.full(12, 4.0), "blob/sign": np.full(12, -1.0),
    }  # fmt: skip
    rows = np.zeros(12, [(name, values.dtype) for name, values in fields.items()])
    for name, values in fields.items():
        rows[name] = values
    words = "poses", save(tmp_path / "a.cs", rows), "--volume", run / "truth.mrc"
    succeed(capsys, *words, "-o", tmp_path / "out")
    assert "particles.star" not in names(tmp_path / "out")
    record = json.loads((tmp_path / "out" / "result.json").read_text())
    (line,) = (line for line in record["warnings"] if line.startswith("particles.star is left out"))
    assert line.endswith("their files hold them with the opposite sign")
    found = PosePosterior.load(tmp_path / "out" / "posterior.npz").best()
    assert np.median(angle_between(found.rotations, truth.rotations)) < 4


def test_a_contrast_that_a_star_file_cannot_hold_is_named(tmp_path):
    messages = Messages()
    particles = Particles(
        images=np.zeros((2, 8, 8)), rotations=np.tile(np.eye(3), (2, 1, 1)), pixel_size=1.0,
        contrast=np.array([0.5, 1.5]),
    )  # fmt: skip
    with pytest.warns(UserWarning, match="without a CTF it has no column for the contrast"):
        write_star(tmp_path / "a.star", particles, messages, image_name="a.mrcs")
    assert (tmp_path / "a.star").read_text().count("@a.mrcs") == 2


def test_poses_of_the_file_are_refined(run, tmp_path, capsys):
    words = "poses", run / "particles.star", "--volume", run / "truth.mrc", "-o", tmp_path
    line = result(capsys, *words, "--local", "--shift-std", 1, "--resolution", 9)
    truth = read_particles(run / "particles.star")
    found = read_particles(tmp_path / "particles.star")
    assert (angle_between(found.rotations, truth.rotations) < 10).mean() > 0.9
    assert line["prior_shift_std_pixels"] == 1
    assert line["arguments"]["local"] is True


def test_the_noise_of_shells_is_told_with_that_of_a_pixel(run, tmp_path, capsys):
    words = "poses", run / "particles.star", "--volume", run / "truth.mrc", "-o", tmp_path
    line = result(capsys, *words, "--local", "--noise", "shell")
    noise = json.loads((run / "simulation.json").read_text())["noise_variance"]
    assert line["noise_variance"] == pytest.approx(noise, rel=0.05)
    assert np.allclose(np.array(line["noise_variance_of_shells"])[3:] / noise, 1, atol=0.15)


def test_a_nearly_symmetric_map_is_relaxed(run, tmp_path, capsys):
    words = "poses", run / "particles.star", "--volume", run / "truth.mrc", "-o", tmp_path
    line = result(capsys, *words, "--relax-symmetry", "C2", "--shift-std", 1)
    assert line["has_signal"]
    found = read_particles(tmp_path / "particles.star")
    truth = read_particles(run / "particles.star")
    assert np.isfinite(angle_between(found.rotations, truth.rotations)).all()


@pytest.fixture
def spoilt(run, tmp_path):
    """Return a function that writes other images under the same file of particles."""

    def write(images):
        folder = tmp_path / "spoilt"
        folder.mkdir()
        with StackWriter(folder / "particles.mrcs", len(images), 32, 4.0) as writer:
            writer.write(images.astype(np.float32))
        (folder / "particles.star").write_text((run / "particles.star").read_text())
        return folder / "particles.star"

    return write


@pytest.mark.parametrize("kind", ["noise", "inverted", "equal"])
def test_images_that_do_not_show_the_map_end_in_one_line(run, spoilt, kind, tmp_path, capsys, rng):
    images = np.asarray(read_particles(run / "particles.star").images)
    noise = images.std() * rng.normal(size=images.shape)
    spoilt_images = {"noise": noise, "inverted": -images, "equal": np.tile(noise[:1], (60, 1, 1))}
    star = spoilt(spoilt_images[kind])
    words = "poses", star, "--volume", run / "truth.mrc", "-o", tmp_path / "out"
    line = fail(capsys, *words, "--shift-std", 1)
    assert "the images do not show the map: " in line
    assert ("they show its negative" in line) == (kind == "inverted")
    kept = names(tmp_path / "out")
    assert set(kept) <= {f"no_signal_{name}" for name in FILES}
    assert "no_signal_result.json" in kept
    # a later success leaves none of them
    succeed(capsys, "poses", run / "particles.star", *words[2:], "--shift-std", 1, "--local")
    assert set(names(tmp_path / "out")) <= set(FILES)


def test_what_a_star_file_cannot_hold_costs_no_results(run, tmp_path, capsys):
    """The file says that its images are dark on light; a STAR file cannot."""
    found = read_particles(run / "particles.star")
    with StackWriter(tmp_path / "dark.mrc", 60, 32, 4.0) as writer:
        writer.write(-np.asarray(found.images))
    fields = {
        "uid": np.arange(60, dtype="u8"), "blob/path": np.full(60, b"dark.mrc"),
        "blob/idx": np.arange(60, dtype="u4"), "blob/shape": np.full((60, 2), 32, "u4"),
        "blob/psize_A": np.full(60, 4, "f4"), "blob/sign": np.full(60, -1, "f4"),
        "ctf/accel_kv": found.ctf.voltage, "ctf/cs_mm": found.ctf.spherical_aberration,
        "ctf/amp_contrast": found.ctf.amplitude_contrast, "ctf/df1_A": found.ctf.defocus_u,
        "ctf/df2_A": found.ctf.defocus_v, "ctf/phase_shift_rad": np.zeros(60, "f4"),
        "ctf/df_angle_rad": np.radians(found.ctf.astigmatism_angle),
    }  # fmt: skip
    rows = np.zeros(60, [(name, own.dtype, own.shape[1:]) for name, own in fields.items()])
    for name, own in fields.items():
        rows[name] = own
    path = save(tmp_path / "dark.cs", rows)
    words = "poses", path, "--volume", run / "truth.mrc", "-o", tmp_path / "out"
    line = result(capsys, *words, "--shift-std", 1)
    assert any("particles.star is left out, as it would" in warning for warning in line["warnings"])
    assert names(tmp_path / "out") == [name for name in FILES if name != "particles.star"]
    assert len(PosePosterior.load(tmp_path / "out" / "posterior.npz")) == 60


def test_empty_images_among_others_are_listed(run, spoilt, tmp_path, capsys, rng):
    images = np.asarray(read_particles(run / "particles.star").images).copy()
    images[[7, 30]] = images.std() * rng.normal(size=(2, 32, 32))
    star = spoilt(images)
    line = result(capsys, "poses", star, "--volume", run / "truth.mrc", "-o", tmp_path / "out")
    assert {7, 30} <= set(line["outliers"])
    assert len(line["outliers"]) < 8
    assert 0.85 < line["share_with_particle"] < 0.99


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (
            ("--symmetry", "C2", "--relax-symmetry", "C3"),
            "--relax-symmetry: expected --symmetry C1",
        ),
        (("--resolution", "1"), "--resolution: expected 8.0 to 42.7 Angstrom, got 1"),
        (("--noise", "shell", "--noise-variance", "2"), "--noise-variance: expected auto with"),
        (("--shift-std", "0"), "--shift-std: expected a number above 0, got '0'"),
    ],
)
def test_options_that_contradict_are_one_line(run, words, message, tmp_path, capsys):
    line = fail(
        capsys, "poses", run / "particles.star", "--volume", run / "truth.mrc",
        "-o", tmp_path / "out", *words,
    )  # fmt: skip
    assert message in line
    assert not (tmp_path / "out").exists()


def test_a_map_of_another_box_is_one_line(run, tmp_path, capsys):
    volume, _ = read_volume(run / "truth.mrc")
    write_volume(tmp_path / "small.mrc", volume[4:-4, 4:-4, 4:-4].copy(), 4.0)
    line = fail(
        capsys, "poses", run / "particles.star", "--volume", tmp_path / "small.mrc", "-o", tmp_path
    )
    assert "small.mrc: expected a box of 32 voxels, got 24" in line
