"""The optics of RELION's particles: what was done to the images, their CTF, their aberrations."""

from __future__ import annotations

import dataclasses
from typing import Any, NamedTuple

import numpy as np

from fslice.io._optics import make_ctf
from fslice.io._relion_table import RelionTable, parse_numbers
from fslice.operators.aberrations import Aberrations
from fslice.operators.ctf import CTF
from fslice.operators.zernike import beam_tilt_coefficients

_TILT = ("rlnBeamTiltX", "rlnBeamTiltY")
_ZERNIKE = ("rlnOddZernike", "rlnEvenZernike")
_MAGNIFICATION = {"rlnMagMat00": 1.0, "rlnMagMat01": 0.0, "rlnMagMat10": 0.0, "rlnMagMat11": 1.0}
_NAMES = {
    "defocus_u": "rlnDefocusU",
    "defocus_v": "rlnDefocusV",
    "astigmatism_angle": "rlnDefocusAngle",
    "voltage": "rlnVoltage",
    "spherical_aberration": "rlnSphericalAberration",
    "amplitude_contrast": "rlnAmplitudeContrast",
    "phase_shift": "rlnPhaseShift",
    "b_factor": "rlnCtfBfactor",
    "scale": "rlnCtfScalefactor",
}


class ImageKind(NamedTuple):
    """What was done to the images because of their CTF."""

    corrected: bool
    phase_flipped: bool
    premultiplied: bool


def read_image_kind(table: RelionTable, flipped: bool | None, warnings: list[str]) -> ImageKind:
    """Return what was done to the images; `flipped` is the caller's word for phase flipping."""
    premultiplied = table.flag("rlnCtfDataAreCtfPremultiplied")
    corrected = table.flag("rlnCtfDataAreCtfCorrected")
    says = table.flag("rlnCtfDataArePhaseFlipped")
    if flipped is not None and flipped != says and "rlnCtfDataArePhaseFlipped" in table:
        warnings.append(f"phase flipped: {flipped} as given, where the file says {says}")
    kind = ImageKind(corrected, says if flipped is None else flipped, premultiplied)
    if sum(kind) > 1:
        listed = " and ".join(name for name, true in kind._asdict().items() if true)
        raise ValueError(
            f"{table.path}: expected images that are CTF-corrected, phase-flipped or premultiplied "
            f"by the CTF, not several, got {listed}"
        )
    if corrected:
        warnings.append("no CTF: the images are corrected for it (rlnCtfDataAreCtfCorrected)")
    return kind


def read_ctf(table: RelionTable, pixel_size: float, warnings: list[str]) -> CTF | None:
    """Return the CTF with RELION's defaults (``CTF::readByGroup``); None without a defocus."""
    defocus_u = table.numbers("rlnDefocusU")
    if defocus_u is None:
        return None
    if "rlnAmplitudeContrast" not in table:
        warnings.append("rlnAmplitudeContrast is missing: assumed 0, as RELION does")
    parameters: dict[str, Any] = {
        "defocus_u": defocus_u,
        "defocus_v": table.optional("rlnDefocusV", defocus_u),
        "astigmatism_angle": table.optional("rlnDefocusAngle", 0.0),
        "voltage": table.required("rlnVoltage"),
        "spherical_aberration": table.required("rlnSphericalAberration"),
        "amplitude_contrast": table.optional("rlnAmplitudeContrast", 0.0),
        "phase_shift": table.optional("rlnPhaseShift", 0.0),
        "b_factor": table.optional("rlnCtfBfactor", 0.0),
        "scale": table.optional("rlnCtfScalefactor", 1.0),
    }
    return make_ctf(table.path, parameters, _NAMES, pixel_size, warnings)


def read_aberrations(table: RelionTable, pixel_size: float, with_ctf: bool) -> Aberrations | None:
    """Return the aberrations of the optics groups, or None if all are zero.

    As in the constructor of ``ObservationModel``: those of the optics table from 3.1 on; in 3.0,
    which has none, the beam tilt of the particles, of whose distinct values RELION's converter
    makes groups. Even ones belong to the CTF, and go with it.
    """
    source, group = table.optics, table.group_row[table.rows]
    if table.is_version_3_0:
        source, group = _group_of_settings(table)
    rows = np.unique(group)
    odd, even = (_coefficients(table, source, name) for name in _ZERNIKE)
    odd = odd if not table.is_version_3_0 else odd[:, :0]
    even = even if with_ctf and not table.is_version_3_0 else even[:, :0]
    odd = _add_padded(odd, _tilts(table, source))
    if not (odd[rows].any() or even[rows].any()):
        return None
    return Aberrations(odd=odd, even=even, group=group, pixel_size=pixel_size)


def _group_of_settings(table: RelionTable) -> tuple[dict[str, list[str]], np.ndarray]:
    """Return the distinct beam tilts of a file of 3.0 as an optics table, and whose is which."""
    names = [*_TILT, "rlnSphericalAberration", "rlnVoltage"]
    present = [name for name in names if name in table.particles]
    if not set(_TILT) & set(present):
        return {"rlnOpticsGroup": ["1"]}, np.zeros(len(table.rows), int)
    settings = np.stack([table.required(name) for name in present], axis=1)
    distinct, group = np.unique(settings, axis=0, return_inverse=True)
    columns = {name: [repr(float(v)) for v in distinct[:, i]] for i, name in enumerate(present)}
    return columns, group.reshape(-1)


def _coefficients(table: RelionTable, source: dict[str, list[str]], name: str) -> np.ndarray:
    """Return lists such as ``[0.1,0,0.2]``, one for each group, filled up with zeros."""
    number = len(next(iter(source.values())))
    lists: list[Any] = [
        parse_numbers(table.path, name, text.strip("[]").split(",")) if text.strip("[]") else []
        for text in source.get(name, [""] * number)
    ]
    result = np.zeros((number, max(map(len, lists))))
    for row, values in zip(result, lists, strict=True):
        row[: len(values)] = values
    return result


def _tilts(table: RelionTable, source: dict[str, list[str]]) -> np.ndarray:
    """Return the odd coefficients of the groups' beam tilts."""
    number = len(next(iter(source.values())))

    def column(name: str) -> np.ndarray:
        if name not in source:
            return np.zeros(number)
        return parse_numbers(table.path, name, source[name])

    tilt_x, tilt_y = map(column, _TILT)
    if not (tilt_x.any() or tilt_y.any()):
        return np.zeros((number, 0))
    for name in ("rlnSphericalAberration", "rlnVoltage"):
        if name not in source:
            raise ValueError(
                f"{table.path}: expected the column {name} beside the beam tilt, which is missing"
            )
    aberration, voltage = column("rlnSphericalAberration"), column("rlnVoltage")
    return beam_tilt_coefficients(tilt_x, tilt_y, aberration, voltage)


def _add_padded(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    total = np.zeros((len(a), max(a.shape[1], b.shape[1])))
    total[:, : a.shape[1]] += a
    total[:, : b.shape[1]] += b
    return total


def unmodelled_optics(table: RelionTable) -> list[str]:
    """Return the optical parameters that the file sets and nothing here uses."""
    found = []
    for name, neutral in _MAGNIFICATION.items():
        values = table.numbers(name)
        if values is not None and (values != neutral).any():
            found.append(name)
    if not table.is_version_3_0:  # RELION reads these from its optics table only
        found += _of_particles_only(table)
    curves = (
        {table.optics["rlnMtfFileName"][row] for row in table.group_row[table.rows]}
        if ("rlnMtfFileName" in table.optics)
        else set()
    )
    if len(curves) > 1:  # one curve for all only changes the weights of the map's shells
        found.append("rlnMtfFileName")
    return found


def _of_particles_only(table: RelionTable) -> list[str]:
    own = dataclasses.replace(table, optics={})
    found = []
    for name in _TILT:
        if name in table.particles and name not in table.optics:
            values = own.numbers(name)
            found += [f"{name} of the particles"] if values is not None and values.any() else []
    return found
