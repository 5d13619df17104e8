"""Optical parameters of a file: checked to be those of a microscope, then made a CTF."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from fslice.operators.ctf import CTF


class _Range(NamedTuple):
    low: float
    high: float
    unit: str


# What no microscope is beyond. A value outside is in another unit, or damaged.
_RANGES = {
    "voltage": _Range(20, 3000, "kV"),
    "spherical_aberration": _Range(-50, 50, "mm"),
    "amplitude_contrast": _Range(0, 1, "(a fraction)"),
    "defocus_u": _Range(-1e6, 1e6, "Angstrom"),
    "defocus_v": _Range(-1e6, 1e6, "Angstrom"),
    "astigmatism_angle": _Range(-720, 720, "degrees"),
    "phase_shift": _Range(-360, 360, "degrees"),
    "b_factor": _Range(-1e5, 1e5, "square Angstrom"),
    "scale": _Range(-1e6, 1e6, "(a factor)"),
}
_MICROMETRES = 100.0
"""In Angstrom: a defocus below it is rather one in micrometres."""


def make_ctf(
    path: Path,
    parameters: Mapping[str, Any],
    names: Mapping[str, str],
    pixel_size: float,
    warnings: list[str],
) -> CTF:
    """Make the CTF of parameters in this library's units.

    Parameters
    ----------
    parameters : mapping
        Arrays or numbers, by the name of the field of `CTF`.
    names : mapping
        What the file calls them, for errors.
    warnings : list of str
        Gets a line for every value that is possible but strange.
    """
    values = {name: np.atleast_1d(value) for name, value in parameters.items()}
    for name, (low, high, unit) in _RANGES.items():
        value = values.get(name)
        if value is None:
            continue
        bad = ~((value >= low) & (value <= high))
        if bad.any():
            got = value[bad].flat[0]
            raise ValueError(
                f"{path}: {names[name]}: expected {low:g} to {high:g} {unit}, got {got:g}"
            )
    _check_not_zero(path, values)
    _warn_of_strange(values, names, warnings)
    try:
        return CTF(pixel_size=pixel_size, **parameters)
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from error


def _check_not_zero(path: Path, values: Mapping[str, np.ndarray]) -> None:
    """Raise as RELION does (``CTF::initialise``) if a CTF is zero at every frequency."""
    names = "defocus_u", "defocus_v", "amplitude_contrast", "spherical_aberration", "phase_shift"
    zero = np.logical_and.reduce(np.broadcast_arrays(*(abs(values[name]) < 1e-6 for name in names)))
    if zero.any():
        raise ValueError(
            f"{path}: expected a CTF, got one that is zero everywhere in row "
            f"{int(zero.argmax()) + 1}: defocus, spherical aberration and amplitude contrast are 0"
        )


def _warn_of_strange(
    values: Mapping[str, np.ndarray], names: Mapping[str, str], warnings: list[str]
) -> None:
    defocus, column = values["defocus_u"], names["defocus_u"]
    if 0 < abs(defocus).max() < _MICROMETRES:
        warnings.append(f"{column}: at most {abs(defocus).max():g} Angstrom; is it in micrometres?")
    negative = int((defocus < 0).sum())
    if negative:
        warnings.append(f"{column}: {negative} images are overfocused (negative)")
    for name in ("scale",):
        below = int((values[name] <= 0).sum())
        if below:
            warnings.append(f"{names[name]}: {below} images have a contrast of zero or below")
