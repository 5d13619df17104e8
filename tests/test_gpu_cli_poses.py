"""``fslice poses --device gpu``: the poses of the processor, found by CuPy on all of its devices.

CuPy's place is taken by the stand-in, which has three devices.
"""

import json

import numpy as np
import pytest
from cli_tools import succeed
from pose_files import simulated_run
from standin import devices, recorded
from test_devices import DOCUMENTED

from fslice.alignment import search
from fslice.alignment.posterior import PosePosterior
from fslice.cli import _devices
from fslice.data import passes
from fslice.geometry import angle_between

FIELDS = ("rotations", "shifts", "weights", "covariance", "evidence")


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """Return a folder with a map, and images of it, once."""
    return simulated_run(tmp_path_factory.mktemp("poses"), 9)


@pytest.fixture(autouse=True)
def coarse(monkeypatch):
    """Have a grid of few rotations."""
    monkeypatch.setattr(search, "_ROTATIONS", 600)


def words_of(run, *words):
    return "poses", run / "particles.star", "--volume", run / "truth.mrc", *words


CASES = {
    "searched": "--check 3",
    "refined": "--local --noise shell",
    "relaxed": "--relax-symmetry C2 --shift-std 1",
    "all free": "--shift-std 1 --refine-defocus 300 --contrast 0.2 --prior-directions learned",
}


@pytest.mark.parametrize("name", CASES)
def test_poses_are_those_of_the_processor(name, run, device, tmp_path, capsys, monkeypatch):
    command = words_of(run, *CASES[name].split(), "-o")
    succeed(capsys, *command, tmp_path / "cpu")
    used, real = [], passes.make_batch

    def make_batch(dataset, rows, *spectra):
        used.append(devices.current())
        return real(dataset, rows, *spectra)

    monkeypatch.setattr(passes, "make_batch", make_batch)
    with recorded() as transfers:
        succeed(capsys, *command, tmp_path / "gpu", "--device", "gpu")
    assert {str(t) for t in transfers if t.place not in DOCUMENTED} == set()
    assert set(used) == {0, 1, 2}
    expected, found = (
        PosePosterior.load(tmp_path / kind / "posterior.npz") for kind in ("cpu", "gpu")
    )
    assert found.image_of.tolist() == expected.image_of.tolist()
    for field in FIELDS:
        one, other = getattr(found, field), getattr(expected, field)
        np.testing.assert_allclose(one, other, rtol=2e-3, atol=1e-3 * abs(other).max())
    assert angle_between(found.best().rotations, expected.best().rotations).max() < 0.1
    results = json.loads((tmp_path / "gpu" / "result.json").read_text())
    assert results["arguments"]["device"] == "gpu"
    assert ("check" in results) == (name == "searched")


def test_the_bits_do_not_depend_on_the_number_of_gpus(run, device, tmp_path, capsys, monkeypatch):
    found = []
    for number in (3, 2):
        some = tuple(map(device.cuda.Device, range(number)))
        monkeypatch.setattr(_devices, "gpus", lambda cupy, some=some: some)
        folder = tmp_path / str(number)
        succeed(capsys, *words_of(run, "--shift-std", 1, "-o", folder), "--device", "gpu")
        found.append(PosePosterior.load(folder / "posterior.npz"))
    assert all(np.array_equal(*(getattr(each, field) for each in found)) for field in FIELDS)
