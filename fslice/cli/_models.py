"""What ``fslice simulate`` projects: the phantom, atoms, or a map."""

from __future__ import annotations

import argparse
import math
from pathlib import Path

import numpy as np

from fslice.io import read_atoms, read_volume
from fslice.simulation.gaussians import GaussianModel
from fslice.simulation.models import SCATTERING, model_from_atoms, volume_from_map
from fslice.simulation.phantom import phantom

_ATOMS = (".pdb", ".ent", ".cif", ".mmcif")
_MAPS = (".mrc", ".map")
_COMPRESSED = (".gz", ".bz2")

SIZE, PIXEL_SIZE = 128, 2.8


def read_model(arguments: argparse.Namespace) -> tuple[int, float, GaussianModel | np.ndarray]:
    """Return the box, the pixel size, and what to project."""
    size, pixel_size = arguments.size or SIZE, arguments.pixel_size or PIXEL_SIZE
    kind = _kind(arguments.model)
    if kind != "atoms" and arguments.scattering is not None:
        raise ValueError(f"--scattering: expected atoms, got {arguments.model}")
    if kind == "map":
        return _read_map(arguments)
    if arguments.map_pixel_size is not None:
        raise ValueError(f"--map-pixel-size: expected a map, got {arguments.model}")
    if kind == "phantom":
        return size, pixel_size, phantom(size, pixel_size)
    scattering = arguments.scattering or SCATTERING[0]
    return size, pixel_size, model_from_atoms(read_atoms(arguments.model), scattering=scattering)


def _kind(model: str) -> str:
    if model == "phantom":
        return model
    suffixes = [suffix.lower() for suffix in Path(model).suffixes]
    if suffixes and suffixes[-1] in _COMPRESSED:
        suffixes.pop()
    for kind, known in (("atoms", _ATOMS), ("map", _MAPS)):
        if suffixes and suffixes[-1] in known:
            return kind
    raise ValueError(
        f"MODEL: expected 'phantom' or a file ending in {', '.join(_ATOMS + _MAPS)}, "
        f"also compressed, got {model!r}"
    )


def _read_map(arguments: argparse.Namespace) -> tuple[int, float, np.ndarray]:
    volume, own = read_volume(arguments.model)
    if math.isnan(own):
        if arguments.map_pixel_size is None:
            raise ValueError(
                f"{arguments.model}: expected a pixel size in the header, got none; "
                f"give --map-pixel-size"
            )
        own = arguments.map_pixel_size
    elif arguments.map_pixel_size is not None:
        raise ValueError(
            f"--map-pixel-size: expected none, since {arguments.model} says {own:g} Angstrom, "
            f"got {arguments.map_pixel_size:g}"
        )
    size, pixel_size = arguments.size or len(volume), arguments.pixel_size or own
    return size, pixel_size, volume_from_map(volume, own, size, pixel_size)
