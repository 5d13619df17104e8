"""Normal equations without a stencil: their matrix is applied by a pass over the poses."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from fslice._arrays import Array
from fslice.data.dataset import Dataset
from fslice.data.passes import Batch, sum_over
from fslice.posterior.normal import NormalEquations

_SUMS = (
    *("b", "squares", "degrees", "log_weights", "count"),
    *("known_diagonal", "known_row_sums"),
)


@dataclass(frozen=True, eq=False)
class PassEquations(NormalEquations):
    """Normal equations whose matrix is applied by a pass over the poses, for any interpolation.

    Parameters
    ----------
    projector, b, squares, degrees, log_weights, count, symmetry
        As in `NormalEquations`.
    dataset : Dataset
    rows : (k,) int64 array
        Which images of it.
    """

    dataset: Dataset
    rows: Array = field(repr=False)
    known_diagonal: Array = field(repr=False)
    known_row_sums: Array = field(repr=False)

    def astype(self, dtype: Any) -> PassEquations:
        """Raise unless they are in that precision: it is that of the images."""
        if np.dtype(dtype) != self.dataset.dtype:
            raise TypeError(f"dtype: expected {self.dataset.dtype}, got {np.dtype(dtype)}")
        return self

    def _applied(self, volume_ft: Array) -> Array:
        def product(batch: Batch) -> Array:
            return self.projector.gram(
                volume_ft, batch.rotations, batch.ctf, image_of=batch.image_of
            )

        return self._sum(product)

    def diagonal(self) -> Array:
        """Return the diagonal of A: how much the images say about each frequency by itself."""
        return self.known_diagonal

    def row_sums(self) -> Array:
        """Return the sampling density: what A gives for a constant, for linear interpolation."""
        return self.known_row_sums

    def __add__(self, other: PassEquations) -> PassEquations:
        """Return the normal equations of both sets of images, which are of one data set."""
        sums = {name: getattr(self, name) + getattr(other, name) for name in _SUMS}
        rows = np.sort(np.concatenate([self.rows, other.rows]))
        return replace(self, **sums, rows=rows)

    def __sub__(self, other: PassEquations) -> PassEquations:
        """Return the normal equations without the images of `other`."""
        sums = {name: getattr(self, name) - getattr(other, name) for name in _SUMS}
        rows = np.setdiff1d(self.rows, other.rows, assume_unique=True)
        return replace(self, **sums, rows=rows)

    def _sum(self, function: Callable[[Batch], Array]) -> Array:
        return sum_over(self.dataset, function, rows=self.rows, images=False)


def pass_equations(dataset: Dataset, rows: Array, **known: Any) -> PassEquations:
    """Return normal equations by passes, their diagonal and row sums found by one pass each."""
    projector = known["projector"]

    def over_poses(operation: Callable[..., Array]) -> Array:
        def of_batch(batch: Batch) -> Array:
            return operation(batch.rotations, batch.ctf, image_of=batch.image_of)

        return sum_over(dataset, of_batch, rows=rows, images=False)

    diagonal = over_poses(projector.gram_diagonal)
    row_sums = over_poses(projector.sampling_density)
    return PassEquations(
        **known, dataset=dataset, rows=rows, known_diagonal=diagonal, known_row_sums=row_sums
    )
