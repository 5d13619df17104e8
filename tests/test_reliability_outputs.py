"""What a run leaves: everything or nothing, also when it is killed; words never fail it."""

import errno
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from cli_tools import fail, names, succeed

from fslice.cli._outputs import output_folder
from fslice.cli._signals import Terminated, terminable, uninterrupted
from fslice.cli._streams import LONGEST
from fslice.io._files import atomic_write, find_named_file
from fslice.io._held import held_folder

NAMES = ("a.mrc", "b.png", "result.json")
SIMULATE = ("simulate", "phantom", "--size", 20, "--pixel-size", 4, "-n", 20, "--snr", 1)


def write(folder, text, chosen=NAMES):
    with output_folder(folder, NAMES) as staging:
        for name in chosen:
            (staging / name).write_text(text)


def contents(folder):
    return {path.name: path.read_text() for path in folder.iterdir()}


def command(*words, **options):
    """Start a command in a process of its own."""
    arguments = [sys.executable, "-m", "fslice", *map(str, words)]
    return subprocess.Popen(
        arguments, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, **options
    )


def test_the_folder_of_a_killed_run_is_removed_at_the_next_start(tmp_path):
    abandoned = tmp_path / ".fslice-killed"
    abandoned.mkdir()
    (abandoned / "a.mrc").write_text("half")
    write(tmp_path, "new")
    assert contents(tmp_path) == dict.fromkeys(NAMES, "new")


def test_the_folder_of_a_run_that_lives_is_not(tmp_path):
    other = subprocess.Popen(
        [sys.executable, "-c", HOLDING, str(tmp_path)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    held = Path(other.stdout.readline().decode().strip())
    write(tmp_path, "new")
    assert held.is_dir()
    other.kill()
    other.communicate()
    write(tmp_path, "newer")
    assert names(tmp_path) == sorted(NAMES)


HOLDING = """
import pathlib, sys
from fslice.io._held import held_folder
print(held_folder(pathlib.Path(sys.argv[1]), ".fslice-")[0], flush=True)
sys.stdin.read()
"""


def test_a_folder_that_is_removed_before_it_is_held_is_made_again(tmp_path, monkeypatch):
    made, real = [], os.open

    def open_(path, *rest):
        made.append(Path(path))
        if len(made) == 1:
            os.rmdir(path)
        return real(path, *rest)

    monkeypatch.setattr(os, "open", open_)
    folder, descriptor = held_folder(tmp_path, ".fslice-")
    os.close(descriptor)
    assert folder.is_dir()
    assert folder != made[0]


def test_the_hidden_file_of_a_killed_process_is_removed_when_the_file_is_written_again(tmp_path):
    (tmp_path / ".a.txt.01234567.part").write_text("half")
    (tmp_path / ".b.txt.01234567.part").write_text("another file's")
    with atomic_write(tmp_path / "a.txt") as file, atomic_write(tmp_path / "a.txt") as other:
        file.write(b"one")
        other.write(b"two")
    assert (tmp_path / "a.txt").read_text() == "one"
    assert names(tmp_path) == [".b.txt.01234567.part", "a.txt"]


@pytest.mark.parametrize("failing", range(6))
def test_a_failing_rename_leaves_what_was_there_before(tmp_path, monkeypatch, failing):
    write(tmp_path, "old")
    calls, real = [], os.replace

    def replace(source, target):
        calls.append(source)
        if len(calls) == failing + 1:
            raise PermissionError(errno.EPERM, "Operation not permitted", str(source))
        real(source, target)

    monkeypatch.setattr(os, "replace", replace)
    with pytest.raises(PermissionError):
        write(tmp_path, "new")
    assert contents(tmp_path) == dict.fromkeys(NAMES, "old")


@pytest.mark.parametrize("killed", range(6))
def test_files_beside_a_record_are_those_of_its_run_whenever_a_process_is_killed(
    tmp_path, monkeypatch, killed
):
    write(tmp_path, "old")
    calls, real = [], os.replace

    def replace(source, target):
        calls.append(source)
        if len(calls) > killed:
            raise SystemExit  # nothing of this process runs after it
        real(source, target)

    monkeypatch.setattr(os, "replace", replace)
    with pytest.raises(SystemExit):
        write(tmp_path, "new")
    found = contents(tmp_path)
    if "result.json" in found:
        assert set(found.values()) == {found["result.json"]}
        assert len(found) == len(NAMES)


def test_a_signal_between_two_renames_waits_until_all_are_done(tmp_path, monkeypatch):
    write(tmp_path, "old")
    real = os.replace

    def replace(source, target):
        signal.raise_signal(signal.SIGINT)
        real(source, target)

    monkeypatch.setattr(os, "replace", replace)
    with pytest.raises(KeyboardInterrupt):
        write(tmp_path, "new")
    assert contents(tmp_path) == dict.fromkeys(NAMES, "new")


def test_what_this_run_has_not_written_is_removed(tmp_path):
    write(tmp_path, "old")
    write(tmp_path, "new", ("a.mrc", "result.json"))
    assert contents(tmp_path) == {"a.mrc": "new", "result.json": "new"}


def test_sigterm_is_raised_and_its_handler_put_back():
    before = signal.getsignal(signal.SIGTERM)
    with pytest.raises(Terminated), terminable():
        signal.raise_signal(signal.SIGTERM)
    with pytest.raises(KeyboardInterrupt), uninterrupted():
        signal.raise_signal(signal.SIGINT)
    assert signal.getsignal(signal.SIGTERM) == before


def test_sigterm_leaves_nothing_behind(tmp_path):
    """As batch systems send it before they kill."""
    run = command(*SIMULATE[:-4], "-n", 200_000, "--snr", 1, "-o", tmp_path / "out")
    deadline = time.monotonic() + 60
    while not list(tmp_path.glob("out/.fslice-*/.*")) and time.monotonic() < deadline:
        time.sleep(0.02)
    run.terminate()
    _, err = run.communicate(timeout=60)
    assert run.returncode == 143, err
    assert err.splitlines()[-1].startswith("terminated")
    assert names(tmp_path) == []


def test_ctrl_c_while_modules_are_loaded_is_one_line(tmp_path):
    (tmp_path / "sitecustomize.py").write_text(
        "import sys\n"
        "class Interrupting:\n"
        "    def find_spec(self, name, *_):\n"
        "        if name == 'fslice.cli':\n"
        "            raise KeyboardInterrupt\n"
        "sys.meta_path.insert(0, Interrupting())\n"
    )
    path = os.pathsep.join([str(tmp_path), *filter(None, [os.environ.get("PYTHONPATH")])])
    run = command("info", env=os.environ | {"PYTHONPATH": path})
    out, err = run.communicate(timeout=60)
    assert (run.returncode, out, err) == (130, "", "interrupted\n")


@pytest.mark.parametrize("closed", ["1>&-", "2>&-", "1>&- 2>&-"])
def test_closed_streams_do_not_fail_a_run(tmp_path, closed):
    words = (
        f"{sys.executable} -m fslice {' '.join(map(str, SIMULATE))} --json -o {tmp_path / 'out'}"
    )
    done = subprocess.run(["sh", "-c", f"{words} {closed}"], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "particles.mrcs" in names(tmp_path / "out")
    assert "Traceback" not in done.stderr


def test_a_path_that_the_terminal_cannot_show_does_not_fail_a_run(tmp_path):
    run = command(
        *SIMULATE, "-o", tmp_path / "\u00e9t\u00e9",
        env=os.environ | {"PYTHONIOENCODING": "ascii", "PYTHONUTF8": "0"},
    )  # fmt: skip
    out, err = run.communicate(timeout=60)
    assert run.returncode == 0, err
    assert "\\xe9t\\xe9: wrote 20 images" in out


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="there is no /dev/full")
def test_a_full_stdout_is_named(tmp_path):
    with open("/dev/full", "w") as full:
        arguments = [sys.executable, "-m", "fslice", *map(str, SIMULATE), "-o", tmp_path / "out"]
        done = subprocess.run(arguments, stdout=full, stderr=subprocess.PIPE, text=True)
    assert done.returncode == 2
    assert done.stderr == "error: stdout: No space left on device\n"
    assert "particles.mrcs" in names(tmp_path / "out")


def test_lines_of_error_are_short(capsys):
    line = fail(capsys, "fsc", "x" * 3000 + ".mrc", "b.mrc")
    assert len(line) <= len("error: \n") + LONGEST
    assert line.endswith("File name too long\n")


def test_nothing_is_looked_for_in_the_root_of_the_file_system(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(FileNotFoundError, match="the stack 'etc/passwd' was not found"):
        find_named_file(["etc/passwd"], Path("/tmp/a/b.star"))


def test_a_full_disk_names_the_file_and_how_to_go_on(tmp_path, capsys, monkeypatch):
    succeed(capsys, *SIMULATE, "-o", tmp_path / "sim")

    def full(path, *_):
        raise OSError(errno.ENOSPC, "No space left on device", str(path))

    monkeypatch.setattr("fslice.cli._results.write_volume", full)
    out = tmp_path / "out"
    words = ["reconstruct", tmp_path / "sim" / "particles.star", "-o", out, "--solver", "adam"]
    line = fail(capsys, *words, "--epochs", 3, "--no-halves", warned=True)
    assert line.startswith(
        f"error: {out / 'mean.mrc'}: No space left on device; go on with: fslice"
    )
    assert line.rstrip().endswith("--resume")
    monkeypatch.undo()
    succeed(capsys, *words, "--epochs", 3, "--no-halves", "--resume")
    assert not [name for name in names(out) if name.startswith((".", "checkpoint"))]
