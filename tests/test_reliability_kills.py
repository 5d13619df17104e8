"""Runs killed at any moment: no half results, nothing left after the next run, the same maps."""

import hashlib
import os
import signal
import subprocess
import sys
import time

import numpy as np
import pytest

MOMENTS = int(os.environ.get("FSLICE_KILLS", 20))
"""For each command."""
SIGNALS = (signal.SIGKILL, signal.SIGTERM, signal.SIGINT)
SIMULATE = ("simulate", "phantom", "--size", 24, "--pixel-size", 4, "-n", 400, "--snr", 1)
RECONSTRUCT = ("reconstruct", "{input}/particles.star")
COMMANDS = {
    "simulate": SIMULATE,
    "simulate with CTF": (*SIMULATE, "--ctf", "--shift-std", 1),
    "exact": RECONSTRUCT,
    "noise per shell": (*RECONSTRUCT, "--noise", "shell", "--no-halves"),
    "adam": (*RECONSTRUCT, "--solver", "adam", "--no-halves", "--epochs", 8),
    "adam, halves": (*RECONSTRUCT, "--solver", "adam", "--epochs", 4),
    "symmetrize": ("symmetrize", "{input}/truth.mrc", "--symmetry", "D7"),
}
RECORDS = ("result.json", "simulation.json")


def start(words, output, *more):
    arguments = [sys.executable, "-m", "fslice", *map(str, words), "-o", str(output), *more]
    return subprocess.Popen(arguments, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)


def finish(words, output, *more):
    began = time.perf_counter()
    run = start(words, output, *more)
    _, err = run.communicate(timeout=600)
    assert run.returncode == 0, err
    return time.perf_counter() - began


def digests(output):
    """Return a digest of every file but records, which hold times, and pictures."""
    files = [output] if output.is_file() else [f for f in output.iterdir() if f.is_file()]
    return {
        file.name: hashlib.sha256(file.read_bytes()).hexdigest()
        for file in files
        if file.suffix not in (".json", ".png")
    }


def hidden(folder):
    return list(folder.rglob(".*"))


@pytest.fixture(scope="module")
def simulated(tmp_path_factory):
    folder = tmp_path_factory.mktemp("kills") / "input"
    finish(SIMULATE, folder)
    return folder


@pytest.mark.long
@pytest.mark.parametrize("name", COMMANDS)
def test_a_run_that_is_killed_at_any_moment(simulated, tmp_path, name):
    words = [str(word).format(input=simulated) for word in COMMANDS[name]]
    output = "out.mrc" if name == "symmetrize" else "out"
    (tmp_path / "first").mkdir()
    finish(words, tmp_path / "first" / output)
    seconds = finish(words, tmp_path / "first" / output)  # kernels are compiled by now
    expected = digests(tmp_path / "first" / output)
    rng = np.random.default_rng(sum(name.encode()))
    for moment in range(MOMENTS):
        folder = tmp_path / str(moment)
        folder.mkdir()
        run = start(words, folder / output)
        time.sleep(float(rng.uniform(0.2, 1.0)) * seconds)
        run.send_signal(SIGNALS[moment % len(SIGNALS)])
        _, err = run.communicate(timeout=600)
        assert "Traceback" not in err, err
        check_whole(folder / output, expected)
        if SIGNALS[moment % len(SIGNALS)] != signal.SIGKILL:
            assert not hidden(folder), "a run that can undo what it has begun leaves nothing"
        resume = ["--resume"] if list(folder.rglob("checkpoint*.npz")) else []
        finish(words, folder / output, *resume)
        assert digests(folder / output) == expected
        assert not hidden(folder)
        assert not list(folder.rglob("checkpoint*"))


def check_whole(output, expected):
    """Assert that what stands under final names is the whole result, or is no result."""
    if output.is_file():
        assert digests(output) == expected
    if output.is_dir() and any((output / record).exists() for record in RECORDS):
        assert digests(output) == expected
    if output.is_dir():
        found = {name: digest for name, digest in digests(output).items() if name in expected}
        assert all(expected[name] == digest for name, digest in found.items())
