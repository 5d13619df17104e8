"""Progress: bars with ELBO, images per second and time left on a terminal, none elsewhere."""

import functools
import io
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
from fslice.solvers.results import Progress


class Terminal(io.StringIO):
    """A stream that says it is a terminal."""

    def isatty(self):
        return True


@pytest.fixture
def terminal(monkeypatch):
    """Let bars be drawn on a terminal."""
    stream = Terminal()
    on_it = functools.partial(tqdm, file=stream, mininterval=0)
    monkeypatch.setattr(_progress, "tqdm", on_it)
    return stream


def run_fit(epochs=3, start=0):
    with fit_bar("half1 ") as show:
        show(Progress("reading", 100, 100, 0, epochs, None))
        for epoch in range(start, epochs + 1):
            for done in (50, 100):
                show(Progress("fitting", done, 100, epoch, epochs, None if epoch < 1 else -1.5e6))


def test_bars_are_off_where_stderr_is_no_terminal(capsys):
    run_fit()
    with image_bar("writing", 10) as progress:
        progress(10)
    assert capsys.readouterr().err == ""


def last(terminal):
    """Return the last state of the last bar."""
    return re.split(r"[\r\n]+", terminal.getvalue().strip())[-1]


def test_a_fit_has_a_bar_for_each_stage_with_epoch_bound_rate_and_time_left(terminal):
    run_fit()
    assert "half1 reading 100%|" in terminal.getvalue()
    pattern = r"half1 fitting 100%\|[█#]+\| .* images/s, 00:00 left, epoch 3/3, ELBO -1.5e\+06"
    assert re.fullmatch(pattern, last(terminal))


def test_all_of_a_line_fits_80_columns(terminal, monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    with fit_bar("half1 ") as show:
        show(Progress("fitting", 40_000, 40_000, 12, 50, -1.234567e10))
    assert len(last(terminal)) <= 80
    assert last(terminal).endswith("left, epoch 12/50, ELBO -1.2346e+10")


def shares(terminal):
    """Return the percentages that were shown."""
    return [int(share) for share in re.findall(r"(\d+)%\|", terminal.getvalue())]


def test_a_resumed_fit_counts_from_where_it_goes_on(terminal):
    with fit_bar("") as show:
        for done in (50, 100):
            show(Progress("fitting", done, 100, 3, 4, None))
    assert shares(terminal) == [60, 70, 80, 100]


def test_a_repeated_epoch_takes_the_bar_back(terminal):
    with fit_bar("") as show:
        for epoch, done in ((0, 100), (1, 50), (1, 100), (1, 50), (1, 100), (2, 100), (3, 100)):
            show(Progress("fitting", done, 100, epoch, 3, -1.0))
    assert shares(terminal)[-1] == 100
    assert max(shares(terminal)) == 100


def test_a_fit_that_converges_early_ends_at_all_of_it(terminal):
    with fit_bar("") as show:
        show(Progress("fitting", 100, 100, 0, 50, None))
    assert shares(terminal) == [0, 2, 100]


def test_images_are_counted(terminal):
    with image_bar("writing images", 2000) as progress:
        progress(1000)
        progress(1000)
    assert shares(terminal) == [0, 50, 100, 100]
    assert last(terminal).startswith("writing images 100%|")


@pytest.mark.skipif(os.name != "posix", reason="signals are sent as on POSIX")
def test_ctrl_c_on_the_process_leaves_a_checkpoint_and_says_how_to_go_on(tmp_path):
    words = "simulate phantom --size 32 --pixel-size 4 -n 10000 --snr 0.05"
    assert main([*words.split(), "-o", str(tmp_path)]) == 0
    # Small batches converge slowly and epochs are long, so that there is time to interrupt.
    words = ["reconstruct", tmp_path / "particles.star", "-o", tmp_path / "recon"]
    words += ["--batch-size", "1", "--oversampling", "2"]
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
    assert printed.startswith("interrupted: go on with: fslice reconstruct ")
    assert printed.endswith(" --resume\n")
    assert printed.count("\n") == 1
    assert names(tmp_path / "recon") == ["checkpoint.json", "checkpoint_all.npz"]
