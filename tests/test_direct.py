"""The direct Fourier sum: exact against closed forms, adjoint, differentiable, and strict."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from strategies import batches, laid_out, layouts, noise, poses, precisions, seeds

from fslice import Projector, irfft2, phantom, random_rotations, rfft2, rfft3
from fslice._arrays import complex_dtype
from fslice.fourier import frequencies
from fslice.operators.direct import (
    backproject_direct,
    fourier_sum,
    fourier_sum_adjoint,
    fourier_sum_vjp,
    project_direct,
    project_direct_vjp,
)
from fslice.simulation import GaussianModel
from fslice.testing import check_adjoint, check_gradient

dimensions = st.sampled_from([2, 3])
radii = st.sampled_from([None, 0.0, 2.3, 50.0])


def real_part(a, b):
    return float((a.astype("c16").conj() * b).real.sum())


def draw_poses(rng, batch, dimension, dtype, with_shifts):
    shifts = noise(rng, (*batch, dimension - 1), dtype) if with_shifts else None
    return poses(rng, batch, dimension).astype(dtype), shifts


@given(seed=seeds, size=st.integers(1, 7), dtype=precisions)
def test_at_whole_frequencies_the_sum_is_the_half_spectrum(seed, size, dtype):
    rng = np.random.default_rng(seed)
    for dimension, transform in ((2, rfft2), (3, rfft3)):
        array = noise(rng, (size,) * dimension, dtype)
        k = np.stack(np.broadcast_arrays(*frequencies(size, dimension)), -1).astype(dtype)
        found, expected = fourier_sum(array, k), transform(array)
        assert found.dtype == expected.dtype
        assert np.allclose(found, expected, rtol=0, atol=50 * np.finfo(dtype).eps)


@given(seed=seeds, size=st.integers(1, 6), dimension=dimensions, batch=batches, dtype=precisions)
def test_fourier_sum_has_its_adjoint(seed, size, dimension, batch, dtype):
    rng = np.random.default_rng(seed)
    q = noise(rng, (*batch, 4, dimension), dtype) * size
    check_adjoint(
        lambda v: fourier_sum(v, q),
        lambda values: fourier_sum_adjoint(values, q, size),
        noise(rng, (size,) * dimension, dtype),
        noise(rng, (*batch, 4), complex_dtype(dtype)),
        inner_y=real_part,
    )


@given(seed=seeds, size=st.integers(2, 6), dimension=dimensions)
def test_fourier_sum_has_exact_gradients(seed, size, dimension):
    rng = np.random.default_rng(seed)
    volume, g = noise(rng, (size,) * dimension), noise(rng, (3, 2), "complex128")
    q, direction = noise(rng, (2, 3, 2, dimension))
    grad_volume, grad_frequencies = fourier_sum_vjp(volume, q, cotangent=g)
    check_gradient(lambda q: real_part(g, fourier_sum(volume, q)), grad_frequencies, q, direction)
    assert np.allclose(grad_volume, fourier_sum_adjoint(g, q, size), atol=1e-12)


@given(
    seed=seeds, size=st.integers(1, 6), dimension=dimensions, batch=batches, dtype=precisions,
    layout=layouts, with_shifts=st.booleans(), max_radius=radii,
)  # fmt: skip
def test_backproject_direct_is_the_adjoint_of_project_direct(
    seed, size, dimension, batch, dtype, layout, with_shifts, max_radius
):
    rng = np.random.default_rng(seed)
    pose = draw_poses(rng, batch, dimension, dtype, with_shifts)
    check_adjoint(
        lambda v: project_direct(v, *pose, max_radius=max_radius),
        lambda y: backproject_direct(y, *pose, max_radius=max_radius),
        laid_out(noise(rng, (size,) * dimension, dtype), layout),
        laid_out(noise(rng, (*batch, *[size] * (dimension - 1)), dtype), layout),
    )


@given(
    seed=seeds, size=st.integers(2, 6), dimension=dimensions, batch=batches,
    with_shifts=st.booleans(), max_radius=radii,
)  # fmt: skip
def test_project_direct_has_exact_gradients_in_all_its_inputs(
    seed, size, dimension, batch, with_shifts, max_radius
):
    rng = np.random.default_rng(seed)
    rotations, shifts = draw_poses(rng, batch, dimension, "f8", with_shifts)
    volume = noise(rng, (size,) * dimension)
    images = noise(rng, (*batch, *[size] * (dimension - 1)))
    options = {"max_radius": max_radius}
    grad_volume, grad_rotations, grad_shifts = project_direct_vjp(
        volume, rotations, shifts, cotangent=images, **options
    )
    expected = backproject_direct(images, rotations, shifts, **options)
    assert np.allclose(grad_volume, expected, atol=1e-12)
    check_gradient(
        lambda r: np.vdot(images, project_direct(volume, r, shifts, **options)),
        grad_rotations, rotations, noise(rng, rotations.shape), step=1e-6,
    )  # fmt: skip
    if shifts is None:
        assert grad_shifts is None
        return
    check_gradient(
        lambda t: np.vdot(images, project_direct(volume, rotations, t, **options)),
        grad_shifts, shifts, noise(rng, shifts.shape),
    )  # fmt: skip


@pytest.mark.parametrize("size", [40, 41])
def test_projections_equal_the_closed_form_to_rounding(size, rng):
    # blobs so wide, and so far from the border, that neither aliases beyond rounding
    model = GaussianModel(rng.uniform(-4, 4, (9, 3)), rng.uniform(1, 2, 9), rng.uniform(4, 6, 9))
    rotations, shifts = random_rotations(3, rng), rng.normal(size=(3, 2))
    found = project_direct(model.density(size, 1.0), rotations, shifts)
    expected = irfft2(model.project_ft(rotations, size, 1.0, shifts))
    assert np.linalg.norm(found - expected) < 1e-10 * np.linalg.norm(expected)


@pytest.mark.parametrize("size", [40, 41])
def test_lines_equal_the_closed_form_to_rounding(size, rng):
    positions = np.append(rng.uniform(-4, 4, (9, 2)), np.zeros((9, 1)), axis=1)
    model = GaussianModel(positions, rng.uniform(1, 2, 9), rng.uniform(4, 6, 9))
    turns = poses(rng, (5,), 2)
    in_space = np.zeros((5, 3, 3))
    in_space[:, :2, :2], in_space[:, 2, 2] = turns, 1
    lines = project_direct(model.project(np.eye(3), size, 1.0), turns)
    expected = model.project(in_space, size, 1.0).sum(-2)  # along the y axis of the turned image
    assert np.linalg.norm(lines - expected) < 1e-10 * np.linalg.norm(expected)


@pytest.mark.parametrize("interpolation", ["linear", "cubic"])
def test_the_projector_tends_to_the_direct_sum(interpolation, rng):
    volume, rotations = phantom(20, 1.0).density(20, 1.0), random_rotations(3, rng)
    exact = project_direct(volume, rotations)
    errors = [
        np.linalg.norm(Projector(20, factor, interpolation).project(volume, rotations) - exact)
        for factor in (1, 2, 4)
    ]
    order = {"linear": 2, "cubic": 4}[interpolation]
    assert errors[1] < errors[0] * 0.6**order
    assert errors[2] < errors[1] * 0.6**order


def test_many_points_are_summed_in_parts(monkeypatch, rng):
    volume, q = rng.normal(size=(4, 4, 4)), rng.normal(size=(50, 3))
    whole, back = fourier_sum(volume, q), fourier_sum_adjoint(np.ones(50, complex), q, 4)
    monkeypatch.setattr("fslice.operators.direct._waves._TEMPORARY", 100)
    assert np.allclose(fourier_sum(volume, q), whole, rtol=1e-13)
    assert np.allclose(fourier_sum_adjoint(np.ones(50, complex), q, 4), back, rtol=1e-13)


VOLUME, TURN, IMAGE = np.ones((4, 4, 4)), np.eye(3)[None], np.ones((1, 4, 4))


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: project_direct(np.ones((4, 4, 5)), TURN), ValueError,
         r"volume: expected shape \(5, 5, 5\), got \(4, 4, 5\)"),
        (lambda: project_direct(VOLUME, np.eye(2)[None]), ValueError,
         r"volume: expected shape \(4, 4\), got \(4, 4, 4\)"),
        (lambda: project_direct(VOLUME.astype(int), TURN), TypeError,
         "volume: expected dtype float32 or float64, got int64"),
        (lambda: project_direct(VOLUME, TURN.astype("f4")), TypeError,
         "precisions differ: volume is float64, rotations is float32"),
        (lambda: project_direct(VOLUME, TURN * np.nan), ValueError, "rotations: 9 of 9 values"),
        (lambda: project_direct(VOLUME, TURN[:0]), ValueError, "rotations: expected at least one"),
        (lambda: project_direct(VOLUME, TURN, np.zeros((2, 2))), ValueError,
         r"shifts: expected shape \(1, 2\), got \(2, 2\)"),
        (lambda: project_direct(VOLUME, TURN, max_radius=-1), ValueError, "max_radius: expected"),
        (lambda: project_direct(np.float64(3), TURN), ValueError,
         r"volume: expected shape \(..., D\), got \(\)"),
        (lambda: backproject_direct(IMAGE[0], TURN), ValueError,
         r"images: expected shape \(1, 4, 4\), got \(4, 4\)"),
        (lambda: project_direct_vjp(VOLUME, TURN, cotangent=IMAGE[:, 1:]), ValueError,
         r"cotangent: expected shape \(1, 4, 4\), got \(1, 3, 4\)"),
        (lambda: project_direct_vjp(VOLUME, TURN, cotangent=IMAGE.astype("f4")), TypeError,
         "precisions differ"),
        (lambda: fourier_sum(VOLUME, np.ones((2, 2))), ValueError,
         r"volume: expected shape \(D, D\), got \(4, 4, 4\)"),
        (lambda: fourier_sum(VOLUME, np.full((1, 3), np.inf)), ValueError, "frequencies: 3 of 3"),
        (lambda: fourier_sum(VOLUME, [[0.0, 0.0, 0.0]]), TypeError, "got list"),
        (lambda: fourier_sum_adjoint(np.ones(2), np.ones((2, 3)), 4), TypeError,
         "values: expected dtype complex64 or complex128, got float64"),
        (lambda: fourier_sum_adjoint(np.ones(2, "c16"), np.ones((3, 3)), 4), ValueError,
         r"values: expected shape \(3,\), got \(2,\)"),
        (lambda: fourier_sum_adjoint(np.ones(2, "c16"), np.ones((2, 3)), 0), ValueError,
         "size: expected at least 1, got 0"),
        (lambda: fourier_sum_vjp(VOLUME, np.ones((2, 3)), cotangent=np.ones(3, "c16")), ValueError,
         r"cotangent: expected shape \(2,\), got \(3,\)"),
    ],
)  # fmt: skip
def test_bad_input_is_named(call, error, message):
    with pytest.raises(error, match=message):
        call()
