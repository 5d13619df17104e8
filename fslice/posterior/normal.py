"""The normal equations: all that images with known poses say about a volume, in closed form."""

from __future__ import annotations

import abc
import math
from dataclasses import dataclass, field
from typing import Any

from fslice._arrays import Array, array_namespace, check_alike, check_complex, check_shape
from fslice._kernels import SliceGeometry
from fslice.fourier import radii
from fslice.operators.projector import Projector
from fslice.symmetry.groups import symmetry_rotations


@dataclass(frozen=True, eq=False)
class NormalEquations(abc.ABC):
    """Sums over images from which mean, uncertainty, bound and evidence follow without them.

    With the images ``y = P v + noise``, ``P = C T a S`` the projector (slice, amplitude, shift,
    CTF) and ``w`` the weight of each coefficient, ``1 / w`` being proportional to its noise
    variance, these are ``A = sum P^H w P``, ``b = sum P^H w y`` and ``sum w |y|^2``. A noise
    variance divides them all, so it can be chosen, or learned, afterwards.

    `fslice.posterior.sums.normal_equations` makes them: for linear slices `StencilEquations`, where
    A is a stencil and the images are needed no more; for others `PassEquations`, where A is applied
    by passes over the poses.

    Parameters
    ----------
    projector : Projector
        How volumes become images.
    b : (M, M, M//2 + 1) complex array
        The weighted back-projection of the images.
    squares : (D//2 + 1,) float64 array
        ``sum m w |y|^2`` over the band, per shell of the images; the last takes what lies beyond.
    degrees : (D//2 + 1,) float64 array
        Real degrees of freedom of the images in the band, per shell: sums of ``m``.
    log_weights : float
        ``sum m log w`` over the band of all images; the likelihood's normalisation needs it.
    count : int
        Number of images.
    symmetry : str
        The point group over whose rotations every image was summed, `order` times: all sums,
        also `squares`, `degrees` and `log_weights`, count each image so often.
    """

    projector: Projector
    b: Array = field(repr=False)
    squares: Array = field(repr=False)
    degrees: Array = field(repr=False)
    log_weights: float = field(repr=False)
    count: int
    symmetry: str

    def __post_init__(self) -> None:
        check_complex("b", self.b)
        padded = self.projector.padded_size
        check_shape("b", self.b, (*[padded] * (self.b.ndim - 1), padded // 2 + 1))
        for name in ("squares", "degrees"):
            check_shape(name, getattr(self, name), (self.projector.size // 2 + 1,))

    @property
    def order(self) -> int:
        """Number of views of each image in the sums: one for each rotation of the group."""
        return len(symmetry_rotations(self.symmetry))

    @property
    def geometry(self) -> SliceGeometry:
        """How slices sample the padded volume."""
        return self.projector.geometry(self.b.ndim)

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
        return self._applied(volume_ft)

    @abc.abstractmethod
    def _applied(self, volume_ft: Array) -> Array: ...

    @abc.abstractmethod
    def diagonal(self) -> Array:
        """Return the diagonal of A: how much the images say about each frequency by itself."""

    @abc.abstractmethod
    def row_sums(self) -> Array:
        """Return A applied to ones: the weights of a conventional weighted back-projection."""

    @abc.abstractmethod
    def astype(self, dtype: Any) -> NormalEquations:
        """Return the normal equations in another precision, float32 or float64."""

    def unobserved(self) -> float:
        """Return the fraction of the frequencies of the band that no image has touched."""
        geometry, xp = self.geometry, array_namespace(self.b)
        distance = radii(self.projector.padded_size, self.b.ndim, xp)
        band = distance <= geometry.max_radius * geometry.scale
        return float(((self.diagonal() == 0) & band).sum() / band.sum())


def check_informative(normal: NormalEquations) -> None:
    """Raise if the images say nothing, or more than numbers can hold.

    Raises
    ------
    ValueError
        There is no image; or all are zero, or their CTF is; or an image is so large that its
        square is infinite.
    """
    if not normal.count:
        raise ValueError("normal: expected at least one image to learn from, got none")
    largest = float(abs(normal.b).max())
    if not (math.isfinite(largest) and math.isfinite(float(normal.squares.sum()))):
        raise ValueError("images: expected values whose squares can be summed, got larger ones")
    if not largest:
        raise ValueError(
            "images: expected images that show something, got zeros, or a CTF that is zero"
        )
