"""``fslice reconstruct``: files, numbers, halves, interruption and resumption."""

import contextlib
import dataclasses
import errno
import json
import math
import os
import re
import shlex
import stat
import sys

import gemmi
import mrcfile
import numpy as np
import pytest
from cli_tools import fail, names, result, succeed, without_warnings

import fslice
from fslice.cli import _fits, _progress, _results, main, reconstruct
from fslice.io import (
    StackWriter,
    read_particles,
    read_star,
    read_volume,
    write_particles,
    write_volume,
)
from fslice.io.fsc_files import read_fsc_xml
from fslice.metrics import shell_frequencies, split_half_sets
from fslice.operators.aberrations import Aberrations, aberrate_slices
from fslice.operators.zernike import beam_tilt_coefficients
from fslice.postprocess.fsc import corrected_fsc
from fslice.postprocess.resolution import find_resolution
from fslice.solvers.adam import Adam
from fslice.solvers.exact import Exact

SIZE, PIXEL_SIZE, NUMBER = 24, 4.0, 150
OF_HALVES = ["half1.mrc", "half2.mrc", "half1_unfil.mrc", "half2_unfil.mrc", "fsc.xml", "fsc.star"]
FIT_FILES = sorted([*OF_HALVES, "mask.mrc", "mean.mrc", "result.json", "sigma.mrc", "summary.png"])


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """Simulate particles, once."""
    folder = tmp_path_factory.mktemp("run")
    words = f"simulate phantom --size {SIZE} --pixel-size {PIXEL_SIZE} -n {NUMBER} --snr 1"
    assert main([*words.split(), "--shift-std", "1", "--ctf", "-o", str(folder)]) == 0
    return folder


@pytest.fixture(scope="module")
def recon(run, tmp_path_factory):
    """Reconstruct them, once; return the folder."""
    folder = tmp_path_factory.mktemp("recon")
    words = ["reconstruct", run / "particles.star", "-o", folder, "--truth", run / "truth.mrc"]
    assert main([str(word) for word in words]) == 0
    return folder


@pytest.fixture(scope="module")
def by_steps(run, tmp_path_factory):
    """Reconstruct them by the stochastic solver, once; return the folder."""
    folder = tmp_path_factory.mktemp("steps")
    words = ["reconstruct", run / "particles.star", "-o", folder, "--truth", run / "truth.mrc"]
    assert main([str(word) for word in [*words, "--solver", "adam"]]) == 0
    return folder


def labels(seed=0):
    """Return the half sets that the command draws."""
    half_sets = np.full(NUMBER, 2)
    half_sets[split_half_sets(NUMBER, np.random.default_rng(seed))[0]] = 1
    return half_sets


def fit_by_library(run, half_sets, **options):
    """Fit the particles through the library."""
    particles = read_particles(run / "particles.star")
    poses = particles.rotations, particles.shifts, particles.ctf
    return fslice.reconstruct(particles.images[:], *poses, half_sets=half_sets, **options)


@pytest.fixture(scope="module")
def fit(run):
    """Fit them through the library, once."""
    return fit_by_library(run, labels())


@pytest.fixture(scope="module")
def record(recon):
    """Return what result.json holds."""
    return json.loads((recon / "result.json").read_text())


@pytest.fixture(autouse=True)
def no_progress(monkeypatch):
    """Have no lines of progress, which a busy machine would add to what is printed."""
    monkeypatch.setattr(_progress, "SILENT", math.inf)


@pytest.fixture
def no_picture(monkeypatch):
    """Do without drawing, which takes longer than a small fit."""
    monkeypatch.setattr(_results, "_write_summary", lambda path, *_: path.write_bytes(b""))


def test_files_are_written_and_nothing_else_is_left(recon):
    assert names(recon) == FIT_FILES


def test_the_map_is_the_librarys(recon, fit):
    mean, pixel_size = read_volume(recon / "mean.mrc")
    np.testing.assert_array_equal(mean, fit.mean)
    assert pixel_size == PIXEL_SIZE


def test_sigma_lies_on_the_centred_fourier_grid_in_units_of_frequency(recon, fit):
    sigma, step = read_volume(recon / "sigma.mrc")
    np.testing.assert_array_equal(sigma, fit.posterior_std_grid())
    assert step == pytest.approx(1 / (SIZE * PIXEL_SIZE), rel=1e-6)
    prior, centre = fit.prior_variance**0.5, SIZE // 2
    assert sigma[0, 0, 0] == pytest.approx(prior[-1])  # the corner is out of the band
    assert sigma[centre, centre, centre - 1 : centre + 2].max() < 0.7 * prior[:2].min()


def test_the_record_has_the_bound_and_the_variances(record, fit):
    assert record["elbo"] == pytest.approx(fit.elbo)
    assert record["elbo_prior"] == pytest.approx(fit.elbo_prior)
    assert record["elbo_trace"] == pytest.approx(fit.elbo_trace)
    assert record["noise_variance"] == pytest.approx(fit.noise_variance)
    assert record["prior_variance"] == pytest.approx(fit.prior_variance)
    assert record["iterations"] == fit.iterations
    assert record["converged"] is True


def test_the_record_has_resolutions_and_curves(record, recon, run):
    truth, _ = read_volume(run / "truth.mrc")
    mean, *halves, mask = (
        read_volume(recon / f"{name}.mrc")[0] for name in ("mean", "half1", "half2", "mask")
    )
    found = corrected_fsc(*halves, mask, PIXEL_SIZE)
    assert record["resolution_angstrom"] == pytest.approx(found.resolution)
    assert record["resolution_limit"] == found.resolutions["corrected"].limit
    for name in ("corrected", "unmasked", "masked", "randomized"):
        assert record["fsc"][name]["value"] == pytest.approx(getattr(found, name), abs=1e-5)
    reached = found.resolutions["unmasked"].first_falls
    assert record["resolutions_angstrom"]["unmasked"] == pytest.approx(reached)
    for name, curve in (
        ("truth", fslice.fsc(mean, truth, mask)), ("truth_unmasked", fslice.fsc(mean, truth))
    ):  # fmt: skip
        reached = find_resolution(curve, SIZE, PIXEL_SIZE, 0.5).first_falls
        assert record["fsc"][name]["value"] == pytest.approx(curve)
        assert record["resolutions_angstrom"][name] == pytest.approx(reached)
    assert record["fsc"]["predicted"]["value"][0] > 0.9
    frequencies = shell_frequencies(SIZE, PIXEL_SIZE)
    for curve in record["fsc"].values():
        assert curve["frequency_per_angstrom"] == pytest.approx(frequencies)
    assert record["mean_squared_error"] == pytest.approx(np.mean((mean - truth) ** 2), rel=1e-4)
    expected = (mask * (mean - truth) ** 2).sum() / (mask * truth**2).sum()
    assert record["relative_error"] == pytest.approx(expected, rel=1e-4)


@pytest.mark.parametrize("name", ["half1", "half2", "half1_unfil", "half2_unfil", "mask", "mean"])
def test_other_programs_open_the_maps(recon, name):
    """The readers of gemmi and of mrcfile: values, order of the axes, pixel size, origin."""
    expected, _ = read_volume(recon / f"{name}.mrc")
    ccp4 = gemmi.read_ccp4_map(str(recon / f"{name}.mrc"))
    assert (ccp4.header_i32(17), ccp4.header_i32(18), ccp4.header_i32(19)) == (1, 2, 3)
    assert [ccp4.header_i32(word) for word in (5, 6, 7)] == [0, 0, 0]  # no place of its own
    assert ccp4.grid.spacing == pytest.approx((PIXEL_SIZE,) * 3, rel=1e-6)
    np.testing.assert_array_equal(ccp4.grid.array.transpose(2, 1, 0), expected)  # gemmi: x first
    with mrcfile.open(recon / f"{name}.mrc") as file:
        assert file.is_volume()
        np.testing.assert_array_equal(file.data, expected)
        assert file.voxel_size.x == pytest.approx(PIXEL_SIZE, rel=1e-6)


def test_the_curves_are_written_for_other_programs(record, recon):
    frequencies, values, _ = read_fsc_xml(recon / "fsc.xml")
    shells = slice((SIZE - 1) // 2 + 1)  # without Nyquist, where no resolution is read either
    assert values == pytest.approx(record["fsc"]["corrected"]["value"][shells])
    assert frequencies == pytest.approx(shell_frequencies(SIZE, PIXEL_SIZE)[shells])
    tables = read_star(recon / "fsc.star")
    (final,) = tables["general"]["rlnFinalResolution"]
    assert float(final) == pytest.approx(record["resolution_angstrom"])
    column = tables["fsc"]["rlnFourierShellCorrelationUnmaskedMaps"]
    assert np.array(column, float) == pytest.approx(record["fsc"]["unmasked"]["value"][shells])


def test_the_mask_is_about_the_object(recon, run):
    mask, _ = read_volume(recon / "mask.mrc")
    truth, _ = read_volume(run / "truth.mrc")
    assert 0 <= mask.min() < mask.max() == 1
    assert (mask * truth).sum() > 0.98 * truth.sum()


def test_unfiltered_half_maps_are_the_librarys(recon, fit):
    for number, expected in enumerate(fit.unfiltered_half_maps, 1):
        half, _ = read_volume(recon / f"half{number}_unfil.mrc")
        np.testing.assert_array_equal(half, expected)


def test_the_record_has_seconds_versions_and_arguments(record, run):
    assert {"opening", "reading", "fitting", "half maps", "assessing", "writing"} <= set(
        record["seconds"]
    )
    assert record["versions"]["fslice"] == fslice.__version__
    assert record["arguments"]["particles"] == str(run / "particles.star")
    assert record["arguments"]["halves"] is True


def test_the_picture_is_a_picture(recon):
    assert (recon / "summary.png").read_bytes().startswith(b"\x89PNG")


@pytest.mark.usefixtures("no_picture")
def test_words_and_json_tell_the_result(run, tmp_path, capsys):
    words = "reconstruct", run / "particles.star", "-o", tmp_path, "--truth", run / "truth.mrc"
    line = result(capsys, *words)
    printed = succeed(capsys, *words)
    assert f"{tmp_path}: wrote mean.mrc, sigma.mrc, half1.mrc, half2.mrc, " in printed
    first, second, third, *_ = printed.splitlines()
    reached = line["resolutions_angstrom"]
    assert first.startswith(f"resolution         {reached['corrected']:.2f} Angstrom")
    assert second.startswith(f"  unmasked         {reached['unmasked']:.2f} Angstrom")
    assert third.startswith(f"against the truth  {reached['truth']:.2f} Angstrom")
    assert printed.index("symmetry") < printed.index("noise variance") < printed.index("ELBO")
    assert line["output"] == str(tmp_path)


@pytest.mark.usefixtures("no_picture")
def test_a_point_estimate_has_no_sigma_and_replaces_an_earlier_one(run, tmp_path, capsys):
    words = "reconstruct", run / "particles.star", "-o", tmp_path
    line = result(capsys, *words)
    assert names(tmp_path) == FIT_FILES
    assert "resolution_angstrom" in line
    (tmp_path / "notes.txt").write_text("mine")
    line = result(capsys, *words, "--posterior", "dirac", "--no-halves")
    left = ["mask.mrc", "mean.mrc", "notes.txt", "result.json", "summary.png"]
    assert names(tmp_path) == left
    assert "resolution_angstrom" not in line
    assert line["fsc"] == {}


@pytest.mark.usefixtures("no_picture")
def test_options_reach_the_stochastic_solver(run, tmp_path, capsys):
    of_solver = {"epochs": 1, "batch_size": 40, "seed": 7}
    of_model = {"noise_variance": 5e4, "oversampling": 1.5}
    options = {"solver": "adam", "prior_variance": 300.0, **of_solver, **of_model}
    words = [f"--{name.replace('_', '-')}={value}" for name, value in options.items()]
    line = result(capsys, "reconstruct", run / "particles.star", "-o", tmp_path, *words)
    expected = fit_by_library(run, labels(7), solver=Adam(**of_solver), prior=300.0, **of_model)
    np.testing.assert_array_equal(read_volume(tmp_path / "mean.mrc")[0], expected.mean)
    np.testing.assert_array_equal(read_volume(tmp_path / "half1.mrc")[0], expected.half_maps[0])
    assert line["iterations"] <= 1
    assert line["noise_variance"] == 5e4
    assert line["prior_variance"] == 300
    sigma, step = read_volume(tmp_path / "sigma.mrc")
    np.testing.assert_array_equal(sigma, expected.posterior_std_grid())
    assert step == pytest.approx(1 / (SIZE * PIXEL_SIZE), rel=1e-6)


@pytest.mark.usefixtures("no_picture")
def test_options_reach_the_exact_solver(run, tmp_path, capsys):
    words = "--prior-variance=300", "--noise-variance=5e4", "--seed=7", "--samples=2"
    line = result(capsys, "reconstruct", run / "particles.star", "-o", tmp_path, *words)
    exact = Exact(samples=2, seed=7)
    expected = fit_by_library(run, labels(7), solver=exact, prior=300.0, noise_variance=5e4)
    np.testing.assert_array_equal(read_volume(tmp_path / "mean.mrc")[0], expected.mean)
    np.testing.assert_array_equal(read_volume(tmp_path / "voxel_sigma.mrc")[0], expected.voxel_std)
    assert (line["noise_variance"], line["prior_variance"]) == (5e4, 300)


@pytest.mark.usefixtures("no_picture")
def test_variances_may_be_auto(run, tmp_path, capsys):
    words = "--noise-variance", "auto", "--prior-variance", "auto"
    line = result(capsys, "reconstruct", run / "particles.star", "-o", tmp_path, *words)
    assert line["noise_variance"] > 0


@pytest.mark.usefixtures("no_picture")
def test_a_mask_is_used_in_every_fsc(run, recon, record, tmp_path, capsys):
    mask = np.zeros((SIZE,) * 3, np.float32)
    mask[6:-6, 6:-6, 6:-6] = 1
    write_volume(tmp_path / "mask.mrc", mask, PIXEL_SIZE)
    words = "--truth", run / "truth.mrc", "--mask", tmp_path / "mask.mrc"
    words = "reconstruct", run / "particles.star", "-o", tmp_path / "x", *words
    line = result(capsys, *words)
    maps = [read_volume(recon / name)[0] for name in ("mean.mrc", "half1.mrc", "half2.mrc")]
    truth = read_volume(run / "truth.mrc")[0]
    assert line["fsc"]["truth"]["value"] == pytest.approx(fslice.fsc(maps[0], truth, mask))
    assert line["fsc"]["masked"]["value"] == pytest.approx(fslice.fsc(*maps[1:], mask))
    assert line["fsc"]["truth"]["value"] != record["fsc"]["truth"]["value"]
    np.testing.assert_array_equal(read_volume(tmp_path / "x" / "mask.mrc")[0], mask)


def test_halves_are_those_of_the_seed(recon, fit):
    for name, expected in zip(("half1.mrc", "half2.mrc"), fit.half_maps, strict=True):
        np.testing.assert_array_equal(read_volume(recon / name)[0], expected)


@pytest.mark.usefixtures("no_picture")
def test_halves_are_those_of_the_file_where_it_has_them(run, tmp_path, capsys, rng):
    particles = read_particles(run / "particles.star")
    halves = rng.integers(1, 3, NUMBER)
    star = run / "with_halves.star"
    write_particles(star, dataclasses.replace(particles, half_set=halves))
    succeed(capsys, "reconstruct", star, "-o", tmp_path)
    mean, _ = read_volume(tmp_path / "half2.mrc")
    np.testing.assert_array_equal(mean, fit_by_library(run, halves).half_maps[1])


FITS = ["all", "all_half1", "all_half2"]


@contextlib.contextmanager
def interrupt_at_epoch(epoch, label, monkeypatch):
    """Press Ctrl-C when the fit of this label reports this epoch."""

    @contextlib.contextmanager
    def bar():
        stages = []

        def show(progress):
            if not stages or stages[-1] != progress.stage:
                stages.append(progress.stage)
            fit = stages.count("fitting") - 1
            now = progress.note.startswith(f"epoch {epoch}/")
            if stages[-1] == "fitting" and FITS[fit] == label and now:
                raise KeyboardInterrupt

        yield show

    with monkeypatch.context() as patch:
        patch.setattr(reconstruct, "fit_bar", bar)
        yield


@pytest.mark.parametrize("label", FITS)
@pytest.mark.usefixtures("no_picture")
def test_an_interrupted_run_is_resumed_to_the_same_result(
    label, run, by_steps, tmp_path, monkeypatch, capsys
):
    words = ["reconstruct", run / "particles.star", "-o", tmp_path, "--solver", "adam"]
    words = [str(word) for word in [*words, "--truth", run / "truth.mrc"]]
    with interrupt_at_epoch(1, label, monkeypatch):
        assert main(words) == 130
    printed = capsys.readouterr()
    assert "mean.mrc" not in names(tmp_path)
    assert f"checkpoint_{label}.npz" in names(tmp_path)
    command = re.fullmatch("interrupted: go on with: fslice (.*)\n", printed.err).group(1)
    assert main(shlex.split(command)) == 0
    assert names(tmp_path) == names(by_steps)
    for name in ("mean.mrc", "sigma.mrc", "half1.mrc", "half2.mrc"):
        assert (tmp_path / name).read_bytes() == (by_steps / name).read_bytes()
    resumed, straight = (
        json.loads((folder / "result.json").read_text()) for folder in (tmp_path, by_steps)
    )
    same = "elbo", "elbo_trace", "noise_variance", "iterations", "fsc", "resolution_angstrom"
    for name in same:
        assert resumed[name] == straight[name]


@pytest.mark.usefixtures("no_picture")
def test_an_interruption_before_the_first_epoch_ends_leaves_nothing(
    run, tmp_path, monkeypatch, capsys
):
    words = ["reconstruct", str(run / "particles.star"), "-o", str(tmp_path / "x" / "y")]
    with interrupt_at_epoch(0, "all", monkeypatch):
        assert main([*words, "--solver", "adam"]) == 130
    assert capsys.readouterr().err == "interrupted: nothing is left behind\n"
    assert names(tmp_path) == []


@pytest.mark.usefixtures("no_picture")
def test_an_interrupted_exact_fit_leaves_nothing(run, tmp_path, monkeypatch, capsys):
    def interrupt(*_):
        raise KeyboardInterrupt

    words = ["reconstruct", str(run / "particles.star"), "-o", str(tmp_path / "x")]
    monkeypatch.setattr(_results, "_write_summary", interrupt)
    assert main(words) == 130
    printed = without_warnings(capsys.readouterr().err)
    assert printed == "interrupted: nothing is left behind\n"
    assert names(tmp_path) == []


@pytest.mark.usefixtures("no_picture")
def test_an_interruption_while_writing_keeps_the_fit(run, by_steps, tmp_path, monkeypatch, capsys):
    def interrupt(*_):
        raise KeyboardInterrupt

    words = ["reconstruct", str(run / "particles.star"), "-o", str(tmp_path), "--solver", "adam"]
    with monkeypatch.context() as patch:
        patch.setattr(_results, "_write_summary", interrupt)
        assert main(words) == 130
    assert "go on with: fslice reconstruct" in capsys.readouterr().err
    assert names(tmp_path) == sorted({*_fits.CHECKPOINTS} - {_fits.CHECKPOINT})
    succeed(capsys, *words, "--resume")
    assert (tmp_path / "mean.mrc").read_bytes() == (by_steps / "mean.mrc").read_bytes()


@pytest.mark.usefixtures("no_picture")
def test_an_interrupted_run_is_neither_thrown_away_nor_mixed_with_another(
    run, tmp_path, monkeypatch, capsys
):
    words = ["reconstruct", run / "particles.star", "-o", tmp_path, "--solver", "adam"]
    with interrupt_at_epoch(1, "all", monkeypatch):
        assert main([str(word) for word in words]) == 130
    capsys.readouterr()
    left = {name: (tmp_path / name).read_bytes() for name in names(tmp_path)}
    assert set(left) == {"checkpoint.json", "checkpoint_all.npz"}
    message = "holds an interrupted run: go on with --resume, or delete checkpoint_all.npz"
    assert message in fail(capsys, *words)
    message = "--batch-size: expected None as in the interrupted run, got 50"
    assert message in fail(capsys, *words, "--resume", "--batch-size", 50)
    message = "--posterior: expected gaussian as in the interrupted run, got dirac"
    assert message in fail(capsys, *words, "--resume", "--posterior", "dirac")
    assert left == {name: (tmp_path / name).read_bytes() for name in names(tmp_path)}
    succeed(capsys, *words, "--resume", "--epochs", 60)
    assert names(tmp_path) == FIT_FILES


@pytest.mark.usefixtures("no_picture")
def test_a_damaged_checkpoint_is_one_line(run, tmp_path, capsys):
    (tmp_path / "checkpoint_all.npz").write_bytes(b"damaged")
    words = "reconstruct", run / "particles.star", "-o", tmp_path, "--solver", "adam", "--resume"
    assert "checkpoint_all.npz is not a readable checkpoint" in fail(capsys, *words)
    (tmp_path / "checkpoint.json").write_text("{")
    assert "checkpoint.json: expected what an interrupted run left" in fail(capsys, *words)


@pytest.mark.usefixtures("no_picture")
def test_resuming_nothing_starts_anew(run, by_steps, tmp_path, capsys):
    words = ["reconstruct", run / "particles.star", "-o", tmp_path, "--solver", "adam", "--resume"]
    assert main([str(word) for word in words]) == 0
    assert "no interrupted run to resume: starting anew" in capsys.readouterr().err
    assert (tmp_path / "mean.mrc").read_bytes() == (by_steps / "mean.mrc").read_bytes()


def test_without_matplotlib_only_the_picture_is_left_out(run, tmp_path, monkeypatch, capsys):
    for name in [name for name in sys.modules if name.partition(".")[0] == "matplotlib"]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    words = ["reconstruct", run / "particles.star", "-o", tmp_path]
    assert main([str(word) for word in words]) == 0
    line = (
        "summary.png is left out: drawing needs the package matplotlib, which is missing: pip "
        "install matplotlib"
    )
    assert without_warnings(capsys.readouterr().err) == f"{line}\n"
    assert names(tmp_path) == [name for name in FIT_FILES if name != "summary.png"]


def test_without_gemmi_one_line_says_how_to_install_it(run, tmp_path, monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "gemmi", None)
    line = fail(capsys, "reconstruct", run / "particles.star", "-o", tmp_path / "x")
    expected = "reading STAR files needs the package gemmi, which is missing: pip install gemmi"
    assert line == f"error: {expected}\n"
    assert not (tmp_path / "x").exists()


@contextlib.contextmanager
def full_disk(writes, monkeypatch):
    """Let the disk be full at the given write of results that has to reach it."""
    left, write_results = [writes], reconstruct.write_results

    def fsync(descriptor):
        left[0] -= not stat.S_ISDIR(os.fstat(descriptor).st_mode)
        if left[0] < 0:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    def write(*arguments):
        with monkeypatch.context() as inner:
            inner.setattr("os.fsync", fsync)
            return write_results(*arguments)

    with monkeypatch.context() as patch:
        patch.setattr(reconstruct, "write_results", write)
        yield


WRITTEN = [
    *("mean.mrc", "half1.mrc", "half2.mrc", "half1_unfil.mrc", "half2_unfil.mrc", "mask.mrc"),
    *("sigma.mrc", "fsc.xml", "fsc.star", "result.json"),
]


@pytest.mark.parametrize("writes", range(len(WRITTEN)))
@pytest.mark.usefixtures("no_picture")
def test_a_disk_that_fills_up_leaves_no_partial_output(writes, run, tmp_path, monkeypatch, capsys):
    with full_disk(writes, monkeypatch):
        words = "reconstruct", run / "particles.star", "-o", tmp_path / "x"
        line = fail(capsys, *words, warned=True)
    full = f"{tmp_path / 'x' / WRITTEN[writes]}: No space left on device"
    assert line == f"error: {full}; nothing is left behind\n"
    assert names(tmp_path) == []


@pytest.mark.usefixtures("no_picture")
def test_a_disk_that_fills_up_leaves_a_fit_that_can_be_kept(
    run, by_steps, tmp_path, monkeypatch, capsys
):
    monkeypatch.chdir(tmp_path)  # long lines are cut, wherever the folder of the tests may lie
    words = "reconstruct", run / "particles.star", "-o", "x", "--solver", "adam"
    with full_disk(1, monkeypatch):
        line = fail(capsys, *words, warned=True)
    resume = shlex.join(["fslice", *map(str, words), "--resume"])
    assert line == f"error: x/half1.mrc: No space left on device; go on with: {resume}\n"
    assert names(tmp_path / "x") == sorted({*_fits.CHECKPOINTS} - {_fits.CHECKPOINT})
    succeed(capsys, *words, "--resume")
    assert (tmp_path / "x" / "mean.mrc").read_bytes() == (by_steps / "mean.mrc").read_bytes()


@pytest.mark.usefixtures("no_picture")
def test_a_beam_tilt_in_the_file_is_modelled(run, recon, tmp_path, capsys):
    particles = read_particles(run / "particles.star")
    tilt = beam_tilt_coefficients(*map(np.array, ([10.0], [-5.0], [2.7], [300.0])))
    aberrations = Aberrations(
        odd=tilt, even=np.zeros((1, 0)), group=np.zeros(NUMBER, int), pixel_size=PIXEL_SIZE
    )
    slices = fslice.rfft2(np.asarray(particles.images[:], float))
    phases = aberrations.odd_phases(SIZE)[aberrations.group]
    tilted = fslice.irfft2(aberrate_slices(slices, phases))
    assert np.std(tilted - particles.images[:]) > 0.2 * np.std(tilted)
    with StackWriter(tmp_path / "tilted.mrcs", NUMBER, SIZE, PIXEL_SIZE) as writer:
        writer.write(tilted)
    star = tmp_path / "tilted.star"
    write_particles(star, dataclasses.replace(particles, aberrations=aberrations), "tilted.mrcs")
    succeed(capsys, "reconstruct", star, "-o", tmp_path)
    note = f"{star}: aberrations of the optics groups are modelled"
    assert note in json.loads((tmp_path / "result.json").read_text())["notes"]
    found, expected = (read_volume(folder / "mean.mrc")[0] for folder in (tmp_path, recon))
    np.testing.assert_allclose(found, expected, atol=1e-2 * np.abs(expected).max())


@pytest.mark.usefixtures("no_picture")
def test_relions_own_projections_are_reconstructed(data, tmp_path, capsys):
    star = data / "particles" / "relion_pointmass_ctf" / "relion_proj_batch_pfac2.star"
    succeed(capsys, "reconstruct", star, "-o", tmp_path)
    mean, pixel_size = read_volume(tmp_path / "mean.mrc")
    assert np.unravel_index(mean.argmax(), mean.shape) == (32, 32, 49)  # as SOURCES.md says
    assert pixel_size == pytest.approx(3.54)


@pytest.mark.usefixtures("no_picture")
def test_clean_images_give_a_map_close_to_the_truth(tmp_path, capsys):
    words = f"phantom --size 32 --pixel-size 4 -n 300 --noise-variance 0 -o {tmp_path}"
    succeed(capsys, "simulate", *words.split())
    words = "-o", tmp_path / "recon", "--truth", tmp_path / "truth.mrc", "--oversampling", 2
    line = result(capsys, "reconstruct", tmp_path / "particles.star", *words)
    assert min(line["fsc"]["truth"]["value"][:9]) > 0.99


def test_the_exact_solver_learns_a_prior_inside_a_sphere_and_draws_samples(run, tmp_path):
    words = f"reconstruct {run / 'particles.star'} -o {tmp_path} --solver exact --prior shell"
    more = f"--noise shell --support 40 --samples 2 --evidence --truth {run / 'truth.mrc'}"
    assert main([*words.split(), *more.split()]) == 0
    assert names(tmp_path) == [*FIT_FILES, "voxel_sigma.mrc"]
    record = json.loads((tmp_path / "result.json").read_text())
    assert len(record["prior_variance"]) == len(record["noise_variance"]) == SIZE // 2 + 1
    assert record["log_evidence"]["error"] > 0
    assert record["log_evidence"]["value"] > record["elbo"] > record["elbo_prior"]
    low, high = np.array(record["fsc"]["samples"]["band_95_percent"])
    value = np.array(record["fsc"]["samples"]["value"])
    assert ((low <= value) & (value <= high)).all()
    assert record["resolutions_angstrom"]["samples"] > 0
    unfiltered = [read_volume(tmp_path / f"half{i}_unfil.mrc")[0] for i in (1, 2)]
    mask, _ = read_volume(tmp_path / "mask.mrc")
    found = corrected_fsc(*unfiltered, mask, PIXEL_SIZE)  # these know of no support
    assert record["resolution_angstrom"] == pytest.approx(found.resolution)
    mean, _ = read_volume(tmp_path / "mean.mrc")
    deviation, _ = read_volume(tmp_path / "voxel_sigma.mrc")
    outside = np.linalg.norm(np.indices(mean.shape) - SIZE // 2, axis=0) > 40 / PIXEL_SIZE + 5
    assert not mean[outside].any()
    assert not deviation[outside].any()
    assert deviation[SIZE // 2, SIZE // 2, SIZE // 2] > 0


def test_a_support_can_be_a_map_and_a_prior_per_shell_leaves_s(run, tmp_path, no_picture):
    mask = np.zeros((SIZE,) * 3, np.float32)
    mask[4:-4, 4:-4, 4:-4] = 1
    write_volume(tmp_path / "mask.mrc", mask, PIXEL_SIZE)
    words = ["reconstruct", str(run / "particles.star"), "--solver", "exact", "--prior", "shell"]
    assert main([*words, "--support", str(tmp_path / "mask.mrc"), "-o", str(tmp_path / "a")]) == 0
    mean, _ = read_volume(tmp_path / "a" / "mean.mrc")
    assert not mean[mask == 0].any()
    assert mean[mask == 1].any()
    assert main([*words, "-o", str(tmp_path / "b")]) == 0
    assert names(tmp_path / "b") == FIT_FILES


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ("--prior shell --solver adam", "--prior: expected --solver exact, got adam"),
        (
            "--support 40 --solver wiener",
            "--support: expected --solver exact or adam, got wiener",
        ),
        ("--samples 2 --solver wiener", "--samples: expected --solver exact, got wiener"),
        ("--evidence --solver adam", "--evidence: expected --solver exact, got adam"),
        ("--epochs 2", "--epochs: expected --solver adam, got exact"),
        ("--batch-size 2", "--batch-size: expected --solver adam, got exact"),
        ("--resume", "--resume: expected --solver adam, got exact"),
        ("--evidence --posterior dirac", "--evidence: expected --posterior gaussian, got dirac"),
        ("--evidence --symmetry c4", "--evidence: expected --symmetry C1, got C4: groups are"),
        ("--noise shell --noise-variance 2", "--noise-variance: expected auto with --noise shell"),
        ("--solver exact --support 400", "--support: expected a radius up to 48 Angstrom, got 400"),
        ("--solver exact --support 0", "--support: expected a radius up to 48 Angstrom, got 0"),
    ],
)
def test_what_needs_another_solver_says_so(run, tmp_path, capsys, words, message):
    command = ["reconstruct", str(run / "particles.star"), "-o", str(tmp_path / "out")]
    assert main([*command, *words.split()]) == 2
    assert message in capsys.readouterr().err
    assert not (tmp_path / "out").exists()
