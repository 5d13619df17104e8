"""STAR files as tables of text: the syntax, without what the columns mean."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, TypeAlias

from fslice.io._files import atomic_write
from fslice.io._gemmi import import_gemmi
from fslice.io._star_rows import check_rows

Table: TypeAlias = dict[str, list[str]]
"""Columns of text of one length, by name without the leading underscore."""

_QUOTED = frozenset("'\";?.")
"""What the few values start with that do not stand for themselves."""

_RESERVED = ("_", "#", "$", "'", '"', ";", "data_", "loop_", "save_", "stop_", "global_")


def read_star(path: str | os.PathLike[str]) -> dict[str, Table]:
    """Read every table of a STAR file, with all its columns, as text.

    Parameters
    ----------
    path : path

    Returns
    -------
    dict of tables
        By the name of the data block (``"optics"`` of ``data_optics``; ``""`` of a bare
        ``data_``, which RELION 3.0 writes). A table is a dict from column name, without
        the leading underscore, to the list of its values, unquoted. A block of
        single values is a table of one row.

    Raises
    ------
    ValueError
        Not a STAR file, a block with more than one table, a column that is there twice, or
        a loop with a row of too few or too many values (named), also one whose rows go on
        after an empty line, where RELION stops reading.
    ImportError
        The package gemmi is missing.

    Examples
    --------
    >>> import tempfile
    >>> path = os.path.join(tempfile.mkdtemp(), "a.star")
    >>> write_star(path, {"particles": {"rlnImageName": ["1@a.mrcs", "2@a.mrcs"]}})
    >>> read_star(path)
    {'particles': {'rlnImageName': ['1@a.mrcs', '2@a.mrcs']}}
    """
    gemmi = import_gemmi("reading STAR files")
    content = Path(path).read_bytes()
    try:
        text = content.decode()
        # First, since a parser that counts all values together cannot say which row is wrong.
        check_rows(text)
        document = gemmi.cif.read_string(text)
    except (ValueError, RuntimeError) as error:
        reason = str(error).removeprefix("string").lstrip(": ")
        raise ValueError(f"{path}: expected a STAR file, got: {reason}") from error
    # A nameless block has the name " " in the parser.
    return {block.name.strip(): _table(path, block, gemmi.cif) for block in document}


def _table(path: str | os.PathLike[str], block: Any, cif: Any) -> Table:
    loops = [item.loop for item in block if item.loop is not None]
    pairs = [item.pair for item in block if item.pair is not None]
    if len(loops) + bool(pairs) > 1:
        raise ValueError(f"{path}: expected one table in the block data_{block.name.strip()}")
    if pairs:
        return {tag.removeprefix("_"): [cif.as_string(value)] for tag, value in pairs}
    if not loops:
        return {}
    values, width = loops[0].values, loops[0].width()
    return {
        tag.removeprefix("_"): [
            cif.as_string(value) if value[0] in _QUOTED else value
            for value in values[column::width]
        ]
        for column, tag in enumerate(loops[0].tags)
    }


def write_star(
    path: str | os.PathLike[str], tables: Mapping[str, Mapping[str, Sequence[Any]]]
) -> None:
    """Write tables as a STAR file of RELION's layout, completely or not at all.

    Parameters
    ----------
    path : path
    tables : mapping of tables
        As `read_star` returns them. Numbers are written with all their digits, so that
        they are read back unchanged.

    Raises
    ------
    ValueError
        The columns of a table differ in length, or a value cannot be written on one line.
    OSError
        The file cannot be written; then nothing is left behind.

    Examples
    --------
    >>> write_star("a.star", {"particles": {"rlnAngleRot": [1.0], "rlnAngleTilt": []}})
    Traceback (most recent call last):
    ...
    ValueError: particles: expected columns of one length, got 1 and 0
    """
    text = "".join(_format_table(name, table) for name, table in tables.items())
    with atomic_write(path) as file:
        file.write(text.encode())


def _format_table(name: str, table: Mapping[str, Sequence[Any]]) -> str:
    lengths = {len(values) for values in table.values()}
    if len(lengths) > 1:
        got = " and ".join(str(length) for length in sorted(lengths, reverse=True))
        raise ValueError(f"{name}: expected columns of one length, got {got}")
    # RELION takes the comment for the version of the file.
    head = ["", "# version 30001", "", f"data_{name}", "", "loop_"]
    head += [f"_{column} #{number}" for number, column in enumerate(table, 1)]
    columns = []
    for values in table.values():
        cells = [_format_value(value) for value in values]
        width = max(map(len, cells), default=0)
        columns.append([cell.rjust(width) for cell in cells])
    rows = [" ".join(cells) for cells in zip(*columns, strict=True)]
    return "\n".join([*head, *rows, "", ""])


def _format_value(value: Any) -> str:
    text = value if isinstance(value, str) else repr(value)
    if "\n" in text or "\r" in text:
        raise ValueError(f"expected a value on one line, got {text!r}")
    plain = text and not text.lower().startswith(_RESERVED)
    if plain and text not in "?." and not any(character.isspace() for character in text):
        return text
    for quote in "'\"":
        # Inside, a quote ends the value only where a blank follows.
        if quote not in text:
            return f"{quote}{text}{quote}"
    raise ValueError(f"expected a value without both kinds of quotes, got {text!r}")
