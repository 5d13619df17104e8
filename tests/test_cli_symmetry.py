"""``--symmetry`` of simulate and reconstruct, and ``fslice symmetrize``."""

import json

import numpy as np
import pytest
from cli_tools import fail, result, succeed

import fslice
from fslice.io import read_volume, write_volume


@pytest.fixture
def blobs(tmp_path, rng):
    model = fslice.simulation.GaussianModel(
        rng.normal(size=(9, 3)) * 8, np.ones(9), np.full(9, 30.0)
    )
    write_volume(tmp_path / "map.mrc", model.volume(24, 3.0, dtype=np.float32), 3.0)
    return tmp_path


def test_a_map_is_averaged_and_compared(blobs, capsys):
    words = "symmetrize", blobs / "map.mrc", "--symmetry", "c7", "-o", blobs / "out.mrc"
    line = result(capsys, *words)
    volume, _ = read_volume(blobs / "map.mrc")
    written, pixel_size = read_volume(blobs / "out.mrc")
    assert np.allclose(written, fslice.symmetry.symmetrize(volume, "C7"))
    assert pixel_size == pytest.approx(3.0)
    assert (line["symmetry"], line["output"]) == ("C7", str(blobs / "out.mrc"))
    assert line["correlation"] == pytest.approx(np.corrcoef(volume.ravel(), written.ravel())[0, 1])
    again = succeed(capsys, "symmetrize", blobs / "out.mrc", "--symmetry", "C7")
    assert again == "correlation with the average over C7: 1.0000\n"


def test_a_wrong_group_is_one_line(blobs, capsys):
    error = fail(capsys, "symmetrize", blobs / "map.mrc", "--symmetry", "S4")
    assert "--symmetry: expected C1 to C99, D1 to D99, T, O, I or I1 to I4, got 'S4'" in error


def test_simulation_and_reconstruction_take_and_record_the_symmetry(blobs, capsys):
    words = "--symmetry", "c3", "--json"
    run = blobs / "run"
    succeed(capsys, "simulate", blobs / "map.mrc", "-o", run, "-n", 150, "--snr", 0.5, *words)
    truth, _ = read_volume(run / "truth.mrc")
    assert np.allclose(fslice.symmetry.symmetrize(truth, "C3"), truth, atol=1e-4 * truth.max())
    assert json.loads((run / "simulation.json").read_text())["arguments"]["symmetry"] == "C3"
    errors = {}
    for group in ("C1", "C3"):
        found = result(
            capsys, "reconstruct", run / "particles.star", "-o", blobs / group, "--solver", "exact",
            "--symmetry", group, "--truth", run / "truth.mrc",
        )  # fmt: skip
        assert json.loads((blobs / group / "result.json").read_text())["symmetry"] == group
        errors[group] = found["mean_squared_error"]
    assert errors["C3"] < 0.6 * errors["C1"]
