"""What all commands share: help, exit statuses, one line for an error, quick start."""

import shutil
import subprocess
import sys

import pytest
from cli_tools import fail, names

import fslice.cli.info
from fslice.cli import main

COMMANDS = [command.__name__.rpartition(".")[2] for command in fslice.cli._COMMANDS]


def python(*words, **options):
    """Run Python in a process of its own."""
    return subprocess.run(
        [sys.executable, *words], capture_output=True, text=True, timeout=100, **options
    )


def test_the_commands_are_those_that_are_documented():
    assert COMMANDS == [
        "simulate", "reconstruct", "poses", "fsc", "align", "symmetrize", "info", "certify", "demo",
        "completion",
    ]  # fmt: skip


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_has_help_with_an_example(command, capsys):
    assert main([command, "--help"]) == 0
    printed = capsys.readouterr()
    assert f"\n  fslice {command}" in printed.out.partition("example:")[2]
    assert printed.err == ""


@pytest.mark.parametrize(
    ("command", "option", "unit"),
    [
        ("simulate", "--size D", "pixels"),
        ("simulate", "--pixel-size A", "Angstrom"),
        ("simulate", "--cone DEG", "degrees"),
        ("simulate", "--shift-std PX", "pixels"),
        ("simulate", "--defocus LOW HIGH", "Angstrom"),
        ("simulate", "--noise-variance V", "square of the images' unit"),
        ("reconstruct", "--noise-variance V", "square of the images' unit"),
        ("reconstruct", "--prior-variance V", "square of the map's unit"),
        ("reconstruct", "--pixel-size A", "Angstrom"),
        ("reconstruct", "--epochs N", "passes"),
        ("reconstruct", "--batch-size N", "images"),
        ("fsc", "--pixel-size A", "Angstrom"),
    ],
)
def test_help_gives_units(command, option, unit, capsys):
    main([command, "--help"])
    text = " ".join(capsys.readouterr().out.partition("\noptions:")[2].split())
    assert unit in text.partition(option)[2].partition(" --")[0]


def test_without_a_word_the_help_is_printed(capsys):
    assert main([]) == 0
    printed = capsys.readouterr()
    assert printed.out.startswith("usage: fslice")
    assert all(f"    {command}" in printed.out for command in COMMANDS)
    assert printed.err == ""


def test_the_help_of_reconstruct_is_grouped_by_subject(capsys):
    main(["reconstruct", "--help"])
    printed = capsys.readouterr().out
    subjects = "the file of particles", "the map", "prior and noise", "resolution and uncertainty"
    places = [printed.index(f"\n{subject}:\n") for subject in (*subjects, "solver")]
    assert places == sorted(places)


def complete(*words):
    """Return what bash offers for the last of some words."""
    script = (
        f'eval "$({sys.executable} -m fslice completion bash)"; '
        f"COMP_WORDS=({' '.join(words)}); COMP_CWORD={len(words) - 1}; "
        '_fslice; echo "${COMPREPLY[@]}"'
    )
    done = subprocess.run(["bash", "-c", script], capture_output=True, text=True, timeout=100)
    assert done.stderr == ""
    return done.stdout.split()


@pytest.mark.skipif(shutil.which("bash") is None, reason="there is no bash")
def test_bash_completes_commands_options_and_values():
    assert complete("fslice", "rec") == ["reconstruct"]
    assert complete("fslice", "reconstruct", "--sup") == ["--support"]
    assert complete("fslice", "reconstruct", "--solver", "ex") == ["exact"]
    assert complete("fslice", "fsc", "map") == []


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_every_shell_learns_all_commands(shell, capsys):
    assert main(["completion", shell]) == 0
    printed = capsys.readouterr().out
    assert all(command in printed for command in COMMANDS)
    assert "solver" in printed


def test_version_is_printed(capsys):
    assert main(["--version"]) == 0
    assert capsys.readouterr().out == f"fslice {fslice.__version__}\n"


@pytest.mark.parametrize(
    ("words", "complaint"),
    [
        (["simulat"], ": did you mean simulate? (see fslice --help)"),
        (["info", "--frobnicate"], "unrecognized option: --frobnicate (see fslice info --help)"),
        (["info", "--strct"], "did you mean --strict? (see fslice info --help)"),
        (
            ["simulate", "phantom", "--siz", "3"],
            "did you mean --size? (see fslice simulate --help)",
        ),
        (["demo", "--ouput=x"], "unrecognized option: --ouput: did you mean --output?"),
        (["fsc", "a", "b", "c"], "unrecognized arguments: c (see fslice fsc --help)"),
        (["simulate", "phantom"], "(see fslice simulate --help)"),
        (["reconstruct", "a.star", "-o", "x", "--solver", "magic"], "invalid choice: 'magic'"),
        (["reconstruct", "a", "-o", "x", "--solver", "exakt"], "did you mean exact?"),
        (["reconstruct", "a", "-o", "x", "--epoch", "5"], ": did you mean --epochs?"),
    ],
)
def test_wrong_words_are_one_line_that_says_where_help_is(words, complaint, capsys):
    assert complaint in fail(capsys, *words)


@pytest.mark.parametrize("module", ["fslice", "fslice.cli"])
def test_the_package_runs_as_a_module(module):
    done = python("-m", module, "fsc", "absent.mrc", "absent.mrc")
    assert done.returncode == 2
    assert done.stderr == "error: absent.mrc: No such file or directory\n"
    assert done.stdout == ""


def test_help_loads_none_of_the_optional_packages():
    done = python(
        "-c",
        "import sys; from fslice.cli import main; main(['reconstruct', '--help'])\n"
        "loaded = {'numba', 'gemmi', 'matplotlib', 'cupy'} & set(sys.modules)\n"
        "sys.exit(f'loaded: {loaded}' if loaded else 0)",
    )
    assert done.returncode == 0, done.stderr


def raising(error):
    """Return a command's function that raises."""

    def run(*_):
        raise error

    return run


@pytest.mark.parametrize(
    ("error", "line"),
    [
        (ValueError("size: expected\n  more"), "error: size: expected more\n"),
        (OSError(28, "No space left on device", "x"), "error: x: No space left on device\n"),
        (OSError("damaged"), "error: damaged\n"),
        (ImportError("pip install gemmi"), "error: pip install gemmi\n"),
        (MemoryError(), "error: out of memory\n"),
        (MemoryError("Unable to allocate 3 PiB"), "error: out of memory: Unable to allocate 3 PiB"),
    ],
)
def test_what_the_user_can_put_right_is_one_line(error, line, monkeypatch, capsys):
    monkeypatch.setattr(fslice.cli.info, "_environment", raising(error))
    assert fail(capsys, "info").startswith(line)


def test_a_mistake_in_the_program_keeps_its_traceback(monkeypatch):
    monkeypatch.setattr(fslice.cli.info, "_environment", raising(TypeError("a bug")))
    with pytest.raises(TypeError, match="a bug"):
        main(["info"])


def test_ctrl_c_exits_with_130(monkeypatch, capsys):
    monkeypatch.setattr(fslice.cli.info, "_environment", raising(KeyboardInterrupt()))
    assert main(["info"]) == 130
    assert capsys.readouterr().err == "interrupted\n"


def test_a_reader_that_stops_early_is_no_error():
    done = subprocess.run(
        f"{sys.executable} -m fslice info | true", shell=True, capture_output=True, timeout=100
    )
    assert done.stderr == b""


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="/dev/full is Linux's")
def test_a_full_disk_under_stdout_is_one_line():
    with open("/dev/full", "w") as full:
        done = subprocess.run(
            [sys.executable, "-m", "fslice", "info"], stdout=full, stderr=subprocess.PIPE
        )
    assert done.stderr.startswith(b"error: stdout: No space left on device\n")
    assert done.returncode == 2


def test_nothing_is_written_where_a_command_fails(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    fail(capsys, "reconstruct", "absent.star", "-o", "a/b/c")
    assert names(tmp_path) == []
