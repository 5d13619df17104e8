"""cryoSPARC's signs, contrasts, classes and split outputs; damaged tables give one line."""

import functools
import re
import warnings

import numpy as np
import pytest
from cs_files import ROWS, make_rows, save, write_project
from hypothesis import given
from hypothesis import strategies as st
from scipy.spatial.transform import Rotation

from fslice.io import read_particles, write_particles
from fslice.operators.zernike import beam_tilt_coefficients

CLASSES = 2


@pytest.fixture
def write(tmp_path):
    """Write two stacks and a file."""
    write_project(tmp_path)
    return functools.partial(save, tmp_path / "J2" / "J2_012_particles.cs")


def only(rows, *prefixes):
    """Return the fields of a table whose names start so, and its uids."""
    names = [name for name in rows.dtype.names if name.startswith(("uid", *prefixes))]
    part = np.zeros(len(rows), [(name, rows.dtype[name]) for name in names])
    for name in names:
        part[name] = rows[name]
    return part


def multi(**changes):
    """Return the fields of a heterogeneous refinement into two classes, 1 and 0."""
    pose = np.arange(ROWS * CLASSES * 3, dtype="f4").reshape(ROWS, CLASSES, 3) / 10
    fields = {
        "pose": pose,
        "shift": pose[..., :2],
        "class": np.array([[1, 0]] * ROWS, "u4"),
        "class_posterior": np.array([[0.9, 0.1], [0.2, 0.8], [0.6, 0.4]], "f4"),
        "alpha": np.array([[1, 2], [3, 4], [5, 6]], "f4"),
        "psize_A": np.full(ROWS, 1.5, "f4"),
        "split": np.array([0, 1, 0], "u4"),
    } | changes
    gone = {f"alignments3D/{name}": None for name in ("pose", "shift", "psize_A", "split")}
    return gone | {f"alignments3D_multi/{name}": values for name, values in fields.items()}


# Contrast.


def test_images_are_multiplied_by_their_sign(write):
    signs = np.array([-1, 1, -1], "f4")
    path = write(make_rows(**{"blob/sign": signs}))
    with pytest.warns(UserWarning, match="blob/sign: 2 of 3 images are multiplied by -1$"):
        particles = read_particles(path)
    assert particles.images[:, 0, 0].tolist() == [-12, 0, -11]
    assert particles[2:].images[:, 0, 0].tolist() == [-11]
    plain = read_particles(write(make_rows(**{"blob/sign": np.ones(ROWS, "f4")})))
    assert plain.images[:, 0, 0].tolist() == [12, 0, 11]


@pytest.mark.parametrize("sign", [0, 2])
def test_other_signs_are_refused(write, sign):
    path = write(make_rows(**{"blob/sign": np.array([1, sign, 1], "f4")}))
    with pytest.raises(ValueError, match=rf": blob/sign: expected 1 or -1, got {sign}$"):
        read_particles(path)


def test_the_contrast_of_a_refinement_multiplies_that_of_the_ctf(write):
    path = write(make_rows(**{"alignments3D/alpha": np.array([2, 1, 0.5], "f4")}))
    assert read_particles(path).ctf.scale.tolist() == [2, 0.5, 0.125]


@pytest.mark.parametrize("alpha", [0, 1])
def test_a_contrast_that_was_not_sought_is_1(write, alpha):
    path = write(make_rows(**{"alignments3D/alpha": np.full(ROWS, alpha, "f4")}))
    particles = read_particles(path)
    assert particles.ctf.scale.tolist() == [1, 0.5, 0.25]
    assert particles.warnings == ()


def test_a_contrast_without_a_ctf_is_that_of_the_images(write, tmp_path):
    alpha = np.array([2, 1, 0.5], "f4")
    path = write(make_rows(**{"alignments3D/alpha": alpha, "ctf/df1_A": None}))
    particles = read_particles(path)
    assert particles.ctf is None
    assert particles.contrast.tolist() == [2, 1, 0.5]
    assert particles[1:].contrast.tolist() == [1, 0.5]
    assert particles.warnings == ()
    assert read_particles(write(make_rows())).contrast is None
    with pytest.raises(ValueError, match="expected no contrast, for which a STAR file has"):
        write_particles(tmp_path / "again.star", particles)


def test_a_beam_tilt_is_a_length_over_the_spherical_aberration(write):
    """As pyem makes RELION's of it: arcsin(tilt / Cs), in milliradians."""
    tilts = np.array([[4500, -9000], [0, 0], [4500, -9000]], "f4")
    path = write(make_rows(**{"ctf/tilt_A": tilts}))
    found = read_particles(path).aberrations
    spherical, voltage = (make_rows()[f"ctf/{name}"][0] for name in ("cs_mm", "accel_kv"))
    milliradians = 1e3 * np.arcsin(tilts.astype(float) / (spherical * 1e7))
    expected = beam_tilt_coefficients(
        *milliradians.T, np.full(ROWS, float(spherical)), np.full(ROWS, float(voltage))
    )
    np.testing.assert_allclose(found.odd[found.group], expected, rtol=1e-6)
    assert found.even.shape[1] == 0
    assert read_particles(write(make_rows(**{"ctf/tilt_A": 0 * tilts}))).aberrations is None


# Classes and groups.


def test_the_pose_of_the_most_probable_class_is_taken_and_that_is_said(write):
    fields = multi()
    with pytest.warns(UserWarning, match="particles of 2 classes are taken together, each in the"):
        particles = read_particles(write(make_rows(**fields)))
    pose = fields["alignments3D_multi/pose"][[0, 1, 2], [0, 1, 0]].astype(float)
    np.testing.assert_allclose(particles.rotations, Rotation.from_rotvec(pose).as_matrix())
    np.testing.assert_allclose(particles.shifts, -pose[:, :2])
    assert particles.half_set.tolist() == [1, 2, 1]
    assert particles.ctf.scale.tolist() == [1, 2, 1.25]


def test_a_class_is_chosen_by_cryosparcs_number_of_it(write):
    path = write(make_rows(**multi()))
    first = read_particles(path, class_index=0, images=False)
    assert len(first) == 1
    np.testing.assert_allclose(first.shifts, [[-0.9, -1.0]])
    with pytest.warns(UserWarning, match="all particles are in half 1"):
        assert read_particles(path, class_index=1).images[:, 0, 0].tolist() == [12, 11]
    with pytest.raises(ValueError, match=r"^class_index: expected one of 0, 1 \(.*\), got 2$"):
        read_particles(path, class_index=2)


def test_without_class_numbers_the_columns_are_numbered(write):
    path = write(make_rows(**multi(**{"class": None})))
    assert len(read_particles(path, class_index=1)) == 1


def test_exposure_groups_are_chosen_by_the_number_of_the_optics_group(write):
    path = write(make_rows(**{"blob/psize_A": np.array([1.5, 2, 1.5], "f4")}))
    with pytest.raises(ValueError, match="choose particles of one size with optics_group"):
        read_particles(path)
    assert read_particles(path, optics_group=5, poses=False).pixel_size == 2
    with pytest.warns(UserWarning, match="all particles are in half 1"):
        chosen = read_particles(path, optics_group=1, poses=False)
    assert chosen.optics_group.tolist() == [1, 1]


# Two files of a job.


def test_a_passthrough_file_beside_it_gives_what_is_missing(write, tmp_path):
    whole = make_rows()
    path = write(only(whole, "alignments3D"))
    shuffled = np.concatenate([only(whole, "ctf", "blob")[::-1], only(whole, "ctf", "blob")[:1]])
    shuffled["uid"][-1] = 77  # a particle of another output
    save(tmp_path / "J2" / "J2_passthrough_particles.cs", shuffled)
    save(tmp_path / "J2" / "J1_passthrough_particles_a.cs", only(whole, "blob")[:1])  # not all
    message = "joined with J2_passthrough_particles.cs by uid: blob/path, ctf/df1_A"
    with pytest.warns(UserWarning, match=rf"^{path}: {message}$"):
        particles = read_particles(path)
    assert (particles.notes, particles.warnings) == ((message,), ())
    expected = read_particles(write(whole))
    np.testing.assert_array_equal(particles.images[:], expected.images[:])
    np.testing.assert_array_equal(particles.rotations, expected.rotations)
    np.testing.assert_array_equal(particles.ctf.defocus_u, expected.ctf.defocus_u)
    assert particles.optics_group.tolist() == expected.optics_group.tolist()


def test_a_passthrough_file_can_be_given_and_adds_to_what_is_there(write, tmp_path):
    whole = make_rows()
    elsewhere = save(tmp_path / "other.cs", make_rows(**{"ctf/df1_A": np.full(ROWS, 9e3, "f4")}))
    path = write(only(whole, "alignments3D", "blob"))
    assert read_particles(path).ctf is None
    with pytest.warns(UserWarning, match="joined with other.cs by uid$"):
        assert read_particles(path, passthrough=elsewhere).ctf.defocus_u.tolist() == [9000] * 3
    path = write(whole)
    with pytest.warns(UserWarning, match="joined with other.cs by uid$"):
        assert read_particles(path, passthrough=elsewhere).ctf.defocus_u[0] == 15000


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda rows: rows[:2], "expected all particles of {path}, got none of 1"),
        (lambda rows: rows[[0, 1, 2, 2]], "expected every uid once, got one twice"),
        (lambda rows: rows[["blob/path"]].copy(), "expected the field uid, by which two files are"),
    ],
)
def test_a_passthrough_file_of_other_particles_is_refused(write, tmp_path, change, message):
    path = write(only(make_rows(), "alignments3D"))
    other = save(tmp_path / "other.cs", change(make_rows()))
    expected = re.escape(f"{other}: {message.format(path=path)}")
    with pytest.raises(ValueError, match=rf"^{expected}"):
        read_particles(path, passthrough=other)


def test_a_passthrough_file_is_of_cryosparc_only(tmp_path):
    with pytest.raises(ValueError, match=r"^passthrough: expected None for .*a.star, which is not"):
        read_particles(tmp_path / "a.star", passthrough="b.cs")


# Damage.


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"alignments3D/pose": np.zeros((3, 3), "c8")}, "alignments3D/pose: expected real numbers "
         "or integers or unsigned integers of shape (3,) for each particle, got complex64 of shape "
         "(3,)"),
        ({"alignments3D/pose": np.zeros((3, 3, 2), "f4")}, "alignments3D/pose: expected real "
         "numbers or integers or unsigned integers of shape (3,) for each particle, got float32 of "
         "shape (3, 2)"),
        ({"blob/idx": np.zeros(3, "f4")}, "blob/idx: expected integers or unsigned integers of "
         "shape () for each particle, got float32 of shape ()"),
        ({"blob/path": np.zeros(3, "u4")}, "blob/path: expected bytes or text of shape () for each "
         "particle, got uint32 of shape ()"),
        ({"ctf/df1_A": np.zeros(3, "M8[s]")}, "ctf/df1_A: expected real numbers or integers or "
         "unsigned integers of shape () for each particle, got datetime64[s] of shape ()"),
        ({"ctf/df2_A": np.full(3, np.inf, "f4")}, "ctf/df2_A: expected finite numbers, got NaN or "
         "infinity"),
        ({"blob/shape": np.zeros((3, 2), "u4")}, "blob/shape: expected a whole number of pixels "
         "from 2, got 0"),
        ({"blob/idx": np.array([0, 1, 2**64 - 1], "u8")}, "expected an image of the stack, which "
         "has 4, got 000000@J1/b.mrc"),
        ({"alignments3D/psize_A": np.zeros(3, "f4")}, "alignments3D/psize_A: expected a positive "
         "pixel size, got 0"),
        (multi(**{"class_posterior": np.ones((3, 3), "f4")}), "alignments3D_multi/class_posterior:"
         " expected real numbers or integers or unsigned integers of shape (2,) for each particle, "
         "got float32 of shape (3,)"),
        (multi(**{"class_posterior": None}), "expected the field "
         "alignments3D_multi/class_posterior, which is missing"),
        ({"ctf/amp_contrast": np.full(3, 10, "f4")}, "ctf/amp_contrast: expected 0 to 1 "
         "(a fraction), got 10"),
    ],
)  # fmt: skip
def test_a_field_of_another_kind_shape_or_range_is_named(write, changes, message):
    path = write(make_rows(**changes))
    with pytest.raises(ValueError, match=rf"^{re.escape(f'{path}: {message}')}$"):
        read_particles(path)


@pytest.mark.parametrize(
    "shape", ["(3, 1)", "()", "(-1,)", "(-9,)", f"({2**62},)", "(3,3)", "3", "('3',)", "(3.5,)"]
)
def test_a_header_that_lies_about_its_shape_gives_one_line(write, shape):
    path = write(make_rows())
    whole = path.read_bytes()
    padding = len(shape) - len("(3,)")
    old = b"'shape': (3,), }"
    changed = whole.replace(old + b" " * max(0, padding), b"'shape': " + shape.encode() + b", }")
    assert changed != whole
    path.write_bytes(changed)
    with pytest.raises(ValueError, match=r"^.*particles.cs: expected a .cs file, a NumPy table w"):
        read_particles(path)


@given(data=st.data())
def test_any_damage_gives_one_line_or_a_table(tmp_path_factory, data):
    folder = tmp_path_factory.mktemp("damage")
    path = save(folder / "a.cs", make_rows())
    content = bytearray(path.read_bytes())
    for _ in range(data.draw(st.integers(1, 8))):
        content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    path.write_bytes(content[: data.draw(st.integers(0, len(content)))])
    message = f"{path}: "
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            read_particles(path, images=False)
    except ValueError as error:
        message = str(error)
    assert message.startswith(f"{path}: ")
    assert "\n" not in message
