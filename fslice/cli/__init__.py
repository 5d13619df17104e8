"""The command line: one file per command, and here what all of them share."""

from __future__ import annotations

import argparse
import os
import sys
import warnings
from collections.abc import Sequence

from fslice import __version__
from fslice.cli import (
    align,
    certify,
    completion,
    demo,
    fsc,
    info,
    poses,
    reconstruct,
    simulate,
    symmetrize,
)
from fslice.cli._arguments import Parser
from fslice.cli._outputs import json_line

_COMMANDS = (
    simulate, reconstruct, poses, fsc, align, symmetrize, info, certify, demo, completion,
)  # fmt: skip

_DESCRIPTION = """\
From particle images with known poses to a map with its uncertainty, in Fourier space.

Start with:  fslice demo
"""


def main(argv: Sequence[str] | None = None) -> int:
    """Run a command, and return the exit status.

    Parameters
    ----------
    argv : sequence of str, optional
        What follows ``fslice``; by default the arguments of the process.

    Returns
    -------
    int
        0, or 2 after one line on stderr that begins with ``error:`` for what the user can
        put right: arguments, files, missing packages, a full disk. 130 after Ctrl-C.

    Examples
    --------
    >>> main(["fsc", "absent_a.mrc", "absent_b.mrc"])  # prints the error
    2
    """
    with warnings.catch_warnings():
        warnings.simplefilter("always", UserWarning)
        warnings.showwarning = _show_warning  # type: ignore[assignment]
        try:
            words = sys.argv[1:] if argv is None else list(argv)
            if not words:
                command_line().print_help()
                return 0
            arguments = command_line().parse_args(words, argparse.Namespace(words=words))
            results = arguments.run(arguments)
            if arguments.json:
                print(json_line(results))
            sys.stdout.flush()
        except SystemExit as exit_:  # of --help and --version
            return int(exit_.code or 0)
        except KeyboardInterrupt as interrupt:
            hint = str(interrupt)
            print(f"interrupted{': ' if hint else ''}{hint}", file=sys.stderr)
            return 130
        except BrokenPipeError:  # the reader, such as head, has seen enough
            _drop_stdout()
            return 0
        except (ValueError, OSError, ImportError, MemoryError) as error:
            print(f"error: {_one_line(error)}", file=sys.stderr)
            try:
                sys.stdout.flush()
            except OSError:
                _drop_stdout()
            return 2
    return 0


def _drop_stdout() -> None:
    """Send what is still buffered nowhere, so that the flush at exit does not fail again."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def command_line() -> Parser:
    """Return the parser of the whole command line."""
    parser = Parser(prog="fslice", description=_DESCRIPTION)
    parser.add_argument("--version", action="version", version=f"fslice {__version__}")
    commands = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)
    for command in _COMMANDS:
        command.add_command(commands)
    return parser


def _one_line(error: BaseException) -> str:
    if isinstance(error, OSError) and error.strerror:
        where = error.filename if error.filename2 is None else error.filename2
        text = error.strerror if where is None else f"{where}: {error.strerror}"
    elif isinstance(error, MemoryError):
        text = f"out of memory: {error}" if str(error) else "out of memory"
    else:
        text = str(error)
    return " ".join(text.split())


def _show_warning(message: Warning | str, *_: object) -> None:
    print(f"warning: {' '.join(str(message).split())}", file=sys.stderr)
