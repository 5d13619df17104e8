"""Particles as one object: selected consistently, checked, and written as RELION reads them."""

import dataclasses
import re
import sys

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fslice.geometry import euler_to_matrix, random_rotations
from fslice.io import (
    Particles,
    StackWriter,
    open_stack,
    read_particles,
    read_star,
    write_particles,
)
from fslice.operators.aberrations import Aberrations
from fslice.operators.ctf import CTF

CTF_FIELDS = (
    *("defocus_u", "defocus_v", "astigmatism_angle", "voltage", "spherical_aberration"),
    *("amplitude_contrast", "phase_shift", "b_factor", "scale", "pixel_size"),
)


def make_ctf(number, rng, pixel_size=1.37):
    return CTF(
        defocus_u=rng.uniform(1e4, 2e4, number),
        defocus_v=rng.uniform(1e4, 2e4, number),
        astigmatism_angle=rng.uniform(-90, 90, number),
        voltage=rng.choice([200.0, 300.0], number),
        spherical_aberration=rng.choice([2.7, 0.01], number),
        amplitude_contrast=rng.choice([0.07, 0.1], number),
        phase_shift=rng.uniform(0, 180, number),
        b_factor=rng.uniform(0, 100, number),
        scale=rng.uniform(0.5, 1.5, number),
        pixel_size=pixel_size,
    )


def make_particles(number, rng, images=None, **changes):
    fields = {
        "images": rng.normal(size=(number, 8, 8)) if images is None else images,
        "rotations": random_rotations(number, rng),
        "shifts": rng.uniform(-4, 4, (number, 2)),
        "ctf": make_ctf(number, rng),
        "pixel_size": 1.37,
        "half_set": np.arange(number) % 2 + 1,
        "optics_group": np.ones(number, int),
    }
    return Particles(**fields | changes)


@pytest.fixture
def stack(tmp_path, rng):
    path = tmp_path / "images" / "stack.mrcs"
    path.parent.mkdir()
    with StackWriter(path, 9, 8, 1.37) as writer:
        writer.write(rng.normal(size=(9, 8, 8)))
    return open_stack(path)


def assert_same(a, b):
    np.testing.assert_allclose(a.rotations, b.rotations, atol=1e-13)
    np.testing.assert_allclose(a.shifts, b.shifts, rtol=1e-14, atol=1e-14)
    assert a.pixel_size == b.pixel_size
    np.testing.assert_array_equal(a.half_set, b.half_set)
    for name in CTF_FIELDS:
        np.testing.assert_array_equal(getattr(a.ctf, name), getattr(b.ctf, name), err_msg=name)


@given(number=st.integers(1, 9), seed=st.integers(0, 99))
def test_particles_written_are_read_back(tmp_path, number, seed):
    written = make_particles(number, np.random.default_rng(seed))
    with StackWriter(tmp_path / "particles.mrcs", number, 8, 1.37) as writer:
        writer.write(written.images)
    write_particles(tmp_path / "particles.star", written, "particles.mrcs")
    read = read_particles(tmp_path / "particles.star")
    assert_same(read, written)
    np.testing.assert_array_equal(read.images[:], written.images.astype(np.float32))


@pytest.mark.parametrize("kind", ["phase_flipped", "premultiplied"])
def test_what_was_done_to_the_images_and_their_aberrations_are_read_back(tmp_path, rng, kind):
    aberrations = Aberrations(
        odd=rng.normal(size=(3, 6)),
        even=np.array([[0.0] * 4, [1e-3, -1e-17, 0, 2], [0, 0, 0, 1]]),
        group=np.array([2, 0, 1, 2]),
        pixel_size=1.37,
    )
    written = make_particles(4, rng, aberrations=aberrations, **{kind: True})
    write_particles(tmp_path / "a.star", written, "a.mrcs")
    read = read_particles(tmp_path / "a.star", images=False)
    assert_same(read, written)
    assert getattr(read, kind)
    for name in ("odd", "even"):
        found, expected = getattr(read.aberrations, name), getattr(aberrations, name)
        np.testing.assert_array_equal(found[read.aberrations.group], expected[aberrations.group])


def test_images_of_reversed_contrast_need_a_stack_of_their_own(tmp_path, rng, stack):
    reversed_stack = dataclasses.replace(stack, signs=np.full(9, -1.0))
    particles = make_particles(9, rng, images=reversed_stack)
    with pytest.raises(ValueError, match=r"^image_name: expected the name of a stack with the im"):
        write_particles(tmp_path / "a.star", particles)
    write_particles(tmp_path / "a.star", particles, "a.mrcs")


@pytest.mark.parametrize("tilt", [0.0, 180.0, 1e-9, 90.0])
def test_poses_where_euler_angles_are_not_unique_are_read_back(tmp_path, tilt):
    rotations = euler_to_matrix(np.array([[30.0, tilt, 50.0], [0.0, tilt, 0.0]]))
    written = Particles(rotations=rotations, pixel_size=1.0)
    write_particles(tmp_path / "a.star", written, "a.mrcs")
    read = read_particles(tmp_path / "a.star", images=False)
    np.testing.assert_allclose(read.rotations, rotations, atol=1e-13)


def test_a_selection_names_the_images_where_they_are(tmp_path, rng, stack):
    particles = make_particles(9, rng, images=stack)
    (tmp_path / "elsewhere").mkdir()
    for folder in (tmp_path, tmp_path / "images", tmp_path / "elsewhere"):
        write_particles(folder / "some.star", particles[[7, 2, 4]])
        read = read_particles(folder / "some.star")
        assert_same(read, particles[[7, 2, 4]])
        np.testing.assert_array_equal(read.images[:], stack[[7, 2, 4]])
    names = read_star(tmp_path / "elsewhere" / "some.star")["particles"]["rlnImageName"]
    assert names[0] == "000008@../images/stack.mrcs"


def test_a_stack_in_a_folder_with_blanks_is_found_again(tmp_path, rng, stack):
    (tmp_path / "images").rename(tmp_path / "my images")
    moved = open_stack(tmp_path / "my images" / "stack.mrcs")
    write_particles(tmp_path / "a.star", make_particles(9, rng, images=moved))
    np.testing.assert_array_equal(read_particles(tmp_path / "a.star").images[:], moved[:])


def test_the_columns_are_relions_and_in_its_units(tmp_path):
    """What RELION's reader of optics tables asks for, and its particle columns."""
    ctf = CTF(
        defocus_u=15000,
        defocus_v=14000,
        astigmatism_angle=12,
        voltage=300,
        spherical_aberration=2.7,
        amplitude_contrast=0.1,
        pixel_size=1.5,
    )
    particles = Particles(
        images=np.zeros((1, 8, 8)),
        rotations=euler_to_matrix(np.array([[10.0, 20.0, 30.0]])),
        shifts=np.array([[2.0, -3.0]]),
        ctf=ctf,
        pixel_size=1.5,
        half_set=np.array([2]),
    )
    write_particles(tmp_path / "a.star", particles, "a.mrcs")
    tables = read_star(tmp_path / "a.star")
    assert list(tables) == ["optics", "particles"]
    assert tables["optics"] == {
        "rlnOpticsGroup": ["1"],
        "rlnOpticsGroupName": ["opticsGroup1"],
        "rlnVoltage": ["300.0"],
        "rlnSphericalAberration": ["2.7"],
        "rlnAmplitudeContrast": ["0.1"],
        "rlnImagePixelSize": ["1.5"],
        "rlnImageSize": ["8"],
        "rlnImageDimensionality": ["2"],
    }
    table = tables["particles"]
    angles = [float(table[f"rlnAngle{name}"][0]) for name in ("Rot", "Tilt", "Psi")]
    np.testing.assert_allclose(angles, [10, 20, 30])
    del table["rlnAngleRot"], table["rlnAngleTilt"], table["rlnAnglePsi"]
    assert table == {
        "rlnImageName": ["000001@a.mrcs"],
        "rlnOpticsGroup": ["1"],
        "rlnOriginXAngst": ["-3.0"],
        "rlnOriginYAngst": ["4.5"],
        "rlnDefocusU": ["15000.0"],
        "rlnDefocusV": ["14000.0"],
        "rlnDefocusAngle": ["12.0"],
        "rlnPhaseShift": ["0.0"],
        "rlnCtfBfactor": ["0.0"],
        "rlnCtfScalefactor": ["1.0"],
        "rlnRandomSubset": ["2"],
    }
    assert "\n# version 30001\n\ndata_optics\n" in (tmp_path / "a.star").read_text()


def test_without_a_ctf_the_optics_table_has_what_relion_requires(tmp_path):
    write_particles(tmp_path / "a.star", Particles(shifts=np.zeros((2, 2)), pixel_size=2.0), "a")
    optics = read_star(tmp_path / "a.star")["optics"]
    assert {"rlnVoltage", "rlnSphericalAberration", "rlnImagePixelSize"} <= set(optics)
    read = read_particles(tmp_path / "a.star", poses=False, images=False)
    assert (read.ctf, read.half_set, read.pixel_size) == (None, None, 2.0)


def test_optics_groups_are_kept_and_parted_by_their_settings(tmp_path, rng):
    voltage = np.array([300.0, 300, 200, 300])
    particles = make_particles(
        4,
        rng,
        optics_group=np.array([7, 3, 3, 3]),
        ctf=make_ctf(4, rng).replace(
            voltage=voltage, spherical_aberration=2.7, amplitude_contrast=0.1
        ),
    )
    write_particles(tmp_path / "a.star", particles, "a.mrcs")
    read = read_particles(tmp_path / "a.star", images=False)
    assert read.optics_group.tolist() == [3, 2, 1, 2]
    assert read.ctf.voltage.tolist() == voltage.tolist()


def test_images_that_are_not_in_files_need_a_name(tmp_path, rng):
    message = "image_name: expected the name of the stack with the images, got None"
    with pytest.raises(ValueError, match=f"^{message}$"):
        write_particles(tmp_path / "a.star", make_particles(2, rng))
    assert not list(tmp_path.iterdir())


# The object.


@given(
    index=st.one_of(
        st.integers(-9, 8),
        st.slices(9).filter(lambda part: len(range(*part.indices(9)))),
        st.lists(st.integers(-9, 8), min_size=1, max_size=12),
        st.lists(st.booleans(), min_size=9, max_size=9).filter(any),
    )
)
def test_selecting_selects_every_field(rng, stack, index):
    particles = make_particles(9, rng, images=stack)
    chosen = particles[index]
    rows = np.arange(9)[index].reshape(-1)
    assert len(chosen) == len(rows)
    assert type(chosen.images) is type(stack)  # still not read
    for name in ("images", "rotations", "shifts", "half_set", "optics_group"):
        np.testing.assert_array_equal(getattr(chosen, name)[:], getattr(particles, name)[rows])
    np.testing.assert_array_equal(chosen.ctf.defocus_u, particles.ctf.defocus_u[rows])
    assert chosen.pixel_size == particles.pixel_size


def test_particles_may_lack_any_field(rng):
    for name in ("images", "rotations", "shifts", "ctf", "half_set", "optics_group"):
        particles = make_particles(3, rng, **{name: None}) if name != "images" else Particles(
            shifts=np.zeros((3, 2)), pixel_size=1.0
        )  # fmt: skip
        assert len(particles) == 3
        assert getattr(particles[1:], name) is None
    assert Particles(shifts=np.zeros((3, 2)), pixel_size=1.0).size is None


BAD_FIELDS = [
    ({"shifts": np.zeros((2, 2))}, "particles: expected fields of one length, got images 3, "
     "rotations 3, shifts 2, ctf 3, half_set 3, optics_group 3"),
    ({"images": np.zeros((3, 8, 6))}, "images: expected shape (n, 6, 6), got (3, 8, 6)"),
    ({"rotations": np.zeros((3, 3, 2))}, "rotations: expected shape (n, 3, 3), got (3, 3, 2)"),
    ({"rotations": np.tile(2 * np.eye(3), (3, 1, 1))}, "rotations: expected orthonormal matrices "
     "within 0.001, got one off by 3 at index (0,)"),
    ({"shifts": np.zeros((3, 3))}, "shifts: expected shape (n, 2), got (3, 3)"),
    ({"shifts": np.array([[0, 0], [0, np.nan], [0, 0]])}, "shifts: 1 of 6 values are NaN or "
     "infinite, the first at index (1, 1)"),
    ({"pixel_size": 0.0}, "pixel_size: expected a positive number of Angstrom, got 0.0"),
    ({"pixel_size": float("nan")}, "pixel_size: expected a positive number of Angstrom, got nan"),
    ({"ctf": None, "phase_flipped": True}, "ctf: expected that of the flipped or premultiplied "
     "images, got None"),
    ({"premultiplied": True, "phase_flipped": True}, "premultiplied: expected False for images "
     "that are phase-flipped"),
    ({"pixel_size": 2.0}, "ctf: expected the pixel size of the particles, 2 Angstrom, got 1.37"),
]  # fmt: skip


@pytest.mark.parametrize(("changes", "message"), BAD_FIELDS)
def test_bad_fields_are_named(rng, changes, message):
    with pytest.raises(ValueError, match=rf"^{re.escape(message)}$"):
        make_particles(3, rng, **changes)


def test_nothing_but_a_pixel_size_is_no_particles():
    message = "particles: expected at least one field besides pixel_size, got none"
    with pytest.raises(ValueError, match=f"^{message}$"):
        Particles(pixel_size=1.0)


def test_the_suffix_decides_and_others_are_refused(tmp_path):
    for name in ("a.txt", "a", "a.mrcs"):
        path = tmp_path / name
        with pytest.raises(ValueError, match=rf"^{re.escape(str(path))}: expected a file ending "):
            read_particles(path)
    for name in ("a.STAR", "a.cs"):
        with pytest.raises(FileNotFoundError, match=name):
            read_particles(tmp_path / name)


def test_importing_and_writing_need_no_gemmi(tmp_path, rng, monkeypatch):
    monkeypatch.setitem(sys.modules, "gemmi", None)
    write_particles(tmp_path / "a.star", make_particles(2, rng), "a.mrcs")
    assert (tmp_path / "a.star").exists()
