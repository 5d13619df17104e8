"""Which half of the data each image belongs to, and images that are there twice."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import numpy as np

from fslice.cli._messages import Messages
from fslice.io import ImageStack, Particles
from fslice.metrics import split_half_sets
from fslice.postprocess.checks import duplicates_warning


def choose_half_sets(particles: Particles, path: Path, seed: int, messages: Messages) -> np.ndarray:
    """Return the half of each image, 1 or 2: the file's, else random ones.

    Parameters
    ----------
    particles : Particles
        With an `ImageStack`.
    path : Path
        Their file.
    seed : int
        Of random halves.
    messages : Messages
        Is told where halves are random, or images were moved to the half of their copies.

    Raises
    ------
    ValueError
        There are no two halves.
    """
    n = len(particles)
    if n < 2:
        raise ValueError(
            f"{path}: expected at least 2 images for half maps, got 1: give --no-halves"
        )
    labels = _labels(particles, seed)
    if particles.half_set is None:
        messages.note(
            "half sets: random, since the file has none: they are not independent of a refinement "
            "of the poses against all images, so that the resolution may be too good"
        )
    images = particles.images
    if isinstance(images, ImageStack):
        first = _first_of(images.identities())
        moved = int((labels != labels[first]).sum())
        labels = labels[first]
        if moved and particles.half_set is not None:
            messages.warn(
                f"{path}: {moved} images are in the other half set than their copies: moved there, "
                "so that the half maps share no image"
            )
    for number in (1, 2):
        if not (labels == number).any():
            raise ValueError(
                f"{path}: expected images in half {number}, got none: give --no-halves"
            )
    return labels


def _labels(particles: Particles, seed: int) -> np.ndarray:
    if particles.half_set is not None:
        return np.asarray(particles.half_set)
    labels = np.full(len(particles), 2)
    labels[split_half_sets(len(particles), np.random.default_rng(seed))[0]] = 1
    return labels


def _first_of(identities: np.ndarray) -> np.ndarray:
    """Return for every image the first one of the same identity.

    Examples
    --------
    >>> _first_of(np.array([4, 2, 4]))
    array([0, 1, 0])
    """
    _, first, inverse = np.unique(identities, return_index=True, return_inverse=True)
    return first[inverse.reshape(-1)]


class Fingerprints:
    """Images that remember, as they are read, which of them have the same pixels.

    Parameters
    ----------
    images : ImageStack or (n, D, D) array

    Examples
    --------
    >>> images = np.random.default_rng(0).normal(size=(4, 8, 8))
    >>> images[3] = images[1]
    >>> seen = Fingerprints(images)
    >>> _ = seen[:2], seen[2:]
    >>> seen.first
    array([0, 1, 2, 1])
    """

    def __init__(self, images: Any) -> None:
        self.images, self.shape, self.dtype = images, tuple(images.shape), images.dtype
        self._keys: dict[int, bytes] = {}

    def __len__(self) -> int:
        return self.shape[0]

    def __getitem__(self, index: Any) -> np.ndarray:
        """Read images, and keep a digest of each."""
        values = self.images[index]
        rows = np.arange(len(self))[index].reshape(-1)
        for row, image in zip(rows.tolist(), values.reshape(-1, *self.shape[1:]), strict=True):
            if row not in self._keys:
                self._keys[row] = hashlib.blake2b(image.data, digest_size=16).digest()
        return values

    def select(self, rows: np.ndarray) -> Fingerprints:
        """Choose images, without what is remembered of them."""
        images = self.images
        return Fingerprints(images.select(rows) if hasattr(images, "select") else images[rows])

    def notes(self, rows: np.ndarray) -> np.ndarray:
        """Return the digests of images that were read, (k, 16) bytes."""
        digests = b"".join(self._keys[row] for row in rows.tolist())
        return np.frombuffer(digests, np.uint8).reshape(len(rows), -1)

    def add_notes(self, rows: np.ndarray, notes: np.ndarray) -> None:
        """Remember the digests of images that were read elsewhere."""
        self._keys.update(zip(rows.tolist(), map(bytes, notes), strict=True))

    @property
    def first(self) -> np.ndarray:
        """For every image the first one of the same pixels; itself where it was not read."""
        seen: dict[bytes, int] = {}
        first = np.arange(len(self))
        for row in sorted(self._keys):
            first[row] = seen.setdefault(self._keys[row], row)
        return first

    def warning(self, half_sets: np.ndarray | None) -> str | None:
        """Return a sentence that counts copies, or None."""
        return duplicates_warning(self.first, half_sets)
