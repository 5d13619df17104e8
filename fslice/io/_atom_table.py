"""Atoms as a file lists them, and which of them are kept."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from itertools import groupby
from typing import NamedTuple

_WATERS = frozenset((
    "HOH", "WAT", "H2O", "DOD", "D2O", "D3O", "HHO", "OHH", "MTO", "TIP", "TIP2", "TIP3", "TIP4",
    "TIP5", "TP3", "TP4", "TP5", "T3P", "T4P", "T5P", "TP3F", "SOL", "SPC", "SPCE", "OPC",
))  # fmt: skip
"""What programs call a residue of water."""
_OF_WATER = frozenset(["H", "D", "O", "X", "M", "EP", "LP"])


class AtomRecord(NamedTuple):
    """One line of a file.

    Parameters
    ----------
    model : int
        Counted from 1.
    chain : str
        What the file's assemblies call it.
    residue : tuple of str
        Chain, number with insertion code.
    residue_name, name, alternative : str
        Without blanks; `alternative` is empty where there is only one location.
    element : int
        Atomic number, 0 where it is unknown.
    position : tuple of 3 float
        In Angstrom.
    b_factor : float
    """

    model: int
    chain: str
    residue: tuple[str, str]
    residue_name: str
    name: str
    alternative: str
    element: int
    position: tuple[float, float, float]
    b_factor: float


def drop_alternatives(records: Iterable[AtomRecord]) -> Iterator[AtomRecord]:
    """Yield the atoms without those of all but the first alternative location of a residue.

    An atom without a label of an alternative is never dropped, whatever it shares with others:
    ions may all be residue 1, and numbers begin anew after 9999.
    """
    for _, group in groupby(records, key=lambda record: (record.model, *record.residue)):
        atoms = list(group)
        labels = [atom.alternative for atom in atoms if atom.alternative]
        first = labels[0] if labels else ""
        residues = {atom.residue_name for atom in atoms if atom.alternative == first}
        names = Counter(atom.name for atom in atoms)
        for atom in atoms:
            # One of the same residue that has no other location is an alternative to nothing.
            alone = names[atom.name] == 1 and atom.residue_name in residues
            if atom.alternative in ("", first) or alone:
                yield atom


def is_water(record: AtomRecord) -> bool:
    """Say whether an atom is of water, by the names that any program gives it."""
    name = record.name.strip("0123456789'").upper()[:2]
    return record.residue_name.upper() in _WATERS and (name in _OF_WATER or name[:1] in "OHDM")
