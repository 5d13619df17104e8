"""How poses are searched for, and what is made of a map before images are looked at."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from fslice._arrays import Array, array_namespace, check_real, check_shape, placed
from fslice.alignment.band import Band
from fslice.alignment.coarse import Candidates, Templates, make_templates
from fslice.alignment.grid import asymmetric_rotations, cell_radius, hexagonal_shifts
from fslice.alignment.modes import Kept, log_masses, prune
from fslice.alignment.newton import Level, Quadratic, Starts, climb, moved, settle, shortened
from fslice.alignment.posterior import PosePosterior
from fslice.data.passes import Batch
from fslice.operators.projector import Projector
from fslice.symmetry.groups import symmetry_rotations

_TOGETHER = 32  # images that are scored together
_SEPARATION = 1.5  # cells of the grid between candidates
_WINDOWS = (16.0, 14.0)  # nats, of the levels before the last one
_STEPS, _LAST_STEPS = 1, 12
_LONGEST = 1.6  # a step's angle times the radius of the band


@dataclass(frozen=True)
class PoseSearch:
    """How poses are searched for.

    Parameters
    ----------
    shift_std : float, optional
        Standard deviation, in pixels, of shifts along x and along y before the image is seen.
        `find_poses` sets it.
    rotations : int, optional
        Of the grid over all of SO(3).
    coarse_radius : float, optional
        Frequencies of the grid search, in units of 1/D. Default: three thirty-seconds of D.
    radii : tuple of float, optional
        Frequencies of the refinement, ascending, in units of 1/D. Default: an eighth, a quarter
        and three eighths of D.
    shift_step : float, optional
        Between neighbours of the grid of shifts, in pixels. Default: 0.28 D over `coarse_radius`.
    candidates : int, optional
        Poses of the grid that are refined, of an image. They are apart, so that one mode does
        not take all.
    max_modes : int, optional
        That are kept of an image.
    window : float, optional
        In nats: modes further below the best one are given up.

    Raises
    ------
    ValueError
        A number is out of its range.
    """

    shift_std: float = 2.0
    rotations: int = 18432
    coarse_radius: float | None = None
    radii: tuple[float, ...] | None = None
    shift_step: float | None = None
    candidates: int = 12
    max_modes: int = 8
    window: float = 12.0

    def __post_init__(self) -> None:
        for name in ("shift_std", "rotations", "candidates", "max_modes", "window"):
            value = getattr(self, name)
            if not 0 < value < math.inf:
                raise ValueError(f"{name}: expected a number above 0, got {value}")

    def bands(self, size: int) -> tuple[Band, tuple[Band, ...]]:
        """Return the bands of the grid search and of the levels of refinement, for a box D."""
        most = (size - 1) // 2
        coarse = self.coarse_radius or max(3.0, round(3 * size / 32))
        radii = self.radii or tuple(round(size * share) for share in (1 / 8, 1 / 4, 3 / 8))
        oversampling = 2 if size % 2 else 1.5  # a whole box; what remains is far below the noise
        levels = tuple(Band(size, min(max(radius, coarse), most), oversampling) for radius in radii)
        return Band(size, min(coarse, most), oversampling), levels

    def shifts(self, size: int) -> np.ndarray:
        """Return the grid of shifts, (T, 2), within three standard deviations."""
        coarse, _ = self.bands(size)
        step = self.shift_step or 0.28 * size / coarse.radius
        return hexagonal_shifts(3 * self.shift_std + step / 4, step)


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
    """

    search: PoseSearch
    symmetry: str
    levels: tuple[tuple[Band, Array], ...]
    templates: Templates | None

    def with_shift_std(self, shift_std: float) -> PreparedMap:
        """Return the same with another prior of shifts; the grid of shifts is made anew."""
        search, templates = replace(self.search, shift_std=shift_std), self.templates
        if templates is not None:
            shifts = search.shifts(templates.band.size)
            shifts = placed(shifts, templates.rotations, "float64")
            templates = replace(
                templates, shifts=shifts, log_prior=_log_prior(shifts, shift_std, templates.slices)
            )
        return replace(self, search=search, templates=templates)

    def find(self, batch: Batch, noise_variance: float) -> PosePosterior:
        """Return the posterior over all poses of a batch of images."""
        return self._refined(batch, self._candidates(batch, noise_variance), noise_variance)

    def refine(self, batch: Batch, starts: Starts, noise_variance: float) -> PosePosterior:
        """Return the posterior near given poses, of images counted from 0 in the batch."""
        return self._refined(batch, starts, noise_variance)

    def _candidates(self, batch: Batch, noise_variance: float) -> Starts:
        templates = self.templates
        assert templates is not None
        assert batch.images_ft is not None
        band, xp = templates.band, array_namespace(batch.images_ft)
        images = band.flatten(band.crop(batch.images_ft))
        ctf = band.crop_ctf(batch.ctf, len(images), images.real.dtype)
        ctf = None if ctf is None else band.flatten(ctf)
        separation = _SEPARATION * cell_radius(self.search.rotations)
        window = self.search.window + 18
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

    def _refined(self, batch: Batch, starts: Starts, noise_variance: float) -> PosePosterior:
        assert batch.images_ft is not None
        count, real = len(batch.images_ft), batch.images_ft.real.dtype
        lost = array_namespace(batch.images_ft).zeros(count)
        for number, (band, volume_ft) in enumerate(self.levels):
            last = number + 1 == len(self.levels)
            level = Level(
                band, volume_ft, band.crop(batch.images_ft),
                band.crop_ctf(batch.ctf, count, real), noise_variance, self.search.shift_std,
            )  # fmt: skip
            steps = _LAST_STEPS if last else _STEPS
            max_angle = _LONGEST / band.radius
            starts, quadratic = climb(level, starts, steps, max_angle)
            window = self.search.window if last else self.search.window + 2
            most = self.search.max_modes if last else 3 * self.search.max_modes
            if last:
                kept = self._pruned(starts, quadratic, count, window + 2, most)
                lost = lost + kept.discarded
                starts, quadratic = settle(level, starts.take(kept.places))
            kept = self._pruned(starts, quadratic, count, window, most)
            starts = starts.take(kept.places)
            quadratic = Quadratic(*(values[kept.places] for values in quadratic))
            if not last:  # a step that costs nothing, as the next level evaluates anyway
                starts = moved(starts, shortened(quadratic.steps(), max_angle))
            lost = lost + kept.discarded
        return self._posterior(batch, starts, quadratic, lost)

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
        sums = xp.bincount(starts.image_of, weights=relative, minlength=count)
        order = len(symmetry_rotations(self.symmetry))
        volume = 8 * math.pi**2 / order * 2 * math.pi * self.search.shift_std**2
        return PosePosterior(
            starts.image_of, starts.rotations, starts.shifts,
            relative / sums[starts.image_of], xp.linalg.inv(quadratic.matrix),
            best + xp.log(sums) - math.log(volume), xp.minimum(lost, 1), batch.rows,
        )  # fmt: skip


def prepare(
    volume: Array, search: PoseSearch, symmetry: str = "C1", *, templates: bool = True,
    dtype: Any = None,
) -> PreparedMap:  # fmt: skip
    """Transform a map, crop it to all bands, and read the slices of the grid.

    Parameters
    ----------
    volume : (D, D, D) real array
    search : PoseSearch
    symmetry : str, optional
        Point group of the map: the asymmetric unit of poses is searched.
    templates : bool, optional
        False where poses are only refined.
    dtype : {"float32", "float64"}, optional
        Of all that is computed. Default: that of the map.
    """
    check_real("volume", volume)
    size = len(volume)
    check_shape("volume", volume, (size,) * 3)
    volume = volume if dtype is None else volume.astype(dtype, copy=False)
    coarse, bands = search.bands(size)
    spectrum = Projector(size, coarse.oversampling, coarse.interpolation).transform(volume)
    levels = tuple((band, band.crop_volume(spectrum)) for band in bands)
    found = None
    if templates:
        rotations = asymmetric_rotations(search.rotations, symmetry)
        rotations = placed(rotations, volume, "float64")
        shifts = placed(search.shifts(size), volume, "float64")
        found = make_templates(
            coarse.crop_volume(spectrum), coarse, rotations, shifts,
            log_prior=_log_prior(shifts, search.shift_std, volume),
        )  # fmt: skip
    return PreparedMap(search, symmetry, levels, found)


def _log_prior(shifts: Array, shift_std: float, like: Array) -> Array:
    return (-0.5 / shift_std**2 * (shifts**2).sum(1)).astype(like.dtype)
