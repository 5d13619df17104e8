"""The prior variance of a volume: per coefficient, or per shell from few fitted numbers."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from fslice._arrays import Array, array_namespace, check_real
from fslice.fourier import shells

_SPACING = (1, 2, 4)
_UNTIL = (8, 20)
"""Knots lie 1 shell apart up to shell 8, then 2 up to shell 20, then 4."""
_LARGEST_STEP = np.log(10.0)
_CURVATURE = 0.5
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
    count : int
        Number of shells, from 0.
    last, rate : (K,) real arrays, optional
        The step that led here, and the share of a full one that it was: halved at each turn.

    Examples
    --------
    >>> prior = ShellPrior(np.array([0.0, 2.0]), np.log([1.0, 4.0]), count=5)
    >>> prior.variance().round(2)
    array([1., 2., 4., 4., 4.])
    """

    knots: np.ndarray
    log_variance: np.ndarray
    count: int
    last: np.ndarray | float = 0.0
    rate: np.ndarray | float = 1.0

    def variance(self) -> np.ndarray:
        """Return the variance of each shell, (shells,) float64."""
        return np.exp(self._basis() @ self.log_variance)

    def _basis(self) -> np.ndarray:
        """Return the share of each knot in each shell, (shells, K)."""
        return np.stack(
            [np.interp(np.arange(self.count), self.knots, e) for e in np.eye(len(self.knots))], 1
        )

    def _second_differences(self) -> np.ndarray:
        """Return the second difference at each inner knot: zero for straight lines."""
        before, after = np.diff(self.knots)[:-1], np.diff(self.knots)[1:]
        rows = np.zeros((len(before), len(self.knots)))
        inner = np.arange(len(before))
        rows[inner, inner] = 2 * after / (before + after)
        rows[inner, inner + 1] = -2
        rows[inner, inner + 2] = 2 * before / (before + after)
        return rows

    def step(
        self,
        power: np.ndarray,
        effective: np.ndarray,
        information: np.ndarray,
    ) -> tuple[ShellPrior, float]:
        """Return the prior after a step of Fisher scoring, and the nats that it should gain.

        Parameters
        ----------
        power, effective, information : (shells,) real arrays
            Per shell, with the posterior mean and ``H = 1 - covariance / tau^2`` of the unknowns
            in units of the prior's deviation: the mean's power, the trace of H, and of H^2. So
            ``(power - effective) / 2`` is the derivative of the log evidence in the logarithm
            of the variance.

        Returns
        -------
        ShellPrior
        float
        """
        basis, smooth = self._basis(), self._second_differences() / _CURVATURE
        # a smooth spectrum is likelier: it matters where the images hardly say
        gradient = basis.T @ (power - effective) - smooth.T @ (smooth @ self.log_variance)
        curvature = (basis * information[:, None]).T @ basis + smooth.T @ smooth
        # keeps a knot of which nothing is known where it is
        curvature += 0.1 * np.eye(len(self.knots))
        scored = np.clip(np.linalg.solve(curvature, gradient), -1, None)
        # where little is effective a step is the ratio of variances less one, if that is above 0
        move = np.clip(np.where(scored > 0, np.log1p(abs(scored)), scored), None, _LARGEST_STEP)
        # shells that a mask ties together would swing
        rate = np.where(self.last * move < 0, self.rate / 2, np.minimum(1, 1.2 * self.rate))
        moved = ShellPrior(
            self.knots, self.log_variance + rate * move, self.count, rate * move, rate
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
        raise ValueError("images: expected images that show something, got zeros")
    return ShellPrior(knots, np.interp(knots, known, np.log(variance[known])), len(variance))


def prior_grid(prior_variance: Array | float, size: int, ndim: int, like: Array) -> Array:
    """Return a prior variance as an array that broadcasts with half spectra of a box.

    Parameters
    ----------
    prior_variance : float or real array
        ``tau^2`` of every coefficient, or of each shell, (size//2 + 1,), the last one also for
        the corners beyond, or of each coefficient of the half spectrum.
    size, ndim : int
        The box and its dimension.
    like : array
        Gives library and precision.

    Raises
    ------
    ValueError
        It has another shape, is not finite and positive, or differs between a coefficient and its
        Friedel mate.
    """
    xp, dtype = array_namespace(like), like.real.dtype
    given = xp.asarray(prior_variance)
    check_real("prior_variance", given.astype(np.float64) if given.ndim == 0 else given)
    if not bool((xp.isfinite(given) & (given > 0)).all()):
        raise ValueError("prior_variance: expected finite values above 0")
    if given.size == 1:
        return given.reshape((1,) * ndim).astype(dtype)
    if given.shape == (size // 2 + 1,):
        return given.astype(dtype)[xp.minimum(shells(size, ndim, xp), size // 2)]
    shape = (*[size] * (ndim - 1), size // 2 + 1)
    if given.shape != shape:
        raise ValueError(
            f"prior_variance: expected a number or shape ({size // 2 + 1},) or {shape}, "
            f"got {given.shape}"
        )
    # only of these planes both k and -k are stored
    stored, axes = given[..., :1] if size % 2 else given[..., :: size // 2], tuple(range(ndim - 1))
    mirrored = xp.roll(xp.flip(stored, axes), 1, axes)
    if not bool(xp.allclose((stored + mirrored) / 2, stored, rtol=1e-5)):
        raise ValueError("prior_variance: expected the same value at k and at -k")
    return given.astype(dtype)
