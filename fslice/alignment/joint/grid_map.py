"""A map of low resolution in the small box of its band, and how it follows from images."""

from __future__ import annotations

import warnings
from dataclasses import dataclass, field, replace
from typing import NamedTuple

import numpy as np

from fslice._arrays import Array, array_namespace, to_numpy
from fslice.alignment.band import Band
from fslice.fourier import inner_product, irfft3, rfft3, shell_sum
from fslice.posterior.cg import conjugate_gradients
from fslice.posterior.latent import LatentMap
from fslice.posterior.precision import PosteriorPrecision
from fslice.posterior.stencil import StencilEquations
from fslice.postprocess.masks import mask_from_map, soft_spherical_mask
from fslice.symmetry.rotation import resized

_ERROR, _SOLVES = 0.02, 60
"""Of solves: their error in posterior deviations, and iterations at most. A share of the right side
would ask too little of high frequencies, which hold little of it."""
_DETAIL, _SMOOTH = 16, 12
"""Shells that a map needs to show where the object ends, and those that it is smoothed to."""


@dataclass(frozen=True, eq=False)
class GridMap:
    """A map of low resolution with all that was learned beside it."""

    volume: Array = field(repr=False)
    """(d, d, d) real: in the box of the band, as its projector takes it."""
    band: Band
    prior: np.ndarray = field(repr=False)
    """(d//2 + 1,) float64: variance of each shell of the latent map."""
    noise: np.ndarray = field(repr=False)
    """(shells,) float64: variance of each shell of the images."""
    shift_std: float
    share: float | None = None
    """Mean square of the mask that the prior was learned in, if it is not the sphere."""
    trace: tuple[float, ...] = field(default=(), repr=False)
    """Log-likelihood of an image above noise alone, step by step."""

    def in_box(self, size: int) -> Array:
        """Return the map in the box D of the images."""
        return rescaled(self.volume, size)

    def limited_to(self, band: Band) -> GridMap:
        """Return the same map in another band; new shells take the variances of the last one."""
        count, last = band.box // 2 + 1, int(self.band.radius)  # nothing is learned beyond it
        return replace(
            self, volume=rescaled(self.volume, band.box), band=band,
            prior=_extended(self.prior[: last + 1], count),
            noise=_extended(self.noise, int(band.radius) + 1),
        )  # fmt: skip


def rescaled(volume: Array, size: int) -> Array:
    """Return a map in another box of the same length, its projections keeping their spectra."""
    own = len(volume)
    factor = (own / size) ** 0.5
    return irfft3(resized(rfft3(volume), size)) * volume.dtype.type(factor)


def _extended(values: np.ndarray, count: int) -> np.ndarray:
    return np.concatenate([values, np.full(max(0, count - len(values)), values[-1])])[:count]


def sphere(band: Band, radius: float, like: Array) -> Array:
    """Return a soft sphere in the box of a band; the radius in pixels of the box D."""
    edge = max(2.0, 0.06 * band.box)
    xp, dtype = array_namespace(like), like.real.dtype
    return soft_spherical_mask(band.box, radius * band.scale, edge, dtype.name, xp=xp)


def object_mask(band: Band, radius: float, volume: Array) -> Array:
    """Return a soft mask about the object in a map of the band, inside the sphere.

    It is wider than the resolution of the map; where no object stands out it is the sphere.
    """
    inside = sphere(band, radius, volume)
    if band.radius < _DETAIL:
        return inside
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # that nothing stands out, or that the sign is wrong
        found = mask_from_map(
            volume, 1.0, resolution=band.box / _SMOOTH, extend=band.box / (2 * _SMOOTH),
            edge=max(2.0, 0.06 * band.box),
        )  # fmt: skip
    return inside * found.astype(inside.dtype)


class Learned(NamedTuple):
    """A map, and what was learned beside it."""

    volume: Array
    """(d, d, d) real."""
    prior: np.ndarray
    """(d//2 + 1,) float64."""


def first_prior(normal: StencilEquations, latent: LatentMap) -> np.ndarray:
    """Return a prior so wide that the images decide, for `maximisation` to learn from."""
    density = to_numpy(shell_mean(latent.information(normal), latent.size))
    return np.full(len(density), 100 / max(float(density.max()), 1e-30))


def maximisation(
    normal: StencilEquations,
    latent: LatentMap,
    prior: np.ndarray,
    *,
    before: Array | None = None,
    updates: int = 1,
    error: float = _ERROR,
) -> Learned:
    """Return the map that the weighed images determine, and its prior learned on the way.

    Each update is a step of EM for the variance of a shell: the mean square of the posterior mean,
    and the posterior variance, that of each coefficient by itself. The solve starts from a map
    that is near, such as that of the last step: a few iterations are then enough.
    """
    start = None if before is None else rfft3(before)
    information = latent.information(normal)
    for _ in range(updates):
        precision = PosteriorPrecision(normal, prior, 1.0, latent)
        diagonal = precision.preconditioner(information)
        power = inner_product(precision.rhs, precision.rhs / diagonal)
        tolerance = error * (latent.size**3 / max(power, 1e-30)) ** 0.5
        start = conjugate_gradients(
            precision, precision.rhs, diagonal, tolerance=tolerance, max_iterations=_SOLVES,
            start=start, afresh=False,
        ).x  # fmt: skip
        left = 1 / (information + 1 / precision.prior_variance)
        power = start.real**2 + start.imag**2 + left
        prior = to_numpy(shell_mean(power, latent.size))
        prior = np.maximum(prior, 1e-6 * prior.max())
    assert start is not None
    return Learned(precision.map_of(start), prior)


def shell_mean(values: Array, size: int) -> Array:
    """Return the mean over each shell of a half spectrum, the corners counting to the last."""
    ones = array_namespace(values).ones_like(values)
    return shell_sum(values, size, 3, corners=True) / shell_sum(ones, size, 3, corners=True)
