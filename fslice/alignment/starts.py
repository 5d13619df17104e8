"""Stage A of unknown poses: from random maps to a map of low resolution, by EM on growing grids."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import NamedTuple

import numpy as np

from fslice._arrays import Array, array_namespace, to_numpy
from fslice.alignment.band import Band
from fslice.alignment.band_images import BandImages
from fslice.alignment.grid import hexagonal_shifts
from fslice.alignment.grid_em import (

    Statistics,
    expectation,
    make_grid,
    normal_equations_of,
    updated_noise,
)
from fslice.fourier import irfft3, rfft3, shell_sum
from fslice.geometry import grid_rotations, random_rotations
from fslice.posterior.cg import conjugate_gradients
from fslice.posterior.latent import LatentMap, latent_map
from fslice.posterior.precision import PosteriorPrecision
from fslice.posterior.stencil import StencilEquations
from fslice.postprocess.masks import soft_spherical_mask
from fslice.symmetry.rotation import resized

_TOLERANCE, _SOLVES = 3e-3, 60
_MOST_SHIFTS = 19


class Level(NamedTuple):
    """A part of the schedule: a band, a grid, and how many images in how many steps."""

    radius: int
    rotations: int
    batch: int
    steps: int


SCHEDULE = (Level(4, 1000, 200, 25), Level(6, 2000, 300, 15), Level(8, 4608, 400, 8))


@dataclass(frozen=True, eq=False)
class GridEM:
    """How stage A runs.

    Parameters
    ----------
    schedule : tuple of Level
    forgetting : float
        The share of a new batch in the sums.
    shift_std : float
        Standard deviation, pixels, of shifts along x and y before an image is seen; learned.
    """

    schedule: tuple[Level, ...] = SCHEDULE
    forgetting: float = 0.3
    shift_std: float = 2.0


@dataclass(frozen=True, eq=False)
class GridMap:
    """A map of low resolution with all that was learned beside it."""

    volume: Array = field(repr=False)
    """(d, d, d) real: in the box of the band, as its projector takes it."""
    band: Band
    prior: np.ndarray = field(repr=False)
    """(d//2 + 1,) float64: variance of each shell of the latent map."""
    noise: np.ndarray = field(repr=False)
    """(shells,) float64: variance of each shell of the images."""
    shift_std: float
    trace: tuple[float, ...] = field(default=(), repr=False)
    """Log-likelihood of an image above noise alone, step by step."""

    def in_box(self, size: int) -> Array:
        """Return the map in the box D of the images."""
        return rescaled(self.volume, size)

    def limited_to(self, band: Band) -> GridMap:
        """Return the same map in another band; new shells take the last one's variances."""
        count = band.box // 2 + 1
        return replace(
            self, volume=rescaled(self.volume, band.box), band=band,
            prior=_extended(self.prior, count), noise=_extended(self.noise, int(band.radius) + 1),
        )  # fmt: skip


def rescaled(volume: Array, size: int) -> Array:
    """Return a map in another box of the same length, its projections keeping their spectra."""
    own = len(volume)
    factor = (own / size) ** 0.5
    return irfft3(resized(rfft3(volume), size)) * volume.dtype.type(factor)


def _extended(values: np.ndarray, count: int) -> np.ndarray:
    return np.concatenate([values, np.full(max(0, count - len(values)), values[-1])])[:count]


def sphere(band: Band, radius: float, like: Array) -> Array:
    """Return a soft sphere in the box of a band; the radius in pixels of the box D."""
    edge = max(2.0, 0.06 * band.box)
    xp, dtype = array_namespace(like), like.real.dtype
    return soft_spherical_mask(band.box, radius * band.scale, edge, dtype.name, xp=xp)


def random_map(images: BandImages, radius: float, rng: np.random.Generator) -> GridMap:
    """Return the map of images in random poses: a spherical average, and noise that breaks it.

    Parameters
    ----------
    images : BandImages
        Of a first band, at most some thousand.
    radius : float
        Of the sphere that holds the object, in pixels of the box D.
    rng : numpy.random.Generator
    """
    band, xp = images.band, array_namespace(images.images)
    noise = images.mean_power()
    whitening = xp.asarray((1 / noise[images.shell_of()]).astype(images.ctf.dtype))
    rotations = random_rotations(len(images), rng, like=images.ctf)
    grid = make_grid(to_numpy(rotations), np.zeros((1, 2)), 1.0, images.ctf)
    statistics = Statistics(
        images.ctf * images.images * whitening, images.ctf**2 * whitening, np.zeros(1),
        (abs(images.images) ** 2 * whitening).sum(0), 0.0, 0.0, len(images),
    )  # fmt: skip
    latent = latent_map(band.projector, sphere(band, radius, images.ctf), images.images)
    normal = normal_equations_of(statistics, grid, band)
    prior = first_prior(normal, latent)
    volume, prior = maximisation(normal, latent, prior, updates=3)
    return GridMap(volume, band, prior, noise, 1.0)


def first_prior(normal: StencilEquations, latent: LatentMap) -> np.ndarray:
    """Return a prior so wide that the images decide, for `maximisation` to learn from."""
    density = to_numpy(shell_mean(latent.information(normal), latent.size))
    return np.full(len(density), 100 / max(float(density.max()), 1e-30))


def maximisation(
    normal: StencilEquations,
    latent: LatentMap,
    prior: np.ndarray,
    *,
    start: Array | None = None,
    updates: int = 1,
) -> tuple[Array, np.ndarray]:
    """Return the map that the weighed images determine, and its prior learned on the way.

    Each update is a step of EM for the variance of a shell: the mean square of the posterior mean,
    and the posterior variance, that of each coefficient by itself.
    """
    information = latent.information(normal)
    for _ in range(updates):
        precision = PosteriorPrecision(normal, prior, 1.0, latent)
        diagonal = precision.preconditioner(information)
        start = conjugate_gradients(
            precision, precision.rhs, diagonal, tolerance=_TOLERANCE, max_iterations=_SOLVES,
            start=start,
        ).x  # fmt: skip
        left = 1 / (information + 1 / precision.prior_variance)
        power = start.real**2 + start.imag**2 + left
        prior = to_numpy(shell_mean(power, latent.size))
        prior = np.maximum(prior, 1e-6 * prior.max())
    assert start is not None
    return latent.volume(start), prior


def shell_mean(values: Array, size: int) -> Array:
    """Return the mean over each shell of a half spectrum, the corners counting to the last."""
    ones = array_namespace(values).ones_like(values)
    return shell_sum(values, size, 3, corners=True) / shell_sum(ones, size, 3, corners=True)


def run_grid_em(
    images: BandImages,
    radius: float,
    rng: np.random.Generator,
    options: GridEM | None = None,
    *,
    start: GridMap | None = None,
    advance: Callable[..., None] | None = None,
) -> GridMap:
    """Run stage A from a random map.

    Parameters
    ----------
    images : BandImages
        In the band of the last level, or a larger one.
    radius : float
        Of the sphere that holds the object, in pixels of the box D.
    rng : numpy.random.Generator
    options : GridEM, optional
    start : GridMap, optional
        Default: `random_map`.
    advance : callable, optional
        Told a step at a time, with a note.

    Returns
    -------
    GridMap
    """
    options = GridEM() if options is None else options
    now = start
    size = images.band.size
    for level in options.schedule:
        band = Band(size, level.radius, interpolation="linear")
        limited = images.limited(band)
        if now is None:
            few = limited[np.sort(rng.permutation(len(limited))[:1000])]
            now = replace(random_map(few, radius, rng), shift_std=options.shift_std)
        now = _run_level(now.limited_to(band), limited, level, radius, rng, options, advance)
    assert now is not None
    return now


def _run_level(
    now: GridMap,
    images: BandImages,
    level: Level,
    radius: float,
    rng: np.random.Generator,
    options: GridEM,
    advance: Callable[..., None] | None,
) -> GridMap:
    """Run the steps of one level; the sums over batches fade."""
    latent = latent_map(images.band.projector, sphere(images.band, radius, images.ctf), images.images)
    rotations, sums = grid_rotations(level.rotations), None
    mean, spread = None, now.shift_std**2
    order = rng.permutation(0)
    for _ in range(level.steps):
        if len(order) < min(level.batch, len(images)):
            order = rng.permutation(len(images))
        batch, order = images[np.sort(order[: level.batch])], order[level.batch :]
        shifts = shift_grid(images.band, spread**0.5)
        turned = random_rotations(1, rng)[0] @ rotations
        grid = make_grid(turned, shifts, spread**0.5, images.ctf)
        found = expectation(now.volume, batch, grid, now.noise)
        noise = updated_noise(found, now.volume, grid, batch, now.noise)
        normal = _scaled(normal_equations_of(found, grid, images.band), len(images) / len(batch))
        share = 1.0 if sums is None else options.forgetting
        sums = normal if sums is None else _scaled(sums, 1 - share) + _scaled(normal, share)
        volume, prior = maximisation(sums, latent, now.prior)
        spread = _spread(found, shifts, spread, share)
        gain = found.above_noise / found.count
        now = GridMap(
            volume, images.band, prior, np.sqrt(now.noise * noise), spread**0.5,
            (*now.trace, gain),
        )  # fmt: skip
        if advance is not None:
            advance(1, f"{gain:.1f} nats per image")
    return now


def _scaled(normal: StencilEquations, factor: float) -> StencilEquations:
    return replace(
        normal, b=normal.b * normal.b.real.dtype.type(factor),
        stencil=normal.stencil * normal.stencil.dtype.type(factor),
        squares=normal.squares * factor, degrees=normal.degrees * factor,
    )  # fmt: skip


def _spread(found: Statistics, shifts: np.ndarray, before: float, share: float) -> float:
    """Return the variance of shifts, learned slowly, and not below half a step of their grid."""
    gamma = to_numpy(found.shifts)
    now = float((gamma * (shifts**2).sum(1)).sum() / gamma.sum()) / 2
    step = float(np.sort((shifts**2).sum(1))[1]) if len(shifts) > 1 else 0.0
    return max((1 - share) * before + share * now, step / 4)


def shift_grid(band: Band, shift_std: float) -> np.ndarray:
    """Return the shifts to consider: a quarter of a period apart, out to two and a half deviations."""
    step = band.size / (4 * band.radius) / 1.9
    radius = max(2.5 * shift_std, 2 * step)
    shifts = hexagonal_shifts(radius, step)
    while len(shifts) > _MOST_SHIFTS:
        step *= 1.1
        shifts = hexagonal_shifts(radius, step)
    return shifts


def held_out(
    now: GridMap, images: BandImages, rotations: int, rng: np.random.Generator
) -> tuple[float, float]:
    """Return the log density of unseen images under a map, per image, and that above noise alone.

    The poses are summed out over a grid, so that maps are compared by what they predict.
    """
    grid = make_grid(
        random_rotations(1, rng)[0] @ grid_rotations(rotations),
        shift_grid(now.band, now.shift_std), now.shift_std, images.ctf,
    )  # fmt: skip
    found = expectation(now.volume, images.limited(now.band), grid, now.noise, maps=False)
    return found.log_likelihood / found.count, found.above_noise / found.count


def spherical_average(volume: Array) -> Array:
    """Return the map whose value depends on the distance from the centre only."""
    xp, size = array_namespace(volume), len(volume)
    ticks = xp.arange(size) - size // 2
    distance = xp.sqrt(sum(t**2 for t in xp.meshgrid(ticks, ticks, ticks, indexing="ij")))
    index = xp.rint(2 * distance).astype(np.int64)
    count = xp.bincount(index.ravel())
    total = xp.bincount(index.ravel(), weights=volume.ravel().astype(np.float64))
    return (total / xp.maximum(count, 1))[index].astype(volume.dtype)


