"""Poses and structure together on arrays of a device: the same rounds, no undocumented copy."""

import numpy as np
import pytest
import standin
from joint_problem import SIZE, simulated
from standin.kernels import DeviceKernels
from test_devices_solvers import undocumented

from fslice import _kernels
from fslice._arrays import to_numpy
from fslice.alignment.axes import Axes
from fslice.alignment.joint import Joint, infer_poses
from fslice.alignment.rounds import Rounds
from fslice.alignment.search import PoseSearch
from fslice.alignment.starts import GridEM, Level
from fslice.data.devices import to_library


@pytest.fixture
def cupy(monkeypatch):
    """Have the CuPy-like library, with the fastest kernels for NumPy's arrays as its primitives."""
    kernels = DeviceKernels(list(_kernels.host_kernels().values())[-1])
    monkeypatch.setitem(_kernels.select.DEFAULTS, "cupy", lambda: kernels)
    with standin.installed() as library:
        yield library


def test_rounds_on_the_device_are_those_of_numpy(cupy, monkeypatch):
    """In so few rounds the map shows no symmetry; it is imposed all the same."""
    monkeypatch.setattr(Axes, "found", True)
    dataset, _ = simulated(400, "C2", snr=2.0)
    options = Joint(
        starts=1, radius=9.0, symmetry="C2",
        grid_em=GridEM((Level(3, 300, 150, 12),), shift_std=0.7),
        rounds=Rounds(most=1, search=PoseSearch(rotations=1500, candidates=4)),
    )  # fmt: skip
    expected = infer_poses(dataset, options)
    with standin.recorded() as transfers:
        found = infer_poses(to_library(dataset, cupy), options)
    assert undocumented(transfers) == []
    for array in (found.volume, found.half_maps[0], found.poses.rotations, found.poses.weights):
        assert isinstance(array, cupy.ndarray)
    assert found.volume.shape == (SIZE,) * 3
    assert [each["radius"] for each in found.trace] == [each["radius"] for each in expected.trace]
    for one, other in zip(found.trace, expected.trace, strict=True):
        assert one["log_likelihood"] == pytest.approx(other["log_likelihood"], rel=1e-3)
    np.testing.assert_allclose(
        to_numpy(found.volume), expected.volume, atol=0.05 * abs(expected.volume).max()
    )
