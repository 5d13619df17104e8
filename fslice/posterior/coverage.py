"""How much images say about each frequency of an object inside a mask."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import scipy.fft

from fslice._arrays import Array, array_namespace
from fslice.fourier import crop, inverse_transform, pad, transform
from fslice.posterior.normal import NormalEquations


def coverage(
    normal: NormalEquations, mask: Array, average: Callable[[Array], Array] | None = None
) -> Array:
    """Return the diagonal of ``G^H A G`` for ``G w``, the padded transform of ``mask F^-1 w``.

    Parameters
    ----------
    normal : NormalEquations
        Of A.
    mask : (D, D, D) real array
    average : callable, optional
        The average of a cube over a point group, for symmetric volumes.

    Returns
    -------
    (D, D, D//2 + 1) real array
        Not negative.

    Notes
    -----
    A slice's sample at p sees a wave of frequency k through the mask's transform, with the weight
    ``|m^(p - k)|^2``: the sampling density is smoothed by the mask. In real space that is the
    product of the density's transform, the point spread function, with the autocorrelation of
    the mask. The density comes from the row sums of A, less the spread of the interpolation.
    What lies further than half the padded box is not known of the point spread function, and is
    left out.

    Examples
    --------
    >>> import numpy as np, fslice
    >>> from fslice.posterior.stencil import no_images
    >>> float(coverage(no_images(fslice.Projector(8, 2)), np.ones((8, 8, 8))).max())
    0.0
    """
    projector, xp, ndim = normal.projector, array_namespace(mask), mask.ndim
    size, padded = projector.size, projector.padded_size
    density = inverse_transform(normal.row_sums().astype(normal.b.dtype), ndim, padded)
    if average is not None:
        density = average(density)
    density = density * _autocorrelation(mask.astype(density.dtype), padded)
    for axis in range(ndim):
        x = (xp.arange(padded) - padded // 2) / padded
        spread = (xp.sinc(x) ** len(normal.geometry.taps)).astype(density.dtype)
        density = density / spread.reshape((-1,) + (1,) * axis)
    folded = _fold(density, size)
    values = transform(folded, ndim).real / math.sqrt(float(size * padded)) ** ndim
    return xp.maximum(values, 0)


def _autocorrelation(mask: Array, padded: int) -> Array:
    """Return ``sum_x mask(x) mask(x + u)`` for u in a centred box, computed in a larger one."""
    size, ndim = len(mask), mask.ndim
    room = scipy.fft.next_fast_len(max(size + padded // 2 + 1, padded), real=True)
    mask_ft = transform(pad(mask, room, ndim), ndim)
    power: Any = (mask_ft.real**2 + mask_ft.imag**2).astype(mask_ft.dtype)
    correlation = inverse_transform(power, ndim, room) * float(room ** (ndim / 2))
    return crop(correlation, padded, ndim)


def _fold(array: Array, size: int) -> Array:
    """Sum a centred cube over translations by `size`: its spectrum, at every multiple."""
    xp, count = array_namespace(array), -(-array.shape[0] // size)
    count += 1 - count % 2  # an odd number of boxes, so that the origins meet
    for axis in range(array.ndim):
        before = (count * size) // 2 - array.shape[axis] // 2
        widths = [(0, 0)] * array.ndim
        widths[axis] = (before, count * size - array.shape[axis] - before)
        wide = xp.pad(array, widths)
        shape = (*wide.shape[:axis], count, size, *wide.shape[axis + 1 :])
        array = wide.reshape(shape).sum(axis)
    return array
