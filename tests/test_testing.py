"""The checks themselves: they pass what is right and name what is wrong, with figures."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fslice.fourier import irfft2, irfft3, rfft2, rfft3
from fslice.testing import check_adjoint, check_gradient, inner_product


def complex_noise(rng, shape):
    return rng.normal(size=shape) + 1j * rng.normal(size=shape)


@given(
    size=st.integers(1, 9),
    ndim=st.sampled_from([2, 3]),
    dtype=st.sampled_from(["float32", "float64"]),
    seed=st.integers(0, 2**32 - 1),
)
def test_the_transforms_pass_on_unrestricted_half_spectra(size, ndim, dtype, seed):
    rng = np.random.default_rng(seed)
    real = rng.normal(size=(2, *[size] * ndim)).astype(dtype)
    half = complex_noise(rng, (2, *[size] * (ndim - 1), size // 2 + 1))
    half = half.astype("complex64" if dtype == "float32" else "complex128")
    transform, inverse = (rfft2, irfft2) if ndim == 2 else (rfft3, irfft3)
    error = check_adjoint(transform, inverse, real, half)
    assert error <= 100 * np.finfo(dtype).eps
    check_adjoint(inverse, transform, half, real)


def test_a_matrix_and_its_transpose_pass_with_the_error_returned(rng):
    matrix = rng.normal(size=(4, 3))
    x, y = rng.normal(size=3), rng.normal(size=4)
    error = check_adjoint(lambda v: matrix @ v, lambda v: matrix.T @ v, x, y)
    assert 0 <= error < 1e-15


def test_an_error_of_a_thousand_eps_is_found(rng):
    matrix = rng.normal(size=(4, 3))
    wrong = matrix.T * (1 + 2000 * np.finfo(float).eps)
    x, y = rng.normal(size=3), rng.normal(size=4)
    with pytest.raises(AssertionError, match=r"not adjoint: <A x, y> = .* tolerance is 2.22e-14"):
        check_adjoint(lambda v: matrix @ v, lambda v: wrong @ v, x, y)
    check_adjoint(lambda v: matrix @ v, lambda v: wrong @ v, x, y, tolerance=1e-12)


def test_a_fault_in_one_entry_is_found_in_single_precision(rng):
    matrix = rng.normal(size=(30, 30)).astype("float32")
    wrong = matrix.T.copy()
    wrong[7, 9] += 0.1
    x, y = rng.normal(size=(2, 30)).astype("float32")
    with pytest.raises(AssertionError, match=r"tolerance is 1\.19e-05"):
        check_adjoint(lambda v: matrix @ v, lambda v: wrong @ v, x, y)


def test_maps_that_give_nan_are_not_adjoint(rng):
    x = rng.normal(size=3)
    with pytest.raises(AssertionError, match="differ by nan"):
        check_adjoint(lambda v: v * np.nan, lambda v: v, x, x)


def test_the_zero_map_is_its_own_adjoint(rng):
    x = rng.normal(size=3)
    assert check_adjoint(np.zeros_like, np.zeros_like, x, x) == 0


def test_a_test_with_zeros_is_refused(rng):
    with pytest.raises(ValueError, match="check_adjoint: expected x and y to be nonzero"):
        check_adjoint(lambda v: v, lambda v: v, np.zeros(3), np.ones(3))


def test_other_inner_products_can_be_given(rng):
    x, y = complex_noise(rng, 5), complex_noise(rng, 5)

    def plain(a, b):
        return np.vdot(a, b).real

    check_adjoint(np.fft.fft, lambda v: 5 * np.fft.ifft(v), x, y, inner_x=plain, inner_y=plain)


def test_results_of_another_shape_or_precision_are_named(rng):
    x, y = rng.normal(size=3), rng.normal(size=4)
    matrix = rng.normal(size=(4, 3))
    with pytest.raises(AssertionError, match=r"adjoint\(y\): expected the shape \(3,\) of x"):
        check_adjoint(lambda v: matrix @ v, lambda v: v, x, y)
    with pytest.raises(AssertionError, match=r"apply\(x\): expected the dtype float64 of y"):
        check_adjoint(lambda v: (matrix @ v).astype("f4"), lambda v: matrix.T @ v, x, y)


@given(seed=st.integers(0, 2**32 - 1))
def test_the_gradient_with_respect_to_a_half_spectrum_is_that_of_the_real_array(seed):
    """The convention that gradients follow: a transform carries them along unchanged."""
    rng = np.random.default_rng(seed)
    target = rng.normal(size=(5, 5))
    half, direction = complex_noise(rng, (5, 3)), complex_noise(rng, (5, 3))
    error = check_gradient(
        lambda z: ((irfft2(z) - target) ** 4).sum(),
        lambda z: rfft2(4 * (irfft2(z) - target) ** 3),
        half,
        direction,
    )
    assert error < 1e-8


def test_a_wrong_gradient_is_found_with_its_figures(rng):
    point, direction = rng.normal(size=(2, 6))
    with pytest.raises(AssertionError, match=r"not the gradient: the difference quotient is"):
        check_gradient(lambda x: (x**2).sum(), 2.00001 * point, point, direction)
    check_gradient(lambda x: (x**2).sum(), 2.00001 * point, point, direction, tolerance=1e-4)
    with pytest.raises(AssertionError, match="differ by nan"):
        check_gradient(lambda x: np.nan, 2 * point, point, direction)


def test_the_step_is_that_of_the_caller(rng):
    point, direction = rng.normal(size=(2, 6))
    seen = []
    check_gradient(lambda x: seen.append(x) or x.sum(), np.ones(6), point, direction, step=0.5)
    assert np.allclose(seen, [point + direction / 2, point - direction / 2])


def test_a_gradient_can_have_another_inner_product(rng):
    point, direction = rng.normal(size=(2, 6))
    check_gradient(
        lambda x: (x**2).sum(), point, point, direction, inner=lambda a, b: 2 * float(a @ b)
    )


def test_a_gradient_of_zero_demands_a_constant_function(rng):
    point, direction = rng.normal(size=(2, 3))
    assert check_gradient(lambda x: 7.0, np.zeros(3), point, direction) == 0
    with pytest.raises(AssertionError, match="differ by inf"):
        check_gradient(lambda x: x.sum(), np.zeros(3), point, direction)


def test_points_that_can_show_nothing_are_refused(rng):
    point = rng.normal(size=3)
    with pytest.raises(TypeError, match="point: expected double precision, got float32"):
        check_gradient(np.sum, point, point.astype("f4"), point)
    with pytest.raises(ValueError, match="direction: expected a nonzero array, got zeros"):
        check_gradient(np.sum, point, point, np.zeros(3))
    with pytest.raises(ValueError, match=r"direction: expected shape \(3,\), got \(2,\)"):
        check_gradient(np.sum, point, point, np.ones(2))
    with pytest.raises(AssertionError, match=r"gradient: expected the shape \(3,\) of point"):
        check_gradient(np.sum, point[:2], point, point)


def test_complex_arrays_that_are_no_half_spectra_need_their_own_inner_product(rng):
    with pytest.raises(ValueError, match=r"expected half spectra of shape .* got \(5, 5\)"):
        inner_product(complex_noise(rng, (5, 5)), complex_noise(rng, (5, 5)))
    with pytest.raises(ValueError, match=r"expected arrays of one shape, got \(2,\) and \(3,\)"):
        inner_product(np.ones(2), np.ones(3))
