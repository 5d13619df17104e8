"""How the tests of the command line run it and spoil its files."""

import json

from fslice.cli import main


def succeed(capsys, *words):
    """Run a command, assert that it succeeds; return what it printed on stdout."""
    status = main([str(word) for word in words])
    printed = capsys.readouterr()
    assert status == 0, printed.err
    return printed.out


def result(capsys, *words):
    """Run a command with --json; return the last line of stdout as an object."""
    return json.loads(succeed(capsys, *words, "--json").splitlines()[-1])


def fail(capsys, *words, warned=False):
    """Run a command, assert exit 2 with one line on stderr and nothing else; return the line.

    Where the command warns before it fails, lines of warning may come before that line.
    """
    status = main([str(word) for word in words])
    printed = capsys.readouterr()
    assert status == 2
    assert printed.out == ""
    *before, line = printed.err.splitlines(keepends=True)
    assert line.startswith("error: ")
    assert all(warned and other.startswith("warning: ") for other in before)
    return line


def without_warnings(printed):
    """Return what was printed but for the lines of warning."""
    lines = printed.splitlines(keepends=True)
    return "".join(line for line in lines if not line.startswith("warning: "))


def names(folder):
    """Return the names of all files and folders in a folder, hidden ones too."""
    return sorted(entry.name for entry in folder.iterdir())
