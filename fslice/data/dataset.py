"""Particle images with their poses, handed out as half spectra batch by batch."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np

from fslice._arrays import (
    Array,
    check_finite,
    check_one_library,
    check_real,
    check_shape,
)
from fslice.fourier import rfft2, shells
from fslice.geometry import check_rotations
from fslice.operators.ctf import CTF
from fslice.symmetry.groups import symmetry_rotations

CACHE_BYTES = 4 << 30
"""Spectra of a whole data set are kept if they take no more; else they are made anew."""


class Batch(NamedTuple):
    """Images of a data set: the arguments of a `Projector`, and their half spectra."""

    images_ft: Array
    rotations: Array
    shifts: Array | None
    ctf: CTF | Array | None


@dataclass(frozen=True, eq=False)
class Dataset:
    """Images of one box with known poses, in one precision.

    Under a symmetry each image is seen from all equivalent directions: batches and `poses` are of
    such views, `views` of them.

    Parameters
    ----------
    images : (n, D, D) array of real numbers, or anything that gives one when sliced
        Of any real dtype, as files have them. A memory-mapped stack is read a batch at a time, so
        it may exceed the memory.
    rotations : (n, 3, 3) real array
        Image to volume coordinates, acting on (x, y, z).
    shifts : (n, 2) real array or None
        Where the particles sit, (x, y) in pixels.
    ctf : CTF or None
        Of the n images.
    symmetry : str
        Point group, as in `fslice.symmetry.symmetry_rotations`.
    noise_shape : (D//2 + 1,) real array or None
        Noise variance per shell, up to a factor. Spectra and CTF are handed out divided by its
        root, so that their noise is white.

    Raises
    ------
    ValueError
        Shapes do not fit together, there is no image, or a value is not finite.
    TypeError
        A dtype is not as above, or array libraries are mixed.
    """

    images: Any = field(repr=False)
    rotations: Array = field(repr=False)
    shifts: Array | None = field(default=None, repr=False)
    ctf: CTF | None = field(default=None, repr=False)
    symmetry: str = "C1"
    noise_shape: np.ndarray | None = field(default=None, repr=False)
    _kept: dict[int, Array] = field(default_factory=dict, init=False, repr=False)
    _group: Array = field(init=False, repr=False)

    def __post_init__(self) -> None:
        if not hasattr(self.images, "dtype") or not hasattr(self.images, "shape"):
            raise TypeError(f"images: expected an array, got {type(self.images).__name__}")
        shape = tuple(self.images.shape)
        if len(shape) != 3 or shape[1] != shape[2] or 0 in shape:
            raise ValueError(f"images: expected shape (n, D, D) with n and D above 0, got {shape}")
        if np.dtype(self.images.dtype).kind not in "fiu":
            raise TypeError(f"images: expected real numbers, got {self.images.dtype}")
        check_rotations("rotations", self.rotations)
        check_shape("rotations", self.rotations, (shape[0], 3, 3))
        dtype = np.dtype("float64" if self.images.dtype == np.float64 else "float32")
        object.__setattr__(self, "rotations", self.rotations.astype(dtype))
        if self.shifts is not None:
            check_real("shifts", self.shifts)
            check_shape("shifts", self.shifts, (shape[0], 2))
            check_finite("shifts", self.shifts)
            object.__setattr__(self, "shifts", self.shifts.astype(dtype))
        check_one_library(self.images, self.rotations, self.shifts)
        if self.ctf is not None and not isinstance(self.ctf, CTF):
            raise TypeError(f"ctf: expected a CTF, got {type(self.ctf).__name__}")
        if self.ctf is not None and len(self.ctf) != shape[0]:
            raise ValueError(f"ctf: expected one per image, {shape[0]}, got {len(self.ctf)}")

        object.__setattr__(self, "_group", symmetry_rotations(self.symmetry).astype(dtype))

    def __len__(self) -> int:
        """Return the number of images n."""
        return int(self.images.shape[0])

    @property
    def views(self) -> int:
        """Number of images times the order of the symmetry."""
        return len(self) * len(self._group)

    @property
    def size(self) -> int:
        """Box D of the images."""
        return int(self.images.shape[1])

    @property
    def dtype(self) -> np.dtype:
        """Real dtype of everything that is handed out: double only for double images."""
        return self.rotations.dtype

    def batches(self, batch_size: int = 512) -> Iterator[Batch]:
        """Yield all views of all images in order, with their half spectra."""
        for start in range(0, len(self), batch_size):
            index = slice(start, min(start + batch_size, len(self)))
            own, spectra = self._poses(index), self._spectra(index)
            for g in self._group:
                yield own._replace(images_ft=spectra, rotations=g @ own.rotations)

    def poses(self, index: np.ndarray) -> Batch:
        """Return what is known of some views, of indices below `views`, without their spectra."""
        image, g = np.divmod(index, len(self._group))
        own = self._poses(image)
        return own._replace(rotations=self._group[g] @ own.rotations)

    def _poses(self, index: Any) -> Batch:
        rotations = self.rotations[index]
        shifts = None if self.shifts is None else self.shifts[index]
        ctf = None if self.ctf is None else self.ctf[index]
        if self.noise_shape is None:
            return Batch(None, rotations, shifts, ctf)
        values = 1.0 if ctf is None else ctf.evaluate(self.size, self.dtype)
        shape = (len(rotations), self.size, self.size // 2 + 1)
        whitened = np.broadcast_to(values * self._whitening(), shape).astype(self.dtype)
        return Batch(None, rotations, shifts, whitened)

    def log_weights(self, pairs: Array) -> float:
        """Return ``sum m log w`` over all views, w being what whitening multiplies powers by."""
        if self.noise_shape is None:
            return 0.0
        return 2 * self.views * float((pairs * np.log(self._whitening())).sum())

    def _whitening(self) -> Array:
        assert self.noise_shape is not None
        index = np.minimum(shells(self.size, 2), self.size // 2)
        return (1 / np.sqrt(self.noise_shape))[index]

    def _spectra(self, index: slice) -> Array:
        kept = self._kept.get(index.start)
        if kept is not None and len(kept) == index.stop - index.start:
            return kept
        images = np.asarray(self.images[index]).astype(self.dtype, copy=False)
        _check_pixels(images, index.start)
        spectra = rfft2(images)
        if self.noise_shape is not None:
            spectra *= self._whitening().astype(self.dtype)
        if spectra.nbytes / len(spectra) * len(self) <= CACHE_BYTES:
            self._kept[index.start] = spectra
        return spectra


def _check_pixels(images: np.ndarray, first: int) -> None:
    """Raise on the first pixel that is not finite, naming its image by its place in the set."""
    finite = np.isfinite(images).all((1, 2))
    if not finite.all():
        check_finite(f"image {first + int(finite.argmin())}", images[int(finite.argmin())])
