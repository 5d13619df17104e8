"""What ``fslice simulate`` projects: the phantom, atoms, or a map."""

from __future__ import annotations

import argparse
import math
from pathlib import Path

import numpy as np

from fslice.cli._reading import atom_options
from fslice.io import read_atoms, read_volume
from fslice.simulation.atoms import SCATTERING
from fslice.simulation.gaussians import GaussianModel
from fslice.simulation.models import resample_map
from fslice.simulation.phantoms import phantom

_ATOMS = (".pdb", ".ent", ".cif", ".mmcif", ".pdb1")
_MAPS = (".mrc", ".map", ".ccp4", ".rec")
_COMPRESSED = (".gz", ".bz2")

SIZE, PIXEL_SIZE = 128, 2.8


def read_model(arguments: argparse.Namespace) -> tuple[int, float, GaussianModel | np.ndarray]:
    """Return the box, the pixel size, and what to project."""
    size, pixel_size = arguments.size or SIZE, arguments.pixel_size or PIXEL_SIZE
    kind = _kind(arguments.model)
    given = atom_options(arguments)
    if given and kind != "atoms":
        raise ValueError(f"--{next(iter(given))}: expected atoms, got {arguments.model}")
    if kind != "atoms" and arguments.scattering is not None:
        raise ValueError(f"--scattering: expected atoms, got {arguments.model}")
    if kind == "map":
        return _read_map(arguments)
    if arguments.map_pixel_size is not None:
        raise ValueError(f"--map-pixel-size: expected a map, got {arguments.model}")
    if kind == "phantom":
        return size, pixel_size, phantom(size, pixel_size)
    scattering = arguments.scattering or SCATTERING[0]
    atoms = read_atoms(arguments.model, **given)
    return size, pixel_size, GaussianModel.from_atoms(atoms, scattering=scattering)


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
    return size, pixel_size, resample_map(volume, own, size, pixel_size)
