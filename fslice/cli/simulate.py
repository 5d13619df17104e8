"""``fslice simulate``: particle images with known truth, as files."""

from __future__ import annotations

import argparse
import time
from pathlib import Path
from typing import Any

from fslice.cli._arguments import (
    add_output,
    add_symmetry,
    command_parser,
    count,
    given,
    not_negative,
    opening,
    positive,
)
from fslice.cli._environment import versions
from fslice.cli._models import PIXEL_SIZE, SIZE, read_model
from fslice.cli._outputs import check_space, output_folder, write_json
from fslice.cli._progress import compilation_notice, image_bar
from fslice.cli._reading import add_atom_options
from fslice.io import (
    Particles,
    StackWriter,
    open_stack,
    write_particles,
    write_volume,
)
from fslice.simulation.atoms import SCATTERING
from fslice.simulation.draws import DEFOCUS_RANGE
from fslice.simulation.particles import Simulation
from fslice.simulation.particles import simulate as make_simulation

_NAMES = ("particles.mrcs", "particles.star", "truth.mrc", "simulation.json")

_DESCRIPTION = """\
Make projections of a model from known directions, with noise, shifts and CTFs.

Writes into DIR, all files together or none:
  particles.mrcs   the images, float32
  particles.star   their poses, shifts and CTFs (RELION 3.1)
  truth.mrc        the volume that was projected, limited to the band of the box
  simulation.json  arguments, versions, variances of signal and noise, seconds
"""

_EXAMPLE = """\
  fslice simulate phantom -o run --size 64 --pixel-size 4 -n 2500 --snr 0.1
  fslice simulate 1aon.pdb.gz -o run --size 128 --pixel-size 2.8 -n 40000 --snr 0.04 --ctf
"""


def add_command(commands: Any) -> None:
    """Add the command to the command line."""
    parser = command_parser(
        commands, "simulate", run, "make particle images of a model", _DESCRIPTION, _EXAMPLE
    )
    parser.add_argument(
        "model",
        metavar="MODEL",
        help="'phantom' (seven-fold rings of Gaussian blobs), atoms (.pdb, .cif, also .gz) or a "
        "map (.mrc, .map, also .gz and .bz2)",
    )
    add_output(parser, required=True, help="folder for the results, made if absent")
    parser.add_argument("-n", type=count(1), metavar="N", required=True, help="number of images")
    _add_sampling(parser.add_argument_group("the model"))
    _add_noise(parser.add_argument_group("noise"))
    _add_imaging(parser.add_argument_group("imaging"))


def _add_sampling(parser: argparse._ArgumentGroup) -> None:
    parser.add_argument(
        "--size",
        type=count(4),
        metavar="D",
        help=f"box of images and volume, pixels (default: the map's, else {SIZE})",
    )
    parser.add_argument(
        "--pixel-size",
        type=positive,
        metavar="A",
        help=f"Angstrom (default: the map's, else {PIXEL_SIZE})",
    )
    parser.add_argument(
        "--map-pixel-size",
        type=positive,
        metavar="A",
        help="Angstrom; for a map whose header does not say",
    )
    parser.add_argument(
        "--scattering",
        choices=SCATTERING,
        help="of atoms: their form factors for electrons (Peng et al. 1996), or their atomic "
        f"numbers (default: {SCATTERING[0]})",
    )
    add_symmetry(parser, help="average the model over this point group first")
    add_atom_options(parser)


def _add_noise(parser: argparse._ArgumentGroup) -> None:
    noise = parser.add_mutually_exclusive_group(required=True)
    noise.add_argument(
        "--snr",
        type=positive,
        metavar="S",
        help="variance of the clean images over all pixels, divided by that of the noise",
    )
    noise.add_argument(
        "--noise-variance",
        type=not_negative,
        metavar="V",
        help="variance of the noise in a pixel, in the square of the images' unit; 0: no noise",
    )


def _add_imaging(parser: argparse._ArgumentGroup) -> None:
    low, high = DEFOCUS_RANGE
    parser.add_argument(
        "--cone",
        type=opening,
        metavar="DEG",
        help="full opening, degrees, of the cone about z that holds all directions of view: "
        "tilts are at most half of it (default: all directions)",
    )
    parser.add_argument(
        "--shift-std",
        type=not_negative,
        metavar="PX",
        default=0.0,
        help="standard deviation, pixels, of the shifts along x and along y (default: 0)",
    )
    parser.add_argument(
        "--ctf",
        action="store_true",
        help="multiply by contrast transfer functions: 300 kV, Cs 2.7 mm, amplitude contrast 0.1, "
        f"slight astigmatism, a random underfocus of {low:g} to {high:g} Angstrom for each image",
    )
    parser.add_argument(
        "--defocus",
        type=positive,
        nargs=2,
        metavar=("LOW", "HIGH"),
        help="another range of underfocus, Angstrom; implies --ctf",
    )
    parser.add_argument(
        "--seed",
        type=count(0),
        metavar="N",
        default=0,
        help="of everything that is random: the same seed gives the same files (default: 0)",
    )


def run(arguments: argparse.Namespace) -> dict[str, Any]:
    """Simulate, write the files, and say what was written."""
    start = time.perf_counter()
    size, pixel_size, model = read_model(arguments)
    with output_folder(arguments.output, _NAMES) as staging, compilation_notice():
        check_space(arguments.output, 4 * (arguments.n * size**2 + size**3) + 300 * arguments.n)
        with image_bar("measuring the signal", arguments.n) as progress:
            simulation = _simulate(arguments, model, size, pixel_size, progress)
        prepared = time.perf_counter()
        _write_images(staging / "particles.mrcs", simulation)
        _write_particles(staging / "particles.star", simulation)
        write_volume(staging / "truth.mrc", simulation.truth, pixel_size)
        results = {
            "images": len(simulation),
            "size": size,
            "pixel_size": pixel_size,
            "snr": simulation.snr,
            "noise_variance": simulation.noise_variance,
            "signal_variance": simulation.signal_variance,
            "seconds": {
                "preparing": round(prepared - start, 3),
                "writing": round(time.perf_counter() - prepared, 3),
            },
        }
        write_json(
            staging / "simulation.json",
            {**results, "arguments": given(arguments), "versions": versions()},
        )
    print(
        f"{arguments.output}: wrote {len(simulation)} images of {size} x {size} pixels of "
        f"{pixel_size:g} Angstrom: {', '.join(_NAMES)}"
    )
    return {**results, "output": arguments.output}


def _simulate(
    arguments: argparse.Namespace, model: Any, size: int, pixel_size: float, progress: Any
) -> Simulation:
    defocus = arguments.defocus or (DEFOCUS_RANGE if arguments.ctf else None)
    return make_simulation(
        model,
        arguments.n,
        size,
        pixel_size,
        snr=arguments.snr,
        noise_variance=arguments.noise_variance,
        cone=arguments.cone,
        shift_std=arguments.shift_std,
        ctf=None if defocus is None else (defocus[0], defocus[1]),
        symmetry=arguments.symmetry,
        seed=arguments.seed,
        progress=progress,
    )


def _write_images(path: Path, simulation: Simulation) -> None:
    shape = len(simulation), simulation.size, simulation.pixel_size
    with StackWriter(path, *shape) as writer, image_bar("writing images", shape[0]) as progress:
        for images in simulation.batches():
            writer.write(images)
            progress(len(images))


def _write_particles(path: Path, simulation: Simulation) -> None:
    particles = Particles(
        rotations=simulation.rotations,
        shifts=simulation.shifts,
        ctf=simulation.ctf,
        pixel_size=simulation.pixel_size,
        images=open_stack(path.with_suffix(".mrcs")),
    )
    write_particles(path, particles, image_name="particles.mrcs")
