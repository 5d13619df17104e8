"""The contrast of images: linear, differentiable, and the best one is the best."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from strategies import batches, noise, precisions, random_ctf, seeds

from fslice import Projector, phantom, random_rotations, rfft2
from fslice._arrays import complex_dtype
from fslice.fourier import inner_product
from fslice.likelihoods.gaussian import GaussianNoise
from fslice.likelihoods.scales import optimal_scales
from fslice.operators.contrast import scale_slices, scale_slices_vjp
from fslice.testing import check_adjoint, check_gradient

COUNT = 4


@st.composite
def cases(draw, dtypes=precisions):
    """Draw half spectra without restriction, scales of either sign, and half spectra."""
    rng = np.random.default_rng(draw(seeds))
    size, batch, dtype = draw(st.integers(1, 9)), draw(batches), draw(dtypes)
    slices, others = noise(rng, (2, *batch, size, size // 2 + 1), complex_dtype(dtype))
    return slices, np.asarray(noise(rng, batch, dtype)), others


@given(case=cases())
def test_a_scale_is_its_own_adjoint(case):
    slices, scales, others = case
    check_adjoint(
        lambda s: scale_slices(s, scales), lambda s: scale_slices(s, scales), slices, others
    )


@given(case=cases(dtypes=st.just("float64")))
def test_gradients_in_slices_and_scales_are_exact(case):
    slices, scales, others = case
    grad_slices, grad_scales = scale_slices_vjp(slices, scales, cotangent=others)
    rng = np.random.default_rng(slices.size)
    direction = noise(rng, slices.shape, complex)
    check_gradient(
        lambda s: inner_product(scale_slices(s, scales), others), grad_slices, slices, direction
    )
    direction = np.asarray(noise(rng, scales.shape))
    check_gradient(
        lambda a: inner_product(scale_slices(slices, a), others), grad_scales, scales, direction
    )


@given(case=cases())
def test_results_have_the_shape_and_precision_of_the_input(case):
    slices, scales, others = case
    grad_slices, grad_scales = scale_slices_vjp(slices, scales, cotangent=others)
    for array in (scale_slices(slices, scales), grad_slices):
        assert (array.shape, array.dtype) == (slices.shape, slices.dtype)
    assert (grad_scales.shape, grad_scales.dtype) == (scales.shape, scales.dtype)


@given(seed=seeds, size=st.integers(2, 9))
def test_it_is_the_scale_of_the_ctf(seed, size):
    rng = np.random.default_rng(seed)
    slices, cotangent = noise(rng, (2, COUNT, size, size // 2 + 1), complex)
    ctf, scales = random_ctf(rng, COUNT).replace(scale=1.0), noise(rng, (COUNT,))
    scaled = ctf.replace(scale=scales).evaluate(size) * slices
    without = ctf.evaluate(size) * slices
    assert np.allclose(scaled, scale_slices(without, scales), rtol=1e-12)
    by_values = (cotangent.conj() * slices).real
    by_scale = ctf.replace(scale=scales).vjp(size, cotangent=by_values).scale
    expected = scale_slices_vjp(without, scales, cotangent=cotangent).scales
    assert np.allclose(by_scale, expected, rtol=1e-9)


def draw_noise(rng, size, kind, max_radius):
    if kind == "none":
        return None
    columns = size // 2 + 1 if kind == "shell" else 1
    if kind != "group":
        return GaussianNoise(rng.uniform(0.5, 2, columns), max_radius=max_radius)
    return GaussianNoise(rng.uniform(0.5, 2, (3, 1)), rng.integers(0, 3, COUNT), max_radius)


@given(
    seed=seeds,
    size=st.integers(2, 9),
    kind=st.sampled_from(["none", "white", "shell", "group"]),
    max_radius=st.sampled_from([None, 2.5]),
    dtype=precisions,
)
def test_the_best_scale_is_where_the_likelihood_has_its_peak(seed, size, kind, max_radius, dtype):
    """On noise: the slope vanishes there, and the curvature is the stated precision."""
    rng = np.random.default_rng(seed)
    images_ft, expected_ft = noise(rng, (2, COUNT, size, size // 2 + 1), complex_dtype(dtype))
    model = draw_noise(rng, size, kind, max_radius)
    scales, precisions = optimal_scales(images_ft, expected_ft, model)
    assert scales.dtype == precisions.dtype == np.float64
    double, model = expected_ft.astype(complex), model or GaussianNoise(1.0)

    def likelihood(moved):
        scaled = scale_slices(double, scales + moved)
        return model.log_likelihood(images_ft.astype(complex), scaled)

    step, peak = 1e-2, likelihood(0)
    up, down = likelihood(step), likelihood(-step)  # a parabola: differences are exact
    tolerance = 1e3 * np.finfo(dtype).eps * np.maximum(1, precisions * (1 + abs(scales)))
    assert (abs(up - down) / (2 * step) <= tolerance + 1e-9 * abs(peak)).all()
    assert np.allclose((2 * peak - up - down) / step**2, precisions, rtol=1e-5, atol=1e-5)


def test_the_gradient_of_the_likelihood_vanishes_at_the_best_scale(rng):
    """By the chain of gradients that a fit would use."""
    images_ft, expected_ft = rfft2(rng.normal(size=(2, COUNT, 7, 7)))
    model = GaussianNoise(rng.uniform(0.5, 2, 4))
    scales, precisions = optimal_scales(images_ft, expected_ft, model)
    by_scaled, _ = model.log_likelihood_gradients(images_ft, scale_slices(expected_ft, scales))
    _, grad_scales = scale_slices_vjp(expected_ft, scales, cotangent=by_scaled)
    assert (abs(grad_scales) <= 1e-12 * precisions).all()


def test_contrasts_of_noisy_images_are_found_with_the_stated_error(rng):
    """1000 images of a phantom: errors over standard errors are standard normal."""
    count, sigma = 1000, 0.5
    volume = phantom(16, 4.0).volume(16, 4.0)
    expected_ft = Projector(16).project_ft(
        Projector(16).transform(volume / volume.std()), random_rotations(count, rng)
    )
    truth = rng.uniform(0.7, 1.3, count)
    clean = scale_slices(expected_ft, truth)
    images_ft = clean + rfft2(sigma * rng.normal(size=(count, 16, 16)))
    scales, precisions = optimal_scales(images_ft, expected_ft, GaussianNoise(sigma**2))
    scores = (scales - truth) * np.sqrt(precisions)
    assert abs(scores.mean()) < 4 / np.sqrt(count)
    assert abs(scores.std() - 1) < 4 / np.sqrt(2 * count)


def test_where_nothing_is_expected_the_scale_stays_one(rng):
    images_ft = rfft2(rng.normal(size=(2, 5, 5)))
    expected_ft = images_ft * np.array([0, 1])[:, None, None]
    scales, precisions = optimal_scales(images_ft, expected_ft)
    assert scales.tolist() == pytest.approx([1, 1])
    assert precisions[0] == 0


SLICES, SCALES = np.ones((2, 4, 3), complex), np.ones(2)


@pytest.mark.parametrize(
    ("slices", "scales", "kind", "message"),
    [
        (SLICES.real, SCALES, TypeError, "slices: expected dtype complex64 or complex128, got fl"),
        (SLICES.tolist(), SCALES, TypeError, "slices: expected a NumPy or CuPy array, got list"),
        (SLICES, 2.0, TypeError, "scales: expected a NumPy or CuPy array, got float"),
        (SLICES, np.ones(2, int), TypeError, "scales: expected dtype float32 or float64, got int"),
        (SLICES, SCALES.astype("f4"), TypeError, "precisions differ: slices is complex128, sc"),
        (SLICES[..., :2], SCALES, ValueError, r"slices: expected shape \(..., 4, 3\), got \(2, 4"),
        (SLICES[:0], SCALES[:0], ValueError, r"slices: expected at least one element, got shape"),
        (SLICES, SCALES[:1], ValueError, r"scales: expected shape \(2,\), got \(1,\)"),
        (SLICES[0], SCALES, ValueError, r"scales: expected shape \(\), got \(2,\)"),
        (SLICES, SCALES * np.nan, ValueError, "scales: 2 of 2 values are NaN or infinite, the fi"),
    ],
)
def test_wrong_input_is_refused_by_name(slices, scales, kind, message):
    with pytest.raises(kind, match=message):
        scale_slices(slices, scales)
    with pytest.raises(kind, match=message):
        scale_slices_vjp(slices, scales, cotangent=SLICES)


@pytest.mark.parametrize(
    ("images_ft", "expected_ft", "noise_model", "kind", "message"),
    [
        (SLICES.real, SLICES, None, TypeError, "images_ft: expected dtype complex64 or complex12"),
        (SLICES, SLICES.astype("c8"), None, TypeError, "precisions differ: images_ft is complex1"),
        (SLICES, SLICES[:1], None, ValueError, r"expected_ft: expected shape \(2, 4, 3\), got"),
        (SLICES[0], SLICES[0], None, ValueError, r"images_ft: expected shape \(n, 4, 3\), got \(4"),
        (
            SLICES,
            SLICES,
            GaussianNoise(np.ones((2, 1)), np.array([0, 1, 1])),
            ValueError,
            r"images_ft: expected shape \(3, 4, 3\), got \(2, 4, 3\)",
        ),
        (
            SLICES,
            SLICES,
            GaussianNoise(np.ones((1, 7))),
            ValueError,
            "variances: expected 1 or 3 shells for box 4, got 7",
        ),
    ],
)
def test_images_that_do_not_fit_are_refused(images_ft, expected_ft, noise_model, kind, message):
    with pytest.raises(kind, match=message):
        optimal_scales(images_ft, expected_ft, noise_model)


def test_a_wrong_cotangent_is_refused_by_name():
    with pytest.raises(TypeError, match="cotangent: expected dtype complex64 or complex128, got f"):
        scale_slices_vjp(SLICES, SCALES, cotangent=SLICES.real)
    with pytest.raises(TypeError, match="slices is complex128, cotangent is complex64"):
        scale_slices_vjp(SLICES, SCALES, cotangent=SLICES.astype("c8"))
    with pytest.raises(ValueError, match=r"cotangent: expected shape \(2, 4, 3\), got \(1, 4, 3\)"):
        scale_slices_vjp(SLICES, SCALES, cotangent=SLICES[:1])
