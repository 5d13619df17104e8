"""Biological assemblies: copies of chains, moved by operators that the file lists."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from fslice.io._atom_table import AtomRecord


def is_more_than_the_file(assembly: Any, atoms: list[AtomRecord]) -> bool:
    """Say whether an assembly has copies, or not all chains of the atoms."""
    operators = sum(len(generator.operators) for generator in assembly.generators)
    chains = {chain for generator in assembly.generators for chain in _chains(generator)}
    return operators > len(assembly.generators) or not {atom.chain for atom in atoms} <= chains


def build(path: Path, assemblies: Any, name: str, atoms: list[AtomRecord]) -> list[AtomRecord]:
    """Return the atoms of an assembly: for each operator the chains that it moves.

    Raises
    ------
    ValueError
        There is no assembly of that name, or it has none of the atoms.
    """
    found = [assembly for assembly in assemblies if assembly.name == str(name)]
    if not found:
        there = ", ".join(assembly.name for assembly in assemblies) or "none"
        raise ValueError(f"assembly: expected one of {there} ({path}), got {name!r}")
    result: list[AtomRecord] = []
    for generator in found[0].generators:
        chains = set(_chains(generator))
        chosen = [atom for atom in atoms if atom.chain in chains]
        positions = np.array([atom.position for atom in chosen]).reshape(-1, 3)
        for operator in generator.operators:
            transform = operator.transform
            matrix, vector = np.array(transform.mat.tolist()), np.array(transform.vec.tolist())
            moved = positions @ matrix.T + vector
            result += [
                atom._replace(position=tuple(place))
                for atom, place in zip(chosen, moved.tolist(), strict=True)
            ]
    if not result:
        raise ValueError(f"assembly: expected chains of the atoms in {path}, got none in {name!r}")
    return result


def _chains(generator: Any) -> list[str]:
    """Return the names of chains: the label_asym_id of mmCIF, or the chains of a PDB file."""
    return list(generator.subchains) or list(generator.chains)
