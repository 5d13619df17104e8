"""``fslice reconstruct --device gpu``: the maps of the processor, computed by CuPy.

CuPy's place is taken by the stand-in, which has three devices.
"""

import json

import numpy as np
import pytest
from cli_tools import succeed
from standin import devices, recorded
from test_devices import DOCUMENTED

from fslice.cli import main
from fslice.data import passes
from fslice.io import read_volume

WORDS = "simulate phantom --size 20 --pixel-size 5 -n 40 --snr 1 --shift-std 1 --ctf"
MAPS = ("mean", "half1", "half2", "half1_unfil", "half2_unfil", "mask", "sigma", "voxel_sigma")


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """Simulate particles, once."""
    folder = tmp_path_factory.mktemp("run")
    assert main([*WORDS.split(), "-o", str(folder)]) == 0
    return folder


def maps(folder):
    """Return all maps that a run has written."""
    found = (folder / f"{name}.mrc" for name in MAPS)
    return {path.stem: read_volume(path)[0] for path in found if path.exists()}


CASES = {
    "exact, with half sets": "--samples 1 --halves",
    "a found mask": "--support auto",
    "a sphere and noise per shell": "--support 40 --noise shell",
    "Adam": "--solver adam --epochs 1",
    "Wiener": "--solver wiener",
}


@pytest.mark.parametrize("name", CASES)
def test_maps_are_those_of_the_processor(name, run, device, tmp_path, capsys):
    words = "--no-halves", *CASES[name].split()
    command = "reconstruct", run / "particles.star", *words, "-o"
    succeed(capsys, *command, tmp_path / "cpu")
    with recorded() as transfers:
        succeed(capsys, *command, tmp_path / "gpu", "--device", "gpu")
    assert {str(t) for t in transfers if t.place not in DOCUMENTED} == set()
    assert transfers
    found, expected = maps(tmp_path / "gpu"), maps(tmp_path / "cpu")
    assert set(found) == set(expected)
    for kind, volume in expected.items():
        scale = abs(volume).max()
        np.testing.assert_allclose(found[kind], volume, atol=2e-2 * scale, err_msg=kind)
    results = json.loads((tmp_path / "gpu" / "result.json").read_text())
    assert results["arguments"]["device"] == "gpu"


def test_all_gpus_take_part_in_an_exact_fit(run, device, tmp_path, capsys, monkeypatch):
    used, real = [], passes.make_batch

    def make_batch(dataset, rows, *spectra):
        used.append(devices.current())
        return real(dataset, rows, *spectra)

    monkeypatch.setattr(passes, "make_batch", make_batch)
    command = "reconstruct", run / "particles.star", "-o", tmp_path / "gpu", "--no-halves"
    command = *command, "--device", "gpu"
    succeed(capsys, *command)
    assert len(set(used)) > 1
    used.clear()
    succeed(capsys, *command, "--solver", "adam", "--epochs", "1")
    assert set(used) == {0}


def test_what_does_not_fit_into_the_memory_of_a_gpu_is_one_line(run, device, tmp_path, capsys):
    command = ["reconstruct", str(run / "particles.star"), "-o", str(tmp_path / "gpu")]
    with devices.memory_for(100):
        assert main([*command, "--device", "gpu"]) == 2
    printed = capsys.readouterr().err.splitlines()
    assert printed[-1].startswith("error: out of memory: Out of memory allocating")
    assert not (tmp_path / "gpu" / "mean.mrc").exists()
