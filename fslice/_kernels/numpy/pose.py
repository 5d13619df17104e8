"""Products of the residual and its derivatives in the pose, in plain array code: the definition.

Per image, the columns of the residual ``r = y^ - y`` and of its derivatives in the five
coordinates of the pose are multiplied with one another: the last diagonal entry is the squared
residual, the rest of the last column the gradient of its half, and the rest the Gauss-Newton
matrix.
"""

from __future__ import annotations

import numpy as np

from fslice._kernels.interface import band
from fslice._kernels.numpy.slices import _blocks, _frequencies, _pair_weights, _read_slopes


def pose_gram(volume, images, rotations, shifts, ctf, precision, amplitude, lattice):
    """Return the (n, 6, 6) products ``sum(m * precision * Re(conj(a) * b))``.

    The columns are the derivatives of the slice in w of ``R @ exp([w]x)`` and in the shift (x,
    y), then the residual.
    """
    flat, inside = volume.ravel(), band(lattice)
    gram = np.zeros((len(rotations), 6, 6))
    pairs = _pair_weights(lattice) * precision[inside]
    kx, ky = _frequencies(lattice)
    turns = [-2j * np.pi * kx / lattice.columns, -2j * np.pi * ky / lattice.rows]
    for block in _blocks(rotations, shifts, amplitude, lattice, volume.dtype):
        own = block.images
        factor = block.phase if ctf is None else block.phase * ctf[own, inside]
        value, *slopes = _read_slopes(flat, block, lattice)
        along = [
            lattice.scale * factor * sum(rotations[own, axis, column, None] * slopes[axis]
                                         for axis in range(3))
            for column in range(3)
        ]  # fmt: skip
        # a turn by w moves the sample at k by w x k, along the axes of the image
        columns = np.stack([
            ky * along[2], -kx * along[2], kx * along[1] - ky * along[0],
            *(turn * factor * value for turn in turns), value * factor - images[own, inside],
        ])  # fmt: skip
        columns = columns.astype(np.complex128)
        gram[own] = np.einsum("anp,bnp->nab", columns.conj() * pairs, columns).real
    return gram
