"""Some of the images of a data set."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from fslice._arrays import Array, is_array
from fslice.data.dataset import Dataset
from fslice.operators.ctf import CTF


def select_images(dataset: Dataset, rows: np.ndarray) -> Dataset:
    """Return some of the images of a data set, with all that is known of them.

    Parameters
    ----------
    dataset : Dataset
    rows : (k,) int64 array
        Which, in ascending order.

    Returns
    -------
    Dataset
        Its images are read when they are needed, not copied, except on a device.

    Examples
    --------
    >>> import fslice
    >>> from fslice.data.poses import Poses
    >>> rng = np.random.default_rng(0)
    >>> dataset = Dataset(rng.normal(size=(7, 8, 8)), Poses(fslice.random_rotations(7, rng)))
    >>> len(select_images(dataset, np.array([0, 2, 6])))
    3
    """
    index: Any = dataset.xp.asarray(rows)

    def of(values: Any) -> Any:
        return None if values is None else values[index]

    images: Any = dataset.images
    on_device = is_array(images) and not isinstance(images, np.ndarray)
    images = images[index] if on_device else _SelectedImages(images, rows)
    shared = isinstance(dataset.ctf, CTF) and len(dataset.ctf) == 1
    return replace(
        dataset,
        images=images,
        poses=dataset.poses[index],
        ctf=dataset.ctf if shared else of(dataset.ctf),
        noise=of(dataset.noise),
        groups=of(dataset.groups),
        half_sets=of(dataset.half_sets),
        contrast=of(dataset.contrast),
        origin=None if dataset.origin is None else dataset.origin[rows],
        aberrations=None if dataset.aberrations is None else dataset.aberrations[rows],
    )


class _SelectedImages:
    """Some of many images, which stay where they are."""

    def __init__(self, images: Any, rows: np.ndarray) -> None:
        self.images, self.rows = images, rows
        self.dtype, self.shape = images.dtype, (len(rows), *images.shape[1:])

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, index: Any) -> Array:
        """Read images of the selection."""
        return self.images[self.rows[index]]

    def select(self, rows: np.ndarray) -> Any:
        """Return some images of the selection, without the others."""
        chosen, images = self.rows[rows], self.images
        return images.select(chosen) if hasattr(images, "select") else images[chosen]

    def add_notes(self, rows: np.ndarray, notes: Any) -> None:
        """Hand on what was noted of images that were read elsewhere."""
        self.images.add_notes(self.rows[rows], notes)
