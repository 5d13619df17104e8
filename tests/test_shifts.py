"""Shifts as phases: unitary, exactly differentiable, and in the direction that they say."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from strategies import batches, laid_out, layouts, noise, precisions, seeds

from fslice import irfft2, rfft2
from fslice._arrays import complex_dtype
from fslice.fourier import inner_product
from fslice.operators import shift_slices, shift_slices_vjp
from fslice.testing import check_adjoint, check_gradient


@st.composite
def cases(draw, dtypes=precisions, smallest=1):
    """Draw half spectra without restriction, shifts, and half spectra to compare with."""
    rng = np.random.default_rng(draw(seeds))
    size, batch = draw(st.integers(smallest, 9)), draw(batches)
    layout, dtype = draw(layouts), draw(dtypes)
    half = (*batch, size, size // 2 + 1)
    slices, others = noise(rng, (2, *half), complex_dtype(dtype))
    shifts = 3 * noise(rng, (*batch, 2), dtype)
    return laid_out(slices, layout), laid_out(shifts, layout), laid_out(others, layout)


@given(case=cases())
def test_the_shift_by_minus_t_is_the_adjoint_and_the_inverse(case):
    slices, shifts, others = case
    check_adjoint(
        lambda s: shift_slices(s, shifts), lambda s: shift_slices(s, -shifts), slices, others
    )
    again = shift_slices(shift_slices(slices, shifts), -shifts)
    assert np.allclose(again, slices, rtol=0, atol=100 * np.finfo(shifts.dtype).eps)


@given(case=cases(dtypes=st.just("float64"), smallest=3))
def test_gradients_in_slices_and_shifts_are_exact(case):
    slices, shifts, others = case
    grad_slices, grad_shifts = shift_slices_vjp(slices, shifts, cotangent=others)
    rng = np.random.default_rng(slices.size)
    direction = noise(rng, slices.shape, complex)
    check_gradient(
        lambda s: inner_product(shift_slices(s, shifts), others), grad_slices, slices, direction
    )
    direction = noise(rng, shifts.shape)
    check_gradient(
        lambda t: inner_product(shift_slices(slices, t), others), grad_shifts, shifts, direction
    )


@given(seed=seeds, size=st.integers(1, 9))
def test_a_shift_by_whole_pixels_rolls_the_image(seed, size):
    rng = np.random.default_rng(seed)
    images = noise(rng, (3, size, size))
    shifts = rng.integers(-5, 6, (3, 2))
    moved = irfft2(shift_slices(rfft2(images), shifts.astype(float)))
    expected = [
        np.roll(image, (y, x), (0, 1)) for image, (x, y) in zip(images, shifts, strict=True)
    ]
    assert np.allclose(moved, expected, rtol=0, atol=1e-12)


@given(case=cases())
def test_results_have_the_shape_and_precision_of_the_input(case):
    slices, shifts, others = case
    before = slices.copy()
    grad_slices, grad_shifts = shift_slices_vjp(slices, shifts, cotangent=others)
    for array in (shift_slices(slices, shifts), grad_slices):
        assert (array.shape, array.dtype) == (slices.shape, slices.dtype)
    assert (grad_shifts.shape, grad_shifts.dtype) == (shifts.shape, shifts.dtype)
    assert np.array_equal(slices, before)


SLICES, SHIFTS = np.ones((2, 4, 3), complex), np.ones((2, 2))
WRONG = [
    (SLICES.real, SHIFTS, TypeError, "slices: expected dtype complex64 or complex128, got float64"),
    (SLICES, SHIFTS.tolist(), TypeError, "shifts: expected a NumPy or CuPy array, got list"),
    (SLICES, np.ones((2, 2), int), TypeError, "shifts: expected dtype float32 or float64, got int"),
    (
        SLICES,
        SHIFTS.astype("f4"),
        TypeError,
        "precisions differ: slices is complex128, shifts is float32",
    ),
    (SLICES[0, 0], SHIFTS, ValueError, r"slices: expected shape \(..., D, D//2 \+ 1\), got \(3,\)"),
    (SLICES[..., :2], SHIFTS, ValueError, r"slices: expected shape \(..., 4, 3\), got \(2, 4, 2\)"),
    (SLICES[:0], SHIFTS[:0], ValueError, r"slices: expected at least one element, got shape \(0, "),
    (SLICES, SHIFTS[0], ValueError, r"shifts: expected shape \(2, 2\), got \(2,\)"),
    (SLICES, np.ones((2, 3)), ValueError, r"shifts: expected shape \(2, 2\), got \(2, 3\)"),
    (SLICES, SHIFTS * np.nan, ValueError, "shifts: 4 of 4 values are NaN or infinite, the first a"),
]


@pytest.mark.parametrize(("slices", "shifts", "kind", "message"), WRONG)
def test_wrong_input_is_refused_by_name(slices, shifts, kind, message):
    with pytest.raises(kind, match=message):
        shift_slices(slices, shifts)
    with pytest.raises(kind, match=message):
        shift_slices_vjp(slices, shifts, cotangent=SLICES)


def test_a_wrong_cotangent_is_refused_by_name():
    with pytest.raises(TypeError, match="cotangent: expected dtype complex64 or complex128, got f"):
        shift_slices_vjp(SLICES, SHIFTS, cotangent=SLICES.real)
    with pytest.raises(TypeError, match="slices is complex128, cotangent is complex64"):
        shift_slices_vjp(SLICES, SHIFTS, cotangent=SLICES.astype("c8"))
    with pytest.raises(ValueError, match=r"cotangent: expected shape \(2, 4, 3\), got \(1, 4, 3\)"):
        shift_slices_vjp(SLICES, SHIFTS, cotangent=SLICES[:1])
