"""A prior variance per shell: from few numbers, and the step that makes the images likelier."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

_SPACING = (1, 2, 4)
_UNTIL = (8, 20)
"""Knots lie 1 shell apart up to shell 8, then 2 up to shell 20, then 4."""
_LARGEST_STEP = np.log(10.0)
_BEND = 0.5
"""What is expected of a second difference of the logarithm from knot to knot."""


@dataclass(frozen=True, eq=False)
class ShellPrior:
    """A prior variance whose logarithm is linear between knots, and constant beyond the last.

    A shell by itself tells its variance to one part in the root of its number of coefficients,
    and where the images say little, to much less: neighbours are fitted together. The logarithm
    has a prior of its own, that second differences between knots are about a half.

    Parameters
    ----------
    knots : (K,) real array
        Shells, ascending.
    log_variance : (K,) real array
        There.
    shells : int
        Number of shells, from 0.
    last, rate : (K,) real arrays, optional
        The step that led here, and the share of a full one that it was: halved at each turn.

    Examples
    --------
    >>> prior = ShellPrior(np.array([0.0, 2.0]), np.log([1.0, 4.0]), 5)
    >>> prior.variance().round(2)
    array([1., 2., 4., 4., 4.])
    """

    knots: np.ndarray
    log_variance: np.ndarray
    shells: int
    last: np.ndarray | float = 0.0
    rate: np.ndarray | float = 1.0

    def variance(self) -> np.ndarray:
        """Return the variance of each shell, (shells,) float64."""
        return np.exp(self._basis() @ self.log_variance)

    def _basis(self) -> np.ndarray:
        """Return the share of each knot in each shell, (shells, K)."""
        return np.stack(
            [np.interp(np.arange(self.shells), self.knots, e) for e in np.eye(len(self.knots))], 1
        )

    def _bends(self) -> np.ndarray:
        """Return the second difference at each inner knot: zero for straight lines."""
        before, after = np.diff(self.knots)[:-1], np.diff(self.knots)[1:]
        bends = np.zeros((len(before), len(self.knots)))
        inner = np.arange(len(before))
        bends[inner, inner] = 2 * after / (before + after)
        bends[inner, inner + 1] = -2
        bends[inner, inner + 2] = 2 * before / (before + after)
        return bends

    def step(
        self,
        power: np.ndarray,
        determined: np.ndarray,
        information: np.ndarray,
    ) -> tuple[ShellPrior, float]:
        """Return the prior after a step of Fisher scoring, and the nats that it should gain.

        Parameters
        ----------
        power, determined, information : (shells,) real arrays
            Per shell, with the posterior mean and ``H = 1 - covariance / tau^2`` of the unknowns
            in units of the prior's deviation: the mean's power, the trace of H, and of H^2. So
            ``(power - determined) / 2`` is the derivative of the log evidence in the logarithm
            of the variance.

        Returns
        -------
        ShellPrior
        float
        """
        basis, bend = self._basis(), self._bends() / _BEND
        # a smooth spectrum is likelier: it matters where the images hardly say
        gradient = basis.T @ (power - determined) - bend.T @ (bend @ self.log_variance)
        curvature = (basis * information[:, None]).T @ basis + bend.T @ bend
        # keeps a knot of which nothing is known where it is
        curvature += 0.1 * np.eye(len(self.knots))
        scored = np.clip(np.linalg.solve(curvature, gradient), -1, None)
        # where little is determined a step is the ratio of variances less one, if that is above 0
        move = np.clip(np.where(scored > 0, np.log1p(abs(scored)), scored), None, _LARGEST_STEP)
        # shells that a mask ties together would swing
        rate = np.where(self.last * move < 0, self.rate / 2, np.minimum(1, 1.2 * self.rate))
        moved = ShellPrior(
            self.knots, self.log_variance + rate * move, self.shells, rate * move, rate
        )
        return moved, float(abs(gradient * move).sum()) / 4


def shell_prior(variance: np.ndarray, band: float, scale: float = 1.0) -> ShellPrior:
    """Return the prior nearest to the positive values of a spectrum.

    Parameters
    ----------
    variance : (shells,) real array
        Shells that are zero are not known, and follow their neighbours.
    band : float
        The last shell that images tell about.
    scale : float, optional
        Least distance between knots. Padding an object, or confining it, to a share of its box
        ties so many neighbouring shells together.

    Returns
    -------
    ShellPrior

    Examples
    --------
    >>> shell_prior(np.ones(65), 63).knots[[7, 8, 9, 14, 15, -1]]
    array([ 7.,  8., 10., 20., 24., 63.])
    """
    last = band / scale
    near, middle = (min(until, last) for until in _UNTIL)
    parts: list[np.ndarray] = [
        np.arange(0, near, _SPACING[0]),
        np.arange(near, middle, _SPACING[1]),
        np.arange(middle, last, _SPACING[2]),
        np.array([last]),
    ]
    knots = np.concatenate(parts) * scale
    known = np.flatnonzero(variance > 0)
    if not len(known):
        raise ValueError("normal: expected images that show something, got zeros")
    return ShellPrior(knots, np.interp(knots, known, np.log(variance[known])), len(variance))
