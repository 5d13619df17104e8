"""Central sections of two maps, compared in a common rotation and shift: few numbers for many."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from fslice._arrays import Array, array_namespace, to_numpy
from fslice.fourier import irfft3, rfft3, shell_sum, shells
from fslice.geometry import grid_rotations, rotvec_to_matrix
from fslice.operators.pose_curvature import pose_curvature
from fslice.operators.projector import Projector
from fslice.operators.shifts import shift_phases
from fslice.symmetry.rotation import resized

STEPS, _ENOUGH = 12, 0.02
"""Steps of a refinement at most, and the gain in nats at which it ends."""
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
    powers: tuple[Array, Array]
    """(d//2 + 1,) float64: sums of squares of the map and of the reference over each shell."""

    def every(self, step: int) -> Sections:
        """Return one of so many sections."""
        part = slice(None, None, step)
        return self._replace(views=self.views[part], reference_ft=self.reference_ft[part])

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
        norm = np.sqrt(to_numpy(self.powers[0]) * to_numpy(self.powers[1]))
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
        projector, size, views, projector.project_ft(spectra[1], views), spectra[0], tuple(powers)
    )


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
    sections: Sections, counts: np.ndarray, rotation: np.ndarray, shift: np.ndarray,
    steps: int = STEPS,
) -> tuple[np.ndarray, np.ndarray]:  # fmt: skip
    """Return the rotation and shift near given ones in which the map explains the reference best.

    Each shell of the reference is ``b S`` and noise, with b and the noise from the correlation at
    the given pose: least squares, by steps of Levenberg and Marquardt. `counts` are the real
    coefficients of each shell, `steps` the most that are made.
    """
    filters = _filters(sections, counts, sections.correlation(rotation, shift))
    now = _curvature(sections, filters, rotation, shift)
    damping = 1e-3
    for _ in range(steps):
        lifted = now.matrix + damping * np.diag(np.diag(now.matrix)) + 1e-12 * np.eye(6)
        step = -np.linalg.solve(lifted, now.gradient)
        moved = rotation @ rotvec_to_matrix(step[:3]), shift + step[3:]
        then = _curvature(sections, filters, *moved)
        gain = now.misfit - then.misfit
        if gain > 0:
            (rotation, shift), now, damping = moved, then, damping / 10
        else:
            damping *= 10
        if abs(gain) < _ENOUGH:
            break
    return rotation, shift


class _Curvature(NamedTuple):
    misfit: float
    gradient: np.ndarray
    matrix: np.ndarray


def _filters(sections: Sections, counts: np.ndarray, rho: np.ndarray) -> tuple[Array, Array]:
    """Return b and the weights of the residuals at each frequency of a section."""
    xp, size = array_namespace(sections.views), sections.projector.size
    rho = np.clip(rho, 0, 0.98)
    own, other = (np.where(power > 0, power, np.inf) for power in map(to_numpy, sections.powers))
    shares = np.where(np.isfinite(own * other), rho * np.sqrt(other / own), 0)
    weights = counts / (other * (1 - rho**2))
    padded = [np.concatenate([values, np.zeros(size)]) for values in (shares, weights)]
    dtype, index = sections.views.dtype, shells(size, 2, xp)
    by_frequency, residual = (xp.asarray(values, dtype=dtype)[index] for values in padded)
    whole = xp.broadcast_to(by_frequency, sections.reference_ft.shape)
    return xp.ascontiguousarray(whole), residual


def _curvature(
    sections: Sections, filters: tuple[Array, Array], rotation: np.ndarray, shift: np.ndarray
) -> _Curvature:
    """Return half the misfit, its gradient and its matrix in (w, t) of ``R exp([w]x)``: host."""
    found = pose_curvature(
        sections.projector, sections.volume_ft, sections.reference_ft,
        *sections.moved(rotation, shift), *filters,
    )  # fmt: skip
    views = to_numpy(sections.views).astype(np.float64)
    chain = np.zeros((len(views), 6, 5))
    chain[:, :3, :3] = views
    chain[:, 3:, 3:] = views[..., :2] * (sections.projector.size / sections.size)
    gradient, matrix = to_numpy(found.gradient), to_numpy(found.matrix)
    return _Curvature(
        float(found.chi_squared.sum()) / 2,
        np.einsum("fij,fj->i", chain, gradient),
        np.einsum("fij,fjk,flk->il", chain, matrix, chain),
    )
