"""``fslice fsc``: the Fourier shell correlation of two maps."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import numpy as np

from fslice.cli._arguments import command_parser, fraction, positive
from fslice.cli._maps import read_maps
from fslice.cli.align import alignment_results, describe_alignment, print_resolution
from fslice.metrics import align_maps, fsc, shell_frequencies
from fslice.postprocess.fsc import HalfMapFSC, corrected_fsc

_DESCRIPTION = """\
Print the Fourier shell correlation of two maps of one box and pixel size, and the
resolution at which it first falls below a threshold. Use 0.5 against a true map, 0.143
between maps of two halves of the data. With --corrected the maps are half maps: what the
mask adds to their correlation is taken out, as fslice reconstruct does it.
"""

_EXAMPLE = """\
  fslice fsc run/recon/mean.mrc run/truth.mrc --mask run/recon/mask.mrc
  fslice fsc half1.mrc half2.mrc --mask mask.mrc --corrected
  fslice fsc run/recon/mean.mrc reference.mrc --align --hand
"""

_THRESHOLD, _OF_HALVES = 0.5, 0.143

_COLUMNS = ("corrected", "unmasked", "masked", "randomized")


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
        "--corrected",
        action="store_true",
        help="of half maps, with --mask: unmasked, masked, with random phases, and corrected for "
        "the mask",
    )
    parser.add_argument(
        "--threshold",
        type=fraction,
        metavar="T",
        help="correlation, between 0 and 1, that gives the resolution (default: 0.5; with "
        "--corrected 0.143)",
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
    if arguments.corrected and arguments.mask is None:
        raise ValueError("--corrected: expected --mask, for which the maps are corrected, got none")
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
    if arguments.corrected:
        threshold = arguments.threshold or _OF_HALVES
        corrected = corrected_fsc(
            maps["A"], maps["B"], maps["--mask"], pixel_size, threshold=threshold
        )
        return {**_corrected(corrected, threshold), **how}
    threshold = arguments.threshold or _THRESHOLD
    curve = fsc(maps["A"], maps["B"], maps.get("--mask"))
    size = len(maps["A"])
    frequencies = shell_frequencies(size, pixel_size)
    _print_table(frequencies, {"FSC": curve})
    return {
        **print_resolution(curve, size, pixel_size, threshold),
        "threshold": threshold,
        "frequency_per_angstrom": frequencies,
        "fsc": curve,
        **how,
    }


def _corrected(found: HalfMapFSC, threshold: float) -> dict[str, Any]:
    """Print the four curves of half maps, and the resolutions that they give."""
    curves = {name: getattr(found, name) for name in _COLUMNS}
    _print_table(found.frequencies, curves)
    for name in ("unmasked", "masked", "corrected"):
        print(f"{name}: {found.resolutions[name].words}")
    for note in found.notes:
        print(f"note: {note}")
    return {
        "resolution_angstrom": found.resolution,
        "resolution_limit": found.resolutions["corrected"].limit,
        "resolutions_angstrom": {
            name: found.resolutions[name].first_falls
            for name in ("corrected", "unmasked", "masked")
        },
        "threshold": threshold,
        "frequency_per_angstrom": found.frequencies,
        "fsc": curves,
        "notes": list(found.notes),
    }


def _print_table(frequencies: np.ndarray, curves: dict[str, np.ndarray]) -> None:
    """Print a line for each shell."""
    names = "".join(f"  {name:>10}" for name in curves) if len(curves) > 1 else "      FSC"
    width = 10 if len(curves) > 1 else 7
    print(f"shell  frequency [1/A]  resolution [A]{names}")
    for shell, frequency in enumerate(frequencies):
        length = f"{1 / frequency:14.2f}" if shell else " " * 14
        values = "".join(f"  {curve[shell]:{width}.4f}" for curve in curves.values())
        print(f"{shell:5d}  {frequency:15.5f}  {length}{values}")
