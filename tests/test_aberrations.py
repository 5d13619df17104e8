"""Aberrations: RELION's polynomials, phases that are unitary, gradients that are exact."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from strategies import batches, noise, precisions, seeds

from fslice import CTF, irfft2, rfft2
from fslice._arrays import complex_dtype
from fslice.fourier import frequencies, hermitian_part, hermitian_weights, inner_product
from fslice.operators.aberrations import (
    aberrate_slices,
    aberrate_slices_vjp,
    aberrated_ctf,
    aberrated_ctf_vjp,
)
from fslice.operators.zernike import (
    beam_tilt_coefficients,
    zernike_phases,
    zernike_phases_vjp,
)
from fslice.testing import check_adjoint, check_gradient

symmetries = st.sampled_from(["odd", "even"])
# In the order of RELION's indices, in Cartesian form (Born and Wolf, table 9.1).
ODD = [
    lambda x, y: y + 0 * x,
    lambda x, y: x + 0 * y,
    lambda x, y: 3 * x**2 * y - y**3,
    lambda x, y: (3 * (x**2 + y**2) - 2) * y,
    lambda x, y: (3 * (x**2 + y**2) - 2) * x,
    lambda x, y: x**3 - 3 * x * y**2,
]
EVEN = [
    lambda x, y: 1 + 0 * x * y,
    lambda x, y: 2 * x * y,
    lambda x, y: 2 * (x**2 + y**2) - 1,
    lambda x, y: x**2 - y**2,
    lambda x, y: 4 * x**3 * y - 4 * x * y**3,
    lambda x, y: 2 * x * y * (4 * (x**2 + y**2) - 3),
    lambda x, y: 6 * (x**2 + y**2) ** 2 - 6 * (x**2 + y**2) + 1,
    lambda x, y: (x**2 - y**2) * (4 * (x**2 + y**2) - 3),
    lambda x, y: x**4 - 6 * x**2 * y**2 + y**4,
]


def grid(size, pixel_size):
    return [k / (size * pixel_size) for k in frequencies(size, 2)]


def make_ctf(rng, number):
    return CTF(
        defocus_u=rng.uniform(1e4, 2e4, number),
        defocus_v=rng.uniform(1e4, 2e4, number),
        astigmatism_angle=rng.uniform(-90, 90, number),
        voltage=300,
        spherical_aberration=2.7,
        amplitude_contrast=0.1,
        pixel_size=1.3,
        phase_shift=20,
        b_factor=rng.uniform(0, 100, number),
        scale=rng.uniform(0.5, 1.5, number),
    )


@pytest.mark.parametrize(("symmetry", "terms"), [("odd", ODD), ("even", EVEN)])
@pytest.mark.parametrize("size", [7, 8])
def test_coefficients_are_of_relions_polynomials_of_the_frequency(symmetry, terms, size):
    x, y = grid(size, 0.3)
    for index, term in enumerate(terms):
        found = zernike_phases(np.eye(len(terms))[index], size, 0.3, symmetry)
        np.testing.assert_allclose(found, term(x, y), atol=1e-12, err_msg=str(index))


@given(seed=seeds, size=st.integers(2, 9))
def test_a_beam_tilt_is_the_shift_that_spherical_aberration_makes_of_it(seed, size):
    tilt_x, tilt_y = np.random.default_rng(seed).normal(size=2)
    coefficients = beam_tilt_coefficients(*map(np.float64, (tilt_x, tilt_y, 2.7, 300.0)))
    x, y = grid(size, 1.1)
    wavelength = 12.2643247 / math.sqrt(300e3 * (1 + 300e3 * 0.978466e-6))
    scale = 2.7 * 20000 * wavelength**2 * math.pi  # of RELION's TiltHelper::insertTilt
    expected = -scale * (tilt_x * x + tilt_y * y) * (x**2 + y**2)
    found = zernike_phases(coefficients, size, 1.1)
    np.testing.assert_allclose(found, expected, atol=1e-12 * abs(expected).max())


@st.composite
def cases(draw, dtypes=precisions):
    rng = np.random.default_rng(draw(seeds))
    size, batch, dtype = draw(st.integers(2, 9)), draw(batches), draw(dtypes)
    half = (*batch, size, size // 2 + 1)
    slices, others = noise(rng, (2, *half), complex_dtype(dtype))
    return slices, 3 * noise(rng, half, dtype), others


@given(case=cases())
def test_the_opposite_phases_are_the_adjoint_and_the_inverse(case):
    slices, phases, others = case
    check_adjoint(
        lambda s: aberrate_slices(s, phases),
        lambda s: aberrate_slices(s, -phases),
        slices,
        others,
    )
    again = aberrate_slices(aberrate_slices(slices, phases), -phases)
    assert np.allclose(again, slices, rtol=0, atol=100 * np.finfo(phases.dtype).eps)


@given(case=cases(st.just("float64")))
def test_gradients_in_slices_and_phases_are_exact(case):
    slices, phases, others = case
    grad_slices, grad_phases = aberrate_slices_vjp(slices, phases, cotangent=others)
    rng = np.random.default_rng(slices.size)
    check_gradient(
        lambda s: inner_product(aberrate_slices(s, phases), others),
        grad_slices,
        slices,
        noise(rng, slices.shape, complex),
    )
    weights = hermitian_weights(slices.shape[-2])
    check_gradient(
        lambda p: inner_product(aberrate_slices(slices, p), others),
        grad_phases,
        phases,
        noise(rng, phases.shape),
        inner=lambda a, b: float((weights * a * b).sum()),
    )


@given(seed=seeds, size=st.integers(2, 9), count=st.integers(1, 12), symmetry=symmetries)
def test_the_gradient_in_the_coefficients_is_the_adjoint(seed, size, count, symmetry):
    rng = np.random.default_rng(seed)
    coefficients = noise(rng, (3, count))
    cotangent = noise(rng, (3, size, size // 2 + 1))
    found = zernike_phases_vjp(coefficients, size, 1.5, symmetry, cotangent=cotangent)
    phases = zernike_phases(coefficients, size, 1.5, symmetry)
    products = hermitian_weights(size) * phases * cotangent
    expected, scale = products.sum(), abs(products).sum()
    assert abs((found.coefficients * coefficients).sum() - expected) <= 1e-12 * scale


@given(seed=seeds, size=st.integers(2, 9))
def test_odd_phases_keep_images_real_within_nyquist(seed, size):
    rng = np.random.default_rng(seed)
    images_ft = rfft2(noise(rng, (size, size)))
    if size % 2 == 0:
        images_ft[size // 2], images_ft[:, size // 2] = 0, 0
    moved = aberrate_slices(images_ft, zernike_phases(noise(rng, (6,)), size, 0.7))
    assert np.allclose(hermitian_part(moved, 2), moved, rtol=0, atol=1e-13)
    assert np.allclose(rfft2(irfft2(moved)), moved, rtol=0, atol=1e-13)


@given(seed=seeds, size=st.integers(2, 9))
def test_the_even_phase_is_added_to_gamma(seed, size):
    """A constant is a phase plate turned back; spherical aberration is r^4."""
    rng = np.random.default_rng(seed)
    ctf, turn, more = make_ctf(rng, 2), rng.normal(), rng.normal()
    x, y = grid(size, 1.3)
    square = x**2 + y**2
    wavelength = 12.2643247 / math.sqrt(300e3 * (1 + 300e3 * 0.978466e-6))
    phases = turn + math.pi / 2 * more * 1e7 * wavelength**3 * square**2
    expected = ctf.replace(
        phase_shift=ctf.phase_shift - math.degrees(turn), spherical_aberration=2.7 + more
    ).evaluate(size)
    np.testing.assert_allclose(aberrated_ctf(ctf, phases), expected, atol=1e-11)
    single = aberrated_ctf(ctf, phases.astype(np.float32), "float32")
    assert single.dtype == np.float32
    np.testing.assert_allclose(single, expected, atol=1e-3)


def test_gradients_of_the_aberrated_ctf_are_exact(rng):
    ctf, phases = make_ctf(rng, 3), rng.normal(size=(3, 6, 4))
    cotangent, weights = rng.normal(size=(3, 6, 4)), hermitian_weights(6)

    def loss(ctf, phases):
        return float((weights * cotangent * aberrated_ctf(ctf, phases)).sum())

    gradients = aberrated_ctf_vjp(ctf, phases, cotangent=cotangent)
    for name, step in (("defocus_u", 1e-2), ("amplitude_contrast", 1e-6), ("scale", 1e-5)):
        value = getattr(ctf, name)
        check_gradient(
            lambda v, name=name: loss(ctf.replace(**{name: v}), phases),
            getattr(gradients.ctf, name),
            value,
            rng.normal(size=3),
            inner=lambda a, b: float(a @ b),
            step=step,
        )
    check_gradient(
        lambda p: loss(ctf, p),
        gradients.phases,
        phases,
        rng.normal(size=phases.shape),
        inner=lambda a, b: float((weights * a * b).sum()),
    )


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (
            lambda: zernike_phases(np.zeros(0), 4, 1.0),
            "coefficients: expected at least one element",
        ),
        (lambda: zernike_phases(np.ones(2), 4, 0.0), "pixel_size: expected a positive number"),
        (lambda: zernike_phases(np.ones(2), 4, 1.0, "none"), "symmetry: expected "),
        (
            lambda: aberrate_slices(np.ones((4, 3), complex), np.ones((4, 4))),
            r"phases: expected shape \(4, 3\), got \(4, 4\)",
        ),
    ],
)
def test_bad_arguments_are_named(call, message):
    with pytest.raises(ValueError, match=f"^{message}"):
        call()
