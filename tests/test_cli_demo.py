"""``fslice demo``: it shows the two commands, and ends with maps, a picture and a resolution."""

import math
import subprocess
import sys
import time

import pytest
from cli_tools import names, result

from fslice.cli import _progress, demo

RESULTS = [
    *("fsc.star", "fsc.xml", "half1.mrc", "half1_unfil.mrc", "half2.mrc", "half2_unfil.mrc"),
    *("mask.mrc", "mean.mrc", "result.json", "sigma.mrc", "summary.png"),
]


def test_the_demo_shows_and_runs_both_commands(tmp_path, monkeypatch, capsys):
    words = "--size 24 --pixel-size 4 -n 60 --snr 1 --shift-std 1 --seed 1"
    monkeypatch.setattr(demo, "_SIMULATE", words)
    monkeypatch.chdir(tmp_path)
    line = result(capsys, "demo")
    data = tmp_path / "fslice-demo"
    assert names(data / "recon") == RESULTS
    assert set(names(data)) == {
        *("particles.mrcs", "particles.star", "recon", "simulation.json", "truth.mrc"),
    }
    assert line["resolution_angstrom"] > 0
    assert line["output"] == "fslice-demo"


def test_the_demo_says_what_it_does_and_how_to_read_it(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(demo, "_SIMULATE", "--size 24 --pixel-size 4 -n 400 --snr 1")
    monkeypatch.setattr(_progress, "SILENT", math.inf)
    from fslice.cli import main

    assert main(["demo", "-o", str(tmp_path / "x y")]) == 0
    printed = capsys.readouterr()
    assert "$ fslice simulate phantom -o '" in printed.out
    assert "$ fslice reconstruct '" in printed.out
    assert "\nresolution         " in printed.out
    assert "\nagainst the truth  " in printed.out
    for name in ("summary.png", "mean.mrc", "sigma.mrc", "result.json"):
        assert str(tmp_path / "x y" / "recon" / name) in printed.out
    assert printed.err == ""


@pytest.mark.long
def test_the_demo_ends_within_a_minute_when_nothing_is_compiled_yet(tmp_path):
    start = time.perf_counter()
    done = subprocess.run(
        [sys.executable, "-m", "fslice", "demo", "-o", tmp_path / "demo"],
        env={"NUMBA_CACHE_DIR": str(tmp_path / "cache"), "PATH": ""},
        capture_output=True,
    )
    assert done.returncode == 0, done.stderr
    assert names(tmp_path / "demo" / "recon") == RESULTS
    assert time.perf_counter() - start < 60
