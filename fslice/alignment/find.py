"""The posterior over poses of images, given a map: searched for everywhere, or near given poses."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

import numpy as np

from fslice._arrays import Array, array_namespace, check_choice, placed
from fslice.alignment.learn import Learn, evenly, learned, map_scale, rescaled
from fslice.alignment.model import PoseModel
from fslice.alignment.noise import outer_variance
from fslice.alignment.posterior import PosePosterior
from fslice.alignment.prepare import prepare
from fslice.alignment.priors import shift_spread, were_found
from fslice.alignment.search import PoseSearch
from fslice.data.dataset import Dataset
from fslice.data.poses import Poses
from fslice.operators.ctf import CTF
from fslice.symmetry.groups import symmetry_name

_WIDE = 0.04
"""Deviation of shifts, in boxes, before any image is seen."""


def find_poses(
    images: Any,
    volume: Array,
    ctf: CTF | Array | None = None,
    *,
    symmetry: str | None = None,
    relax_symmetry: str | None = None,
    noise: str = "white",
    noise_variance: float | None = None,
    shift_std: float | None = None,
    search: PoseSearch | None = None,
    rows: Array | None = None,
    progress: Callable[[int], object] | None = None,
    executor: Any = None,
) -> PosePosterior:
    """Find where the particle of each image may be, given a map.

    Parameters
    ----------
    images : (n, D, D) array of real numbers, a memory-mapped stack, or a `Dataset`
        A `Dataset` brings CTF, noise spectrum, contrast, aberrations and symmetry; its poses play
        no part.
    volume : (D, D, D) real array
        The map, in the unit of the images.
    ctf : CTF or (n, D, D//2 + 1) real array, optional
    symmetry : str, optional
        Point group of the map: poses are searched for in its asymmetric unit. Default: that of
        the data set, else C1.
    relax_symmetry : str, optional
        Point group that the map has only nearly: candidates are found in its asymmetric unit, then
        all equivalent ones are refined against the map as it is, and their weights decide.
    noise : {"white", "shell"}, optional
        One noise variance, or one for each shell, learned from what some images leave at their
        best poses.
    noise_variance : float, optional
        ``sigma^2`` of a pixel; of a `Dataset` with a noise model, the factor of that. Default:
        learned.
    shift_std : float, optional
        Standard deviation, in pixels, of shifts along x and along y. Default: learned.
    search : PoseSearch, optional
        How much is searched, and whether defocus and contrast of each image are free too.
    rows : (k,) int64 array, optional
        Which images, ascending. Default: all.
    progress : callable, optional
        Called with the number of images of each batch that is done.
    executor : optional
        Shares the images among threads, processes, GPUs or machines, as that of
        `fslice.data.passes.sum_over`. What is learned from some images is learned here.

    Returns
    -------
    PosePosterior
        In the order of `rows`.

    Notes
    -----
    Every rotation of a grid and every shift of another is scored at low frequency; the best that
    are apart are refined by Newton's method at rising frequency; the modes that are left are
    weighed by their mass, ``exp(score) (2 pi)^(c/2) det(H)^(-1/2)``, with the full curvature H in c
    coordinates: five of the pose, and those that are free beside it.

    Examples
    --------
    >>> import fslice
    >>> from fslice.geometry import angle_between
    >>> rng = np.random.default_rng(0)
    >>> positions, weights = 28 * rng.uniform(-1, 1, (30, 3)), rng.uniform(0.5, 1.5, 30)
    >>> model = fslice.simulation.GaussianModel(positions, weights, np.full(30, 40.0))
    >>> data = fslice.simulate(model, 20, 32, 4.0, snr=1.0, shift_std=1.0, seed=1)
    >>> found = find_poses(data.images(), data.truth)
    >>> bool(angle_between(found.best().rotations, data.rotations).max() < 10)
    True
    """
    model = pose_model(
        images, volume, ctf, symmetry=symmetry, relax_symmetry=relax_symmetry, noise=noise,
        noise_variance=noise_variance, shift_std=shift_std, search=search,
    )  # fmt: skip
    return model.find(rows, progress, executor)


def refine_poses(
    dataset: Dataset,
    volume: Array,
    poses: PosePosterior | None = None,
    *,
    noise: str = "white",
    noise_variance: float | None = None,
    shift_std: float | None = None,
    search: PoseSearch | None = None,
    rows: Array | None = None,
    progress: Callable[[int], object] | None = None,
    executor: Any = None,
) -> PosePosterior:
    """Refine the poses of images, and find how sure they are.

    Parameters
    ----------
    dataset : Dataset
        Its poses are refined where `poses` is None.
    volume : (D, D, D) real array
    poses : PosePosterior, optional
        All of its modes are refined, weighed anew, and pruned. Of the images of `rows`.
    noise, noise_variance, shift_std, search, rows, progress, executor
        As in `find_poses`; of the search what concerns the grid plays no part. The default of
        `shift_std` is that of `poses` if these were found, with their evidence.

    Returns
    -------
    PosePosterior
    """
    given = poses_as_posterior(dataset.poses) if poses is None else poses
    if poses is None and rows is not None:
        given = given[rows]
    chosen = array_namespace(given.weights).arange(len(dataset)) if rows is None else rows
    if len(given) != len(chosen):
        raise ValueError(f"poses: expected those of {len(chosen)} images, got {len(given)}")
    if shift_std is None and poses is not None and were_found(poses):
        shift_std = shift_spread(poses)  # those of a file may lack shifts, or have them wrong
    model = pose_model(
        dataset, volume, noise=noise, noise_variance=noise_variance, shift_std=shift_std,
        search=search, known=(given, rows),
    )  # fmt: skip
    return model.refine(given, rows, progress, executor)


def pose_model(
    images: Any,
    volume: Array,
    ctf: CTF | Array | None = None,
    *,
    symmetry: str | None = None,
    relax_symmetry: str | None = None,
    noise: str = "white",
    noise_variance: float | None = None,
    shift_std: float | None = None,
    search: PoseSearch | None = None,
    known: tuple[PosePosterior, Array | None] | None = None,
) -> PoseModel:
    """Prepare the map, and learn from some images what is not given.

    Parameters
    ----------
    images, volume, ctf, symmetry, relax_symmetry, noise, noise_variance, shift_std, search
        As in `find_poses`.
    known : (PosePosterior, rows), optional
        Where poses are only refined.
    """
    check_choice("noise", noise, ("white", "shell"))
    if noise == "shell" and noise_variance is not None:
        raise ValueError(
            f"noise_variance: expected None with noise='shell', got {noise_variance:g}"
        )
    dataset = as_dataset(images, volume, ctf)
    symmetry = dataset.symmetry if symmetry is None else symmetry
    if relax_symmetry is not None and symmetry_name(symmetry) != "C1":
        raise ValueError(f"relax_symmetry: expected None beside the symmetry {symmetry}")
    # of a portion, images are counted from its first
    dataset = dataclasses.replace(dataset, symmetry="C1", origin=None)
    if len(volume) != dataset.size:
        raise ValueError(f"volume: expected a box of {dataset.size} voxels, got {len(volume)}")
    wide = _WIDE * dataset.size if shift_std is None else shift_std
    options = dataclasses.replace(search or PoseSearch(), shift_std=wide)
    prepared = prepare(
        volume, options, symmetry, templates=known is None, dtype=dataset.dtype.name,
        relax=relax_symmetry,
    )  # fmt: skip
    rows = evenly(known[1] if known and known[1] is not None else np.arange(len(dataset)))
    variance = outer_variance(dataset, rows) if noise_variance is None else noise_variance
    model = PoseModel(dataset, variance, prepared)
    learn = Learn(
        noise == "shell", shift_std is None,
        options.contrast_std is not None, options.prior_directions == "learned",
    )  # fmt: skip
    if learn.scale:
        model = rescaled(model, map_scale(model, rows))
    return learned(model, volume, rows, learn, known) if any(learn) else model


def as_dataset(images: Any, volume: Array, ctf: CTF | Array | None = None) -> Dataset:
    """Return images as a data set; those that bring no poses get the identity."""
    if isinstance(images, Dataset):
        if ctf is not None:
            raise ValueError("ctf: expected None beside a Dataset, which brings its own")
        return images
    n = len(images)
    rotations = placed(np.tile(np.eye(3), (n, 1, 1)), volume, "float64")
    return Dataset(images, Poses(rotations), ctf)


def poses_as_posterior(poses: Poses) -> PosePosterior:
    """Return poses as a posterior of one mode for each image, whose width is not known."""
    xp, n = array_namespace(poses.rotations), len(poses)
    shifts = xp.zeros((n, 2)) if poses.shifts is None else poses.shifts.astype(np.float64)
    return PosePosterior(
        xp.arange(n), poses.rotations.astype(np.float64), shifts, xp.ones(n),
        xp.full((n, 5, 5), xp.nan), xp.full(n, xp.nan), xp.full(n, xp.nan),
    )  # fmt: skip
