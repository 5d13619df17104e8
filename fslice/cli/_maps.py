"""Maps that have to fit together, and what their comparison says."""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from fslice.io import read_volume
from fslice.io.mrc import check_mask

_TOLERANCE = 1e-3
"""Relative; headers hold the edge of the box in single precision, often rounded."""


def read_maps(
    paths: Mapping[str, Path | None], pixel_size: float | None = None, size: int | None = None
) -> tuple[dict[str, np.ndarray], float]:
    """Read maps that must agree in box and pixel size.

    Parameters
    ----------
    paths : mapping
        What the user calls a map, to its file; None is passed over.
    pixel_size : float, optional
        In Angstrom; maps whose header does not say are taken to have it.
    size : int, optional
        The box to agree with; by default that of the first map.

    Returns
    -------
    maps : dict
    pixel_size : float

    Raises
    ------
    ValueError
        Boxes or pixel sizes differ, no pixel size is known, or a mask is not one.
    """
    maps: dict[str, np.ndarray] = {}
    for name, path in paths.items():
        if path is None:
            continue
        maps[name], own = read_volume(path)
        size = len(maps[name]) if size is None else size
        if len(maps[name]) != size:
            raise ValueError(f"{path}: expected a box of {size} voxels, got {len(maps[name])}")
        if name in ("--mask", "--support"):
            check_mask(str(path), maps[name])
        if math.isnan(own):
            continue
        pixel_size = own if pixel_size is None else pixel_size
        if abs(own / pixel_size - 1) > _TOLERANCE:
            raise ValueError(
                f"{path}: expected a pixel size of {pixel_size:g} Angstrom, got {own:g}"
            )
    if pixel_size is None:
        names = ", ".join(str(path) for path in paths.values() if path is not None)
        raise ValueError(f"{names}: expected a pixel size in a header, got none; give --pixel-size")
    return maps, pixel_size
