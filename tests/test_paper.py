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
        assert row["mse_over_mean_square_of_truth"] < 0.05
        assert row["seconds"]["fitting"] > 0


def test_figure_4_reads_each_curve_and_tests_the_statements(run, folder):
    level = run("fig4", "--snr", 0.1)["levels"]["0.1"]
    curves, reached = level["curves"], level["resolutions"]
    assert level["largest_difference_of_dirac_and_gaussian"] == 0  # both from the exact solver
    for half in ("Dirac A, truth", "Dirac B, truth"):
        assert np.mean(curves["Dirac, truth"][1:4]) > np.mean(curves[half][1:4])
    shells = [
        reached[name]["0.5"]["shell"]
        for name in ("... predicted", "prior per shell, sphere: truth")
    ]
    assert level["shells_from_prediction_to_truth_at_0.5"] == pytest.approx(
        shells[0] - shells[1], abs=1e-4
    )
    assert curves["... predicted"][1] > 0.9
    assert drawn(folder, "fig4")


def test_figure_4_takes_its_points_from_adam_too(run):
    """They agree with those of the exact solver but for the noise that each learns."""
    level = run("fig4", "--snr", 0.1, "--dirac", "adam")["levels"]["0.1"]
    assert 0 < level["largest_difference_of_dirac_and_gaussian"] < 0.1


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


def test_figure_6_counts_what_descents_and_the_search_find(run, folder):
    few = "--targets", 2, "--starts", 3, "--steps", 5, "--n", 12
    level = run("fig6", "--snr", 1, *few)["levels"]["1"]
    assert {row["starts"] for row in level["descent"].values()} == {6}
    assert level["search"]["images"] == 12
    assert drawn(folder, "fig6")


def test_the_slopes_of_a_descent_are_those_of_the_misfit(monkeypatch, rng):
    """In rot and tilt, against central differences."""
    monkeypatch.syspath_prepend(str(ROOT))
    import fslice
    from benchmarks.paper.descent import Landscape, slopes
    from fslice.geometry import euler_to_matrix

    positions = 12 * rng.uniform(-1, 1, (8, 3))
    model = fslice.simulation.GaussianModel(positions, np.ones(8), np.full(8, 60.0))
    data = fslice.simulate(model, 1, 16, 6.0)
    projector = fslice.Projector(16, 2, "cubic")
    images_ft = fslice.rfft2(data.images().astype(float))
    volume_ft = projector.transform(data.truth.astype(float))
    misfit = Landscape(projector, volume_ft, images_ft, 1.0)
    angles, psi, step = np.array([[40.0, 70.0]]), 25.0, 1e-3

    def value(change):
        turned = euler_to_matrix(np.append(angles[0] + change, psi)[None])
        return misfit(np.zeros(1, int), turned).chi_squared[0] / 2

    ends = [[value(sign * step * axis) for sign in (1, -1)] for axis in np.eye(2)]
    expected = [(a - b) / np.radians(2 * step) for a, b in ends]
    assert slopes(misfit, angles, psi)[0] == pytest.approx(expected, rel=1e-5)


def test_the_encoder_is_judged_beside_the_exact_search(run, folder):
    few = "--cells", 100, "--radius", 4, "--steps", 60, "--hidden", 16, "--n", 20
    level = run("amortised", "--snr", 1, *few)["levels"]["1"]
    for way in ("encoder", "exact"):
        recall = list(level[way]["recall_among_the_first"].values())
        assert recall == sorted(recall)
        assert recall[-1] == pytest.approx(level["best_possible_recall"])
    assert level["loss"]["last"] < level["loss"]["first"]
    assert drawn(folder, "amortised")


@pytest.mark.long
def test_map_and_poses_are_found_together(run, folder, data):
    """Of GroEL-GroES in few large pixels."""
    model = "--model", data / "atomic" / "1aon.pdb.gz", "--pixel-size", 11.2, "--size", 32
    level = run("joint", *model, "--snr", 1, "--n", 400, "--starts", 1)["levels"]["1"]
    known, found = (level[way]["resolution"]["shell"] for way in ("known", "found"))
    assert found > 0.8 * known
    assert drawn(folder, "joint")


def test_numbers_without_a_value_are_null(monkeypatch):
    monkeypatch.syspath_prepend(str(ROOT))
    from benchmarks.paper.__main__ import finite

    assert finite({"a": (np.inf, np.float32(0.5)), 1: np.arange(2)}) == {
        "a": [None, 0.5],
        "1": [0, 1],
    }
