"""The element of an atom whose file does not say it, from the names of atom and residue."""

from __future__ import annotations

import functools
import re

from fslice.io._gemmi import import_gemmi

_PROTONATION_STATES = frozenset((
    "HID", "HIE", "HIP", "HSD", "HSE", "HSP", "CYX", "CYM", "CYS2", "ASH", "GLH", "LYN", "ASPH",
    "GLUH", "LYSH", "HISA", "HISB", "HISH", "CALA", "NALA", "T", "DT5", "DA5", "DC5", "DG5",
    "DT3", "DA3", "DC3", "DG3", "A5", "A3", "C5", "C3", "G5", "G3", "U5", "U3", "ADE", "CYT",
    "GUA", "THY", "URA", "ACE", "NME", "NMA",
))  # fmt: skip
"""Names that simulation programs give to standard residues."""
_LIGHT = "CNOPSH"


@functools.cache
def atomic_number(symbol: str) -> int:
    """Return the atomic number of a symbol in any case; 0 if there is no such element.

    Examples
    --------
    >>> atomic_number("MG"), atomic_number("70")
    (12, 0)
    """
    return int(import_gemmi("reading atoms").Element(symbol).atomic_number)


@functools.cache
def infer_element(name: str, residue_name: str, *, aligned: bool) -> int:
    """Return the atomic number that the names say; 0 if they say none.

    Parameters
    ----------
    name : str
        Of the atom; the four columns of a PDB file, if `aligned`.
    residue_name : str
    aligned : bool
        The name is right-justified so that the symbol ends in its second column, as the
        format of PDB files says and some programs do not do.

    Examples
    --------
    The carbon of a glycine is no calcium, however it is aligned; the ion is:

    >>> [infer_element(*names, aligned=False) for names in [("CA", "GLY"), ("CA", "CA")]]
    [6, 20]
    """
    letters = re.sub(r"[^A-Z]", "", re.sub(r"^[0-9]+", "", name.strip().upper()))
    if not letters:
        return 0
    if _is_standard(residue_name):
        selenium = letters[:2] == "SE"  # of selenomethionine and selenocysteine
        return atomic_number("SE" if selenium else letters[0])
    if letters == re.sub(r"[^A-Z]", "", residue_name.upper()) and atomic_number(letters[:2]):
        return atomic_number(letters[:2])  # an ion
    if aligned and len(name) == 4:
        if not name[0].isalpha():
            return atomic_number(letters[0])
        if name[0].upper() == "H" and " " not in name:  # four letters of a hydrogen
            return 1
        return atomic_number(letters[:2]) or atomic_number(letters[0])
    return atomic_number(letters[0]) if letters[0] in _LIGHT else atomic_number(letters[:2])


@functools.cache
def _is_standard(residue_name: str) -> bool:
    found = import_gemmi("reading atoms").find_tabulated_residue(residue_name)
    standard = found.is_amino_acid() or found.is_nucleic_acid()
    return standard or residue_name.upper() in _PROTONATION_STATES
