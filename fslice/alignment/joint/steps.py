"""The two steps of a round on one set of images: their poses under its maps, and its maps.

No image is scored against a map that it made itself: the set is dealt into folds, and the images
of a fold are scored against the map of the others. A map holds a share of each of its images'
noise, in the very pose that the image had, and scored against it the image would stay there.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from functools import partial

import numpy as np

from fslice._arrays import Array, to_numpy
from fslice._large import at_once
from fslice.alignment.band import map_band
from fslice.alignment.find import pose_model
from fslice.alignment.joint.equations import expected_equations
from fslice.alignment.joint.grid_map import GridMap, Learned, maximisation, object_mask, rescaled
from fslice.alignment.learn import evenly
from fslice.alignment.model import PoseModel
from fslice.alignment.noise import residual_noise
from fslice.alignment.posterior import PosePosterior
from fslice.alignment.priors import squared_shifts
from fslice.alignment.search import PoseSearch
from fslice.data.dataset import Dataset
from fslice.posterior.latent import LatentMap, latent_map
from fslice.posterior.stencil import StencilEquations

_ERROR = 0.15
"""Of solves, in posterior deviations; each begins at the map of the round before."""
PROBES = 100
"""Images of a fold, at most, that tell whether a search would find more."""
_BETTER = 0.5
"""Nats by which a search makes them likelier, in the mean, if all images are worth one."""


@dataclass(frozen=True, eq=False)
class ImageSet:
    """Some of the images: their map, and what it says of their poses."""

    rows: np.ndarray
    """(k,) int64: which images, ascending."""
    map: GridMap
    """The mean of the maps without a fold: about that of all of them."""
    without: tuple[Array, ...] = field(default=(), repr=False)
    """(d, d, d) real, in the box of the band: the map without each fold; none before the first
    round, as the map to begin with is of too low a frequency to hold an image's noise."""
    poses: PosePosterior | None = None

    @property
    def evidence(self) -> float:
        """Mean log evidence of an image above noise alone, in nats, given the map of others."""
        assert self.poses is not None
        return float(self.poses.evidence.mean())

    def folds(self, count: int) -> list[np.ndarray]:
        """Return places in `rows` of the images of each fold, dealt like cards."""
        return [np.arange(first, len(self.rows), count) for first in range(count)]

    def scored_against(self) -> Iterator[tuple[Array, np.ndarray]]:
        """Yield maps, and the places in `rows` of the images that none of them is made of."""
        maps = self.without or (self.map.volume,)
        yield from zip(maps, self.folds(len(maps)), strict=True)


def posed(dataset: Dataset, part: ImageSet, search: PoseSearch, *, everywhere: bool) -> ImageSet:
    """Return a set with the posterior of its poses, each image under a map of others.

    Parameters
    ----------
    dataset : Dataset
        With its noise.
    part : ImageSet
    search : PoseSearch
    everywhere : bool
        Whether all poses are searched; else the modes that were found are refined.
    """
    found: PosePosterior | None = None
    for volume, places in part.scored_against():
        rows = part.rows[places]
        before = None if part.poses is None or everywhere else part.poses[places]
        known = None if before is None else (before, rows)
        model = map_model(dataset, volume, part, search, known)
        own = model.find(rows) if before is None else model.refine(before, rows)
        found = own if found is None else found + own
    assert found is not None
    return replace(part, poses=found.sorted())


def search_finds_more(dataset: Dataset, part: ImageSet, search: PoseSearch) -> bool:
    """Return whether, of some images, a search finds better poses than those that are known.

    Parameters
    ----------
    dataset, part, search
        As in `posed`.
    """
    if part.poses is None:
        return True
    volume, places = next(part.scored_against())
    some = evenly(places, PROBES)
    model = map_model(dataset, volume, part, search, None)
    known = model.refine(part.poses[some], part.rows[some])
    gain = model.find(part.rows[some]).evidence - known.evidence
    return float(gain.mean()) > _BETTER


def map_model(
    dataset: Dataset, volume: Array, part: ImageSet, search: PoseSearch,
    known: tuple[PosePosterior, np.ndarray] | None,
) -> PoseModel:  # fmt: skip
    """Return how poses are found with a map of a set; `known` are those of some rows, if any."""
    return pose_model(
        dataset, rescaled(volume, dataset.size).astype(dataset.dtype), noise_variance=1.0,
        shift_std=part.map.shift_std, search=search, known=known,
    )  # fmt: skip


def with_noise(dataset: Dataset, parts: tuple[ImageSet, ...]) -> Dataset:
    """Return the data set with the noise that maps leave of images which they are not made of."""
    total, count = 0.0, sum(len(part.rows) for part in parts)
    for part in parts:
        assert part.poses is not None
        for volume, places in part.scored_against():
            whole = rescaled(volume, dataset.size)
            left = residual_noise(
                dataset, whole, part.poses[places], part.rows[places], part.map.band.radius
            ).noise
            assert left is not None
            total = total + left.variances * (len(places) / count)
    assert left is not None
    return dataset.with_noise(replace(left, variances=total))


def mapped(
    dataset: Dataset, part: ImageSet, radius: int, sphere_radius: float, rng: np.random.Generator,
    *, folds: int, draws: int,
) -> ImageSet:  # fmt: skip
    """Return a set with the map of its images in their poses, and the maps without each fold.

    Parameters
    ----------
    dataset : Dataset
    part : ImageSet
        With poses.
    radius : int
        Of the band.
    sphere_radius : float
        Of the sphere that holds the object, in pixels.
    rng : numpy.random.Generator
    folds, draws : int
        As in `Rounds`.
    """
    assert part.poses is not None
    band = map_band(dataset.size, radius)
    sums = [
        expected_equations(
            dataset, band, part.poses[places], rng, draws=draws, rows=part.rows[places]
        )
        for places in part.folds(folds)
    ]
    before = part.map.limited_to(band)
    starts = [rescaled(volume, band.box) for volume in part.without] or [before.volume] * folds
    mask = object_mask(band, sphere_radius, before.volume)
    latent, share = latent_map(band.projector, mask, sums[0].b), float((mask**2).mean())
    prior = before.prior * ((before.share or share) / share)  # the same power in a smaller mask
    made = _solved(_sums_of_others(sums), latent, prior, starts)
    learned = replace(
        before, volume=sum(each.volume for each in made) / folds,
        prior=np.mean([each.prior for each in made], 0), shift_std=spread_of(part.poses),
        share=share,
    )  # fmt: skip
    return replace(part, map=learned, without=tuple(each.volume for each in made))


def _sums_of_others(sums: list[StencilEquations]) -> Iterator[StencilEquations]:
    """Yield the normal equations without each fold, one after the other."""
    normal = sums[0]
    for other in sums[1:]:
        normal = normal + other
    for own in sums:
        yield normal - own


def _solved(
    others: Iterator[StencilEquations], latent: LatentMap, prior: np.ndarray, starts: list[Array]
) -> list[Learned]:
    """Return the maps without a fold, two at a time: elementwise arithmetic has one thread."""
    made: list[Learned] = []

    def solve(normal: StencilEquations, start: Array) -> Learned:
        return maximisation(normal, latent, prior, before=start, error=_ERROR)

    for place in range(0, len(starts) - 1, 2):
        first, second = (partial(solve, next(others), starts[place + i]) for i in (0, 1))
        made += at_once(first, second, like=starts[0])
    if len(starts) % 2:
        made.append(solve(next(others), starts[-1]))
    return made


def spread_of(poses: PosePosterior) -> float:
    """Return the standard deviation of shifts along an axis, half a pixel at least."""
    squares = to_numpy(poses.weights * squared_shifts(poses))
    return max(float((squares.sum() / (2 * len(poses))) ** 0.5), 0.5)
