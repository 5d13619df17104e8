"""``fslice info``: what is installed, and what a file holds."""

from __future__ import annotations

import argparse
import math
from pathlib import Path
from typing import Any

import numpy as np

from fslice._devices import gpu_library, gpu_names
from fslice._kernels import kernels_for
from fslice.cli._arguments import command_parser
from fslice.cli._describe import Facts, describe_file
from fslice.cli._environment import processors, versions
from fslice.cli._outputs import json_line
from fslice.cli._reading import (
    add_atom_options,
    add_particle_options,
    atom_options,
    particle_options,
)

_DESCRIPTION = """\
Print versions, the implementation of the kernels, and the number of processors; or, given
a file, what it holds, and what is missing or suspicious in it.
"""

_EXAMPLE = """\
  fslice info
  fslice info run/particles.star
  fslice info Refine3D/job012 --strict
"""


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
        help="particles (.star, .cs, the folder of a job), images or a map (.mrcs, .mrc, .map, "
        "also .gz and .bz2), atoms (.pdb, .cif, also .gz)",
    )
    parser.add_argument(
        "--strict",
        action="store_true",
        help="end with exit status 2 if anything is missing or suspicious",
    )
    add_particle_options(parser.add_argument_group("particles"))
    add_atom_options(parser.add_argument_group("atoms"))


def run(arguments: argparse.Namespace) -> Facts:
    """Collect the facts and print them."""
    if arguments.file is None:
        strict = {"strict": True} if arguments.strict else {}
        for name in strict | particle_options(arguments) | atom_options(arguments):
            option = name.removesuffix("_index").replace("_", "-")
            raise ValueError(f"--{option}: expected FILE beside it")
        _print(facts := _environment())
        return facts
    facts, problems = describe_file(
        arguments.file, particle_options(arguments), atom_options(arguments)
    )
    _print(facts)
    for problem in problems:
        print(f"! {problem}")
    facts["problems"] = problems
    if problems and arguments.strict:
        if arguments.json:
            print(json_line(facts))
        raise ValueError(
            f"{arguments.file}: expected nothing missing or suspicious (--strict), got "
            f"{len(problems)}: {problems[0]}"
        )
    return facts


def _print(facts: Facts) -> None:
    width = max(map(len, facts))
    for name, value in facts.items():
        print(f"{name.replace('_', ' '):{width}}  {_text(value)}")


def _text(value: Any) -> str:
    if value is None:
        return "-"
    if isinstance(value, list):
        return " to ".join(_text(entry) for entry in value)
    if isinstance(value, float):
        return "unknown" if math.isnan(value) else f"{value:g}"
    return str(value)


def _environment() -> Facts:
    return {
        **versions(),
        "kernels": kernels_for(np.zeros(1)).name,
        "processors": processors(),
        "gpu": _gpu(),
    }


def _gpu() -> str:
    """Return the names of the GPUs, or what is missing for one."""
    try:
        return ", ".join(gpu_names(gpu_library()))
    except (ImportError, OSError) as error:
        return f"none: {str(error).removeprefix('GPU: ')}"
