"""The posterior over poses of images, given a map: searched for everywhere, or near given poses."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from fslice._arrays import Array
from fslice.alignment.posterior import PosePosterior
from fslice.data.dataset import Dataset
from fslice.operators.ctf import CTF


@dataclass(frozen=True)
class PoseSearch:
    """How poses are searched for; what is None is chosen from the map.

    Parameters
    ----------
    rotations : int, optional
        Of the grid over all of SO(3).
    coarse_radius : float, optional
        Frequencies of the grid search, in units of 1/D.
    radii : tuple of float, optional
        Frequencies of the refinement, ascending, in units of 1/D.
    shift_std : float, optional
        Standard deviation, pixels, of shifts along x and along y before the image is seen.
    shift_step : float, optional
        Between neighbours of the grid of shifts, in pixels.
    candidates : int, optional
        Poses of the grid that are refined, of an image.
    max_modes : int, optional
        That are kept of an image.
    window : float, optional
        In nats: modes further below the best one are given up.
    """

    rotations: int | None = None
    coarse_radius: float | None = None
    radii: tuple[float, ...] | None = None
    shift_std: float = 2.0
    shift_step: float | None = None
    candidates: int | None = None
    max_modes: int = 8
    window: float = 12.0


def find_poses(
    images: Any,
    volume: Array,
    ctf: CTF | Array | None = None,
    *,
    symmetry: str = "C1",
    noise_variance: float | None = None,
    search: PoseSearch | None = None,
    rows: Array | None = None,
    progress: Callable[[int], object] | None = None,
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
        Point group of the map: poses are searched for in its asymmetric unit.
    noise_variance : float, optional
        ``sigma^2`` of a pixel, times the spectrum of the data set's noise model. Default: estimated.
    search : PoseSearch, optional
    rows : (k,) int64 array, optional
        Which images, ascending. Default: all.
    progress : callable, optional
        Called with the number of images of each batch that is done.

    Returns
    -------
    PosePosterior
        In the order of `rows`.
    """
    raise NotImplementedError


def refine_poses(
    dataset: Dataset,
    volume: Array,
    poses: PosePosterior | None = None,
    *,
    noise_variance: float | None = None,
    search: PoseSearch | None = None,
    rows: Array | None = None,
    progress: Callable[[int], object] | None = None,
) -> PosePosterior:
    """Refine the poses of images, and find how sure they are.

    Parameters
    ----------
    dataset : Dataset
        Its poses are refined where `poses` is None.
    volume : (D, D, D) real array
    poses : PosePosterior, optional
        All of its modes are refined, weighed anew, and pruned.
    noise_variance, search, rows, progress
        As in `find_poses`.

    Returns
    -------
    PosePosterior
    """
    raise NotImplementedError
