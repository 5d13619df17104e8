"""Records that are passed to CUDA or kept on the device, laid out as in the ``.cuh`` files."""

from __future__ import annotations

import functools

import numpy as np

from fslice._kernels.interface import SliceGeometry

GEOMETRY = np.dtype(
    [(name, "i4") for name in ("nz", "ny", "nx", "rows", "columns", "unused")]
    + [(name, "f8") for name in ("scale", "radius2", "per_column", "per_row")],
    align=True,
)
"""``Geometry``: a `SliceGeometry` without its taps."""

VIEW_DOUBLES = 18
"""The size of a ``View``, in doubles."""


@functools.lru_cache(256)
def geometry_struct(geometry: SliceGeometry) -> np.ndarray:
    """Return a geometry as CUDA takes it, an array of one record.

    Examples
    --------
    >>> from fslice._kernels.interface import LINEAR
    >>> struct = geometry_struct(SliceGeometry(8, 8, 8, 4, 4, 2.0, 1.0, LINEAR))
    >>> struct.nbytes, struct["per_row"][0]
    (56, np.float64(0.25))
    """
    g = geometry
    sides = g.nz, g.ny, g.nx, g.rows, g.columns, 0
    return np.array([(*sides, g.scale, g.max_radius**2, 1 / g.columns, 1 / g.rows)], GEOMETRY)
