"""Particles of RELION's STAR files, versions 3.0, 3.1 and 5.0, into this library's conventions."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from fslice.geometry import euler_to_matrix
from fslice.io._metadata import (
    UNMODELLED,
    Metadata,
    Request,
    common_pixel_size,
    half_sets,
    one_size,
    to_common,
)
from fslice.io._relion_optics import read_aberrations, read_ctf, read_image_kind, unmodelled_optics
from fslice.io._relion_table import RelionTable, read_table

_POSE = ("rlnAngleRot", "rlnAngleTilt", "rlnAnglePsi")
_PIXEL_SIZE_COLUMNS = "rlnImagePixelSize, or rlnDetectorPixelSize and rlnMagnification"
_PIXEL_SIZE_AGREEMENT = 0.01
# Suffixes by which a name says its format to RELION (`FileName::removeFileFormat`).
_FORMATS = (":mrc", ":mrcs", ":map", ":st")
_LARGEST_NUMBER = 2**31 - 1


def read_relion(path: Path, request: Request) -> Metadata:
    """Read the particles of a STAR file; see `fslice.io.read_particles`."""
    table = read_table(path, request)
    number, warnings = len(table.rows), list[str]()
    _refuse_volumes(table)
    kind = read_image_kind(table, request.phase_flipped, warnings)
    sizes, pixel_size = common_pixel_size(
        path, _pixel_sizes(table, warnings), request, _PIXEL_SIZE_COLUMNS, warnings
    )
    box = table.numbers("rlnImageSize")
    group = table.numbers("rlnOpticsGroup")
    subset = half_sets(table.numbers("rlnRandomSubset"), "rlnRandomSubset", warnings)
    pixel_sizes, in_common = to_common(sizes, pixel_size, request)
    fields: dict[str, Any] = {
        "rotations": _rotations(table) if request.poses else None,
        "shifts": _shifts(table, sizes) * in_common if request.poses else None,
        "ctf": None if kind.corrected else read_ctf(table, pixel_size, warnings),
        "pixel_size": pixel_size,
        "half_set": subset,
        "optics_group": np.ones(number, int) if group is None else group.astype(np.int64),
        "phase_flipped": kind.phase_flipped,
        "premultiplied": kind.premultiplied,
    }
    if fields["ctf"] is None and (kind.phase_flipped or kind.premultiplied):
        what = "multiplied by their CTF" if kind.premultiplied else "phase-flipped"
        raise ValueError(f"{path}: expected a defocus, since the images are {what}, got none")
    fields["aberrations"] = read_aberrations(table, pixel_size, fields["ctf"] is not None)
    if request.class_index is None:
        _warn_of_classes(table, warnings)
    if left_out := unmodelled_optics(table) + _unmodelled_columns(table):
        warnings.append(f"{UNMODELLED}: {', '.join(left_out)}")
    names = [table.particles["rlnImageName"][row] for row in table.rows]
    stacks, file_index, image_index, bare = _image_names(path, names)
    return Metadata(
        path=path,
        stacks=stacks,
        file_index=file_index,
        image_index=image_index,
        bare=bare,
        size=None if box is None else one_size(path, "rlnImageSize", box, request),
        pixel_sizes=pixel_sizes,
        warnings=warnings,
        fields=fields,
    )


def _refuse_volumes(table: RelionTable) -> None:
    dimensions = table.numbers("rlnImageDimensionality")
    if dimensions is not None and (dimensions != 2).any():
        raise ValueError(
            f"{table.path}: expected two-dimensional images, "
            f"got rlnImageDimensionality {dimensions[dimensions != 2][0]:g}"
        )


def _warn_of_classes(table: RelionTable, warnings: list[str]) -> None:
    classes = table.numbers("rlnClassNumber")
    if classes is not None and len(np.unique(classes)) > 1:
        warnings.append(
            f"rlnClassNumber: particles of {len(np.unique(classes))} classes are taken together; "
            f"class_index (--class) chooses one"
        )


def _unmodelled_columns(table: RelionTable) -> list[str]:
    """Return the columns that change an image in RELION and are not used here."""
    found = []
    for name in ("rlnNormCorrection", "rlnOriginZ", "rlnOriginZAngst"):
        values = table.numbers(name)
        neutral = 0 if values is None or "Origin" in name else values[0]
        if values is not None and (values != neutral).any():
            found.append(name)
    return found


def _pixel_sizes(table: RelionTable, warnings: list[str]) -> np.ndarray | None:
    """Return what RELION takes: in 3.0 of the detector, from 3.1 on of the optics table.

    ``StarConverter::unifyPixelSize`` and the constructor of ``ObservationModel``.
    """
    found = {name: table.numbers(name) for name in ("rlnImagePixelSize", "rlnPixelSize")}
    micrometres = table.numbers("rlnDetectorPixelSize")
    magnification = table.numbers("rlnMagnification")
    if micrometres is not None and magnification is not None:
        with np.errstate(divide="ignore", invalid="ignore"):  # refused later if not finite
            detector = micrometres * 1e4 / magnification
        name = "rlnDetectorPixelSize and rlnMagnification"
        found = {name: detector} | found if table.is_version_3_0 else found | {name: detector}
    for name in ("rlnMicrographPixelSize", "rlnMicrographOriginalPixelSize"):
        found[name] = None if table.is_version_3_0 else table.numbers(name)
    candidates = [(name, sizes) for name, sizes in found.items() if sizes is not None]
    if not candidates:
        return None
    (first, sizes), *others = candidates
    if first.startswith("rlnMicrograph"):
        warnings.append(f"pixel size taken from {first}, as RELION does without rlnImagePixelSize")
    for name, other in others:
        agrees = np.allclose(other, sizes, rtol=_PIXEL_SIZE_AGREEMENT, atol=0)
        if not (agrees or name.startswith("rlnMicrograph")):
            warnings.append(f"{name} {other[0]:g} contradicts {first} {sizes[0]:g}, which is used")
    return sizes


def _rotations(table: RelionTable) -> np.ndarray:
    angles = [table.numbers(name) for name in _POSE]
    missing = [name for name, column in zip(_POSE, angles, strict=True) if column is None]
    if missing:
        raise ValueError(
            f"{table.path}: expected the pose columns {', '.join(_POSE)}, "
            f"missing: {', '.join(missing)}"
        )
    return euler_to_matrix(np.stack(angles, axis=1))  # type: ignore[arg-type]


def _shifts(table: RelionTable, pixel_sizes: np.ndarray | float) -> np.ndarray:
    """Return where the particles sit: minus RELION's origins, in pixels; zero if it has none.

    Pixels are those of the file even where the caller gives another size, since the particles
    stay where they are in the images.
    """
    for suffix, unit in (("Angst", pixel_sizes), ("", 1.0)):
        names = f"rlnOriginX{suffix}", f"rlnOriginY{suffix}"
        if any(name in table for name in names):
            origins = np.stack([table.required(name) for name in names], axis=1)
            return 0.0 - origins / np.reshape(unit, (-1, 1))
    return np.zeros((len(table.rows), 2))


def _image_names(
    path: Path, names: list[str]
) -> tuple[list[list[str]], np.ndarray, np.ndarray, frozenset[int]]:
    """Split ``000001@stack.mrcs`` into stacks and positions; a bare name is one image."""
    stacks: dict[str, int] = {}
    bare = set()
    file_index, image_index = np.empty((2, len(names)), np.intp)
    for row, name in enumerate(names):
        number, at, stack = name.partition("@")
        if not at:
            number, stack = "1", name
        if not (number.isascii() and number.isdecimal() and 0 < int(number) <= _LARGEST_NUMBER):
            raise ValueError(
                f"{path}: rlnImageName: expected a number from 1 before '@', got {name!r} "
                f"in row {row + 1}"
            )
        file_index[row] = stacks.setdefault(stack, len(stacks))
        image_index[row] = int(number) - 1
        if not at:
            bare.add(int(file_index[row]))
    candidates = [list(dict.fromkeys([_without_format(stack), stack])) for stack in stacks]
    return candidates, file_index, image_index, frozenset(bare)


def _without_format(name: str) -> str:
    for suffix in _FORMATS:
        if name.lower().endswith(suffix):
            return name[: -len(suffix)]
    return name
