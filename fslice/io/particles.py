"""Particle images with what is known of each: pose, CTF, half set."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np

from fslice._arrays import Array, check_finite, check_shape
from fslice.geometry import check_rotations
from fslice.io._files import check_pixel_size
from fslice.io._metadata import PIXEL_SIZE_TOLERANCE
from fslice.io.stack import ImageStack
from fslice.operators.aberrations import Aberrations
from fslice.operators.ctf import CTF

_OF_ALL = ("pixel_size", "phase_flipped", "premultiplied", "notes", "warnings")
"""The fields that do not have one value for each particle."""


@dataclasses.dataclass(frozen=True, eq=False, kw_only=True)
class Particles:
    """Images of single particles and what is known of them, in this library's conventions.

    Any field but `pixel_size` may be None, which means unknown or not asked for.

    Parameters
    ----------
    images : ImageStack or (n, D, D) array
        Read when indexed, if it is an `ImageStack`.
    rotations : (n, 3, 3) array
        Image to volume coordinates, acting on ``(x, y, z)``.
    shifts : (n, 2) array
        Where the particle sits, ``(x, y)`` in pixels from pixel ``D // 2``.
    ctf : CTF
        Of n images.
    pixel_size : float
        In Angstrom.
    half_set : (n,) integer array
        1 or 2.
    optics_group : (n,) integer array
        From 1: images taken under the same conditions.
    aberrations : Aberrations
        Of n images: phases that multiply their spectra, or are added to the CTF's.
    contrast : (n,) array
        By which the images are fainter or stronger; where there is a CTF, its `scale` has it.
    phase_flipped : bool
        The images have been multiplied by the sign of their CTF: their CTF is the absolute
        value of `ctf`.
    premultiplied : bool
        The images have been multiplied by their CTF.
    notes : tuple of str
        What was read for what: the file of a folder, files that were joined.
    warnings : tuple of str
        What the file they are from says and is not modelled, or leaves open and is assumed.

    Raises
    ------
    ValueError
        The fields differ in their number of particles, the rotations are not rotations,
        shifts are not finite, the pixel size is not positive or not that of the CTF, or
        images are multiplied by a CTF that is not given.

    Examples
    --------
    >>> particles = Particles(
    ...     images=np.zeros((4, 8, 8), np.float32), rotations=np.tile(np.eye(3), (4, 1, 1)),
    ...     shifts=np.zeros((4, 2)), pixel_size=1.5)
    >>> len(particles), len(particles[1:3]), particles.size
    (4, 2, 8)
    """

    images: ImageStack | Array | None = None
    rotations: Array | None = None
    shifts: Array | None = None
    ctf: CTF | None = None
    pixel_size: float
    half_set: Array | None = None
    optics_group: Array | None = None
    aberrations: Aberrations | None = None
    contrast: Array | None = None
    phase_flipped: bool = False
    premultiplied: bool = False
    notes: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        check_pixel_size("pixel_size", self.pixel_size)
        lengths = {name: len(value) for name, value in self._per_particle().items()}
        if not lengths:
            raise ValueError("particles: expected at least one field besides pixel_size, got none")
        if len(set(lengths.values())) > 1:
            listed = ", ".join(f"{name} {length}" for name, length in lengths.items())
            raise ValueError(f"particles: expected fields of one length, got {listed}")
        if self.images is not None:
            check_shape("images", self.images, ("n", *self.images.shape[-1:] * 2))
        if self.rotations is not None:
            check_shape("rotations", self.rotations, ("n", 3, 3))
            check_rotations("rotations", self.rotations)
        if self.shifts is not None:
            check_shape("shifts", self.shifts, ("n", 2))
            check_finite("shifts", self.shifts)
        if self.contrast is not None:
            check_shape("contrast", self.contrast, ("n",))
            check_finite("contrast", self.contrast)
        if self.ctf is not None:
            ratio = self.ctf.pixel_size / self.pixel_size
            if abs(ratio - 1).max() > PIXEL_SIZE_TOLERANCE:
                raise ValueError(
                    f"ctf: expected the pixel size of the particles, {self.pixel_size:g} "
                    f"Angstrom, got {float(self.ctf.pixel_size[0]):g}"
                )
        if self.phase_flipped and self.premultiplied:
            raise ValueError("premultiplied: expected False for images that are phase-flipped")
        if self.ctf is None and (self.phase_flipped or self.premultiplied):
            raise ValueError("ctf: expected that of the flipped or premultiplied images, got None")

    def _per_particle(self) -> dict[str, Any]:
        fields = {field.name: getattr(self, field.name) for field in dataclasses.fields(self)}
        return {
            name: value
            for name, value in fields.items()
            if name not in _OF_ALL and value is not None
        }

    def __len__(self) -> int:
        return len(next(iter(self._per_particle().values())))

    @property
    def size(self) -> int | None:
        """Box D of the images in pixels; None without images."""
        return None if self.images is None else int(self.images.shape[-1])

    def __getitem__(self, index: Any) -> Particles:
        """Select particles by an integer, a slice, or an array of integers or booleans.

        Images of a file are not read by this.
        """
        chosen = np.arange(len(self))[index].reshape(-1)
        changes: dict[str, Any] = {
            name: value.select(chosen) if isinstance(value, ImageStack) else value[chosen]
            for name, value in self._per_particle().items()
        }
        return dataclasses.replace(self, **changes)

    def select_group(self, number: int) -> Particles:
        """Return the particles of one optics group.

        Examples
        --------
        >>> particles = Particles(shifts=np.zeros((3, 2)), optics_group=np.array([1, 2, 2]),
        ...                       pixel_size=1.5)
        >>> len(particles.select_group(2))
        2
        """
        groups = self.optics_group
        chosen = np.flatnonzero(groups == number) if groups is not None else np.zeros(0, int)
        if not chosen.size:
            there = "none" if groups is None else ", ".join(map(str, np.unique(groups)))
            raise ValueError(f"number: expected one of the optics groups {there}, got {number}")
        return self[chosen]
