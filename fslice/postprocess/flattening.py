"""Maps whose spectrum is equally strong at all frequencies: a window smears the strong ones."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from fslice._arrays import Array, array_namespace
from fslice._sums import group_sums
from fslice.fourier import (
    frequencies,
    hermitian_weights,
    inverse_transform_about_zero,
    transform_about_zero,
)

_FLOOR = 1e-12
"""Shells of less power, relative to the strongest, are rounding errors."""


def flattened(volumes: Sequence[Array]) -> list[Array]:
    """Divide spectra by their root mean square at the same ``|k|``; the corners become 0.

    Parameters
    ----------
    volumes : sequence of (D, D, D) real array
        Of one box; each is divided by its own.

    Returns
    -------
    list of (D, D, D) real array

    Examples
    --------
    A blurred map, sharpened by its own power, and one that was scaled:

    >>> from fslice.postprocess.filters import apply_b_factor
    >>> volume = np.random.default_rng(0).normal(size=(16, 16, 16))
    >>> flat, blurred, scaled = flattened([volume, apply_b_factor(volume, 1.0, 9.0), 9 * volume])
    >>> np.allclose(flat, scaled), bool(abs(flat - blurred).max() < 0.1 * flat.max())
    (True, True)
    """
    xp, size = array_namespace(*volumes), len(volumes[0])
    spectra, last = [transform_about_zero(volume) for volume in volumes], size // 2
    kx, ky, kz = (xp.rint(k**2).astype(np.int64) for k in frequencies(size, 3, xp))
    plane = (ky + kx)[0]
    weights = xp.broadcast_to(hermitian_weights(size, xp), plane.shape)
    # sums over equal |k|^2, plane by plane: these fit the cache, and the factors need no more
    counts, *powers = xp.zeros((1 + len(spectra), 3 * last**2 + 1))
    for square, *parts in zip(kz, *spectra, strict=True):
        index = (plane + square).ravel()
        counts += group_sums(index, weights.ravel(), len(counts))
        for power, part in zip(powers, parts, strict=True):
            squares = (part.real**2 + part.imag**2) * weights
            power += group_sums(index, squares.ravel(), len(counts))
    factors = [_level_factors(counts, power, last).astype(volumes[0].dtype) for power in powers]
    for square, *parts in zip(kz, *spectra, strict=True):
        index = plane + square
        for part, factor in zip(parts, factors, strict=True):
            part *= factor[index]
    return [inverse_transform_about_zero(volume_ft, size) for volume_ft in spectra]


def _level_factors(counts: Array, power: Array, last: int) -> Array:
    """Return what divides by the root mean square of shells, for each ``|k|^2`` from its sums."""
    xp = array_namespace(counts)
    distance = xp.sqrt(xp.arange(len(counts)))
    shell = xp.minimum(xp.rint(distance), last + 1).astype(np.int64)
    counts, power = (group_sums(shell, sums, last + 2)[:-1] for sums in (counts, power))
    power = power / counts
    known = power > _FLOOR * power.max()
    level = xp.log(xp.where(known, power, xp.inf)) / 2
    level = xp.interp(distance, xp.arange(last + 1), level)
    return xp.where(distance <= last, xp.exp(-level), 0)
