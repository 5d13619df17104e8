"""Sums of Gaussians and of their spectra: term by term for few, gridding and an FFT for many.

Everything is in pixels here, with coordinates in the order (x, y, z) about the origin.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from fslice import fourier
from fslice._threads import available_cpus

_EDGE = 16
"""Edge of the cubes into which the fine grid is sorted, in fine pixels."""

_COARSE = 16
"""How many successive powers of a phase come from one exponential."""

_SMALL_PRODUCT = 2**18
"""Multiplications up to which OpenBLAS computes a product in the thread that asks for it."""

_MANY = 1000
"""From this number of Gaussians on, the spectrum is gridded instead of summed."""


def phases(angles: np.ndarray, count: int, dtype: Any = np.complex128) -> np.ndarray:
    """Return ``exp(-i k angle)`` for k = 0 to `count` - 1 along a new last axis.

    Each value is the product of two exponentials, computed in double precision, which
    costs a multiplication per value instead of a sine and a cosine.
    """
    near = np.exp(-1j * angles[..., None] * np.arange(_COARSE)).astype(dtype)
    far = np.exp(-1j * angles[..., None] * np.arange(0, count, _COARSE)).astype(dtype)
    products = far[..., :, None] * near[..., None, :]
    return products.reshape(*angles.shape, -1)[..., :count]


def full_axis(half: np.ndarray, size: int) -> np.ndarray:
    """Extend values at k = 0 to D//2 to all D frequencies, by conjugation (Friedel)."""
    positive = half[..., : (size + 1) // 2]
    return np.concatenate([positive, half[..., size // 2 : 0 : -1].conj()], axis=-1)


def separable_images(y: np.ndarray, x: np.ndarray) -> np.ndarray:
    """Return ``sum_j y[n, j, a] x[n, j, b]``: one matrix product per image, cut into rows.

    BLAS libraries share larger products among threads that then wait for one another;
    where another program runs on one of the cores, that took eighty times as long.
    """
    columns = y.swapaxes(-1, -2)
    result = np.empty((len(y), columns.shape[1], x.shape[2]), x.dtype)
    rows = max(1, _SMALL_PRODUCT // (x.shape[1] * x.shape[2]))
    for start in range(0, columns.shape[1], rows):
        part = slice(start, start + rows)
        np.matmul(columns[:, part], x, out=result[:, part])
    return result


def separable_spectra(y: np.ndarray, x: np.ndarray, size: int) -> np.ndarray:
    """Return ``sum_j y[n, j, ky] x[n, j, kx]`` over all ky, given both at k = 0 to D//2.

    The factors of -ky are conjugate to those of ky, so sums against their real and
    imaginary parts give both, at half the cost of the complex product.
    """
    half, real = size // 2 + 1, y.real.dtype
    parts = np.concatenate([y.real, y.imag], axis=-1)
    sums = separable_images(parts, x.view(real)).view(x.dtype)
    by_real, by_imaginary = sums[:, :half], 1j * sums[:, half:]
    result = np.empty((len(y), size, half), x.dtype)
    positive = (size + 1) // 2
    result[:, :positive] = (by_real + by_imaginary)[:, :positive]
    result[:, positive:] = (by_real - by_imaginary)[:, size // 2 : 0 : -1]
    return result


def separable_sum(z: np.ndarray, y: np.ndarray, x: np.ndarray) -> np.ndarray:
    """Return ``sum_j z[j, a] y[j, b] x[j, c]``, one plane a at a time."""
    result = np.empty((z.shape[1], y.shape[1], x.shape[1]), np.result_type(z, y, x))
    for plane, along_z in zip(result, z.T, strict=True):
        plane[...] = separable_images(along_z[None, :, None] * y, x[None])[0]
    return result


def spectrum(
    positions: np.ndarray, weights: np.ndarray, variances: np.ndarray, size: int
) -> np.ndarray:
    """Return the unitary half spectrum, of no meaning beyond the sphere ``|k| <= D/2``."""
    compute = direct_spectrum if len(weights) < _MANY else gridded_spectrum
    return compute(positions, weights, variances, size)


def direct_spectrum(
    positions: np.ndarray, weights: np.ndarray, variances: np.ndarray, size: int
) -> np.ndarray:
    """Return the unitary half spectrum of Gaussians by the sum over all of them."""
    k = np.arange(size // 2 + 1)
    decay = np.exp(-2 * (np.pi / size) ** 2 * variances[:, None] * k**2)
    x, y, z = decay * phases(2 * np.pi / size * positions.T, len(k))
    x *= weights[:, None] / size**1.5
    return separable_sum(full_axis(z, size), full_axis(y, size), x)


def gridded_spectrum(
    positions: np.ndarray,
    weights: np.ndarray,
    variances: np.ndarray,
    size: int,
    tolerance: float = 1e-7,
) -> np.ndarray:
    """Return the same within the sphere ``|k| <= D/2``, by gridding and one FFT.

    Parameters
    ----------
    positions : (J, 3) float64 array
        In pixels about the origin.
    weights, variances : (J,) float64 arrays
        Variances in squared pixels.
    size : int
        Box D.
    tolerance : float
        Bound of the aliasing and of the truncation, each relative to a Gaussian's largest value.

    Returns
    -------
    (D, D, D//2 + 1) complex128 array
        Unitary half spectrum; of no meaning beyond the sphere.

    Notes
    -----
    Sampled twice per pixel, a Gaussian of variance v aliases by ``exp(-4 pi^2 v)`` at
    ``|k| = D/2`` relative to its own value there. All are widened by the one variance that
    brings this below the tolerance, cut off where they are small, and the widening is
    divided out of the spectrum (Gaussian gridding: Dutt and Rokhlin 1993), which takes
    different widths in its stride.
    """
    import scipy.fft

    fine = 2 * size
    widening = max(0.0, -np.log(tolerance) / (4 * np.pi**2) - float(variances.min()))
    amplification = 0.5 * np.pi**2 * widening  # the log of what the division does at D/2
    reach = np.sqrt(2 * (amplification - np.log(tolerance)) * 4 * (variances + widening))
    grid = np.zeros((fine,) * 3)
    corners = np.floor(2 * positions / _EDGE).astype(np.int64)
    cubes, member = np.unique(corners, axis=0, return_inverse=True)
    order = np.argsort(member.ravel(), kind="stable")
    bounds = np.cumsum(np.bincount(member.ravel()))[:-1]
    for cube, own in zip(cubes, np.split(order, bounds), strict=True):
        margin = int(np.ceil(reach[own].max()))
        span = np.arange(-margin, _EDGE + margin + 1)
        _add_cube(
            grid,
            span + _EDGE * cube[:, None],
            2 * positions[own],
            weights[own],
            4 * (variances[own] + widening),
        )
    spectrum = cropped(scipy.fft.rfftn(grid, workers=available_cpus()), size, 3)
    square = np.minimum(fourier.radii(size, 3) ** 2, size**2 / 4)
    spectrum *= np.exp(2 * (np.pi / size) ** 2 * widening * square) / size**1.5
    return spectrum


def cropped(spectra: np.ndarray, size: int, ndim: int) -> np.ndarray:
    """Keep the frequencies of a smaller box of the same length in Angstrom, in a copy."""
    kept = np.r_[0 : (size + 1) // 2, -(size // 2) : 0]
    for axis in range(-ndim, -1):
        spectra = np.take(spectra, kept, axis)
    return spectra[..., : size // 2 + 1].copy()


def _add_cube(
    grid: np.ndarray,
    index: np.ndarray,
    positions: np.ndarray,
    weights: np.ndarray,
    variances: np.ndarray,
) -> None:
    """Add sampled Gaussians to the points `index` (x, y, z by row) of a periodic grid."""
    offset = index[None] - positions[:, :, None]
    table = np.exp(-0.5 * offset**2 / variances[:, None, None])
    table /= np.sqrt(2 * np.pi * variances)[:, None, None]
    patch = separable_sum(weights[:, None] * table[:, 2], table[:, 1], table[:, 0])
    shift, length = grid.shape[0], index.shape[1]
    if length <= shift:
        grid[np.ix_(*(index[::-1] % shift))] += patch
    else:  # the patch wraps onto itself
        np.add.at(grid, np.ix_(*(index[::-1] % shift)), patch)
