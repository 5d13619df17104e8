"""The atoms of PDB files, in the dialects that programs write."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from fslice.io._atom_table import AtomRecord
from fslice.io._elements import atomic_number, infer_element

_BACKBONE = frozenset(("N", "CA", "C", "O"))


def parse_pdb(path: Path, text: str) -> Iterator[AtomRecord]:
    """Yield the atoms of a PDB file.

    The element comes from columns 77 and 78, or, where these hold none, from the names: before
    1996 columns 73 to 80 held the name of the entry and the number of the line.
    """
    lines = text.splitlines()
    atoms = [line for line in lines if line.startswith(("ATOM", "HETATM"))]
    aligned = not any(_is_left_aligned(line) for line in atoms[:1000])
    model, closed = 1, False
    for number, line in enumerate(lines, 1):
        record = line[:6].rstrip().upper()
        if record in ("ENDMDL", "END"):
            closed = True
        elif record in ("ATOM", "HETATM"):
            model, closed = model + closed, False
            yield _atom(path, number, line, model, aligned)


def _atom(path: Path, number: int, line: str, model: int, aligned: bool) -> AtomRecord:
    # Four letters, as of TIP3, use the blank column between residue and chain.
    residue_name, chain = line[17:21].strip(), line[21:22]
    segment = line[72:76].strip()  # what parts the chains of files without their names
    return AtomRecord(
        model=model,
        chain=chain.strip(),
        residue=(chain + segment, line[22:27]),
        residue_name=residue_name,
        name=line[12:16].strip(),
        alternative=line[16:17].strip(),
        element=_element(line, residue_name, aligned),
        position=_position(path, number, line),
        b_factor=_b_factor(path, number, line),
    )


def _position(path: Path, number: int, line: str) -> tuple[float, float, float]:
    try:
        return float(line[30:38]), float(line[38:46]), float(line[46:54])
    except ValueError:
        raise ValueError(
            f"{path}: expected a PDB file, got line {number} without three coordinates in columns "
            f"31 to 54"
        ) from None


def _b_factor(path: Path, number: int, line: str) -> float:
    text = line[60:66].strip()
    try:
        return float(text or 0)
    except ValueError:
        raise ValueError(
            f"{path}: expected a PDB file, got line {number} without a B-factor in columns 61 to 66"
        ) from None


def _element(line: str, residue_name: str, aligned: bool) -> int:
    symbol = line[76:78].strip()
    if symbol.isalpha() and (found := atomic_number(symbol) or int(symbol.upper() == "X")):
        return found if symbol.upper() != "X" else 0
    return infer_element(line[12:16], residue_name, aligned=aligned)


def _is_left_aligned(line: str) -> bool:
    """Say whether an atom of a backbone stands in the first column of its name."""
    return line[:4] == "ATOM" and line[12:13] != " " and line[12:16].strip() in _BACKBONE
