"""What every contestant is given, and how their answers are compared."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

import numpy as np

import fslice
from fslice.fourier import hermitian_part


class Problem(NamedTuple):
    """Slices of one volume, in fslice's conventions and single precision."""

    volume: np.ndarray  # (D, D, D)
    images_ft: np.ndarray  # (n, D, D//2 + 1), to be inserted, or fitted
    rotations: np.ndarray  # (n, 3, 3)
    shifts: np.ndarray  # (n, 2), (x, y) in pixels
    interpolation: str
    max_radius: int

    @property
    def size(self) -> int:
        """Box D."""
        return len(self.volume)

    @property
    def pairs(self) -> np.ndarray:
        """How many frequencies each column of a half spectrum stands for."""
        return fslice.fourier.hermitian_weights(self.size).astype(np.float32)


def make_problem(size: int, n_images: int, interpolation: str = "linear") -> Problem:
    """Draw poses at random, and noise for the linear kernel, whose spectrum ends nowhere.

    Two cubic kernels agree on smooth spectra only: they get a phantom of half the box.
    """
    rng = np.random.default_rng(0)
    if interpolation == "cubic":
        volume = fslice.phantom(size, 4.0, radius=0.5).volume(size, 4.0)
        volume /= volume.std()
    else:
        volume = rng.normal(size=(size,) * 3)
    radius = (size - 1) // 2
    images = rng.normal(size=(n_images, size, size)).astype(np.float32)
    inside = fslice.fourier.radii(size, 2) <= radius
    return Problem(
        volume=volume.astype(np.float32),
        images_ft=fslice.rfft2(images) * inside,
        rotations=fslice.random_rotations(n_images, rng).astype(np.float32),
        shifts=rng.uniform(-5, 5, (n_images, 2)).astype(np.float32),
        interpolation=interpolation,
        max_radius=radius,
    )


def in_the_space_of_volumes(gradient: np.ndarray) -> np.ndarray:
    """Turn a gradient in the stored numbers of a half spectrum into that in the volume."""
    size = gradient.shape[-2]
    return hermitian_part(gradient / fslice.fourier.hermitian_weights(size), 3)


def difference(found: Iterable, expected: Iterable) -> float | None:
    """Return the largest relative L2 difference of pairs of arrays; None stands for no array."""
    differences = [
        float(np.linalg.norm(a - b) / np.linalg.norm(b))
        for a, b in zip(found, expected, strict=True)
        if a is not None
    ]
    return max(differences, default=None)
