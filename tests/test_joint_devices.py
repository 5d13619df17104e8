"""Poses and structure together on arrays of a device: the same rounds, no undocumented copy."""

from dataclasses import replace

import numpy as np
import pytest
import standin
from cli_tools import succeed
from joint_problem import SIZE, blobs, simulated
from standin.kernels import DeviceKernels
from test_devices import DOCUMENTED
from test_devices_solvers import undocumented

from fslice import _kernels
from fslice._arrays import to_numpy
from fslice.alignment.band import Band
from fslice.alignment.joint import Joint, infer_poses
from fslice.alignment.joint.axes import Axes
from fslice.alignment.joint.grid_map import GridMap, rescaled
from fslice.alignment.joint.restart import begun_again, half_behind
from fslice.alignment.joint.rounds import Rounds
from fslice.alignment.joint.starts import GridEM, Level
from fslice.alignment.joint.steps import ImageSet, posed, search_finds_more
from fslice.alignment.search import PoseSearch
from fslice.cli import _unknown_poses
from fslice.data.devices import to_library
from fslice.io import read_particles, read_volume, write_volume
from fslice.likelihoods.gaussian import GaussianNoise
from fslice.symmetry._shears import mirror

FEW = Joint(
    starts=1, radius=9.0, grid_em=GridEM((Level(3, 300, 150, 12),), shift_std=0.7),
    rounds=Rounds(most=1, search=PoseSearch(rotations=1500, candidates=4)),
)  # fmt: skip


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
    options = replace(FEW, symmetry="C2")
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


def test_what_is_asked_of_some_images_stays_on_the_device(cupy):
    dataset, data = simulated(120, shift_std=0.0)
    noise = GaussianNoise(np.full(SIZE // 2 + 1, data.noise_variance))
    dataset = to_library(dataset.with_noise(noise), cupy)
    band, search = Band(SIZE, 8, interpolation="linear"), PoseSearch(radii=(8,), rotations=1500)
    halves = []
    for number, map_ in enumerate((data.truth, (data.truth + mirror(data.truth, 0)) / 2)):
        volume = cupy.asarray(rescaled(map_, band.box))
        made = GridMap(volume, band, np.ones(band.box // 2 + 1), np.ones(9), 0.5)
        halves.append(posed(dataset, ImageSet(np.arange(number, 120, 2), made), search,
                            everywhere=True))  # fmt: skip
    with standin.recorded() as transfers:
        assert half_behind(dataset, tuple(halves), search) == 1
        assert not search_finds_more(dataset, halves[0], search)
        _, begun = begun_again(dataset, tuple(halves), 1, 6, replace(search, radii=(6,)))
    assert undocumented(transfers) == []
    assert isinstance(begun.poses.rotations, cupy.ndarray)


def test_the_command_line_finds_poses_and_map_on_the_gpu(cupy, monkeypatch, tmp_path, capsys):
    write_volume(tmp_path / "true.mrc", blobs().volume(SIZE, 1.0, dtype=np.float32), 1.0)
    words = "simulate", tmp_path / "true.mrc", "-o", tmp_path / "run", "-n", 400, "--snr", 2
    succeed(capsys, *words)
    initial = read_volume(tmp_path / "run" / "truth.mrc")[0]
    monkeypatch.setattr(_unknown_poses, "_options", lambda *_: replace(FEW, initial=initial))
    star = tmp_path / "run" / "particles.star"
    words = "reconstruct", star, "-o", tmp_path / "out", "--poses", "unknown", "--device", "gpu"
    with standin.recorded() as transfers:
        succeed(capsys, *words)
    assert {str(each) for each in transfers if each.place not in DOCUMENTED} == set()
    assert read_volume(tmp_path / "out" / "mean.mrc")[0].shape == (SIZE,) * 3
    assert len(read_particles(tmp_path / "out" / "particles.star")) == 400
