"""What is assumed of images whose poses are searched, and the posterior under it."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

import numpy as np

from fslice._arrays import Array, array_namespace
from fslice.alignment.filters import DefocusResponse, defocus_response
from fslice.alignment.newton import Starts
from fslice.alignment.posterior import PosePosterior
from fslice.alignment.prepared import PreparedMap
from fslice.data.dataset import Dataset
from fslice.data.passes import Batch, sum_over


@dataclasses.dataclass(frozen=True, eq=False)
class PoseModel:
    """What is assumed of images beside the map: given, or learned from some of them.

    Parameters
    ----------
    dataset : Dataset
        With its model of the noise.
    noise_variance : float
        The factor of that.
    prepared : PreparedMap
    scale : float, optional
        Of the images relative to the map, where the contrast is free; the data set has it.
    """

    dataset: Dataset
    noise_variance: float
    prepared: PreparedMap
    scale: float = 1.0

    def find(
        self, rows: Array | None = None, progress: Callable[[int], object] | None = None
    ) -> PosePosterior:
        """Return the posterior over all poses of some images, in the order of the rows."""

        def of_batch(batch: Batch) -> PosePosterior:
            return self.prepared.find(batch, self.noise_variance, self.response(batch))

        return sum_over(self.dataset, of_batch, rows=rows, progress=progress).sorted()

    def response(self, batch: Batch) -> DefocusResponse | None:
        """Return how the CTFs of a batch answer to defocus, where that is free."""
        if self.prepared.search.defocus_std is None:
            return None
        return defocus_response(self.dataset, batch)

    def refine(
        self,
        poses: PosePosterior,
        rows: Array | None = None,
        progress: Callable[[int], object] | None = None,
    ) -> PosePosterior:
        """Return the posterior near the modes of each image's poses, image by image of the rows."""
        xp = array_namespace(poses.weights)
        near = bool(xp.isfinite(poses.evidence).all())  # modes that were found, or poses of a file
        place = xp.zeros(len(self.dataset), np.int64)
        place[xp.arange(len(self.dataset)) if rows is None else xp.asarray(rows)] = xp.arange(
            len(poses)
        )

        def of_batch(batch: Batch) -> PosePosterior:
            own = poses[place[batch.rows]]
            starts = self.prepared.starting(
                Starts(own.image_of, own.rotations, own.shifts), own.parameters
            )
            response = self.response(batch)
            return self.prepared.refine(batch, starts, self.noise_variance, response, near=near)

        return sum_over(self.dataset, of_batch, rows=rows, progress=progress).sorted()
