"""The geometry that every kernel shares: which grid is sampled, where, and how far out."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from fslice._arrays import Array, array_namespace

LINEAR = (0, 1)
CUBIC = (-1, 0, 1, 2)  # the cubic B-spline


class Lattice(NamedTuple):
    """A volume's frequency grid and the slices read from it.

    Any box is allowed: one ``z`` plane and one slice row make the two-dimensional case.
    Frequencies ``-(n-1)//2 ... (n-1)//2`` of each axis take part, so the Nyquist planes of an
    even box are neither read nor written, and neither are slice frequencies beyond
    `max_radius`. What the interpolation kernel meets outside this grid counts as zero; along an
    axis of a single frequency nothing is interpolated, as the spectrum of a plane is constant
    across it.
    """

    nz: int
    ny: int
    nx: int
    rows: int
    columns: int
    scale: float  # volume samples per slice frequency: the oversampling
    max_radius: float  # in slice frequencies
    taps: tuple[int, ...]  # offsets of the interpolation kernel: LINEAR or CUBIC

    @property
    def volume_shape(self) -> tuple[int, int, int]:
        """Shape of the volume's half spectrum."""
        return self.nz, self.ny, self.nx // 2 + 1

    @property
    def slice_shape(self) -> tuple[int, int]:
        """Shape of one slice's half spectrum."""
        return self.rows, self.columns // 2 + 1


def band(lattice: Lattice) -> np.ndarray:
    """Return which stored slice frequencies take part, as a (rows, columns//2 + 1) mask."""
    ky = np.rint(np.fft.fftfreq(lattice.rows) * lattice.rows)[:, None]
    kx = np.arange(lattice.columns // 2 + 1)[None, :]
    inside = (abs(ky) <= (lattice.rows - 1) // 2) & (kx <= (lattice.columns - 1) // 2)
    return inside & (kx**2 + ky**2 <= lattice.max_radius**2)


def add_friedel_mates(volume: Array) -> Array:
    """Add to the plane ``kx = 0``, in place, the conjugates of what fell on its mirror images.

    A scatter visits each pair of frequencies ``k, -k`` of a slice once. Off the plane its
    mirror image is not stored; on it both are, and this is the other half.
    """
    xp = array_namespace(volume)
    plane = volume[:, :, 0]
    mirrored = xp.roll(xp.flip(plane, (0, 1)), 1, (0, 1))
    volume[:, :, 0] = plane + mirrored.conj()
    return volume
