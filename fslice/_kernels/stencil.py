"""The 27-point stencil of a Gram matrix ``A = S^H W S`` of trilinear slices.

A sample is read from the eight corners of its cell, so A couples a frequency to its 26
neighbours only. A is real, because interpolation weights are, and symmetric, so that one
coefficient per pair of neighbours is stored: 14 per frequency.

The samples are mirrored to ``kx >= 0``. With H the sum over them, without their mates, the
whole is ``A = H + mirror(H)``, and on the half spectrum of a real volume ``A v`` is ``H v``
completed by `fslice._kernels.interface.add_friedel_mates`. H never leaves the half that is stored;
its coefficients are what a stencil holds:

    ``stencil[e][k] = H[k, k + OFFSETS[e]]``, with the offsets in (x, y, z).
"""

from __future__ import annotations

import itertools

OFFSETS: tuple[tuple[int, int, int], ...] = (
    *((0, y, z) for z, y in ((0, 0), (0, 1), (1, -1), (1, 0), (1, 1))),
    *((1, y, z) for z, y in itertools.product((-1, 0, 1), repeat=2)),
)
"""One of each pair of opposite neighbours, and the frequency itself first."""

CORNERS = tuple((x, y, z) for x, y, z in itertools.product((0, 1), repeat=3))
"""The corners of a cell, in (x, y, z)."""


def corner_pairs() -> list[tuple[int, tuple[int, int, int], tuple[int, int, int]]]:
    """Return the 36 pairs of corners of a cell: offset number, lower and upper corner.

    Examples
    --------
    >>> pairs = corner_pairs()
    >>> len(pairs), pairs[0], pairs[-1]
    (36, (0, (0, 0, 0), (0, 0, 0)), (13, (0, 0, 0), (1, 1, 1)))
    """
    pairs = []
    for number, offset in enumerate(OFFSETS):
        for first in CORNERS:
            second = (first[0] + offset[0], first[1] + offset[1], first[2] + offset[2])
            if second in CORNERS:
                pairs.append((number, first, second))
    return pairs
