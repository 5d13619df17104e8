"""The normal equations: all that images with known poses say about a volume, in closed form."""

from __future__ import annotations

import math
import os
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from fslice import _kernels
from fslice._arrays import (
    Array,
    array_namespace,
    check_alike,
    check_complex,
    check_shape,
    complex_dtype,
    to_numpy,
)
from fslice._kernels.interface import add_friedel_mates
from fslice._kernels.stencil import OFFSETS
from fslice.fourier import radii
from fslice.operators.projector import Projector
from fslice.operators.sampling import slice_geometry
from fslice.symmetry.groups import symmetry_rotations

_FORMAT = 2
_SUMS = ("b", "stencil", "power", "degrees", "log_weights", "count")


@dataclass(frozen=True, eq=False)
class NormalEquations:
    """Sums over images from which mean, uncertainty, ELBO and evidence follow without them.

    With the images ``y = P v + noise``, ``P = C T a S`` the projector (slice, amplitude, shift,
    CTF) and ``w`` the weight of each coefficient, ``1 / w`` being proportional to its noise
    variance, these are ``A = sum P^H w P``, ``b = sum P^H w y`` and ``sum w |y|^2``. A noise
    variance divides them all, so it can be chosen, or learned, afterwards.

    Sets of images add up: ``a + b`` is the sum over both, ``a - b`` leaves one out.

    Parameters
    ----------
    projector : Projector
        How volumes become images; interpolation linear.
    b : (M, M, M//2 + 1) complex array
        The weighted back-projection of the images.
    stencil : (14, M, M, M//2 + 1) real array
        A, as one coefficient for each pair of neighbouring frequencies.
    power : (D//2 + 1,) float64 array
        ``sum m w |y|^2`` over the band, per shell of the images; the last takes what lies beyond.
    degrees : (D//2 + 1,) float64 array
        Real degrees of freedom of the images in the band, per shell: sums of ``m``.
    log_weights : float
        ``sum m log w`` over the band of all images; the likelihood's normalisation needs it.
    count : int
        Number of images.
    symmetry : str, optional
        The point group over whose rotations every image was summed, `order` times.

    Notes
    -----
    A is real: the corners of a sample's cell are coupled by products of interpolation weights.
    So `apply` costs a pass over the volume, whatever the number of images. For images of lines
    (2 x 2 rotations) the half spectra are (M, M//2 + 1).

    Examples
    --------
    >>> import fslice
    >>> from fslice.posterior.accumulate import accumulate
    >>> rng = np.random.default_rng(0)
    >>> projector = fslice.Projector(8)
    >>> volume, rotations = rng.normal(size=(8, 8, 8)), fslice.random_rotations(20, rng)
    >>> images = projector.project(volume, rotations)
    >>> normal = accumulate(images, rotations, projector=projector)
    >>> volume_ft = projector.transform(volume)
    >>> np.allclose(normal.apply(volume_ft), normal.b)  # there is no noise
    True
    >>> halves = [accumulate(images[i::2], rotations[i::2], projector=projector) for i in (0, 1)]
    >>> both = halves[0] + halves[1]
    >>> both.count, np.allclose(both.stencil, normal.stencil)
    (20, True)
    """

    projector: Projector
    b: Array
    stencil: Array
    power: Array
    degrees: Array
    log_weights: float
    count: int
    symmetry: str = "C1"

    def __post_init__(self) -> None:
        if self.projector.interpolation != "linear":
            raise ValueError(
                "projector: expected interpolation 'linear', whose Gram matrix couples neighbours "
                f"only, got {self.projector.interpolation!r}"
            )
        check_complex("b", self.b)
        check_alike(b=self.b, stencil=self.stencil)
        box = self.projector.padded_size
        check_shape("b", self.b, (*[box] * (self.b.ndim - 1), box // 2 + 1))
        check_shape("stencil", self.stencil, (len(OFFSETS), *self._lattice.volume_shape))
        for name in ("power", "degrees"):
            check_shape(name, getattr(self, name), (self.projector.size // 2 + 1,))

    @property
    def order(self) -> int:
        """Number of copies of each image in the sums: one for each rotation of the group."""
        return len(symmetry_rotations(self.symmetry))

    @property
    def _lattice(self) -> _kernels.SliceGeometry:
        return normal_lattice(self.projector, self.b.ndim)

    def astype(self, dtype: Any) -> NormalEquations:
        """Return the normal equations in another precision, float32 or float64."""
        return replace(
            self, b=self.b.astype(complex_dtype(dtype)), stencil=self.stencil.astype(dtype)
        )

    def apply(self, volume_ft: Array) -> Array:
        """Return ``A v``: project onto all images, weight, back-project.

        Parameters
        ----------
        volume_ft : (M, M, M//2 + 1) complex array
            Half spectrum of a real volume, as `Projector.transform` gives it.

        Returns
        -------
        (M, M, M//2 + 1) complex array
        """
        check_complex("volume_ft", volume_ft)
        check_alike(volume_ft=volume_ft, b=self.b)
        check_shape("volume_ft", volume_ft, self.b.shape)
        kernels = _kernels.kernels_for(self.stencil, volume_ft)
        product = kernels.apply_stencil(self.stencil, volume_ft.reshape(self._lattice.volume_shape))
        return product.reshape(self.b.shape)

    def diagonal(self) -> Array:
        """Return the diagonal of A: how much the images say about each frequency by itself."""
        diagonal = add_friedel_mates(self.stencil[0].copy())
        return diagonal.reshape(self.b.shape)

    def row_sums(self) -> Array:
        """Return A applied to ones: the weights of a conventional weighted back-projection."""
        return self.apply(array_namespace(self.b).ones_like(self.b)).real

    def unobserved(self) -> float:
        """Return the fraction of the frequencies of the band that no image has touched."""
        lattice = self._lattice
        distance = radii(self.projector.padded_size, self.b.ndim, array_namespace(self.b))
        band = distance <= lattice.max_radius * lattice.scale
        return float((self.diagonal()[band] == 0).mean())

    def __add__(self, other: NormalEquations) -> NormalEquations:
        """Return the normal equations of both sets of images."""
        return self._combined("+", other, 1)

    def __sub__(self, other: NormalEquations) -> NormalEquations:
        """Return the normal equations without the images of `other`."""
        return self._combined("-", other, -1)

    def _combined(self, name: str, other: NormalEquations, sign: int) -> NormalEquations:
        if not isinstance(other, NormalEquations):
            raise TypeError(f"{name}: expected NormalEquations, got {type(other).__name__}")
        if other.projector != self.projector or other.b.shape != self.b.shape:
            raise ValueError(f"{name}: expected {self.projector}, got {other.projector}")
        if other.symmetry != self.symmetry:
            raise ValueError(f"{name}: expected the symmetry {self.symmetry}, got {other.symmetry}")
        check_alike(left=self.b, right=other.b)
        if self.count + sign * other.count < 0:
            raise ValueError(f"-: expected at most {self.count} images, got {other.count}")
        sums = {name: getattr(self, name) + sign * getattr(other, name) for name in _SUMS}
        return replace(self, **sums)

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write an ``.npz`` file, under its name only when it is complete.

        Examples
        --------
        >>> import tempfile, fslice
        >>> path = os.path.join(tempfile.mkdtemp(), "normal.npz")
        >>> no_images(fslice.Projector(8)).save(path)
        >>> NormalEquations.load(path).projector
        Projector(size=8, oversampling=1.0, interpolation='linear', max_radius=None)
        """
        projector = self.projector
        radius = math.nan if projector.max_radius is None else projector.max_radius
        arrays: dict[str, Any] = {
            "format": _FORMAT,
            "symmetry": self.symmetry,
            "projector": [projector.size, projector.oversampling, radius],
            **{name: getattr(self, name) for name in _SUMS},
        }
        arrays |= {name: to_numpy(getattr(self, name)) for name in ("b", "stencil")}
        part = Path(f"{os.fspath(path)}.part")
        try:
            with part.open("wb") as file:
                np.savez(file, **arrays)
            part.replace(path)
        finally:
            part.unlink(missing_ok=True)

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> NormalEquations:
        """Read what `save` wrote.

        Raises
        ------
        ValueError
            The file is no such file.
        """
        with np.load(path, allow_pickle=False) as file:
            if "format" not in file or int(file["format"]) != _FORMAT:
                raise ValueError(f"{os.fspath(path)}: expected normal equations, format {_FORMAT}")
            size, oversampling, radius = file["projector"].tolist()
            sums = {name: file[name] for name in _SUMS}
            symmetry = str(file["symmetry"])
        projector = Projector(
            int(size), oversampling, max_radius=None if math.isnan(radius) else radius
        )
        sums |= {"log_weights": float(sums["log_weights"]), "count": int(sums["count"])}
        return cls(projector, **sums, symmetry=symmetry)


def normal_lattice(projector: Projector, dimension: int) -> _kernels.SliceGeometry:
    """Return the geometry of the slices of volumes (or, dimension 2, of images)."""
    return slice_geometry(
        dimension,
        projector.padded_size,
        projector.size,
        projector.interpolation,
        projector.max_radius,
    )


def no_images(projector: Projector, dimension: int = 3, dtype: Any = np.float64) -> NormalEquations:
    """Return the normal equations of an empty set of images: the zero of their sum.

    Examples
    --------
    >>> import fslice
    >>> no_images(fslice.Projector(8)).unobserved()
    1.0
    """
    lattice = normal_lattice(projector, dimension)
    shape = (*[projector.padded_size] * (dimension - 1), projector.padded_size // 2 + 1)
    return NormalEquations(
        projector,
        np.zeros(shape, np.result_type(dtype, np.complex64)),
        np.zeros((len(OFFSETS), *lattice.volume_shape), dtype),
        np.zeros(projector.size // 2 + 1),
        np.zeros(projector.size // 2 + 1),
        0.0,
        0,
    )
