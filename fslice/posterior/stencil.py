"""Normal equations of linear slices: their matrix is a 27-point stencil, and they add up."""

from __future__ import annotations

import math
import os
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from fslice import _kernels
from fslice._arrays import (
    Array,
    array_namespace,
    check_alike,
    check_shape,
    complex_dtype,
    to_numpy,
)
from fslice._kernels.interface import add_friedel_mates
from fslice._kernels.stencil import OFFSETS
from fslice.io._archives import read_archive
from fslice.io._files import atomic_write
from fslice.operators.projector import Projector
from fslice.posterior.normal import NormalEquations
from fslice.symmetry.groups import symmetry_name

_FORMAT = 3
_SUMS = ("b", "stencil", "squares", "degrees", "log_weights", "count")


@dataclass(frozen=True, eq=False)
class StencilEquations(NormalEquations):
    """Normal equations whose matrix A is kept, so that the images are needed no more.

    Sets of images add up: ``a + b`` is the sum over both, ``a - b`` leaves one out.

    Parameters
    ----------
    projector, b, squares, degrees, log_weights, count, symmetry
        As in `NormalEquations`; interpolation linear.
    stencil : (14, M, M, M//2 + 1) real array
        A, as one coefficient for each pair of neighbouring frequencies.

    Notes
    -----
    A is real: the corners of a sample's cell are coupled by products of interpolation weights.
    So `apply` costs a pass over the volume, whatever the number of images. For images of lines
    (2 x 2 rotations) the half spectra are (M, M//2 + 1).

    Examples
    --------
    >>> import fslice
    >>> from fslice.data.dataset import Dataset
    >>> from fslice.data.poses import Poses
    >>> from fslice.posterior.sums import normal_equations
    >>> rng = np.random.default_rng(0)
    >>> projector = fslice.Projector(8)
    >>> volume, rotations = rng.normal(size=(8, 8, 8)), fslice.random_rotations(20, rng)
    >>> dataset = Dataset(projector.project(volume, rotations), Poses(rotations))
    >>> normal = normal_equations(dataset, projector)
    >>> volume_ft = projector.transform(volume)
    >>> np.allclose(normal.apply(volume_ft), normal.b)  # there is no noise
    True
    >>> halves = [normal_equations(dataset, projector, rows=np.arange(i, 20, 2)) for i in (0, 1)]
    >>> both = halves[0] + halves[1]
    >>> both.count, np.allclose(both.stencil, normal.stencil)
    (20, True)
    """

    stencil: Array = field(repr=False)

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.projector.interpolation != "linear":
            raise ValueError(
                "projector: expected interpolation 'linear', whose Gram matrix couples neighbours "
                f"only, got {self.projector.interpolation!r}"
            )
        check_alike(b=self.b, stencil=self.stencil)
        check_shape("stencil", self.stencil, (len(OFFSETS), *self.geometry.volume_shape))

    def astype(self, dtype: Any) -> StencilEquations:
        """Return the normal equations in another precision, float32 or float64."""
        b, stencil = self.b.astype(complex_dtype(dtype)), self.stencil.astype(dtype)
        return replace(self, b=b, stencil=stencil)

    def _applied(self, volume_ft: Array) -> Array:
        kernels = _kernels.kernels_for(self.stencil, volume_ft)
        shape = self.geometry.volume_shape
        return kernels.apply_stencil(self.stencil, volume_ft.reshape(shape)).reshape(self.b.shape)

    def diagonal(self) -> Array:
        """Return the diagonal of A: how much the images say about each frequency by itself."""
        return add_friedel_mates(self.stencil[0].copy()).reshape(self.b.shape)

    def row_sums(self) -> Array:
        """Return A applied to ones: the weights of a conventional weighted back-projection."""
        xp = array_namespace(self.b)
        # a copy: of what is a view, the complex array would stay
        return xp.ascontiguousarray(self.apply(xp.ones_like(self.b)).real)

    def __add__(self, other: StencilEquations) -> StencilEquations:
        """Return the normal equations of both sets of images."""
        return self._combined("+", other, 1)

    def __sub__(self, other: StencilEquations) -> StencilEquations:
        """Return the normal equations without the images of `other`."""
        return self._combined("-", other, -1)

    def _combined(self, name: str, other: StencilEquations, sign: int) -> StencilEquations:
        if not isinstance(other, StencilEquations):
            raise TypeError(f"{name}: expected StencilEquations, got {type(other).__name__}")
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
        >>> StencilEquations.load(path).projector
        Projector(size=8, oversampling=1.0, interpolation='linear', max_radius=None)
        """
        with atomic_write(path) as file:
            np.savez(file, **self.to_arrays())

    def to_arrays(self) -> dict[str, Any]:
        """Return them as arrays of the host by name, from which `from_arrays` makes them again."""
        projector = self.projector
        radius = math.nan if projector.max_radius is None else projector.max_radius
        return {
            "format": _FORMAT,
            "symmetry": self.symmetry,
            "projector": [projector.size, projector.oversampling, radius],
            **{name: to_numpy(getattr(self, name)) for name in _SUMS},
        }

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> StencilEquations:
        """Read what `save` wrote.

        Raises
        ------
        ValueError
            The file is no such file, or a field of it is not what `save` writes.
        """
        try:
            version = read_archive(path, {"format": ("iu", ())})["format"]
            if version != _FORMAT:
                raise ValueError(f"it has the format {version}")
            return cls._of_archive(path)
        except (TypeError, ValueError) as error:
            raise ValueError(
                f"{os.fspath(path)}: expected normal equations, format {_FORMAT}: {error}"
            ) from error

    @classmethod
    def _of_archive(cls, path: str | os.PathLike[str]) -> StencilEquations:
        known = read_archive(path, {"projector": ("f*", (3,)), "symmetry": ("U", ())})
        size, oversampling, radius = known["projector"].tolist()
        projector = Projector(
            int(size), oversampling, max_radius=None if math.isnan(radius) else radius
        )
        kinds = dict(zip(_SUMS, (*("c", "f", "f", "f", "f"), "iu"), strict=True))
        scalars = ("log_weights", "count")
        sums: dict[str, Any] = read_archive(
            path, {name: (kind, () if name in scalars else None) for name, kind in kinds.items()}
        )
        if sums["count"] < 0 or (sums["degrees"] < 0).any() or (sums["squares"] < 0).any():
            raise ValueError("a number of images, or a sum of squares, is below 0")
        sums |= {"log_weights": float(sums["log_weights"]), "count": int(sums["count"])}
        return cls(projector, symmetry=symmetry_name(str(known["symmetry"])), **sums)


def no_images(
    projector: Projector, dimension: int = 3, dtype: Any = np.float64, *, xp: Any = np
) -> StencilEquations:
    """Return the normal equations of an empty set of images: the zero of their sum.

    Examples
    --------
    >>> import fslice
    >>> no_images(fslice.Projector(8)).unobserved()
    1.0
    """
    padded = projector.padded_size
    geometry = projector.geometry(dimension)
    shape = (*[padded] * (dimension - 1), padded // 2 + 1)
    zeros = xp.zeros(projector.size // 2 + 1)
    return StencilEquations(
        projector,
        xp.zeros(shape, complex_dtype(dtype)),
        zeros,
        zeros.copy(),
        0.0,
        0,
        "C1",
        xp.zeros((len(OFFSETS), *geometry.volume_shape), dtype),
    )
