"""What the commands' arguments have in common: kinds of values, help, one-line errors."""

from __future__ import annotations

import argparse
import difflib
import math
import re
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any, NoReturn

from fslice.symmetry.groups import symmetry_name


class Parser(argparse.ArgumentParser):
    """A parser whose errors are one line, raised for `fslice.cli.main` to print.

    Parameters
    ----------
    example : str, optional
        Shown after the options.
    """

    def __init__(self, *, example: str = "", **options: Any) -> None:
        options.setdefault("formatter_class", argparse.RawDescriptionHelpFormatter)
        epilog = f"example:\n{example}" if example else None
        super().__init__(allow_abbrev=False, epilog=epilog, **options)

    def parse_known_args(self, args=None, namespace=None):
        """Parse, and raise on words that are no options of this very command."""
        words = [str(word) for word in args or ()]
        if self._subparsers is None:
            self._check_options(words)
        found, rest = super().parse_known_args(args, namespace)
        if rest:
            self.error(f"unrecognized arguments: {' '.join(rest)}")
        return found, rest

    def _check_options(self, words: Sequence[str]) -> None:
        """Raise on a mistyped option before anything else is said to be missing."""
        until = words.index("--") if "--" in words else len(words)
        for word in words[:until]:
            name = word.partition("=")[0]
            if name.startswith("--") and name not in self._option_string_actions:
                known = [option for option in self._option_string_actions if option[:2] == "--"]
                self.error(f"unrecognized option: {name}{did_you_mean(name, known)}")

    def error(self, message: str) -> NoReturn:
        """Raise the complaint, with what may have been meant and where help is to be found."""
        if choice := re.search(r"invalid choice: '(.*)' \(choose from (.*)\)", message):
            known = [name.strip("' ") for name in choice[2].split(",")]
            message += did_you_mean(choice[1], known)
        raise ValueError(f"{message} (see {self.prog} --help)")


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """Return a suggestion, or nothing.

    Examples
    --------
    >>> did_you_mean("--suport", ["--support", "--samples"]), did_you_mean("x", ["--support"])
    (': did you mean --support?', '')
    """
    bare = {name.lstrip("-"): name for name in known}
    near = difflib.get_close_matches(word.lstrip("-"), bare, n=1)
    return f": did you mean {bare[near[0]]}?" if near else ""


def command_parser(
    commands: Any,
    name: str,
    run: Callable[[argparse.Namespace], dict[str, Any]],
    summary: str,
    description: str,
    example: str,
) -> Parser:
    """Add a command that `run` carries out, with its option ``--json``; return its parser."""
    parser = commands.add_parser(name, help=summary, description=description, example=example)
    parser.set_defaults(run=run)
    parser.add_argument(
        "--json", action="store_true", help="print the results as JSON in the last line of stdout"
    )
    return parser


def add_output(parser: argparse.ArgumentParser, **options: Any) -> None:
    """Add ``-o DIR``."""
    parser.add_argument("-o", "--output", metavar="DIR", type=Path, **options)


def add_noise_variance(parser: argparse._ActionsContainer) -> None:
    """Add ``--noise-variance``, None where it is to be learned."""
    parser.add_argument(
        "--noise-variance",
        type=positive_or_auto,
        metavar="V",
        help="variance of the noise in a pixel, in the square of the images' unit "
        "(default: auto, learned)",
    )


def add_symmetry(parser: argparse._ActionsContainer, *, help: str, required: bool = False) -> None:
    """Add ``--symmetry G``."""
    groups = "C1, C2, ..., D1, ..., T, O, I1 to I4, axes as in RELION"
    ending = "" if required else " (default: C1)"
    parser.add_argument(
        "--symmetry",
        type=point_group,
        metavar="G",
        default=None if required else "C1",
        required=required,
        help=f"{help}: {groups}{ending}",
    )


def point_group(text: str) -> str:
    """Read the name of a point group."""
    try:
        return symmetry_name(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error).removeprefix("symmetry: ")) from error


def count(minimum: int) -> Callable[[str], int]:
    """Return what reads an integer of at least `minimum`."""

    def read(text: str) -> int:
        try:
            value = int(text)
        except ValueError:
            value = minimum - 1
        if value < minimum:
            raise argparse.ArgumentTypeError(
                f"expected an integer of at least {minimum}, got {text!r}"
            )
        return value

    return read


def positive(text: str) -> float:
    """Read a finite number above 0."""
    value = _number(text)
    if not 0 < value < math.inf:
        raise argparse.ArgumentTypeError(f"expected a number above 0, got {text!r}")
    return value


def not_negative(text: str) -> float:
    """Read a finite number of at least 0."""
    value = _number(text)
    if not 0 <= value < math.inf:
        raise argparse.ArgumentTypeError(f"expected a number of at least 0, got {text!r}")
    return value


def at_least_one(text: str) -> float:
    """Read a finite number of at least 1."""
    value = _number(text)
    if not 1 <= value < math.inf:
        raise argparse.ArgumentTypeError(f"expected a number of at least 1, got {text!r}")
    return value


def opening(text: str) -> float:
    """Read the opening of a cone in degrees."""
    value = _number(text)
    if not 0 <= value <= 360:
        raise argparse.ArgumentTypeError(f"expected 0 to 360 degrees, got {text!r}")
    return value


def fraction(text: str) -> float:
    """Read a number between 0 and 1, both excluded."""
    value = _number(text)
    if not 0 < value < 1:
        raise argparse.ArgumentTypeError(f"expected a number between 0 and 1, got {text!r}")
    return value


def positive_or_auto(text: str) -> float | None:
    """Read a finite number above 0, or ``auto`` as None."""
    if text == "auto":
        return None
    value = _number(text)
    if not 0 < value < math.inf:
        raise argparse.ArgumentTypeError(f"expected 'auto' or a number above 0, got {text!r}")
    return value


def _number(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        return math.nan


def given(arguments: argparse.Namespace) -> dict[str, Any]:
    """Return the arguments by name, as JSON can hold them."""
    return {
        name: str(value) if isinstance(value, Path) else value
        for name, value in vars(arguments).items()
        if name not in ("run", "words")
    }
