"""The CUDA kernels, run by g++: each agrees with NumPy's definition, in any order of threads."""

import cuda_host
import pytest
import standin
from hypothesis import given
from hypothesis import strategies as st
from test_kernels import kernel_cases

from fslice._arrays import to_numpy
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
