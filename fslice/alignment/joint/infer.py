"""Poses and structure together, from nothing but images."""

from __future__ import annotations

import os
from dataclasses import dataclass, field, replace

import numpy as np

from fslice._arrays import Array, check_size, placed, to_numpy
from fslice.alignment.band import Band
from fslice.alignment.band_images import BandImages, read_band
from fslice.alignment.joint.axes import Axes
from fslice.alignment.joint.checkpoint import JointCheckpoint
from fslice.alignment.joint.frames import NoStructureError, imposed, mean_map
from fslice.alignment.joint.grid_map import GridMap
from fslice.alignment.joint.rounds import JointState, Rounds, first_state, lay_halves, next_round
from fslice.alignment.joint.selection import HeldOut, held_out
from fslice.alignment.joint.sign import upright
from fslice.alignment.joint.starts import GridEM, given_map, run_grid_em
from fslice.alignment.joint.whole import joined, next_round_of_all, poses_in_one_frame
from fslice.alignment.noise import mean_power
from fslice.alignment.posterior import PosePosterior
from fslice.data.dataset import Dataset
from fslice.likelihoods.gaussian import GaussianNoise
from fslice.metrics import MapAlignment
from fslice.postprocess.checks import duplicate_images, map_sign
from fslice.postprocess.masks import mask_from_map
from fslice.solvers.progress import Reporter
from fslice.symmetry.groups import symmetry_name

_LEAST_IMAGES, _MOST_HELD_OUT = 50, 500
_RADIUS = 0.42
"""Of the sphere that holds the object, in boxes."""


@dataclass(frozen=True, eq=False)
class Joint:
    """How poses and structure are found together.

    Parameters
    ----------
    starts : int
        Random maps from which stage A begins. The one that predicts held-out images best goes on.
    seed : int
        Of everything random.
    initial : (D, D, D) real array, optional
        A map to begin with, in place of random ones, in any unit: the images tell how bright it is.
    radius : float, optional
        Of the sphere that holds the object, in pixels. Default: 0.42 of the box.
    symmetry : str
        Point group, whose axes are found in the map once it has detail, and which is then imposed.
    grid_em : GridEM
    rounds : Rounds
    checkpoint : path, optional
        File that holds the state after each round; a run with the same images and settings goes
        on from there.
    """

    starts: int = 2
    seed: int = 0
    initial: Array | None = field(default=None, repr=False)
    radius: float | None = None
    symmetry: str = "C1"
    grid_em: GridEM = field(default_factory=GridEM)
    rounds: Rounds = field(default_factory=Rounds)
    checkpoint: str | os.PathLike[str] | None = None

    def __post_init__(self) -> None:
        check_size("starts", self.starts)
        check_size("seed", self.seed, 0)
        symmetry_name(self.symmetry)


@dataclass(frozen=True, eq=False)
class JointResult:
    """Poses and structure that were found together.

    The orientation of the map is arbitrary, and so is its hand: the mirror image explains the
    images as well.
    """

    poses: PosePosterior
    """Of all images, in their order, in the frame of `volume`: each under the map of others."""
    dataset: Dataset
    """The images in the best of these poses, with half sets, symmetry and noise."""
    volume: Array = field(repr=False)
    """(D, D, D) real: the map that all images make together, up to the last band."""
    half_poses: PosePosterior
    """Of all images, as each half has found them in its own maps; the second half laid upon the
    first."""
    half_maps: tuple[Array, Array] = field(repr=False)
    """(D, D, D) real: each from its own half of the images, in `half_poses`."""
    curve: np.ndarray = field(repr=False)
    """(D//2 + 1,) float64: their Fourier shell correlation. It tells what half of the images reach
    by themselves, and is a lower bound for `volume`."""
    starts: tuple[HeldOut, ...]
    """What each start's map of low resolution says of held-out images."""
    chosen: int
    """Which start went on."""
    trace: tuple[dict, ...]
    """Images, radius, evidence and agreement of each round."""
    axes: Axes | None = None
    """Where the axes of the symmetry were found, if it was imposed."""

    @property
    def half_dataset(self) -> Dataset:
        """The images in the best of `half_poses`, from which independent half maps are made."""
        return replace(self.dataset, poses=self.half_poses.best().astype(self.dataset.dtype))


def infer_poses(dataset: Dataset, options: Joint, report: Reporter | None = None) -> JointResult:
    """Find poses and structure together.

    Parameters
    ----------
    dataset : Dataset
        Its own poses play no part. Its half sets do, if it has them.
    options : Joint
    report : Reporter, optional

    Returns
    -------
    JointResult

    Raises
    ------
    NoStructureError
        The images are not explained better than by a ball; their contrast is inverted; or the map
        does not have the symmetry.
    ValueError
        There are too few images, or they are copies of each other.
    """
    report = Reporter() if report is None else report
    _check_images(dataset, options)
    plain = replace(dataset, symmetry="C1", origin=None)
    radius = _RADIUS * dataset.size if options.radius is None else options.radius
    labels = _half_sets(dataset, options.seed)
    checkpoint = JointCheckpoint(options.checkpoint, plain, options)
    saved = checkpoint.load(plain)
    if saved is None:
        saved = _started(plain, labels, radius, options, report)
        checkpoint.save(*saved)
    state, starts = saved
    state = _rounds(state, starts, radius, options, report, checkpoint)
    laid = lay_halves(state.halves)
    _check_sign(state, laid)
    axes = None
    if symmetry_name(options.symmetry) != "C1":
        checkpoint = replace(checkpoint, path=None)  # it goes on before the axes were laid
        state, axes = imposed(state, laid, options.symmetry, options.rounds)
        state = _rounds(state, starts, radius, options, report, checkpoint)
        laid = lay_halves(state.halves)
    if state.whole is None:
        rng = np.random.default_rng([options.seed, 4])
        state = joined(state, laid, radius, options.rounds, rng)
    state = _rounds(state, starts, radius, options, report, checkpoint)
    return _result(state, laid, starts, axes, labels)


def _check_images(dataset: Dataset, options: Joint) -> None:
    n, symmetry = len(dataset), symmetry_name(options.symmetry)
    if dataset.symmetry not in ("C1", symmetry):
        raise ValueError(f"joint: expected the symmetry {dataset.symmetry}, got {symmetry}")
    if n < _LEAST_IMAGES:
        raise ValueError(
            f"images: expected at least {_LEAST_IMAGES} to find poses and structure, got {n}"
        )
    first = duplicate_images(dataset.images)
    different = len(np.unique(first))
    if different < n / 2:
        raise ValueError(f"images: expected different ones, got {different} among {n}")


def _half_sets(dataset: Dataset, seed: int) -> np.ndarray:
    """Return the half of each image: those of the data set, else random ones."""
    if dataset.half_sets is not None:
        return to_numpy(dataset.half_sets)
    order = np.random.default_rng([seed, 2]).permutation(len(dataset))
    labels = np.ones(len(dataset), np.int64)
    labels[order[: len(dataset) // 2]] = 2
    return labels


def _started(
    dataset: Dataset, labels: np.ndarray, radius: float, options: Joint, report: Reporter
) -> tuple[JointState, tuple[HeldOut, ...]]:
    """Run stage A from all starts, and return the state before stage B of the best."""
    size = dataset.size
    whole = Band(size, (size - 1) // 2 - (size % 2 == 0), interpolation="linear")
    band = Band(size, options.grid_em.schedule[-1].radius, interpolation="linear")
    with report.stage("reading", len(dataset)) as advance:
        images = read_band(dataset, whole, progress=advance)
    power, images = images.mean_power(), images.limited(band)
    unseen = _held_out_rows(len(dataset), options.seed)
    kept = np.setdiff1d(np.arange(len(dataset)), unseen)
    maps, found = [], []
    for number in range(1 if options.initial is not None else options.starts):
        rng = np.random.default_rng([options.seed, 0, number])
        maps.append(_start(images[kept], power, radius, options, rng, report))
        found.append(held_out(maps[-1], images[unseen], np.random.default_rng(0)))
    chosen = int(np.argmax([each.log_likelihood for each in found]))
    _check_structure(maps[chosen], found[chosen], size)
    noise = np.append(power, np.full(size // 2 + 1 - len(power), power[-1]))
    noise[: len(maps[chosen].noise)] = maps[chosen].noise
    coloured = dataset.with_noise(GaussianNoise(dataset.xp.asarray(_times(noise, dataset))))
    first = first_state(
        coloured, maps[chosen], labels, round(1.5 * band.radius), mean_power(dataset)
    )
    return replace(first, start=chosen), tuple(found)


def _times(noise: np.ndarray, dataset: Dataset) -> np.ndarray:
    """Return the spectrum of the noise: what was found, times the mean of what images had."""
    if dataset.noise is None:
        return noise
    table, group = to_numpy(dataset.noise.variances), dataset.noise.groups
    shares = None if group is None else np.bincount(to_numpy(group), minlength=len(table))
    return noise * np.average(table, axis=0, weights=shares)


def _held_out_rows(n: int, seed: int) -> np.ndarray:
    count = min(_MOST_HELD_OUT, n // 5)
    return np.sort(np.random.default_rng([seed, 3]).permutation(n)[:count])


def _start(
    images: BandImages, power: np.ndarray, radius: float, options: Joint,
    rng: np.random.Generator, report: Reporter,
) -> GridMap:  # fmt: skip
    """Return the map of stage A from a random map, or from the one that was given."""
    em, start = options.grid_em, None
    if options.initial is not None:
        em = replace(em, schedule=em.schedule[-1:])
        volume = placed(to_numpy(options.initial), images.ctf)
        start = upright(given_map(volume, images, power, em.shift_std), images)
    steps = sum(level.steps for level in em.schedule)
    with report.stage("random start" if start is None else "initial map", steps, "steps") as tell:
        return run_grid_em(images, radius, rng, em, start=start, advance=tell)


def _check_structure(found: GridMap, evidence: HeldOut, size: int) -> None:
    if not evidence.is_structure:
        raise NoStructureError(
            "no structure: the best map explains unseen images by "
            f"{evidence.above_sphere:.2f} +- {evidence.error:.2f} nats better than its spherical "
            "average: the images show no particle, or too few do",
            found.in_box(size), "no_structure",
        )  # fmt: skip


def _check_sign(state: JointState, laid: MapAlignment) -> None:
    volume = mean_map(state, laid)
    if map_sign(volume, mask_from_map(abs(volume), 3.0)) < 0:
        raise NoStructureError(
            "inverted contrast: the object is darker than its surroundings: expected images in "
            "which particles are bright",
            volume, "inverted_contrast",
        )  # fmt: skip


def _rounds(
    state: JointState, starts: tuple[HeldOut, ...], radius: float, options: Joint,
    report: Reporter, checkpoint: JointCheckpoint,
) -> JointState:  # fmt: skip
    """Run rounds on the halves, or on all images, to the end."""
    of_all = state.whole is not None
    name = "rounds of all images" if of_all else "rounds of poses and map"
    with report.stage(name, options.rounds.most, "rounds") as advance:
        while not state.finished:
            # of the round: a run that is resumed draws the same poses
            rng = np.random.default_rng([options.seed, 5 if of_all else 1, state.round])
            step = next_round_of_all if of_all else next_round
            state = step(state, radius, options.rounds, rng)
            checkpoint.save(state, starts)
            advance(1, _note(state.trace[-1]))
    return state


def _note(entry: dict) -> str:
    agreed = f", halves agree to {entry['agreed']}" if "agreed" in entry else ""
    begun = f", half {entry['restarted']} begins again" if "restarted" in entry else ""
    return f"shell {entry['radius']}{agreed}{begun}, {entry['evidence']:.1f} nats per image"


def _result(
    state: JointState, laid: MapAlignment, starts: tuple[HeldOut, ...], axes: Axes | None,
    labels: np.ndarray,
) -> JointResult:  # fmt: skip
    whole, size = state.whole, state.dataset.size
    assert whole is not None
    assert whole.poses is not None
    dataset = replace(
        state.dataset, poses=whole.poses.best().astype(state.dataset.dtype), half_sets=labels
    )
    return JointResult(
        whole.poses, dataset, whole.map.in_box(size), poses_in_one_frame(state, laid),
        (state.halves[0].map.in_box(size), laid.volume), to_numpy(laid.curve),
        starts, state.start, state.trace, axes,
    )  # fmt: skip
