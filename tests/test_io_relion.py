"""RELION's STAR files, 3.0 to 5.0: conventions, units and every way in which a file is bad."""

import math
import re

import numpy as np
import pytest
from relion_files import (
    ADVICE,
    OPTICS,
    PARTICLES,
    VERSION_3_0,
    changed,
)
from scipy.spatial.transform import Rotation

from fslice.fourier import frequencies, irfft2, radii
from fslice.io import StackWriter, open_stack, read_particles
from fslice.operators.ctf import CTF


def test_a_file_of_relion_3_1_is_read(write_relion):
    particles = read_particles(write_relion(optics=OPTICS, particles=PARTICLES))
    assert len(particles) == 3
    assert (particles.size, particles.pixel_size) == (8, 1.5)
    assert particles.images[:, 0, 0].tolist() == [2, 0, 11]
    angles = [[10, 40, 70], [20, 50, -80], [-30, 60, 90]]
    expected = Rotation.from_euler("ZYZ", angles, degrees=True).as_matrix()
    np.testing.assert_allclose(particles.rotations, expected, atol=1e-14)
    assert particles.rotations.dtype == np.float64
    np.testing.assert_allclose(particles.shifts, [[-2, -0.5], [1, -4], [0, 0]])
    assert not np.signbit(particles.shifts[2]).any()
    assert particles.half_set.tolist() == [1, 2, 2]
    assert particles.optics_group.tolist() == [2, 1, 2]
    expected = {
        "defocus_u": [15000, 16000, 17000],
        "defocus_v": [14000, 15500, 16500],
        "astigmatism_angle": [12, 34, 56],
        "voltage": [200, 300, 200],
        "spherical_aberration": [1.4, 2.7, 1.4],
        "amplitude_contrast": [0.07, 0.1, 0.07],
        "phase_shift": [0, 90, 45],
        "b_factor": [10, 20, 30],
        "scale": [1, 0.9, 0.8],
        "pixel_size": [1.5, 1.5, 1.5],
    }
    for name, values in expected.items():
        assert getattr(particles.ctf, name).tolist() == values, name


def test_a_file_of_relion_3_0_is_read(write_relion):
    particles = read_particles(write_relion(_=VERSION_3_0))
    assert particles.pixel_size == 1.5
    np.testing.assert_allclose(particles.shifts, [[-2, -0.5], [1, -4], [0, 0]])
    assert particles.ctf.voltage.tolist() == [300] * 3
    assert particles.optics_group.tolist() == [1, 1, 1]


def test_origins_in_angstrom_come_before_origins_in_pixels(write_relion):
    table = changed(PARTICLES, rlnOriginX=[9, 9, 9], rlnOriginY=[9, 9, 9])
    particles = read_particles(write_relion(optics=OPTICS, particles=table))
    np.testing.assert_allclose(particles.shifts, [[-2, -0.5], [1, -4], [0, 0]])


def test_origins_that_are_left_out_are_zero(write_relion):
    table = changed(PARTICLES, rlnOriginXAngst=None, rlnOriginYAngst=None)
    particles = read_particles(write_relion(optics=OPTICS, particles=table))
    assert particles.shifts.tolist() == [[0, 0]] * 3


def test_without_defocus_there_is_no_ctf(write_relion):
    path = write_relion(optics=OPTICS, particles=changed(PARTICLES, rlnDefocusU=None))
    assert read_particles(path).ctf is None


def test_the_ctf_has_relions_defaults(write_relion):
    names = ("DefocusV", "DefocusAngle", "PhaseShift", "CtfBfactor", "CtfScalefactor")
    table = changed(PARTICLES, **{f"rln{name}": None for name in names})
    ctf = read_particles(write_relion(optics=OPTICS, particles=table)).ctf
    assert ctf.defocus_v.tolist() == ctf.defocus_u.tolist()
    for name, value in (
        ("astigmatism_angle", 0),
        ("phase_shift", 0),
        ("b_factor", 0),
        ("scale", 1),
    ):
        assert getattr(ctf, name).tolist() == [value] * 3


def test_an_optics_table_of_one_row_needs_no_group_column(write_relion):
    optics = {name: values[:1] for name, values in OPTICS.items()}
    path = write_relion(optics=optics, particles=changed(PARTICLES, rlnOpticsGroup=None))
    assert read_particles(path).ctf.voltage.tolist() == [300] * 3


def test_without_half_sets_there_are_none(write_relion):
    path = write_relion(optics=OPTICS, particles=changed(PARTICLES, rlnRandomSubset=None))
    assert read_particles(path).half_set is None


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ([0, 0, 0], "not every particle is in half 1 or 2, so the halves are not used"),
        ([1, 2, 0], "not every particle is in half 1 or 2, so the halves are not used"),
        ([1, 2, 3], "not every particle is in half 1 or 2, so the halves are not used"),
        ([2, 2, 2], "all particles are in half 2, so it is not used"),
    ],
    ids=str,
)
def test_halves_that_do_not_part_the_particles_are_not_used_and_that_is_said(
    write_relion, values, message
):
    path = write_relion(optics=OPTICS, particles=changed(PARTICLES, rlnRandomSubset=values))
    with pytest.warns(UserWarning, match=rf"^{path}: rlnRandomSubset: {message}$"):
        particles = read_particles(path)
    assert particles.half_set is None
    assert particles.warnings == (f"rlnRandomSubset: {message}",)


def test_a_name_without_a_number_is_a_file_of_one_image(write_relion, tmp_path):
    table = changed(PARTICLES, rlnImageName=["one.mrc", "other/stack.mrcs", "2@stack.mrcs"])
    path = write_relion(optics=OPTICS, particles=table)
    with StackWriter(tmp_path / "one.mrc", 1, 8, 1.5) as writer:
        writer.write(np.full((1, 8, 8), 7.0))
    message = (
        f"{path}: expected one image, or its number before '@', got the name 'other/stack.mrcs' "
        f"of 4 sections (a volume, or a tilt series)"
    )
    with pytest.raises(ValueError, match=rf"^{re.escape(message)}$"):
        read_particles(path)
    table = changed(PARTICLES, rlnImageName=["one.mrc", "4@other/stack.mrcs", "2@stack.mrcs"])
    particles = read_particles(write_relion(optics=OPTICS, particles=table))
    assert particles.images[:, 0, 0].tolist() == [7, 13, 1]


def test_stacks_are_found_from_the_projects_folder_too(write_relion, tmp_path, monkeypatch):
    path = write_relion(optics=OPTICS, particles=PARTICLES)
    job = tmp_path / "Refine3D" / "job001"
    job.mkdir(parents=True)
    moved = path.rename(job / "run_data.star")
    assert read_particles(moved).images[:, 0, 0].tolist() == [2, 0, 11]
    monkeypatch.chdir(tmp_path)
    assert read_particles("Refine3D/job001/run_data.star").images[:, 0, 0].tolist() == [2, 0, 11]


def test_metadata_is_read_without_poses_and_without_images(write_relion, tmp_path):
    table = changed(PARTICLES, rlnAngleRot=None, rlnAnglePsi=None)
    path = write_relion(optics=OPTICS, particles=table)
    (tmp_path / "stack.mrcs").unlink()
    particles = read_particles(path, poses=False, images=False)
    assert particles.images is particles.rotations is particles.shifts is particles.size is None
    assert len(particles) == len(particles.ctf) == 3


def test_a_pixel_size_is_taken_from_the_caller_where_the_file_has_none(write_relion):
    path = write_relion(optics=changed(OPTICS, rlnImagePixelSize=None), particles=PARTICLES)
    particles = read_particles(path, pixel_size=3.0)
    assert particles.pixel_size == 3.0
    assert particles.ctf.pixel_size.tolist() == [3.0] * 3
    np.testing.assert_allclose(particles.shifts[0], [-1, -0.25])
    with pytest.raises(ValueError, match=r"^pixel_size: expected a positive number .*, got 0.0$"):
        read_particles(path, pixel_size=0)


def test_a_pixel_size_that_is_given_comes_before_that_of_the_file_and_moves_no_particle(
    write_relion,
):
    path = write_relion(optics=OPTICS, particles=PARTICLES)
    message = "pixel size 3 Angstrom as given, where the file says 1.5"
    with pytest.warns(UserWarning, match=rf"{message}$"):
        particles = read_particles(path, pixel_size=3.0)
    assert particles.pixel_size == 3
    assert particles.ctf.pixel_size.tolist() == [3] * 3
    np.testing.assert_array_equal(particles.shifts, read_particles(path).shifts)
    assert read_particles(path, pixel_size=1.5).warnings == ()


PIXEL_SIZE_COLUMNS = "rlnImagePixelSize, or rlnDetectorPixelSize and rlnMagnification"


@pytest.mark.parametrize(
    ("optics", "particles", "message"),
    [
        ({}, {"rlnAngleRot": None, "rlnAnglePsi": None}, "expected the pose columns rlnAngleRot, "
         "rlnAngleTilt, rlnAnglePsi, missing: rlnAngleRot, rlnAnglePsi"),
        ({}, {"rlnOriginYAngst": None}, "expected the column rlnOriginYAngst, which is missing"),
        ({"rlnVoltage": None}, {}, "expected the column rlnVoltage, which is missing"),
        ({"rlnSphericalAberration": None}, {}, "expected the column rlnSphericalAberration, which "
         "is missing"),
        ({"rlnVoltage": [0, 300]}, {}, "rlnVoltage: expected 20 to 3000 kV, got 0"),
        ({}, {"rlnOpticsGroup": [1, 2, 7]}, "expected one of the optics groups 1, 2, got 7"),
        ({}, {"rlnOpticsGroup": None}, "expected the column rlnOpticsGroup, which is missing"),
        ({}, {"rlnImageName": None}, "expected one table with the column rlnImageName, got none"),
        ({}, {"rlnAngleTilt": [1, "x", 3]}, "rlnAngleTilt: expected a finite number, got 'x' in "
         "row 2"),
        ({}, {"rlnDefocusU": [1, 2, "nan"]}, "rlnDefocusU: expected a finite number, got 'nan' in "
         "row 3"),
        ({}, {"rlnImageName": ["1@stack.mrcs", "5@stack.mrcs", "9@stack.mrcs"]}, "expected an "
         "image of the stack, which has 4, got 000005@stack.mrcs"),
        ({}, {"rlnImageName": ["1@stack.mrcs", "0@stack.mrcs", "1@stack.mrcs"]}, "rlnImageName: "
         "expected a number from 1 before '@', got '0@stack.mrcs' in row 2"),
        ({}, {"rlnImageName": ["x@stack.mrcs"] * 3}, "rlnImageName: expected a number from 1 "
         "before '@', got 'x@stack.mrcs' in row 1"),
        ({"rlnImageSize": [16, 16]}, {}, "expected images of 16 x 16 pixels, got 8 x 8 in "
         "{folder}/stack.mrcs"),
        ({"rlnImageSize": [8, 16]}, {}, "expected one image size for all particles, got 8 to 16 "
         f"pixels; {ADVICE}"),
        ({"rlnImagePixelSize": None}, {}, f"expected a pixel size ({PIXEL_SIZE_COLUMNS}), got "
         "none; pass pixel_size in Angstrom"),
        ({"rlnImagePixelSize": [0, 0]}, {}, f"expected a positive pixel size "
         f"({PIXEL_SIZE_COLUMNS}), got 0"),
        ({"rlnImagePixelSize": [1.5, -1.5]}, {}, f"expected a positive pixel size "
         f"({PIXEL_SIZE_COLUMNS}), got -1.5"),
        ({"rlnImagePixelSize": None}, {"rlnDetectorPixelSize": [5] * 3, "rlnMagnification":
         [0] * 3}, f"expected a positive pixel size ({PIXEL_SIZE_COLUMNS}), got inf"),
        ({"rlnImagePixelSize": [1.5, 1.6]}, {}, "expected one pixel size for all particles, got "
         f"1.5 to 1.6 Angstrom; {ADVICE}"),
        ({"rlnCtfDataAreCtfPremultiplied": [0, 1]}, {}, "rlnCtfDataAreCtfPremultiplied: expected "
         "one value for all particles, got 0 to 1; choose one of the optics groups with "
         "optics_group (--optics-group)"),
        ({"rlnImageDimensionality": [3, 3]}, {}, "expected two-dimensional images, got "
         "rlnImageDimensionality 3"),
    ],
)  # fmt: skip
def test_a_bad_file_gives_one_line_that_names_it(
    write_relion, tmp_path, optics, particles, message
):
    path = write_relion(optics=changed(OPTICS, **optics), particles=changed(PARTICLES, **particles))
    expected = f"{path}: {message.format(folder=tmp_path)}"
    with pytest.raises(ValueError, match=rf"^{re.escape(expected)}$"):
        read_particles(path)


def test_no_particles_is_an_error(write_relion):
    path = write_relion(optics=OPTICS, particles={name: [] for name in PARTICLES})
    with pytest.raises(ValueError, match=r"particles.star: expected at least one particle, got 0$"):
        read_particles(path)


def test_two_tables_of_particles_are_ambiguous(write_relion):
    path = write_relion(a=PARTICLES, b=PARTICLES)
    with pytest.raises(ValueError, match=r": expected one table with .*, got data_a, data_b$"):
        read_particles(path)


def test_stacks_of_different_boxes_are_an_error(write_relion, tmp_path):
    path = write_relion(optics=changed(OPTICS, rlnImageSize=None), particles=PARTICLES)
    with StackWriter(tmp_path / "other/stack.mrcs", 4, 6, 1.5) as writer:
        writer.write(np.ones((4, 6, 6)))
    message = f"expected images of 8 x 8 pixels, got 6 x 6 in {tmp_path}/other/stack.mrcs"
    with pytest.raises(ValueError, match=rf"^{re.escape(f'{path}: {message}')}$"):
        read_particles(path)


def test_a_missing_stack_is_named(write_relion, tmp_path):
    path = write_relion(optics=OPTICS, particles=PARTICLES)
    (tmp_path / "other/stack.mrcs").unlink()
    with pytest.raises(FileNotFoundError, match=r"the stack 'other/stack.mrcs' was not found: .*$"):
        read_particles(path)


def test_a_truncated_stack_is_named(write_relion, tmp_path):
    path = write_relion(optics=OPTICS, particles=PARTICLES)
    stack = tmp_path / "other/stack.mrcs"
    stack.write_bytes(stack.read_bytes()[:-4])
    with pytest.raises(ValueError, match=rf"^{re.escape(str(stack))}: expected 2048 bytes .*2044$"):
        read_particles(path)


def test_a_magnification_that_is_not_modelled_is_warned_of(write_relion):
    optics = OPTICS | {"rlnMagMat00": [1, 1.01], "rlnMagMat11": [1, 1]}
    path = write_relion(optics=optics, particles=PARTICLES)
    message = f"{path}: not modelled, and left out: rlnMagMat00"
    with pytest.warns(UserWarning, match=rf"^{re.escape(message)}$") as caught:
        read_particles(path)
    assert caught[0].filename == __file__


def test_optics_without_effect_are_not_warned_of(write_relion):
    neutral = {"rlnBeamTiltX": [0, 0], "rlnOddZernike": ["[0,0]"] * 2, "rlnMagMat00": [1, 1]}
    particles = read_particles(write_relion(optics=OPTICS | neutral, particles=PARTICLES))
    assert particles.aberrations is None


# Real files.


@pytest.fixture
def relion(data):
    return data / "particles"


@pytest.mark.filterwarnings("ignore:.*left out. rlnNormCorrection$")
def test_relions_projections_of_a_point_are_where_its_poses_put_it(relion):
    """The point lies at (17, 0, 0) from the origin; its image is a shifted CTF."""
    particles = read_particles(relion / "relion_pointmass_ctf" / "relion_proj_batch_pfac2.star")
    size = particles.size
    assert (len(particles), size, particles.pixel_size) == (24, 64, 3.54)
    kx, ky = frequencies(size, 2)
    measured = particles.images[:].astype(np.float64)

    def correlation_and_scale(rotations):
        x, y = (rotations[:, 0, :2] * 17 + particles.shifts).T[..., None, None]
        images_ft = np.exp(-2j * math.pi * (kx * x + ky * y) / size) / size
        images_ft *= particles.ctf.evaluate(size) * (radii(size, 2) <= size / 2)
        images = irfft2(images_ft)
        product, square = (images * measured).sum((1, 2)), (images**2).sum((1, 2))
        return product / np.sqrt(square * (measured**2).sum((1, 2))), product / square

    correlation, scale = correlation_and_scale(particles.rotations)
    assert correlation.min() >= 0.998
    assert abs(scale - 1).max() <= 0.01
    transposed, _ = correlation_and_scale(particles.rotations.swapaxes(1, 2))
    assert transposed.min() < 0.5


def test_relions_shifted_projections_sit_at_minus_their_origins(relion):
    """The two files share their poses; only the second has origins, in pixels."""
    centered, shifted = (
        read_particles(relion / "relion_70S" / f"rln_proj_64_{name}.star")
        for name in ("centered", "shifted")
    )
    np.testing.assert_array_equal(centered.rotations, shifted.rotations)
    assert centered.shifts.tolist() == [[0, 0]] * 4
    for image, other, (x, y) in zip(centered.images, shifted.images, shifted.shifts, strict=True):
        moved = np.roll(image, (int(y), int(x)), (0, 1))
        np.testing.assert_allclose(moved, other, atol=1e-6 * abs(other).max())
    assert centered.ctf is None


def test_the_particles_of_empiar_10076_are_read(relion):
    path = relion / "empiar10076_7" / "empiar_10076_7.star"
    with pytest.raises(ValueError, match=r"expected the pose columns .*, missing: rlnAngleRot, r"):
        read_particles(path)
    particles = read_particles(path, poses=False)
    assert particles.images.shape == (7, 320, 320)
    assert particles.pixel_size == pytest.approx(5e4 / 38168)
    np.testing.assert_array_equal(
        particles.images[[6, 0]], open_stack(path.with_suffix(".mrc"))[[6, 0]]
    )
    assert particles.ctf.defocus_u.tolist()[:2] == [15301.1, 15303.0]


def test_the_toy_set_is_read_with_a_pixel_size(relion):
    path = relion / "cryodrgn_toy" / "toy_projections.star"
    with pytest.raises(ValueError, match=r": expected a pixel size \(.*got none; pass pixel_size"):
        read_particles(path, poses=False)
    particles = read_particles(path, poses=False, pixel_size=1.0)
    assert particles.images.shape == (1000, 30, 30)
    at_zero = particles.ctf[:3].evaluate(30)[:, 0, 0]  # a phase plate: the cosine of 0.1's arcsine
    np.testing.assert_allclose(at_zero, math.sqrt(0.99))


def test_metadata_of_relion_3_1_is_read(data):
    path = data / "metadata" / "relion31.v2.star"
    with pytest.raises(FileNotFoundError, match=r"the stack 'relion31.mrcs' was not found: "):
        read_particles(path)
    with pytest.warns(UserWarning, match="relion31.v2.star: "):
        particles = read_particles(path, images=False)
    assert particles.warnings == (
        "rlnRandomSubset: all particles are in half 1, so it is not used",
        "not modelled, and left out: rlnNormCorrection",
    )
    assert (len(particles), particles.pixel_size) == (5, 2.806)
    expected = Rotation.from_euler("ZYZ", [-102.30296, 82.318041, 124.706463], degrees=True)
    np.testing.assert_allclose(particles.rotations[0], expected.as_matrix(), atol=1e-14)
    np.testing.assert_allclose(particles.shifts[0] * 2.806, [-0.019324, 0.64686])
    assert particles.half_set is None
    assert isinstance(particles.ctf, CTF)
    assert particles.ctf.spherical_aberration.tolist() == [0.01] * 5


def test_metadata_of_relion_5_is_read(data):
    path = data / "metadata" / "relion5.star"
    left_out = "rlnMagMat00, rlnMagMat01, rlnMagMat10, rlnMagMat11, rlnNormCorrection"
    with pytest.warns(UserWarning, match="relion5.star: "):
        particles = read_particles(path, images=False)
    assert particles.warnings == (
        f"not modelled, and left out: {left_out}",
        "2 images are listed more than once",
    )
    assert particles.aberrations.odd.shape == (1, 6)
    assert particles.aberrations.even.shape == (1, 9)
    assert (len(particles), particles.pixel_size) == (17, 0.89)
    np.testing.assert_allclose(particles.shifts[0] * 0.89, [3.12578, 1.41031])
    assert particles.half_set.tolist()[:4] == [1, 2, 2, 1]
    assert particles.ctf.voltage.tolist() == [100] * 17


def test_tables_under_other_names_are_ambiguous(data):
    path = data / "metadata" / "starfile_rln3.1_data_style.star"
    with pytest.raises(ValueError, match=r"got data_block_2, data_block_3$"):
        read_particles(path)
