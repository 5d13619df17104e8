"""The experiments of the paper run, in small, and say what they should."""

import json
import os
import pathlib

import numpy as np
import pytest

ROOT = pathlib.Path(__file__).parents[1]
SMALL = ("--model", "phantom", "--size", "20", "--pixel-size", "6", "--n", "200")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Return the folder in which all experiments keep their images."""
    return tmp_path_factory.mktemp("paper")


@pytest.fixture
def run(folder, monkeypatch, capsys):
    """Return what runs an experiment and gives back its numbers, as printed and as written."""
    pytest.importorskip("matplotlib", reason="Matplotlib is not installed")
    monkeypatch.syspath_prepend(str(ROOT))
    monkeypatch.setenv("MPLBACKEND", "agg")
    from benchmarks.paper.__main__ import main

    def run(name, *words):
        main([name, *SMALL, *map(str, words), "-o", str(folder / name), "--data", str(folder)])
        printed = json.loads(capsys.readouterr().out.splitlines()[-1])
        assert printed == json.loads((folder / name / f"{name}.json").read_text())
        assert printed["experiment"] == name
        return printed

    return run


def drawn(folder, name):
    return os.path.getsize(folder / name / f"{name}.png") > 5000


def test_the_sets_have_the_noise_that_they_say(run, folder):
    sets = run("datasets", "--snr", 1, 0.04)["sets"]
    for snr, row in sets.items():
        assert row["measured_snr"] == pytest.approx(float(snr), rel=0.02)
    assert drawn(folder, "datasets")


def test_a_set_is_made_once(run, folder):
    run("datasets", "--snr", 1)
    (path,) = folder.glob("phantom_*_all_*/1.npy")
    before = path.stat().st_mtime_ns
    run("datasets", "--snr", 1)
    assert path.stat().st_mtime_ns == before
    assert not list(folder.glob("**/*.partial"))


def test_noise_is_that_of_the_simulation(run, folder):
    """The files hold what `fslice.simulate` makes with the same variance."""
    import fslice

    noise = run("datasets", "--snr", 0.04)["sets"]["0.04"]["noise_variance"]
    (path,) = folder.glob("phantom_*_all_*/0.04.npy")
    made = fslice.simulate(fslice.phantom(20, 6.0), 200, 20, 6.0, snr=0.04)
    assert noise == pytest.approx(made.noise_variance, rel=1e-4)
    assert np.allclose(np.load(path), made.images(), atol=1e-3 * noise**0.5)


def test_table_1_has_both_posteriors_and_the_solvers_beside_them(run):
    rows = run("table1", "--snr", "inf")["fits"]["clean"]
    assert len(rows) == 5
    exact, adam = rows["exact, one prior"], rows["adam, gaussian"]
    assert adam["converged"]
    assert adam["elbo"] == pytest.approx(exact["elbo"], rel=0.02)
    for row in rows.values():
        assert row["mse_over_mean_square_of_truth"] < 0.02
        assert row["seconds"]["fitting"] > 0


def test_figure_4_reads_each_curve_and_tests_the_statements(run, folder):
    level = run("fig4", "--snr", 1)["levels"]["1"]
    assert level["largest_difference_of_dirac_and_gaussian"] < 1e-3
    assert abs(level["shells_from_prediction_to_truth_at_0.5"]) < 1
    reached = {name: row["0.5"]["angstrom"] for name, row in level["resolutions"].items()}
    assert reached["Dirac, truth"] <= reached["Dirac A, truth"]
    assert drawn(folder, "fig4")


def test_figure_5_finds_the_density_in_the_uncertainty(run, folder):
    level = run("fig5", "--snr", "inf")["levels"]["clean"]
    assert level["correlation_with_counted_density"] > 0.98
    assert level["share_of_unobserved_at_the_prior"] == 1
    assert level["median_of_observed"] < 0.1
    assert drawn(folder, "fig5")


def test_figure_8_draws_both_maps(run, folder):
    level = run("fig8", "--snr", 1)["levels"]["1"]
    assert set(level) == {"one prior", "prior per shell, sphere"}
    assert drawn(folder, "fig8")


def test_more_images_resolve_more(run, folder):
    rows = run("data_efficiency", "--snr", 0.1, "--n", 25, 200)["levels"]["0.1"]
    for name in ("map of all, truth at 0.5", "halves, 0.143"):
        assert rows["200"][name]["angstrom"] < rows["25"][name]["angstrom"]
    assert drawn(folder, "data_efficiency")


def test_numbers_without_a_value_are_null(monkeypatch):
    monkeypatch.syspath_prepend(str(ROOT))
    from benchmarks.paper.__main__ import finite

    assert finite({"a": (np.inf, np.float32(0.5)), 1: np.arange(2)}) == {
        "a": [None, 0.5],
        "1": [0, 1],
    }
