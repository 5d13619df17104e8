"""The atoms of mmCIF files."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from fslice.io._atom_table import AtomRecord
from fslice.io._elements import atomic_number, infer_element

_POSITION = ("Cartn_x", "Cartn_y", "Cartn_z")
# For each thing, the items that may say it; the first one that is there and known is taken.
_ITEMS = {
    "model": ("pdbx_PDB_model_num",),
    "chain": ("label_asym_id", "auth_asym_id"),
    "residue_chain": ("auth_asym_id", "label_asym_id"),
    "number": ("auth_seq_id", "label_seq_id"),
    "insertion": ("pdbx_PDB_ins_code",),
    "residue_name": ("label_comp_id", "auth_comp_id"),
    "name": ("label_atom_id", "auth_atom_id"),
    "alternative": ("label_alt_id",),
    "element": ("type_symbol",),
    "b_factor": ("B_iso_or_equiv",),
}


def parse_cif(path: Path, block: Any, cif: Any) -> Iterator[AtomRecord]:
    """Yield the atoms of a block; there may be none."""
    prefix = "_atom_site."
    table = block.find_mmcif_category(prefix)
    if not len(table):
        return
    columns = {tag.removeprefix(prefix): index for index, tag in enumerate(table.tags)}
    if missing := [item for item in _POSITION if item not in columns]:
        raise ValueError(f"{path}: expected the item _atom_site.{missing[0]}, which is missing")
    places = {
        key: [columns[item] for item in items if item in columns] for key, items in _ITEMS.items()
    }
    models: dict[str, int] = {}
    for row_number, row in enumerate(table, 1):

        def text(key: str, row: Any = row) -> str:
            values = (row[place] for place in places[key])
            return next((cif.as_string(v) for v in values if v not in ("?", ".")), "")

        try:
            x, y, z = (float(cif.as_string(row[columns[item]])) for item in _POSITION)
            b_factor = float(text("b_factor") or 0)
        except ValueError:
            raise ValueError(
                f"{path}: expected numbers for position and B-factor of each atom, got others in "
                f"row {row_number} of _atom_site"
            ) from None
        residue_name, name = text("residue_name"), text("name")
        symbol = text("element")
        yield AtomRecord(
            model=models.setdefault(text("model"), len(models) + 1),
            chain=text("chain"),
            residue=(text("residue_chain"), text("number") + text("insertion")),
            residue_name=residue_name,
            name=name,
            alternative=text("alternative"),
            element=atomic_number(symbol)
            if symbol
            else infer_element(name, residue_name, aligned=False),
            position=(x, y, z),
            b_factor=b_factor,
        )
