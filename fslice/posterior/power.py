"""Variances that the power of the images suggests, before anything is fitted."""

from __future__ import annotations

import numpy as np

from fslice._arrays import Array, array_namespace
from fslice.fourier import crop, inner_product, inverse_transform, shell_sum
from fslice.posterior.latent import LatentMap, mean_square
from fslice.posterior.normal import NormalEquations, check_informative


def pixel_variance(normal: NormalEquations) -> float:
    """Return the noise variance if the images were noise only.

    Raises
    ------
    ValueError
        There is no image, or all are zero.
    """
    degrees, squares = float(normal.degrees.sum()), float(normal.squares.sum())
    if not degrees:
        raise ValueError("normal: expected at least one image to learn from, got none")
    if not squares:
        raise ValueError("images: expected images that show something, got zeros")
    return squares / degrees


def signal_variance(normal: NormalEquations) -> float:
    """Return the mean power per seen frequency of the conventional estimate.

    A scalar prior of this variance is wide wherever the object's spectrum is weak: it hardly
    biases the mean, and frequencies without data fall back to it. The power includes that of the
    noise in the estimate, which makes it wider still.
    """
    estimate, count = _conventional(normal)
    return inner_product(estimate, estimate) / count


def latent_variance(normal: NormalEquations, latent: LatentMap) -> float:
    """Return the variance of one prior for all coefficients of a latent spectrum.

    That of `signal_variance`, in the box of the latent volume: what padding adds is cut off, and
    what a mask removes is made up for.
    """
    padded, ndim = normal.projector.padded_size, normal.b.ndim
    if latent.size == padded:
        return signal_variance(normal) / mean_square(latent)
    estimate, count = _conventional(normal)
    inside = crop(inverse_transform(estimate, ndim, padded), latent.size, ndim)
    power = float((inside.astype(np.float64) ** 2).mean())
    return power * padded**ndim / count / mean_square(latent)


def _conventional(normal: NormalEquations) -> tuple[Array, float]:
    """Return the lightly regularised estimate, and how many frequencies it has seen."""
    check_informative(normal)
    density, xp = normal.row_sums(), array_namespace(normal.b)
    seen = density > 0
    floor = 1e-3 * float(density.sum()) / max(float(seen.sum()), 1.0)
    size, ndim = normal.projector.padded_size, normal.b.ndim
    count = float(shell_sum(seen.astype(xp.float64), size, ndim, corners=True).sum())
    return normal.b / (density + (floor or 1.0)), count
