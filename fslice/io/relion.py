"""Particles of RELION's STAR files, versions 3.0, 3.1 and 5.0, into this library's conventions."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np

from fslice.geometry import euler_to_matrix
from fslice.io._metadata import (
    Metadata,
    check_pixel_sizes,
    half_sets,
    make_ctf,
    one_size,
)
from fslice.io.star import Table, read_star

_POSE = ("rlnAngleRot", "rlnAngleTilt", "rlnAnglePsi")
_IDENTITY = {"rlnMagMat00": 1.0, "rlnMagMat11": 1.0}
_UNMODELLED = (
    *("rlnBeamTiltX", "rlnBeamTiltY", "rlnOddZernike", "rlnEvenZernike"),
    *("rlnMagMat00", "rlnMagMat01", "rlnMagMat10", "rlnMagMat11"),
)


def read_relion(path: Path, *, poses: bool, pixel_size: float | None) -> Metadata:
    """Read the particles of a STAR file; see `fslice.io.read_particles`."""
    columns = _read_columns(path)
    number = len(columns.group_row)
    _refuse_other_images(columns)
    sizes = check_pixel_sizes(
        path,
        _pixel_sizes(columns),
        pixel_size,
        "rlnImagePixelSize, or rlnDetectorPixelSize and rlnMagnification",
        number,
    )
    box = columns.numbers("rlnImageSize")
    group = columns.numbers("rlnOpticsGroup")
    fields: dict[str, Any] = {
        "rotations": _rotations(columns) if poses else None,
        "shifts": _shifts(columns, sizes) if poses else None,
        "ctf": _ctf(columns, sizes),
        "pixel_size": float(sizes[0]),
        "half_set": half_sets(columns.numbers("rlnRandomSubset")),
        "optics_group": np.ones(number, int) if group is None else group.astype(np.int64),
    }
    stacks, file_index, image_index = _image_names(path, columns.particles["rlnImageName"])
    size = None if box is None else one_size(path, box)
    unmodelled = _unmodelled(columns)
    return Metadata(path, stacks, file_index, image_index, size, unmodelled, fields)


@dataclasses.dataclass(frozen=True)
class _Columns:
    """A particle's values, whether its own or those of its optics group."""

    path: Path
    particles: Table
    optics: Table
    group_row: np.ndarray  # the row of the optics table that a particle refers to

    def numbers(self, name: str) -> np.ndarray | None:
        """Return a column for all particles; the optics table comes first, as in RELION."""
        if name in self.optics:
            return parse_numbers(self.path, name, self.optics[name])[self.group_row]
        if name in self.particles:
            return parse_numbers(self.path, name, self.particles[name])
        return None

    def required(self, name: str) -> np.ndarray:
        values = self.numbers(name)
        if values is None:
            raise ValueError(f"{self.path}: expected the column {name}, which is missing")
        return values


def _read_columns(path: Path) -> _Columns:
    tables = read_star(path)
    with_images = [name for name, table in tables.items() if "rlnImageName" in table]
    if "particles" in with_images:
        with_images = ["particles"]
    if len(with_images) != 1:
        got = ", ".join(f"data_{name}" for name in with_images) or "none"
        raise ValueError(f"{path}: expected one table with the column rlnImageName, got {got}")
    particles = tables[with_images[0]]
    if not particles["rlnImageName"]:
        raise ValueError(f"{path}: expected at least one particle, got 0")
    optics = tables.get("optics", {})
    optics = optics if any(optics.values()) else {}
    return _Columns(path, particles, optics, _group_rows(path, particles, optics))


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
    absent = wanted[~np.isin(wanted, known)]
    if absent.size:
        listed = ", ".join(f"{group:g}" for group in known)
        raise ValueError(f"{path}: expected one of the optics groups {listed}, got {absent[0]:g}")
    order = np.argsort(known)
    return order[np.searchsorted(known, wanted, sorter=order)]


def parse_numbers(path: Path, name: str, values: list[str]) -> np.ndarray:
    """Return a column of text as finite float64 numbers."""
    numbers = np.empty(len(values))
    for row, text in enumerate(values):
        try:
            numbers[row] = float(text)
        except ValueError:
            numbers[row] = np.nan
    bad = np.flatnonzero(~np.isfinite(numbers))
    if bad.size:
        raise ValueError(
            f"{path}: {name}: expected a finite number, got {values[bad[0]]!r} in row {bad[0] + 1}"
        )
    return numbers


def _refuse_other_images(columns: _Columns) -> None:
    premultiplied = columns.numbers("rlnCtfDataAreCtfPremultiplied")
    if premultiplied is not None and premultiplied.any():
        raise ValueError(
            f"{columns.path}: expected images not multiplied by their CTF, "
            f"got rlnCtfDataAreCtfPremultiplied 1"
        )
    dimensions = columns.numbers("rlnImageDimensionality")
    if dimensions is not None and (dimensions != 2).any():
        raise ValueError(
            f"{columns.path}: expected two-dimensional images, "
            f"got rlnImageDimensionality {dimensions[dimensions != 2][0]:g}"
        )


def _unmodelled(columns: _Columns) -> list[str]:
    """Return the optical parameters that the file sets and the CTF leaves out."""
    found = []
    for name in _UNMODELLED:
        texts = columns.optics.get(name, columns.particles.get(name, []))
        values = [value for text in texts for value in text.strip("[]").split(",")]
        if any(parse_numbers(columns.path, name, values) != _IDENTITY.get(name, 0.0)):
            found.append(name)
    return found


def _pixel_sizes(columns: _Columns) -> np.ndarray | None:
    for name in ("rlnImagePixelSize", "rlnPixelSize"):
        sizes = columns.numbers(name)
        if sizes is not None:
            return sizes
    micrometres = columns.numbers("rlnDetectorPixelSize")
    magnification = columns.numbers("rlnMagnification")
    if micrometres is None or magnification is None:
        return None
    with np.errstate(divide="ignore", invalid="ignore"):  # what is not finite is refused later
        return micrometres * 1e4 / magnification


def _rotations(columns: _Columns) -> np.ndarray:
    angles = [columns.numbers(name) for name in _POSE]
    missing = [name for name, column in zip(_POSE, angles, strict=True) if column is None]
    if missing:
        raise ValueError(
            f"{columns.path}: expected the pose columns {', '.join(_POSE)}, "
            f"missing: {', '.join(missing)}"
        )
    return euler_to_matrix(np.stack(angles, axis=1))  # type: ignore[arg-type]


def _shifts(columns: _Columns, pixel_sizes: np.ndarray) -> np.ndarray:
    """Return where the particles sit: minus RELION's origins, in pixels; zero if it has none."""
    for suffix, unit in (("Angst", pixel_sizes), ("", np.ones_like(pixel_sizes))):
        names = f"rlnOriginX{suffix}", f"rlnOriginY{suffix}"
        if any(columns.numbers(name) is not None for name in names):
            origins = np.stack([columns.required(name) for name in names], axis=1)
            return 0.0 - origins / unit[:, None]
    return np.zeros((len(pixel_sizes), 2))


def _ctf(columns: _Columns, pixel_sizes: np.ndarray) -> Any:
    defocus_u = columns.numbers("rlnDefocusU")
    if defocus_u is None:
        return None

    def optional(name: str, default: Any) -> Any:
        values = columns.numbers(name)
        return default if values is None else values

    return make_ctf(
        columns.path,
        defocus_u=defocus_u,
        defocus_v=optional("rlnDefocusV", defocus_u),
        astigmatism_angle=optional("rlnDefocusAngle", 0.0),
        voltage=columns.required("rlnVoltage"),
        spherical_aberration=columns.required("rlnSphericalAberration"),
        amplitude_contrast=columns.required("rlnAmplitudeContrast"),
        pixel_size=pixel_sizes,
        phase_shift=optional("rlnPhaseShift", 0.0),
        b_factor=optional("rlnCtfBfactor", 0.0),
        scale=optional("rlnCtfScalefactor", 1.0),
    )


def _image_names(path: Path, names: list[str]) -> tuple[list[list[str]], np.ndarray, np.ndarray]:
    """Split ``000001@stack.mrcs`` into stacks and positions; a bare name is its first image."""
    stacks: dict[str, int] = {}
    file_index, image_index = np.empty((2, len(names)), np.intp)
    for row, name in enumerate(names):
        number, at, stack = name.partition("@")
        if not at:
            number, stack = "1", name
        if not (number.isdecimal() and int(number) > 0):
            raise ValueError(
                f"{path}: rlnImageName: expected a number from 1 before '@', got {name!r} "
                f"in row {row + 1}"
            )
        file_index[row] = stacks.setdefault(stack, len(stacks))
        image_index[row] = int(number) - 1
    return [[stack] for stack in stacks], file_index, image_index
