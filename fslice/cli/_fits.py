"""The fits of ``fslice reconstruct``, and how an interrupted one goes on."""

from __future__ import annotations

import argparse
import json
import shlex
import sys
from pathlib import Path
from typing import Any

from fslice.cli._arguments import given
from fslice.cli._inputs import Inputs
from fslice.cli._outputs import write_json
from fslice.cli._progress import fit_bar
from fslice.io import Particles
from fslice.reconstruct import reconstruct
from fslice.solvers.results import Reconstruction

_RECORD = "checkpoint.json"
_FITS = ("all", "half1", "half2")
CHECKPOINTS = (*(f"checkpoint_{name}.npz" for name in _FITS), _RECORD)
"""What an interrupted run leaves in its folder."""

_SETTINGS = (
    *("particles", "posterior", "solver", "batch_size", "prior_variance", "noise_variance"),
    *("oversampling", "symmetry", "pixel_size", "halves", "seed", "noise"),
)
"""The arguments on which the course of the fits depends."""


def run_fits(arguments: argparse.Namespace, inputs: Inputs) -> dict[str, Reconstruction]:
    """Fit all images and, if asked for, each half; go on where an earlier run stopped.

    Returns
    -------
    dict
        ``"all"`` and, with ``--halves``, ``"half1"`` and ``"half2"``.

    Raises
    ------
    ValueError
        There is an interrupted run and no ``--resume``, or its arguments were others.
    """
    _prepare(arguments)
    parts: dict[str, Particles] = {"all": inputs.particles}
    if inputs.halves is not None:
        parts |= {f"half{n}": inputs.particles[half] for n, half in enumerate(inputs.halves, 1)}
    try:
        return {name: _fit(arguments, inputs, name, part) for name, part in parts.items()}
    finally:
        if not _checkpoints(arguments.output):
            (arguments.output / _RECORD).unlink(missing_ok=True)


def _fit(
    arguments: argparse.Namespace, inputs: Inputs, name: str, particles: Particles
) -> Reconstruction:
    with fit_bar("" if name == "all" else f"{name} ") as progress:
        return reconstruct(
            particles.images,
            particles.rotations,
            particles.shifts,
            particles.ctf,
            posterior=arguments.posterior,
            solver=arguments.solver,
            epochs=arguments.epochs,
            batch_size=arguments.batch_size,
            prior_variance=arguments.prior_variance,
            noise_variance=arguments.noise_variance,
            oversampling=arguments.oversampling,
            symmetry=arguments.symmetry,
            noise=arguments.noise,
            prior=arguments.prior,
            support=inputs.support,
            samples=arguments.samples if name == "all" else 0,
            evidence=arguments.evidence and name == "all",
            seed=arguments.seed,
            progress=progress,
            checkpoint=arguments.output / f"checkpoint_{name}.npz",
        )


def _prepare(arguments: argparse.Namespace) -> None:
    """Check what an interrupted run has left against what is asked for now."""
    folder = arguments.output
    left = _checkpoints(folder)
    settings = {name: given(arguments)[name] for name in _SETTINGS}
    if left and not arguments.resume:
        listed = ", ".join(path.name for path in left)
        raise ValueError(
            f"{folder}: holds an interrupted run: go on with --resume, or delete {listed}"
        )
    if left and (folder / _RECORD).is_file():
        _compare(_read_record(folder / _RECORD), settings)
    if arguments.resume and not left:
        print(f"{folder}: no interrupted run to resume: starting anew", file=sys.stderr)
    write_json(folder / _RECORD, settings)


def _read_record(path: Path) -> dict[str, Any]:
    try:
        content = json.loads(path.read_bytes())
    except ValueError as error:
        raise ValueError(f"{path}: expected what an interrupted run left, got: {error}") from error
    return content if isinstance(content, dict) else {}


def _compare(before: dict[str, Any], now: dict[str, Any]) -> None:
    for name in _SETTINGS:
        if before.get(name) != now[name]:
            what = "PARTICLES" if name == "particles" else f"--{name.replace('_', '-')}"
            raise ValueError(
                f"{what}: expected {before.get(name)} as in the interrupted run, got {now[name]}"
            )


def _checkpoints(folder: Path) -> list[Path]:
    return [folder / name for name in CHECKPOINTS[:-1] if (folder / name).exists()]


def how_to_go_on(arguments: argparse.Namespace) -> str:
    """Say what an interruption has left, and the command that goes on from there."""
    if not _checkpoints(arguments.output):
        return "no epoch was finished, nothing is left behind"
    words = [word for word in arguments.words if word != "--resume"]
    return f"go on with: {shlex.join(['fslice', *words, '--resume'])}"
