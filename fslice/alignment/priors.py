"""What poses are like before an image is seen, learned from those that were found."""

from __future__ import annotations

from fslice._arrays import Array, array_namespace
from fslice._sums import group_sums
from fslice.alignment.posterior import PosePosterior


def shift_spread(found: PosePosterior) -> float:
    """Return the standard deviation of shifts along an axis, of images that show the particle."""
    xp = array_namespace(found.weights)
    weights = found.weights * squared_shifts(found)
    per_image = group_sums(found.image_of, weights, len(found))
    shown = seen(found)
    return max(float(xp.sqrt((per_image * shown).sum() / (2 * shown.sum()))), 0.1)


def were_found(poses: PosePosterior) -> bool:
    """Return whether poses are modes that were found, with evidence: else they are of a file."""
    return bool(array_namespace(poses.weights).isfinite(poses.evidence).all())


def squared_shifts(found: PosePosterior) -> Array:
    """Return the expected squared length of the shift of each mode: (m,) float64."""
    xp = array_namespace(found.weights)
    covariance = xp.where(xp.isnan(found.covariance), 0, found.covariance)
    return (found.shifts**2).sum(1) + covariance[:, 3, 3] + covariance[:, 4, 4]


def seen(found: PosePosterior) -> Array:
    """Return which images show the particle, by their evidence; all if none does: (n,) bool."""
    shown = ~(found.evidence < 0)
    return shown if bool(shown.any()) else ~shown
