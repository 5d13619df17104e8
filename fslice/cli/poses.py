"""``fslice poses``: the posterior over the pose of each image, given a map, as files."""

from __future__ import annotations

import argparse
import dataclasses
import time
import warnings
from pathlib import Path
from typing import Any

import numpy as np

from fslice._arrays import Array, to_numpy
from fslice._devices import map_arrays
from fslice.alignment.find import PoseModel, pose_model, poses_as_posterior
from fslice.alignment.outliers import particle_share
from fslice.alignment.posterior import PosePosterior
from fslice.cli._arguments import (
    add_noise_variance,
    add_output,
    add_symmetry,
    command_parser,
    count,
    given,
    point_group,
    positive,
)
from fslice.cli._cluster import add_cluster_options, check_cluster
from fslice.cli._devices import add_device, check_device
from fslice.cli._environment import versions
from fslice.cli._half_sets import Fingerprints
from fslice.cli._inputs import dataset_of
from fslice.cli._maps import read_maps
from fslice.cli._messages import Messages, recorded
from fslice.cli._outputs import output_folder, write_json
from fslice.cli._pose_checks import checked_posterior, is_inverted
from fslice.cli._pose_priors import (
    add_priors,
    check_priors,
    noise_numbers,
    prior_arrays,
    prior_numbers,
    search_of,
)
from fslice.cli._pose_results import (
    NAMES,
    REJECTED,
    name_of,
    numbers_of,
    print_pose_report,
    radius_of,
    write_picture,
    write_star_of,
)
from fslice.cli._pose_sharing import Sharing, placed_poses
from fslice.cli._progress import compilation_notice, image_bar
from fslice.cli._reading import add_particle_options, particle_options
from fslice.data.dataset import Dataset
from fslice.io import Particles, read_particles

_DESCRIPTION = """\
Find the orientation and the shift of the particle in each image, given a map, and how sure
they are: a mixture of Gaussians for each image, found by scoring a grid of all poses and
refining the best ones.

Writes into DIR, all files together or none:
  particles.star  the particles with their most probable poses (RELION 3.1), the probability
                  of that mode, and the evidence of each image against noise alone, in nats;
                  with defocus and contrast, where these are refined too
  posterior.npz   all modes with weights and covariances; fslice.alignment.posterior reads it
  result.json     predicted errors, outliers, images per second, warnings, arguments
  poses.png       directions of view, predicted errors, some posteriors (needs matplotlib)
Where the images do not show the map the files are called no_signal_..., and the exit status is 2.
"""

_EXAMPLE = """\
  fslice poses run/particles.star --volume run/truth.mrc -o run/poses
  fslice poses particles.star --volume map.mrc -o poses --symmetry C7 --check 200
  fslice poses Refine3D/job012 --volume map.mrc -o poses --local --refine-defocus 300
"""


def add_command(commands: Any) -> None:
    """Add the command to the command line."""
    parser = command_parser(
        commands, "poses", run, "find poses of images, given a map", _DESCRIPTION, _EXAMPLE
    )
    parser.add_argument(
        "particles",
        metavar="PARTICLES",
        type=Path,
        help="particles: .star (RELION 3.0, 3.1, 5.0) or .cs (cryoSPARC); their poses play no "
        "part without --local",
    )
    parser.add_argument(
        "--volume",
        metavar="MAP",
        type=Path,
        required=True,
        help="map of the images' box and pixel size, in their unit and contrast",
    )
    add_output(parser, required=True, help="folder for the results, made if absent")
    add_particle_options(parser.add_argument_group("the file of particles"))
    _add_search(parser.add_argument_group("the search"))
    add_priors(parser.add_argument_group("what else is free in an image"))
    _add_noise(parser.add_argument_group("noise"))
    shared = parser.add_argument_group("GPUs, many processes or machines")
    add_device(
        shared, help="where to compute: all GPUs of the machine share the images (default: cpu)"
    )
    add_cluster_options(shared)


def _add_search(parser: argparse._ArgumentGroup) -> None:
    add_symmetry(parser, help="point group of the map, of whose poses one of each is searched")
    parser.add_argument(
        "--relax-symmetry",
        type=point_group,
        metavar="G",
        help="point group that the map has only nearly: equivalent poses are all refined, and "
        "their weights decide",
    )
    parser.add_argument(
        "--local", action="store_true", help="refine the poses of the file, and search no others"
    )
    parser.add_argument(
        "--shift-std",
        type=positive,
        metavar="PX",
        help="standard deviation, pixels, of shifts along x and along y (default: learned)",
    )
    parser.add_argument(
        "--resolution",
        type=positive,
        metavar="A",
        help="frequencies up to this resolution, Angstrom, are used (default: 27/64 of the box)",
    )
    parser.add_argument(
        "--check",
        type=count(0),
        metavar="N",
        default=0,
        help="compare the posteriors of N images with exact ones, by importance sampling "
        "(default: 0)",
    )
    parser.add_argument(
        "--seed", type=count(0), metavar="N", default=0, help="of that sampling (default: 0)"
    )


def _add_noise(parser: argparse._ArgumentGroup) -> None:
    parser.add_argument(
        "--noise",
        choices=("white", "shell"),
        default="white",
        help="one noise variance, or one for each shell of the images (default: white)",
    )
    add_noise_variance(parser)


def run(arguments: argparse.Namespace) -> dict[str, Any]:
    """Find the poses, write the files, and say what came out."""
    _check_options(arguments)
    check_cluster(arguments)
    if arguments.scheduler is None:
        check_device(arguments.device)
    with recorded() as messages, compilation_notice():
        particles = _read(arguments, messages)
        maps, _ = read_maps({"--volume": arguments.volume}, particles.pixel_size, particles.size)
        with output_folder(arguments.output, (*NAMES, *REJECTED)) as staging:
            results, written = _run(staging, arguments, particles, maps["--volume"], messages)
    if results["has_signal"]:
        print_pose_report(arguments.output, arguments, results, written)
        return {**results, "output": arguments.output}
    why = f"evidence {results['evidence_for_the_map']:.1f} nats above noise alone"
    if results["inverted"]:
        why = "they show its negative: the contrast of one of them is inverted"
    raise ValueError(
        f"the images do not show the map: {why}; files kept as {arguments.output}/no_signal_..."
    )


def _check_options(arguments: argparse.Namespace) -> None:
    if arguments.relax_symmetry is not None and arguments.symmetry != "C1":
        raise ValueError(f"--relax-symmetry: expected --symmetry C1, got {arguments.symmetry}")
    if arguments.noise != "white" and arguments.noise_variance is not None:
        raise ValueError(
            f"--noise-variance: expected auto with --noise {arguments.noise}, got "
            f"{arguments.noise_variance:g}"
        )


def _read(arguments: argparse.Namespace, messages: Messages) -> Particles:
    path = arguments.particles
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # they are among the particles' notes and warnings
        options = particle_options(arguments)
        particles = read_particles(path, poses=arguments.local, **options)
    for line in particles.notes:
        messages.note(f"{path}: {line}")
    for line in particles.warnings:
        messages.warn(f"{path}: {line}")
    if particles.ctf is None:
        messages.note(f"no CTF: {path} has none, or its images are corrected for it")
    if particles.rotations is None:
        n = len(particles)
        particles = dataclasses.replace(
            particles, rotations=np.tile(np.eye(3), (n, 1, 1)), shifts=np.zeros((n, 2))
        )
    return particles


def _run(
    folder: Path,
    arguments: argparse.Namespace,
    particles: Particles,
    volume: np.ndarray,
    messages: Messages,
) -> tuple[dict[str, Any], list[str]]:
    """Write the files into a folder; return the numbers and the names."""
    start = time.perf_counter()
    check_priors(arguments, particles, messages)
    dataset = dataset_of(particles, Fingerprints(particles.images), "C1", None)
    with placed_poses(arguments, particles.images, dataset, volume) as (dataset, on_it, sharing):
        model, found = _found(arguments, dataset, on_it, particles.pixel_size, sharing, messages)
        seconds = time.perf_counter() - start
        checked = checked_posterior(model, found, arguments.check, arguments.seed)
        inverted = is_inverted(model, on_it, found)
        found = map_arrays(found, lambda array: to_numpy(array))
    shown = particle_share(found.evidence)
    has_signal = shown.has_signal and not inverted
    results = numbers_of(found, shown, checked, particles.pixel_size)
    results |= prior_numbers(model, found)
    results |= {
        "has_signal": has_signal,
        "inverted": inverted,
        "symmetry": arguments.symmetry,
        **noise_numbers(model),
        "prior_shift_std_pixels": model.prepared.search.shift_std,
        "seconds": round(seconds, 3),
        "images_per_second": len(found) / seconds,
    }
    names = {name: folder / name_of(name, has_signal) for name in NAMES}
    write_star_of(names["particles.star"], arguments.output, particles, found, messages)
    arrays = prior_arrays(model)
    found.save(names["posterior.npz"], pixel_size=particles.pixel_size, **arrays)
    title = f"{len(found):,} images, {arguments.volume.name}"
    missing = write_picture(names["poses.png"], found, arguments.symmetry, title)
    if missing is not None:
        messages.note(missing)
    results |= {"warnings": messages.warnings, "notes": messages.notes}
    results |= {"versions": versions(), "arguments": given(arguments)}
    write_json(names["result.json"], results)
    return results, [path.name for path in names.values() if path.exists()]


def _found(
    arguments: argparse.Namespace,
    dataset: Dataset,
    volume: Array,
    pixel_size: float,
    sharing: Sharing,
    messages: Messages,
) -> tuple[PoseModel, PosePosterior]:
    """Return the model and the posterior under it."""
    radius = radius_of(arguments.resolution, dataset.size, pixel_size)
    file_poses = poses_as_posterior(dataset.poses) if arguments.local else None
    model = pose_model(
        dataset, volume, symmetry=arguments.symmetry, relax_symmetry=arguments.relax_symmetry,
        noise=arguments.noise, noise_variance=arguments.noise_variance,
        shift_std=arguments.shift_std, search=search_of(arguments, radius),
        known=None if file_poses is None else (file_poses, None),
    )  # fmt: skip
    name = "refining" if arguments.local else "searching"
    with (
        sharing.executor(arguments, model, messages) as executor,
        image_bar(name, len(dataset)) as done,
    ):
        found = (
            model.find(progress=done, executor=executor) if file_poses is None
            else model.refine(file_poses, progress=done, executor=executor)
        )  # fmt: skip
    return model, found
