"""A half whose map is wrong begins again from the map of the other half.

A map that mixes both hands, or is wrong in another way, does not become right by itself: its images
are dealt among poses of both kinds, and each kind keeps its own.
"""

from __future__ import annotations

import numpy as np

from fslice._arrays import to_numpy
from fslice.alignment.band import map_band
from fslice.alignment.joint.steps import PROBES, ImageSet, map_model, posed
from fslice.alignment.learn import evenly
from fslice.alignment.search import PoseSearch
from fslice.data.dataset import Dataset

_BEHIND = 0.02
"""Share of the evidence that images of a half gain by the map of the other, if theirs is wrong."""

Halves = tuple[ImageSet, ImageSet]


def half_behind(dataset: Dataset, halves: Halves, search: PoseSearch) -> int | None:
    """Return which half, 0 or 1, has a map that is worse for its own images than the other's is.

    Parameters
    ----------
    dataset : Dataset
        With its noise.
    halves : pair of ImageSet
        With their poses under these maps.
    search : PoseSearch
        By which these were found.
    """
    for behind in (0, 1):
        own = halves[behind]
        gains = _gains(dataset, own, halves[1 - behind], search)
        error = gains.std() / len(gains) ** 0.5
        if gains.mean() > max(3 * error, _BEHIND * abs(own.evidence)):
            return behind
    return None


def _gains(dataset: Dataset, own: ImageSet, other: ImageSet, search: PoseSearch) -> np.ndarray:
    """Return what some images gain, in nats, scored against the other map, of as many folds."""
    assert own.poses is not None
    _, places = next(own.scored_against())
    some = evenly(places, PROBES)
    volume, _ = next(other.scored_against())
    found = map_model(dataset, volume, other, search, None).find(own.rows[some])
    return to_numpy(found.evidence - own.poses.evidence[some])


def begun_again(
    dataset: Dataset, halves: Halves, behind: int, radius: int, search: PoseSearch
) -> Halves:
    """Return the halves, one of them in the poses that the other's map gives it.

    Parameters
    ----------
    dataset, halves
        As in `half_behind`.
    behind : int
        Which.
    radius : int
        Of the band of the other's map that it sees: beyond, the halves stay independent.
    search : PoseSearch
        Within that band.
    """
    band = map_band(dataset.size, radius)
    begun = ImageSet(halves[behind].rows, halves[1 - behind].map.limited_to(band))
    begun = posed(dataset, begun, search, everywhere=True)
    return (begun, halves[1]) if behind == 0 else (halves[0], begun)
