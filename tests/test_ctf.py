import cmath
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from strategies import REFINABLE

from fslice.fourier import frequencies, hermitian_weights, inner_product, irfft2, radii, rfft2
from fslice.operators.ctf import CTF
from fslice.testing import check_gradient


def ordinary(**changes):
    """Return the CTF of one image without aberration, astigmatism or amplitude contrast."""
    parameters = {
        "defocus_u": 15000.0,
        "defocus_v": 15000.0,
        "astigmatism_angle": 0.0,
        "voltage": 300.0,
        "spherical_aberration": 0.0,
        "amplitude_contrast": 0.0,
        "pixel_size": 1.5,
    }
    return CTF(**(parameters | changes))


def random_ctf(rng, count):
    return CTF(
        defocus_u=rng.uniform(5000, 30000, count),
        defocus_v=rng.uniform(5000, 30000, count),
        astigmatism_angle=rng.uniform(-180, 180, count),
        voltage=rng.uniform(80, 300, count),
        spherical_aberration=rng.uniform(0, 3, count),
        amplitude_contrast=rng.uniform(-0.3, 0.3, count),
        pixel_size=rng.uniform(0.8, 5, count),
        phase_shift=rng.uniform(-90, 90, count),
        b_factor=rng.uniform(-10, 200, count),
        scale=rng.uniform(0.5, 2, count),
    )


def wavelength_of(kilovolts):
    """Return the wavelength in Angstrom with RELION's constants."""
    volts = 1e3 * kilovolts
    return 12.2643247 / math.sqrt(volts + 0.978466e-6 * volts**2)


def value_at(ctf, image, kx, ky, size):
    """Return one value of one image, from defocus along the frequency's own direction."""
    at = {name: float(getattr(ctf, name)[image]) for name in vars(ctf)}
    frequency = math.hypot(kx, ky) / (size * at["pixel_size"])
    from_axis = math.atan2(ky, kx) - math.radians(at["astigmatism_angle"])
    defocus = (
        at["defocus_u"] * math.cos(from_axis) ** 2 + at["defocus_v"] * math.sin(from_axis) ** 2
    )
    length = wavelength_of(at["voltage"])
    aberration = 1e7 * at["spherical_aberration"]
    lens = math.pi * (0.5 * aberration * length**3 * frequency**4 - defocus * length * frequency**2)
    contrast = at["amplitude_contrast"]
    wave = math.sqrt(1 - contrast**2) + 1j * contrast
    phase = cmath.exp(1j * (lens - math.radians(at["phase_shift"]))) * wave.conjugate()
    return -at["scale"] * math.exp(-at["b_factor"] / 4 * frequency**2) * phase.imag


@given(size=st.integers(1, 9), seed=st.integers(0, 2**32 - 1))
def test_values_are_those_of_the_formula_at_every_frequency(size, seed):
    ctf = random_ctf(np.random.default_rng(seed), 2)
    kx, ky = np.broadcast_arrays(*frequencies(size, 2))
    expected = [
        [value_at(ctf, image, x, y, size) for x, y in zip(kx.ravel(), ky.ravel(), strict=True)]
        for image in range(2)
    ]
    values = ctf.evaluate(size)
    assert values.shape == (2, size, size // 2 + 1)
    np.testing.assert_allclose(values.reshape(2, -1), expected, atol=1e-10)


@pytest.mark.parametrize("voltage", [100, 200, 300])
def test_the_wavelength_is_that_of_relativistic_electrons(voltage):
    planck, light, charge, mass = 6.62607015e-34, 299792458.0, 1.602176634e-19, 9.1093837e-31
    energy = voltage * 1e3 * charge
    momentum = math.sqrt(energy * (energy + 2 * mass * light**2)) / light
    angstrom = 1e10 * planck / momentum
    # With this defocus the phase at the edge of the band is one half turn; RELION's constants
    # are rounded at the sixth digit.
    defocus = (2 * 1.5) ** 2 / angstrom
    ctf = ordinary(defocus_u=defocus, defocus_v=defocus, voltage=voltage)
    assert ctf.evaluate(8)[0, 0, 4] == pytest.approx(0, abs=1e-5 * math.pi)


def test_the_first_zero_is_where_wavelength_times_defocus_times_frequency_squared_is_one():
    zero = 1 / math.sqrt(wavelength_of(300) * 15000) * 256 * 1.5  # in shells
    values = ordinary().evaluate(256)[0, 0]
    below, above = math.floor(zero), math.ceil(zero)
    assert (values[1 : below + 1] > 0).all()
    assert values[above] < 0


def test_zero_frequency_shows_the_amplitude_contrast_and_a_phase_plate_fills_it():
    assert ordinary(amplitude_contrast=0.07).evaluate(8)[0, 0, 0] == pytest.approx(0.07)
    assert ordinary(phase_shift=90).evaluate(8)[0, 0, 0] == pytest.approx(1)
    assert ordinary(phase_shift=30, scale=2).evaluate(8)[0, 0, 0] == pytest.approx(1)


def test_the_b_factor_is_an_envelope_of_a_quarter_of_it_times_frequency_squared():
    envelope = np.exp(-20 * (radii(16, 2) / (16 * 1.5)) ** 2)
    values, without = ordinary(b_factor=80).evaluate(16), ordinary().evaluate(16)
    np.testing.assert_allclose(values[0], envelope * without[0], rtol=1e-12)


def test_defocus_u_lies_along_the_astigmatism_angle():
    astigmatic = {"defocus_u": 20000.0, "defocus_v": 10000.0}
    along_x = ordinary(**astigmatic).evaluate(32)[0]
    along_y = ordinary(**astigmatic, astigmatism_angle=90).evaluate(32)[0]
    diagonal = ordinary(**astigmatic, astigmatism_angle=45).evaluate(32)[0]
    round_u, round_v = (
        ordinary(defocus_u=d, defocus_v=d).evaluate(32)[0] for d in (20000.0, 10000.0)
    )
    np.testing.assert_allclose(along_x[0], round_u[0], atol=1e-12)
    np.testing.assert_allclose(along_x[:, 0], round_v[:, 0], atol=1e-12)
    np.testing.assert_allclose(along_y[0], round_v[0], atol=1e-12)
    steps = np.arange(1, 16)
    np.testing.assert_allclose(diagonal[steps, steps], round_u[steps, steps], atol=1e-12)
    np.testing.assert_allclose(diagonal[-steps, steps], round_v[-steps, steps], atol=1e-12)


def test_single_precision_is_accurate_though_the_phase_is_hundreds_of_radians(rng):
    ctf = random_ctf(rng, 8).replace(defocus_u=40000, pixel_size=0.7, b_factor=0, scale=1)
    double, single = ctf.evaluate(96), ctf.evaluate(96, "float32")
    assert single.dtype == np.float32
    assert abs(single - double).max() < 1e-6


def test_images_that_share_a_block_are_independent(rng):
    ctf = random_ctf(rng, 40)
    together = ctf.evaluate(64)  # 40 * 64 * 33 values: more than one block
    gradients = ctf.vjp(64, cotangent=together)
    for image in (0, 30, 31, 39):
        alone = ctf[image].evaluate(64)
        np.testing.assert_allclose(together[image], alone[0], atol=1e-11)
        gradient = ctf[image].vjp(64, cotangent=alone)
        np.testing.assert_allclose(gradients.defocus_u[image], gradient.defocus_u, rtol=1e-6)


@given(
    size=st.integers(1, 9),
    name=st.sampled_from(REFINABLE),
    seed=st.integers(0, 2**32 - 1),
)
def test_vjp_is_the_gradient_in_each_parameter(size, name, seed):
    rng = np.random.default_rng(seed)
    ctf = random_ctf(rng, 3)
    cotangent = rng.normal(size=(3, size, size // 2 + 1))
    gradients = ctf.vjp(size, cotangent=cotangent)
    assert set(gradients._fields) == set(REFINABLE)

    def loss(values):
        changed = ctf.replace(**{name: values}).evaluate(size)
        return (changed * cotangent * hermitian_weights(size)).sum()

    units = {"defocus_u": 100, "defocus_v": 100, "amplitude_contrast": 0.1, "b_factor": 100}
    direction = rng.normal(size=3) * units.get(name, 1)
    check_gradient(loss, getattr(gradients, name), getattr(ctf, name), direction)


def test_vjp_takes_the_gradient_of_an_image_to_the_parameters(rng):
    ctf, image, residual = random_ctf(rng, 1), rng.normal(size=(7, 7)), rng.normal(size=(7, 7))
    gradient = ctf.vjp(7, cotangent=(rfft2(residual).conj() * rfft2(image)).real[None])

    def loss(defocus):
        values = ctf.replace(defocus_u=defocus).evaluate(7)[0]
        return np.vdot(irfft2(values * rfft2(image)), residual)

    check_gradient(loss, gradient.defocus_u, ctf.defocus_u, np.array([50.0]))


def test_vjp_in_single_precision_is_close_to_double(rng):
    ctf, cotangent = random_ctf(rng, 4), rng.normal(size=(4, 16, 9))
    double = ctf.vjp(16, cotangent=cotangent)
    single = ctf.vjp(16, cotangent=cotangent.astype(np.float32))
    for got, expected in zip(single, double, strict=True):
        np.testing.assert_allclose(got, expected, atol=1e-4 * abs(expected).max())


def test_values_are_the_same_at_opposite_frequencies_so_images_stay_real(rng):
    values = random_ctf(rng, 1).evaluate(9)[0]
    image = rng.normal(size=(9, 9))
    np.testing.assert_allclose(values[1:, 0], values[:0:-1, 0], atol=1e-9)
    filtered = values * rfft2(image)
    assert np.isclose(inner_product(filtered, filtered), (irfft2(filtered) ** 2).sum())


def test_selecting_images_selects_their_parameters(rng):
    ctf = random_ctf(rng, 5)
    assert len(ctf) == 5
    for index in (slice(1, 4), np.array([4, 0, 0]), np.array([True, False, True, True, False])):
        chosen = ctf[index]
        assert len(chosen) == 3
        np.testing.assert_array_equal(chosen.defocus_u, ctf.defocus_u[index])
        np.testing.assert_array_equal(chosen.evaluate(6), ctf.evaluate(6)[index])
    assert len(ctf[2]) == 1
    assert [len(image) for image in ctf] == [1] * 5


def test_numbers_and_arrays_of_one_broadcast_and_the_callers_arrays_are_left_alone():
    defocus = np.array([10000.0, 12000.0])
    ctf = ordinary(defocus_u=defocus, voltage=np.array([200]))
    assert ctf.voltage.tolist() == [200, 200]
    assert ctf.defocus_u.dtype == np.float64
    defocus[0] = 0
    assert ctf.defocus_u[0] == 10000
    assert ordinary().replace(defocus_u=defocus).defocus_u.tolist() == [0, 12000]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"voltage": 0}, "voltage: expected positive values, got 0.0"),
        ({"pixel_size": [1.0, -2.0]}, "pixel_size: expected positive values, got -2.0"),
        ({"amplitude_contrast": 1}, "amplitude_contrast: expected values between -1 and 1"),
        ({"defocus_u": np.nan}, "defocus_u: 1 of 1 values are NaN or infinite"),
        ({"scale": [1, 2], "b_factor": [1, 2, 3]}, r"scale: expected shape \(3,\), got \(2,\)"),
        ({"defocus_v": np.ones((2, 2))}, r"defocus_v: expected shape \(n,\), got \(2, 2\)"),
        ({"defocus_v": []}, "defocus_v: expected at least one element"),
    ],
)
def test_parameters_out_of_range_are_named(changes, message):
    with pytest.raises(ValueError, match=message):
        ordinary(**changes)


def test_wrong_kinds_are_refused():
    with pytest.raises(TypeError, match="voltage: expected real numbers, got <U5"):
        ordinary(voltage="300kV")
    with pytest.raises(TypeError, match="defocus_u: expected real numbers, got complex128"):
        ordinary(defocus_u=1j)
    with pytest.raises(TypeError, match="cotangent: expected dtype float32 or float64"):
        ordinary().vjp(4, cotangent=np.zeros((1, 4, 3), complex))
    with pytest.raises(ValueError, match=r"cotangent: expected shape \(1, 4, 3\), got \(4, 3\)"):
        ordinary().vjp(4, cotangent=np.zeros((4, 3)))
    with pytest.raises(ValueError, match="dtype: expected 'float32' or 'float64', got 'int64'"):
        ordinary().evaluate(4, int)
    with pytest.raises(ValueError, match="size: expected at least 1, got 0"):
        ordinary().evaluate(0)
    with pytest.raises(ValueError, match="index: expected at least one element"):
        ordinary()[[]]


@pytest.mark.filterwarnings("ignore:.*left out. rlnNormCorrection$")
def test_projections_of_a_point_agree_with_relion(data):
    from fslice.io import read_particles

    folder = data / "particles" / "relion_pointmass_ctf"
    particles = read_particles(folder / "relion_proj_batch_pfac2.star")
    point = np.array([49 - 32, 0, 0])  # (x, y, z) of the voxel that is 1, from the origin
    seen = (particles.rotations.swapaxes(1, 2) @ point)[:, :2] + particles.shifts
    kx, ky = frequencies(64, 2)
    phase = kx * seen[:, 0, None, None] + ky * seen[:, 1, None, None]
    projections_ft = np.exp(-2j * np.pi * phase / 64) / 64
    inside = radii(64, 2) <= 32  # RELION has nothing in the corners beyond Nyquist
    expected = irfft2(projections_ft * particles.ctf.evaluate(64) * inside)
    for image, relion in zip(expected, particles.images[:].astype(np.float64), strict=True):
        assert np.corrcoef(image.ravel(), relion.ravel())[0, 1] >= 0.998
        assert np.vdot(image, relion) / np.vdot(image, image) == pytest.approx(1, abs=0.01)
