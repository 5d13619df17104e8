"""Adam against a scalar reference, and the invariances that its definition promises."""

import cmath
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fslice.fourier import irfft2, rfft2
from fslice.optim import adam_init, adam_update

seeds = st.integers(0, 2**32 - 1)
dtypes = st.sampled_from(["float32", "float64", "complex64", "complex128"])
constants = st.tuples(st.floats(0, 0.99), st.floats(0, 0.9999), st.sampled_from([1e-8, 1e-2, 1.0]))


def scalar_reference(gradients, beta1, beta2, epsilon):
    """Write the moments as sums over the history, not as recursions."""
    t = len(gradients)
    first = sum((1 - beta1) * beta1 ** (t - 1 - i) * g for i, g in enumerate(gradients))
    second = sum((1 - beta2) * beta2 ** (t - 1 - i) * abs(g) ** 2 for i, g in enumerate(gradients))
    return (first / (1 - beta1**t)) / (math.sqrt(second / (1 - beta2**t)) + epsilon)


def draw_gradients(seed, dtype, count=6, shape=(2, 3)):
    rng = np.random.default_rng(seed)
    gradients = rng.normal(size=(count, *shape)) * 10 ** rng.uniform(-2, 2, shape)
    if np.dtype(dtype).kind == "c":
        gradients = gradients * np.exp(2j * np.pi * rng.random(gradients.shape))
    return gradients.astype(dtype)


def run(gradients, **constants):
    state, directions = adam_init(np.zeros_like(gradients[0])), []
    for gradient in gradients:
        direction, state = adam_update(gradient, state, **constants)
        directions.append(direction)
    return np.stack(directions), state


@given(seed=seeds, dtype=dtypes, constants=constants)
def test_every_direction_is_that_of_the_definition(seed, dtype, constants):
    gradients = draw_gradients(seed, dtype)
    beta1, beta2, epsilon = constants
    directions, state = run(gradients, beta1=beta1, beta2=beta2, epsilon=epsilon)
    assert directions.dtype == dtype
    assert state.second.dtype == np.zeros(0, dtype).real.dtype
    assert state.count == 6
    tolerance = 1e-11 if np.finfo(dtype).eps < 1e-10 else 1e-3  # 1 - beta2 in single precision
    wide = gradients.astype("complex128")
    for index in np.ndindex(gradients.shape[1:]):
        for t in range(1, 7):
            expected = scalar_reference(
                [complex(g[index]) for g in wide[:t]], beta1, beta2, epsilon
            )
            assert cmath.isclose(
                complex(directions[(t - 1, *index)]), expected, rel_tol=tolerance, abs_tol=tolerance
            )


@given(seed=seeds, dtype=dtypes, exponent=st.integers(-6, 12))
def test_the_scale_of_the_gradients_has_no_effect_on_the_directions(seed, dtype, exponent):
    gradients = draw_gradients(seed, dtype)
    scaled, _ = run(gradients * 2.0**exponent, epsilon=1e-30)
    assert np.array_equal(scaled, run(gradients, epsilon=1e-30)[0])


@given(seed=seeds, dtype=dtypes)
def test_the_first_direction_is_the_phase_of_the_gradient(seed, dtype):
    gradients = draw_gradients(seed, dtype, count=1)
    directions, _ = run(gradients, epsilon=1e-30)
    assert np.allclose(directions, gradients / abs(gradients), rtol=1e-5)


@given(seed=seeds)
def test_turning_the_phase_of_complex_gradients_turns_that_of_the_directions(seed):
    gradients = draw_gradients(seed, "complex128")
    turn = np.exp(2j * np.pi * np.random.default_rng(seed).random(gradients.shape[1:]))
    assert np.allclose(run(gradients * turn)[0], run(gradients)[0] * turn, rtol=1e-12)


@given(seed=seeds)
def test_a_complex_entry_is_a_pair_of_reals_that_shares_its_second_moment(seed):
    gradients = draw_gradients(seed, "complex128")
    directions, state = run(gradients)
    real, real_state = run(gradients.real.copy())
    imaginary, imaginary_state = run(gradients.imag.copy())
    assert np.allclose(state.second, real_state.second + imaginary_state.second)
    shared = np.sqrt(state.second)
    combined = real * np.sqrt(real_state.second) + 1j * imaginary * np.sqrt(imaginary_state.second)
    assert np.allclose(directions[-1] * shared, combined[-1], rtol=1e-4, atol=1e-4 * shared)


@given(seed=seeds)
def test_complex_gradients_without_imaginary_part_are_treated_as_real_ones(seed):
    gradients = draw_gradients(seed, "float64")
    assert np.allclose(run(gradients + 0j)[0], run(gradients)[0], rtol=1e-14, atol=0)


def test_directions_of_half_spectra_stay_half_spectra_of_real_arrays(rng):
    gradients = np.stack([rfft2(rng.normal(size=(6, 6))) for _ in range(4)])
    direction = run(gradients)[0][-1]
    assert np.allclose(rfft2(irfft2(direction)), direction, atol=1e-14)


def test_nothing_that_was_passed_is_changed(rng):
    gradient = rng.normal(size=5)
    _, state = adam_update(gradient, adam_init(gradient))
    kept = gradient.copy(), state.first.copy(), state.second.copy()
    once, after = adam_update(gradient, state)
    again, _ = adam_update(gradient, state)
    assert np.array_equal(once, again)
    assert (state.count, after.count) == (1, 2)
    for now, before in zip((gradient, state.first, state.second), kept, strict=True):
        assert np.array_equal(now, before)


def test_a_gradient_of_zero_gives_no_step():
    direction, _ = adam_update(np.zeros(3), adam_init(np.zeros(3)))
    assert np.array_equal(direction, np.zeros(3))


def test_descending_finds_the_minimum_whatever_the_curvatures(rng):
    curvatures, minimum = 10.0 ** np.arange(-3, 4), rng.normal(size=7)
    parameters = np.zeros(7)
    state = adam_init(parameters)
    for step in range(500):
        direction, state = adam_update(curvatures * (parameters - minimum), state)
        parameters = parameters - 0.05 * 0.98 ** max(0, step - 200) * direction
    assert np.allclose(parameters, minimum, atol=1e-3)


@pytest.mark.parametrize(
    ("constants", "message"),
    [
        ({"beta1": 1.0}, r"beta1: expected a number from 0 to below 1, got 1\.0"),
        ({"beta2": -0.1}, r"beta2: expected a number from 0 to below 1, got -0\.1"),
        ({"epsilon": 0.0}, r"epsilon: expected a positive number, got 0\.0"),
    ],
)
def test_constants_out_of_range_are_refused(constants, message):
    with pytest.raises(ValueError, match=message):
        adam_update(np.zeros(3), adam_init(np.zeros(3)), **constants)


def test_gradients_unlike_the_parameters_are_refused():
    state = adam_init(np.zeros((2, 3)))
    with pytest.raises(ValueError, match=r"gradient: expected shape \(2, 3\), got \(3,\)"):
        adam_update(np.zeros(3), state)
    with pytest.raises(TypeError, match="precisions differ: gradient is float32, parameters is"):
        adam_update(np.zeros((2, 3), "f4"), state)
    with pytest.raises(TypeError, match="gradient: expected dtype float64, got complex128"):
        adam_update(np.zeros((2, 3)) + 0j, state)
    with pytest.raises(TypeError, match="parameters: expected a real or complex floating dtype"):
        adam_init(np.zeros(3, int))
