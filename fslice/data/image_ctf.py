"""What multiplies the slices of images, and what of images that were multiplied by it is left."""

from __future__ import annotations

from typing import Any

import numpy as np

from fslice._arrays import Array
from fslice.data.dataset import Dataset
from fslice.fourier import shell_sum
from fslice.likelihoods.gaussian import group_members
from fslice.operators.aberrations import aberrate_slices, aberrated_ctf
from fslice.operators.ctf import CTF

SMALLEST_CTF = 1e-2
"""Images that were multiplied by their CTF say nothing where it is smaller: rounding errors."""
_VALUES = 1 << 23
"""Coefficients of images that are counted at a time."""


def ctf_of(dataset: Dataset, rows: Array) -> CTF | Array | None:
    """Return what multiplies the slices of some images: contrast and CTF, whitened.

    A `CTF` where nothing else has to be done, so that compiled code may evaluate it. Zero for
    coefficients that the images do not hold.
    """
    ctf: Any = own_ctf(dataset, rows)
    whitening = dataset.whitening(rows)
    if dataset.ctf_applied != "none":
        ctf = _values(dataset, ctf)
        ctf = ctf * _factor(dataset, ctf)
    ctf = _with_contrast(dataset, ctf, rows)
    if whitening is None:
        return ctf
    values = 1 if ctf is None else _values(dataset, ctf)
    return dataset.xp.broadcast_to(values * whitening, (len(rows), *whitening.shape[1:]))


def own_ctf(dataset: Dataset, rows: Array) -> CTF | Array | None:
    """Return the CTF of some images, one for each, as the microscope has it."""
    ctf: Any = dataset.ctf
    if ctf is None:
        return None
    if not isinstance(ctf, CTF):
        return ctf[rows].astype(dataset.dtype, copy=False)
    own = ctf[rows] if len(ctf) > 1 else ctf[dataset.xp.zeros(len(rows), int)]
    even = _even_phases(dataset, rows)
    return own if even is None else aberrated_ctf(own, even, dataset.dtype.name)


def applied_factor(dataset: Dataset, rows: Array) -> Array | None:
    """Return by what the CTFs of some images are multiplied for what was done to the images.

    The sign of the CTF, or whether a coefficient is held; None where nothing was done.
    """
    if dataset.ctf_applied == "none":
        return None
    return _factor(dataset, _values(dataset, own_ctf(dataset, rows)))


def as_taken(spectra: Array, dataset: Dataset, rows: Array) -> Array:
    """Return spectra of some images as the microscope took them, zero where they are not held.

    Odd aberrations, which are unitary, are taken out too.
    """
    spectra = _without_odd_phases(spectra, dataset, rows)
    if dataset.ctf_applied != "premultiplied":
        return spectra
    values = _values(dataset, own_ctf(dataset, rows))
    held = _is_held(values)
    return spectra * (held / dataset.xp.where(held, values, 1))


def shell_degrees(
    dataset: Dataset, rows: Array, band: Array, groups: Array | None = None, count: int = 1
) -> Array:
    """Return how many real numbers images hold in a band, per group of images and per shell.

    Parameters
    ----------
    dataset : Dataset
    rows : (k,) int64 array
        Which images.
    band : (D, D//2 + 1) bool or real array
        Which frequencies.
    groups : (n,) integer array, optional
        Group of each image of the data set. Default: one for all.
    count : int, optional
        Number of groups G.

    Returns
    -------
    (G, D//2 + 1) float64 array
        Sums of Hermitian weights, the corners in the last shell.

    Examples
    --------
    >>> from fslice.data.poses import Poses
    >>> dataset = Dataset(np.ones((3, 4, 4)), Poses(np.tile(np.eye(3), (3, 1, 1))))
    >>> shell_degrees(dataset, np.arange(3), np.ones((4, 3)))
    array([[ 3., 24., 21.]])
    """
    xp, size, ndim = dataset.xp, dataset.size, dataset.poses.dimension - 1
    band = band.astype(np.float64)
    some_are_held = dataset.ctf_applied == "premultiplied"
    if groups is None and not some_are_held:
        return len(rows) * shell_sum(band, size, ndim, corners=True)[None]
    rows = xp.asarray(rows)
    labels = xp.zeros(len(rows), np.int64) if groups is None else groups[rows]
    if not some_are_held:
        images = xp.bincount(labels, minlength=count).astype(np.float64)
        return images[:, None] * shell_sum(band, size, ndim, corners=True)
    total: Any = 0
    together = max(1, _VALUES // band.size)
    for start in range(0, len(rows), together):
        part = slice(start, start + together)
        held = _is_held(_values(dataset, own_ctf(dataset, rows[part]))).reshape(-1, band.size)
        images = group_members(labels[part], count, xp) @ held.astype(np.float64)
        total = total + images.reshape(count, *band.shape) * band
    return shell_sum(total, size, ndim, corners=True)


def _factor(dataset: Dataset, values: Array) -> Array:
    flipped = dataset.ctf_applied == "phase-flipped"
    return dataset.xp.sign(values) if flipped else _is_held(values)


def _is_held(values: Array) -> Array:
    """Return which coefficients an image holds that was multiplied by a CTF."""
    return abs(values) >= SMALLEST_CTF


def _values(dataset: Dataset, ctf: Any) -> Any:
    return ctf.evaluate(dataset.size, dataset.dtype) if isinstance(ctf, CTF) else ctf


def _with_contrast(dataset: Dataset, ctf: CTF | Array | None, rows: Array) -> CTF | Array | None:
    if dataset.contrast is None:
        return ctf
    contrast = dataset.contrast[rows]
    if isinstance(ctf, CTF):
        return ctf.replace(scale=ctf.scale * contrast)
    shape = (len(rows), *dataset.images.shape[1:-1], dataset.size // 2 + 1)
    scale = contrast.astype(dataset.dtype).reshape((-1,) + (1,) * (len(shape) - 1))
    return dataset.xp.broadcast_to(scale if ctf is None else scale * ctf, shape)


def _without_odd_phases(spectra: Array, dataset: Dataset, rows: Array) -> Array:
    if dataset.aberrations is None:
        return spectra
    odd = dataset.aberrations.odd_phases(dataset.size)
    if odd is None:
        return spectra
    phases = dataset.xp.asarray(odd, dataset.dtype)
    return aberrate_slices(spectra, -phases[dataset.xp.asarray(dataset.aberrations.group)[rows]])


def _even_phases(dataset: Dataset, rows: Array) -> Array | None:
    """Return what is added to the phase of each image's CTF, None if nothing is."""
    if dataset.aberrations is None:
        return None
    even = dataset.aberrations.even_phases(dataset.size)
    if even is None:
        return None
    return dataset.xp.asarray(even)[dataset.xp.asarray(dataset.aberrations.group)[rows]]
