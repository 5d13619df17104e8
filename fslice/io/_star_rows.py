"""The rows of a STAR file's loops: RELION reads them line by line, so every line is one row."""

from __future__ import annotations

import re

# As RELION and CIF part a line into values: quoted ones may hold blanks; a comment ends the line.
_VALUE = re.compile(r"""'(?:[^']|'(?=\S))*'(?!\S)|"(?:[^"]|"(?=\S))*"(?!\S)|#.*|\S+""")


def check_rows(text: str) -> None:
    r"""Raise if a loop has a row with more or fewer values than columns.

    RELION's reader (``src/metadata_table.cpp``, ``readStarLoop``) takes one line for one row
    and ends the loop at the first empty line; a CIF parser fills rows from one stream of
    values, so that one value too many shifts all columns after it.

    Raises
    ------
    ValueError
        With the name of the block, the first column of the loop, and the number of the row.

    Examples
    --------
    >>> check_rows("data_a\nloop_\n_x\n_y\n1 2\n3\n4 5 6\n")
    Traceback (most recent call last):
    ...
    ValueError: the loop of _x in data_a: expected 2 values in row 2, got 1
    """
    lines = text.splitlines()
    block, position = "data_", 0
    while position < len(lines):
        line = lines[position].strip()
        position += 1
        if line[:5].lower() == "data_":
            block = line.split()[0]
        elif line[:5].lower() == "loop_":
            position = _check_loop(lines, position, block)


def _check_loop(lines: list[str], position: int, block: str) -> int:
    """Check the loop whose first column's name is at or after `position`; return its end."""
    columns: list[str] = []
    while position < len(lines) and _is_head(lines[position]):
        columns += lines[position].split()[:1] if lines[position].lstrip()[:1] == "_" else []
        position += 1
    loop = f"the loop of {columns[0] if columns else '?'} in {block}"
    row, before_empty = 0, 0
    for end in range(position, len(lines)):
        line = lines[end]
        count = len(line.split())
        if count != len(columns) or count == 1 or "#" in line or "'" in line or '"' in line:
            stripped = line.strip()
            if _ends_loop(stripped):
                return end
            if not stripped:
                before_empty = before_empty or row
                continue
            count = _count(stripped)
            if not count:  # a comment
                continue
        row += 1
        if count != len(columns):
            raise ValueError(f"{loop}: expected {len(columns)} values in row {row}, got {count}")
        if before_empty:
            raise ValueError(
                f"{loop}: expected no rows after the empty line that follows row {before_empty}, "
                f"where RELION stops reading"
            )
    return len(lines)


def _is_head(line: str) -> bool:
    stripped = line.strip()
    return not stripped or stripped[0] in "_#"


def _ends_loop(stripped: str) -> bool:
    first = stripped[:5].lower()
    return first in ("data_", "loop_") or first[:1] == "_"


def _count(line: str) -> int:
    return sum(not value.startswith("#") for value in _VALUE.findall(line))
