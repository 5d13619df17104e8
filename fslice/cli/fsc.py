"""``fslice fsc``: the Fourier shell correlation of two maps."""

from __future__ import annotations

import argparse
import math
from pathlib import Path
from typing import Any

import numpy as np

from fslice.cli._arguments import command_parser, fraction, positive
from fslice.cli._maps import read_maps
from fslice.cli._outputs import json_line
from fslice.metrics import fsc, resolution, shell_frequencies

_DESCRIPTION = """\
Print the Fourier shell correlation of two maps of one box and pixel size, and the
resolution at which it first falls below a threshold. Use 0.5 against a true map, 0.143
between maps of two halves of the data.
"""

_EXAMPLE = """\
  fslice fsc run/recon/half1.mrc run/recon/half2.mrc --threshold 0.143
"""


def add_command(commands: Any) -> None:
    """Add the command to the command line."""
    parser = command_parser(
        commands, "fsc", run, "compare two maps, shell by shell", _DESCRIPTION, _EXAMPLE
    )
    parser.add_argument("a", metavar="A.mrc", type=Path, help="map, also .gz and .bz2")
    parser.add_argument("b", metavar="B.mrc", type=Path, help="map of the same box")
    parser.add_argument(
        "--mask", metavar="M.mrc", type=Path, help="values that multiply both maps first"
    )
    parser.add_argument(
        "--threshold",
        type=fraction,
        metavar="T",
        default=0.5,
        help="correlation, between 0 and 1, that gives the resolution (default: 0.5)",
    )
    parser.add_argument(
        "--pixel-size",
        type=positive,
        metavar="A",
        help="Angstrom; for maps whose headers do not say",
    )


def run(arguments: argparse.Namespace) -> None:
    """Compare, and print the table."""
    maps, pixel_size = read_maps(
        {"A": arguments.a, "B": arguments.b, "--mask": arguments.mask}, arguments.pixel_size
    )
    curve = fsc(maps["A"], maps["B"], maps.get("--mask"))
    size = len(maps["A"])
    reached = resolution(curve, size, pixel_size, arguments.threshold)
    frequencies = shell_frequencies(size, pixel_size)
    print("shell  frequency [1/A]  resolution [A]      FSC")
    for shell, (frequency, value) in enumerate(zip(frequencies, curve, strict=True)):
        length = f"{1 / frequency:14.2f}" if shell else " " * 14
        print(f"{shell:5d}  {frequency:15.5f}  {length}  {value:7.4f}")
    print(describe(reached, curve, arguments.threshold))
    if arguments.json:
        line = {
            "resolution_angstrom": reached,
            "threshold": arguments.threshold,
            "frequency_per_angstrom": frequencies,
            "fsc": curve,
        }
        print(json_line(line))


def describe(reached: float, curve: np.ndarray, threshold: float) -> str:
    """Say in words which resolution a curve reaches."""
    if math.isinf(reached):
        return f"resolution: none, the curve is below {threshold:g} from the first shell on"
    if (curve[1:] >= threshold).all():
        return (
            f"resolution: {reached:.2f} Angstrom, the last shell: the curve never falls "
            f"below {threshold:g}"
        )
    return f"resolution: {reached:.2f} Angstrom, where the curve falls below {threshold:g}"
