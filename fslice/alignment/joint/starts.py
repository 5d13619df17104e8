"""Stage A of unknown poses: from random maps to a map of low resolution, by EM on growing grids."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np

from fslice._arrays import (
    Array,
    array_namespace,
    check_finite,
    check_real,
    check_shape,
    to_numpy,
)
from fslice.alignment.band import Band, map_band
from fslice.alignment.band_images import BandImages
from fslice.alignment.grid import hexagonal_shifts
from fslice.alignment.joint.grid_em import (
    Statistics,
    expectation,
    make_grid,
    normal_equations_of,
    updated_noise,
)
from fslice.alignment.joint.grid_map import (
    GridMap,
    first_prior,
    maximisation,
    rescaled,
    sphere,
)
from fslice.geometry import grid_rotations, random_rotations
from fslice.posterior.latent import latent_map
from fslice.posterior.stencil import StencilEquations

_MOST_SHIFTS = 19
_VIEWS = 64
"""Of a map that is given, over which the power of its slices is averaged."""
_OUTER = 0.8
"""Shells from this share of the largest on are taken for noise."""


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
    made = maximisation(normal, latent, prior, updates=3)
    return GridMap(made.volume, band, made.prior, noise, 1.0)


def given_map(
    volume: Array, images: BandImages, power: np.ndarray, shift_std: float
) -> GridMap:  # fmt: skip
    """Return a map that was given, limited to a band, and as bright as the images show it.

    Parameters
    ----------
    volume : (D, D, D) real array
        In any unit.
    images : BandImages
        In the band.
    power : (shells,) float64 array
        Mean square of the images in each shell, far beyond the band.
    shift_std : float
        As in `GridEM`.

    Notes
    -----
    Whatever the poses, ``<|y|^2> = a^2 <C^2> P + sigma^2`` at each frequency, P the mean power of
    the map's slices in its shell: least squares in ``a^2``, with the noise of the last shells.
    """
    check_real("initial", volume)
    check_shape("initial", volume, (images.band.size,) * 3)
    check_finite("initial", volume)
    band, shell = images.band, images.shell_of()
    small = rescaled(volume, band.box)
    views = grid_rotations(_VIEWS, like=small)
    slices = band.slices(band.projector.transform(small), views)
    means = to_numpy((slices.real**2 + slices.imag**2).mean(0, dtype=np.float64))
    means = (np.bincount(shell, means) / np.bincount(shell))[shell]
    expected = means * to_numpy((images.ctf**2).mean(0, dtype=np.float64))
    weighted = expected * band.multiplicities * (shell > 0)  # the mean is a background
    excess = power[shell] - power[int(_OUTER * len(power)) :].mean()
    square = float(weighted @ excess) / max(float(weighted @ expected), 1e-300)
    small = small * small.dtype.type(square**0.5 if square > 0 else 1)
    prior = np.full(band.box // 2 + 1, float((small**2).mean()) + 1e-30)
    return GridMap(small, band, prior, power[: int(band.radius) + 1], shift_std)


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
        band = map_band(size, level.radius)
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
    inside = sphere(images.band, radius, images.ctf)
    latent = latent_map(images.band.projector, inside, images.images)
    rotations, sums, spread = grid_rotations(level.rotations), None, now.shift_std**2
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
        made = maximisation(sums, latent, now.prior, before=now.volume)
        spread = _spread(found, shifts, spread, share)
        gain = found.above_noise / found.count
        now = GridMap(
            made.volume, images.band, made.prior, np.sqrt(now.noise * noise), spread**0.5,
            trace=(*now.trace, gain),
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
    """Return the shifts to consider: about an eighth of a period apart, to two deviations."""
    step = band.size / (4 * band.radius) / 1.9
    radius = max(2 * shift_std, 1.75 * step)
    shifts = hexagonal_shifts(radius, step)
    while len(shifts) > _MOST_SHIFTS:
        step *= 1.1
        shifts = hexagonal_shifts(radius, step)
    return shifts
