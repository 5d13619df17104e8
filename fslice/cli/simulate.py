"""``fslice simulate``: particle images with known truth, as files."""

from __future__ import annotations

import argparse
import math
import time
from pathlib import Path
from typing import Any

import numpy as np

from fslice.cli._arguments import (
    add_output,
    command_parser,
    count,
    given,
    not_negative,
    opening,
    positive,
)
from fslice.cli._environment import versions
from fslice.cli._outputs import check_space, json_line, output_folder, write_json
from fslice.cli._progress import image_bar
from fslice.draws import DEFOCUS_RANGE
from fslice.gaussians import GaussianModel
from fslice.io import (
    Particles,
    StackWriter,
    open_stack,
    read_atoms,
    read_volume,
    write_particles,
    write_volume,
)
from fslice.models import model_from_atoms, volume_from_map
from fslice.phantom import phantom
from fslice.simulate import Simulation
from fslice.simulate import simulate as make_simulation

_NAMES = ("particles.mrcs", "particles.star", "truth.mrc", "simulation.json")

_ATOMS = (".pdb", ".ent", ".cif", ".mmcif")
_MAPS = (".mrc", ".map")
_COMPRESSED = (".gz", ".bz2")

_SIZE, _PIXEL_SIZE = 128, 2.8

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
    parser.add_argument(
        "-n", type=count(1), metavar="N", required=True, help="number of images"
    )
    _add_sampling(parser)
    _add_noise(parser)
    _add_imaging(parser)


def _add_sampling(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--size",
        type=count(4),
        metavar="D",
        help=f"box of images and volume, pixels (default: the map's, else {_SIZE})",
    )
    parser.add_argument(
        "--pixel-size",
        type=positive,
        metavar="A",
        help=f"Angstrom (default: the map's, else {_PIXEL_SIZE})",
    )
    parser.add_argument(
        "--map-pixel-size",
        type=positive,
        metavar="A",
        help="Angstrom; for a map whose header does not say",
    )


def _add_noise(parser: argparse.ArgumentParser) -> None:
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


def _add_imaging(parser: argparse.ArgumentParser) -> None:
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


def run(arguments: argparse.Namespace) -> None:
    """Simulate, write the files, and say what was written."""
    start = time.perf_counter()
    size, pixel_size, model = _read_model(arguments)
    with output_folder(arguments.output, _NAMES) as staging:
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
    if arguments.json:
        print(json_line({**results, "output": arguments.output}))


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
        seed=arguments.seed,
        progress=progress,
    )


def _read_model(arguments: argparse.Namespace) -> tuple[int, float, GaussianModel | np.ndarray]:
    """Return the box, the pixel size, and what to project."""
    size, pixel_size = arguments.size or _SIZE, arguments.pixel_size or _PIXEL_SIZE
    kind = _kind(arguments.model)
    if kind == "map":
        return _read_map(arguments)
    if arguments.map_pixel_size is not None:
        raise ValueError(f"--map-pixel-size: expected a map, got {arguments.model}")
    if kind == "phantom":
        return size, pixel_size, phantom(size, pixel_size)
    return size, pixel_size, model_from_atoms(read_atoms(arguments.model))


def _kind(model: str) -> str:
    if model == "phantom":
        return model
    suffixes = [suffix.lower() for suffix in Path(model).suffixes]
    if suffixes and suffixes[-1] in _COMPRESSED:
        suffixes.pop()
    for kind, known in (("atoms", _ATOMS), ("map", _MAPS)):
        if suffixes and suffixes[-1] in known:
            return kind
    raise ValueError(
        f"MODEL: expected 'phantom' or a file ending in {', '.join(_ATOMS + _MAPS)}, "
        f"also compressed, got {model!r}"
    )


def _read_map(arguments: argparse.Namespace) -> tuple[int, float, np.ndarray]:
    volume, own = read_volume(arguments.model)
    if math.isnan(own):
        if arguments.map_pixel_size is None:
            raise ValueError(
                f"{arguments.model}: expected a pixel size in the header, got none; "
                f"give --map-pixel-size"
            )
        own = arguments.map_pixel_size
    elif arguments.map_pixel_size is not None:
        raise ValueError(
            f"--map-pixel-size: expected none, since {arguments.model} says {own:g} Angstrom, "
            f"got {arguments.map_pixel_size:g}"
        )
    size, pixel_size = arguments.size or len(volume), arguments.pixel_size or own
    return size, pixel_size, volume_from_map(volume, own, size, pixel_size)


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
