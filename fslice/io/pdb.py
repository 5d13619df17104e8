"""Atoms of PDB and mmCIF files, plain or compressed by gzip."""

from __future__ import annotations

import dataclasses
import os
import re
import warnings
from pathlib import Path
from typing import Any

import numpy as np

from fslice.io import _assembly
from fslice.io._atom_table import AtomRecord, drop_alternatives, is_water
from fslice.io._cif_atoms import parse_cif
from fslice.io._files import read_bytes
from fslice.io._gemmi import import_gemmi
from fslice.io._pdb_lines import parse_pdb

_SUFFIXES = (".pdb", ".ent", ".cif", ".mmcif")
_OF_ASSEMBLY = re.compile(r"\.pdb\d+")  # .pdb1: the first assembly, its copies being models


@dataclasses.dataclass(frozen=True, eq=False)
class Atoms:
    """The atoms of a molecule.

    Parameters
    ----------
    positions : (J, 3) float64 array
        ``(x, y, z)`` in Angstrom, as in the file: not centred.
    atomic_numbers : (J,) int64 array
    b_factors : (J,) float64 array
        Isotropic, in Angstrom squared.
    left_out : dict of int, optional
        How many atoms of the file are not here, and why.
    warnings : tuple of str, optional
        What may not have been meant to be left out.
    """

    positions: np.ndarray
    atomic_numbers: np.ndarray
    b_factors: np.ndarray
    left_out: dict[str, int] = dataclasses.field(default_factory=dict)
    warnings: tuple[str, ...] = ()

    def __len__(self) -> int:
        return len(self.positions)


def read_atoms(
    path: str | os.PathLike[str], *, models: str = "first", assembly: str | None = None
) -> Atoms:
    r"""Read the atoms of a PDB or mmCIF file.

    Parameters
    ----------
    path : path
        ``.pdb`` (also ``.pdb1``), ``.ent``, ``.cif`` or ``.mmcif``, also followed by ``.gz``.
    models : {"first", "all"}, optional
        ``"all"`` for files that hold the copies of an assembly as models.
    assembly : str, optional
        The name of one of the file's biological assemblies (``"1"``; REMARK 350, or
        ``_pdbx_struct_assembly``), whose copies are made. Default: the atoms as listed.

    Returns
    -------
    Atoms
        Protein, nucleic acids, ligands and ions, and the hydrogens that the file lists.
        Left out are waters, of which a file lists an arbitrary few, under any program's
        name; atoms of unknown element; and all but the first alternative location of a
        residue. Every atom counts fully, whatever its occupancy. Where a file has no
        elements, the names of atom and residue say them.

    Raises
    ------
    ValueError
        The file cannot be parsed, it has no atoms, or not that assembly.
    OSError
        The file cannot be read.
    ImportError
        The package gemmi is missing.

    Warns
    -----
    UserWarning
        Each of `Atoms.warnings`: models or an assembly that are not used, or atoms of
        unknown element.

    Examples
    --------
    >>> import tempfile
    >>> path = os.path.join(tempfile.mkdtemp(), "one.pdb")
    >>> with open(path, "w") as file:
    ...     _ = file.write("ATOM      1  CA  GLY A   1       1.000   2.000   3.000"
    ...                    "  1.00 20.00           C\n")
    >>> atoms = read_atoms(path)
    >>> atoms.positions, atoms.atomic_numbers, atoms.b_factors
    (array([[1., 2., 3.]]), array([6]), array([20.]))
    """
    if models not in ("first", "all"):
        raise ValueError(f"models: expected 'first' or 'all', got {models!r}")
    path = Path(path)
    listed, assemblies = _parse(path)
    of_models = [atom for atom in listed if models == "all" or atom.model == 1]
    said = _unused_models(listed, of_models)
    if assembly is not None:
        of_models = _assembly.build(path, assemblies, assembly, of_models)
    elif len(said) == 0 and models == "first":
        said += _unused_assembly(assemblies, of_models)
    dry = [atom for atom in of_models if not is_water(atom)]
    single = list(drop_alternatives(dry))
    kept = [atom for atom in single if atom.element > 0]
    if not kept:
        raise ValueError(f"{path}: expected at least one atom, got 0")
    left_out = {
        "waters": len(of_models) - len(dry),
        "alternative locations": len(dry) - len(single),
        "unknown elements": len(single) - len(kept),
        "other models": len(listed) - sum(models == "all" or atom.model == 1 for atom in listed),
    }
    if unknown := left_out["unknown elements"]:
        said.append(f"{unknown} atoms of unknown element are left out")
    for line in said:
        warnings.warn(f"{path}: {line}", stacklevel=2)
    return _make(path, kept, left_out, said)


def _make(path: Path, kept: list[AtomRecord], left_out: dict[str, int], said: list[str]) -> Atoms:
    positions = np.array([atom.position for atom in kept], np.float64)
    b_factors = np.array([atom.b_factor for atom in kept], np.float64)
    if not (np.isfinite(positions).all() and np.isfinite(b_factors).all()):
        raise ValueError(f"{path}: expected finite positions and B-factors, got NaN or infinity")
    numbers = np.array([atom.element for atom in kept], np.int64)
    counts = {reason: count for reason, count in left_out.items() if count}
    return Atoms(positions, numbers, b_factors, counts, tuple(said))


def _unused_models(listed: list[AtomRecord], used: list[AtomRecord]) -> list[str]:
    number = max((atom.model for atom in listed), default=1)
    if number == 1 or len(used) == len(listed):
        return []
    left_out = f"model 1 of {number} is read, the others are left out"
    return [f"{left_out}; models='all' (--models all) takes all"]


def _unused_assembly(assemblies: Any, atoms: list[AtomRecord]) -> list[str]:
    names = [a.name for a in assemblies if _assembly.is_more_than_the_file(a, atoms)]
    if not names or len(names) < len(assemblies):  # the atoms as listed are an assembly
        return []
    listed = " or ".join(f"assembly={name!r} (--assembly {name})" for name in names[:3])
    return [f"read as listed, which is not a biological assembly; see {listed}"]


def _parse(path: Path) -> tuple[list[AtomRecord], Any]:
    """Return all atoms of a file, and its assemblies."""
    gemmi = import_gemmi("reading PDB and mmCIF files")
    suffix = _suffix(path)
    text = read_bytes(path).decode(errors="replace")
    try:
        if suffix in (".pdb", ".ent"):
            remarks = "".join(
                line for line in text.splitlines(keepends=True) if line.startswith("REMARK 350")
            )
            assemblies = gemmi.read_pdb_string(remarks).assemblies if remarks else []
            return list(parse_pdb(path, text)), assemblies
        document = gemmi.cif.read_string(text)
        if not len(document):
            return [], []
        atoms = list(parse_cif(path, document[0], gemmi.cif))
        assemblies = gemmi.make_structure_from_block(document[0]).assemblies if atoms else []
        return atoms, assemblies
    except (ValueError, RuntimeError) as error:
        if str(error).startswith(f"{path}: "):
            raise
        reason = str(error).splitlines()[0].removeprefix("string").lstrip(": ")
        raise ValueError(f"{path}: expected a PDB or mmCIF file, got: {reason}") from error


def _suffix(path: Path) -> str:
    suffixes = [suffix.lower() for suffix in path.suffixes]
    if suffixes[-1:] == [".gz"]:
        suffixes.pop()
    suffix = suffixes[-1] if suffixes else ""
    if _OF_ASSEMBLY.fullmatch(suffix):
        return ".pdb"
    if suffix not in _SUFFIXES:
        expected = ", ".join(_SUFFIXES)
        raise ValueError(f"{path}: expected a name ending in {expected}, also with .gz")
    return suffix
