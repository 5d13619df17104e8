"""From where particles are seen: a density of directions of view, learned from their posteriors."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from scipy.special import gammaln

from fslice._arrays import Array, array_namespace, to_numpy
from fslice.alignment.posterior import PosePosterior
from fslice.alignment.priors import seen
from fslice.postprocess.healpix import bin_count, bin_of
from fslice.symmetry.groups import symmetry_rotations

_PER_BIN = 4.0  # images, at least
_FINEST = 8  # bins along a side of the sphere: 7 degrees
_ITERATIONS = 100
_PSEUDO = np.geomspace(0.05, 1e4, 60)
"""Images that each bin may be given before any is seen; the last one makes the density flat."""


@dataclass(frozen=True, eq=False)
class DirectionPrior:
    """A density of directions of view, constant in bins of equal area.

    Parameters
    ----------
    log_density : (12 nside^2,) float64 array
        Log of the density relative to the uniform one, in the bins of
        `fslice.postprocess.healpix`: the mean of its exponential is one.
    nside : int
    """

    log_density: Array = field(repr=False)
    nside: int

    def log(self, rotations: Array) -> Array:
        """Return the log density at rotations, (m, 3, 3), relative to the uniform one: (m,)."""
        xp = array_namespace(rotations)
        return xp.asarray(self.log_density)[bin_of(rotations[:, :, 2], self.nside)]


def learned_directions(found: PosePosterior, symmetry: str = "C1") -> DirectionPrior:
    """Return the most likely density of directions, given posteriors under the uniform one.

    Parameters
    ----------
    found : PosePosterior
    symmetry : str, optional
        Point group of the map: each pose counts from all equivalent directions, in equal shares.

    Returns
    -------
    DirectionPrior

    Notes
    -----
    Expectation and maximisation: a mode weighs ``w_j theta(d_j)``, normed over its image, and a
    bin's density is ``B (c_b + alpha) / (N + alpha B)``, c the sums of these weights in B bins: the
    mean of the posterior under a Dirichlet prior of alpha images in each bin. Alpha is that of the
    largest likelihood of the counts (Dirichlet-multinomial), so that even views give a flat
    density, whatever their number.

    Examples
    --------
    >>> import fslice
    >>> from fslice.alignment.find import poses_as_posterior
    >>> from fslice.data.poses import Poses
    >>> rng = np.random.default_rng(0)
    >>> even = poses_as_posterior(Poses(fslice.random_rotations(500, rng)))
    >>> bool(abs(learned_directions(even).log_density).max() < 0.1)
    True
    >>> cone = poses_as_posterior(Poses(fslice.geometry.rotations_in_cone(500, 30, rng)))
    >>> prior = learned_directions(cone)
    >>> prior.log(np.eye(3)[None]).round(1)  # log of 2 / (1 - cos 30), which is 2.7
    array([2.7])
    """
    xp = array_namespace(found.weights)
    group = symmetry_rotations(symmetry, like=found.weights)
    shown = to_numpy(seen(found))
    nside = int(min(_FINEST, max(1, (shown.sum() / (12 * _PER_BIN)) ** 0.5)))
    directions = (group @ found.rotations[:, None])[..., 2]
    bins = to_numpy(bin_of(directions, nside))
    weights, image_of = to_numpy(found.weights), to_numpy(found.image_of)
    density = np.ones(bin_count(nside))
    for _ in range(_ITERATIONS):
        own = weights * density[bins].mean(1)
        sums = np.bincount(image_of, weights=own, minlength=len(shown))
        own = own / sums[image_of] * shown[image_of]
        shares = own[:, None] * density[bins] / density[bins].sum(1, keepdims=True)
        counts = np.bincount(bins.ravel(), weights=shares.ravel(), minlength=len(density))
        before, density = density, _smoothed(counts, len(group))
        if abs(np.log(density / before)).max() < 1e-3:
            break
    return DirectionPrior(xp.asarray(np.log(density)), nside)


def _smoothed(counts: np.ndarray, order: int) -> np.ndarray:
    """Return the density, relative to the uniform one, under the Dirichlet prior that fits best.

    The bins of a symmetric density are not independent: an order's worth of them is one.
    """
    bins, total = len(counts), counts.sum()
    own = order * counts  # of an orbit of bins, in each of them
    pseudo = _PSEUDO[:, None]
    likelihoods = (gammaln(own + pseudo) - gammaln(pseudo)).sum(1) / order
    orbits = bins / order
    likelihoods += gammaln(_PSEUDO * orbits) - gammaln(total + _PSEUDO * orbits)
    alpha = _PSEUDO[likelihoods.argmax()]
    return bins * (own + alpha) / (order * total + alpha * bins)
