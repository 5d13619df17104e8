"""Maps and images limited to low frequencies, in the smallest box that holds them.

Poses are found at low frequencies first: a slice of radius K costs ``K^2``. Half spectra are cut
out of larger ones, so that nothing is resampled and noise keeps its variance; a shift of t pixels
is ``t d / D`` pixels of the smaller box d.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from fslice import _kernels
from fslice._arrays import Array, array_namespace, check_shape, check_size
from fslice.operators.ctf import CTF
from fslice.operators.projector import Projector

_TOGETHER = 4096  # slices that are read at a time


def lean_oversampling(size: int) -> float:
    """Return an oversampling whose errors are far below the noise of images of poses unknown.

    The padded box has to be whole: 1.5, or 2 for an odd box.
    """
    return 2 if size % 2 else 1.5


@dataclass(frozen=True)
class Band:
    """The frequencies ``|k| <= radius`` of a box, and how a map is sliced there.

    Parameters
    ----------
    size : int
        Box D of maps and images.
    radius : float
        In units of 1/D, up to ``(D - 1) // 2``.
    oversampling, interpolation
        Of the slices, as in `Projector`. The default is accurate, and twice differentiable.

    Raises
    ------
    ValueError
        The radius is not from 1 to ``(D - 1) // 2``.

    Examples
    --------
    Slices of the cropped map are the cropped slices of the map:

    >>> import fslice
    >>> band = Band(32, 6)
    >>> whole = fslice.Projector(32, 2, "cubic")
    >>> volume = fslice.phantom(32, 4.0).volume(32, 4.0)
    >>> rotations = fslice.random_rotations(3, np.random.default_rng(0))
    >>> slices = band.projector.project_ft(band.transform(volume), rotations)
    >>> full = fslice.Projector(32, 2, "cubic", 6).project_ft(whole.transform(volume), rotations)
    >>> slices.shape, np.allclose(slices, band.crop(full), atol=1e-6 * abs(full).max())
    ((3, 16, 9), True)
    """

    size: int
    radius: float
    oversampling: float = 2
    interpolation: str = "cubic"

    def __post_init__(self) -> None:
        check_size("size", self.size, 3)
        most = (self.size - 1) // 2
        if not 1 <= self.radius <= most:
            raise ValueError(f"radius: expected a number from 1 to {most}, got {self.radius}")

    @property
    def box(self) -> int:
        """Box d of the cropped spectra: the band, and room for the interpolation beyond it."""
        return min(2 * math.floor(self.radius) + 4, self.size)

    @property
    def scale(self) -> float:
        """Pixels of the box d to a pixel of the box D: ``d / D``."""
        return self.box / self.size

    @cached_property
    def projector(self) -> Projector:
        """Of the cropped map."""
        return Projector(self.box, self.oversampling, self.interpolation, self.radius)

    def transform(self, volume: Array) -> Array:
        """Return the spectrum that is sliced, of a (D, D, D) real map: (M, M, M//2 + 1) complex.

        M is `oversampling` times the box d.
        """
        check_shape("volume", volume, (self.size,) * 3)
        whole = Projector(self.size, self.oversampling, self.interpolation)
        return self.crop_volume(whole.transform(volume))

    def crop_volume(self, volume_ft: Array) -> Array:
        """Return `transform` of a map, given what the projector of the whole box makes of it.

        Of several bands of one map that costs one transform.
        """
        padded = self.projector.padded_size
        if padded >= len(volume_ft):
            return volume_ft
        rows = _kept_rows(len(volume_ft), padded, array_namespace(volume_ft))
        kept = volume_ft[rows[:, None], rows, : padded // 2 + 1]
        return kept * (self.size / self.box) ** 0.5

    def crop(self, spectra: Array) -> Array:
        """Return half spectra of images, or what multiplies them, in the box d.

        (..., D, D//2 + 1) to (..., d, d//2 + 1).
        """
        if self.box == self.size:
            return spectra
        rows = _kept_rows(self.size, self.box, array_namespace(spectra))
        return spectra[..., rows, : self.box // 2 + 1]

    def crop_ctf(self, ctf: CTF | Array | None, count: int, dtype: Any) -> Array | None:
        """Return the values of n images' CTFs at the band's frequencies, (n, d, d//2 + 1).

        In a real dtype; None where there are none.
        """
        if ctf is None:
            return None
        if not isinstance(ctf, CTF):
            return self.crop(ctf).astype(dtype, copy=False)
        # the frequency k of the box d is k / (D a), that of the box D
        kernels = _kernels.kernels_for(ctf.defocus_u)
        values = kernels.ctf_values(ctf.coefficients(self.size), self.projector.geometry(), dtype)
        xp = array_namespace(values)
        return xp.broadcast_to(values, (count, *values.shape[1:]))

    @cached_property
    def _independent(self) -> np.ndarray:
        """Places of the frequencies in a flat half spectrum; of mates on ``kx = 0`` one."""
        rows = np.arange(self.box)[:, None]
        ky = np.where(rows <= (self.box - 1) // 2, rows, rows - self.box)
        kx = np.arange(self.box // 2 + 1)
        radius = min(self.radius, (self.box - 1) // 2)
        inside = (kx**2 + ky**2 <= radius**2) & ((kx > 0) | (ky >= 0))
        return np.flatnonzero(inside)

    @cached_property
    def frequencies(self) -> np.ndarray:
        """(P, 2) float64 on the host: (kx, ky) of the independent frequencies of the band."""
        row, column = np.divmod(self._independent, self.box // 2 + 1)
        ky = np.where(row <= (self.box - 1) // 2, row, row - self.box)
        return np.stack([column, ky], 1).astype(np.float64)

    @cached_property
    def multiplicities(self) -> np.ndarray:
        """(P,) float64 on the host: 1 at zero frequency, else 2, for a frequency and its mate."""
        return np.where((self.frequencies == 0).all(1), 1.0, 2.0)

    def flatten(self, spectra: Array) -> Array:
        """Return the independent frequencies of cropped half spectra: (..., P)."""
        xp = array_namespace(spectra)
        flat = spectra.reshape((*spectra.shape[:-2], self.box * (self.box // 2 + 1)))
        return flat[..., xp.asarray(self._independent)]

    def unflatten(self, values: Array) -> Array:
        """Return half spectra with these independent frequencies, and zeros beyond the band.

        (..., P) to (..., d, d//2 + 1): complex, the mates on ``kx = 0`` conjugate; real values
        are even.
        """
        xp = array_namespace(values)
        width = self.box // 2 + 1
        spectra = xp.zeros((*values.shape[:-1], self.box * width), values.dtype)
        spectra[..., xp.asarray(self._independent)] = values
        spectra = spectra.reshape((*values.shape[:-1], self.box, width))
        half = (self.box - 1) // 2
        mates = xp.flip(spectra[..., 1 : half + 1, 0], -1)
        spectra[..., self.box - half :, 0] = mates.conj()
        return spectra

    def slices(self, volume_ft: Array, rotations: Array) -> Array:
        """Return flat slices of `transform`'s spectrum, (G, P) complex, as images have them."""
        xp = array_namespace(volume_ft, rotations)
        slices = xp.empty((len(rotations), len(self._independent)), volume_ft.dtype)
        dtype = volume_ft.real.dtype
        for start in range(0, len(rotations), _TOGETHER):
            part = slice(start, start + _TOGETHER)
            read = self.projector.project_ft(volume_ft, rotations[part].astype(dtype, copy=False))
            slices[part] = self.flatten(read)
        return slices

    def phases(self, shifts: Array, dtype: Any) -> Array:
        """Return what centres images that are shifted: ``exp(2 pi i k.t / D)``, (T, P) complex.

        Of (T, 2) shifts in pixels of the box D.
        """
        xp = array_namespace(shifts)
        angles = shifts.astype(np.float64) @ xp.asarray(self.frequencies).T
        return xp.exp(2j * np.pi / self.size * angles).astype(dtype)


def map_band(size: int, radius: float) -> Band:
    """Return the band in which a map is solved for from images whose poses are not known."""
    return Band(size, radius, lean_oversampling(size), "linear")


def _kept_rows(size: int, box: int, xp: Any) -> Array:
    """Return which rows of a spectrum a smaller box has: the lowest frequencies, its own order."""
    rows = xp.arange(box)
    return xp.where(rows <= (box - 1) // 2, rows, rows + (size - box))
