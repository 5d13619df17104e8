"""Images limited to a band, all of a data set in memory, as the search over a grid takes them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from fslice._arrays import Array, array_namespace, complex_dtype, to_numpy
from fslice.alignment.band import Band
from fslice.data.dataset import Dataset
from fslice.data.passes import Batch, sum_over


@dataclass(frozen=True, eq=False)
class BandImages:
    """The independent frequencies of n images in a band, and of their CTFs.

    Parameters
    ----------
    band : Band
    images : (n, P) complex array
        Over the deviation of the data set's noise model.
    ctf : (n, P) real array
        Contrast and CTF, over the same deviation.
    shares : (P,) float64 array, optional
        On the host: the share of all images that hold each frequency, of premultiplied ones those
        whose CTF is not nearly zero there. Default: all do.
    """

    band: Band
    images: Array = field(repr=False)
    ctf: Array = field(repr=False)
    shares: np.ndarray | None = field(default=None, repr=False)

    def __len__(self) -> int:
        """Return the number of images."""
        return len(self.images)

    def __getitem__(self, index: Any) -> BandImages:
        """Select images."""
        if not isinstance(index, slice):
            index = array_namespace(self.images).asarray(index)
        return replace(self, images=self.images[index], ctf=self.ctf[index])

    def limited(self, band: Band) -> BandImages:
        """Return the same images in a band of a smaller radius."""
        radius = min(band.radius, (band.box - 1) // 2)
        inside = (self.band.frequencies**2).sum(1) <= radius**2
        places = array_namespace(self.images).asarray(np.flatnonzero(inside))
        shares = None if self.shares is None else self.shares[inside]
        return BandImages(band, self.images[:, places], self.ctf[:, places], shares)

    def shell_of(self) -> np.ndarray:
        """Return the shell of each frequency, (P,) int64 on the host."""
        return np.rint(np.hypot(*self.band.frequencies.T)).astype(np.int64)

    def mean_power(self) -> np.ndarray:
        """Return the mean square of each shell's coefficients: (shells,) float64 on the host.

        A shell that no image holds, as the mean without amplitude contrast, follows the others.
        """
        power = to_numpy((abs(self.images) ** 2).mean(0, dtype=np.float64))
        degrees, held = self.degrees(), np.flatnonzero(self.degrees())
        sums = np.bincount(self.shell_of(), self.band.multiplicities * power)
        return np.interp(np.arange(len(sums)), held, sums[held] / degrees[held])

    def degrees(self) -> np.ndarray:
        """Return how many real numbers an image holds in each shell, in the mean: on the host."""
        shares = 1.0 if self.shares is None else self.shares
        return np.bincount(self.shell_of(), self.band.multiplicities * shares)


def read_band(
    dataset: Dataset,
    band: Band,
    *,
    rows: Array | None = None,
    progress: Callable[[int], object] | None = None,
) -> BandImages:
    """Read, transform and crop images of a data set, in one pass.

    Parameters
    ----------
    dataset : Dataset
        Its poses play no part.
    band : Band
    rows : (n,) int64 array, optional
        Which images, ascending, on the host. Default: all.
    progress : callable, optional
        Told the number of images of each batch.

    Returns
    -------
    BandImages
        In the order of `rows`.
    """
    chosen = np.arange(len(dataset)) if rows is None else rows
    xp, shape = dataset.xp, (len(chosen), len(band.frequencies))
    images = xp.empty(shape, complex_dtype(dataset.dtype))
    ctf = xp.empty(shape, dataset.dtype)
    here = xp.asarray(chosen)

    def keep(batch: Batch) -> int:
        place = xp.searchsorted(here, batch.rows)
        assert batch.images_ft is not None
        images[place] = band.flatten(band.crop(batch.images_ft))
        values = band.crop_ctf(batch.ctf, len(place), dataset.dtype)
        ctf[place] = 1 if values is None else band.flatten(values)
        return len(place)

    plain = replace(dataset, symmetry="C1")
    sum_over(plain, keep, rows=chosen, progress=progress)
    shares = None
    if dataset.ctf_applied == "premultiplied":
        shares = to_numpy((ctf != 0).mean(0, dtype=np.float64))
    return BandImages(band, images, ctf, shares)
