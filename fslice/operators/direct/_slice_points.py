"""Where the samples of slices fall, and how their values become images."""

from __future__ import annotations

import math

from fslice import _kernels
from fslice._arrays import Array, array_namespace, check_shape
from fslice.fourier import hermitian_weights, transform
from fslice.operators._pose_checks import check_poses
from fslice.operators.sampling import slice_geometry


class SlicePoints:
    """Where the samples of slices fall, their phases, and their places in half spectra."""

    def __init__(
        self,
        name: str,
        array: Array,
        rotations: Array,
        shifts: Array | None,
        max_radius: float | None,
    ) -> None:
        check_poses(name, array, rotations, shifts, summed=1)
        check_shape(name, array, (..., "D"))
        xp = self.xp = array_namespace(array)
        size = self.size = array.shape[-1]
        self.dimension = rotations.shape[-1]
        flat = self.dimension - 1
        batch = rotations.shape[:-2]
        self.image_shape = (*batch, *(size,) * flat)
        self.half_shape = (*(size,) * (flat - 1), size // 2 + 1)
        self.scale = size ** (-flat / 2)
        geometry = slice_geometry(self.dimension, size, size, "linear", max_radius)
        self.band = _kernels.band(geometry, xp).reshape(self.half_shape)
        index = xp.nonzero(self.band)
        rows = [xp.where(i <= (size - 1) // 2, i, i - size) for i in index[:-1]]
        self.k = xp.stack([index[-1], *rows]).astype(xp.float64)  # (d - 1, samples), x first
        self.pairs = xp.take(hermitian_weights(size, xp), index[-1])
        self.axes = rotations.reshape(-1, self.dimension, self.dimension)[..., :flat]
        self.axes = self.axes.astype(xp.float64)
        moved = xp.zeros((len(self.axes), flat)) if shifts is None else shifts.reshape(-1, flat)
        self.phases = xp.exp(-2j * math.pi / size * (moved.astype(xp.float64) @ self.k))

    def frequencies(self) -> Array:
        """Return ``R (kx, ky, 0)`` of all samples of all images, (n * samples, d)."""
        return (self.axes @ self.k).swapaxes(-1, -2).reshape(-1, self.dimension)

    def to_half_spectra(self, values: Array) -> Array:
        """Put (n, samples) values into half spectra that are zero elsewhere."""
        spectra = self.xp.zeros((len(values), *self.half_shape), self.xp.complex128)
        spectra[:, self.band] = values
        return spectra

    def from_half_spectra(self, spectra: Array) -> Array:
        """Read (n, samples) weighted values: the adjoint of `to_half_spectra`."""
        return spectra[:, self.band] * self.pairs

    def spectra_of(self, images: Array) -> Array:
        """Transform images with one leading axis, in double precision."""
        flat = images.reshape(-1, *images.shape[images.ndim - self.dimension + 1 :])
        return transform(flat.astype(self.xp.float64), self.dimension - 1)

    def pose_gradients(self, by_points: Array, turns: Array) -> tuple[Array, Array]:
        """Chain gradients in the frequencies, and the rates of the phases, to the poses."""
        by_points = by_points.reshape(len(self.axes), -1, self.dimension)
        grad_rotations = self.xp.zeros((len(self.axes), self.dimension, self.dimension))
        grad_rotations[..., : self.dimension - 1] = by_points.swapaxes(-1, -2) @ self.k.T
        return grad_rotations, 2 * math.pi / self.size * (turns @ self.k.T)
