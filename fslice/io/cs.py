"""Particles of cryoSPARC's ``.cs`` files into this library's conventions."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np

from fslice.geometry import rotvec_to_matrix
from fslice.io._metadata import Metadata, check_pixel_sizes, half_sets, make_ctf, one_size

# cryoSPARC links imported files under their own name with a long number before it.
_UID_PREFIX = re.compile(r"^\d{15,}_")
_UNMODELLED = ("ctf/tilt_A", "ctf/trefoil_A", "ctf/tetra_A", "ctf/anisomag")
# A header of many fields is longer than NumPy's limit for files that it does not trust.
_HEADER_LIMIT = 2**20


def read_cs(path: Path, *, poses: bool, pixel_size: float | None) -> Metadata:
    """Read the particles of a ``.cs`` file; see `fslice.io.read_particles`."""
    rows = _load(path)
    names = rows.dtype.names or ()
    blob = rows["blob/psize_A"].astype(np.float64) if "blob/psize_A" in names else None
    sizes = check_pixel_sizes(path, blob, pixel_size, "blob/psize_A", len(rows))
    group = "ctf/exp_group_id"
    fields: dict[str, Any] = {
        "rotations": _rotations(path, rows) if poses else None,
        "shifts": _shifts(path, rows, sizes) if poses else None,
        "ctf": _ctf(path, rows, sizes) if "ctf/df1_A" in names else None,
        "pixel_size": float(sizes[0]),
        "half_set": _half_sets(rows),
        "optics_group": rows[group].astype(np.int64) + 1
        if group in names
        else np.ones(len(rows), int),
    }
    paths, file_index = np.unique(_field(path, rows, "blob/path"), return_inverse=True)
    image_index = _field(path, rows, "blob/idx").astype(np.intp)
    size = one_size(path, rows["blob/shape"]) if "blob/shape" in names else None
    stacks = [_candidates(stack) for stack in paths]
    return Metadata(path, stacks, file_index, image_index, size, _unmodelled(rows), fields)


def _load(path: Path) -> np.ndarray:
    """Read the table; mapped first, so that a header's claim is checked against the file."""
    expected = f"{path}: expected a .cs file, a NumPy table without pickled objects"
    try:
        table = np.lib.format.open_memmap(path, mode="r", max_header_size=_HEADER_LIMIT)
    except ValueError as error:
        raise ValueError(f"{expected}: {str(error).splitlines()[0]}") from error
    if table.dtype.names is None or table.ndim != 1:
        raise ValueError(f"{expected}, got an array of shape {table.shape} of {table.dtype}")
    if len(table) == 0:
        raise ValueError(f"{path}: expected at least one particle, got 0")
    return np.array(table)


def _unmodelled(rows: np.ndarray) -> list[str]:
    """Return the optical parameters that the file sets and the CTF leaves out."""
    found = [name for name in _UNMODELLED if name in (rows.dtype.names or ())]
    return [name for name in found if rows[name].any() and not _is_identity(name, rows[name])]


def _is_identity(name: str, values: np.ndarray) -> bool:
    """Say whether it is the magnification that changes nothing, also written as zeros."""
    return name == "ctf/anisomag" and bool((values == (1, 0, 0, 1)).all())


def _field(path: Path, rows: np.ndarray, name: str) -> np.ndarray:
    if name not in (rows.dtype.names or ()):
        raise ValueError(f"{path}: expected the field {name}, which is missing")
    values = rows[name]
    if values.dtype.kind == "f" and not np.isfinite(values).all():
        raise ValueError(f"{path}: {name}: expected finite numbers, got NaN or infinity")
    return values


def _candidates(stack: bytes | str) -> list[str]:
    name = stack.decode() if isinstance(stack, bytes) else str(stack)
    name = name.removeprefix(">")
    folder, slash, base = name.rpartition("/")
    return list(dict.fromkeys([name, folder + slash + _UID_PREFIX.sub("", base)]))


def _rotations(path: Path, rows: np.ndarray) -> np.ndarray:
    names = rows.dtype.names or ()
    if "alignments3D/pose" not in names:
        has = "2-D alignments only" if "alignments2D/pose" in names else "no alignments"
        raise ValueError(f"{path}: expected 3-D poses (alignments3D/pose), got {has}")
    return rotvec_to_matrix(_field(path, rows, "alignments3D/pose").astype(np.float64))


def _shifts(path: Path, rows: np.ndarray, pixel_sizes: np.ndarray) -> np.ndarray:
    """Return minus cryoSPARC's shifts, from pixels of the alignment to pixels of the images."""
    shifts = -_field(path, rows, "alignments3D/shift").astype(np.float64)
    if "alignments3D/psize_A" in (rows.dtype.names or ()):
        unit = _field(path, rows, "alignments3D/psize_A") / pixel_sizes
        shifts *= unit[:, None]
    return 0.0 + shifts


def _half_sets(rows: np.ndarray) -> np.ndarray | None:
    """Return cryoSPARC's split, 0 or 1, as half 1 or 2; one value only means no split."""
    if "alignments3D/split" not in (rows.dtype.names or ()):
        return None
    split = rows["alignments3D/split"].astype(np.int64) + 1
    return half_sets(split) if len(np.unique(split)) > 1 else None


def _ctf(path: Path, rows: np.ndarray, pixel_sizes: np.ndarray) -> Any:
    def field(name: str) -> np.ndarray:
        return _field(path, rows, f"ctf/{name}").astype(np.float64)

    def optional(name: str, default: float) -> Any:
        return field(name) if f"ctf/{name}" in (rows.dtype.names or ()) else default

    return make_ctf(
        path,
        defocus_u=field("df1_A"),
        defocus_v=field("df2_A"),
        astigmatism_angle=np.rad2deg(field("df_angle_rad")),
        voltage=field("accel_kv"),
        spherical_aberration=field("cs_mm"),
        amplitude_contrast=field("amp_contrast"),
        pixel_size=pixel_sizes,
        phase_shift=np.rad2deg(optional("phase_shift_rad", 0.0)),
        b_factor=optional("bfactor", 0.0),
        scale=optional("scale", 1.0),
    )
