"""Values of RELION's files: those that no microscope has, those that are named, aberrations."""

import re

import numpy as np
import pytest
from relion_files import (
    OPTICS,
    PARTICLES,
    VERSION_3_0,
    changed,
    refusal,
)

from fslice.io import read_particles
from fslice.operators.zernike import beam_tilt_coefficients


@pytest.mark.parametrize(
    ("optics", "particles", "message"),
    [
        ({"rlnVoltage": [300000] * 2}, {}, "rlnVoltage: expected 20 to 3000 kV, got 300000"),
        ({"rlnSphericalAberration": [2.7e7] * 2}, {}, "rlnSphericalAberration: expected -50 to 50 "
         "mm, got 2.7e+07"),
        ({"rlnAmplitudeContrast": [7, 7]}, {}, "rlnAmplitudeContrast: expected 0 to 1 (a fraction)"
         ", got 7"),
        ({"rlnAmplitudeContrast": [-0.1, 0.1]}, {}, "rlnAmplitudeContrast: expected 0 to 1 "
         "(a fraction), got -0.1"),
        ({}, {"rlnDefocusU": [1e4, 1e9, 1e4]}, "rlnDefocusU: expected -1e+06 to 1e+06 Angstrom, "
         "got 1e+09"),
        ({}, {"rlnPhaseShift": [0, 9e9, 0]}, "rlnPhaseShift: expected -360 to 360 degrees, got "
         "9e+09"),
        ({"rlnImageSize": [0, 0]}, {}, "rlnImageSize: expected a whole number of pixels from 2, "
         "got 0"),
        ({"rlnImageSize": [32.9, 32.9]}, {}, "rlnImageSize: expected a whole number of pixels "
         "from 2, got 32.9"),
        ({"rlnAmplitudeContrast": [0, 0], "rlnSphericalAberration": [0, 0]}, {"rlnDefocusU":
         [0] * 3, "rlnDefocusV": [0] * 3, "rlnPhaseShift": [0] * 3}, "expected a CTF, got one that "
         "is zero everywhere in row 1: defocus, spherical aberration and amplitude contrast are 0"),
        ({}, {"rlnDefocusU": ["1_0"] * 3}, "rlnDefocusU: expected a finite number, got '1_0' in "
         "row 1"),
        ({}, {"rlnDefocusU": ["?"] * 3}, "rlnDefocusU: expected a finite number, got '' in row 1"),
    ],
)  # fmt: skip
def test_values_that_no_microscope_has_are_refused(write_relion, optics, particles, message):
    path = write_relion(optics=OPTICS | optics, particles=PARTICLES | particles)
    assert refusal(path) == message


@pytest.mark.parametrize(
    ("optics", "particles", "message"),
    [
        ({}, {"rlnDefocusU": [1.5, 1.6, 1.7]}, "rlnDefocusU: at most 1.7 Angstrom; is it in mic"),
        ({}, {"rlnDefocusU": [-9e3, 9e3, -1]}, "rlnDefocusU: 2 images are overfocused (negative)"),
        ({}, {"rlnCtfScalefactor": [0, -1, 1]}, "rlnCtfScalefactor: 2 images have a contrast of "),
        ({}, {"rlnOriginXAngst": [99, 0, 0]}, "1 of 3 particles sit outside their images"),
        ({"rlnAmplitudeContrast": None}, {}, "rlnAmplitudeContrast is missing: assumed 0, as RELI"),
        ({"rlnImagePixelSize": [0.1, 0.1]}, {"rlnOriginXAngst": [0] * 3, "rlnOriginYAngst":
         [0] * 3}, "unusual pixel size: 0.1 Angstrom"),
        ({}, {"rlnNormCorrection": [1, 1, 0.9]}, "not modelled, and left out: rlnNormCorrection"),
        ({"rlnMtfFileName": ["a", "b"]}, {}, "not modelled, and left out: rlnMtfFileName"),
        ({}, {"rlnBeamTiltX": [0, 0, 0.1]}, "not modelled, and left out: rlnBeamTiltX of the part"),
    ],
)  # fmt: skip
def test_values_that_are_strange_or_not_used_are_named(write_relion, optics, particles, message):
    path = write_relion(optics=changed(OPTICS, **optics), particles=changed(PARTICLES, **particles))
    with pytest.warns(UserWarning, match=rf"^{re.escape(f'{path}: {message}')}"):
        particles = read_particles(path)
    assert len(particles.warnings) == 1
    contrast = 0 if "rlnAmplitudeContrast" in optics else 0.07
    assert particles.ctf.amplitude_contrast.min() == contrast


# Aberrations.


def test_tilt_and_zernike_coefficients_are_those_of_the_group(write_relion):
    optics = OPTICS | {
        "rlnBeamTiltX": [0, 0.2],
        "rlnBeamTiltY": [0.1, 0],
        "rlnOddZernike": ["[]", "[1,2,3,4,5,6,7,8,9,10,11,12]"],
        "rlnEvenZernike": ["[0,0,1e-3]", "[0,0.5]"],
    }
    particles = read_particles(write_relion(optics=optics, particles=PARTICLES))
    assert particles.warnings == ()
    aberrations = particles.aberrations
    tilt = beam_tilt_coefficients(*map(np.array, ([0, 0.2], [0.1, 0], [2.7, 1.4], [300.0, 200.0])))
    expected = np.zeros((2, 12))
    expected[1] = np.arange(1, 13)
    expected[:, :6] += tilt
    np.testing.assert_allclose(aberrations.odd, expected)
    np.testing.assert_array_equal(aberrations.even, [[0, 0, 1e-3], [0, 0.5, 0]])
    assert aberrations.group.tolist() == [1, 0, 1]
    assert aberrations.pixel_size == 1.5
    chosen = particles[1:].aberrations
    assert chosen.group.tolist() == [0, 1]
    assert chosen.odd_phases(8).shape == (2, 8, 5)


def test_beam_tilts_of_relion_3_0_make_groups(write_relion):
    path = write_relion(_=VERSION_3_0 | {"rlnBeamTiltX": [0.3, 0, 0.3], "rlnBeamTiltY": [0] * 3})
    aberrations = read_particles(path).aberrations
    expected = beam_tilt_coefficients(*map(np.array, ([0, 0.3], [0.0, 0], 2.7, 300.0)))
    np.testing.assert_allclose(aberrations.odd, expected)
    assert aberrations.group.tolist() == [1, 0, 1]


def test_even_aberrations_go_with_the_ctf(write_relion):
    optics = OPTICS | {"rlnEvenZernike": ["[0,0,1]"] * 2}
    path = write_relion(optics=optics, particles=changed(PARTICLES, rlnDefocusU=None))
    assert read_particles(path).aberrations is None


def test_a_damaged_list_of_coefficients_is_named(write_relion):
    path = write_relion(optics=OPTICS | {"rlnOddZernike": ["[1,x]"] * 2}, particles=PARTICLES)
    assert refusal(path) == "rlnOddZernike: expected a finite number, got 'x' in row 2"
