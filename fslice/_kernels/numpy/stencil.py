"""The stencil of a Gram matrix in plain array code: the definition."""

from __future__ import annotations

import numpy as np

from fslice._kernels import splines
from fslice._kernels.interface import Lattice, add_friedel_mates, band
from fslice._kernels.numpy.slices import _blocks, _pair_weights, _taps
from fslice._kernels.stencil import OFFSETS, corner_pairs


def new_gram(lattice: Lattice, dtype) -> np.ndarray:
    """Return the empty sum that `add_gram` adds to: here the stencil itself."""
    return np.zeros((len(OFFSETS), *lattice.volume_shape), dtype)


def add_gram(total, weights, rotations, lattice):
    """Add the products of every sample's interpolation weights, in place.

    `weights` holds one (rows, columns//2 + 1) image of weights for each rotation, or one for all.
    """
    nz, ny, nh = lattice.volume_shape
    flat = total.reshape(len(OFFSETS), -1)
    inside, halves = band(lattice), _pair_weights(lattice) / 2
    still = np.zeros((len(rotations), 2))
    for block in _blocks(rotations, still, 1.0, lattice, total.dtype):
        chosen = weights[block.images] if len(weights) > 1 else weights
        values = chosen[:, inside].astype(total.dtype) * halves
        (x, wx), (y, wy), (z, wz) = (
            _taps(block, lattice, axis, size, splines.WEIGHTS)
            for axis, size in enumerate((lattice.nx, ny, nz))
        )
        for number, (a, b, c), (d, e, f) in corner_pairs():
            if max(b, e) == len(y) or max(c, f) == len(z):
                continue  # an axis of a single frequency has a single tap
            index = (z[c] % nz * ny + y[b] % ny) * nh + x[a]
            products = wx[a] * wx[d] * wy[b] * wy[e] * wz[c] * wz[f]
            np.add.at(flat[number], index.ravel(), (values * products).ravel())


def stencil_of(total, lattice):
    """Return the stencil of all that was added."""
    return total


def apply_stencil(stencil, volume):
    """Return ``A v`` for the half spectrum v of a real volume."""
    result = stencil[0] * volume
    for coefficients, (x, y, z) in zip(stencil[1:], OFFSETS[1:], strict=True):
        here = slice(None, -1) if x else slice(None)
        there = slice(1, None) if x else slice(None)
        own = coefficients[..., here]
        result[..., here] += own * np.roll(volume, (-z, -y), (0, 1))[..., there]
        result[..., there] += np.roll(own * volume[..., here], (z, y), (0, 1))
    return add_friedel_mates(result)
