"""The fit of ``fslice reconstruct``, and how an interrupted one goes on."""

from __future__ import annotations

import argparse
import dataclasses
import json
import shlex
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from fslice.alignment.joint.infer import JointResult
from fslice.cli._arguments import given
from fslice.cli._assessment import MaskFinder
from fslice.cli._cluster import cluster, uses_cluster
from fslice.cli._devices import placed_on
from fslice.cli._inputs import Inputs
from fslice.cli._messages import Messages
from fslice.cli._outputs import write_json
from fslice.cli._unknown_poses import CHECKPOINT, RECORD
from fslice.data.cluster import ClusterExecutor
from fslice.posterior.partial_sums import PATTERN
from fslice.posterior.result import Posterior
from fslice.reconstruction import Solver, for_halves, reconstruct, with_half_maps
from fslice.solvers.adam import Adam
from fslice.solvers.exact import Exact
from fslice.solvers.progress import Progress
from fslice.solvers.wiener import Wiener

CHECKPOINTS = (
    *("checkpoint_all.npz", "checkpoint_all_half1.npz", "checkpoint_all_half2.npz"),
    CHECKPOINT,
    RECORD,
)
"""What an interrupted run leaves in its folder."""

_SETTINGS = (
    *("particles", "pixel_size", "datadir", "optics_group", "class_index", "passthrough"),
    *("phase_flipped", "posterior", "solver", "batch_size", "prior_variance", "noise_variance"),
    *("noise", "oversampling", "support", "symmetry", "halves", "seed"),
    *("poses", "initial", "starts"),
)
"""The arguments on which the course of the fits depends."""


def run_fit(
    arguments: argparse.Namespace,
    inputs: Inputs,
    mask_from: Callable[[np.ndarray], np.ndarray],
    progress: Callable[[Progress], object],
    messages: Messages,
    *,
    for_half_maps: bool = False,
) -> Posterior:
    """Fit all images, and each half; go on where an earlier run stopped.

    Parameters
    ----------
    arguments : Namespace
    inputs : Inputs
    mask_from : callable
        Finds the mask of ``--support auto``.
    progress : callable
    messages : Messages
        Is told what workers have moved.
    for_half_maps : bool, optional
        Whether only the half maps are used: no samples, evidence or checkpoint.

    Raises
    ------
    OSError
        Workers cannot read a file, or are lost.
    ValueError
        There is an interrupted run and no ``--resume``, or its arguments were others; or pixels
        are not finite.
    """
    try:
        with (
            cluster(arguments, inputs, messages) as executor,
            placed_on(
                arguments.device if executor is None else "cpu",
                inputs.dataset,
                inputs.support,
                _solver(arguments, mask_from, executor),
            ) as placed,
        ):
            dataset, support, solver = placed
            solver = for_halves(solver) if for_half_maps else solver
            return reconstruct(
                dataset,
                solver=solver,
                prior=_prior(arguments),
                noise=arguments.noise,
                noise_variance=arguments.noise_variance,
                mask=support,
                oversampling=arguments.oversampling,
                posterior=arguments.posterior,
                robust=arguments.robust,
                progress=progress,
            ).to_numpy()
    except OSError as error:
        if not uses_cluster(arguments) or not _checkpoints(arguments.output):
            raise
        where = "" if error.filename is None else f"{error.filename}: "
        raise OSError(f"{where}{error.strerror or error}; {resume_hint(arguments)}") from error
    except ValueError:
        # a solver names the first bad image of a batch: here all of the file are counted
        inputs.particles.images.check_finite()  # type: ignore[union-attr]
        raise
    finally:
        if not _checkpoints(arguments.output):
            (arguments.output / RECORD).unlink(missing_ok=True)


def with_own_half_maps(
    fit: Posterior,
    arguments: argparse.Namespace,
    inputs: Inputs,
    joint: JointResult,
    progress: Callable[[Progress], object],
    messages: Messages,
) -> Posterior:
    """Return a fit of poses that all images found together, with independent half maps."""
    own = dataclasses.replace(inputs, dataset=joint.half_dataset.with_noise(None))
    finder = MaskFinder(inputs.pixel_size)  # their mask is not that of the report
    halves = run_fit(arguments, own, finder, progress, messages, for_half_maps=True)
    return with_half_maps(fit, halves)


def _solver(
    arguments: argparse.Namespace,
    mask_from: Callable[[np.ndarray], np.ndarray],
    executor: ClusterExecutor | None,
) -> Solver:
    """Return the solver that the options describe."""
    if arguments.solver == "exact":
        finds_mask = mask_from if arguments.support == "auto" else None
        return Exact(
            arguments.samples, arguments.evidence, arguments.seed, executor, finds_mask,
            checkpoint=None if executor is None else arguments.output,
        )  # fmt: skip
    if arguments.solver == "wiener":
        return Wiener()
    checkpoint = arguments.output / CHECKPOINTS[0]
    epochs = Adam.epochs if arguments.epochs is None else arguments.epochs
    return Adam(epochs, arguments.batch_size, arguments.seed, checkpoint)


def _prior(arguments: argparse.Namespace) -> Any:
    """Return the prior variance that was given, or how it is to be found."""
    if arguments.prior_variance is not None:
        return arguments.prior_variance
    return arguments.prior


def prepare_fit(arguments: argparse.Namespace) -> None:
    """Check what an interrupted run has left against what is requested now."""
    folder = arguments.output
    left = _checkpoints(folder)
    settings = {name: given(arguments)[name] for name in _SETTINGS}
    if left and not arguments.resume:
        listed = ", ".join(path.name for path in left)
        raise ValueError(
            f"{folder}: holds an interrupted run: go on with --resume, or delete {listed}"
        )
    if left and (folder / RECORD).is_file():
        _compare(_read_record(folder / RECORD), settings)
    if arguments.resume and not left:
        print(f"{folder}: no interrupted run to resume: starting anew", file=sys.stderr)
    kept = arguments.solver == "adam" or arguments.poses == "unknown"
    if kept or uses_cluster(arguments):
        write_json(folder / RECORD, settings)


def _read_record(path: Path) -> dict[str, Any]:
    try:
        content = json.loads(path.read_bytes())
        if not isinstance(content, dict):
            raise ValueError("no settings")
    except (ValueError, RecursionError) as error:
        raise ValueError(f"{path}: expected what an interrupted run left, got: {error}") from error
    return content


def _compare(before: dict[str, Any], now: dict[str, Any]) -> None:
    for name in _SETTINGS:
        if before.get(name) != now[name]:
            what = "PARTICLES" if name == "particles" else f"--{name.replace('_', '-')}"
            raise ValueError(
                f"{what}: expected {before.get(name)} as in the interrupted run, got {now[name]}"
            )


def _checkpoints(folder: Path) -> list[Path]:
    steps = [folder / name for name in CHECKPOINTS[:-1] if (folder / name).exists()]
    return [*steps, *sorted(folder.glob(PATTERN))]


def remove_checkpoints(folder: Path) -> None:
    """Remove what an interrupted run has left: this one has succeeded."""
    for path in [*_checkpoints(folder), folder / RECORD]:
        path.unlink(missing_ok=True)


def resume_hint(arguments: argparse.Namespace) -> str:
    """Say what an interruption has left, and the command that goes on from there."""
    if not _checkpoints(arguments.output):
        return "nothing is left behind"
    words = [word for word in arguments.words if word != "--resume"]
    return f"go on with: {shlex.join(['fslice', *words, '--resume'])}"
