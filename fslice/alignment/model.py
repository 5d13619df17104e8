"""What is assumed of images whose poses are searched, and the posterior under it."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

from fslice._arrays import Array
from fslice.alignment.fold import Known, PoseFold
from fslice.alignment.posterior import PosePosterior
from fslice.alignment.prepared import PreparedMap
from fslice.data.dataset import Dataset
from fslice.data.passes import sum_over


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
        self,
        rows: Array | None = None,
        progress: Callable[[int], object] | None = None,
        executor: Any = None,
    ) -> PosePosterior:
        """Return the posterior over all poses of some images, in the order of the rows."""
        return self._found(None, rows, progress, executor)

    def refine(
        self,
        poses: PosePosterior,
        rows: Array | None = None,
        progress: Callable[[int], object] | None = None,
        executor: Any = None,
    ) -> PosePosterior:
        """Return the posterior near the modes of each image's poses, image by image of the rows."""
        known = Known.of(poses, len(self.dataset), rows)
        return self._found(known, rows, progress, executor)

    def _found(
        self, known: Known | None, rows: Array | None, progress: Any, executor: Any
    ) -> PosePosterior:
        fold = PoseFold(self.prepared, self.noise_variance, known)
        found = sum_over(self.dataset, fold, rows=rows, executor=executor, progress=progress)
        return found.sorted()
