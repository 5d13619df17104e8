"""The best posterior of a volume in closed form, for known poses."""

from __future__ import annotations

import warnings
from dataclasses import dataclass

from fslice._arrays import Array, array_namespace
from fslice.posterior.cg import Solved, conjugate_gradients
from fslice.posterior.elbo import collapsed_elbo
from fslice.posterior.families import GaussianPosterior
from fslice.posterior.normal import NormalEquations
from fslice.posterior.precision import Precision

_UNOBSERVED = 0.01


@dataclass(frozen=True, eq=False)
class ExactSolution:
    """The best independent-Gaussian posterior, whose mean is that of the exact posterior.

    Parameters
    ----------
    mean_ft : (M, M, M//2 + 1) complex array
        Posterior mean.
    sigma : (M, M, M//2 + 1) real array
        ``s`` of each coefficient: its standard deviation when all others are known. The exact
        marginal standard deviations, `marginal_variance`, are larger.
    elbo : float
        Of these, in nats.
    elbo_prior : float
        Of the prior in their place: what a fit starts from.
    iterations : int
        Of conjugate gradients.
    residual : float
        See `conjugate_gradients`.
    converged : bool
        Whether the tolerance was met.
    precision : Precision
        What was solved.
    """

    mean_ft: Array
    sigma: Array
    elbo: float
    elbo_prior: float
    iterations: int
    residual: float
    converged: bool
    precision: Precision

    @property
    def posterior(self) -> GaussianPosterior:
        """The distribution, to draw from and to compare with."""
        return GaussianPosterior(self.mean_ft, self.sigma)

    def volume(self) -> Array:
        """Return the mean as a real volume (D, D, D)."""
        return self.precision.volume(self.mean_ft)


def solve_exact(
    normal: NormalEquations,
    prior_variance: Array | float,
    noise_variance: float = 1.0,
    *,
    tolerance: float = 1e-5,
    max_iterations: int = 1000,
    start: Array | None = None,
) -> ExactSolution:
    """Maximise the ELBO over all independent Gaussians, without a single step in their parameters.

    Parameters
    ----------
    normal : NormalEquations
    prior_variance, noise_variance
        As in `Precision`.
    tolerance, max_iterations, start
        As in `conjugate_gradients`, for the mean.

    Returns
    -------
    ExactSolution

    Warns
    -----
    UserWarning
        More than 1 % of the band was seen by no image, and keeps its prior; or the tolerance was
        not met.

    Notes
    -----
    The ELBO is quadratic in the mean and separable in s (paper, eqs. 14-15, for known poses)::

        mean = (A / sigma^2 + 1 / tau^2)^-1 b / sigma^2
        s^2 = 1 / (diag A / sigma^2 + 1 / tau^2)

    Examples
    --------
    >>> import numpy as np, fslice
    >>> from fslice.posterior.accumulate import accumulate
    >>> rng = np.random.default_rng(0)
    >>> projector = fslice.Projector(8)
    >>> volume, rotations = rng.normal(size=(8, 8, 8)), fslice.random_rotations(200, rng)
    >>> images = projector.project(volume, rotations)
    >>> solution = solve_exact(accumulate(images, rotations, projector=projector), 1.0, 1e-4)
    >>> np.allclose(projector.project(solution.volume(), rotations), images, atol=0.03)
    True
    """
    precision = Precision(normal, prior_variance, noise_variance)
    warn_if_unobserved(normal)
    diagonal = precision.diagonal()
    solved = conjugate_gradients(
        precision, precision.rhs, diagonal,
        tolerance=tolerance, max_iterations=max_iterations, start=start,
    )  # fmt: skip
    warn_unless_solved(solved, tolerance)
    xp = array_namespace(diagonal)
    sigma = xp.sqrt(1 / diagonal)
    prior = xp.sqrt(xp.broadcast_to(precision.prior_variance, sigma.shape))
    return ExactSolution(
        solved.x,
        sigma,
        collapsed_elbo(precision, solved.x, sigma),
        collapsed_elbo(precision, xp.zeros_like(solved.x), prior),
        solved.iterations,
        solved.residual,
        solved.converged,
        precision,
    )


def warn_if_unobserved(normal: NormalEquations) -> None:
    """Warn if a noticeable part of the band was seen by no image."""
    fraction = normal.unobserved()
    if fraction > _UNOBSERVED:
        warnings.warn(
            f"{100 * fraction:.3g} % of the frequencies in the band were seen by no image: there "
            "the posterior equals the prior",
            stacklevel=3,
        )


def warn_unless_solved(solved: Solved, tolerance: float) -> None:
    """Warn if conjugate gradients were cut off."""
    if not solved.converged:
        warnings.warn(
            f"conjugate gradients stopped at a relative residual of {solved.residual:.2g} after "
            f"{solved.iterations} iterations, expected {tolerance:.2g}",
            stacklevel=3,
        )
