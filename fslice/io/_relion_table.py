"""The columns of a RELION particle file: which table says what, for every particle."""

from __future__ import annotations

import dataclasses
import re
from pathlib import Path

import numpy as np

from fslice.io._metadata import Request, choose
from fslice.io.star import Table, read_star

# RELION's refinement reads these from the particles only (`Experiment::read`), and its other
# programs from the particles first (`CTF::readValue` in src/ctf.cpp).
_OF_PARTICLES = re.compile(r"rln(Defocus|PhaseShift|Ctf(Bfactor|Scalefactor)|Angle|Origin).*")


@dataclasses.dataclass(frozen=True, kw_only=True)
class RelionTable:
    """A particle's values, whether its own or those of its optics group.

    Parameters
    ----------
    path : Path
    particles, optics : tables of text
    group_row : (N,) int array
        The row of the optics table that each particle of the file refers to.
    rows : (n,) int array
        The particles that are wanted.
    """

    path: Path
    particles: Table
    optics: Table
    group_row: np.ndarray
    rows: np.ndarray

    @property
    def is_version_3_0(self) -> bool:
        """Whether the file has no optics table, as those of RELION up to 3.0."""
        return not self.optics

    def __contains__(self, name: str) -> bool:
        return name in self.optics or name in self.particles

    def numbers(self, name: str) -> np.ndarray | None:
        """Return a column for all wanted particles, or None if no table has it.

        Raises
        ------
        ValueError
            A value is not a finite number, or both tables have the column and disagree about
            something of which RELION's programs differ in what they take.
        """
        own = self._parse(self.particles, name)
        shared = self._parse(self.optics, name)
        if shared is None or (own is not None and _OF_PARTICLES.fullmatch(name)):
            return None if own is None else own[self.rows]
        values = shared[self.group_row][self.rows]
        if own is not None and (differs := np.flatnonzero(own[self.rows] != values)).size:
            row = self.rows[differs[0]]
            raise ValueError(
                f"{self.path}: {name}: expected the optics table and the particle to agree, got "
                f"{values[differs[0]]:g} and {own[row]:g} in row {row + 1}"
            )
        return values

    def optional(self, name: str, default: float | np.ndarray) -> float | np.ndarray:
        """Return a column, or what RELION takes where it is missing."""
        values = self.numbers(name)
        return default if values is None else values

    def required(self, name: str) -> np.ndarray:
        """Return a column, or raise if it is missing."""
        values = self.numbers(name)
        if values is None:
            raise ValueError(f"{self.path}: expected the column {name}, which is missing")
        return values

    def flag(self, name: str) -> bool:
        """Return whether a column is true; it must be so of all wanted particles or of none."""
        values = self.numbers(name)
        if values is None:
            return False
        if (values != values[0]).any():
            raise ValueError(
                f"{self.path}: {name}: expected one value for all particles, got "
                f"{values.min():g} to {values.max():g}; choose one of the optics groups with "
                f"optics_group (--optics-group)"
            )
        return bool(values[0])

    def _parse(self, table: Table, name: str) -> np.ndarray | None:
        return parse_numbers(self.path, name, table[name]) if name in table else None


def read_table(path: Path, request: Request) -> RelionTable:
    """Read the particles and the optics of a STAR file, and choose the particles wanted."""
    tables = read_star(path)
    _refuse_tilt_series(path, tables)
    with_images = [name for name, table in tables.items() if "rlnImageName" in table]
    if "particles" in with_images:
        with_images = ["particles"]
    if len(with_images) != 1:
        got = ", ".join(f"data_{name}" for name in with_images) or "none"
        raise ValueError(f"{path}: expected one table with the column rlnImageName, got {got}")
    particles = tables[with_images[0]]
    number = len(particles["rlnImageName"])
    if not number:
        raise ValueError(f"{path}: expected at least one particle, got 0")
    optics = tables.get("optics", {})
    optics = optics if any(optics.values()) else {}
    groups = _group_rows(path, particles, optics)
    rows = np.arange(number)
    table = RelionTable(path=path, particles=particles, optics=optics, group_row=groups, rows=rows)
    return dataclasses.replace(table, rows=_choose(table, request))


def _choose(table: RelionTable, request: Request) -> np.ndarray:
    rows = table.rows
    for parameter, column, wanted in (
        ("optics_group", "rlnOpticsGroup", request.optics_group),
        ("class_index", "rlnClassNumber", request.class_index),
    ):
        if wanted is not None:
            what = parameter, column
            rows = choose(table.path, rows, table.numbers(column), wanted, what)
    return rows


def _refuse_tilt_series(path: Path, tables: dict[str, Table]) -> None:
    """Refuse the particles of tomograms, whose images are volumes or series of tilts."""
    for table in tables.values():
        if "rlnCtfImage" in table:
            raise ValueError(
                f"{path}: expected two-dimensional images, got subtomograms (rlnCtfImage)"
            )
        for text in table.get("rlnTomoSubTomosAre2DStacks", [])[:1]:
            if text.strip() != "0":
                raise ValueError(
                    f"{path}: expected one image per particle, got tilt series "
                    f"(rlnTomoSubTomosAre2DStacks {text})"
                )


def _group_rows(path: Path, particles: Table, optics: Table) -> np.ndarray:
    number = len(particles["rlnImageName"])
    if "rlnOpticsGroup" not in optics or "rlnOpticsGroup" not in particles:
        rows = len(next(iter(optics.values()), []))
        if rows > 1:
            raise ValueError(f"{path}: expected the column rlnOpticsGroup, which is missing")
        return np.zeros(number, int)
    known, wanted = (
        parse_numbers(path, "rlnOpticsGroup", table["rlnOpticsGroup"])
        for table in (optics, particles)
    )
    values, counts = np.unique(known, return_counts=True)
    if (counts > 1).any():
        twice = values[counts > 1][0]
        raise ValueError(f"{path}: expected each optics group once, got group {twice:g} twice")
    if (broken := values[(values != np.rint(values)) | (values < 1)]).size:
        raise ValueError(
            f"{path}: rlnOpticsGroup: expected whole numbers from 1, got {broken[0]:g}"
        )
    absent = wanted[~np.isin(wanted, known)]
    if absent.size:
        listed = ", ".join(f"{group:g}" for group in known)
        raise ValueError(f"{path}: expected one of the optics groups {listed}, got {absent[0]:g}")
    order = np.argsort(known)
    return order[np.searchsorted(known, wanted, sorter=order)]


def parse_numbers(path: Path, name: str, values: list[str]) -> np.ndarray:
    """Return a column of text as finite float64 numbers.

    Examples
    --------
    >>> parse_numbers(Path("a.star"), "rlnVoltage", ["300", "2_0"])
    Traceback (most recent call last):
    ...
    ValueError: a.star: rlnVoltage: expected a finite number, got '2_0' in row 2
    """
    try:
        numbers = np.fromiter(map(float, values), np.float64, len(values))
        if np.isfinite(numbers).all() and _is_plain("".join(values)):
            return numbers
    except ValueError:
        pass
    row = next(row for row, text in enumerate(values) if not _is_number(text))
    raise ValueError(
        f"{path}: {name}: expected a finite number, got {values[row]!r} in row {row + 1}"
    )


def _is_number(text: str) -> bool:
    try:
        return bool(np.isfinite(float(text))) and _is_plain(text)
    except ValueError:
        return False


def _is_plain(text: str) -> bool:
    """Say whether a text is without what only Python takes for part of a number."""
    return text.isascii() and "_" not in text
