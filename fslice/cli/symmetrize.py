"""``fslice symmetrize``: average a map over a point group."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import numpy as np

from fslice.cli._arguments import add_symmetry, command_parser, positive
from fslice.cli._maps import read_maps
from fslice.io import write_volume
from fslice.symmetry.average import symmetrize

_DESCRIPTION = """\
Average a map over the rotations of a point group about the centre of its box (voxel D // 2),
and print how well the map correlates with the average: 1 for a map that has the symmetry.
"""

_EXAMPLE = """\
  fslice symmetrize run/recon/mean.mrc --symmetry D7 -o symmetric.mrc
"""


def add_command(commands: Any) -> None:
    """Add the command to the command line."""
    parser = command_parser(
        commands, "symmetrize", run, "average a map over a point group", _DESCRIPTION, _EXAMPLE
    )
    parser.add_argument("map", metavar="MAP.mrc", type=Path, help="map, also .gz and .bz2")
    add_symmetry(parser, help="point group", required=True)
    parser.add_argument(
        "-o", "--output", metavar="OUT.mrc", type=Path, help="where to write (default: nowhere)"
    )
    parser.add_argument(
        "--pixel-size", type=positive, metavar="A", help="Angstrom; if the header does not say"
    )


def run(arguments: argparse.Namespace) -> dict[str, Any]:
    """Average, compare, and write."""
    maps, pixel_size = read_maps({"map": arguments.map}, arguments.pixel_size)
    volume = maps["map"]
    average = symmetrize(volume, arguments.symmetry)
    correlation = float(np.corrcoef(volume.ravel(), average.ravel())[0, 1])
    if arguments.output is not None:
        write_volume(arguments.output, average, pixel_size)
    print(f"correlation with the average over {arguments.symmetry}: {correlation:.4f}")
    return {"symmetry": arguments.symmetry, "correlation": correlation, "output": arguments.output}
