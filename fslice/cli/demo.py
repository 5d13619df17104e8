"""``fslice demo``: the whole path on a phantom, in under a minute."""

from __future__ import annotations

import argparse
import shlex
import time
from pathlib import Path
from typing import Any

from fslice.cli import reconstruct, simulate
from fslice.cli._arguments import Parser, add_output, command_parser

_SIMULATE = "--size 64 --pixel-size 4 -n 2500 --snr 0.1 --shift-std 1 --seed 1"

_DESCRIPTION = """\
Simulate noisy particle images of a phantom, reconstruct it, and compare with the truth: the
two commands that do it are shown. Takes less than a minute on two processors.
"""

_EXAMPLE = """\
  fslice demo
"""

_READING = """
How to read it:
  {recon}/summary.png
      open this first: the map, the uncertainty of every frequency, the resolution
  {recon}/mean.mrc
      the map, for ChimeraX and whatever else reads MRC files
  {recon}/sigma.mrc
      the uncertainty, on the centred Fourier grid
  {recon}/result.json
      all the numbers
  {data}/truth.mrc
      what was projected, to compare the map with
The same commands take your own data: see fslice reconstruct --help"""


def add_command(commands: Any) -> None:
    """Add the command to the command line."""
    parser = command_parser(
        commands, "demo", run, "simulate, reconstruct, compare: in a minute", _DESCRIPTION, _EXAMPLE
    )
    add_output(
        parser,
        default=Path("fslice-demo"),
        help="folder for the results, made if absent (default: fslice-demo)",
    )


def run(arguments: argparse.Namespace) -> dict[str, Any]:
    """Run the two commands in one folder."""
    start = time.perf_counter()
    data, recon = arguments.output, arguments.output / "recon"
    _run(["simulate", "phantom", "-o", str(data), *_SIMULATE.split()])
    fit = ["--truth", str(data / "truth.mrc")]
    results = _run(["reconstruct", str(data / "particles.star"), "-o", str(recon), *fit])
    print(_READING.format(data=data, recon=recon))
    print(f"{time.perf_counter() - start:.0f} seconds in all")
    return {**results, "output": data}


def _run(words: list[str]) -> dict[str, Any]:
    """Show a command and run it."""
    print(f"$ {shlex.join(['fslice', *words])}", flush=True)
    parser = Parser(prog="fslice")
    commands = parser.add_subparsers()
    for command in (simulate, reconstruct):
        command.add_command(commands)
    arguments = parser.parse_args(words, argparse.Namespace(words=words))
    return arguments.run(arguments)
