"""The benchmark of the GPU runs, in small, and writes its figures and its table.

It measures nothing here: the CUDA source is run by g++ where there is no GPU.
"""

import json
import pathlib
import sys

import pytest

BENCHMARKS = pathlib.Path(__file__).parents[1] / "benchmarks"
SMALL = (
    "--sizes 8 --images 20 --repeats 1 --check-size 8 --megabytes 1 --map-size 24 --map-images 40 "
    "--torch-device cpu"
)


@pytest.fixture
def benchmark(monkeypatch, gpu):
    """Return what runs the script on small problems."""
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    import gpu as script

    def run(*words):
        monkeypatch.setattr(sys, "argv", ["gpu", *SMALL.split(), *map(str, words)])
        script.main()

    run.script = script
    return run


def test_figures_are_written_as_json_and_into_the_page(benchmark, tmp_path, capsys):
    run = benchmark
    page, output = tmp_path / "gpu.md", tmp_path / "gpu.json"
    page.write_text("before\n<!-- figures -->\nold\n<!-- end of figures -->\nafter\n")
    run("--output", output, "--document", page)
    printed = capsys.readouterr().out
    assert "FAIL" not in printed
    assert printed.count("\nok   ") > 30
    report = json.loads(output.read_text())
    ours = [row for row in report["kernels"] if row["contestant"] == "fslice"]
    assert {row["operation"] for row in ours} >= {"project", "insert", "insert, by atomics"}
    assert all(row["milliseconds"] > 0 for row in report["kernels"])
    text = page.read_text()
    assert text.startswith("before\n<!-- figures -->\n")
    assert text.endswith("<!-- end of figures -->\nafter\n")
    assert "old" not in text
    assert text.count("| project |") >= 1
    assert report["date"][:10] in text


def test_a_kernel_that_differs_from_numpy_gives_no_figures(benchmark, monkeypatch, tmp_path):
    run = benchmark
    monkeypatch.setattr("gpu_kernels.BOUND", {"float64": 1e-20})
    with pytest.raises(SystemExit, match=r"no figures: .* differ from NumPy"):
        run("--output", tmp_path / "gpu.json")
    assert not (tmp_path / "gpu.json").exists()


def test_a_page_without_marks_is_left_alone(benchmark, tmp_path):
    script = benchmark.script
    page = tmp_path / "gpu.md"
    page.write_text("nothing")
    with pytest.raises(SystemExit, match="expected the marks"):
        script.write_table(page, ["x"])
    assert page.read_text() == "nothing"


def test_the_page_of_this_project_has_the_marks():
    text = (BENCHMARKS.parent / "docs" / "gpu.md").read_text()
    assert "<!-- figures -->" in text
    assert "<!-- end of figures -->" in text
