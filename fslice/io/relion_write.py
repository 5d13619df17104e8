"""Particles as a STAR file that RELION 3.1 and later open."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from fslice._arrays import Array, to_numpy
from fslice.geometry import matrix_to_euler
from fslice.io.particles import Particles
from fslice.io.stack import ImageStack
from fslice.io.star import write_star
from fslice.operators.aberrations import Aberrations

# RELION refuses an optics table without these, although nothing reads them where the
# particles have no defocus.
_WITHOUT_CTF = {"rlnVoltage": 300.0, "rlnSphericalAberration": 2.7, "rlnAmplitudeContrast": 0.1}


def write_particles(
    path: str | os.PathLike[str],
    particles: Particles,
    image_name: str | None = None,
    *,
    columns: Mapping[str, Array] | None = None,
    relative_to: str | os.PathLike[str] | None = None,
) -> None:
    """Write particles as a STAR file of RELION 3.1: an optics table and a particle table.

    The images themselves are not written: `StackWriter` does that.

    Parameters
    ----------
    path : path
    particles : Particles
        What is None in it is left out; without a CTF the optics table holds RELION's
        obligatory voltage, aberration and contrast at 300 kV, 2.7 mm and 0.1.
    image_name : str, optional
        Name, relative to the STAR file, of the stack that holds the images in this order. By
        default the files are named that the images of an `ImageStack` are in.
    columns : mapping of str to (n,) array, optional
        Further columns of the particles, such as ``rlnMaxValueProbDistribution``.
    relative_to : path, optional
        Folder that the names of files are relative to. Default: that of `path`.

    Raises
    ------
    ValueError
        `image_name` is missing where the images are not in files, or where the files hold
        them with the opposite sign.
    OSError
        The file cannot be written; then nothing is left behind.

    Notes
    -----
    Angles are in degrees, origins in Angstrom, all with every digit, so that
    `read_particles` gives back the same poses, shifts and CTF up to rounding. Optics
    groups are numbered from 1 anew; images of one group that differ in their voltage,
    aberrations, contrast or pixel size get groups of their own. Beam tilt is written as what
    it is to RELION, odd Zernike coefficients.

    Examples
    --------
    >>> import tempfile
    >>> path = os.path.join(tempfile.mkdtemp(), "particles.star")
    >>> particles = Particles(rotations=np.eye(3)[None], shifts=np.ones((1, 2)), pixel_size=1.5)
    >>> write_particles(path, particles, "particles.mrcs")
    >>> print(Path(path).read_text().split()[-7:])
    ['000001@particles.mrcs', '1', '0.0', '0.0', '0.0', '-1.5', '-1.5']
    """
    if particles.contrast is not None:
        raise ValueError(
            "particles: expected no contrast, for which a STAR file has a column with a CTF only, "
            "got one"
        )
    folder = Path(path).parent if relative_to is None else Path(relative_to)
    names = _image_names(folder, particles, image_name)
    optics, group = _optics(particles)
    table: dict[str, Any] = {"rlnImageName": names, "rlnOpticsGroup": group}
    if particles.rotations is not None:
        angles = matrix_to_euler(to_numpy(particles.rotations).astype(np.float64))
        table["rlnAngleRot"], table["rlnAngleTilt"], table["rlnAnglePsi"] = angles.T
    if particles.shifts is not None:
        pixel_size = (
            particles.pixel_size if particles.ctf is None else _ctf(particles, "pixel_size")
        )
        origins = 0.0 - (to_numpy(particles.shifts).astype(np.float64).T * pixel_size)
        table["rlnOriginXAngst"], table["rlnOriginYAngst"] = origins
    if particles.ctf is not None:
        for column, name in _CTF_COLUMNS.items():
            table[column] = _ctf(particles, name)
    if particles.half_set is not None:
        table["rlnRandomSubset"] = to_numpy(particles.half_set)
    table |= {name: to_numpy(values) for name, values in (columns or {}).items()}
    tables = {"optics": optics, "particles": table}
    lists = {
        name: {column: _plain(values) for column, values in columns.items()}
        for name, columns in tables.items()
    }
    write_star(path, lists)


_CTF_COLUMNS = {
    "rlnDefocusU": "defocus_u",
    "rlnDefocusV": "defocus_v",
    "rlnDefocusAngle": "astigmatism_angle",
    "rlnPhaseShift": "phase_shift",
    "rlnCtfBfactor": "b_factor",
    "rlnCtfScalefactor": "scale",
}


def _ctf(particles: Particles, name: str) -> np.ndarray:
    return to_numpy(getattr(particles.ctf, name))


def _plain(values: Any) -> list[Any]:
    return values.tolist() if isinstance(values, np.ndarray) else list(values)


def _image_names(folder: Path, particles: Particles, image_name: str | None) -> list[str]:
    if image_name is not None:
        return [f"{number:06d}@{image_name}" for number in range(1, len(particles) + 1)]
    images = particles.images
    if not isinstance(images, ImageStack):
        raise ValueError("image_name: expected the name of the stack with the images, got None")
    if reason := why_unnamed(images):
        raise ValueError(
            "image_name: expected the name of a stack with the images as they are read, since "
            f"{reason}, got None"
        )
    home = os.path.abspath(folder)
    files = [os.path.relpath(os.path.abspath(layout.path), home) for layout in images.files]
    pairs = zip(images.image_index, images.file_index, strict=True)
    return [f"{position + 1:06d}@{Path(files[file]).as_posix()}" for position, file in pairs]


def why_unnamed(images: ImageStack) -> str | None:
    """Return why a STAR file cannot name the files of images, None where it can."""
    if images.signs is not None and (images.signs != 1).any():
        return "their files hold them with the opposite sign"
    if images.grid is not None:
        return "their files hold them in other boxes or pixel sizes"
    return None


def _optics(particles: Particles) -> tuple[dict[str, Any], np.ndarray]:
    """Return the optics table, a row for each distinct setting, and every particle's row + 1."""
    number = len(particles)
    given = particles.optics_group
    settings = {"group": np.ones(number) if given is None else to_numpy(given)}
    if particles.ctf is None:
        settings |= {name: np.full(number, value) for name, value in _WITHOUT_CTF.items()}
        settings["rlnImagePixelSize"] = np.full(number, particles.pixel_size)
    else:
        settings["rlnVoltage"] = _ctf(particles, "voltage")
        settings["rlnSphericalAberration"] = _ctf(particles, "spherical_aberration")
        settings["rlnAmplitudeContrast"] = _ctf(particles, "amplitude_contrast")
        settings["rlnImagePixelSize"] = _ctf(particles, "pixel_size")
    aberrations = particles.aberrations
    settings["aberrations"] = np.zeros(number) if aberrations is None else aberrations.group
    rows, group = np.unique(np.stack(list(settings.values()), 1), axis=0, return_inverse=True)
    groups = np.arange(1, len(rows) + 1)
    optics: dict[str, Any] = {
        "rlnOpticsGroup": groups,
        "rlnOpticsGroupName": [f"opticsGroup{number}" for number in groups],
    }
    optics |= dict(zip(list(settings)[1:-1], rows.T[1:-1], strict=True))
    optics |= {name: np.ones(len(rows), int) for name in _flags(particles)}
    if aberrations is not None:
        optics |= _zernike_columns(aberrations, rows[:, -1].astype(int))
    if particles.size is not None:
        optics["rlnImageSize"] = np.full(len(rows), particles.size)
        optics["rlnImageDimensionality"] = np.full(len(rows), 2)
    return optics, group.reshape(-1) + 1


def _flags(particles: Particles) -> list[str]:
    flags = {
        "rlnCtfDataArePhaseFlipped": particles.phase_flipped,
        "rlnCtfDataAreCtfPremultiplied": particles.premultiplied,
    }
    return [name for name, true in flags.items() if true]


def _zernike_columns(aberrations: Aberrations, rows: np.ndarray) -> dict[str, list[str]]:
    tables = {"rlnOddZernike": aberrations.odd, "rlnEvenZernike": aberrations.even}
    return {
        name: [f"[{','.join(map(repr, row.tolist()))}]" for row in to_numpy(table)[rows]]
        for name, table in tables.items()
        if table.any()
    }
