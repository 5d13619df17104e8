"""The table of a ``.cs`` file: read without trust in its header, joined with others by uid."""

from __future__ import annotations

import math
from collections.abc import Iterable
from pathlib import Path
from typing import TypeAlias

import numpy as np

CsTable: TypeAlias = dict[str, np.ndarray]
"""Columns of one length by name."""

# A header of many fields is longer than NumPy's limit for files that it does not trust.
_HEADER_LIMIT = 2**20
_NOT_A_TABLE = "expected a .cs file, a NumPy table without pickled objects"

_INTEGER, _REAL, _TEXT = "iu", "fiu", "SU"
# What is read of a file: the kinds that its values may have, and the shape of one value.
_FIELDS: dict[str, tuple[str, tuple[int | str, ...]]] = {
    "uid": (_INTEGER, ()),
    "blob/path": (_TEXT, ()),
    "blob/idx": (_INTEGER, ()),
    "blob/shape": (_INTEGER, (2,)),
    "blob/psize_A": (_REAL, ()),
    "blob/sign": (_REAL, ()),
    "ctf/exp_group_id": (_INTEGER, ()),
    **dict.fromkeys(
        (f"ctf/{name}" for name in ("accel_kv", "cs_mm", "amp_contrast", "df1_A", "df2_A",
         "df_angle_rad", "phase_shift_rad", "scale", "bfactor")),
        (_REAL, ()),
    ),
    **dict.fromkeys(("ctf/shift_A", "ctf/tilt_A", "ctf/trefoil_A"), (_REAL, (2,))),
    **dict.fromkeys(("ctf/tetra_A", "ctf/anisomag"), (_REAL, (4,))),
    "alignments3D/pose": (_REAL, (3,)),
    "alignments3D/shift": (_REAL, (2,)),
    "alignments3D/psize_A": (_REAL, ()),
    "alignments3D/split": (_INTEGER, ()),
    "alignments3D/alpha": (_REAL, ()),
    "alignments3D/class": (_INTEGER, ()),
    "alignments3D_multi/pose": (_REAL, ("K", 3)),
    "alignments3D_multi/shift": (_REAL, ("K", 2)),
    "alignments3D_multi/class": (_INTEGER, ("K",)),
    "alignments3D_multi/class_posterior": (_REAL, ("K",)),
    "alignments3D_multi/alpha": (_REAL, ("K",)),
    "alignments3D_multi/psize_A": (_REAL, ()),
    "alignments3D_multi/split": (_INTEGER, ()),
}  # fmt: skip


def load_cs(path: Path) -> CsTable:
    """Read a table, after its header has been compared with the size of the file.

    Raises
    ------
    ValueError
        Not such a file, shorter than its header claims, no particles, or a field that is
        read and is of another kind or shape than cryoSPARC's.
    """
    try:
        with open(path, "rb") as file:
            version = np.lib.format.read_magic(file)
            read_header = (
                np.lib.format.read_array_header_1_0
                if version == (1, 0)
                else np.lib.format.read_array_header_2_0
            )
            shape, _, dtype = read_header(file, max_header_size=_HEADER_LIMIT)
            offset = file.tell()
            _check_table(path, shape, dtype, offset)
            rows = np.fromfile(file, dtype, shape[0])
    except OSError:
        raise
    except Exception as error:  # NumPy evaluates the header as Python, and anything can go wrong
        if isinstance(error, ValueError) and str(error).startswith(f"{path}: "):
            raise
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        raise ValueError(f"{path}: {_NOT_A_TABLE}: {reason[:200]}") from error
    table = {name: rows[name] for name in rows.dtype.names or ()}
    _check_fields(path, table)
    return table


def _check_table(path: Path, shape: tuple[int, ...], dtype: np.dtype, offset: int) -> None:
    got = f"got an array of shape {shape} of {dtype}"[:200]
    if dtype.hasobject:
        raise ValueError(f"{path}: {_NOT_A_TABLE}: it has pickled objects")
    if dtype.names is None or len(shape) != 1 or shape[0] < 0:
        raise ValueError(f"{path}: {_NOT_A_TABLE}, {got}")
    if shape[0] == 0:
        raise ValueError(f"{path}: expected at least one particle, got 0")
    held, claimed = path.stat().st_size - offset, shape[0] * dtype.itemsize
    if held < claimed:
        raise ValueError(
            f"{path}: {_NOT_A_TABLE}: its header claims {claimed} bytes of rows, it holds {held}"
        )


def _check_fields(path: Path, table: CsTable) -> None:
    sides: dict[str, int] = {}
    for name, (kinds, shape) in _FIELDS.items():
        values = table.get(name)
        if values is None:
            continue
        own = values.shape[1:]
        wanted = tuple(sides.setdefault(s, math.prod(own[:1])) if isinstance(s, str) else s
                       for s in shape)  # fmt: skip
        if values.dtype.kind not in kinds or own != wanted or not values.size:
            expected = " or ".join(_KIND_NAMES[kind] for kind in kinds)
            raise ValueError(
                f"{path}: {name}: expected {expected} of shape {wanted} for each particle, got "
                f"{values.dtype} of shape {own}"
            )
        if values.dtype.kind == "f" and not np.isfinite(values).all():
            raise ValueError(f"{path}: {name}: expected finite numbers, got NaN or infinity")


_KIND_NAMES = {
    "i": "integers",
    "u": "unsigned integers",
    "f": "real numbers",
    "S": "bytes",
    "U": "text",
}


def join_by_uid(path: Path, table: CsTable, other_path: Path, other: CsTable) -> CsTable:
    """Return the table with the fields of another one that it lacks, row by row of equal uid.

    cryoSPARC splits the output of a job: what the job made, and what it passes through
    (``*_passthrough_particles.cs``), in any order and with any further rows.

    Raises
    ------
    ValueError
        One of them has no uid or one twice, or the other one lacks a particle.
    """
    for name, columns in ((path, table), (other_path, other)):
        if "uid" not in columns:
            raise ValueError(f"{name}: expected the field uid, by which two files are joined")
    known, order = np.unique(other["uid"], return_index=True)
    if len(known) < len(other["uid"]):
        raise ValueError(f"{other_path}: expected every uid once, got one twice")
    places = np.minimum(np.searchsorted(known, table["uid"]), len(known) - 1)
    missing = int((known[places] != table["uid"]).sum())
    if missing:
        raise ValueError(f"{other_path}: expected all particles of {path}, got none of {missing}")
    rows = order[places]
    return {name: values[rows] for name, values in other.items()} | table


def lacking(table: CsTable, poses: bool) -> list[str]:
    """Return what a fit needs and the table does not have."""
    needed = ["blob/path", "ctf/df1_A"]
    found = [name for name in needed if name not in table]
    alignments = "alignments3D/pose", "alignments3D_multi/pose"
    if poses and not any(name in table for name in alignments):
        found.append(alignments[0])
    return found


def passthrough_beside(path: Path) -> Iterable[Path]:
    """Yield the passthrough files of particles in the folder of a file."""
    for candidate in sorted(path.parent.glob("*passthrough*.cs")):
        if candidate.name != path.name:
            yield candidate
