"""``fslice simulate``: what is written is what the library makes, and nothing on failure."""

import json

import numpy as np
import pytest
from cli_tools import fail, names, result, succeed
from mrcfile import validate

from fslice.geometry import matrix_to_euler
from fslice.io import open_stack, read_particles, read_star, read_volume, write_volume
from fslice.simulation.models import resample_map
from fslice.simulation.particles import simulate
from fslice.simulation.phantoms import phantom

FILES = ["particles.mrcs", "particles.star", "simulation.json", "truth.mrc"]
SIZE = 24
SMALL = ["--size", "24", "--pixel-size", "4", "-n", "30"]

ATOM = "ATOM  {:5d}  CA  GLY A{:4d}    {:8.3f}{:8.3f}{:8.3f}  1.00 20.00           C\n"


def atoms(path, *positions):
    """Write a PDB file of carbon atoms."""
    path.write_text("".join(ATOM.format(i, i, *xyz) for i, xyz in enumerate(positions, 1)))
    return path


def test_files_hold_what_the_library_simulates(tmp_path, capsys):
    words = ["--snr", "0.2", "--shift-std", "1.5", "--ctf", "--seed", "3"]
    succeed(capsys, "simulate", "phantom", "-o", tmp_path / "run", *SMALL, *words)
    options = {"snr": 0.2, "shift_std": 1.5, "ctf": (10_000.0, 25_000.0), "seed": 3}
    expected = simulate(phantom(SIZE, 4.0), 30, SIZE, 4.0, **options)
    assert names(tmp_path / "run") == FILES
    particles = read_particles(tmp_path / "run" / "particles.star")
    np.testing.assert_array_equal(particles.images[:], expected.images())
    np.testing.assert_allclose(particles.rotations, expected.rotations, atol=1e-10)
    np.testing.assert_allclose(particles.shifts, expected.shifts, atol=1e-10)
    np.testing.assert_allclose(particles.ctf.defocus_u, expected.ctf.defocus_u)
    truth, pixel_size = read_volume(tmp_path / "run" / "truth.mrc")
    np.testing.assert_array_equal(truth, expected.truth)
    assert pixel_size == particles.pixel_size == 4
    record = json.loads((tmp_path / "run" / "simulation.json").read_text())
    assert record["noise_variance"] == pytest.approx(expected.noise_variance)
    assert record["signal_variance"] == pytest.approx(expected.signal_variance)
    assert record["snr"] == pytest.approx(0.2)
    assert record["arguments"]["shift_std"] == 1.5
    assert record["versions"]["numpy"] == np.__version__
    assert set(record["seconds"]) == {"preparing", "writing"}


def test_files_are_those_of_the_field(tmp_path, capsys):
    succeed(capsys, "simulate", "phantom", "-o", tmp_path, *SMALL, "--snr", "1")
    assert validate(str(tmp_path / "particles.mrcs"))
    assert validate(str(tmp_path / "truth.mrc"))
    tables = read_star(tmp_path / "particles.star")
    assert tables["optics"]["rlnImageSize"] == ["24"]
    assert tables["particles"]["rlnImageName"][:2] == [
        "000001@particles.mrcs",
        "000002@particles.mrcs",
    ]


def test_the_same_seed_gives_the_same_images(tmp_path, capsys):
    for name, seed in (("a", 5), ("b", 5), ("c", 6)):
        words = "-o", tmp_path / name, *SMALL, "--snr", "1", "--seed", seed
        succeed(capsys, "simulate", "phantom", *words)
    a, b, c = ((tmp_path / name / "particles.mrcs").read_bytes() for name in "abc")
    assert a == b
    assert a != c


def test_the_last_line_is_json_on_request(tmp_path, capsys):
    line = result(capsys, "simulate", "phantom", "-o", tmp_path, *SMALL, "--snr", "0.5")
    assert line["snr"] == pytest.approx(0.5)
    assert (line["images"], line["size"], line["pixel_size"]) == (30, SIZE, 4)
    assert line["output"] == str(tmp_path)


def test_without_noise_images_are_clean(tmp_path, capsys):
    words = "-o", tmp_path, *SMALL, "--noise-variance", "0"
    line = result(capsys, "simulate", "phantom", *words)
    expected = simulate(phantom(SIZE, 4.0), 30, SIZE, 4.0).images()
    np.testing.assert_array_equal(open_stack(tmp_path / "particles.mrcs")[:], expected)
    assert line["snr"] is None


def test_a_cone_of_30_degrees_holds_tilts_of_up_to_15(tmp_path, capsys):
    words = "-o", tmp_path, *SMALL, "--snr", "1", "--cone", "30"
    succeed(capsys, "simulate", "phantom", *words)
    rotations = read_particles(tmp_path / "particles.star").rotations
    tilts = matrix_to_euler(rotations)[:, 1]
    assert 10 < np.abs(tilts).max() <= 15 + 1e-9


def test_a_range_of_defocus_implies_ctfs(tmp_path, capsys):
    words = "-o", tmp_path, *SMALL, "--snr", "1", "--defocus", "8000", "9000"
    succeed(capsys, "simulate", "phantom", *words)
    ctf = read_particles(tmp_path / "particles.star").ctf
    mean = (ctf.defocus_u + ctf.defocus_v) / 2
    assert mean.min() >= 8000
    assert mean.max() <= 9000


@pytest.mark.parametrize("name", ["map.mrc", "map.map", "map.mrc.gz"])
def test_a_map_gives_box_and_pixel_size_unless_others_are_asked_for(name, tmp_path, capsys):
    import gzip

    model = phantom(SIZE, 4.0).volume(SIZE, 4.0, dtype=np.float32)
    write_volume(tmp_path / "plain.mrc", model, 4.0)
    content = (tmp_path / "plain.mrc").read_bytes()
    (tmp_path / name).write_bytes(gzip.compress(content) if name.endswith(".gz") else content)
    words = "simulate", tmp_path / name, "-o", tmp_path / "run", "-n", 4, "--noise-variance", 0
    line = result(capsys, *words)
    assert (line["size"], line["pixel_size"]) == (SIZE, 4)
    line = result(capsys, *words, "--size", 30, "--pixel-size", 3)
    assert (line["size"], line["pixel_size"]) == (30, 3)
    truth, _ = read_volume(tmp_path / "run" / "truth.mrc")
    expected = resample_map(model, 4.0, 30, 3.0)
    assert np.corrcoef(truth.ravel(), expected.ravel())[0, 1] > 0.999


def test_a_map_without_pixel_size_needs_one(data, tmp_path, capsys):
    path = data / "maps" / "clean70SRibosome_vol_65p.mrc"
    words = "simulate", path, "-o", tmp_path / "run", "-n", 2, "--noise-variance", 0
    assert "got none; give --map-pixel-size" in fail(capsys, *words)
    line = result(capsys, *words, "--map-pixel-size", 5)
    assert (line["size"], line["pixel_size"]) == (65, 5)
    groel = data / "maps" / "emd_1080_groel_11.5A.mrc"
    words = "simulate", groel, *words[2:], "--map-pixel-size", 5
    assert "says 2.7 Angstrom, got 5" in fail(capsys, *words)


def test_atoms_are_projected_about_their_centroid(tmp_path, capsys):
    model = atoms(tmp_path / "two.pdb", (100, 0, 0), (100, 0, 12))
    words = "-o", tmp_path / "run", *SMALL, "--noise-variance", "0"
    succeed(capsys, "simulate", model, *words, "--scattering", "atomic-number")
    truth, _ = read_volume(tmp_path / "run" / "truth.mrc")
    assert truth.sum() == pytest.approx(12, rel=1e-3)  # electrons of two carbons
    succeed(capsys, "simulate", model, *words)
    truth, _ = read_volume(tmp_path / "run" / "truth.mrc")
    assert truth.sum() == pytest.approx(2 * 2.5088, rel=1e-3)  # Angstrom scattered forward
    profile = truth.sum((1, 2))
    np.testing.assert_allclose(profile[1:], profile[:0:-1], atol=1e-3)
    assert profile.argmax() in (SIZE // 2 - 2, SIZE // 2 - 1, SIZE // 2 + 1, SIZE // 2 + 2)


def test_models_and_assemblies_of_atoms_are_projected_where_they_are_asked_for(tmp_path, capsys):
    path = atoms(tmp_path / "two.pdb", (-6, 0, 0))
    path.write_text(path.read_text() + "ENDMDL\n" + path.read_text().replace("-6.000", " 6.000"))
    words = "-o", tmp_path / "run", *SMALL, "--noise-variance", "0", "--scattering", "atomic-number"
    for options, electrons in (((), 6), (("--models", "all"), 12)):
        succeed(capsys, "simulate", path, *words, *options)
        truth, _ = read_volume(tmp_path / "run" / "truth.mrc")
        assert truth.sum() == pytest.approx(electrons, rel=1e-3)
    message = "assembly: expected one of none"
    assert message in fail(capsys, "simulate", path, *words, "--assembly", "1")
    assert "--models: expected atoms" in fail(capsys, "simulate", "phantom", *words, *options)


def test_only_atoms_have_form_factors(tmp_path, capsys):
    words = "-o", tmp_path / "run", *SMALL, "--snr", 1, "--scattering", "electron"
    assert "--scattering: expected atoms, got phantom" in fail(
        capsys, "simulate", "phantom", *words
    )


def test_a_failure_leaves_earlier_files_as_they_were(tmp_path, capsys):
    words = "simulate", "phantom", "-o", tmp_path, *SMALL
    succeed(capsys, *words, "--snr", "1")
    before = {name: (tmp_path / name).read_bytes() for name in FILES}
    assert "size: expected" in fail(capsys, *words, "--snr", "1", "--size", "5")
    assert names(tmp_path) == FILES
    assert before == {name: (tmp_path / name).read_bytes() for name in FILES}
    succeed(capsys, *words, "--snr", "2")
    assert before["particles.mrcs"] != (tmp_path / "particles.mrcs").read_bytes()
