"""``fslice certify``: proof that every operator of this installation is what it is said to be."""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path
from typing import Any

from tqdm import tqdm

from fslice.certify import Line, certify, header, nearest, present_backends, report, row
from fslice.cli._arguments import command_parser
from fslice.cli._environment import versions
from fslice.cli._outputs import json_line, write_json

_DESCRIPTION = """\
Test every operator, kernel, parity, precision and oversampling, by every implementation that
is present: adjoints by dot tests, derivatives by differences, kernels by their formulas,
projections by closed forms. Print one line for each, with the figure and its bound. The exit
status is 1 if any line fails.
"""

_EXAMPLE = """\
  fslice certify --backend numba -o certificate.json
"""


def add_command(commands: Any) -> None:
    """Add the command to the command line."""
    parser = command_parser(
        commands, "certify", run, "test every operator of this installation", _DESCRIPTION, _EXAMPLE
    )
    parser.add_argument(
        "--backend",
        action="append",
        choices=("numpy", "numba", "cuda"),
        help="who computes the kernels; may be repeated (default: all that are present)",
    )
    parser.add_argument(
        "--summary",
        action="store_true",
        help="print, of lines that differ in box and oversampling only, the one nearest to its "
        "bound, and all that fail",
    )
    parser.add_argument("-o", "--output", metavar="FILE.json", type=Path, help="write all lines")


def run(arguments: argparse.Namespace) -> dict[str, Any]:
    """Test, print the table, and return the certificate.

    Raises
    ------
    SystemExit
        With status 1, after everything has been printed, if a line fails.
    """
    started, lines = time.perf_counter(), list[Line]()
    tested = certify(arguments.backend)
    print(header())
    # a bar where there is a terminal and the lines themselves do not show how far it is
    hidden = None if arguments.summary else True
    for line in tqdm(tested, unit=" lines", leave=False, disable=hidden):
        lines.append(line)
        if not arguments.summary:
            print(row(line), flush=True)
    if arguments.summary:
        shown = nearest(lines)
        for line in lines:
            if line in shown or not line.passed:
                print(row(line))
    results = {
        **report(lines),
        "backends": arguments.backend or present_backends(),
        "seconds": time.perf_counter() - started,
        "versions": versions(),
    }
    verdict = "all within their bounds" if results["passed"] else f"{results['failed']} FAILED"
    print(f"{len(lines)} lines in {results['seconds']:.0f} s: {verdict}")
    if arguments.output is not None:
        write_json(arguments.output, results)
    if not results["passed"]:
        if arguments.json:
            print(json_line(results))
        sys.stdout.flush()
        raise SystemExit(1)
    return results
