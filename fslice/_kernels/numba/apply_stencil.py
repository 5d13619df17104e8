"""The product of a stencil with a half spectrum, compiled.

It is what conjugate gradients spend their time on. A row of the result is a sum over the nine rows
around it, of three products each: done together, and with real and imaginary parts apart, they are
vector instructions that read every coefficient twice and store the row nine times, where one loop
for each of the 27 neighbours took 2.1 times as long.
"""

from __future__ import annotations

import numpy as np

from fslice._kernels.interface import add_friedel_mates
from fslice._kernels.numba.buffer import inlined, kernel
from fslice._kernels.numba.threads import divided
from fslice._kernels.stencil import OFFSETS

_NUMBER = {tuple(offset): number for number, offset in enumerate(OFFSETS)}
_ROWS = tuple(
    (
        dy, dz, _NUMBER[1, dy, dz], _NUMBER[1, -dy, -dz],
        _NUMBER.get((0, dy, dz), _NUMBER.get((0, -dy, -dz))), (0, dy, dz) in _NUMBER,
    )
    for dz in (-1, 0, 1)
    for dy in (-1, 0, 1)
)  # fmt: skip
"""Of each row around: where it is; the coefficients of its item ahead, which are stored here, and
of that behind, stored there; those of the item between, and whether they are stored here."""


def apply_stencil(kernels, stencil, volume):
    """Return ``A v`` for the half spectrum v of a real volume."""
    stencil, volume = np.ascontiguousarray(stencil), np.ascontiguousarray(volume)
    result, threads = np.empty_like(volume), kernels.thread_count()

    def run(low: int, high: int) -> None:
        _apply(stencil, volume, result, low, high)

    kernels.helpers.share(run, divided(len(volume), threads), threads)
    return add_friedel_mates(result)


@kernel
def _apply(stencil, volume, result, low, high):
    _, nz, ny, nh = stencil.shape
    # planes of the volume, those below, at and above z, and a row of the result
    re, im = np.empty((3, ny, nh + 2), stencil.dtype), np.empty((3, ny, nh + 2), stencil.dtype)
    real, imaginary = np.empty(nh, stencil.dtype), np.empty(nh, stencil.dtype)
    for z in (low - 1, low):
        _split(volume[z % nz], re[z % 3], im[z % 3])
    for z in range(low, high):
        _split(volume[(z + 1) % nz], re[(z + 1) % 3], im[(z + 1) % 3])
        for y in range(ny):
            reach = _nonzero(stencil[0, z, y])
            real[:reach] = 0
            imaginary[:reach] = 0
            if reach > 0:
                for dy, dz, ahead, behind, level, here in _ROWS:
                    plane, there_z, there_y = (z + dz) % 3, (z + dz) % nz, (y + dy) % ny
                    _add_row(
                        real, imaginary, re[plane, there_y], im[plane, there_y], reach,
                        stencil[ahead, z, y], stencil[behind, there_z, there_y],
                        stencil[level, z, y] if here else stencil[level, there_z, there_y],
                    )  # fmt: skip
            for x in range(reach):
                result[z, y, x] = complex(real[x], imaginary[x])
            result[z, y, reach:] = 0


@inlined
def _split(plane, re, im):
    """Copy a plane's real and imaginary parts, with a zero before and after each row."""
    ny, nh = plane.shape
    for part in (re, im):
        part[:, 0] = 0
        part[:, nh + 1] = 0
    for y in range(ny):
        for x in range(nh):
            re[y, x + 1] = plane[y, x].real
            im[y, x + 1] = plane[y, x].imag


@inlined
def _add_row(real, imaginary, re, im, reach, ahead, behind, level):
    """Add the products with the three neighbours in one row; the first has none behind it."""
    real[0] += level[0] * re[1] + ahead[0] * re[2]
    imaginary[0] += level[0] * im[1] + ahead[0] * im[2]
    for x in range(1, reach):
        real[x] += level[x] * re[x + 1] + ahead[x] * re[x + 2] + behind[x - 1] * re[x]
        imaginary[x] += level[x] * im[x + 1] + ahead[x] * im[x + 2] + behind[x - 1] * im[x]


@inlined
def _nonzero(diagonal):
    """Return up to where a row of the matrix has entries: half of a cube lies outside the band.

    Products of weights add up to an entry, so that there is none where their squares add to zero.
    """
    reach = len(diagonal)
    while reach > 0 and diagonal[reach - 1] == 0:
        reach -= 1
    return reach
