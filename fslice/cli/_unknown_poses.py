"""``fslice reconstruct --poses unknown``: what is found before the map is made, and its files."""

from __future__ import annotations

import argparse
import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from fslice._arrays import to_numpy
from fslice._devices import map_arrays
from fslice.alignment.joint.frames import NoStructureError
from fslice.alignment.joint.infer import Joint, JointResult, infer_poses
from fslice.cli._arguments import count
from fslice.cli._cluster import uses_cluster
from fslice.cli._devices import on_device
from fslice.cli._inputs import Inputs
from fslice.cli._maps import read_maps
from fslice.cli._messages import Messages
from fslice.cli._star import write_star
from fslice.io import write_volume
from fslice.solvers.progress import Progress, Reporter

CHECKPOINT, RECORD = "checkpoint_poses.npz", "checkpoint.json"
_RESOLUTION = (
    "resolution: of half maps whose poses each half has found by itself; the map of all images has "
    "poses that they found together, which this number does not judge"
)
_HAND = "the hand of the map is not determined: its mirror image explains the images as well"


def add_unknown_poses(parser: argparse._ArgumentGroup) -> None:
    """Add ``--poses``, ``--initial`` and ``--starts``."""
    parser.add_argument(
        "--poses",
        choices=("known", "unknown"),
        default="known",
        help="those of the file, or found together with the map; orientation and hand of the map "
        "are then arbitrary (default: known)",
    )
    parser.add_argument(
        "--initial",
        metavar="MAP.mrc",
        type=Path,
        help="with --poses unknown: a map to begin with, of which only the low frequencies are "
        "used (default: random maps)",
    )
    parser.add_argument(
        "--starts",
        metavar="N",
        type=count(1),
        default=2,
        help="with --poses unknown: random maps to begin with, of which the one goes on that "
        "predicts images best which it has not seen (default: 2)",
    )


def find_unknown_poses(
    arguments: argparse.Namespace,
    inputs: Inputs,
    messages: Messages,
    progress: Callable[[Progress], object],
) -> tuple[Inputs, JointResult]:
    """Return the inputs with the poses that were found, and how.

    Raises
    ------
    ValueError
        The images do not determine a map. What was found instead is in the folder of the
        results, under a name that says so.
    """
    options = _options(arguments, inputs)
    device = "cpu" if uses_cluster(arguments) else arguments.device
    try:
        with on_device(device, inputs.dataset, None) as (dataset, _, _):
            found = infer_poses(dataset, options, Reporter(progress))
            found = map_arrays(found, lambda array: to_numpy(array))
    except NoStructureError as error:
        path = arguments.output / f"{error.name}.mrc"
        write_volume(path, to_numpy(error.volume).astype(np.float32), inputs.pixel_size)
        (arguments.output / CHECKPOINT).unlink(missing_ok=True)
        raise ValueError(f"{error}; see {path}") from error
    finally:
        if not (arguments.output / CHECKPOINT).exists():
            (arguments.output / RECORD).unlink(missing_ok=True)
    messages.note(_HAND)
    messages.note(_RESOLUTION)
    if inputs.particles.half_set is None:
        messages.notes = [note for note in messages.notes if not note.startswith("half sets:")]
        messages.note("half sets: random; the poses of each were found in its own map only")
    best = found.poses.best()
    particles = dataclasses.replace(inputs.particles, rotations=best.rotations, shifts=best.shifts)
    dataset = found.dataset.with_noise(None)
    return dataclasses.replace(inputs, particles=particles, dataset=dataset), found


def _options(arguments: argparse.Namespace, inputs: Inputs) -> Joint:
    initial, radius = None, None
    if arguments.initial is not None:
        maps, _ = read_maps({"--initial": arguments.initial}, inputs.pixel_size, inputs.size)
        initial = np.ascontiguousarray(maps["--initial"], np.float32)
    if arguments.support is not None:
        radius = float(arguments.support) / inputs.pixel_size
    return Joint(
        arguments.starts, arguments.seed, initial, radius, arguments.symmetry,
        checkpoint=arguments.output / CHECKPOINT,
    )  # fmt: skip


def check_unknown_poses(arguments: argparse.Namespace) -> None:
    """Raise where options do not go together, before anything is read."""
    if arguments.poses == "known":
        for name, given in (("initial", arguments.initial), ("starts", arguments.starts != 2)):
            if given:
                raise ValueError(f"--{name}: expected --poses unknown beside it")
        return
    if not arguments.halves:
        raise ValueError("--no-halves: expected half sets with --poses unknown, which need them")
    if arguments.mask is not None:
        raise ValueError(
            "--mask: expected none with --poses unknown, as the map has any orientation: one is "
            f"found in it, got {arguments.mask}"
        )
    try:
        float(arguments.support or 1)
    except ValueError:
        raise ValueError(
            "--support: expected a radius in Angstrom with --poses unknown, as the map has any "
            f"orientation, got {arguments.support}"
        ) from None


def write_poses(
    staging: Path, folder: Path, inputs: Inputs, found: JointResult, messages: Messages
) -> None:
    """Write the particles with the poses and half sets that were found, and all modes of them."""
    place = found.poses.best_modes()
    columns = {
        "rlnMaxValueProbDistribution": found.poses.weights[place],
        "rlnLogLikeliContribution": found.poses.evidence,
    }
    half_set = np.asarray(found.dataset.half_sets)
    particles = dataclasses.replace(inputs.particles, half_set=half_set)
    path = staging / "particles.star"
    write_star(path, particles, messages, columns=columns, relative_to=folder)
    found.poses.save(staging / "poses.npz", pixel_size=inputs.pixel_size)


def numbers_of(found: JointResult) -> dict[str, Any]:
    """Return how poses and structure were found, as JSON can hold it."""
    deviations = np.median(found.poses.deviations(), 0)
    return {
        "starts": [each._asdict() for each in found.starts],
        "chosen_start": found.chosen,
        "rounds": list(found.trace),
        "evidence_nats_per_image": float(found.poses.evidence.mean()),
        "modes_per_image": len(found.poses.weights) / len(found.poses),
        "median_deviation_degrees": np.rad2deg(deviations[:3]),
        "median_deviation_pixels": deviations[3:],
        "hand": "undetermined",
        "symmetry_correlation": None if found.axes is None else found.axes.correlation,
    }


def lines_of(found: JointResult) -> list[str]:
    """Say how poses and structure were found."""
    starts = ", ".join(
        f"{each.above_sphere:.1f} +- {each.error:.1f}" + (" (chosen)" if i == found.chosen else "")
        for i, each in enumerate(found.starts)
    )
    turns, shifts = np.split(np.median(found.poses.deviations(), 0), [3])
    return [
        f"starts: {starts} nats per held-out image above a spherical average",
        f"poses: predicted errors of {np.rad2deg(turns).mean():.2f} degrees about an axis and "
        f"{shifts.mean():.2f} pixels along one, in the median",
        f"hand: {_HAND}",
    ]
