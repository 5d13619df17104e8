"""Sums of groups: those of `bincount`, in any library, with equal bits for equal input."""

import numpy as np
import pytest
import standin
from hypothesis import given
from hypothesis import strategies as st
from strategies import noise, seeds

from fslice import _sums
from fslice._arrays import to_numpy
from fslice._sums import group_sums


@pytest.fixture
def cupy():
    """Have the CuPy-like library in CuPy's place."""
    with standin.installed() as library:
        yield library


@given(
    seed=seeds,
    number=st.integers(0, 300),
    used=st.integers(1, 40),
    empty=st.integers(0, 5),
    width=st.sampled_from([2, 5, 1 << 10]),
    together=st.sampled_from([1, 64, 1 << 22]),
)
def test_sums_on_a_device_are_those_of_bincount(cupy, seed, number, used, empty, width, together):
    rng, count = np.random.default_rng(seed), used + empty
    labels, values = rng.integers(0, used, number), noise(rng, number)
    expected = np.bincount(labels, values, count)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(_sums, "_WIDTH", width)
        patch.setattr(_sums, "_TOGETHER", together)
        found = [group_sums(cupy.asarray(labels), cupy.asarray(values), count) for _ in range(2)]
    np.testing.assert_allclose(to_numpy(found[0]), expected, rtol=1e-12, atol=1e-12)
    assert np.array_equal(to_numpy(found[0]), to_numpy(found[1]))


@pytest.mark.parametrize("count", [0, 3])
def test_sums_of_nothing_are_zeros_of_the_same_type(cupy, count):
    for xp in (np, cupy):
        sums = group_sums(xp.zeros(0, dtype=np.int64), xp.zeros(0), count)
        assert (sums.shape, sums.dtype) == ((count,), np.float64)
        assert not to_numpy(sums).any()


def test_what_is_no_number_stays_in_its_group(cupy):
    labels, values = cupy.asarray([0, 1, 1, 2]), cupy.asarray([np.nan, 1.0, 2.0, np.inf])
    assert np.array_equal(
        to_numpy(group_sums(labels, values, 4)), [np.nan, 3.0, np.inf, 0.0], equal_nan=True
    )


def test_a_device_is_not_asked_to_add_by_atomic_operations(cupy):
    """As CuPy's `bincount` with weights does: bits would depend on which thread comes first."""
    with pytest.raises(TypeError, match="weights"):
        cupy.bincount(cupy.zeros(3, np.int64), weights=cupy.zeros(3))
