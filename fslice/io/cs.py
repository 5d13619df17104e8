"""Particles of cryoSPARC's ``.cs`` files into this library's conventions."""

from __future__ import annotations

import contextlib
import re
from pathlib import Path
from typing import Any

import numpy as np

from fslice.geometry import rotvec_to_matrix
from fslice.io._cs_table import CsTable, join_by_uid, lacking, load_cs, passthrough_beside
from fslice.io._metadata import (
    UNMODELLED,
    Metadata,
    Request,
    choose,
    common_pixel_size,
    half_sets,
    one_size,
    to_common,
)
from fslice.io._optics import make_ctf
from fslice.operators.ctf import CTF

# cryoSPARC links imported files under their own name with a long number before it.
_UID_PREFIX = re.compile(r"^\d{15,}_")
_UNMODELLED = ("ctf/shift_A", "ctf/tilt_A", "ctf/trefoil_A", "ctf/tetra_A", "ctf/anisomag")
_NAMES = {
    "defocus_u": "ctf/df1_A",
    "defocus_v": "ctf/df2_A",
    "astigmatism_angle": "ctf/df_angle_rad",
    "voltage": "ctf/accel_kv",
    "spherical_aberration": "ctf/cs_mm",
    "amplitude_contrast": "ctf/amp_contrast",
    "phase_shift": "ctf/phase_shift_rad",
    "b_factor": "ctf/bfactor",
    "scale": "ctf/scale",
}


def read_cs(path: Path, request: Request) -> Metadata:
    """Read the particles of a ``.cs`` file; see `fslice.io.read_particles`."""
    warnings, notes = list[str](), list[str]()
    table = _join(path, load_cs(path), request, notes)
    table = _one_class(path, table, request, warnings)
    if request.optics_group is not None:
        table = _choose_group(path, table, request.optics_group)
    number = len(next(iter(table.values())))
    blob = table["blob/psize_A"].astype(np.float64) if "blob/psize_A" in table else None
    sizes, pixel_size = common_pixel_size(path, blob, request, "blob/psize_A", warnings)
    group = table.get("ctf/exp_group_id")
    if request.phase_flipped and "ctf/df1_A" not in table:
        raise ValueError(
            f"{path}: expected a defocus, since the images are phase-flipped, got none"
        )
    pixel_sizes, in_common = to_common(sizes, pixel_size, request)
    fields: dict[str, Any] = {
        "rotations": _rotations(path, table) if request.poses else None,
        "shifts": _shifts(path, table, sizes) * in_common if request.poses else None,
        "ctf": _ctf(path, table, pixel_size, warnings),
        "pixel_size": pixel_size,
        "half_set": _half_sets(table, warnings),
        "optics_group": np.ones(number, int) if group is None else group.astype(np.int64) + 1,
        "phase_flipped": bool(request.phase_flipped),
    }
    paths, file_index = np.unique(_field(path, table, "blob/path"), return_inverse=True)
    if left_out := _unmodelled(table):
        warnings.append(f"{UNMODELLED}: {', '.join(left_out)}")
    shape = table.get("blob/shape")
    return Metadata(
        path=path,
        stacks=[_candidates(stack) for stack in paths],
        file_index=file_index.reshape(-1),
        image_index=_field(path, table, "blob/idx").astype(np.intp),
        signs=_signs(path, table, warnings),
        size=None if shape is None else one_size(path, "blob/shape", shape, request),
        pixel_sizes=pixel_sizes,
        warnings=warnings,
        notes=tuple(notes),
        fields=fields,
    )


def _join(path: Path, table: CsTable, request: Request, notes: list[str]) -> CsTable:
    """Return the table with what other files of the job say of its particles."""
    given = [] if request.passthrough is None else [request.passthrough]
    for other in given:
        table = join_by_uid(path, table, other, load_cs(other))
        notes.append(f"joined with {other.name} by uid")
    if given or not lacking(table, request.poses):
        return table
    for other in passthrough_beside(path):
        before = lacking(table, request.poses)
        with contextlib.suppress(ValueError):  # of another output of the job
            table = join_by_uid(path, table, other, load_cs(other))
            if found := sorted(set(before) - set(lacking(table, request.poses))):
                notes.append(f"joined with {other.name} by uid: {', '.join(found)}")
    return table


def _choose_group(path: Path, table: CsTable, wanted: int) -> CsTable:
    """Return the particles of an exposure group, numbered from 1 as `Particles` numbers them."""
    groups = table.get("ctf/exp_group_id")
    number = len(next(iter(table.values())))
    groups = None if groups is None else groups.astype(np.int64) + 1
    what = "optics_group", "ctf/exp_group_id (+ 1)"
    rows = choose(path, np.arange(number), groups, wanted, what)
    return {name: values[rows] for name, values in table.items()}


def _one_class(path: Path, table: CsTable, request: Request, warnings: list[str]) -> CsTable:
    """Return the table with one alignment per particle: that of its most probable class."""
    multi = "alignments3D_multi/"
    table = dict(table)
    several = "alignments3D/pose" not in table and f"{multi}pose" in table
    if several:
        posterior = _field(path, table, f"{multi}class_posterior")
        best = np.arange(len(posterior)), posterior.argmax(axis=1)
        labels = table.get(f"{multi}class", np.broadcast_to(np.arange(posterior.shape[1]),
                                                            posterior.shape))  # fmt: skip
        table["alignments3D/class"] = labels[best]
        for name in ("pose", "shift", "alpha"):
            if multi + name in table:
                table[f"alignments3D/{name}"] = table[multi + name][best]
        for name in ("psize_A", "split"):
            if multi + name in table:
                table[f"alignments3D/{name}"] = table[multi + name]
    classes = table.get("alignments3D/class")
    if request.class_index is not None:
        number = len(next(iter(table.values())))
        what = "class_index", "alignments3D/class"
        rows = choose(path, np.arange(number), classes, request.class_index, what)
        return {name: values[rows] for name, values in table.items()}
    if classes is not None and len(np.unique(classes)) > 1:
        pose = ", each in the pose of its most probable one" if several else ""
        warnings.append(
            f"particles of {len(np.unique(classes))} classes are taken together{pose}; "
            f"class_index (--class) chooses one"
        )
    return table


def _unmodelled(table: CsTable) -> list[str]:
    """Return the optical parameters that the file sets and nothing here uses."""
    found = [name for name in _UNMODELLED if name in table]
    return [name for name in found if table[name].any() and not _is_identity(name, table[name])]


def _is_identity(name: str, values: np.ndarray) -> bool:
    """Say whether it is the magnification that changes nothing, also written as zeros."""
    return name == "ctf/anisomag" and bool((values == (1, 0, 0, 1)).all())


def _field(path: Path, table: CsTable, name: str) -> np.ndarray:
    if name not in table:
        raise ValueError(f"{path}: expected the field {name}, which is missing")
    return table[name]


def _candidates(stack: bytes | str) -> list[str]:
    """Return the names under which a stack may lie: with and without cryoSPARC's number."""
    text = stack.decode(errors="surrogateescape") if isinstance(stack, bytes) else str(stack)
    name = text.removeprefix(">")
    folder, slash, base = name.rpartition("/")
    return list(dict.fromkeys([name, folder + slash + _UID_PREFIX.sub("", base)]))


def _signs(path: Path, table: CsTable, warnings: list[str]) -> np.ndarray | None:
    """Return what the images are to be multiplied by: their contrast may be reversed.

    cryoSPARC multiplies its images by ``blob/sign`` when it loads them.
    """
    signs = table.get("blob/sign")
    if signs is None or (signs == 1).all():
        return None
    if not np.isin(signs, (1, -1)).all():
        got = signs[~np.isin(signs, (1, -1))][0]
        raise ValueError(f"{path}: blob/sign: expected 1 or -1, got {got:g}")
    negative = int((signs == -1).sum())
    warnings.append(f"blob/sign: {negative} of {len(signs)} images are multiplied by -1")
    return signs.astype(np.float32)


def _rotations(path: Path, table: CsTable) -> np.ndarray:
    if "alignments3D/pose" not in table:
        has = "2-D alignments only" if "alignments2D/pose" in table else "no alignments"
        raise ValueError(
            f"{path}: expected 3-D poses (alignments3D/pose), got {has}; if they are in another "
            f"file of the job, pass it as passthrough (--passthrough)"
        )
    return rotvec_to_matrix(table["alignments3D/pose"].astype(np.float64))


def _shifts(path: Path, table: CsTable, pixel_sizes: np.ndarray | float) -> np.ndarray:
    """Return minus cryoSPARC's shifts, from pixels of the alignment to pixels of the images."""
    shifts = -_field(path, table, "alignments3D/shift").astype(np.float64)
    unit = table.get("alignments3D/psize_A")
    if unit is not None:
        if not (unit > 0).all():
            raise ValueError(
                f"{path}: alignments3D/psize_A: expected a positive pixel size, got "
                f"{unit[~(unit > 0)][0]:g}"
            )
        shifts *= (unit / pixel_sizes)[:, None]
    return 0.0 + shifts


def _half_sets(table: CsTable, warnings: list[str]) -> np.ndarray | None:
    """Return cryoSPARC's split, 0 or 1, as half 1 or 2; one value only means no split."""
    split = table.get("alignments3D/split")
    split = None if split is None else split.astype(np.int64) + 1
    return half_sets(split, "alignments3D/split (+ 1)", warnings)


def _ctf(path: Path, table: CsTable, pixel_size: float, warnings: list[str]) -> CTF | None:
    if "ctf/df1_A" not in table:
        _contrast(table, warnings)
        return None

    def field(name: str, default: float | None = None) -> Any:
        if default is not None and f"ctf/{name}" not in table:
            return default
        return _field(path, table, f"ctf/{name}").astype(np.float64)

    parameters = {
        "defocus_u": field("df1_A"),
        "defocus_v": field("df2_A"),
        "astigmatism_angle": np.rad2deg(field("df_angle_rad")),
        "voltage": field("accel_kv"),
        "spherical_aberration": field("cs_mm"),
        "amplitude_contrast": field("amp_contrast"),
        "phase_shift": np.rad2deg(field("phase_shift_rad", 0.0)),
        "b_factor": field("bfactor", 0.0),
        "scale": field("scale", 1.0) * _contrast(table, warnings, with_ctf=True),
    }
    return make_ctf(path, parameters, _NAMES, pixel_size, warnings)


def _contrast(table: CsTable, warnings: list[str], with_ctf: bool = False) -> Any:
    """Return the contrast that a refinement found for each image, if it found any.

    Zeros everywhere are what files have where none was sought.
    """
    alpha = table.get("alignments3D/alpha")
    if alpha is None or not alpha.any() or (alpha == 1).all():
        return 1.0
    if not with_ctf:
        warnings.append(f"{UNMODELLED}, since there is no CTF: alignments3D/alpha")
    return alpha.astype(np.float64)
