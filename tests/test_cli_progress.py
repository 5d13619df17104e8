"""Progress: a bar for each stage on a terminal, none elsewhere."""

import functools
import io
import math
import os
import re
import signal
import subprocess
import sys
import time

import pytest
from cli_tools import names
from tqdm import tqdm

from fslice.cli import _progress, main
from fslice.cli._progress import fit_bar, image_bar
from fslice.solvers.progress import Progress


class Terminal(io.StringIO):
    """A stream that says it is a terminal."""

    def isatty(self):
        return True


@pytest.fixture
def terminal(monkeypatch):
    """Let bars be drawn on a terminal."""
    stream = Terminal()
    monkeypatch.setattr(_progress, "_stream", lambda: stream)
    monkeypatch.setattr(_progress, "tqdm", functools.partial(tqdm, mininterval=0))
    return stream


def run_fit():
    with fit_bar() as show:
        show(Progress("reading", 100, 100, "images"))
        for done in (0, 50, 100, 150, 200):
            show(Progress("fitting", done, 200, "images", f"epoch {done // 100}/2, ELBO -1.5e+06"))


def test_short_stages_are_silent_where_stderr_is_no_terminal(monkeypatch, capsys):
    monkeypatch.setattr(_progress, "SILENT", math.inf)
    run_fit()
    with image_bar("writing", 10) as progress:
        progress(10)
    assert capsys.readouterr().err == ""


def test_long_stages_have_a_line_for_each_tenth_where_stderr_is_no_terminal(monkeypatch, capsys):
    monkeypatch.setattr(_progress, "SILENT", 0.0)
    with fit_bar() as show:
        for done in range(1, 101):
            show(Progress("reading", done, 100, "images"))
        show(Progress("fitting", 1, 2, "images", "epoch 1/2"))
    expected = [*(f"reading {share} %" for share in range(10, 101, 10)), "fitting 50 %, epoch 1/2"]
    assert capsys.readouterr().err.splitlines() == expected


def last(terminal):
    """Return the last state of the last bar."""
    return re.split(r"[\r\n]+", terminal.getvalue().strip())[-1]


def test_a_fit_has_a_bar_for_each_stage_with_rate_time_left_and_note(terminal):
    run_fit()
    assert "reading 100%|" in terminal.getvalue()
    pattern = r"fitting 100%\|[█#]+\| .* images/s, 00:00 left, epoch 2/2, ELBO -1.5e\+06"
    assert re.fullmatch(pattern, last(terminal))


def test_a_stage_counts_in_its_own_unit(terminal):
    with fit_bar() as show:
        show(Progress("sampling", 8, 8, "samples"))
    assert re.search(r"sampling 100%\|.* samples/s", last(terminal))


def test_all_of_a_line_fits_80_columns(terminal, monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    with fit_bar() as show:
        note = "epoch 12/50, ELBO -1.2346e+10"
        show(Progress("fitting", 40_000, 40_000, "images", note))
    assert len(last(terminal)) <= 80
    assert last(terminal).endswith("left, epoch 12/50, ELBO -1.2346e+10")


def shares(terminal):
    """Return the percentages that were shown."""
    return [int(share) for share in re.findall(r"(\d+)%\|", terminal.getvalue())]


def test_a_resumed_fit_counts_from_where_it_goes_on(terminal):
    with fit_bar() as show:
        for done in (300, 350, 400):
            show(Progress("fitting", done, 500, "images"))
    assert [share for share in shares(terminal) if share] == [60, 70, 80, 100]


def test_what_is_repeated_takes_the_bar_back(terminal):
    with fit_bar() as show:
        for done in (100, 150, 200, 150, 200, 300, 400):
            show(Progress("fitting", done, 400, "images"))
    assert shares(terminal)[-1] == 100
    assert max(shares(terminal)) == 100


def test_a_fit_that_converges_early_ends_at_all_of_it(terminal):
    with fit_bar() as show:
        show(Progress("fitting", 1, 50, "iterations"))
    assert shares(terminal) == [0, 2, 100]


def test_images_are_counted(terminal):
    with image_bar("writing images", 2000) as progress:
        progress(1000)
        progress(1000)
    assert shares(terminal) == [0, 50, 100, 100]
    assert last(terminal).startswith("writing images 100%|")


def test_compilation_is_said_once_when_it_takes_long(monkeypatch, capsys):
    numba = pytest.importorskip("numba")
    monkeypatch.setattr(_progress, "SILENT", 0.0)
    with _progress.compilation_notice():
        for number in range(3):
            numba.njit(lambda x, number=number: x + number)(1.0)
    line = "compiling for this processor, which happens once and takes about a minute\n"
    assert capsys.readouterr().err == line


@pytest.mark.skipif(os.name != "posix", reason="signals are sent as on POSIX")
def test_ctrl_c_on_the_process_leaves_a_checkpoint_and_says_how_to_go_on(tmp_path):
    words = "simulate phantom --size 32 --pixel-size 4 -n 10000 --snr 0.05"
    assert main([*words.split(), "-o", str(tmp_path)]) == 0
    # Small batches converge slowly and epochs are long, so that there is time to interrupt.
    words = ["reconstruct", tmp_path / "particles.star", "-o", tmp_path / "recon"]
    words += ["--solver", "adam", "--batch-size", "1", "--oversampling", "2"]
    process = subprocess.Popen(
        [sys.executable, "-m", "fslice", *map(str, words)], stderr=subprocess.PIPE, text=True
    )
    deadline = time.monotonic() + 100
    while not (tmp_path / "recon" / "checkpoint_all.npz").exists():
        assert process.poll() is None, process.stderr.read()
        assert time.monotonic() < deadline
        time.sleep(0.01)
    process.send_signal(signal.SIGINT)
    _, printed = process.communicate(timeout=100)
    assert process.returncode == 130
    *before, line = printed.splitlines()
    expected = re.compile(r"(reading|fitting) \d+ %.*|compiling for this processor, .*")
    assert [other for other in before if not expected.fullmatch(other)] == []
    assert line.startswith("interrupted: go on with: fslice reconstruct ")
    assert line.endswith(" --resume")
    assert names(tmp_path / "recon") == ["checkpoint.json", "checkpoint_all.npz"]
