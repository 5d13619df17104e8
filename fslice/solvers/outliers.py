"""Images of another kind: too loud to be of a particle, or explained by no map of the others."""

from __future__ import annotations

import os
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from fslice._arrays import Array, array_namespace, to_numpy
from fslice.data.dataset import Dataset
from fslice.data.passes import Batch, Fold, sum_over, sums_over
from fslice.data.selection import select_images
from fslice.io._archives import read_archive
from fslice.operators.projector import Projector
from fslice.posterior.result import Posterior
from fslice.posterior.stencil import StencilEquations
from fslice.posterior.sums import of_images

LOUD = 30.0
"""Times the median power that an image has at least which is named: its norm is 5 times theirs."""
MISFIT = 1.5
"""Times the median misfit that an image has at least which is left out."""
_WIDE = 8.0
"""And it lies so many robust standard deviations above the median."""
_LISTED = 10


@dataclass
class PerImage:
    """A number for each image of some batches, by the first row of the batch."""

    values: dict[int, Array]
    rows: dict[int, Array]

    def __add__(self, other: PerImage) -> PerImage:
        return PerImage(self.values | other.values, self.rows | other.rows)

    def on_the_host(self) -> tuple[np.ndarray, np.ndarray]:
        """Return the rows and their values."""
        rows, values = (
            np.concatenate([to_numpy(part) for part in parts.values()])
            for parts in (self.rows, self.values)
        )
        return rows, values.astype(np.float64)


@dataclass
class Watched:
    """A sum over images, and the power of each of them."""

    value: Any
    powers: PerImage

    def __add__(self, other: Watched) -> Watched:
        return Watched(self.value + other.value, self.powers + other.powers)

    def to_arrays(self) -> dict[str, Any]:
        """Return all as arrays of the host, from whose file `load` makes them again."""
        rows, powers = self.powers.on_the_host()
        return {**self.value.to_arrays(), "rows": rows, "powers": powers}

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> Watched:
        """Read the arrays of `to_arrays` from an ``.npz`` file."""
        read = read_archive(path, {"rows": ("i", (None,)), "powers": ("f*", (None,))})
        first = int(read["rows"][0])
        powers = PerImage({first: read["powers"]}, {first: read["rows"]})
        return cls(StencilEquations.load(path), powers)


@dataclass(frozen=True)
class Watching:
    """What another fold sums, and the power of each image besides."""

    fold: Fold

    def start(self, dataset: Dataset) -> Watched:
        """Return the sum of nothing."""
        return Watched(self.fold.start(dataset), PerImage({}, {}))

    def add(self, total: Watched, batch: Batch) -> Watched:
        """Add a batch."""
        measured = total.powers + powers(batch)  # before the spectra may be lost
        return Watched(self.fold.add(total.value, batch), measured)

    def finish(self, total: Watched, dataset: Dataset, rows: Array) -> Watched:
        """Return the sum over all rows."""
        return Watched(self.fold.finish(total.value, dataset, rows), total.powers)


def powers(batch: Batch) -> PerImage:
    """Return the sum of squares of each image's half spectrum."""
    return _squares(batch.images_ft, batch)


def _squares(spectra: Any, batch: Batch) -> PerImage:
    """Return the sum of squares of each spectrum, without a copy of it."""
    xp, first = array_namespace(spectra), int(batch.rows[0])
    flat = spectra.reshape(len(spectra), -1)
    with np.errstate(over="ignore"):
        squares = sum(xp.einsum("ij,ij->i", part, part) for part in (flat.real, flat.imag))
    return PerImage({first: squares}, {first: batch.rows})


def is_loud(power: np.ndarray) -> np.ndarray:
    """Return for each image whether its power is of another order than that of the others.

    Parameters
    ----------
    power : (n,) float64 array

    Returns
    -------
    (n,) bool array

    Examples
    --------
    >>> is_loud(np.array([1.0, 1.1, 0.9, 1e12, 0.0]))
    array([False, False, False,  True, False])
    """
    log = np.log(np.maximum(power, np.finfo(float).tiny))
    far = log - np.median(log)
    return far > max(np.log(LOUD), _WIDE * 1.4826 * float(np.median(abs(far))))


def sum_watching(
    dataset: Dataset,
    fold: Fold,
    notes: list[str],
    parts: Sequence[Array | None] = (None,),
    **options: Any,
) -> list[Any]:
    """Sum over parts of the images, and warn of images that are too loud.

    Parameters
    ----------
    dataset : Dataset
    fold : Fold
    notes : list of str
        Gets the warning.
    parts : sequence of (k,) int64 arrays, optional
        The rows of each part; None for all.
    **options
        As in `fslice.data.passes.sum_over`.

    Returns
    -------
    list
        The sum over each part.
    """
    row_sets = [np.arange(len(dataset)) if rows is None else rows for rows in parts]
    sums = sums_over(dataset, Watching(fold), row_sets, **options)
    if dataset.noise is None and not notes:  # later, images are whitened
        _warn_of_loud_images(sums, notes)
    return [
        of_images(watched.value, dataset, rows)
        for watched, rows in zip(sums, row_sets, strict=True)
    ]


def _warn_of_loud_images(sums: Sequence[Watched], notes: list[str]) -> None:
    """Warn of images that are too loud, and keep the sentence."""
    parts = [watched.powers.on_the_host() for watched in sums]
    rows, power = (np.concatenate(arrays) for arrays in zip(*parts, strict=True))
    loud = is_loud(power)
    if not loud.any():
        return
    times = power[loud].max() / np.median(power)
    note = (
        f"{_listed(rows[loud])} up to {times:.2g} times the power of most images, which may ruin "
        "the map; robust=True (--robust) leaves them out"
    )
    notes.append(note)
    warnings.warn(note, stacklevel=3)


def _listed(rows: np.ndarray) -> str:
    """Say which images, by their places from 0.

    Examples
    --------
    >>> _listed(np.array([7])), _listed(np.array([5, 3]))
    ('image 7 has', '2 images have (3, 5)')
    """
    if len(rows) == 1:
        return f"image {rows[0]} has"
    places = ", ".join(map(str, np.sort(rows)[:_LISTED])) + ", ..." * (len(rows) > _LISTED)
    return f"{len(rows)} images have ({places})"


def fit_without_outliers(
    dataset: Dataset,
    projector: Projector,
    fit: Callable[[Dataset], Posterior],
    executor: Any = None,
    *,
    by_group: bool = False,
) -> Posterior:
    """Fit the images that are of one kind.

    Parameters
    ----------
    dataset : Dataset
    projector : Projector
    fit : callable
        Returns the posterior of a data set.
    executor : concurrent.futures.Executor, optional
        Measures shares of the images.
    by_group : bool, optional
        Whether an image is compared with those of its optics group, which has a noise of its own,
        instead of with all.

    Returns
    -------
    Posterior
        Its ``warnings`` name the images that were left out; their ``contrast`` is NaN.

    Notes
    -----
    First those that are too loud go; then, after a fit of the others, those whose misfit is
    at least 1.5 times that of most and 8 robust standard deviations above it; the rest are
    fitted again.
    """
    groups = to_numpy(dataset.groups) if by_group and dataset.groups is not None else None
    rows, power = sum_over(dataset, powers, executor=executor).on_the_host()
    rows = np.sort(rows[~is_loud(_relative(power, rows, groups))])
    found = _of_all(fit(select_images(dataset, rows)), dataset, rows)
    fitting = _fitting(dataset, rows, projector, found, executor, groups)
    if len(fitting) < len(rows):
        found = _of_all(fit(select_images(dataset, fitting)), dataset, fitting)
    left_out = np.setdiff1d(np.arange(len(dataset)), fitting)
    if not len(left_out):
        return found
    which = _listed(left_out).replace(" has", "").replace(" have", "")
    note = f"{which} left out: of another kind"
    warnings.warn(note, stacklevel=2)
    return replace(found, warnings=(*found.warnings, note))


def _relative(values: np.ndarray, rows: np.ndarray, groups: np.ndarray | None) -> np.ndarray:
    """Return numbers of images over the median of those of all, or of their group.

    Examples
    --------
    >>> _relative(np.array([1.0, 2.0, 9.0, 6.0]), np.arange(4), np.array([0, 0, 1, 0]))
    array([0.5, 1. , 1. , 3. ])
    """
    labels = np.zeros(len(rows), int) if groups is None else groups[rows]
    medians = {label: np.median(values[labels == label]) for label in np.unique(labels).tolist()}
    return values / np.array([medians[label] or 1.0 for label in labels.tolist()])


def _of_all(found: Posterior, dataset: Dataset, rows: np.ndarray) -> Posterior:
    """Return a fit of some images whose contrast has an entry for each image."""
    if found.contrast is None or len(rows) == len(dataset):
        return found
    contrast = dataset.xp.full(len(dataset), np.nan)
    contrast[dataset.xp.asarray(rows)] = found.contrast
    return replace(found, contrast=contrast)


def _fitting(
    dataset: Dataset,
    rows: np.ndarray,
    projector: Projector,
    found: Posterior,
    executor: Any,
    groups: np.ndarray | None,
) -> np.ndarray:
    """Return those of the rows that a map explains about as well as most."""
    spectrum = projector.transform(found.mean)
    if found.contrast is not None:
        known = dataset.xp.isfinite(found.contrast)  # of the rows it is
        dataset = replace(dataset, contrast=dataset.xp.where(known, found.contrast, 1.0))

    def misfits(batch: Batch) -> PerImage:
        n = len(batch.rows)
        shifts = None if batch.shifts is None else batch.shifts[:n]
        expected = projector.project_ft(spectrum, batch.rotations[:n], shifts, batch.ctf)
        return _squares(expected - batch.images_ft, batch)

    seen, misfit = sum_over(dataset, misfits, rows=rows, executor=executor).on_the_host()
    far = _relative(misfit, seen, groups) - 1
    limit = max(MISFIT - 1, _WIDE * 1.4826 * float(np.median(abs(far))))
    return np.sort(seen[far <= limit])
