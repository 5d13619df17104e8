"""Samples of Gaussians in closed form: their density, their projections and the spectra of these.

Everything is in pixels here, with coordinates in the order (x, y, z) about the origin. Each
Gaussian is a product over the axes, so all are sums of outer products.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from fslice import fourier
from fslice._arrays import complex_dtype
from fslice.simulation import _gaussian_sums
from fslice.simulation._inputs import Poses


def density(
    positions: np.ndarray, weights: np.ndarray, variances: np.ndarray, size: int
) -> np.ndarray:
    """Return the density at the voxels of a box, (D, D, D) float64."""
    x, y, z = _profiles(positions.T, variances, size)
    return _gaussian_sums.separable_sum(weights[:, None] * z, y, x)


def projections(
    positions: np.ndarray,
    weights: np.ndarray,
    variances: np.ndarray,
    poses: Poses,
    size: int,
    dtype: Any,
) -> np.ndarray:
    """Return the projections at the pixels of n images, (n, D, D)."""
    images = np.zeros((poses.count, size, size), dtype)
    for rows, own in poses.parts(len(weights), size):
        x, y = _profiles(poses.seen(rows, positions[own]), variances[own], size)
        images[rows] += _gaussian_sums.separable_images(weights[own, None] * y, x)
    return images


def projections_ft(
    positions: np.ndarray,
    weights: np.ndarray,
    variances: np.ndarray,
    poses: Poses,
    size: int,
    dtype: Any,
) -> np.ndarray:
    """Return the half spectra of the projections within the band, (n, D, D//2 + 1)."""
    precision = complex_dtype(dtype)
    k = np.arange(size // 2 + 1)
    decay = np.exp(-2 * (np.pi / size) ** 2 * variances[:, None] * k**2).astype(dtype)
    images = np.zeros((poses.count, size, len(k)), precision)
    for rows, own in poses.parts(len(weights), size):
        seen = poses.seen(rows, positions[own])
        x, y = _gaussian_sums.phases(2 * np.pi / size * seen, len(k), precision)
        y *= decay[own]
        x *= decay[own] * (weights[own, None] / size).astype(dtype)
        images[rows] += _gaussian_sums.separable_spectra(y, x, size)
    images *= fourier.radii(size, 2) <= (size - 1) // 2
    return images


def _profiles(centres: np.ndarray, variances: np.ndarray, size: int) -> np.ndarray:
    """Return the 1-D Gaussians of integral 1 about the centres, (..., J, D)."""
    if variances.min() == 0:
        raise ValueError("variances: expected all above 0 to sample the density, got 0")
    offset = np.arange(size) - size // 2 - centres[..., None]
    variances = variances[:, None]
    return np.exp(-0.5 * offset**2 / variances) / np.sqrt(2 * np.pi * variances)
