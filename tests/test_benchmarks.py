"""The benchmarks run, in small; what they say of fslice is within its bounds."""

import json
import pathlib
import sys

import numpy as np
import pytest

BENCHMARKS = pathlib.Path(__file__).parents[1] / "benchmarks"


@pytest.fixture
def scripts(monkeypatch):
    """Let the scripts import one another, and take no pauses."""
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    monkeypatch.setenv("MPLBACKEND", "agg")
    import timing

    monkeypatch.setattr(timing, "PAUSE", 0)
    monkeypatch.setattr(timing, "AWAKE", 0)
    monkeypatch.setattr(timing, "LONG", 0)


def run(name, monkeypatch, *arguments):
    module = __import__(name)
    monkeypatch.setattr(sys, "argv", [name, *map(str, arguments)])
    module.main()
    return module


def test_errors_against_time_are_measured_and_drawn(scripts, monkeypatch, tmp_path):
    pytest.importorskip("matplotlib", reason="Matplotlib is not installed")
    output, figure = tmp_path / "accuracy.json", tmp_path / "accuracy.png"
    small = "--size", 32, "--images", 4, "--repeats", 1
    run("accuracy", monkeypatch, *small, "--output", output, "--figure", figure)
    rows = json.loads(output.read_text())["results"]
    errors = {(row["family"], row["oversampling"]): row["error"] for row in rows}
    assert errors["fslice, cubic", 2] < 0.05 * errors["fslice, linear", 2]
    assert errors["fslice, direct sum", None] < 1e-4
    assert figure.stat().st_size > 0


def test_the_cost_over_the_box_is_measured_and_drawn(scripts, monkeypatch, tmp_path):
    pytest.importorskip("matplotlib", reason="Matplotlib is not installed")
    output, figure = tmp_path / "cost.json", tmp_path / "cost.png"
    small = "--sizes", 8, 16, "--images", 4, "--repeats", 1
    module = run("position_space", monkeypatch, *small, "--output", output, "--figure", figure)
    report = json.loads(output.read_text())
    assert set(report["exponents"]) == set(module.METHODS)
    assert all(np.isfinite(value) for value in report["exponents"].values())
    assert figure.stat().st_size > 0


def test_the_exponent_of_a_power_is_found(scripts):
    module = __import__("position_space")
    rows = [{"size": size, "cubes": 3.0 * size**2.5} for size in (8, 16, 40)]
    assert module.exponent(rows, "cubes") == pytest.approx(2.5)


def test_the_certificates_questions_are_answered_by_all_that_are_installed(scripts):
    """On small boxes; PyTorch's peers where they are present."""
    module = __import__("certify_peers")
    contestants = module.present(module.CONTESTANTS)
    lines = []
    for test, subject, setting, dtype, bound, answer in module.questions():
        if test == "analytic":
            continue
        for peer in contestants:
            if setting.kernel in peer.kernels and test in peer.tests:
                figure, note = module.answered(answer, peer)
                lines.append((test, subject, dtype, peer.name, figure, bound, note))
    ours = [line for line in lines if line[3] == "fslice"]
    assert len(ours) == 24
    assert [line for line in ours if not line[4] <= line[5]] == []
    peers = [line for line in lines if line[3] != "fslice"]
    # what the documentation says of these: what they insert is not the adjoint
    for test, subject, dtype, name, figure, bound, note in peers:
        if name == "torch-fourier-slice" and dtype == "float64":
            assert note == "expected scalar type Double but found Float"
        elif subject.startswith("insertion") and subject != "insertion, zero mean":
            assert 1e-4 < figure < 1e-2, (test, subject, dtype, name)
        elif subject != "insertion, zero mean":
            assert figure <= bound, (test, subject, dtype, name)
