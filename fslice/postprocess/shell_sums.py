"""Sums over the shells of spectra that are transformed a few planes at a time."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import numpy as np

from fslice._arrays import Array, array_namespace
from fslice._sums import group_sums
from fslice.fourier import (
    axis_transform,
    frequencies,
    full_axis_transform,
    hermitian_weights,
    inverse_axis_transform,
)

_VALUES = 1 << 17
"""Of a spectrum that are summed together: they fit the cache."""


def bounding_box(mask: Array) -> tuple[slice, ...]:
    """Return the smallest box that holds all of a mask that is not 0; of no mask one voxel.

    Examples
    --------
    >>> mask = np.zeros((8, 8, 8))
    >>> mask[2:4, 3, 5:] = 0.5
    >>> bounding_box(mask)
    (slice(2, 4, None), slice(3, 4, None), slice(5, 8, None))
    """
    xp, sides = array_namespace(mask), []
    for axis in range(3):
        held = mask.any(tuple({0, 1, 2} - {axis}))
        inside = xp.flatnonzero(held)
        ends = (int(inside[0]), int(inside[-1]) + 1) if len(inside) else (0, 1)
        sides.append(slice(*ends))
    return tuple(sides)


def shell_products(one: Array, two: Array, size: int) -> tuple[Array, Array, Array]:
    """Sum the products of the spectra of two boxes over shells, as if zeros surrounded both.

    Parameters
    ----------
    one, two : (c, d, e) real array
        Cut from the same place of two volumes that are 0 elsewhere.
    size : int
        Box D of these volumes, at least c, d and e.

    Returns
    -------
    overlap, one_power, two_power : (D//2 + 1,) float64 arrays
        ``sum_S Re(A conj(B))``, ``sum_S |A|^2`` and ``sum_S |B|^2`` over the shells of the full
        spectrum, not scaled.

    Notes
    -----
    Transforms of zeros are left out, and so is the place of the box, which multiplies both
    spectra by the same phases.

    Examples
    --------
    >>> from fslice.metrics import fsc
    >>> one, two = np.zeros((2, 8, 8, 8))
    >>> box = np.s_[2:7, 3:5, 1:4]
    >>> one[box], two[box] = np.random.default_rng(0).normal(size=(2, 5, 2, 3))
    >>> overlap, *powers = shell_products(one[box], two[box], 8)
    >>> np.allclose(overlap / np.sqrt(powers[0] * powers[1]), fsc(one, two))
    True
    """
    overlap, one_power, two_power = sum_over_shells([one, two], size, products)
    return overlap, one_power, two_power


def products(one: Array, two: Array) -> list[Array]:
    """Return ``Re(A conj(B))``, ``|A|^2`` and ``|B|^2`` of two spectra."""
    return [
        one.real * two.real + one.imag * two.imag,
        one.real**2 + one.imag**2,
        two.real**2 + two.imag**2,
    ]


def sum_over_shells(
    boxes: Sequence[Array], size: int, values: Callable[..., Sequence[Array]]
) -> list[Array]:
    """Sum what a function makes of the spectra of boxes over shells, as if zeros surrounded them.

    Parameters
    ----------
    boxes : sequence of (c, d, e) real array
    size : int
        Box D of the volumes that they were cut from.
    values : callable
        Takes a part of each spectrum, and returns real arrays of its shape.

    Returns
    -------
    list of (D//2 + 1,) float64 array
        One for each array of `values`.
    """
    halfway = [_planes(box, size) for box in boxes]
    return _sums(
        halfway, size, lambda part: values(*(full_axis_transform(box, 0, size) for box in part))
    )


def box_spectrum(box: Array, size: int) -> Array:
    """Return the half spectrum that `sum_over_shells` sums: of a box (c, d, e), or a whole volume.

    Of a volume (D, D, D) it is that of `fslice.fourier.transform_about_zero`, to rounding.
    """
    return full_axis_transform(_planes(box, size), 0, size)


def sums_of_even(halves: Sequence[Array], size: int) -> list[Array]:
    """Sum the spectra of even volumes over shells; these are real.

    Parameters
    ----------
    halves : sequence of (D//2 + 1, D, D) real array
        The half of each volume from index 0 to ``D // 2`` of its first axis.
    size : int
        Box D.

    Returns
    -------
    list of (D//2 + 1,) float64 array

    Notes
    -----
    The transform of an even volume along x and y is Hermitian along z.

    Examples
    --------
    >>> volume = np.random.default_rng(0).normal(size=(6, 6, 6))
    >>> even = volume + np.roll(volume[::-1, ::-1, ::-1], 1, (0, 1, 2))
    >>> expected = sum_over_shells([even], 6, lambda part: [part.real])
    >>> np.allclose(sums_of_even([even[:4]], 6), expected)
    True
    """
    totals = _sums(
        [_planes(half, size) for half in halves],
        size,
        lambda parts: [inverse_axis_transform(part, 0, size) for part in parts],
    )
    return [size * total for total in totals]


def _planes(box: Array, size: int) -> Array:
    """Return the transform along all axes but the first."""
    return full_axis_transform(axis_transform(box, 2, size), 1, size)


def sum_of_spectra(spectra: Sequence[Array], values: Callable[..., Sequence[Array]]) -> list[Array]:
    """Do what `sum_over_shells` does for spectra, (D, D, D//2 + 1) each.

    Examples
    --------
    >>> volume = np.random.default_rng(0).normal(size=(6, 6, 6))
    >>> of_box = sum_over_shells([volume], 6, lambda part: [part.real])
    >>> np.allclose(sum_of_spectra([box_spectrum(volume, 6)], lambda part: [part.real]), of_box)
    True
    """
    return _sums(spectra, len(spectra[0]), lambda parts: values(*parts))


def _sums(
    arrays: Sequence[Array], size: int, values: Callable[[list[Array]], Sequence[Array]]
) -> list[Array]:
    """Sum what a function makes of the same rows of arrays, ky along the second axis."""
    xp, totals = array_namespace(*arrays), []
    kx, ky, kz = ((k**2).astype(np.int64) for k in frequencies(size, 3, xp))
    distance = xp.sqrt(xp.arange(3 * (size // 2) ** 2 + 1))
    shells = xp.minimum(xp.rint(distance).astype(np.int64), size // 2 + 1)  # by squares
    weights = hermitian_weights(size, xp)
    step = max(1, _VALUES // (size * len(weights)))
    for start in range(0, size, step):
        rows = slice(start, min(start + step, size))
        part = rows, slice(_columns(rows, size))
        shell = shells[kz + ky[rows] + kx[..., part[1]]].ravel()
        totals.append(
            [
                group_sums(shell, (found * weights[part[1]]).ravel(), size // 2 + 2)
                for found in values([array[:, *part] for array in arrays])
            ]
        )
    return [sum(parts)[: size // 2 + 1] for parts in zip(*totals, strict=True)]


def _columns(rows: slice, size: int) -> int:
    """Return how many kx shells reach in some rows of ky.

    Examples
    --------
    >>> [_columns(slice(ky, ky + 1), 8) for ky in range(8)]
    [5, 5, 5, 4, 3, 4, 5, 5]
    """
    last = size // 2
    least = min(min(ky, size - ky) for ky in range(rows.start, rows.stop))
    return min(last, math.isqrt(last * (last + 1) - least**2)) + 1
