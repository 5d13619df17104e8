"""From where particles are seen: a density of directions of view, learned from their posteriors."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np
from scipy.special import gammaln

from fslice._arrays import Array, array_namespace, to_numpy
from fslice.alignment.posterior import PosePosterior
from fslice.alignment.priors import seen
from fslice.symmetry.groups import symmetry_rotations

_PER_BUMP = 4  # images, at least
_FEWEST, _MOST = 24, 432  # bumps; the most are 10 degrees apart
_MATES = 3000  # bumps and their equivalents, at most
_WIDTH = 0.8  # of a bump, in distances between them: equal ones are flat to 4 %, 1 % in the mean
_TOGETHER = 4096  # directions that are compared with the bumps at a time
_ITERATIONS = 200
_PSEUDO = np.geomspace(0.05, 1e4, 60)
"""Images that each bump may be given before any is seen; the last one makes the density flat."""


class LogDensity(NamedTuple):
    """A log density at m rotations, to second order in w of ``R exp([w]x)``."""

    value: Array
    """(m,) float64."""
    gradient: Array
    """(m, 3) float64."""
    hessian: Array
    """(m, 3, 3) float64."""


@dataclass(frozen=True, eq=False)
class DirectionPrior:
    """A density of directions of view: bumps of von Mises and Fisher, evenly spread.

    Parameters
    ----------
    weights : (B,) float64 array
        Of the bumps at `spiral_directions`; they sum to one.
    symmetry : str, optional
        Point group of the map: each bump is a mean over all equivalent ones.

    Notes
    -----
    ``p(d) = sum_b w_b k / sinh(k) exp(k d.c_b)`` relative to the uniform density, with centres c
    and k one over the square of the bumps' width. The mean over the sphere of each is one.
    """

    weights: Array = field(repr=False)
    symmetry: str = "C1"

    @property
    def concentration(self) -> float:
        """The k of the bumps."""
        return len(self.weights) / (4 * math.pi * _WIDTH**2)

    def log(self, rotations: Array) -> Array:
        """Return the log density at rotations, (m, 3, 3), relative to the uniform one: (m,)."""
        return self.at(rotations[:, :, 2])

    def at(self, directions: Array) -> Array:
        """Return the same at directions, (m, 3) unit vectors."""
        xp = array_namespace(directions)
        found = xp.empty(len(directions))
        for start in range(0, len(directions), _TOGETHER):
            part = slice(start, start + _TOGETHER)
            found[part] = xp.log(self._bumps(directions[part]).sum(1))
        return found

    def derivatives(self, rotations: Array) -> LogDensity:
        """Return the log density with its derivatives.

        Notes
        -----
        A turn moves the direction ``d = R z`` by ``w x z + w x (w x z) / 2``, in the axes of the
        image. With the mean m and the covariance S of the centres there, under the shares of the
        bumps at d, the gradient is ``k (-m_y, m_x, 0)`` and the Hessian that of a log of sums.
        """
        xp, k, centres = array_namespace(rotations), self.concentration, self._centres()
        value, first, second = (xp.empty((len(rotations), *more)) for more in ((), (3,), (3, 3)))
        for start in range(0, len(rotations), _TOGETHER):
            part = slice(start, start + _TOGETHER)
            own = rotations[part].astype(np.float64)
            bumps = self._bumps(own[:, :, 2])
            total = bumps.sum(1)
            shares = bumps / total[:, None]
            mean = shares @ centres
            squares = (shares[:, :, None] * centres).swapaxes(1, 2) @ centres
            spread = squares - mean[:, :, None] * mean[:, None]
            turned = own.swapaxes(1, 2)
            x, y, z = (turned @ mean[..., None])[..., 0].T
            s = turned @ spread @ own
            value[part] = xp.log(total)
            zero = 0 * x
            first[part] = k * xp.stack([-y, x, zero], 1)
            rows = [
                k**2 * s[:, 1, 1] - k * z, -(k**2) * s[:, 0, 1], k / 2 * x,
                -(k**2) * s[:, 0, 1], k**2 * s[:, 0, 0] - k * z, k / 2 * y,
                k / 2 * x, k / 2 * y, zero,
            ]  # fmt: skip
            second[part] = xp.stack(rows, 1).reshape((-1, 3, 3))
        return LogDensity(value, first, second)

    def by_bump(self, directions: Array) -> Array:
        """Return what each bump adds to the density at directions, with its equivalents: (m, B)."""
        xp = array_namespace(directions)
        found = xp.empty((len(directions), len(self.weights)))
        for start in range(0, len(directions), _TOGETHER):
            part = slice(start, start + _TOGETHER)
            bumps = self._bumps(directions[part])
            found[part] = bumps.reshape((len(bumps), -1, len(self.weights))).sum(1)
        return found

    def _bumps(self, directions: Array) -> Array:
        """Return what each bump, at each of its equivalents, adds to the density: (m, B order)."""
        xp, k, centres = array_namespace(directions), self.concentration, self._centres()
        cosines = directions.astype(np.float64) @ centres.T
        order = len(centres) // len(self.weights)
        heights = xp.tile(self.weights, order) * (2 * k / (1 - math.exp(-2 * k)) / order)
        return heights * xp.exp(k * (cosines - 1))

    def _centres(self) -> Array:
        """Return where bumps are, all of them at one of the group's rotations after the other."""
        group = symmetry_rotations(self.symmetry, like=self.weights)
        spiral = spiral_directions(len(self.weights), array_namespace(self.weights))
        return (spiral @ group).reshape((-1, 3))


def spiral_directions(count: int, xp: Any = np) -> Array:
    """Return unit vectors, (count, 3), that are evenly spread: a spiral by the golden angle.

    Examples
    --------
    >>> abs(spiral_directions(1000).mean(0)).max() < 1e-3
    np.True_
    """
    place = xp.arange(count) + 0.5
    height, turn = 1 - 2 * place / count, math.pi * (1 + 5**0.5) * place
    across = xp.sqrt(1 - height**2)
    return xp.stack([across * xp.cos(turn), across * xp.sin(turn), height], 1)


def learned_directions(found: PosePosterior, symmetry: str = "C1") -> DirectionPrior:
    """Return the most likely density of directions, given posteriors under the uniform one.

    Parameters
    ----------
    found : PosePosterior
    symmetry : str, optional
        Point group of the map: each pose counts from all equivalent directions.

    Returns
    -------
    DirectionPrior

    Notes
    -----
    Expectation and maximisation: each image is shared among its modes and the bumps, by the
    weights of both and the bump's density at the mode, and a bump's weight is
    ``(c_b + alpha) / (N + alpha B)``, c the sums of these shares over B bumps: the mean of the
    posterior under a Dirichlet prior of alpha images for each. Alpha is that of the largest
    likelihood of the counts (Dirichlet-multinomial), so that even views give a flat density,
    whatever their number.

    Examples
    --------
    >>> import fslice
    >>> from fslice.alignment.find import poses_as_posterior
    >>> from fslice.data.poses import Poses
    >>> rng = np.random.default_rng(0)
    >>> even = poses_as_posterior(Poses(fslice.random_rotations(500, rng)))
    >>> bool(abs(learned_directions(even).log(fslice.random_rotations(99, rng))).max() < 0.1)
    True
    >>> cone = poses_as_posterior(Poses(fslice.geometry.rotations_in_cone(500, 30, rng)))
    >>> prior = learned_directions(cone)
    >>> inner = np.exp(prior.log(fslice.geometry.rotations_in_cone(99, 20, rng))).mean()
    >>> bool(12 < inner < 18)  # 2 / (1 - cos 30) is 15
    True
    """
    xp, order = array_namespace(found.weights), len(symmetry_rotations(symmetry))
    shown = to_numpy(seen(found))
    count = min(_MOST, _MATES // order, max(_FEWEST, int(shown.sum()) // _PER_BUMP))
    weights, image_of = to_numpy(found.weights), to_numpy(found.image_of)
    directions = to_numpy(found.rotations[:, :, 2])
    own = np.full(count, 1 / count)
    flat = DirectionPrior(np.ones(count), symmetry)
    bumps = flat.by_bump(directions) * weights[:, None]
    for _ in range(_ITERATIONS):
        shares = bumps * own
        sums = np.bincount(image_of, weights=shares.sum(1), minlength=len(shown))
        counts = (shown / sums)[image_of] @ shares
        before, own = own, _smoothed(counts)
        if abs(own - before).sum() < 1e-3:
            break
    return DirectionPrior(xp.asarray(own), symmetry)


def _smoothed(counts: np.ndarray) -> np.ndarray:
    """Return the weights of bumps under the Dirichlet prior that fits best."""
    pseudo, count = _PSEUDO[:, None], len(counts)
    likelihoods = (gammaln(counts + pseudo) - gammaln(pseudo)).sum(1)
    likelihoods += gammaln(_PSEUDO * count) - gammaln(counts.sum() + _PSEUDO * count)
    smoothed = counts + _PSEUDO[likelihoods.argmax()]
    return smoothed / smoothed.sum()
