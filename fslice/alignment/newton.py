"""Modes of the posterior over poses, by damped Newton steps, many images and starts at a time."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from fslice._arrays import Array, array_namespace
from fslice._kernels import band
from fslice.alignment.band import Band
from fslice.data.poses import Poses
from fslice.fourier import hermitian_weights
from fslice.geometry import rotvec_to_matrix
from fslice.operators.pose_curvature import PoseCurvature, pose_curvature

CONVERGED = 0.2
"""In nats: what a step may still gain at a mode that counts as found."""
_FIRST_DAMPING = 0.03  # of a step that has failed, relative to the diagonal
_WIDEST = math.pi / math.sqrt(3)  # radians: the deviation of an angle of which nothing is known
_LEAST, _MOST = 0.2, 5.0  # eigenvalues of the Hessian relative to the Gauss-Newton matrix


class Starts(NamedTuple):
    """Poses, a list for all images."""

    image_of: Array
    """(m,) int64, ascending: which image of the level."""
    rotations: Array
    """(m, 3, 3) float64."""
    shifts: Array
    """(m, 2) float64, in pixels of the box D."""

    def take(self, index: Any) -> Starts:
        """Select some of the list."""
        return Starts(self.image_of[index], self.rotations[index], self.shifts[index])


class Quadratic(NamedTuple):
    """The log posterior about poses, to second order in (wx, wy, wz, tx, ty)."""

    score: Array
    """(m,): log likelihood above that of noise, and log prior of the shift less its constant."""
    gradient: Array
    """(m, 5): of minus the score."""
    matrix: Array
    """(m, 5, 5): its curvature."""

    def gains(self) -> Array:
        """Return what a full step gains, by the quadratic: (m,)."""
        return -(self.gradient * self.steps()).sum(-1) / 2

    def steps(self, damping: Array | float = 0.0) -> Array:
        """Return minus the damped inverse of the matrix times the gradient: (m, 5)."""
        xp = array_namespace(self.gradient)
        diagonal = xp.diagonal(self.matrix, axis1=1, axis2=2)
        damped = self.matrix + (damping * diagonal)[:, :, None] * xp.eye(5)
        return -xp.linalg.solve(damped, self.gradient[..., None])[..., 0]


@dataclass(frozen=True, eq=False)
class Level:
    """Images and a map in one band.

    Parameters
    ----------
    band : Band
    volume_ft : complex array
        ``band.transform(volume)``.
    images : (n, d, d//2 + 1) complex array
        Cropped half spectra, over the noise's deviation where it is coloured.
    ctf : (n, d, d//2 + 1) real array or None
        Likewise.
    noise_variance : float
    shift_std : float
        In pixels of the box D.
    """

    band: Band
    volume_ft: Array
    images: Array
    ctf: Array | None
    noise_variance: float
    shift_std: float

    def powers(self) -> Array:
        """Return half of each image's sum of squares over the noise, in the band: (n,) float64."""
        squares = self.images.real**2 + self.images.imag**2
        weights = self._weights().reshape(-1).astype(squares.dtype)
        sums = squares.reshape((len(squares), -1)) @ weights
        return sums.astype(np.float64) / (2 * self.noise_variance)

    def evaluate(self, starts: Starts, powers: Array, full: bool = False) -> Quadratic:
        """Return the log posterior at poses, with the Gauss-Newton matrix for its curvature.

        Where it is full, with what the residual adds, but within a factor of five of
        Gauss-Newton's in every direction, whatever the residual is.
        """
        found = self._curvature(starts, residual=full)
        quadratic = self._with_prior(found, starts, powers)
        if not full:
            return quadratic
        units = self._units(quadratic.matrix)
        matrix = quadratic.matrix + found.residual * units * units[:, None]
        return quadratic._replace(matrix=_bounded(matrix, quadratic.matrix))

    def scores(self, starts: Starts, powers: Array) -> Array:
        """Return the log posterior alone, (m,): `Quadratic.score`."""
        real = self.images.real.dtype
        slices = self.band.projector.project_ft(
            self.volume_ft, starts.rotations.astype(real),
            (self.band.scale * starts.shifts).astype(real),
        )  # fmt: skip
        if self.ctf is not None:
            slices *= self.ctf[starts.image_of]
        slices -= self.images[starts.image_of]
        squares = (slices.real**2 + slices.imag**2).reshape((len(slices), -1))
        weights = self._weights().reshape(-1).astype(squares.dtype)
        chi_squared = (squares @ weights).astype(np.float64) / self.noise_variance
        shifted = (starts.shifts**2).sum(-1) / (2 * self.shift_std**2)
        return powers[starts.image_of] - chi_squared / 2 - shifted

    def _weights(self) -> Array:
        xp, geometry = array_namespace(self.images), self.band.projector.geometry()
        return hermitian_weights(self.band.box, xp) * band(geometry, xp)

    def _curvature(self, starts: Starts, residual: bool) -> PoseCurvature:
        xp, real = array_namespace(self.images), self.images.real.dtype
        # slices that follow each other meet the same memory: that halves the time
        order = Poses(starts.rotations).viewing_order()
        near = starts.take(order)
        found = pose_curvature(
            self.band.projector, self.volume_ft, self.images, near.rotations.astype(real),
            (self.band.scale * near.shifts).astype(real), self.ctf, 1 / self.noise_variance,
            image_of=near.image_of, residual=residual,
        )  # fmt: skip
        place = xp.argsort(order)
        return PoseCurvature(*(None if values is None else values[place] for values in found))

    def _with_prior(self, found: PoseCurvature, starts: Starts, powers: Array) -> Quadratic:
        xp, weight = array_namespace(self.images), self.shift_std**-2
        units = self._units(found.matrix)
        gradient = found.gradient * units
        gradient[:, 3:] += weight * starts.shifts
        prior = xp.asarray([_WIDEST**-2] * 3 + [weight] * 2)
        matrix = found.matrix * units * units[:, None] + prior * xp.eye(5)
        shifted = weight / 2 * (starts.shifts**2).sum(-1)
        score = powers[starts.image_of] - found.chi_squared / 2 - shifted
        return Quadratic(score, gradient, matrix)

    def _units(self, like: Array) -> Array:
        """Return the pixels of the band's box to those of the box D, for each coordinate."""
        return array_namespace(like).asarray([1.0, 1.0, 1.0, *[self.band.scale] * 2])


def climb(
    level: Level, starts: Starts, steps: int, max_angle: float, *, full: bool = False
) -> tuple[Starts, Quadratic]:
    """Climb from each start towards a mode, by damped Newton steps.

    Parameters
    ----------
    level : Level
    starts : Starts
    steps : int
        At most.
    max_angle : float
        Of a step, in radians.
    full : bool, optional
        Whether the curvature is the full one, or Gauss-Newton's.

    Returns
    -------
    Starts, Quadratic
        The score of none is below that of its start.
    """
    xp, powers = array_namespace(starts.rotations), level.powers()
    here = level.evaluate(starts, powers, full)
    rotations, shifts = starts.rotations.copy(), starts.shifts.copy()
    damping = xp.zeros(len(rotations))
    for _ in range(steps):
        active = xp.nonzero(here.gains() > CONVERGED)[0]
        if not len(active):
            break
        now = Quadratic(*(values[active] for values in here))
        moves = shortened(now.steps(damping[active][:, None]), max_angle)
        trial = moved(Starts(starts.image_of[active], rotations[active], shifts[active]), moves)
        there = level.evaluate(trial, powers, full)
        better = there.score >= now.score
        damping[active] = xp.where(
            better, damping[active] / 4, xp.maximum(4 * damping[active], _FIRST_DAMPING)
        )
        taken = active[better]
        rotations[taken], shifts[taken] = trial.rotations[better], trial.shifts[better]
        for values, new in zip(here, there, strict=True):
            values[taken] = new[better]
    return Starts(starts.image_of, rotations, shifts), here


def settle(modes: Starts, quadratic: Quadratic) -> tuple[Starts, Quadratic]:
    """Return modes after the last, small, step; what it gains is taken from the quadratic."""
    xp = array_namespace(modes.rotations)
    gains = quadratic.gains()
    small = gains < 1.0  # else it is no mode, and the quadratic says little
    steps = xp.where(small[:, None], quadratic.steps(), 0)
    score = quadratic.score + xp.where(small, gains, 0)
    return moved(modes, steps), quadratic._replace(score=score)


def moved(starts: Starts, steps: Array) -> Starts:
    """Return poses after steps (m, 5) in (wx, wy, wz, tx, ty)."""
    rotations = starts.rotations @ rotvec_to_matrix(steps[:, :3])
    return Starts(starts.image_of, rotations, starts.shifts + steps[:, 3:])


def shortened(steps: Array, max_angle: float) -> Array:
    """Return steps whose angle is limited, in radians."""
    xp = array_namespace(steps)
    angle = xp.sqrt((steps[:, :3] ** 2).sum(-1, keepdims=True))
    return steps * (max_angle / xp.maximum(angle, max_angle))


def _bounded(matrix: Array, reference: Array) -> Array:
    """Return a symmetric matrix with its eigenvalues relative to another one bounded."""
    xp = array_namespace(matrix)
    root = xp.linalg.cholesky(reference)
    inverse = xp.linalg.inv(root)
    values, vectors = xp.linalg.eigh(inverse @ matrix @ inverse.swapaxes(1, 2))
    columns = root @ vectors
    return (columns * xp.clip(values, _LEAST, _MOST)[:, None]) @ columns.swapaxes(1, 2)
