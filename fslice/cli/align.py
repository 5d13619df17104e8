"""``fslice align``: lay one map upon another."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import numpy as np

from fslice.cli._arguments import command_parser, positive
from fslice.cli._maps import read_maps
from fslice.cli._report import plain
from fslice.geometry import matrix_to_euler, matrix_to_rotvec
from fslice.io import write_volume
from fslice.metrics import MapAlignment, align_maps
from fslice.postprocess.resolution import find_resolution, last_shell

_DESCRIPTION = """\
Rotate and shift a map, and with --hand mirror it, so that it lies upon a reference of the
same box and pixel size, and print how. Maps from unknown poses have any orientation and
either hand: align them before they are compared. Nothing is interpolated.
"""

_EXAMPLE = """\
  fslice align run/recon/mean.mrc reference.mrc -o aligned.mrc --hand
"""


def add_command(commands: Any) -> None:
    """Add the command to the command line."""
    parser = command_parser(
        commands, "align", run, "lay one map upon another", _DESCRIPTION, _EXAMPLE
    )
    parser.add_argument("map", metavar="MAP.mrc", type=Path, help="map, also .gz and .bz2")
    parser.add_argument("reference", metavar="REFERENCE.mrc", type=Path, help="map of the same box")
    parser.add_argument(
        "-o", "--output", metavar="OUT.mrc", type=Path, help="where to write (default: nowhere)"
    )
    parser.add_argument("--hand", action="store_true", help="try the mirror image too")
    parser.add_argument(
        "--pixel-size", type=positive, metavar="A", help="Angstrom; if the headers do not say"
    )


def run(arguments: argparse.Namespace) -> dict[str, Any]:
    """Align, and write."""
    maps, pixel_size = read_maps(
        {"MAP": arguments.map, "REFERENCE": arguments.reference}, arguments.pixel_size
    )
    found = align_maps(maps["MAP"], maps["REFERENCE"], hand=arguments.hand)
    if arguments.output is not None:
        write_volume(arguments.output, found.volume, pixel_size)
    for line in describe_alignment(found, pixel_size):
        print(line)
    return {
        **alignment_results(found, pixel_size),
        **print_resolution(found.curve, len(found.volume), pixel_size, 0.5),
        "fsc": found.curve,
        "output": arguments.output,
    }


def describe_alignment(found: MapAlignment, pixel_size: float) -> list[str]:
    """Say how a map was moved, a line for each of rotation, shift and hand."""
    angles = ", ".join(f"{angle:.2f}" for angle in matrix_to_euler(found.rotation))
    shift = ", ".join(f"{length:.2f}" for length in found.shift * pixel_size)
    lines = [
        f"rotation: ({angles}) degrees, Euler angles ZYZ",
        f"shift: ({shift}) Angstrom along x, y, z",
    ]
    if found.hand_nats is not None:
        name = "mirrored" if found.mirrored else "as it was"
        lines.append(f"hand: {name}, {found.hand_nats:.1f} nats above the other")
    return lines


def print_resolution(
    curve: np.ndarray, size: int, pixel_size: float, threshold: float
) -> dict[str, Any]:
    """Print the resolution that a shell correlation gives, and return it as JSON can hold it."""
    found = find_resolution(curve, size, pixel_size, threshold, last_shell(curve, size))
    print(f"resolution: {plain(found.words)}")
    return {"resolution_angstrom": found.first_falls, "resolution_limit": found.limit}


def alignment_results(found: MapAlignment, pixel_size: float) -> dict[str, Any]:
    """Return an alignment as JSON can hold it."""
    return {
        "rotation_vector_degrees": np.rad2deg(matrix_to_rotvec(found.rotation)),
        "rotation_matrix": found.rotation,
        "shift_angstrom": found.shift * pixel_size,
        "mirrored": found.mirrored,
        "hand_nats": found.hand_nats,
    }
