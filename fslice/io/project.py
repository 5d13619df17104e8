"""The particles of a job: which of the files in its folder they are."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

from fslice.io._files import find_named_file
from fslice.io.star import read_star

# What RELION's jobs call their particles: Refine3D and Class3D (the last iteration without
# convergence), Extract and Select, Polish, CtfRefine.
_RELION_NAMES = (
    r"run_data\.star",
    r"run(_ct\d+)?_it\d+_data\.star",
    r"particles\.star",
    r"shiny\.star",
    r"particles_ctf_refine\.star",
)
# cryoSPARC's: of an iteration, or of a job without any; not what they pass through.
_CS_NAMES = (
    r"(.*_)?\d{3,}_particles\.cs",
    r"particles_selected\.cs",
    r"((?!.*passthrough).*_)?(imported_|extracted_|restacked_)?particles\.cs",
)
_OPTIMISER_COLUMNS = ("rlnExperimentalDataStarFile", "rlnTomoParticlesFile")


def find_particles(path: Path) -> tuple[Path, tuple[str, ...]]:
    """Return the particle file that a path stands for, and a line about the choice, if any.

    Parameters
    ----------
    path : Path
        The folder of a job, RELION's ``*_optimiser.star``, or the file itself.

    Raises
    ------
    ValueError
        The folder has no particle file, or several of which none comes first.
    """
    if path.is_dir():
        file = _of_folder(path)
        return file, (f"read from the folder {path}: {file.name}",)
    if path.name.endswith(("_optimiser.star", "_optimisation_set.star")):
        return _of_optimiser(path)
    return path, ()


def _of_folder(folder: Path) -> Path:
    names = sorted(entry.name for entry in folder.iterdir() if entry.is_file())
    for patterns, latest in ((_RELION_NAMES, _iteration), (_CS_NAMES, _cs_iteration)):
        for pattern in patterns:
            found = [name for name in names if re.fullmatch(pattern, name)]
            if found:
                return folder / _last(folder, found, latest)
    listed = [name for name in names if name.endswith((".star", ".cs"))]
    got = ", ".join(listed[:10]) or "no .star or .cs file"
    raise ValueError(f"{folder}: expected the folder of a job with particles, got {got}")


def _last(folder: Path, names: list[str], number: Callable[[str], int]) -> str:
    last = max(map(number, names))
    found = [name for name in names if number(name) == last]
    if len(found) > 1:
        raise ValueError(
            f"{folder}: expected one file of particles, got {', '.join(found)}; give one of them"
        )
    return found[0]


def _iteration(name: str) -> int:
    match = re.search(r"_it(\d+)_", name)
    return int(match[1]) if match else 0


def _cs_iteration(name: str) -> int:
    match = re.search(r"(?:^|_)(\d{3,})_particles", name)
    return int(match[1]) if match else 0


def _of_optimiser(path: Path) -> tuple[Path, tuple[str, ...]]:
    for table in read_star(path).values():
        for column in _OPTIMISER_COLUMNS:
            if table.get(column):
                file = find_named_file([table[column][0]], path)
                return file, (f"read from {path}: {file}",)
    raise ValueError(f"{path}: expected the column {_OPTIMISER_COLUMNS[0]}, which is missing")
