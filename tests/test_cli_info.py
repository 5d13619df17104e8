"""``fslice info``: what is installed, and what a file holds."""

import numpy as np
import pytest
from cli_tools import fail, result, succeed

from fslice._threads import available_cpus
from fslice.geometry import random_rotations
from fslice.io import Particles, StackWriter, write_particles, write_volume
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
    assert facts["device"] == "cpu"


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


def test_a_pixel_size_can_be_given_where_particles_have_none(particles, capsys):
    particles.write_text(particles.read_text().replace("_rlnImagePixelSize", "_rlnSomething"))
    assert "expected a pixel size" in fail(capsys, "info", particles)
    assert result(capsys, "info", particles, "--pixel-size", 2)["pixel_size_angstrom"] == 2


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


def test_an_unknown_pixel_size_is_null(data, capsys):
    path = data / "maps" / "clean70SRibosome_vol_65p.mrc"
    assert result(capsys, "info", path)["pixel_size_angstrom"] is None
    assert "pixel size angstrom  unknown" in succeed(capsys, "info", path)


def test_files_of_other_kinds_are_refused(tmp_path, capsys):
    assert "expected a file ending in .star, .cs" in fail(capsys, "info", tmp_path / "a.txt")
    assert "No such file" in fail(capsys, "info", tmp_path / "a.mrc")
    message = "--pixel-size: expected particles"
    assert message in fail(capsys, "info", tmp_path / "a.mrc", "--pixel-size", 2)
