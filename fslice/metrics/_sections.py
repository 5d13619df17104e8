"""Central sections of two maps, compared in a common rotation and shift: few numbers for many."""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
import scipy.optimize

from fslice._arrays import Array, array_namespace, to_numpy
from fslice.fourier import irfft3, rfft3, shell_sum, shells
from fslice.geometry import grid_rotations, rotvec_to_matrix, rotvec_to_matrix_vjp
from fslice.operators.projector import Projector
from fslice.operators.shifts import shift_phases
from fslice.symmetry.rotation import resized

_ENOUGH = {"gtol": 1e-4, "maxiter": 30}
"""Where the mean correlation changes by less for a radian of the outermost frequency."""
_TOGETHER = 512
"""Rotations whose sections are compared together."""


class Sections(NamedTuple):
    """Central sections of a reference, and the map from which the same ones are read."""

    projector: Projector
    size: int
    """Box of both maps, in voxels: shifts are in these."""
    views: Array
    """(f, 3, 3): how the sections lie in the reference."""
    reference_ft: Array
    """(f, d, d//2 + 1) complex: its sections."""
    volume_ft: Array
    """The map, as the projector takes it."""
    power: Array
    """(d//2 + 1,) float64: root of the product of the maps' sums of squares over each shell."""

    def moved(self, rotations: Array, shift: np.ndarray) -> tuple[Array, Array]:
        """Return the poses, in the map, of the sections of the map rotated and shifted."""
        xp, dtype = array_namespace(self.views), self.views.dtype
        views = xp.asarray(rotations, dtype=dtype) @ self.views
        along = xp.asarray(shift * self.projector.size / self.size, dtype=dtype)
        return views, along @ self.views[..., :2]

    def correlation(self, rotation: np.ndarray, shift: np.ndarray) -> np.ndarray:
        """Return the correlation of the sections, one value for each shell: on the host."""
        slices = self.projector.project_ft(self.volume_ft, *self.moved(rotation, shift))
        size = self.projector.size
        sums = [
            shell_sum(values.sum(0), size, 2)
            for values in (
                (slices * self.reference_ft.conj()).real, abs(slices) ** 2,
                abs(self.reference_ft) ** 2,
            )
        ]  # fmt: skip
        overlap, *norms = (to_numpy(values).astype(np.float64) for values in sums)
        norm = np.sqrt(norms[0] * norms[1])
        return np.clip(overlap / np.where(norm > 0, norm, np.inf), -1, 1)

    def weighted_reference(self, weights: np.ndarray) -> Array:
        """Return the reference's sections, each shell times a weight over its norm."""
        xp, size = array_namespace(self.views), self.projector.size
        weights = np.concatenate([weights, np.zeros(size)])  # the corners take no part
        norm = to_numpy(self.power)
        weights[: len(norm)] /= np.where(norm > 0, norm, np.inf)
        factors = xp.asarray(weights, dtype=self.views.dtype)
        return factors[shells(size, 2, xp)] * self.reference_ft


def sections_of(volume: Array, reference: Array, radius: int, count: int) -> Sections:
    """Return `count` sections of two maps (D, D, D), up to a frequency in shells."""
    size = len(volume)
    box = min(2 * radius + 2, size)
    projector = Projector(box, 2, "cubic", max_radius=radius)
    low = [resized(rfft3(given), box) for given in (volume, reference)]
    powers = [shell_sum(abs(map_ft) ** 2, box, 3) for map_ft in low]
    views = grid_rotations(count, like=volume)
    spectra = [projector.transform(irfft3(map_ft)) for map_ft in low]
    return Sections(
        projector, size, views, projector.project_ft(spectra[1], views), spectra[0],
        array_namespace(volume).sqrt(powers[0] * powers[1]),
    )  # fmt: skip


def search(sections: Sections, weights: np.ndarray, rotations: np.ndarray, shifts: np.ndarray):
    """Return the best score over shifts of each rotation, and which shift it is: on the host.

    The scores are ``sum m Re(conj(a) b)`` of the weighted sections, by matrix products.
    """
    xp, dtype = array_namespace(sections.views), sections.views.dtype
    size = sections.projector.size
    multiplicity = xp.where(xp.arange(size // 2 + 1) > 0, 2.0, 1.0)  # nothing lies at Nyquist
    target = sections.weighted_reference(weights) * multiplicity.astype(dtype)
    along = xp.asarray(shifts * size / sections.size, dtype=dtype)
    moved = xp.einsum("ti,fij->tfj", along, sections.views[..., :2])
    targets = (target * shift_phases(moved, size).conj()).reshape(len(shifts), -1)
    best, arg = [], []
    for start in range(0, len(rotations), _TOGETHER):
        some = xp.asarray(rotations[start : start + _TOGETHER], dtype=dtype)
        slices = sections.projector.project_ft(
            sections.volume_ft, (some[:, None] @ sections.views).reshape(-1, 3, 3)
        ).reshape(len(some), -1)
        norm = xp.sqrt((abs(slices) ** 2).sum(1))
        scores = slices.real @ targets.real.T + slices.imag @ targets.imag.T
        arg.append(to_numpy(scores.argmax(1)))
        best.append(to_numpy(scores.max(1) / xp.where(norm > 0, norm, xp.inf)))
    return np.concatenate(best), np.concatenate(arg)


def refine(
    sections: Sections, weights: np.ndarray, rotation: np.ndarray, shift: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Return the rotation and shift near given ones that maximise the weighted correlation.

    With the norms of the maps fixed it is linear in the map's sections, so its gradient in the
    poses is that of a projection with a constant cotangent.
    """
    xp, dtype = array_namespace(sections.views), sections.views.dtype
    cotangent = sections.weighted_reference(weights / -max(weights.sum(), 1e-9))
    # what turns the outermost frequency by about a radian
    radius = sections.projector.max_radius
    assert radius is not None
    angle, length = 2 / radius, sections.size / (2 * math.pi * radius)

    def objective(x: np.ndarray) -> tuple[float, np.ndarray]:
        vector, now = angle * x[:3], shift + length * x[3:]
        turned = rotation @ rotvec_to_matrix(vector)
        poses = sections.moved(turned, now)
        slices = sections.projector.project_ft(sections.volume_ft, *poses)
        size = sections.projector.size
        value = shell_sum((slices * cotangent.conj()).real.sum(0), size, 2).sum()
        found = sections.projector.project_ft_vjp(
            sections.volume_ft, *poses, cotangent=cotangent
        )
        entries = to_numpy((found.rotations @ xp.swapaxes(sections.views, -1, -2)).sum(0))
        entries = rotation.T @ entries.astype(np.float64)
        by_angle = rotvec_to_matrix_vjp(vector, cotangent=entries).vectors
        by_shift = to_numpy((sections.views[..., :2] @ found.shifts[..., None]).sum(0))[:, 0]
        by_shift = by_shift * (sections.projector.size / sections.size)
        return float(value), np.concatenate([angle * by_angle, length * by_shift])

    found = scipy.optimize.minimize(objective, np.zeros(6), jac=True, method="BFGS", options=_ENOUGH)
    assert dtype is not None
    return rotation @ rotvec_to_matrix(angle * found.x[:3]), shift + length * found.x[3:]
