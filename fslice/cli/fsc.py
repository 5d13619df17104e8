"""``fslice fsc``: the Fourier shell correlation of two maps."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from fslice.cli._arguments import command_parser, fraction, positive
from fslice.cli._maps import describe_resolution, read_maps
from fslice.cli.align import alignment_results, describe_alignment
from fslice.metrics import align_maps, fsc, resolution, shell_frequencies

_DESCRIPTION = """\
Print the Fourier shell correlation of two maps of one box and pixel size, and the
resolution at which it first falls below a threshold. Use 0.5 against a true map, 0.143
between maps of two halves of the data.
"""

_EXAMPLE = """\
  fslice fsc run/recon/half1.mrc run/recon/half2.mrc --threshold 0.143
  fslice fsc run/recon/mean.mrc reference.mrc --align --hand
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
        "--align", action="store_true", help="first lay A upon B, as fslice align does"
    )
    parser.add_argument(
        "--hand", action="store_true", help="with --align: try the mirror image too"
    )
    parser.add_argument(
        "--pixel-size",
        type=positive,
        metavar="A",
        help="Angstrom; for maps whose headers do not say",
    )


def run(arguments: argparse.Namespace) -> dict[str, Any]:
    """Compare, and print the table."""
    if arguments.hand and not arguments.align:
        raise ValueError("--hand: expected --align beside it")
    maps, pixel_size = read_maps(
        {"A": arguments.a, "B": arguments.b, "--mask": arguments.mask}, arguments.pixel_size
    )
    how: dict[str, Any] = {}
    if arguments.align:
        found = align_maps(maps["A"], maps["B"], hand=arguments.hand)
        maps["A"], how = found.volume, alignment_results(found, pixel_size)
        print("\n".join(describe_alignment(found, pixel_size)))
    curve = fsc(maps["A"], maps["B"], maps.get("--mask"))
    size = len(maps["A"])
    reached = resolution(curve, size, pixel_size, arguments.threshold)
    frequencies = shell_frequencies(size, pixel_size)
    print("shell  frequency [1/A]  resolution [A]      FSC")
    for shell, (frequency, value) in enumerate(zip(frequencies, curve, strict=True)):
        length = f"{1 / frequency:14.2f}" if shell else " " * 14
        print(f"{shell:5d}  {frequency:15.5f}  {length}  {value:7.4f}")
    print(f"resolution: {describe_resolution(reached, curve, arguments.threshold)}")
    return {
        "resolution_angstrom": reached,
        "threshold": arguments.threshold,
        "frequency_per_angstrom": frequencies,
        "fsc": curve,
        **how,
    }
