"""``fslice info``: what is installed, and what a file holds."""

import dataclasses
import json

import numpy as np
import pytest
from cli_tools import fail, result, succeed
from cs_files import make_rows, save, write_project

from fslice._threads import available_cpus
from fslice.cli import main
from fslice.geometry import random_rotations
from fslice.io import Particles, StackWriter, read_particles, write_particles, write_volume
from fslice.operators.aberrations import Aberrations
from fslice.operators.ctf import CTF


@pytest.fixture
def particles(tmp_path, rng):
    """Write six particles with their images; return the path of the STAR file."""
    path = tmp_path / "particles.star"
    with StackWriter(tmp_path / "particles.mrcs", 6, 8, 1.5) as writer:
        writer.write(rng.normal(size=(6, 8, 8)))
    ctf = CTF(
        defocus_u=np.linspace(10_000, 20_000, 6),
        defocus_v=np.linspace(10_000, 20_000, 6),
        astigmatism_angle=0.0,
        voltage=300.0,
        spherical_aberration=2.7,
        amplitude_contrast=0.1,
        pixel_size=1.5,
    )
    content = Particles(
        rotations=random_rotations(6, rng),
        shifts=np.full((6, 2), 2.0),
        ctf=ctf,
        pixel_size=1.5,
        half_set=np.array([1, 1, 2, 1, 2, 1]),
    )
    write_particles(path, content, "particles.mrcs")
    return path


def test_without_a_file_versions_and_processors_are_printed(capsys):
    facts = result(capsys, "info")
    assert facts["numpy"] == np.__version__
    assert facts["kernels"] in ("numba", "numpy")
    assert facts["processors"] == available_cpus()
    assert facts["gpu"]


@pytest.mark.parametrize("number", [0, 1])
def test_the_particles_of_a_class_are_described_also_of_class_0(particles, capsys, number):
    columns = {"rlnClassNumber": np.array([0, 1, 0, 0, 1, 0])}
    path = particles.with_name("classes.star")
    write_particles(path, read_particles(particles), "particles.mrcs", columns=columns)
    facts = result(capsys, "info", path, "--class", number)
    assert facts["particles"] == [4, 2][number]


@pytest.mark.parametrize("option", [["--strict"], ["--class", 0], ["--assembly", 1]])
def test_an_option_of_a_file_needs_one(capsys, option):
    assert fail(capsys, "info", *option) == f"error: {option[0]}: expected FILE beside it\n"


def test_particles_are_described(particles, capsys):
    facts = result(capsys, "info", particles)
    assert facts["particles"] == 6
    assert facts["box_pixels"] == 8
    assert facts["pixel_size_angstrom"] == 1.5
    assert facts["poses"] == facts["ctf"] == facts["images"] == "yes"
    assert facts["shifts_rms_pixels"] == pytest.approx(2)
    assert facts["defocus_angstrom"] == pytest.approx([10_000, 20_000])
    assert facts["voltage_kilovolt"] == 300
    assert (facts["half_1"], facts["half_2"]) == (4, 2)
    assert facts["optics_groups"] == 1
    assert "pixel size angstrom              1.5\n" in succeed(capsys, "info", particles)


def test_what_particles_lack_is_said_with_the_reason(particles, capsys):
    text = particles.read_text().replace("_rlnAngleTilt", "_rlnAngleTiltPrior")
    particles.write_text(text)
    particles.with_suffix(".mrcs").unlink()
    facts = result(capsys, "info", particles)
    assert facts["poses"].startswith("none: expected the pose columns")
    assert "'particles.mrcs' was not found" in facts["images"]


def test_particles_without_a_pixel_size_are_described_all_the_same(particles, capsys):
    particles.write_text(particles.read_text().replace("_rlnImagePixelSize", "_rlnSomething"))
    facts = result(capsys, "info", particles)
    assert facts["pixel_size_angstrom"] is None
    assert facts["particles"] == 6
    assert facts["poses"] == facts["ctf"] == facts["images"] == "yes"
    assert facts["problems"][0].startswith("expected a pixel size (rlnImagePixelSize, or ")
    assert len(facts["problems"]) == 1
    facts = result(capsys, "info", particles, "--pixel-size", 2)
    assert (facts["pixel_size_angstrom"], facts["problems"]) == (2, [])


def test_with_strict_what_is_missing_or_suspicious_ends_with_status_2(particles, capsys):
    succeed(capsys, "info", particles, "--strict")
    particles.write_text(particles.read_text().replace("_rlnDefocusU", "_rlnSomething"))
    facts = result(capsys, "info", particles)
    assert facts["problems"] == ["no CTF: there is no defocus"]
    assert "! no CTF: there is no defocus\n" in succeed(capsys, "info", particles)
    assert main(["info", str(particles), "--strict", "--json"]) == 2
    printed = capsys.readouterr()
    assert json.loads(printed.out.splitlines()[-1])["problems"] == facts["problems"]
    assert printed.err == (
        f"error: {particles}: expected nothing missing or suspicious (--strict), got 1: no CTF: "
        f"there is no defocus\n"
    )


def test_a_file_that_is_not_of_particles_is_listed_by_its_tables(tmp_path, capsys):
    path = tmp_path / "model.star"
    path.write_text("data_a\n_x 1\n_y 2\n\ndata_b\nloop_\n_z\n1\n2\n")
    facts = result(capsys, "info", path)
    assert facts["data_a"] == "1 rows of 2 columns"
    assert facts["data_b"] == "2 rows of 1 columns"
    assert facts["problems"] == ["expected one table with the column rlnImageName, got none"]
    path.write_text("data_a\nloop_\n_x\n_y\n1 2 3\n")
    (problem,) = result(capsys, "info", path)["problems"]
    assert problem.endswith("the loop of _x in data_a: expected 2 values in row 1, got 3")


def test_a_table_of_cryosparc_is_listed_by_its_fields(tmp_path, capsys):
    path = save(tmp_path / "a.cs", make_rows(**{"blob/path": None}))
    facts = result(capsys, "info", path)
    assert facts["rows"] == 3
    assert facts["fields"].startswith("uid, blob/idx, blob/shape, ")
    assert facts["problems"] == ["expected the field blob/path, which is missing"]


def test_a_cryosparc_file_and_its_options_are_described(tmp_path, capsys):
    write_project(tmp_path)
    rows = make_rows(**{"blob/sign": np.full(3, -1, "f4"), "blob/psize_A": None})
    save(tmp_path / "J2" / "J2_particles.cs", rows)
    facts = result(capsys, "info", tmp_path / "J2", "--pixel-size", 1.5, "--optics-group", 1)
    assert (facts["particles"], facts["pixel_size_angstrom"], facts["stacks"]) == (2, 1.5, 1)
    assert facts["problems"] == [
        "alignments3D/split (+ 1): all particles are in half 1, so it is not used",
        "blob/sign: 2 of 2 images are multiplied by -1",
    ]
    assert facts["read"] == f"read from the folder {tmp_path / 'J2'}: J2_particles.cs"
    facts = result(capsys, "info", tmp_path / "J2", "--datadir", tmp_path / "J2")
    assert "not in" in facts["images"]


def test_flags_and_aberrations_are_described(particles, capsys):
    aberrations = Aberrations(
        odd=np.ones((1, 3)), even=np.zeros((1, 0)), group=np.zeros(6, int), pixel_size=1.5
    )
    content = dataclasses.replace(
        read_particles(particles), phase_flipped=True, aberrations=aberrations
    )
    write_particles(particles, content, "particles.mrcs")
    facts = result(capsys, "info", particles)
    assert (facts["images_are"], facts["aberrations"]) == ("phase-flipped", "yes")


def test_a_map_that_cannot_be_read_is_described_by_its_header(tmp_path, capsys):
    volume = np.ones((4, 4, 4), np.float32)
    write_volume(tmp_path / "a.mrc", volume, 2.0)
    assert result(capsys, "info", tmp_path / "a.mrc")["problems"] == ["all values are 1"]
    content = bytearray((tmp_path / "a.mrc").read_bytes())
    content[1024:1028] = np.float32(np.nan).tobytes()
    (tmp_path / "a").write_bytes(content)  # told by its content
    facts = result(capsys, "info", tmp_path / "a")
    assert facts["sections"] == 4
    assert facts["problems"] == ["1 of 64 values are NaN or infinite, the first at index (0, 0, 0)"]


def test_maps_and_stacks_are_described(particles, tmp_path, capsys):
    write_volume(tmp_path / "map.mrc", np.arange(64.0).reshape(4, 4, 4), 2.0)
    facts = result(capsys, "info", tmp_path / "map.mrc")
    assert (facts["sections"], facts["rows"], facts["columns"]) == (4, 4, 4)
    assert facts["pixel_size_angstrom"] == 2
    assert facts["extremes"] == [0, 63]
    assert facts["mean"] == 31.5
    facts = result(capsys, "info", particles.with_suffix(".mrcs"))
    assert (facts["sections"], facts["rows"], facts["columns"]) == (6, 8, 8)
    assert "mean" not in facts  # a stack may be larger than memory


def test_atoms_are_described(tmp_path, capsys):
    path = tmp_path / "two.pdb"
    line = "ATOM  {:5d}  CA  GLY A{:4d}    {:8.3f}   0.000   0.000  1.00 20.00           C\n"
    path.write_text(line.format(1, 1, 0.0) + line.format(2, 2, 6.0))
    facts = result(capsys, "info", path)
    assert facts["atoms"] == 2
    assert facts["electrons"] == 12
    assert facts["radius_angstrom"] == pytest.approx(3)
    assert facts["problems"] == []
    path.write_text(path.read_text() + "ENDMDL\n" + path.read_text().replace("CA  GLY", "O   HOH"))
    facts = result(capsys, "info", path)
    assert (facts["atoms"], facts["left_out_other_models"]) == (2, 2)
    assert facts["problems"][0].startswith("model 1 of 2 is read, the others are left out")
    facts = result(capsys, "info", path, "--models", "all")
    assert (facts["atoms"], facts["left_out_waters"]) == (2, 2)
    assert "--models: expected atoms" in fail(capsys, "info", path.parent, "--models", "all")


def test_an_unknown_pixel_size_is_null(data, capsys):
    path = data / "maps" / "clean70SRibosome_vol_65p.mrc"
    assert result(capsys, "info", path)["pixel_size_angstrom"] is None
    assert "pixel size angstrom  unknown" in succeed(capsys, "info", path)


def test_files_of_other_kinds_are_refused(tmp_path, capsys):
    (tmp_path / "a.txt").write_text("text")
    assert "expected a file ending in .star, .cs" in fail(capsys, "info", tmp_path / "a.txt")
    assert "No such file" in fail(capsys, "info", tmp_path / "absent.txt")
    assert "No such file" in fail(capsys, "info", tmp_path / "absent.star")
    assert "No such file" in fail(capsys, "info", tmp_path / "a.mrc")
    message = "--pixel-size: expected particles"
    assert message in fail(capsys, "info", tmp_path / "a.mrc", "--pixel-size", 2)
