"""The evidence lower bound of a posterior over poses, in closed form (the paper's eqs. 16-17)."""

from __future__ import annotations

import math
from collections.abc import Mapping

from fslice._arrays import Array, array_namespace
from fslice._sums import group_sums
from fslice.alignment.directions import DirectionPrior
from fslice.alignment.filters import MEANS
from fslice.alignment.posterior import PosePosterior
from fslice.symmetry.groups import symmetry_rotations


def kl_to_prior(
    found: PosePosterior, shift_std: float, symmetry: str = "C1",
    parameters: Mapping[str, float] | None = None, directions: DirectionPrior | None = None,
) -> Array:  # fmt: skip
    """Return the Kullback-Leibler divergence of each image's posterior from the prior of poses.

    Parameters
    ----------
    found : PosePosterior
    shift_std : float
        Of the prior, in pixels.
    symmetry : str, optional
        Point group of the map: the prior is uniform over its asymmetric unit.
    parameters : mapping of str to float, optional
        Of defocus and contrast, where they were free, the standard deviations of their priors:
        `PoseSearch.parameters`.
    directions : DirectionPrior, optional
        Default: uniform.

    Returns
    -------
    (n,) float64 array
        In nats: how much the image tells about its pose.

    Notes
    -----
    For Gaussians that do not overlap, and turns so small that w is a vector,

    ``sum_j w_j [ log w_j - 1/2 log det(2 pi e C_j) + log V + (|t_j|^2 + tr C_j,tt) / (2 s^2) ]``

    with ``V = 8 pi^2 / order * 2 pi s^2``, s the deviation of shifts. A parameter that was free
    adds ``log (2 pi s^2)^(1/2) + ((u_j - mean)^2 + C_j,uu) / (2 s^2)``, s that of its prior.

    Examples
    --------
    >>> import numpy as np
    >>> pose = PosePosterior(
    ...     np.array([0]), np.eye(3)[None], np.zeros((1, 2)), np.ones(1), 1e-4 * np.eye(5)[None],
    ...     np.zeros(1), np.zeros(1))
    >>> kl_to_prior(pose, shift_std=1.0).round(2)  # log(8 pi^2) + log(2 pi) less the entropy
    array([22.14])
    """
    xp = array_namespace(found.weights)
    order = len(symmetry_rotations(symmetry))
    volume = 8 * math.pi**2 / order * 2 * math.pi * shift_std**2
    count = found.covariance.shape[-1]
    entropy = (xp.linalg.slogdet(found.covariance)[1] + count * math.log(2 * math.pi * math.e)) / 2
    squares = (found.shifts**2).sum(1) + found.covariance[:, 3, 3] + found.covariance[:, 4, 4]
    terms = math.log(volume) - entropy + squares / (2 * shift_std**2)
    if directions is not None:
        density = directions.derivatives(found.rotations)
        spread = (density.hessian * found.covariance[:, :3, :3]).sum((1, 2)) / 2
        terms = terms - density.value - spread
    for place, (name, values) in enumerate(found.parameters.items(), 5):
        variance = (parameters or {})[name] ** 2
        squares = (values - MEANS[name]) ** 2 + found.covariance[:, place, place]
        terms = terms + math.log(2 * math.pi * variance) / 2 + squares / (2 * variance)
    terms = terms + xp.log(xp.where(found.weights > 0, found.weights, 1))
    return group_sums(found.image_of, found.weights * terms, len(found))


def expected_log_likelihood(
    found: PosePosterior, shift_std: float, symmetry: str = "C1",
    parameters: Mapping[str, float] | None = None, directions: DirectionPrior | None = None,
) -> Array:  # fmt: skip
    """Return the expected log likelihood of each image above that of noise alone: (n,) float64.

    At the best mixture the bound is the evidence, so that this is the sum of evidence and
    `kl_to_prior`, whose arguments it takes.

    Examples
    --------
    >>> import numpy as np
    >>> pose = PosePosterior(
    ...     np.array([0]), np.eye(3)[None], np.zeros((1, 2)), np.ones(1), 1e-4 * np.eye(5)[None],
    ...     np.array([50.0]), np.zeros(1))
    >>> expected_log_likelihood(pose, shift_std=1.0).round(2)
    array([72.14])
    """
    return found.evidence + kl_to_prior(found, shift_std, symmetry, parameters, directions)
