"""What RELION's files say about the images, in the words of every version; never a silent guess."""

import numpy as np
import pytest
from relion_files import (
    ADVICE,
    OPTICS,
    PARTICLES,
    VERSION_3_0,
    changed,
    refusal,
)

from fslice.io import StackWriter, read_particles, write_volume

# What was done to the images because of their CTF.


def test_images_that_are_corrected_for_the_ctf_have_none_and_that_is_said(write_relion):
    path = write_relion(optics=OPTICS | {"rlnCtfDataAreCtfCorrected": [1, 1]}, particles=PARTICLES)
    with pytest.warns(UserWarning, match="no CTF: the images are corrected for it"):
        particles = read_particles(path)
    assert particles.ctf is None
    assert len(particles.warnings) == 1


@pytest.mark.parametrize("name", ["PhaseFlipped", "CtfPremultiplied", "CtfCorrected"])
def test_flags_of_zero_say_nothing(write_relion, name):
    path = write_relion(optics=OPTICS | {f"rlnCtfDataAre{name}": [0, 0]}, particles=PARTICLES)
    particles = read_particles(path)
    assert particles.ctf is not None
    assert (particles.phase_flipped, particles.premultiplied) == (False, False)
    assert particles.warnings == ()


def test_phase_flipped_images_are_marked_by_the_file_or_the_callers_word(write_relion):
    column = "rlnCtfDataArePhaseFlipped"
    flagged = OPTICS | {column: [1, 1]}
    assert read_particles(write_relion(optics=flagged, particles=PARTICLES)).phase_flipped
    plain = write_relion(optics=OPTICS, particles=PARTICLES)
    assert not read_particles(plain).phase_flipped
    particles = read_particles(plain, phase_flipped=True)
    assert particles.phase_flipped
    assert particles[1:].phase_flipped
    assert particles.warnings == ()
    path = write_relion(optics=flagged, particles=PARTICLES)
    with pytest.warns(UserWarning, match="phase flipped: False as given, where the file says True"):
        assert not read_particles(path, phase_flipped=False).phase_flipped


def test_premultiplied_images_are_marked(write_relion):
    path = write_relion(
        optics=OPTICS | {"rlnCtfDataAreCtfPremultiplied": [1, 1]}, particles=PARTICLES
    )
    particles = read_particles(path)
    assert particles.premultiplied
    assert particles.ctf is not None


def test_images_cannot_be_two_things_at_once_or_be_flipped_by_an_unknown_ctf(write_relion):
    both = {"rlnCtfDataAreCtfPremultiplied": [1, 1], "rlnCtfDataArePhaseFlipped": [1, 1]}
    path = write_relion(optics=OPTICS | both, particles=PARTICLES)
    assert refusal(path).endswith("not several, got phase_flipped and premultiplied")
    path = write_relion(optics=OPTICS, particles=changed(PARTICLES, rlnDefocusU=None))
    assert refusal(path, phase_flipped=True) == (
        "expected a defocus, since the images are phase-flipped, got none"
    )


def test_groups_that_differ_in_what_was_done_are_read_one_by_one(write_relion):
    optics = OPTICS | {"rlnCtfDataArePhaseFlipped": [0, 1]}
    path = write_relion(optics=optics, particles=PARTICLES)
    assert refusal(path).startswith("rlnCtfDataArePhaseFlipped: expected one value for all parti")
    flipped = read_particles(path, optics_group=2)
    assert (len(flipped), flipped.phase_flipped) == (2, True)
    assert not read_particles(path, optics_group=1).phase_flipped


# Volumes and tilt series.


def test_a_subtomogram_of_relion_3_0_is_no_image(write_relion, tmp_path):
    write_volume(tmp_path / "cube.mrc", np.ones((8, 8, 8)), 1.5)
    names = ["cube.mrc"] * 3
    path = write_relion(_=changed(VERSION_3_0, rlnImageName=names, rlnOriginZ=[0] * 3))
    assert refusal(path) == (
        "expected one image, or its number before '@', got the name 'cube.mrc' of 8 sections "
        "(a volume, or a tilt series)"
    )
    path = write_relion(_=changed(VERSION_3_0, rlnImageName=names, rlnCtfImage=["ctf.mrc"] * 3))
    assert refusal(path) == "expected two-dimensional images, got subtomograms (rlnCtfImage)"


@pytest.mark.parametrize("where", ["general", "optics"])
def test_tilt_series_of_relion_5_are_no_images(write_relion, where):
    table = changed(PARTICLES, rlnImageName=["stack.mrcs"] * 3)
    column = {"rlnTomoSubTomosAre2DStacks": [1]}
    tables = {"general": column, "optics": OPTICS}
    if where == "optics":
        tables = {"optics": OPTICS | {"rlnTomoSubTomosAre2DStacks": [1, 1]}}
    assert refusal(write_relion(**tables, particles=table), images=False) == (
        "expected one image per particle, got tilt series (rlnTomoSubTomosAre2DStacks 1)"
    )


# Names of images.


def test_the_suffix_after_a_colon_names_the_format(write_relion):
    names = ["1@stack.mrcs:mrcs", "4@other/stack.mrcs:mrc", "2@stack.mrcs"]
    particles = read_particles(
        write_relion(optics=OPTICS, particles=PARTICLES | {"rlnImageName": names})
    )
    assert particles.images[:, 0, 0].tolist() == [0, 13, 1]


@pytest.mark.parametrize("number", ["9" * 30, "1_0", "-1", "1.0", "+1", " 1", "٣"])
def test_a_number_of_an_image_is_digits_of_a_possible_number(write_relion, number):
    names = ["1@stack.mrcs", f"'{number}@stack.mrcs'", "1@stack.mrcs"]
    path = write_relion(optics=OPTICS, particles=PARTICLES | {"rlnImageName": names})
    assert refusal(path).startswith("rlnImageName: expected a number from 1 before '@', got '")


def test_stacks_that_lie_elsewhere_are_found_by_the_end_of_their_names(write_relion, tmp_path):
    path = write_relion(optics=OPTICS, particles=PARTICLES)
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    (tmp_path / "stack.mrcs").rename(elsewhere / "stack.mrcs")
    (tmp_path / "other").rename(elsewhere / "other")
    with pytest.raises(FileNotFoundError, match=r"the stack 'stack.mrcs' was not found: .*datadir"):
        read_particles(path)
    assert read_particles(path, datadir=elsewhere).images[:, 0, 0].tolist() == [2, 0, 11]
    names = [f"Extract/job1/{name.partition('@')[2]}" for name in PARTICLES["rlnImageName"]]
    table = PARTICLES | {"rlnImageName": [f"{i}@{name}" for i, name in enumerate(names, 1)]}
    path = write_relion(optics=OPTICS, particles=table)
    assert read_particles(path, datadir=elsewhere).images[:, 0, 0].tolist() == [0, 1, 12]
    (elsewhere / "other" / "stack.mrcs").unlink()
    assert refusal(path, datadir=elsewhere) == (
        f"expected a file for each stack in datadir, got {elsewhere}/stack.mrcs for both "
        f"'Extract/job1/stack.mrcs' and 'Extract/job1/other/stack.mrcs'"
    )
    with pytest.raises(FileNotFoundError, match=r"not in .*/other, under its name or the end of"):
        read_particles(path, datadir=elsewhere / "other")


def test_nothing_is_looked_for_above_the_project(write_relion, tmp_path):
    job = tmp_path / "project" / "Refine3D" / "job001"
    job.mkdir(parents=True)
    path = write_relion(optics=OPTICS, particles=PARTICLES).rename(job / "run_data.star")
    assert len(read_particles(path).images) == 3
    (tmp_path / "project" / "default_pipeline.star").touch()
    with pytest.raises(FileNotFoundError, match="was not found"):
        read_particles(path)
    (tmp_path / "project" / "default_pipeline.star").unlink()
    deep = job / "deeper"
    deep.mkdir()
    with pytest.raises(FileNotFoundError, match="was not found"):
        read_particles(path.rename(deep / "run_data.star"))


# Images that are there twice.


def test_an_image_in_both_halves_is_counted(write_relion):
    names = ["1@stack.mrcs", "1@stack.mrcs", "2@stack.mrcs"]
    message = "1 image is listed more than once"
    shared = f"{message}, 1 of them in both half sets, which are not independent"
    for halves, expected in ((None, message), ([1, 1, 2], message), ([1, 2, 2], shared)):
        table = changed(PARTICLES, rlnImageName=names, rlnRandomSubset=halves)
        path = write_relion(optics=OPTICS, particles=table)
        with pytest.warns(UserWarning, match=rf"^{path}: {expected}$"):
            particles = read_particles(path)
        assert particles.warnings == (expected,)
        assert particles.images.identities()[0] == particles.images.identities()[1]
        with pytest.warns(UserWarning, match=rf"{expected}$"):
            read_particles(path, images=False)


# Groups and classes.


def test_groups_of_different_pixel_size_and_box_are_read_one_by_one(write_relion, tmp_path):
    optics = changed(OPTICS, rlnImagePixelSize=[1.5, 2.0], rlnImageSize=[6, 8])
    path = write_relion(optics=optics, particles=PARTICLES)
    with StackWriter(tmp_path / "small.mrcs", 4, 6, 1.5) as writer:
        writer.write(np.ones((4, 6, 6)))
    assert refusal(path) == (
        f"expected one pixel size for all particles, got 1.5 to 2 Angstrom; {ADVICE}"
    )
    assert refusal(path, pixel_size=1.5).startswith("expected one pixel size for all particles")
    second = read_particles(path, optics_group=2)
    assert (len(second), second.pixel_size, second.size) == (2, 2.0, 8)
    np.testing.assert_allclose(second.shifts, [[-1.5, -0.375], [0, 0]])
    assert second.ctf.voltage.tolist() == [200, 200]
    assert second.optics_group.tolist() == [2, 2]
    with pytest.raises(ValueError, match=r"^optics_group: expected one of 1, 2 \(.*\), got 3$"):
        read_particles(path, optics_group=3)


def test_groups_can_be_selected_after_reading(write_relion):
    particles = read_particles(write_relion(optics=OPTICS, particles=PARTICLES))
    assert particles.select_group(2).images[:, 0, 0].tolist() == [2, 11]
    with pytest.raises(ValueError, match=r"^number: expected one of the optics groups 1, 2, got 7"):
        particles.select_group(7)


def test_a_class_can_be_chosen_and_several_are_named(write_relion):
    path = write_relion(optics=OPTICS, particles=PARTICLES | {"rlnClassNumber": [3, 1, 3]})
    assert read_particles(path, class_index=3).images[:, 0, 0].tolist() == [2, 11]
    with pytest.warns(UserWarning, match=r"particles of 2 classes are taken together; class_index"):
        assert len(read_particles(path)) == 3
    with pytest.raises(ValueError, match=r"^class_index: expected one of 1, 3 \(.*\), got 2$"):
        read_particles(path, class_index=2)
    path = write_relion(optics=OPTICS, particles=PARTICLES)
    with pytest.raises(ValueError, match=r"class_index: expected None, since .* no rlnClassNumber"):
        read_particles(path, class_index=1)


# Two tables, two columns.


def test_what_an_image_has_of_its_own_comes_from_its_row(write_relion):
    """As in RELION's CTF::readValue; its refinement reads these from the particles only."""
    path = write_relion(optics=OPTICS | {"rlnPhaseShift": [1, 2]}, particles=PARTICLES)
    assert read_particles(path).ctf.phase_shift.tolist() == [0, 90, 45]


@pytest.mark.parametrize("name", ["rlnVoltage", "rlnSphericalAberration", "rlnImagePixelSize"])
def test_tables_that_contradict_each_other_are_refused(write_relion, name):
    """RELION's refinement takes the optics table, its reconstruction the particles."""
    same = [OPTICS[name][group - 1] for group in PARTICLES["rlnOpticsGroup"]]
    assert (
        read_particles(write_relion(optics=OPTICS, particles=PARTICLES | {name: same})).warnings
        == ()
    )
    path = write_relion(optics=OPTICS, particles=PARTICLES | {name: [*same[:2], 0.5]})
    expected = f"{name}: expected the optics table and the particle to agree, got {same[2]:g} and "
    assert refusal(path) == f"{expected}0.5 in row 3"


@pytest.mark.parametrize(
    ("groups", "message"),
    [
        ([1, 1], "expected each optics group once, got group 1 twice"),
        ([0, 2], "rlnOpticsGroup: expected whole numbers from 1, got 0"),
        ([1.5, 2], "rlnOpticsGroup: expected whole numbers from 1, got 1.5"),
        (["1_0", 2], "rlnOpticsGroup: expected a finite number, got '1_0' in row 1"),
    ],
    ids=str,
)
def test_optics_groups_are_listed_once_and_numbered(write_relion, groups, message):
    path = write_relion(optics=OPTICS | {"rlnOpticsGroup": groups}, particles=PARTICLES)
    assert refusal(path) == message


def test_pixel_sizes_are_taken_in_relions_order(write_relion):
    """3.0: of the detector (StarConverter); from 3.1 on of the image, then of the micrograph."""
    old = VERSION_3_0 | {"rlnImagePixelSize": [3] * 3}
    with pytest.warns(UserWarning, match=r"rlnImagePixelSize 3 contradicts rlnDetectorPixelSize a"):
        assert read_particles(write_relion(_=old)).pixel_size == 1.5
    new = PARTICLES | {"rlnDetectorPixelSize": [6] * 3, "rlnMagnification": [20000] * 3}
    path = write_relion(optics=OPTICS, particles=new)
    with pytest.warns(UserWarning, match=r"Magnification 3 contradicts rlnImagePixelSize 1.5"):
        assert read_particles(path).pixel_size == 1.5
    optics = changed(OPTICS, rlnImagePixelSize=None, rlnMicrographOriginalPixelSize=[0.8, 0.8])
    path = write_relion(optics=optics, particles=PARTICLES)
    with pytest.warns(UserWarning, match="pixel size taken from rlnMicrographOriginalPixelSize, a"):
        assert read_particles(path).pixel_size == 0.8
    optics = OPTICS | {"rlnMicrographOriginalPixelSize": [0.75, 0.75]}  # extracted at half size
    assert read_particles(write_relion(optics=optics, particles=PARTICLES)).warnings == ()
