"""The command line: one file per command, and here what all of them share."""

from __future__ import annotations

import argparse
import contextlib
import errno
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
from fslice.cli._signals import Terminated, terminable
from fslice.cli._streams import drop_stdout, shortened, tolerate_streams

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
        put right: arguments, files, missing packages, a full disk. 130 after Ctrl-C, 143 after
        SIGTERM.

    Examples
    --------
    >>> main(["fsc", "absent_a.mrc", "absent_b.mrc"])  # prints the error
    2
    """
    with warnings.catch_warnings():
        warnings.simplefilter("always", UserWarning)
        warnings.showwarning = _show_warning  # type: ignore[assignment]
        try:
            tolerate_streams()
            words = sys.argv[1:] if argv is None else list(argv)
            if not words:
                command_line().print_help()
                return 0
            arguments = command_line().parse_args(words, argparse.Namespace(words=words))
            with terminable():
                results = arguments.run(arguments)
            if arguments.json:
                print(json_line(results))
            sys.stdout.flush()
        except SystemExit as exit_:  # of --help and --version
            return int(exit_.code or 0)
        except KeyboardInterrupt as interrupt:
            hint = str(interrupt)
            by_term = isinstance(interrupt, Terminated)
            told = "terminated" if by_term else "interrupted"
            print(f"{told}{': ' if hint else ''}{hint}", file=sys.stderr)
            return 143 if by_term else 130
        except BrokenPipeError:  # the reader, such as head, has seen enough
            drop_stdout()
            return 0
        except (ValueError, OSError, ImportError, MemoryError) as error:
            print(f"error: {_one_line(error)}", file=sys.stderr)
            with contextlib.suppress(OSError):
                sys.stdout.flush()
                return 2
            drop_stdout()
            return 2
    return 0


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
        if where is None and error.errno == errno.ENOSPC:  # files are named where they are written
            where = "stdout"
        text = error.strerror if where is None else f"{where}: {error.strerror}"
    elif isinstance(error, MemoryError):
        text = f"out of memory: {error}" if str(error) else "out of memory"
    else:
        text = str(error)
    return shortened(text)


def _show_warning(message: Warning | str, *_: object) -> None:
    print(f"warning: {shortened(str(message))}", file=sys.stderr)
