"""A volume with the symmetry of a point group: its exact posterior, and the group's evidence."""

from __future__ import annotations

import math
from dataclasses import dataclass, field, replace

import numpy as np

from fslice._arrays import Array, array_namespace
from fslice.fourier import radii, transform
from fslice.posterior.evidence import Estimate, log_evidence
from fslice.posterior.masked import SupportedPrecision
from fslice.symmetry.average import GroupAverage


@dataclass(frozen=True, eq=False)
class SymmetricPrecision(SupportedPrecision):
    """The posterior of ``x = sqrt(|G|) S mask F^-1 B w``, w being stationary noise a priori.

    S is the average over the group, B the band ``|k| <= (D - 1) // 2``, the rest as in
    `SupportedPrecision`, whose solver and samples take it too.

    Parameters
    ----------
    normal : NormalEquations
        Of the images in their own poses: one pass serves all groups.
    prior_variance, mask, noise_variance
        As in `SupportedPrecision`. The mask should be zero beyond D/2 from the origin.
    symmetry : str, optional
        As in `fslice.symmetry.symmetry_rotations`.

    Notes
    -----
    The average of |G| independent numbers has 1/|G| of their variance, so the factor makes
    ``tau^2`` the variance of a voxel whatever the group is, except where rotations leave a voxel
    almost in its place. Nothing is approximated by copies of images; S may be any linear map.

    Examples
    --------
    >>> import fslice
    >>> from fslice.posterior.normal import no_images
    >>> from fslice.posterior.masked import soft_sphere
    >>> normal = no_images(fslice.Projector(16))
    >>> precision = SymmetricPrecision(normal, 4.0, soft_sphere(16, 6, 2), symmetry="C4")
    >>> w = fslice.rfft3(np.random.default_rng(0).normal(size=(16, 16, 16)))
    >>> volume = precision.volume(w)
    >>> np.allclose(volume, fslice.symmetry.symmetrize(volume, "C4"))
    True
    """

    symmetry: str = "C1"
    average: GroupAverage = field(init=False, repr=False)

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.normal.symmetry != "C1":
            raise ValueError(
                "normal: expected images in their own poses, got them summed under "
                f"{self.normal.symmetry}"
            )
        object.__setattr__(self, "average", GroupAverage(self.symmetry))

    @property
    def _band(self) -> Array:
        """Whether a frequency is inside the sphere, which rotations do not leave."""
        size = self.normal.projector.size
        return radii(size, 3, array_namespace(self.mask)) <= (size - 1) // 2

    @property
    def _scale(self) -> float:
        return math.sqrt(self.average.order)

    def volume(self, w: Array) -> Array:
        """Return the real volume x of the unknowns w."""
        return self._scale * self.average(super().volume(self._band * w))

    def spectrum_adjoint(self, volume_ft: Array) -> Array:
        """Apply the adjoint of `spectrum`."""
        volume = self.average.adjoint(self.normal.projector.transform_adjoint(volume_ft))
        return self._band * transform(self._scale * self.mask * volume, 3)


def symmetry_evidence(
    precision: SymmetricPrecision, *, probes: int = 4, seed: int = 0, tolerance: float = 1e-3
) -> Estimate:
    """Return the log probability density of all images if the volume has the symmetry.

    Parameters
    ----------
    precision : SymmetricPrecision
        Compare groups under one prior, mask and noise variance.
    probes : int, optional
        Of the log-determinant, at least 2. The error falls with the root of their number.
    seed : int, optional
        Groups that are compared under one seed share the probes.
    tolerance : float, optional
        Of conjugate gradients and of Lanczos' iteration, which is in double precision here: the
        precision's eigenvalues span six orders of magnitude or more.

    Returns
    -------
    Estimate
        In nats, over the band of the images.

    Notes
    -----
    That of `fslice.posterior.evidence.log_evidence`, the unknowns being those of the whole box.
    A group that the object lacks cannot fit the images. One that it has fits them as well as C1
    with fewer degrees of freedom, and so has a smaller determinant.

    Examples
    --------
    >>> import fslice
    >>> from fslice.posterior.accumulate import accumulate
    >>> from fslice.posterior.masked import soft_sphere
    >>> rng = np.random.default_rng(0)
    >>> noise = soft_sphere(16, 5, 3) * rng.normal(size=(16, 16, 16))
    >>> volume = fslice.symmetry.symmetrize(noise, "C3")
    >>> projector, rotations = fslice.Projector(16), fslice.random_rotations(200, rng)
    >>> images = projector.project(volume, rotations) + rng.normal(size=(200, 16, 16))
    >>> normal = accumulate(images, rotations, projector=projector)
    >>> def evidence(group):
    ...     precision = SymmetricPrecision(normal, 0.2, soft_sphere(16, 5, 3), symmetry=group)
    ...     return symmetry_evidence(precision).value
    >>> max(("C1", "C2", "C3", "C4", "D3"), key=evidence)
    'C3'
    """
    normal = precision.normal.astype(np.float64)
    double = replace(precision, normal=normal, mask=precision.mask.astype(np.float64))
    return log_evidence(double, probes=probes, seed=seed, tolerance=tolerance)
