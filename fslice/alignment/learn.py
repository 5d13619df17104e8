"""What the poses of some images teach of all: the noise, the prior of shifts, the map's scale."""

from __future__ import annotations

import dataclasses
from typing import NamedTuple

import numpy as np

from fslice._arrays import Array, array_namespace
from fslice._sums import group_sums
from fslice.alignment.directions import learned_directions
from fslice.alignment.filters import defocused
from fslice.alignment.model import PoseModel
from fslice.alignment.noise import residual_noise
from fslice.alignment.posterior import PosePosterior
from fslice.alignment.priors import seen, shift_spread
from fslice.data.dataset import Dataset
from fslice.data.passes import Batch, sum_over
from fslice.geometry import grid_rotations
from fslice.likelihoods.scales import optimal_scales
from fslice.operators.ctf import CTF
from fslice.operators.projector import Projector

PILOT = 256
"""Images from which all this is learned, before all are searched."""
SHIFTS = 64
"""Images from which the deviation of shifts is learned: to 6 %."""
DIRECTIONS = 1024
"""Images from which the density of directions of view is."""
_VIEWS = 256  # of the map, whose power in a shell is averaged over them


class Learn(NamedTuple):
    """What is to be learned."""

    noise: bool
    """One variance for each shell."""
    shifts: bool
    """Their standard deviation."""
    scale: bool
    """That of the images relative to the map."""
    directions: bool
    """The density of directions of view."""


def evenly(rows: Array, most: int = PILOT) -> np.ndarray:
    """Return at most so many of the rows, evenly spaced."""
    places = np.linspace(0, len(rows) - 1, min(most, len(rows))).round().astype(np.int64)
    return np.asarray(rows)[places]


def learned(
    model: PoseModel, volume: Array, rows: np.ndarray, learn: Learn,
    known: tuple[PosePosterior, Array | None] | None,
) -> PoseModel:  # fmt: skip
    """Return the model with what the poses of some images teach.

    Parameters
    ----------
    model : PoseModel
    volume : (D, D, D) real array
    rows : (k,) int64 array
        Which images.
    learn : Learn
    known : (PosePosterior, rows), optional
        Poses of these rows, that are only refined.
    """
    if learn.shifts:  # first: as long as nothing is known of them, many have to be tried
        model = _with_spread_of(model, _posterior(model, evenly(rows, SHIFTS), known))
    if learn.scale or learn.noise:
        found = _posterior(model, rows, known)
        if learn.shifts:
            model = _with_spread_of(model, found)
        as_found = at_best(model.dataset, found)  # contrasts are relative to the scale until now
        if learn.scale:
            model = rescaled(model, fitted_scale(model, volume, found, rows))
        if learn.noise:
            left = residual_noise(as_found, volume, found, rows)
            model = dataclasses.replace(
                model, dataset=model.dataset.with_noise(left.noise), noise_variance=1.0
            )
    if learn.directions:
        all_rows = np.arange(len(model.dataset)) if known is None or known[1] is None else known[1]
        found = _posterior(model, evenly(all_rows, DIRECTIONS), known)
        directions = learned_directions(found, model.prepared.symmetry)
        model = dataclasses.replace(model, prepared=model.prepared.with_directions(directions))
    return model


def _with_spread_of(model: PoseModel, found: PosePosterior) -> PoseModel:
    """Return the model with the deviation of shifts of poses that were found."""
    prepared = model.prepared.with_shift_std(shift_spread(found))
    return dataclasses.replace(model, prepared=prepared)


def _posterior(
    model: PoseModel, rows: np.ndarray, known: tuple[PosePosterior, Array | None] | None
) -> PosePosterior:
    """Return the posterior of some images: over all poses, or near those that are known."""
    if known is None:
        return model.find(rows)
    all_rows = np.arange(len(model.dataset)) if known[1] is None else known[1]
    chosen = array_namespace(known[0].weights).asarray(np.isin(all_rows, rows))
    return model.refine(known[0][chosen], rows)


def rescaled(model: PoseModel, factor: float) -> PoseModel:
    """Return the model with a factor on the contrast of all images."""
    dataset = model.dataset
    ones = dataset.xp.ones(len(dataset))
    contrast = factor * (ones if dataset.contrast is None else dataset.contrast)
    dataset = dataclasses.replace(dataset, contrast=contrast)
    return dataclasses.replace(model, dataset=dataset, scale=factor * model.scale)


def map_scale(model: PoseModel, rows: np.ndarray) -> float:
    """Return the factor by which images are brighter than the map, from their power alone.

    Parameters
    ----------
    model : PoseModel
    rows : (k,) int64 array
        Which images.

    Returns
    -------
    float
        1 where the images have no more power than the noise.

    Notes
    -----
    Whatever the poses, ``<|y|^2> = a^2 C^2 P + sigma^2`` at each frequency, P the mean power of the
    map's slices in its shell: least squares in ``a^2``, in the first band of the refinement. The
    zero frequency, a background, is left out.
    """
    band, volume_ft = model.prepared.levels[0]
    xp = array_namespace(volume_ft)
    slices = band.slices(volume_ft, xp.asarray(grid_rotations(_VIEWS)))
    shell = np.rint(np.hypot(*band.frequencies.T)).astype(np.int64)
    shell = xp.asarray(shell)
    means = (slices.real**2 + slices.imag**2).mean(0, dtype=np.float64)
    counts = xp.maximum(xp.bincount(shell), 1)
    power = (group_sums(shell, means, len(counts)) / counts)[shell]

    def of_batch(batch: Batch) -> Array:
        images = band.flatten(band.crop(batch.images_ft))
        ctf = band.crop_ctf(batch.ctf, len(images), images.real.dtype)
        expected = power if ctf is None else band.flatten(ctf).astype(np.float64) ** 2 * power
        expected = xp.where(shell > 0, expected, 0) + xp.zeros((len(images), 1))
        excess = (images.real**2 + images.imag**2).astype(np.float64) - model.noise_variance
        return xp.stack([(expected * excess).sum(), (expected**2).sum()])

    above, squares = sum_over(model.dataset, of_batch, rows=rows)
    return float(xp.sqrt(above / squares)) if above > 0 and squares > 0 else 1.0


def fitted_scale(model: PoseModel, volume: Array, found: PosePosterior, rows: np.ndarray) -> float:
    """Return the most likely factor on the contrast of all images, given their poses.

    Parameters
    ----------
    model : PoseModel
    volume : (D, D, D) real array
    found : PosePosterior
        Of the images of `rows`.
    rows : (k,) int64 array

    Notes
    -----
    A step of expectation and maximisation: poses are drawn from the posterior, as the best ones
    fit the noise too. With the contrast of an image of least squares, ``a = <y^, y> / <y^, y^>``,
    whose variance is ``sigma^2 / <y^, y^>`` and that of the prior, it is their weighted mean.
    """
    std = model.prepared.search.contrast_std
    assert std is not None
    dataset = _at_defocus(model.dataset, found)
    projector = Projector(dataset.size, 2, "cubic")
    volume_ft = projector.transform(volume.astype(dataset.dtype, copy=False))
    drawn, xp = found.sample(np.random.default_rng(0)), dataset.xp
    shown, place = seen(found), xp.zeros(len(dataset), np.int64)
    place[xp.asarray(rows)] = xp.arange(len(rows))

    def of_batch(batch: Batch) -> Array:
        own = place[batch.rows]
        rotations, shifts = (
            each[own].astype(dataset.dtype) for each in (drawn.rotations, drawn.shifts)
        )
        expected = projector.project_ft(volume_ft, rotations, shifts, batch.ctf)
        assert batch.images_ft is not None
        scales, precisions = optimal_scales(batch.images_ft, expected)
        variances = model.noise_variance / xp.maximum(precisions, 1e-30) + std**2
        weights = shown[own] / variances
        return xp.stack([(weights * scales).sum(), weights.sum()])

    above, below = sum_over(dataset, of_batch, rows=rows)
    return max(float(above / below), 1e-3) if below > 0 else 1.0


def at_best(dataset: Dataset, found: PosePosterior) -> Dataset:
    """Return a data set with the defocus and the contrast of the best modes, where they were free.

    Parameters
    ----------
    dataset : Dataset
    found : PosePosterior
        Of some of its images; the others stay as they are.
    """
    xp, n, best = dataset.xp, len(dataset), found.best_modes()
    rows = xp.arange(len(found)) if found.rows is None else found.rows
    if found.contrast is not None:
        contrast = xp.ones(n) if dataset.contrast is None else dataset.contrast.astype(np.float64)
        contrast[rows] = contrast[rows] * found.contrast[best]
        dataset = dataclasses.replace(dataset, contrast=contrast)
    ctf = dataset.ctf
    if found.defocus is not None and isinstance(ctf, CTF):
        offset = xp.zeros(n)
        offset[rows] = found.defocus[best]
        dataset = dataclasses.replace(dataset, ctf=defocused(ctf, offset))
    return dataset


def _at_defocus(dataset: Dataset, found: PosePosterior) -> Dataset:
    """Return a data set with the defocus of the best modes, and the contrast that it has."""
    return at_best(dataset, dataclasses.replace(found, contrast=None))
