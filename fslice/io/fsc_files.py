"""Shell correlations as files: XML in EMDB's form, and a STAR file of RELION's columns."""

from __future__ import annotations

import math
import os
import xml.etree.ElementTree as ElementTree
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from fslice._arrays import check_finite, check_real, check_shape, to_numpy
from fslice.io._files import atomic_write
from fslice.io.star import write_star

_X_AXIS, _Y_AXIS = "Resolution (A-1)", "Correlation Coefficient"

_FIRST_SHELL = 999.0
"""What RELION writes for the length of shell 0, which has none, in Angstrom."""

_COLUMNS = {
    "corrected": "rlnFourierShellCorrelationCorrected",
    "unmasked": "rlnFourierShellCorrelationUnmaskedMaps",
    "masked": "rlnFourierShellCorrelationMaskedMaps",
    "randomized": "rlnCorrectedFourierShellCorrelationPhaseRandomizedMaskedMaps",
}


def write_fsc_xml(
    path: str | os.PathLike[str], frequencies: Any, values: Any, title: str = "FSC"
) -> None:
    """Write a shell correlation as XML in the form that EMDB takes and publishes.

    Parameters
    ----------
    path : path
    frequencies : (n,) real array
        In 1/Angstrom, ascending from at least 0; as from `fslice.shell_frequencies`.
    values : (n,) real array
        From -1 to 1.
    title : str, optional

    Raises
    ------
    ValueError
        A shape or a value is not as above.
    OSError
        The file cannot be written; then nothing is left behind.

    Notes
    -----
    One element ``fsc`` with the attributes ``title``, ``xaxis="Resolution (A-1)"`` and
    ``yaxis="Correlation Coefficient"``, and in it for every shell
    ``<coordinate><x>1/Angstrom</x><y>correlation</y></coordinate>``, as RELION, Bsoft and EMAN
    write it too.

    Examples
    --------
    >>> write_fsc_xml("fsc.xml", np.array([0.0, 0.1]), np.array([1.0, 0.5]))
    >>> read_fsc_xml("fsc.xml")
    (array([0. , 0.1]), array([1. , 0.5]), 'FSC')
    >>> os.remove("fsc.xml")
    """
    frequencies, values = _checked(frequencies, values)
    root = ElementTree.Element("fsc", title=title, xaxis=_X_AXIS, yaxis=_Y_AXIS)
    for frequency, value in zip(frequencies.tolist(), values.tolist(), strict=True):
        coordinate = ElementTree.SubElement(root, "coordinate")
        for name, number in (("x", frequency), ("y", value)):
            # A plain decimal: what the schema calls a float need not have an exponent.
            ElementTree.SubElement(coordinate, name).text = np.format_float_positional(
                number, trim="0"
            )
    ElementTree.indent(root)
    with atomic_write(path) as file:
        file.write(ElementTree.tostring(root, encoding="utf-8", xml_declaration=True) + b"\n")


def read_fsc_xml(path: str | os.PathLike[str]) -> tuple[np.ndarray, np.ndarray, str]:
    """Read a shell correlation from XML in EMDB's form.

    Parameters
    ----------
    path : path

    Returns
    -------
    frequencies, values : (n,) float64 arrays
        In 1/Angstrom, and from -1 to 1.
    title : str

    Raises
    ------
    ValueError
        The file is not of the form that `write_fsc_xml` describes.
    OSError
        The file cannot be read.
    """
    content = Path(path).read_bytes()
    if b"<!DOCTYPE" in content:  # whose entities may grow to any size
        raise ValueError(f"{path}: expected XML without a document type")
    try:
        root = ElementTree.fromstring(content)
    except (ElementTree.ParseError, LookupError, ValueError) as error:  # also of its encoding
        raise ValueError(f"{path}: expected XML, got: {error}") from error
    if root.tag != "fsc":
        raise ValueError(f"{path}: expected an element fsc, got {root.tag}")
    try:
        pairs = [
            [float(coordinate.findtext(name, "")) for name in ("x", "y")]
            for coordinate in root.findall("coordinate")
        ]
    except ValueError as error:
        raise ValueError(f"{path}: expected numbers x and y in every coordinate") from error
    if not pairs:
        raise ValueError(f"{path}: expected at least one coordinate, got none")
    frequencies, values = np.array(pairs).T
    if not np.isfinite(pairs).all():
        raise ValueError(f"{path}: expected finite numbers, got NaN or infinity")
    return frequencies, values, root.get("title", "")


def write_fsc_star(
    path: str | os.PathLike[str],
    frequencies: Any,
    curves: Mapping[str, Any],
    resolution: float,
) -> None:
    """Write shell correlations as a STAR file with the tables of RELION's postprocessing.

    Parameters
    ----------
    path : path
    frequencies : (n,) real array
        In 1/Angstrom, from 0 on in equal steps; as from `fslice.shell_frequencies`.
    curves : mapping of (n,) real arrays
        Some of ``"corrected"``, ``"unmasked"``, ``"masked"`` and ``"randomized"``.
    resolution : float
        In Angstrom, for ``rlnFinalResolution``; infinite is written as RELION's 999.

    Raises
    ------
    ValueError
        A name is none of the four, or a shape or a value is not as above.
    OSError
        The file cannot be written; then nothing is left behind.

    Examples
    --------
    >>> curves = {"corrected": np.array([1.0, 0.5])}
    >>> write_fsc_star("fsc.star", np.array([0.0, 0.1]), curves, 10.0)
    >>> print(Path("fsc.star").read_text().split("loop_")[-1])
    <BLANKLINE>
    _rlnSpectralIndex #1
    _rlnResolution #2
    _rlnAngstromResolution #3
    _rlnFourierShellCorrelationCorrected #4
    0 0.0 999.0 1.0
    1 0.1  10.0 0.5
    <BLANKLINE>
    <BLANKLINE>
    >>> os.remove("fsc.star")
    """
    unknown = sorted(set(curves) - set(_COLUMNS))
    if unknown or not curves:
        expected, got = ", ".join(_COLUMNS), ", ".join(unknown) or "none"
        raise ValueError(f"curves: expected some of {expected}, got {got}")
    if not resolution > 0:
        raise ValueError(f"resolution: expected Angstrom above 0, got {resolution}")
    checked = {name: _checked(frequencies, values) for name, values in curves.items()}
    shells = next(iter(checked.values()))[0].tolist()
    table: dict[str, list[Any]] = {
        "rlnSpectralIndex": list(range(len(shells))),
        "rlnResolution": shells,
        "rlnAngstromResolution": [1 / shell if shell else _FIRST_SHELL for shell in shells],
    }
    for name, column in _COLUMNS.items():
        if name in checked:
            table[column] = checked[name][1].tolist()
    final = float(resolution) if math.isfinite(resolution) else _FIRST_SHELL
    write_star(path, {"general": {"rlnFinalResolution": [final]}, "fsc": table})


def _checked(frequencies: Any, values: Any) -> tuple[np.ndarray, np.ndarray]:
    for name, array in (("frequencies", frequencies), ("values", values)):
        check_real(name, array)
        check_shape(name, array, ("n",))
        check_finite(name, array)
    check_shape("values", values, frequencies.shape)
    frequencies, values = to_numpy(frequencies), to_numpy(values)
    if frequencies[0] < 0 or not (np.diff(frequencies) > 0).all():
        raise ValueError("frequencies: expected ascending values from at least 0")
    if abs(values).max() > 1:
        raise ValueError(f"values: expected -1 to 1, got up to {abs(values).max():g}")
    return frequencies, values
