"""The CUDA kernels, run by g++: each agrees with NumPy's definition, in any order of threads."""

import cuda_host
import numpy as np
import pytest
import standin
from hypothesis import given
from hypothesis import strategies as st
from strategies import noise, seeds
from test_kernels import kernel_cases, run_all

from fslice._arrays import to_numpy
from fslice._kernels import LINEAR, Filters
from fslice._kernels.numpy import KERNELS as DEFINITION

pytestmark = pytest.mark.skipif(
    cuda_host.compiler() is None, reason="there is no C++ compiler to run the CUDA source with"
)
TOLERANCE = {"float32": 1e-6, "float64": 1e-13}
orders = st.integers(0, 5)


@pytest.fixture
def cupy():
    """Have the CuPy-like library in CuPy's place."""
    with standin.installed() as library:
        yield library


def assert_agree(name, found, expected, dtype):
    """Assert that results are equal but for rounding, relative to the largest value."""
    found, expected = to_numpy(found), to_numpy(expected)
    assert (found.dtype, found.shape) == (expected.dtype, expected.shape), name
    scale = max(abs(expected).max(initial=0), 1e-2)
    assert abs(found - expected).max(initial=0) <= TOLERANCE[dtype.name] * scale, name


@given(case=kernel_cases(), order=orders)
def test_gather_and_its_slopes_agree_with_the_definition(cupy, case, order):
    kernels, moved = cuda_host.host_kernels(order=order), case.on(cupy)
    dtype = case.rotations.dtype
    assert_agree(
        "gather",
        kernels.gather(moved.volume, *moved.pose),
        DEFINITION.gather(case.volume, *case.pose),
        dtype,
    )
    found = kernels.gather_slopes(moved.volume, *moved.pose)
    expected = DEFINITION.gather_slopes(case.volume, *case.pose)
    for name, one, other in zip(("value", "slopes"), found, expected, strict=True):
        assert_agree(name, one, other, dtype)


@given(case=kernel_cases(), order=orders, deterministic=st.booleans())
def test_scatter_and_its_squares_agree_with_the_definition(cupy, case, order, deterministic):
    kernels = cuda_host.host_kernels(order=order, deterministic=deterministic)
    moved = case.on(cupy)
    dtype = case.rotations.dtype
    assert_agree(
        "scatter",
        kernels.scatter(moved.slices, *moved.pose),
        DEFINITION.scatter(case.slices, *case.pose),
        dtype,
    )
    assert_agree(
        "squares",
        kernels.scatter_squares(abs(moved.ctf), moved.pose[0], case.geometry),
        DEFINITION.scatter_squares(abs(case.ctf), case.pose[0], case.geometry),
        dtype,
    )


@given(case=kernel_cases(), order=orders)
def test_the_stencil_agrees_with_the_definition(cupy, case, order):
    kernels, moved = cuda_host.host_kernels(order=order), case.on(cupy)
    dtype, geometry = case.rotations.dtype, case.geometry._replace(taps=LINEAR)

    def stencil(kernels, case):
        filters = Filters(case.ctf, case.precision[None])
        total = kernels.new_gram(geometry, dtype)
        for _ in range(2):  # it adds
            kernels.add_gram(total, case.pose[0], filters, geometry)
        return kernels.stencil_of(total, geometry)

    found, expected = stencil(kernels, moved), stencil(DEFINITION, case)
    assert_agree("stencil", found, expected, dtype)
    product = kernels.apply_stencil(cupy.asarray(expected), moved.volume)
    assert_agree("product", product, DEFINITION.apply_stencil(expected, case.volume), dtype)


@given(case=kernel_cases(), seed=seeds)
def test_the_ctf_agrees_with_the_definition(cupy, case, seed):
    coefficients = 0.3 * noise(np.random.default_rng(seed), (4, 7))
    dtype = case.rotations.dtype
    found = cuda_host.host_kernels().ctf_values(cupy.asarray(coefficients), case.geometry, dtype)
    assert_agree("ctf", found, DEFINITION.ctf_values(coefficients, case.geometry, dtype), dtype)


@given(case=kernel_cases(), order=orders, deterministic=st.booleans())
def test_all_kernels_agree_with_the_definition(cupy, case, order, deterministic):
    kernels = cuda_host.host_kernels(order=order, deterministic=deterministic)
    found, expected = run_all(kernels, case.on(cupy)), run_all(DEFINITION, case)
    for name, value in expected.items():
        assert_agree(name, found[name], value, case.rotations.dtype)
