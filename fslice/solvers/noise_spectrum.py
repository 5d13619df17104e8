"""The noise's variance per shell: what is left of the images, next to what is not known yet."""

from __future__ import annotations

import numpy as np

from fslice import _kernels
from fslice._arrays import Array
from fslice.data.dataset import Dataset
from fslice.fourier import hermitian_weights, shells
from fslice.operators.projector import Projector

CHANGE = 0.01
"""The spectrum is found when no shell changes by more than this share of its variance."""
ROUNDS = 6
"""At most so many turns of fitting the volume and measuring the noise."""


def residual_spectrum(
    dataset: Dataset, projector: Projector, mean_ft: Array, deviation_ft: Array
) -> np.ndarray:
    """Return the noise variance per shell that is best for a posterior, in a pass over the images.

    Parameters
    ----------
    dataset : Dataset
        Its images are measured in units of its `noise_shape`.
    projector : Projector
    mean_ft : (M, M, M//2 + 1) complex array
        Posterior mean.
    deviation_ft : (M, M, M//2 + 1) complex array
        A draw from the posterior, less its mean.

    Returns
    -------
    (D//2 + 1,) float64 array
        ``(|y - P mean|^2 + |P deviation|^2) / d`` in each shell: the expected residual per degree
        of freedom, as one draw tells it. The last shell of the band also serves those beyond.
    """
    size = projector.size
    index = np.minimum(shells(size, 2), size // 2).ravel()
    pairs = (
        _kernels.band(projector.geometry()).reshape(size, -1) * hermitian_weights(size)
    ).ravel()
    power = np.zeros(size // 2 + 1)
    for images_ft, rotations, shifts, ctf in dataset.batches():
        residual = projector.project_ft(mean_ft, rotations, shifts, ctf) - images_ft
        spread = projector.project_ft(deviation_ft, rotations, None, ctf)
        squares = [(a.real**2 + a.imag**2).sum(0, dtype=float) for a in (residual, spread)]
        power += np.bincount(index, pairs * sum(squares).ravel(), len(power))
    degrees = dataset.views * np.bincount(index, pairs, len(power))
    known = np.flatnonzero((degrees > 0) & (power > 0))
    if not len(known):
        return np.ones(len(power))
    found = power[known] / degrees[known]
    return np.interp(np.arange(len(power)), known, found)
