"""The stencil of a Gram matrix in plain array code: the definition."""

from __future__ import annotations

import numpy as np

from fslice._kernels import splines
from fslice._kernels.filters import ctf_of, weights_of
from fslice._kernels.interface import SliceGeometry, add_friedel_mates, band
from fslice._kernels.numpy.slices import _blocks, _shares, _taps
from fslice._kernels.stencil import OFFSETS, corner_pairs


def new_gram(geometry: SliceGeometry, dtype) -> np.ndarray:
    """Return the empty sum that `add_gram` adds to: here the stencil itself."""
    return np.zeros((len(OFFSETS), *geometry.volume_shape), dtype)


def add_gram(total, views, filters, geometry):
    """Add the weighted products of every sample's interpolation weights, in place."""
    nz, ny, nh = geometry.volume_shape
    flat, inside = total.reshape(len(OFFSETS), -1), band(geometry)
    for block in _blocks(views, 1.0, geometry, total.dtype):
        values = _sample_weights(views, filters, block.views, geometry, total.dtype)[:, inside]
        values = (values * _shares(views, block, geometry)).astype(total.dtype)
        (x, wx), (y, wy), (z, wz) = (
            _taps(block, geometry, axis, size, splines.WEIGHTS)
            for axis, size in enumerate((geometry.nx, ny, nz))
        )
        for number, (a, b, c), (d, e, f) in corner_pairs():
            if max(b, e) == len(y) or max(c, f) == len(z):
                continue  # an axis of a single frequency has a single tap
            index = (z[c] % nz * ny + y[b] % ny) * nh + x[a]
            products = wx[a] * wx[d] * wy[b] * wy[e] * wz[c] * wz[f]
            np.add.at(flat[number], index.ravel(), (values * products).ravel())


def _sample_weights(views, filters, part, geometry, dtype):
    """Return ``weights * ctf**2`` of some views."""
    weights = weights_of(filters, views, part) * np.ones((1, *geometry.slice_shape), dtype)
    ctf = ctf_of(filters, views, part, geometry, dtype)
    return weights if ctf is None else weights * ctf**2


def stencil_of(total, geometry):
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
