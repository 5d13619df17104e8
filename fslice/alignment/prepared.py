"""A map as poses are found with it: cropped to bands, its slices read; and the finding itself."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

from fslice._arrays import Array, array_namespace, placed
from fslice._sums import group_sums
from fslice.alignment.band import Band
from fslice.alignment.coarse import Candidates, Templates
from fslice.alignment.directions import DirectionPrior
from fslice.alignment.filters import MEANS, DefocusResponse, defocus_response, image_filters
from fslice.alignment.grid import cell_radius
from fslice.alignment.level import Level
from fslice.alignment.modes import Kept, log_masses, prune
from fslice.alignment.newton import Quadratic, Starts, climb, moved, settle, shortened
from fslice.alignment.posterior import PosePosterior
from fslice.alignment.search import PoseSearch
from fslice.data.dataset import Dataset
from fslice.data.passes import Batch
from fslice.symmetry.groups import symmetry_rotations

_TOGETHER = 32  # images that are scored together
_STARTS = 1 << 15  # that are refined together where a symmetry is relaxed
_SEPARATION = 1.5  # cells of the grid between candidates
_COARSE_WINDOW = 18.0  # nats that scores on the grid may be too low
_STEPS, _LAST_STEPS = 1, 12
_LONGEST = 1.6  # a step's angle times the radius of the band


@dataclass(frozen=True, eq=False)
class PreparedMap:
    """A map that poses of images are found with; `prepare` makes it.

    Parameters
    ----------
    search : PoseSearch
    symmetry : str
    levels : tuple of (Band, array)
        Bands of the refinement, and the spectrum of the map in each.
    templates : Templates, or None
        For the search over all poses.
    directions : DirectionPrior, optional
        Prior of the direction of view. Default: uniform.
    relax : str, optional
        Point group that the map has only nearly: each pose is taken for all equivalent ones.
    """

    search: PoseSearch
    symmetry: str
    levels: tuple[tuple[Band, Array], ...]
    templates: Templates | None
    directions: DirectionPrior | None = None
    relax: str | None = None

    def with_shift_std(self, shift_std: float) -> PreparedMap:
        """Return the same with another prior of shifts; the grid of shifts is made anew."""
        search, templates = replace(self.search, shift_std=shift_std), self.templates
        if templates is not None:
            shifts = search.shifts()
            shifts = placed(shifts, templates.rotations, "float64")
            templates = replace(
                templates,
                shifts=shifts,
                log_prior=shift_log_prior(shifts, shift_std, templates.slices),
            )
        return replace(self, search=search, templates=templates)

    def with_directions(self, directions: DirectionPrior) -> PreparedMap:
        """Return the same with a prior of the direction of view."""
        templates = self.templates
        if templates is not None:
            # where the symmetry is relaxed a pose of the grid stands for all equivalent ones
            prior = directions if self.relax is None else replace(directions, symmetry=self.relax)
            log = prior.log(templates.rotations).astype(templates.slices.dtype)
            templates = replace(templates, log_directions=log)
        return replace(self, directions=directions, templates=templates)

    def response(self, dataset: Dataset, batch: Batch) -> DefocusResponse | None:
        """Return how the CTFs of a batch of a data set answer to defocus, where that is free."""
        free = self.search.defocus_std is not None
        return defocus_response(dataset, batch) if free else None

    def find(
        self, batch: Batch, noise_variance: float, response: DefocusResponse | None = None
    ) -> PosePosterior:
        """Return the posterior over all poses of a batch of images."""
        assert batch.images_ft is not None
        starts = self.starting(self._candidates(batch, noise_variance))
        if self.relax is None:
            return self._refined(batch, starts, noise_variance, response)
        return self._relaxed(batch, starts, noise_variance, response)

    def refine(
        self, batch: Batch, starts: Starts, noise_variance: float,
        response: DefocusResponse | None = None, *, near: bool = False,
    ) -> PosePosterior:  # fmt: skip
        """Return the posterior near given poses, of images counted from 0 in the batch.

        Where they are near modes already, only the last band is used: in lower ones modes merge.
        """
        if self.relax is not None:
            return self._relaxed(batch, starts, noise_variance, response)
        first = len(self.levels) - 1 if near else 0
        return self._refined(batch, starts, noise_variance, response, first)

    def starting(self, starts: Starts, given: dict[str, Array] | None = None) -> Starts:
        """Return starts with the parameters that are free, from their means or as given."""
        if not self.search.parameters:
            return starts
        xp, count = array_namespace(starts.shifts), len(starts.shifts)
        columns = [
            xp.full(count, MEANS[name]) if name not in (given or {}) else (given or {})[name]
            for name in self.search.parameters
        ]
        return starts._replace(parameters=xp.stack(columns, 1))

    def level(
        self, batch: Batch, number: int, noise_variance: float,
        response: DefocusResponse | None = None,
    ) -> Level:  # fmt: skip
        """Return the images of a batch in one of the bands of the refinement."""
        assert batch.images_ft is not None
        band, volume_ft = self.levels[number]
        images = band.crop(batch.images_ft)
        filters = image_filters(batch, band, images.real.dtype, self.search.parameters, response)
        return Level(
            band, volume_ft, images, filters, noise_variance, self.search.shift_std,
            self.directions,
        )  # fmt: skip

    @property
    def log_volume(self) -> float:
        """Log of the volume that poses have under their prior: of the prior's density, minus it.

        With that of the parameters of images that are free.
        """
        order = len(symmetry_rotations(self.symmetry))
        free = sum(math.log(2 * math.pi * std**2) / 2 for std in self.search.parameters.values())
        return math.log(8 * math.pi**2 / order * 2 * math.pi * self.search.shift_std**2) + free

    @property
    def _rotations(self) -> int:
        assert self.search.rotations is not None
        return self.search.rotations

    def _candidates(self, batch: Batch, noise_variance: float) -> Starts:
        templates = self.templates
        assert templates is not None
        assert batch.images_ft is not None
        band, xp = templates.band, array_namespace(batch.images_ft)
        images = band.flatten(band.crop(batch.images_ft))
        ctf = band.crop_ctf(batch.ctf, len(images), images.real.dtype)
        ctf = None if ctf is None else band.flatten(ctf)
        separation = _SEPARATION * cell_radius(self._rotations)
        # what a pose scores says little of its mates', where the map is not symmetric
        window = math.inf if self.relax else self.search.window + _COARSE_WINDOW
        found = []
        for start in range(0, len(images), _TOGETHER):
            part = slice(start, start + _TOGETHER)
            encoded = templates.encode(
                images[part], None if ctf is None else ctf[part], noise_variance
            )
            chosen = templates.candidates(encoded, self.search.candidates, separation, window)
            found.append(chosen._replace(image_of=chosen.image_of + start))
        joined = Candidates(*(xp.concatenate(values) for values in zip(*found, strict=True)))
        return Starts(
            joined.image_of,
            templates.rotations[joined.rotation],
            templates.shifts[joined.shift],
        )

    def _relaxed(
        self, batch: Batch, starts: Starts, noise_variance: float,
        response: DefocusResponse | None,
    ) -> PosePosterior:  # fmt: skip
        """Return the posterior near starts and all that are equivalent, some images at a time.

        They are refined together from the first band on: where the map is not quite symmetric, the
        right one may be the only one of them that is better than poses elsewhere.
        """
        assert self.relax is not None
        group = symmetry_rotations(self.relax, like=starts.rotations)
        n, xp = len(batch.rows), array_namespace(starts.shifts)
        step = max(1, _STARTS // (self.search.candidates * len(group)))
        found = []
        for first in range(0, n, step):
            part = slice(first, min(first + step, n))
            here = (starts.image_of >= part.start) & (starts.image_of < part.stop)
            own = starts.take(here).mates(group)
            own = own._replace(image_of=own.image_of - first)
            chosen = xp.arange(part.start, part.stop)
            answer = None if response is None else response.take(chosen)
            found.append(self._refined(_some(batch, chosen), own, noise_variance, answer))
        return sum(found[1:], found[0])

    def _refined(
        self, batch: Batch, starts: Starts, noise_variance: float,
        response: DefocusResponse | None, first: int = 0,
    ) -> PosePosterior:  # fmt: skip
        assert batch.images_ft is not None
        count = len(batch.images_ft)
        left = array_namespace(batch.images_ft).ones(count)  # the share of the mass
        for number in range(first, len(self.levels)):
            band = self.levels[number][0]
            last = number + 1 == len(self.levels)
            level = self.level(batch, number, noise_variance, response)
            steps = _LAST_STEPS if last else _STEPS
            max_angle = _LONGEST / band.radius
            starts, quadratic = climb(level, starts, steps, max_angle, full=last)
            if last:
                starts, quadratic = settle(starts, quadratic)
            window = self.search.window + (0 if last else 2)
            most = self.search.max_modes * (1 if last else 2)
            kept = self._pruned(starts, quadratic, count, window, most)
            starts = starts.take(kept.places)
            quadratic = Quadratic(*(values[kept.places] for values in quadratic))
            left = left * (1 - kept.discarded)
            if not last:  # a step that costs nothing, as the next level evaluates anyway
                starts = moved(starts, shortened(quadratic.steps(), max_angle))
        return self._posterior(batch, starts, quadratic, 1 - left)

    def _pruned(
        self, starts: Starts, quadratic: Quadratic, count: int, window: float, most: int
    ) -> Kept:
        group = symmetry_rotations(self.symmetry, like=starts.rotations)
        return prune(starts, log_masses(quadratic), group, count, window, most)

    def _posterior(
        self, batch: Batch, starts: Starts, quadratic: Quadratic, lost: Array
    ) -> PosePosterior:
        xp, count = array_namespace(lost), len(lost)
        masses = log_masses(quadratic)
        first = xp.searchsorted(starts.image_of, xp.arange(count))
        best = masses[first]  # the first of an image is its best
        relative = xp.exp(masses - best[starts.image_of])
        sums = group_sums(starts.image_of, relative, count)
        free = self.search.parameters
        parameters = {} if starts.parameters is None else dict(
            zip(free, starts.parameters.T, strict=True)
        )  # fmt: skip
        return PosePosterior(
            starts.image_of, starts.rotations, starts.shifts,
            relative / sums[starts.image_of], xp.linalg.inv(quadratic.matrix),
            best + xp.log(sums) - self.log_volume, lost, batch.rows, **parameters,
        )  # fmt: skip


def _some(batch: Batch, chosen: Array) -> Batch:
    """Return some images of a batch, whose poses play no part."""
    assert batch.images_ft is not None
    ctf = None if batch.ctf is None else batch.ctf[chosen]
    return batch._replace(rows=batch.rows[chosen], images_ft=batch.images_ft[chosen], ctf=ctf)


def shift_log_prior(shifts: Array, shift_std: float, like: Array) -> Array:
    """Return the log prior of shifts, (T, 2), less its constant: (T,), in the dtype of `like`."""
    return (-0.5 / shift_std**2 * (shifts**2).sum(1)).astype(like.dtype)
