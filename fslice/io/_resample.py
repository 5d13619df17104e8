"""Images of several boxes and pixel sizes, brought to one of each."""

from __future__ import annotations

import dataclasses
import functools

import numpy as np


@dataclasses.dataclass(frozen=True, eq=False)
class CommonGrid:
    """What images of several optics groups are resampled to when they are read.

    Parameters
    ----------
    size : int
        Box D of all.
    pixel_size : float
        Of all, in Angstrom: the largest of them, so that every image has all frequencies.
    pixel_sizes : (n,) array
        Of the images as their files hold them.
    """

    size: int
    pixel_size: float
    pixel_sizes: np.ndarray

    def note(self, boxes: list[int]) -> str:
        """Say what images of some boxes become."""
        fine, coarse = self.pixel_sizes.min(), self.pixel_sizes.max()
        return (
            f"images of {min(boxes)} to {max(boxes)} pixels of {fine:g} to {coarse:g} Angstrom are "
            f"resampled to {self.size} pixels of {self.pixel_size:g} Angstrom"
        )

    def apply(self, images: np.ndarray, number: int) -> np.ndarray:
        """Return images (b, d, d) of the pixel size of one of the n images on the common grid."""
        box, pixel = images.shape[-1], float(self.pixel_sizes[number])
        if (box, pixel) == (self.size, self.pixel_size):
            return images
        matrix = resampling_matrix(self.size, self.pixel_size, box, pixel).astype(images.dtype)
        return matrix @ images @ matrix.T


def common_grid(boxes: np.ndarray, pixel_sizes: np.ndarray) -> tuple[int, float]:
    """Return the box and the pixel size that all images fill: the coarsest, the narrowest.

    Parameters
    ----------
    boxes, pixel_sizes : (n,) arrays
        Of the images.

    Examples
    --------
    Images of 320 Angstrom, and of 300 with finer pixels:

    >>> common_grid(np.array([160, 300]), np.array([2.0, 1.0]))
    (150, 2.0)
    """
    pixel_size = float(pixel_sizes.max())
    size = int((boxes * pixel_sizes).min() / pixel_size * (1 + 1e-6))
    own = boxes[pixel_sizes == pixel_size]
    return (size if size in own else size - size % 2), pixel_size


@functools.lru_cache(maxsize=8)
def resampling_matrix(size: int, pixel_size: float, box: int, pixel: float) -> np.ndarray:
    """Return what brings an axis of `box` pixels to `size` others, about the pixels in the middle.

    Returns
    -------
    (size, box) float64 array

    Notes
    -----
    Pixels beyond the common width ``W = size pixel_size`` are cut off. Of the rest, the
    coefficients of the frequencies ``k / W``, ``|k| <= size / 2``, are those of the result:
    ``A[y, x] = (1 / sqrt(size w)) sum_k cos(2 pi k (y pixel_size - x pixel) / W)``, with ``w`` the
    number of old pixels in W. In a unitary transform they keep their size, so white noise keeps
    its variance, and images whose noise was normalised to 1 stay normalised.

    Examples
    --------
    The same grid is left as it is; half the pixels are a Fourier crop:

    >>> np.allclose(resampling_matrix(6, 1.5, 6, 1.5), np.eye(6))
    True
    >>> crop = resampling_matrix(5, 2.0, 10, 1.0)
    >>> np.allclose(crop @ crop.T, np.eye(5))
    True
    """
    width = size * pixel_size
    places = pixel * (np.arange(box) - box // 2)
    inside = (places >= -width / 2 - 1e-9 * width) & (places < width / 2 * (1 - 1e-9))
    distance = pixel_size * (np.arange(size)[:, None] - size // 2) - places
    k = np.arange(-(size // 2), (size + 1) // 2)
    waves = np.cos(2 * np.pi / width * k[:, None, None] * distance).sum(0)
    return waves * inside / np.sqrt(size * width / pixel)
