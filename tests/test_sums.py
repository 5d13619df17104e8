"""Sums of groups, on the host and on a device, where nothing is added by atomic operations."""

import numpy as np
import pytest

from fslice import _sums
from fslice._sums import group_sums

COUNT = 7
CASES = {
    "unsorted": [3, 0, 3, 6, 1, 3, 0],
    "groups without members": [5, 5],
    "one group": [2] * 40,
    "nothing": [],
}


@pytest.mark.parametrize("name", CASES)
@pytest.mark.parametrize("together", [1, 1 << 22])
def test_a_device_sums_what_the_host_sums(name, together, device, monkeypatch, rng):
    monkeypatch.setattr(_sums, "_TOGETHER", together)
    labels = np.array(CASES[name], np.int64)
    values = rng.normal(size=len(labels)).astype(np.float32)
    found = group_sums(device.asarray(labels), device.asarray(values), COUNT)
    assert found.dtype == np.float64
    expected = np.bincount(labels, weights=values, minlength=COUNT)
    assert np.allclose(found.get(), expected, rtol=1e-15, atol=1e-15)


def test_no_groups_have_no_sums(device):
    nothing = device.zeros(0, np.int64)
    assert group_sums(nothing, device.zeros(0), 0).shape == (0,)


def test_a_device_is_not_asked_to_add_by_atomic_operations(device):
    """As CuPy's `bincount` with weights does: bits would depend on which thread comes first."""
    with pytest.raises(TypeError, match="weights"):
        device.bincount(device.zeros(3, np.int64), weights=device.zeros(3))
