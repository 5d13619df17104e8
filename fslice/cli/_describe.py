"""What a file holds, and what is missing or suspicious in it, for ``fslice info``."""

from __future__ import annotations

import math
import warnings
from pathlib import Path
from typing import Any

import numpy as np

from fslice.geometry import matrix_to_euler
from fslice.io import ImageStack, Particles, read_atoms, read_particles, read_star, read_volume
from fslice.io._cs_table import load_cs
from fslice.io._mrc_header import read_layout
from fslice.operators.ctf import CTF

Facts = dict[str, Any]

_NO_PIXEL_SIZE = "expected a pixel size"


def describe_file(path: Path, of_particles: Facts, of_atoms: Facts) -> tuple[Facts, list[str]]:
    """Return what a file holds, and what is missing or suspicious.

    Parameters
    ----------
    path : Path
        A file of any kind, or the folder of a job.
    of_particles, of_atoms : dict
        Options of `read_particles` and of `read_atoms`.

    Raises
    ------
    ValueError
        It is of no kind that is known, or an option is given that its kind does not have.
    OSError
        It cannot be read.
    """
    kind = _kind(path)
    for known, options in (("particles", of_particles), ("atoms", of_atoms)):
        if options and kind != known:
            name = next(iter(options)).removesuffix("_index").replace("_", "-")
            raise ValueError(f"--{name}: expected {known}, got {path}")
    problems: list[str] = []
    describe = {
        "particles": _describe_particles, "mrc": _describe_mrc, "atoms": _describe_atoms
    }[kind]  # fmt: skip
    options = of_particles if kind == "particles" else of_atoms
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # they are among the problems
        facts = describe(path, problems, options)
    return {"file": str(path), **facts}, list(dict.fromkeys(problems))


_SUFFIXES = {
    **dict.fromkeys((".star", ".cs"), "particles"),
    **dict.fromkeys((".mrc", ".mrcs", ".map", ".ccp4", ".rec", ".st"), "mrc"),
    **dict.fromkeys((".pdb", ".ent", ".cif", ".mmcif", ".pdb1"), "atoms"),
}


def _kind(path: Path) -> str:
    """Tell what a file is, by its name, else by its first bytes."""
    if path.is_dir():
        return "particles"
    suffixes = [suffix.lower() for suffix in path.suffixes]
    if suffixes and suffixes[-1] in (".gz", ".bz2"):
        suffixes.pop()
    if found := _SUFFIXES.get(suffixes[-1] if suffixes else ""):
        return found
    with open(path, "rb") as file:
        start = file.read(1024)
    try:
        read_layout(path)
        return "mrc"
    except ValueError as error:
        if "expected gzip" in str(error):
            raise
    listed = ", ".join(_SUFFIXES)
    what = "an empty file" if not start else "another kind of file"
    raise ValueError(f"{path}: expected a file ending in {listed}, also compressed, got {what}")


def _describe_particles(path: Path, problems: list[str], options: Facts) -> Facts:
    """Describe all that can be read: with and without images, poses and a pixel size."""
    found = _attempt(path, problems, options)
    with_images = with_poses = bare = found
    if isinstance(found, str):
        bare = _attempt(path, problems, options, poses=False, images=False)
        with_images = _attempt(path, problems, options, poses=False)
        with_poses = _attempt(path, problems, options, images=False)
    if isinstance(bare, str):
        return _describe_tables(path, problems)
    attempts = (found, with_poses, with_images, bare)
    best = next(particles for particles in attempts if not isinstance(particles, str))
    problems += best.warnings
    if bare.ctf is None and not any("no CTF" in problem for problem in problems):
        problems.append("no CTF: there is no defocus")
    unknown = any(_NO_PIXEL_SIZE in problem for problem in problems)
    groups, halves = bare.optics_group, bare.half_set
    return {
        **({"read": "; ".join(best.notes)} if best.notes else {}),
        "particles": len(bare),
        **_describe_images(with_images),
        "pixel_size_angstrom": math.nan if unknown else bare.pixel_size,
        **_describe_poses(with_poses),
        **_describe_ctf(bare.ctf),
        **_describe_optics(bare),
        "optics_groups": 0 if groups is None else len(np.unique(groups)),
        "half_1": 0 if halves is None else int((halves == 1).sum()),
        "half_2": 0 if halves is None else int((halves == 2).sum()),
    }


def _attempt(path: Path, problems: list[str], options: Facts, **what: Any) -> Particles | str:
    """Return the particles with what was asked for, or why the file does not give it."""
    try:
        return read_particles(path, **options, **what)
    except FileNotFoundError as error:
        if error.filename is not None and Path(error.filename) == path:
            raise
        reason = str(error)
    except ValueError as error:
        reason = str(error)
        if _NO_PIXEL_SIZE in reason and "pixel_size" not in options:
            problems.append(_without_name(path, reason))
            return _attempt(path, problems, options | {"pixel_size": 1.0}, **what)
    problems.append(_without_name(path, reason))
    return problems[-1]


def _without_name(path: Path, reason: str) -> str:
    return reason.removeprefix(f"{path}: ")


def _describe_tables(path: Path, problems: list[str]) -> Facts:
    """Describe what there is in a STAR or .cs file that cannot be read as particles."""
    try:
        if path.suffix.lower() == ".cs":
            table = load_cs(path)
            return {"rows": len(next(iter(table.values()))), "fields": ", ".join(table)}
        tables = read_star(path) if path.is_file() else {}
    except ValueError as error:
        problems.append(_without_name(path, str(error)))
        return {}
    return {
        f"data_{name}": f"{len(next(iter(table.values()), []))} rows of {len(table)} columns"
        for name, table in tables.items()
    }


def _describe_images(particles: Particles | str) -> Facts:
    if isinstance(particles, str):
        return {"images": f"none: {particles}"}
    stack = particles.images
    assert isinstance(stack, ImageStack)
    return {"images": "yes", "box_pixels": particles.size, "stacks": len(stack.files)}


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


def _describe_optics(particles: Particles) -> Facts:
    kinds = {"phase-flipped": particles.phase_flipped, "premultiplied": particles.premultiplied}
    done = [name for name, true in kinds.items() if true]
    facts: Facts = {"images_are": done[0]} if done else {}
    if particles.aberrations is not None:
        facts["aberrations"] = "yes"
    return facts


def _range(values: np.ndarray) -> Any:
    low, high = float(values.min()), float(values.max())
    return low if low == high else [low, high]


def _describe_mrc(path: Path, problems: list[str], _: Facts) -> Facts:
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
        try:
            volume, facts["pixel_size_angstrom"] = read_volume(path)
        except ValueError as error:
            problems.append(_without_name(path, str(error)))
        else:
            facts["extremes"] = _range(volume)
            facts["mean"] = float(volume.mean(dtype=np.float64))
            facts["standard_deviation"] = float(volume.std(dtype=np.float64))
            if volume.min() == volume.max():
                problems.append(f"all values are {volume.max():g}")
    elif rows != columns:
        problems.append(f"expected square images, got {rows} rows of {columns} columns")
    if math.isnan(facts["pixel_size_angstrom"]):
        problems.append("the header does not say the pixel size")
    return facts


def _describe_atoms(path: Path, problems: list[str], options: Facts) -> Facts:
    atoms = read_atoms(path, **options)
    problems += atoms.warnings
    distances = np.linalg.norm(atoms.positions - atoms.positions.mean(0), axis=1)
    left_out = {f"left_out_{reason.replace(' ', '_')}": n for reason, n in atoms.left_out.items()}
    return {
        "atoms": len(atoms),
        "electrons": int(atoms.atomic_numbers.sum()),
        "radius_angstrom": float(distances.max()),
        "b_factors_angstrom2": _range(atoms.b_factors),
        **left_out,
    }
