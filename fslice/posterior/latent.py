"""What is unknown of a volume, and how it becomes the spectrum that is sliced.

The latent half spectrum w has independent coefficients a priori. A map takes it to the real
volume, and to the spectrum that is sliced; box, mask and symmetry are such linear maps.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np

from fslice._arrays import Array, array_namespace, check_finite, check_real, check_shape
from fslice.fourier import inverse_transform, radii, transform
from fslice.operators.projector import Projector
from fslice.posterior.coverage import coverage
from fslice.posterior.normal import NormalEquations
from fslice.symmetry.average import GroupAverage


class LatentMap(Protocol):
    """A linear map from latent half spectra to volumes."""

    @property
    def projector(self) -> Projector:
        """How volumes become images."""

    @property
    def size(self) -> int:
        """Box of the latent half spectrum."""

    def volume(self, latent: Array) -> Array:
        """Return the real volume (D, D, D)."""

    def spectrum(self, latent: Array) -> Array:
        """Return the half spectrum that is sliced, (M, M, M//2 + 1)."""

    def spectrum_adjoint(self, volume_ft: Array) -> Array:
        """Apply the adjoint of `spectrum`."""

    def diagonal(self, normal: NormalEquations) -> Array:
        """Return what the images say about each latent coefficient by itself."""

    def information(self, normal: NormalEquations) -> Array:
        """Return what `preconditioner` is made of, which depends on the images only."""

    def preconditioner(self, information: Array, ratio: Array) -> Array:
        """Return about ``1 + ratio G^H A G``, for the ratio of prior and noise variance."""


@dataclass(frozen=True)
class SlicedSpectrum:
    """The latent spectrum is the one that is sliced: nothing is known of the volume's extent.

    Without oversampling this is the volume in its own box.
    """

    projector: Projector

    @property
    def size(self) -> int:
        """Padded size M."""
        return self.projector.padded_size

    def volume(self, latent: Array) -> Array:
        """Return the real volume (D, D, D)."""
        return self.projector.to_volume(latent)

    def spectrum(self, latent: Array) -> Array:
        """Return the latent spectrum itself."""
        return latent

    def spectrum_adjoint(self, volume_ft: Array) -> Array:
        """Return the spectrum itself."""
        return volume_ft

    def diagonal(self, normal: NormalEquations) -> Array:
        """Return the diagonal of A."""
        return normal.diagonal()

    def information(self, normal: NormalEquations) -> Array:
        """Return the diagonal of A."""
        return normal.diagonal()

    def preconditioner(self, information: Array, ratio: Array) -> Array:
        """Return the diagonal of ``1 + ratio A``."""
        return 1 + ratio * information


@dataclass(frozen=True, eq=False)
class MaskedVolume:
    """The volume is ``mask * F^-1 w`` in the box D of the images, w stationary noise a priori.

    Parameters
    ----------
    projector : Projector
    mask : (D, D, D) real array
        From 0 to 1; a soft edge keeps the spectrum free of ripples. Ones if all that is known of
        the object is its box, which matters where the projector pads it.

    Raises
    ------
    ValueError, TypeError
        The mask is not as above.

    Examples
    --------
    >>> import fslice
    >>> from fslice.postprocess.masks import soft_spherical_mask
    >>> known = MaskedVolume(fslice.Projector(8), soft_spherical_mask(8, radius=2, edge=1))
    >>> w = fslice.rfft3(np.random.default_rng(0).normal(size=(8, 8, 8)))
    >>> float(known.volume(w)[4, 4, 7])  # outside the sphere
    0.0
    """

    projector: Projector
    mask: Array = field(repr=False)

    def __post_init__(self) -> None:
        check_real("mask", self.mask)
        check_shape("mask", self.mask, (self.size,) * self.mask.ndim)
        check_finite("mask", self.mask)
        if not bool(((self.mask >= 0) & (self.mask <= 1)).all()):
            raise ValueError("mask: expected values from 0 to 1")
        if not bool((self.mask > 0).any()):
            raise ValueError("mask: expected one that is not zero everywhere")

    @property
    def size(self) -> int:
        """Box D of the images."""
        return self.projector.size

    def volume(self, latent: Array) -> Array:
        """Return the real volume (D, D, D)."""
        return self._mask(latent) * inverse_transform(latent, self.mask.ndim, self.size)

    def spectrum(self, latent: Array) -> Array:
        """Return the half spectrum that is sliced, ``projector.transform(volume)``."""
        return self.projector.transform(self.volume(latent))

    def spectrum_adjoint(self, volume_ft: Array) -> Array:
        """Apply the adjoint of `spectrum`."""
        volume = self._mask(volume_ft) * self.projector.transform_adjoint(volume_ft)
        return transform(volume, self.mask.ndim)

    def diagonal(self, normal: NormalEquations) -> Array:
        """Return the diagonal of ``G^H A G``; see `fslice.posterior.coverage.coverage`."""
        return coverage(normal, self.mask)

    def information(self, normal: NormalEquations) -> Array:
        """Return the images' `coverage`: through a mask, or of all frequencies of the box."""
        return coverage(normal, self.mask)

    def preconditioner(self, information: Array, ratio: Array) -> Array:
        """Return ``1 + ratio a`` for a box, its root for a mask; a is the coverage.

        Inside a mask the posterior precision, in units of the prior's, is about ``1 + ratio a``.
        Outside it is 1, where that would be as wrong as no preconditioner is inside. The root is
        off by as little on both sides. A box that is only padded has no outside: for 50 images
        without noise the full diagonal needs 20 iterations where the root needs 84.
        """
        whole = 1 + ratio * information
        return whole if self._is_box else array_namespace(whole).sqrt(whole)

    @property
    def _is_box(self) -> bool:
        """Whether all that is known of the object is its box."""
        return bool((self.mask == 1).all())

    def _mask(self, like: Array) -> Array:
        """Return the mask in the precision of a half spectrum."""
        return self.mask.astype(like.real.dtype, copy=False)


@dataclass(frozen=True, eq=False)
class SymmetricVolume(MaskedVolume):
    """The volume is ``sqrt(|G|) S mask F^-1 B w``, S the average over a point group.

    B is the band ``|k| <= (D - 1) // 2``, which rotations do not leave; the rest is as in
    `MaskedVolume`.

    Parameters
    ----------
    projector : Projector
    mask : (D, D, D) real array
        It should be zero beyond D/2 from the origin.
    symmetry : str, optional
        As in `fslice.symmetry.symmetry_rotations`.

    Notes
    -----
    The average of |G| independent numbers has 1/|G| of their variance, so the factor makes
    the prior variance that of a voxel whatever the group is, except where rotations leave a voxel
    almost in its place. Nothing is approximated by views of images; S may be any linear map. The
    images have to be summed in their own poses: one pass serves all groups.

    Examples
    --------
    >>> import fslice
    >>> from fslice.postprocess.masks import soft_spherical_mask
    >>> mask = soft_spherical_mask(16, 6, 2)
    >>> known = SymmetricVolume(fslice.Projector(16), mask, "C4")
    >>> volume = known.volume(fslice.rfft3(np.random.default_rng(0).normal(size=(16, 16, 16))))
    >>> np.allclose(volume, fslice.symmetry.symmetrize(volume, "C4"))
    True
    """

    symmetry: str = "C1"
    average: GroupAverage = field(init=False, repr=False)

    def __post_init__(self) -> None:
        super().__post_init__()
        object.__setattr__(self, "average", GroupAverage(self.symmetry))

    def volume(self, latent: Array) -> Array:
        """Return the real volume (D, D, D)."""
        return self._scale * self.average(super().volume(self._band * latent))

    def spectrum_adjoint(self, volume_ft: Array) -> Array:
        """Apply the adjoint of `spectrum`."""
        volume = self.average.adjoint(self.projector.transform_adjoint(volume_ft))
        return self._band * transform(self._scale * self._mask(volume_ft) * volume, 3)

    def diagonal(self, normal: NormalEquations) -> Array:
        """Return the diagonal of ``G^H A G``, the images' coverage averaged over the group."""
        return self._band * coverage(normal, self.mask, self.average)

    @property
    def _band(self) -> Array:
        return radii(self.size, 3, array_namespace(self.mask)) <= (self.size - 1) // 2

    @property
    def _scale(self) -> float:
        return math.sqrt(self.average.order)


def latent_map(projector: Projector, mask: Array | None, like: Array) -> LatentMap:
    """Return the map for what is known of a volume: its box, or a mask in it.

    Parameters
    ----------
    projector : Projector
    mask : (D, D, D) real array or None
    like : (M, M, M//2 + 1) complex array
        Gives number of dimensions, library and precision.
    """
    if mask is None and projector.padded_size == projector.size:
        return SlicedSpectrum(projector)
    if mask is None:
        xp = array_namespace(like)
        mask = xp.ones((projector.size,) * like.ndim, like.real.dtype)
    array_namespace(mask, like)
    return MaskedVolume(projector, mask)


def mean_square(latent: LatentMap) -> float:
    """Return the mean square of the mask: the share of a voxel's prior variance that it keeps."""
    mask = getattr(latent, "mask", None)
    return 1.0 if mask is None else float((mask.astype(np.float64) ** 2).mean())
