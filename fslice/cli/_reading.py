"""Options of the commands that say how files of particles and of atoms are read."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from fslice.cli._arguments import count, positive

_OF_PARTICLES = (
    "pixel_size",
    "datadir",
    "optics_group",
    "class_index",
    "passthrough",
    "phase_flipped",
)
_OF_ATOMS = ("models", "assembly")


def add_particle_options(parser: argparse._ActionsContainer) -> None:
    """Add the options of `fslice.io.read_particles`."""
    parser.add_argument(
        "--pixel-size",
        type=positive,
        metavar="A",
        help="Angstrom; for particles, instead of what their file says",
    )
    parser.add_argument(
        "--datadir", type=Path, metavar="DIR", help="folder where the stacks of the images lie"
    )
    parser.add_argument(
        "--optics-group",
        type=_group,
        metavar="N|all",
        help="only the particles of this group; all: those of all groups, also where pixel sizes "
        "or boxes differ, brought to the coarsest pixel size and the narrowest box",
    )
    parser.add_argument(
        "--class",
        dest="class_index",
        type=count(0),
        metavar="N",
        help="only the particles of this class, as the file numbers them",
    )
    parser.add_argument(
        "--passthrough",
        type=Path,
        metavar="F.cs",
        help="cryoSPARC file with the fields that the particles lack (default: those beside it)",
    )
    parser.add_argument(
        "--phase-flipped",
        action="store_true",
        help="the images have been multiplied by the sign of their CTF",
    )


def _group(text: str) -> int | str:
    """Read the number of an optics group, or all."""
    return text if text == "all" else count(1)(text)


def add_atom_options(parser: argparse._ActionsContainer) -> None:
    """Add ``--models`` and ``--assembly``."""
    parser.add_argument(
        "--models", choices=("first", "all"), help="of atoms, which models to take (default: first)"
    )
    parser.add_argument(
        "--assembly", metavar="N", help="of atoms, the biological assembly to build, such as 1"
    )


def particle_options(arguments: argparse.Namespace) -> dict[str, Any]:
    """Return the keyword arguments of `fslice.io.read_particles` that were given."""
    return _given(arguments, _OF_PARTICLES)


def atom_options(arguments: argparse.Namespace) -> dict[str, Any]:
    """Return the keyword arguments of `fslice.io.read_atoms` that were given."""
    return _given(arguments, _OF_ATOMS)


def _given(arguments: argparse.Namespace, names: tuple[str, ...]) -> dict[str, Any]:
    values = {name: getattr(arguments, name) for name in names}
    # class 0 is a class
    return {n: value for n, value in values.items() if value is not None and value is not False}
