"""Records that are passed to CUDA or kept on the device, laid out as in the ``.cuh`` files."""

from __future__ import annotations

import functools

import numpy as np

from fslice._kernels.interface import SliceGeometry

GEOMETRY = np.dtype(
    [(name, "i4") for name in ("nz", "ny", "nx", "rows", "columns", "most")]
    + [(name, "u4") for name in ("inverse", "unused")]
    + [(name, "f8") for name in ("scale", "per_column", "per_row")],
    align=True,
)
"""``Geometry``: a `SliceGeometry` without its taps."""

LARGEST = 1 << 15
"""The longest side of a slice: its pixels are counted in 32 bits, two frequencies share them."""

VIEW_DOUBLES = 21
"""The size of a ``View`` and its ``Outline``, in doubles."""


@functools.lru_cache(256)
def geometry_struct(geometry: SliceGeometry) -> np.ndarray:
    """Return a geometry as CUDA takes it, an array of one record.

    Raises
    ------
    ValueError
        A side of the slices is too large.

    Examples
    --------
    >>> from fslice._kernels.interface import LINEAR
    >>> struct = geometry_struct(SliceGeometry(8, 8, 8, 4, 4, 2.0, 1.0, LINEAR))
    >>> struct.nbytes, struct["per_row"][0]
    (56, np.float64(0.25))
    """
    g = geometry
    if max(g.rows, g.columns) > LARGEST:
        raise ValueError(f"slices: expected at most {LARGEST} pixels a side, got {geometry}")
    most = int(min(g.max_radius**2, np.iinfo(np.int32).max))
    whole = g.nz, g.ny, g.nx, g.rows, g.columns, most, (2**32 - 1) // (g.columns // 2 + 1), 0
    return np.array([(*whole, g.scale, 1 / g.columns, 1 / g.rows)], GEOMETRY)
