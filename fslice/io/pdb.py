"""Atoms of PDB and mmCIF files, plain or compressed by gzip."""

from __future__ import annotations

import dataclasses
import gzip
import os
import zlib
from pathlib import Path
from typing import Any

import numpy as np

from fslice.io._gemmi import import_gemmi

_SUFFIXES = (".pdb", ".ent", ".cif", ".mmcif")


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
    """

    positions: np.ndarray
    atomic_numbers: np.ndarray
    b_factors: np.ndarray

    def __len__(self) -> int:
        return len(self.positions)


def read_atoms(path: str | os.PathLike[str]) -> Atoms:
    r"""Read the atoms of a PDB or mmCIF file.

    Parameters
    ----------
    path : path
        ``.pdb``, ``.ent``, ``.cif`` or ``.mmcif``, also followed by ``.gz``.

    Returns
    -------
    Atoms
        Of the first model: protein, nucleic acids, ligands and ions, and the hydrogens
        that the file lists. Left out are waters, of which a file lists an arbitrary
        few, atoms of unknown element, and all but the first of alternative positions.
        Every atom counts fully, whatever its occupancy.

    Raises
    ------
    ValueError
        The file cannot be parsed, or it has no atoms.
    OSError
        The file cannot be read.
    ImportError
        The package gemmi is missing.

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
    gemmi = import_gemmi("reading PDB and mmCIF files")
    suffix, text = _read_text(Path(path))
    try:
        if suffix in (".pdb", ".ent"):
            structure = gemmi.read_pdb_string(text)
        else:
            document = gemmi.cif.read_string(text)
            structure = gemmi.make_structure_from_block(document[0]) if len(document) else []
    except (ValueError, RuntimeError) as error:
        reason = str(error).splitlines()[0].removeprefix("string").lstrip(": ")
        raise ValueError(f"{path}: expected a PDB or mmCIF file, got: {reason}") from error
    atoms = _atoms(structure[0]) if len(structure) else []
    if not atoms:
        raise ValueError(f"{path}: expected at least one atom, got 0")
    table = np.array(atoms)
    if not np.isfinite(table).all():
        raise ValueError(f"{path}: expected finite positions and B-factors, got NaN or infinity")
    return Atoms(table[:, :3].copy(), table[:, 3].astype(np.int64), table[:, 4].copy())


def _read_text(path: Path) -> tuple[str, str]:
    """Return the file's suffix and its text, decompressed here: a cut-off end is an error."""
    content = path.read_bytes()
    suffixes = [suffix.lower() for suffix in path.suffixes]
    if suffixes[-1:] == [".gz"]:
        suffixes.pop()
    suffix = suffixes[-1] if suffixes else ""
    if suffix not in _SUFFIXES:
        expected = ", ".join(_SUFFIXES)
        raise ValueError(f"{path}: expected a name ending in {expected}, also with .gz")
    if content.startswith(b"\x1f\x8b"):
        try:
            content = gzip.decompress(content)
        except (EOFError, OSError, zlib.error) as error:
            raise ValueError(f"{path}: the compressed data is damaged: {error}") from error
    return suffix, content.decode(errors="replace")


def _atoms(model: Any) -> list[tuple[float, float, float, int, float]]:
    """Return position, atomic number and B-factor of the atoms that are kept."""
    return [
        (*atom.pos.tolist(), atom.element.atomic_number, atom.b_iso)
        for chain in model
        for residue in chain.first_conformer()
        if not residue.is_water()
        for atom in residue.first_conformer()
        if atom.element.atomic_number > 0
    ]
