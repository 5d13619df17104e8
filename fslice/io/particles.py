"""Particle images with what is known of each: pose, CTF, half set; from STAR and ``.cs`` files."""

from __future__ import annotations

import dataclasses
import os
import warnings
from pathlib import Path
from typing import Any

import numpy as np

from fslice._arrays import Array, check_finite, check_shape
from fslice.geometry import check_rotations
from fslice.io._files import check_pixel_size
from fslice.io._metadata import PIXEL_SIZE_TOLERANCE
from fslice.io.cs import read_cs
from fslice.io.relion import read_relion
from fslice.io.stack import ImageStack
from fslice.operators.ctf import CTF

_READERS = {".star": read_relion, ".cs": read_cs}


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

    Raises
    ------
    ValueError
        The fields differ in their number of particles, the rotations are not rotations,
        shifts are not finite, or the pixel size is not positive or not that of the CTF.

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
        if self.ctf is not None:
            ratio = self.ctf.pixel_size / self.pixel_size
            if abs(ratio - 1).max() > PIXEL_SIZE_TOLERANCE:
                raise ValueError(
                    f"ctf: expected the pixel size of the particles, {self.pixel_size:g} "
                    f"Angstrom, got {float(self.ctf.pixel_size[0]):g}"
                )

    def _per_particle(self) -> dict[str, Any]:
        fields = {field.name: getattr(self, field.name) for field in dataclasses.fields(self)}
        return {
            name: value
            for name, value in fields.items()
            if name != "pixel_size" and value is not None
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


def read_particles(
    path: str | os.PathLike[str],
    *,
    poses: bool = True,
    images: bool = True,
    pixel_size: float | None = None,
) -> Particles:
    """Read particles from a STAR file of RELION 3.0, 3.1 or 5.0, or a ``.cs`` file of cryoSPARC.

    Parameters
    ----------
    path : path
        The suffix, ``.star`` or ``.cs``, decides.
    poses : bool, optional
        False leaves out `rotations` and `shifts`, which the file need not have then.
    images : bool, optional
        False leaves out `images`, whose stacks need not exist then.
    pixel_size : float, optional
        In Angstrom, for a file that has none; an error for one that has.

    Returns
    -------
    Particles
        With the images as an `ImageStack`, in the order of the file. `ctf` is None where
        the file has no defocus, `half_set` where it does not divide the particles in
        two. `rotations` and `shifts` are float64.

    Raises
    ------
    ValueError
        Not such a file; no particles; pose columns missing (named); an image beyond its
        stack (named); images that are not square or not of the size that the file
        says; a pixel size or an image size that is absent, not positive, or not one for
        all; images multiplied by their CTF; values that are not finite.
    OSError
        The file or one of its stacks cannot be read, or is not where it should be: beside
        the file, in the current folder, or in a folder above the file.
    ImportError
        For STAR files, if the package gemmi is missing.

    Warns
    -----
    UserWarning
        The file has optical parameters that `CTF` leaves out: beam tilt, higher
        aberrations, anisotropic magnification.

    Notes
    -----
    RELION's matrix of Euler angles is the transpose of `rotations`, and its origins, in
    pixels or Angstrom, are minus `shifts`. cryoSPARC's rotation vectors give `rotations`
    as they are, and its shifts have RELION's sign. Origins that a STAR file leaves out are
    zero, as in RELION.

    Examples
    --------
    >>> read_particles("particles.txt")
    Traceback (most recent call last):
    ...
    ValueError: particles.txt: expected a file ending in .star or .cs
    """
    path = Path(path)
    reader = _READERS.get(path.suffix.lower())
    if reader is None:
        raise ValueError(f"{path}: expected a file ending in {' or '.join(_READERS)}")
    metadata = reader(path, poses=poses, pixel_size=pixel_size)
    if metadata.unmodelled:
        listed = ", ".join(metadata.unmodelled)
        warnings.warn(f"{path}: not modelled, and left out: {listed}", stacklevel=2)
    stack = metadata.open_images() if images else None
    return Particles(images=stack, **metadata.fields)
