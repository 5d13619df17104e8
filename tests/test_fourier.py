"""Transforms and grids: unitary, centred, and what a half spectrum is."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from strategies import batches, laid_out, layouts, noise, precisions, seeds

from fslice import irfft2, irfft3, rfft2, rfft3
from fslice._arrays import complex_dtype
from fslice.fourier import (
    crop,
    frequencies,
    hermitian_part,
    hermitian_weights,
    inner_product,
    pad,
    radii,
    shell_sum,
    shells,
)
from fslice.testing import check_adjoint

TRANSFORMS = {2: (rfft2, irfft2), 3: (rfft3, irfft3)}
sizes = st.integers(1, 9)


@st.composite
def cases(draw, dtypes=precisions):
    """Draw the number of axes, a real array, and a half spectrum without restriction."""
    rng = np.random.default_rng(draw(seeds))
    size, ndim, batch = draw(sizes), draw(st.sampled_from([2, 3])), draw(batches)
    dtype, layout = draw(dtypes), draw(layouts)
    real = noise(rng, (*batch, *[size] * ndim), dtype)
    half = noise(rng, (*batch, *[size] * (ndim - 1), size // 2 + 1), complex_dtype(dtype))
    return ndim, laid_out(real, layout), laid_out(half, layout)


@given(case=cases())
def test_the_inverse_transform_is_the_adjoint(case):
    ndim, real, half = case
    transform, inverse = TRANSFORMS[ndim]
    check_adjoint(transform, inverse, real, half)
    check_adjoint(inverse, transform, half, real)


@given(case=cases(dtypes=st.just("float64")))
def test_transforms_keep_inner_products(case):
    """Parseval: the weights of `hermitian_weights` make half spectra count in full."""
    ndim, real, _ = case
    transform, _ = TRANSFORMS[ndim]
    other = noise(np.random.default_rng(real.size), real.shape)
    scale = np.linalg.norm(real) * np.linalg.norm(other)
    error = inner_product(transform(real), transform(other)) - np.vdot(real, other)
    assert abs(error) <= 1e-13 * scale
    assert abs(inner_product(transform(real), transform(real)) / np.vdot(real, real) - 1) <= 1e-13


@given(case=cases(dtypes=st.just("float64")))
def test_transforms_are_inverse_to_each_other(case):
    ndim, real, half = case
    transform, inverse = TRANSFORMS[ndim]
    assert np.allclose(inverse(transform(real)), real, rtol=0, atol=1e-13)
    own = hermitian_part(half, ndim)
    assert np.allclose(transform(inverse(own)), own, rtol=0, atol=1e-13)


@given(case=cases(dtypes=st.just("float64")))
def test_the_hermitian_part_is_the_orthogonal_projection_onto_half_spectra(case):
    ndim, real, half = case
    transform, inverse = TRANSFORMS[ndim]
    part = hermitian_part(half, ndim)
    assert np.allclose(part, transform(inverse(half)), rtol=0, atol=1e-13)
    assert np.array_equal(hermitian_part(part, ndim), part)
    rest = half - part
    assert abs(inner_product(rest, transform(real))) <= 1e-13 * np.sqrt(
        inner_product(half, half) * np.vdot(real, real)
    )


@given(case=cases())
def test_the_transform_is_the_direct_sum_about_pixel_half_the_box(case):
    ndim, real, _ = case
    size = real.shape[-1]
    centred = np.arange(size) - size // 2
    wave = np.exp(-2j * np.pi / size * np.outer(centred, centred)) / np.sqrt(size)
    full = real.astype(complex)
    for axis in range(-ndim, 0):
        full = np.moveaxis(np.tensordot(full, wave, (axis, 0)), -1, axis)
    full = np.fft.ifftshift(full, axes=tuple(range(-ndim, 0)))  # zero frequency first
    found = TRANSFORMS[ndim][0](real)
    expected = full[..., : size // 2 + 1]
    tolerance = 1e-5 if real.dtype == np.float32 else 1e-12
    assert found.dtype == complex_dtype(real.dtype)
    assert np.allclose(found, expected, rtol=0, atol=tolerance)


@given(size=sizes, ndim=st.sampled_from([2, 3]))
def test_multiplicity_counts_the_whole_plane(size, ndim):
    counted = np.broadcast_to(hermitian_weights(size), [size] * (ndim - 1) + [size // 2 + 1])
    assert counted.sum() == size**ndim
    real = TRANSFORMS[ndim][0](np.ones((size,) * ndim)).shape
    assert counted.shape == real


@given(size=sizes, ndim=st.sampled_from([2, 3]))
def test_frequencies_are_those_of_the_stored_half_with_x_first(size, ndim):
    found = np.broadcast_arrays(*frequencies(size, ndim))
    full = np.rint(np.fft.fftfreq(size) * size)
    axes = np.meshgrid(*[full] * (ndim - 1), np.arange(size // 2 + 1), indexing="ij")
    for one, expected in zip(found, axes[::-1], strict=True):
        assert np.array_equal(one, expected)
    assert np.allclose(radii(size, ndim), np.sqrt(sum(k**2 for k in axes)))
    assert np.array_equal(shells(size, ndim), np.rint(radii(size, ndim)))


@given(seed=seeds, size=sizes, ndim=st.sampled_from([2, 3]))
def test_shell_sums_are_those_of_the_full_spectrum(seed, size, ndim):
    real = noise(np.random.default_rng(seed), (size,) * ndim)
    power = abs(np.fft.fftn(real, norm="ortho")) ** 2
    k = np.rint(np.fft.fftfreq(size) * size)
    index = np.rint(np.sqrt(sum(axis**2 for axis in np.meshgrid(*[k] * ndim)))).astype(int)
    expected = [power[index == shell].sum() for shell in range(size // 2 + 1)]
    found = shell_sum(abs(TRANSFORMS[ndim][0](real)) ** 2, size, ndim)
    assert np.allclose(found, expected, rtol=1e-12)


@given(seed=seeds, size=sizes, more=st.integers(0, 6), ndim=st.integers(1, 3))
def test_crop_is_the_adjoint_and_the_inverse_of_pad_and_keeps_the_origin(seed, size, more, ndim):
    rng = np.random.default_rng(seed)
    small, large = noise(rng, (2, *[size] * ndim)), noise(rng, (2, *[size + more] * ndim))
    check_adjoint(lambda a: pad(a, size + more, ndim), lambda a: crop(a, size, ndim), small, large)
    padded = pad(small, size + more, ndim)
    assert np.array_equal(crop(padded, size, ndim), small)
    origin, moved = (size // 2,) * ndim, ((size + more) // 2,) * ndim
    assert np.array_equal(padded[(..., *moved)], small[(..., *origin)])


@pytest.mark.parametrize("ndim", [2, 3])
def test_what_has_no_transform_is_refused_by_name(ndim):
    transform, name = TRANSFORMS[ndim][0], {2: "images", 3: "volume"}[ndim]
    sides = ", ".join("D" * ndim)
    for wrong, kind, message in [
        ([1.0], TypeError, f"{name}: expected a NumPy or CuPy array, got list"),
        (np.ones((4,) * ndim, int), TypeError, f"{name}: expected dtype float32 or float64, got i"),
        (np.ones((4,) * ndim, "f2"), TypeError, f"{name}: expected dtype float32 or float64, got"),
        (np.ones(4), ValueError, rf"{name}: expected shape \(..., {sides}\), got \(4,\)"),
        (np.ones((6,) * (ndim - 1) + (4,)), ValueError, rf"{name}: expected shape \(..., 4, 4.*6"),
        (np.ones((0,) + (4,) * ndim), ValueError, f"{name}: expected at least one element, got sh"),
    ]:
        with pytest.raises(kind, match=message):
            transform(wrong)


@pytest.mark.parametrize("ndim", [2, 3])
def test_what_is_no_half_spectrum_is_refused_by_name(ndim):
    inverse, name = TRANSFORMS[ndim][1], {2: "images_ft", 3: "volume_ft"}[ndim]
    half = np.ones((4,) * (ndim - 1) + (3,), complex)
    for wrong, kind, message in [
        (half.real, TypeError, "{}: expected dtype complex64 or complex128, got float64"),
        (half[0, ..., 0], ValueError, r"{}: expected shape \(..., .*D, D//2 \+ 1\), got"),
        (half[..., :2], ValueError, r"{}: expected shape \(..., .*4, 3\), got \(.*4, 2\)"),
        (half[None][:0], ValueError, r"{}: expected at least one element, got shape \(0, "),
    ]:
        with pytest.raises(kind, match=message.format(name)):
            inverse(wrong)
        with pytest.raises(kind, match=message.format("array_ft")):
            hermitian_part(wrong, ndim)


def test_inner_products_are_of_half_spectra_of_one_shape():
    half = np.ones((4, 3), complex)
    with pytest.raises(ValueError, match=r"b_ft: expected shape \(4, 3\), got \(2, 4, 3\)"):
        inner_product(half, np.ones((2, 4, 3), complex))
    with pytest.raises(ValueError, match=r"a_ft: expected shape \(..., 4, 3\), got \(4, 4\)"):
        inner_product(np.ones((4, 4), complex), half)
    with pytest.raises(TypeError, match="a_ft: expected dtype complex64 or complex128, got float6"):
        inner_product(half.real, half)


def test_sizes_are_whole_and_positive():
    with pytest.raises(ValueError, match="size: expected at least 1, got 0"):
        hermitian_weights(0)
    with pytest.raises(TypeError, match=r"size: expected an integer, got 4\.0"):
        frequencies(4.0, 2)
