"""Between a real volume and the spectrum that is sliced: deconvolve, pad, transform."""

from __future__ import annotations

from dataclasses import dataclass

from fslice._arrays import Array, array_namespace, real_dtype
from fslice.fourier import crop, inverse_transform, pad, transform


@dataclass(frozen=True)
class Padding:
    """The way from the box D of an object to the box M of its spectrum.

    Interpolating a spectrum multiplies the object by the transform of the interpolation kernel,
    a B-spline: ``sinc(x / M)**order`` along each axis. It is divided out beforehand.

    Examples
    --------
    >>> import numpy as np
    >>> padding, volume = Padding(6, 12, 2), np.random.default_rng(0).normal(size=(6, 6, 6))
    >>> np.allclose(padding.undo(padding.transform(volume)), volume)
    True
    """

    size: int
    padded_size: int
    order: int  # of the B-spline: 2 for linear interpolation, 4 for cubic

    def transform(self, volume: Array) -> Array:
        """Deconvolve, pad and transform an object of two or three dimensions."""
        corrected = self._multiplied(volume, -1)
        return transform(pad(corrected, self.padded_size, volume.ndim), volume.ndim)

    def adjoint(self, volume_ft: Array) -> Array:
        """Apply the adjoint of `transform`."""
        return self._multiplied(self._cropped(volume_ft), -1)

    def undo(self, volume_ft: Array) -> Array:
        """Return what `transform` was given; what is outside its box is cut off."""
        return self._multiplied(self._cropped(volume_ft), 1)

    def _cropped(self, volume_ft: Array) -> Array:
        padded = inverse_transform(volume_ft, volume_ft.ndim, self.padded_size)
        return crop(padded, self.size, volume_ft.ndim)

    def _multiplied(self, volume: Array, power: int) -> Array:
        """Multiply by a power of the kernel's transform along every axis."""
        xp = array_namespace(volume)
        x = (xp.arange(self.size) - self.size // 2) / self.padded_size
        factor = (xp.sinc(x) ** self.order).astype(real_dtype(volume.dtype)) ** power
        for axis in range(volume.ndim):
            volume = volume * factor.reshape((-1,) + (1,) * axis)
        return volume
