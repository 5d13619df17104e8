"""The posterior over poses as a sum over images: batches of any share, on any machine, add up."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from fslice._arrays import Array, array_namespace
from fslice.alignment.newton import Starts
from fslice.alignment.posterior import PosePosterior
from fslice.alignment.prepared import PreparedMap
from fslice.alignment.priors import were_found
from fslice.data.dataset import Dataset
from fslice.data.passes import Batch
from fslice.data.shares import nbytes
from fslice.posterior.memory import PROCESS

_COPIES = 2
"""Of the map: as it arrives, and as it is used."""
_BATCHES = 8
"""Pixels and spectra of a share, those of its bands, and what transforms and reordering take."""
_SEARCH = 100 << 20
"""Scores of the images that are compared with the grid at a time."""


@dataclass(frozen=True, eq=False)
class Known:
    """Poses near which images are searched.

    Parameters
    ----------
    poses : PosePosterior
    place : (n,) int64 array
        Where it has each image of the data set.
    near : bool
        Whether these are modes that were found: else they come from a file.
    """

    poses: PosePosterior
    place: Array
    near: bool

    @staticmethod
    def of(poses: PosePosterior, count: int, rows: Array | None) -> Known:
        """Return the poses of some of the images of a data set, all by default."""
        xp = array_namespace(poses.weights)
        near = were_found(poses)
        place = xp.zeros(count, np.int64)
        chosen = xp.arange(count) if rows is None else xp.asarray(rows)
        place[chosen] = xp.arange(len(poses))
        return Known(poses, place, near)


@dataclass(frozen=True, eq=False)
class PoseFold:
    """What `fslice.data.passes.sum_over` takes to find the posterior of images.

    Parameters
    ----------
    prepared : PreparedMap
    noise_variance : float
    known : Known, optional
        Default: all poses are searched.
    """

    prepared: PreparedMap
    noise_variance: float
    known: Known | None = None
    share_size: int = 256
    """Images of a share, at most: nothing is paid for a share, and each tells of its progress."""

    def nbytes(self) -> int:
        """Return the bytes of what is common to all images: they go to every worker once."""
        return nbytes(self)

    def worker_bytes(self, dataset: Dataset) -> int:
        """Return the bytes that one worker takes to find the poses of its shares, at most."""
        pixels = self.share_size * dataset.size**2 * dataset.dtype.itemsize
        return PROCESS + _COPIES * self.nbytes() + _BATCHES * pixels + _SEARCH

    def start(self, dataset: Dataset) -> Any:
        """Return the data set of the images, and the posterior of none."""
        return dataset, None

    def add(self, total: Any, batch: Batch) -> Any:
        """Return the same with the posterior of the images that there were, and of a batch."""
        dataset, before = total
        found = self._of_batch(dataset, batch)
        return dataset, found if before is None else before + found

    def finish(self, total: Any, dataset: Dataset, rows: Array) -> PosePosterior:
        """Return the posterior of all images."""
        return total[1]

    def _of_batch(self, dataset: Dataset, batch: Batch) -> PosePosterior:
        response = self.prepared.response(dataset, batch)
        if self.known is None:
            return self.prepared.find(batch, self.noise_variance, response)
        known = self.known
        own = known.poses[known.place[batch.rows]]
        starts = self.prepared.starting(
            Starts(own.image_of, own.rotations, own.shifts), own.parameters
        )
        return self.prepared.refine(batch, starts, self.noise_variance, response, near=known.near)
