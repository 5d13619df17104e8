"""Expectation and maximisation over a grid of poses, the exact optimum of each in closed form.

The pose of an image is one of G rotations and T shifts. The expectation step weighs all of them;
the maximisation step needs only two sums over images for each rotation of the grid, so that its
normal equations cost G slices, however many images there are (docs/joint.md has the derivation).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np

from fslice import _kernels
from fslice._arrays import Array, array_namespace, to_numpy
from fslice._kernels import Filters, Views
from fslice.alignment.band import Band
from fslice.alignment.band_images import BandImages
from fslice.alignment.coarse import Encoded, make_templates
from fslice.posterior.stencil import StencilEquations

_CELLS = 1 << 24
"""Scores that are in memory at a time."""
_FLOOR = -30.0
"""Log weights, relative to the largest, are at least this: smaller ones would be denormal numbers,
with which products of matrices take twenty times as long."""
_SLICES = 2048


class PoseGrid(NamedTuple):
    """The poses that are considered."""

    rotations: Array
    """(G, 3, 3) real, all equally likely."""
    shifts: Array
    """(T, 2) float64, in pixels of the box D."""
    log_prior: Array
    """(T,) real: log probability of each shift."""


@dataclass(frozen=True, eq=False)
class Statistics:
    """What the images say, their poses weighed: sums over images, which add up.

    Parameters
    ----------
    centred : (G, P) complex array
        ``sum gamma C exp(2 pi i k.t / D) y / sigma^2`` at each rotation, over images and shifts.
    squared_ctf : (G, P) real array
        ``sum gamma C^2 / sigma^2``.
    shifts : (T,) float64 array
        ``sum gamma`` at each shift.
    squares : (P,) float64 array
        ``sum |y|^2 / sigma^2``.
    log_likelihood : float
        ``sum_n log p(y_n | map)``, the poses summed out.
    above_noise : float
        The same above that of images without a particle.
    count : int
        Number of images.
    """

    centred: Array = field(repr=False)
    squared_ctf: Array = field(repr=False)
    shifts: Array = field(repr=False)
    squares: Array = field(repr=False)
    log_likelihood: float
    above_noise: float
    count: int

    def __add__(self, other: Statistics) -> Statistics:
        """Return the sums over both sets of images."""
        names = self.__dataclass_fields__
        return Statistics(*(getattr(self, name) + getattr(other, name) for name in names))


def make_grid(rotations: np.ndarray, shifts: np.ndarray, shift_std: float, like: Array) -> PoseGrid:
    """Return a grid with a Gaussian prior of shifts, in the library and precision of an array."""
    xp, dtype = array_namespace(like), like.real.dtype
    log_prior = -0.5 * (shifts**2).sum(1) / shift_std**2
    log_prior -= np.log(np.exp(log_prior).sum())
    return PoseGrid(
        xp.asarray(rotations.astype(dtype)), xp.asarray(shifts), xp.asarray(log_prior.astype(dtype))
    )


def expectation(volume: Array, images: BandImages, grid: PoseGrid, noise: np.ndarray) -> Statistics:
    """Weigh all poses of the grid, and sum what the images say under these weights.

    Parameters
    ----------
    volume : (d, d, d) real array
        The map in the band's own box, as the band's projector takes it.
    images : BandImages
    grid : PoseGrid
    noise : (shells,) float64 array
        Variance of each shell of the images.

    Returns
    -------
    Statistics

    Notes
    -----
    ``gamma_ngt = p(y_n | g, t) p(t) / G / p(y_n)``, the exact posterior over the grid.
    """
    total = None
    for part in _scored(volume, images, grid, noise):
        sums = _weighed(*part)
        total = sums if total is None else total + sums
    assert total is not None
    return total


def log_likelihoods(
    volume: Array, images: BandImages, grid: PoseGrid, noise: np.ndarray
) -> tuple[Array, Array]:
    """Return the log density of each image, its pose summed out over the grid.

    Parameters
    ----------
    volume, images, grid, noise
        As in `expectation`.

    Returns
    -------
    (n,) float64 arrays
        The log density, and how much it is above that of noise without a particle.
    """
    parts = []
    for some, _, scores in _scored(volume, images, grid, noise):
        above = _to_weights(scores.reshape(len(some), -1))
        parts.append((above + _of_noise(some), above))
    xp = array_namespace(images.images)
    whole, above = (xp.concatenate(values) for values in zip(*parts, strict=True))
    return whole, above


class _Whitened(NamedTuple):
    """Images over the deviation of their noise."""

    images: Array
    ctf: Array
    band: Band
    log_variances: np.ndarray
    """(P,): logarithms of 2 pi times the noise variance."""

    def __len__(self) -> int:
        return self.images.shape[0]


def _scored(
    volume: Array, images: BandImages, grid: PoseGrid, noise: np.ndarray
) -> Iterator[tuple[_Whitened, Encoded, Array]]:
    """Yield some whitened images at a time, encoded, and their scores at all poses (n, T, G)."""
    band, xp = images.band, array_namespace(images.images)
    templates = make_templates(
        band.projector.transform(volume), band, grid.rotations, grid.shifts,
        log_prior=grid.log_prior - float(np.log(len(grid.rotations))), compress=False,
    )  # fmt: skip
    variance = noise[images.shell_of()]
    whitening = xp.asarray((variance**-0.5).astype(images.ctf.dtype))
    step = max(1, _CELLS // (len(grid.rotations) * len(grid.shifts)))
    for start in range(0, len(images), step):
        part = images[start : start + step]
        some = _Whitened(
            part.images * whitening, part.ctf * whitening, band, np.log(2 * np.pi * variance)
        )
        encoded = templates.encode(some.images, some.ctf)
        yield some, encoded, templates.scores(encoded)


def _of_noise(some: _Whitened) -> Array:
    """Return the log density of images without a particle."""
    m = array_namespace(some.images).asarray(some.band.multiplicities)
    squares = (some.images.real**2 + some.images.imag**2).astype(np.float64) @ m
    return -0.5 * (squares + float(some.band.multiplicities @ some.log_variances))


def _weighed(some: _Whitened, encoded: Encoded, scores: Array) -> Statistics:
    """Return the statistics of some images; their scores become weights in place."""
    xp, count = array_namespace(scores), len(scores)
    above, likelihood = _to_weights(scores.reshape(count, -1)), _of_noise(some)
    m = xp.asarray(some.band.multiplicities.astype(some.ctf.dtype))
    flat = scores.reshape(-1, scores.shape[-1])
    sums = flat.T @ encoded.centred.reshape(len(flat), -1)
    return Statistics(
        (sums[:, : len(m)] + 1j * sums[:, len(m) :]) / m,
        2 * (scores.sum(1).T @ encoded.squared_ctf),
        scores.sum((0, 2), dtype=np.float64),
        (some.images.real**2 + some.images.imag**2).sum(0, dtype=np.float64),
        float((above + likelihood).sum()), float(above.sum()), count,
    )  # fmt: skip


def _to_weights(scores: Array) -> Array:
    """Turn log probabilities (n, cells), in place, to weights; return the logs of their sums."""
    xp = array_namespace(scores)
    top = scores.max(1)
    scores -= top[:, None]
    xp.maximum(scores, scores.dtype.type(_FLOOR), out=scores)
    xp.exp(scores, out=scores)
    total = scores.sum(1)
    scores *= (1 / total)[:, None]
    return top.astype(np.float64) + xp.log(total.astype(np.float64))


def normal_equations_of(statistics: Statistics, grid: PoseGrid, band: Band) -> StencilEquations:
    """Return the normal equations of the map, from one aggregated slice for each rotation.

    ``b = sum_g S_g^H centred_g`` and ``A = sum_g S_g^H squared_ctf_g S_g``: what the images would
    give if each were inserted in all of its poses, by its weights. The noise is in the sums.
    """
    projector, xp = band.projector, array_namespace(statistics.centred)
    geometry = projector.geometry()
    kernels = _kernels.kernels_for(statistics.centred)
    gram = kernels.new_gram(geometry, statistics.squared_ctf.dtype)
    amplitude = projector.padded_size**3 / projector.size**2
    b = 0
    for start in range(0, len(grid.rotations), _SLICES):
        part = slice(start, start + _SLICES)
        rotations = xp.ascontiguousarray(grid.rotations[part])
        slices = xp.ascontiguousarray(band.unflatten(statistics.centred[part]))
        weights = amplitude * band.unflatten(statistics.squared_ctf[part])
        b = b + projector.backproject_ft(slices, rotations)
        views = Views(rotations, xp.zeros((len(rotations), 2), rotations.dtype))
        filters = Filters(None, xp.ascontiguousarray(weights), xp.arange(len(rotations)))
        kernels.add_gram(gram, views, filters, geometry)
    shells = xp.zeros(projector.size // 2 + 1)
    shells[0] = float(xp.asarray(band.multiplicities) @ statistics.squares)
    degrees = xp.zeros_like(shells)
    degrees[0] = statistics.count * float(band.multiplicities.sum())
    stencil = kernels.stencil_of(gram, geometry)
    return StencilEquations(
        projector, b, shells, degrees, 0.0, statistics.count, "C1", stencil
    )  # fmt: skip


def updated_noise(
    statistics: Statistics, volume: Array, grid: PoseGrid, images: BandImages, noise: np.ndarray
) -> np.ndarray:
    """Return the noise variance of each shell that makes the images most likely, poses weighed.

    The mean over images and poses of ``|y - C S v|^2``, from the sums that make the map.
    """
    band = images.band
    slices = band.slices(band.projector.transform(volume), grid.rotations)
    cross = (statistics.centred.conj() * slices).real.sum(0, dtype=np.float64)
    model = (statistics.squared_ctf * (slices.real**2 + slices.imag**2)).sum(0, dtype=np.float64)
    residual = to_numpy(statistics.squares - 2 * cross + model)
    shell, weights = images.shell_of(), band.multiplicities
    degrees, sums = statistics.count * images.degrees(), np.bincount(shell, weights * residual)
    quotient = np.divide(sums, degrees, out=np.ones(len(sums)), where=degrees > 0)
    return noise * np.maximum(quotient, 1e-3)
