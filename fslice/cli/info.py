"""``fslice info``: what is installed, and what a file holds."""

from __future__ import annotations

import argparse
import math
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from fslice._kernels import kernels_for
from fslice._threads import available_cpus
from fslice.cli._arguments import command_parser, positive
from fslice.cli._environment import versions
from fslice.geometry import matrix_to_euler
from fslice.io import Particles, read_atoms, read_particles, read_volume
from fslice.io._mrc_header import read_layout
from fslice.operators.ctf import CTF

_DESCRIPTION = """\
Print versions, the implementation of the kernels, and the number of processors; or, given
a file, what it holds.
"""

_EXAMPLE = """\
  fslice info
  fslice info run/particles.star
"""

Facts = dict[str, Any]


def add_command(commands: Any) -> None:
    """Add the command to the command line."""
    parser = command_parser(
        commands, "info", run, "versions, or what a file holds", _DESCRIPTION, _EXAMPLE
    )
    parser.add_argument(
        "file",
        metavar="FILE",
        type=Path,
        nargs="?",
        help="particles (.star, .cs), images or a map (.mrcs, .mrc, .map, also .gz and .bz2), "
        "atoms (.pdb, .cif, also .gz)",
    )
    parser.add_argument(
        "--pixel-size",
        type=positive,
        metavar="A",
        help="Angstrom; for particles whose file does not say",
    )


def run(arguments: argparse.Namespace) -> Facts:
    """Collect the facts and print them."""
    facts = _environment()
    if arguments.file is not None:
        facts = _describe_file(arguments.file, arguments.pixel_size)
    width = max(map(len, facts))
    for name, value in facts.items():
        print(f"{name.replace('_', ' '):{width}}  {_text(value)}")
    return facts


def _text(value: Any) -> str:
    if value is None:
        return "-"
    if isinstance(value, list):
        return " to ".join(_text(entry) for entry in value)
    if isinstance(value, float):
        return "unknown" if math.isnan(value) else f"{value:g}"
    return str(value)


def _environment() -> Facts:
    return {
        **versions(),
        "kernels": kernels_for(np.zeros(1)).name,
        "processors": available_cpus(),
        "device": "cpu",
    }


def _describe_file(path: Path, pixel_size: float | None) -> Facts:
    suffixes = [suffix.lower() for suffix in path.suffixes]
    if suffixes and suffixes[-1] in (".gz", ".bz2"):
        suffixes.pop()
    describe = _DESCRIBE.get(suffixes[-1] if suffixes else "")
    if describe is None:
        raise ValueError(
            f"{path}: expected a file ending in {', '.join(_DESCRIBE)}, also compressed"
        )
    if describe is not _describe_particles and pixel_size is not None:
        raise ValueError(f"--pixel-size: expected particles, got {path}")
    return {"file": str(path), **describe(path, pixel_size)}


def _describe_particles(path: Path, pixel_size: float | None) -> Facts:
    particles = read_particles(path, poses=False, images=False, pixel_size=pixel_size)
    groups, halves = particles.optics_group, particles.half_set
    return {
        "particles": len(particles),
        **_describe_images(_attempt(path, pixel_size, poses=False)),
        "pixel_size_angstrom": particles.pixel_size,
        **_describe_poses(_attempt(path, pixel_size, images=False)),
        **_describe_ctf(particles.ctf),
        "optics_groups": 0 if groups is None else len(np.unique(groups)),
        "half_1": 0 if halves is None else int((halves == 1).sum()),
        "half_2": 0 if halves is None else int((halves == 2).sum()),
    }


def _attempt(path: Path, pixel_size: float | None, **what: bool) -> Particles | str:
    """Return the particles with what was asked for, or why the file does not give it."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # they have been shown once
            return read_particles(path, pixel_size=pixel_size, **what)
    except (ValueError, OSError) as error:
        return str(error).removeprefix(f"{path}: ")


def _describe_images(particles: Particles | str) -> Facts:
    if isinstance(particles, str):
        return {"images": f"none: {particles}"}
    return {"images": "yes", "box_pixels": particles.size}


def _describe_poses(particles: Particles | str) -> Facts:
    if isinstance(particles, str):
        return {"poses": f"none: {particles}"}
    tilts = matrix_to_euler(particles.rotations)[:, 1]
    facts: Facts = {"poses": "yes", "tilts_degrees": _range(tilts)}
    if particles.shifts is not None:
        facts["shifts_rms_pixels"] = float(np.sqrt(np.mean(particles.shifts**2)))
    return facts


def _describe_ctf(ctf: CTF | None) -> Facts:
    if ctf is None:
        return {"ctf": "none"}
    return {
        "ctf": "yes",
        "defocus_angstrom": _range((ctf.defocus_u + ctf.defocus_v) / 2),
        "voltage_kilovolt": _range(ctf.voltage),
        "spherical_aberration_millimetre": _range(ctf.spherical_aberration),
        "amplitude_contrast": _range(ctf.amplitude_contrast),
    }


def _range(values: np.ndarray) -> Any:
    low, high = float(values.min()), float(values.max())
    return low if low == high else [low, high]


def _describe_mrc(path: Path, _: float | None) -> Facts:
    layout = read_layout(path)
    sections, rows, columns = layout.shape
    facts: Facts = {
        "sections": sections,
        "rows": rows,
        "columns": columns,
        "pixel_size_angstrom": layout.voxel_size[0],  # along x: stacks often lack z
        "values": layout.dtype.name,
    }
    if path.suffix.lower() != ".mrcs" and sections == rows == columns:
        volume, facts["pixel_size_angstrom"] = read_volume(path)
        facts["extremes"] = _range(volume)
        facts["mean"] = float(volume.mean(dtype=np.float64))
        facts["standard_deviation"] = float(volume.std(dtype=np.float64))
    return facts


def _describe_atoms(path: Path, _: float | None) -> Facts:
    atoms = read_atoms(path)
    distances = np.linalg.norm(atoms.positions - atoms.positions.mean(0), axis=1)
    return {
        "atoms": len(atoms),
        "electrons": int(atoms.atomic_numbers.sum()),
        "radius_angstrom": float(distances.max()),
        "b_factors_angstrom2": _range(atoms.b_factors),
    }


_DESCRIBE: dict[str, Callable[[Path, float | None], Facts]] = {
    **dict.fromkeys((".star", ".cs"), _describe_particles),
    **dict.fromkeys((".mrc", ".mrcs", ".map"), _describe_mrc),
    **dict.fromkeys((".pdb", ".ent", ".cif", ".mmcif"), _describe_atoms),
}
