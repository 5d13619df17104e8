"""``fslice info``: what is installed, and what a file holds."""

from __future__ import annotations

import argparse
import math
from pathlib import Path
from typing import Any

import numpy as np

from fslice._kernels import implementation
from fslice.cli._arguments import command_parser
from fslice.cli._environment import processors, versions
from fslice.cli._outputs import json_line
from fslice.ctf import CTF
from fslice.geometry import matrix_to_euler
from fslice.io import open_stack, read_atoms, read_particles, read_volume
from fslice.io._mrc_header import read_layout

_DESCRIPTION = """\
Print versions, the implementation of the kernels, and the number of processors; or, given
a file, what it holds.
"""

_EXAMPLE = """\
  fslice info
  fslice info run/particles.star
"""

Facts = dict[str, Any]


def add_command(commands: Any) -> None:
    """Add the command to the command line."""
    parser = command_parser(
        commands, "info", run, "versions, or what a file holds", _DESCRIPTION, _EXAMPLE
    )
    parser.add_argument(
        "file",
        metavar="FILE",
        type=Path,
        nargs="?",
        help="particles (.star, .cs), images or a map (.mrcs, .mrc, .map, also .gz and .bz2), "
        "atoms (.pdb, .cif, also .gz)",
    )


def run(arguments: argparse.Namespace) -> None:
    """Collect the facts and print them."""
    facts = _environment() if arguments.file is None else describe_file(arguments.file)
    width = max(map(len, facts))
    for name, value in facts.items():
        print(f"{name:{width}}  {_text(value)}")
    if arguments.json:
        print(json_line({name.replace(" ", "_"): value for name, value in facts.items()}))


def _text(value: Any) -> str:
    if value is None:
        return "-"
    if isinstance(value, list):
        return " to ".join(_text(entry) for entry in value)
    return f"{value:g}" if isinstance(value, float) else str(value)


def _environment() -> Facts:
    module = implementation(np.zeros(1)).__name__
    return {
        **versions(),
        "kernels": module.rpartition("with_")[2],
        "processors": processors(),
        "devices": "cpu",
    }


def describe_file(path: Path) -> Facts:
    """Return what a file holds; lengths in Angstrom, angles in degrees, volts in kV."""
    suffixes = [suffix.lower() for suffix in path.suffixes]
    if suffixes and suffixes[-1] in (".gz", ".bz2"):
        suffixes.pop()
    suffix = suffixes[-1] if suffixes else ""
    if suffix in (".star", ".cs"):
        return _describe_particles(path)
    if suffix in (".pdb", ".ent", ".cif", ".mmcif"):
        return _describe_atoms(path)
    if suffix in (".mrc", ".mrcs", ".map"):
        return _describe_mrc(path)
    raise ValueError(
        f"{path}: expected a file ending in .star, .cs, .mrc, .mrcs, .map, .pdb, .ent, .cif "
        f"or .mmcif, also compressed"
    )
