"""Modes of the posterior over poses, by damped Newton steps, many images and starts at a time."""

from __future__ import annotations

from typing import Any, NamedTuple, Protocol

from fslice._arrays import Array, array_namespace
from fslice.geometry import rotvec_to_matrix

CONVERGED = 0.2
"""In nats: what a step may still gain at a mode that counts as found."""
_FIRST_DAMPING = 0.03  # of a step that has failed, relative to the diagonal


class Starts(NamedTuple):
    """Poses, a list for all images."""

    image_of: Array
    """(m,) int64, ascending: which image of the level."""
    rotations: Array
    """(m, 3, 3) float64."""
    shifts: Array
    """(m, 2) float64, in pixels of the box D."""
    parameters: Array | None = None
    """(m, e) float64: those of `ImageFilters` that are free; None where none is."""

    def take(self, index: Any) -> Starts:
        """Select some of the list."""
        return Starts(*(None if values is None else values[index] for values in self))

    def mates(self, group: Array) -> Starts:
        """Return all equivalent poses g R, of rotations g (order, 3, 3), start by start."""
        xp, order = array_namespace(self.shifts), len(group)
        every = self.take(xp.repeat(xp.arange(len(self.shifts)), order))
        rotations = (group @ self.rotations[:, None]).reshape((-1, 3, 3))
        return every._replace(rotations=rotations)


class Quadratic(NamedTuple):
    """The log posterior about poses, to second order.

    In c coordinates: (wx, wy, wz, tx, ty), then the parameters that are free.
    """

    score: Array
    """(m,): log likelihood above that of noise, and log priors less their constants."""
    gradient: Array
    """(m, c): of minus the score."""
    matrix: Array
    """(m, c, c): its curvature."""

    def gains(self) -> Array:
        """Return what a full step gains, by the quadratic: (m,)."""
        return -(self.gradient * self.steps()).sum(-1) / 2

    def steps(self, damping: Array | float = 0.0) -> Array:
        """Return minus the damped inverse of the matrix times the gradient: (m, c)."""
        xp = array_namespace(self.gradient)
        diagonal = xp.diagonal(self.matrix, axis1=1, axis2=2)
        damped = self.matrix + (damping * diagonal)[:, :, None] * xp.eye(diagonal.shape[1])
        return -xp.linalg.solve(damped, self.gradient[..., None])[..., 0]


class Scored(Protocol):
    """What is climbed: a `Level`."""

    def powers(self) -> Array:
        """Return half of each image's sum of squares over the noise: (n,) float64."""

    def evaluate(self, starts: Starts, powers: Array, full: bool = False) -> Quadratic:
        """Return the log posterior at poses, and its curvature."""


def climb(
    level: Scored, starts: Starts, steps: int, max_angle: float, *, full: bool = False
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
    poses = Starts(*(None if values is None else values.copy() for values in starts))
    damping = xp.zeros(len(poses.rotations))
    for _ in range(steps):
        active = xp.nonzero(here.gains() > CONVERGED)[0]
        if not len(active):
            break
        now = Quadratic(*(values[active] for values in here))
        moves = shortened(now.steps(damping[active][:, None]), max_angle)
        trial = moved(poses.take(active), moves)
        there = level.evaluate(trial, powers, full)
        better = there.score >= now.score
        damping[active] = xp.where(
            better, damping[active] / 4, xp.maximum(4 * damping[active], _FIRST_DAMPING)
        )
        taken = active[better]
        for values, new in zip((*poses, *here), (*trial, *there), strict=True):
            if values is not None:
                values[taken] = new[better]
    return poses, here


def settle(modes: Starts, quadratic: Quadratic) -> tuple[Starts, Quadratic]:
    """Return modes after the last, small, step; what it gains is taken from the quadratic."""
    xp = array_namespace(modes.rotations)
    gains = quadratic.gains()
    small = gains < 1.0  # else it is no mode, and the quadratic says little
    steps = xp.where(small[:, None], quadratic.steps(), 0)
    score = quadratic.score + xp.where(small, gains, 0)
    return moved(modes, steps), quadratic._replace(score=score)


def moved(starts: Starts, steps: Array) -> Starts:
    """Return poses after steps (m, c) in (wx, wy, wz, tx, ty) and the parameters."""
    rotations = starts.rotations @ rotvec_to_matrix(steps[:, :3])
    given = starts.parameters
    parameters = None if given is None else given + steps[:, 5:]
    return Starts(starts.image_of, rotations, starts.shifts + steps[:, 3:5], parameters)


def shortened(steps: Array, max_angle: float) -> Array:
    """Return steps whose angle is limited, in radians."""
    xp = array_namespace(steps)
    angle = xp.sqrt((steps[:, :3] ** 2).sum(-1, keepdims=True))
    return steps * (max_angle / xp.maximum(angle, max_angle))
