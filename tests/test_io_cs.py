"""cryoSPARC's files: conventions, paths, and every way in which a file is bad."""

import functools
import re

import numpy as np
import pytest
from cs_files import ROWS, make_rows, save, write_project
from scipy.spatial.transform import Rotation

from fslice.io import read_particles


@pytest.fixture
def write(tmp_path):
    """Write two stacks and a file two folders below the project's, as cryoSPARC does."""
    write_project(tmp_path)
    return functools.partial(save, tmp_path / "J2" / "particles.cs")


def test_a_file_is_read(write):
    particles = read_particles(write(make_rows()))
    assert (len(particles), particles.size, particles.pixel_size) == (3, 8, 1.5)
    assert particles.images[:, 0, 0].tolist() == [12, 0, 11]
    vectors = make_rows()["alignments3D/pose"].astype(np.float64)
    expected = Rotation.from_rotvec(vectors).as_matrix()
    np.testing.assert_allclose(particles.rotations, expected, atol=1e-14)
    assert particles.shifts.tolist() == [[-4, 2], [-1, 0], [0, -8]]
    assert not np.signbit(particles.shifts[1, 1])
    assert particles.half_set.tolist() == [1, 2, 1]
    assert particles.optics_group.tolist() == [1, 5, 1]
    expected = {
        "defocus_u": [15000, 16000, 17000],
        "defocus_v": [14000, 15500, 16500],
        "astigmatism_angle": [30] * 3,
        "voltage": [300] * 3,
        "spherical_aberration": [2.5] * 3,
        "amplitude_contrast": [0.125] * 3,
        "phase_shift": [90] * 3,
        "b_factor": [0, 50, 100],
        "scale": [1, 0.5, 0.25],
        "pixel_size": [1.5] * 3,
    }
    for name, values in expected.items():
        np.testing.assert_allclose(getattr(particles.ctf, name), values, rtol=1e-7, err_msg=name)


def test_shifts_are_in_pixels_of_the_alignment(write):
    coarse = make_rows(**{"alignments3D/psize_A": np.full(ROWS, 3, "f4")})
    with pytest.warns(UserWarning, match="1 of 3 particles sit outside their images$"):
        assert read_particles(write(coarse)).shifts.tolist() == [[-8, 4], [-2, 0], [0, -16]]
    unknown = make_rows(**{"alignments3D/psize_A": None})
    assert read_particles(write(unknown)).shifts[0].tolist() == [-4, 2]


def test_what_may_be_absent_has_defaults(write):
    names = ("ctf/phase_shift_rad", "ctf/scale", "ctf/bfactor", "ctf/exp_group_id")
    rows = make_rows(**dict.fromkeys(names), **{"alignments3D/split": None, "blob/shape": None})
    particles = read_particles(write(rows))
    assert particles.ctf.phase_shift.tolist() == particles.ctf.b_factor.tolist() == [0] * 3
    assert particles.ctf.scale.tolist() == particles.optics_group.tolist() == [1] * 3
    assert particles.half_set is None


def test_a_split_of_one_part_is_none(write):
    rows = make_rows(**{"alignments3D/split": np.zeros(ROWS, "u4")})
    message = r"alignments3D/split \(\+ 1\): all particles are in half 1, so it is not used$"
    with pytest.warns(UserWarning, match=message):
        assert read_particles(write(rows)).half_set is None


def test_without_defocus_there_is_no_ctf(write):
    assert read_particles(write(make_rows(**{"ctf/df1_A": None}))).ctf is None


def test_a_stack_is_found_without_the_number_that_cryosparc_puts_before_its_name(write, tmp_path):
    names = np.array([b">J1/000090334788266266069_a.mrc"] * 3)
    path = write(make_rows(**{"blob/path": names}))
    assert read_particles(path).images[:, 0, 0].tolist() == [2, 0, 1]
    (tmp_path / "J1" / "b.mrc").rename(tmp_path / "J1" / "000090334788266266069_a.mrc")
    assert read_particles(path).images[:, 0, 0].tolist() == [12, 10, 11]


def test_a_header_longer_than_numpys_limit_is_read(write):
    extra = {f"alignments_class_{i}/a_long_name": np.zeros(ROWS, "f4") for i in range(300)}
    assert len(read_particles(write(make_rows(**extra)))) == 3


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"alignments3D/pose": None}, "expected 3-D poses (alignments3D/pose), got no alignments; "
         "if they are in another file of the job, pass it as passthrough (--passthrough)"),
        ({"alignments3D/pose": None, "alignments2D/pose": np.zeros(3, "f4")}, "expected 3-D poses "
         "(alignments3D/pose), got 2-D alignments only; if they are in another file of the job, "
         "pass it as passthrough (--passthrough)"),
        ({"alignments3D/shift": None}, "expected the field alignments3D/shift, which is missing"),
        ({"alignments3D/shift": np.full((3, 2), np.nan, "f4")}, "alignments3D/shift: expected "
         "finite numbers, got NaN or infinity"),
        ({"blob/path": None}, "expected the field blob/path, which is missing"),
        ({"blob/idx": None}, "expected the field blob/idx, which is missing"),
        ({"blob/idx": np.array([0, 4, 9], "u4")}, "expected an image of the stack, which has 4, "
         "got 000005@J1/a.mrc"),
        ({"blob/shape": np.full((3, 2), 16, "u4")}, "expected images of 16 x 16 pixels, got 8 x 8 "
         "in {folder}/J1/a.mrc"),
        ({"blob/shape": np.array([[8, 8], [8, 6], [8, 8]], "u4")}, "expected one image size for "
         "all particles, got 6 to 8 pixels; choose particles of one size with "
         "optics_group (--optics-group), or bring all to one grid with optics_group='all'"),
        ({"blob/psize_A": None}, "expected a pixel size (blob/psize_A), got none; pass pixel_size "
         "in Angstrom"),
        ({"blob/psize_A": np.array([0, 0, 0], "f4")}, "expected a positive pixel size "
         "(blob/psize_A), got 0"),
        ({"blob/psize_A": np.array([1, 1, np.nan], "f4")}, "blob/psize_A: expected finite numbers, "
         "got NaN or infinity"),
        ({"ctf/cs_mm": None}, "expected the field ctf/cs_mm, which is missing"),
        ({"ctf/accel_kv": np.zeros(3, "f4")}, "ctf/accel_kv: expected 20 to 3000 kV, got 0"),
    ],
)  # fmt: skip
def test_a_bad_file_gives_one_line_that_names_it(write, tmp_path, changes, message):
    path = write(make_rows(**changes))
    expected = f"{path}: {message.format(folder=tmp_path)}"
    with pytest.raises(ValueError, match=rf"^{re.escape(expected)}$"):
        read_particles(path)


def test_no_particles_is_an_error(write):
    with pytest.raises(ValueError, match=r"particles.cs: expected at least one particle, got 0$"):
        read_particles(write(make_rows()[:0]))


def test_a_missing_stack_is_named(write, tmp_path):
    path = write(make_rows())
    (tmp_path / "J1" / "a.mrc").unlink()
    with pytest.raises(FileNotFoundError, match=r"the stack 'J1/a.mrc' was not found: .*$"):
        read_particles(path)
    assert len(read_particles(path, images=False)) == 3


NOT_A_TABLE = r"particles.cs: expected a .cs file, a NumPy table without pickled objects"


def test_pickles_are_not_loaded(write):
    rows = make_rows(x=np.array([{}] * ROWS, object))
    with pytest.raises(ValueError, match=rf"{NOT_A_TABLE}: .+$"):
        read_particles(write(rows))


@pytest.mark.parametrize("rows", [np.zeros(3), np.zeros((3, 3), [("uid", "u8")])])
def test_another_numpy_file_is_refused(write, rows):
    with pytest.raises(ValueError, match=rf"{NOT_A_TABLE}, got an array of shape \(3.*\) of .+$"):
        read_particles(write(rows))


def test_a_zip_file_of_numpy_is_refused(tmp_path):
    with open(tmp_path / "particles.cs", "wb") as file:
        np.savez(file, make_rows())
    with pytest.raises(ValueError, match=rf"{NOT_A_TABLE}: .+$"):
        read_particles(tmp_path / "particles.cs")


@pytest.mark.parametrize("damage", ["", "text", "PK\x03\x04 not a zip file"])
def test_what_is_not_of_numpy_is_refused(tmp_path, damage):
    (tmp_path / "particles.cs").write_text(damage)
    with pytest.raises(ValueError, match=rf"{NOT_A_TABLE}: .+$"):
        read_particles(tmp_path / "particles.cs")


def test_a_file_shorter_than_its_header_claims_is_refused_before_memory_is_taken(write):
    path = write(make_rows())
    whole = path.read_bytes()
    path.write_bytes(whole[:-1])
    with pytest.raises(ValueError, match=rf"{NOT_A_TABLE}: .+$"):
        read_particles(path)
    terabytes = whole.replace(b"'shape': (3,), }          ", b"'shape': (30000000000,), }")
    assert terabytes != whole
    path.write_bytes(terabytes)
    with pytest.raises(ValueError, match=rf"{NOT_A_TABLE}: .+$"):
        read_particles(path)


def test_optics_that_are_not_modelled_are_warned_of(write):
    identity = np.tile([1, 0, 0, 1], (ROWS, 1)).astype("f4")
    read_particles(write(make_rows(**{"ctf/anisomag": identity})))
    tilted = make_rows(**{"ctf/tilt_A": np.ones((ROWS, 2), "f4"), "ctf/anisomag": 2 * identity})
    with pytest.warns(UserWarning, match=r"not modelled, and left out: ctf/tilt_A, ctf/anisomag$"):
        read_particles(write(tilted))


# Real files.


def test_the_cs_and_star_files_of_empiar_10076_agree(data):
    folder = data / "particles" / "empiar10076_7"
    relions = read_particles(folder / "empiar_10076_7.star", poses=False)
    with pytest.warns(UserWarning, match="blob/sign: 7 of 7 images are multiplied by -1$"):
        ours = read_particles(folder / "empiar_10076_7.cs", poses=False)
    np.testing.assert_array_equal(ours.images[:], -relions.images[:])  # dark on light in the file
    assert ours.pixel_size == pytest.approx(relions.pixel_size, rel=1e-6)
    for name in ("defocus_u", "defocus_v"):
        difference = getattr(ours.ctf, name) - getattr(relions.ctf, name)
        assert abs(difference).max() <= 4e-4
    names = ("astigmatism_angle", "voltage", "spherical_aberration", "amplitude_contrast")
    for name in (*names, "phase_shift", "b_factor", "scale"):
        np.testing.assert_allclose(
            getattr(ours.ctf, name), getattr(relions.ctf, name), rtol=1e-6, err_msg=name
        )


def test_two_dimensional_alignments_are_no_poses_but_the_rest_is_read(data):
    path = data / "metadata" / "cryosparc_J2_particles_exported.cs"
    message = "expected 3-D poses (alignments3D/pose), got 2-D alignments only"
    with pytest.raises(ValueError, match=rf"^{re.escape(f'{path}: {message}')}; if they are in "):
        read_particles(path)
    with pytest.raises(FileNotFoundError, match="the stack 'J1/imported/0000903347882662660"):
        read_particles(path, poses=False)
    with pytest.warns(UserWarning, match="blob/sign: 22 of 22 images are multiplied by -1$"):
        particles = read_particles(path, poses=False, images=False)
    assert len(particles) == 22
    assert particles.pixel_size == pytest.approx(1.345)
    assert particles.ctf.defocus_u[0] == pytest.approx(16412.178)
    assert particles.ctf.astigmatism_angle[0] == pytest.approx(np.rad2deg(0.861639142036438))
