"""Prior and noise that are nearly right, made right by one step."""

from __future__ import annotations

import warnings

from fslice.posterior.hyperparameters import iterate
from fslice.posterior.mean import Solution, solve
from fslice.posterior.precision import PosteriorPrecision
from fslice.posterior.prior import shell_prior


def adapt_hyperparameters(
    precision: PosteriorPrecision, *, prior: bool, noise: bool, tolerance: float
) -> Solution:
    """Solve for the volume from a prior and a noise variance that are nearly right.

    Parameters
    ----------
    precision : PosteriorPrecision
        Of a volume inside its box, with one prior variance per shell.
    prior, noise : bool
        Whether they are adapted, by one step of `fit_hyperparameters`: outside a mask the probe
        keeps all of its prior, which makes steps slow. Two rough ones take as long, and err where
        there is nothing but noise.
    tolerance : float
        Of the solve.

    Returns
    -------
    Solution
    """
    start, shells = None, None
    if prior:
        band = float((precision.normal.projector.size - 1) // 2)
        shells = shell_prior(precision.reported_prior(), band)
    if prior or noise:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", message="prior and noise could still raise")
            precision, start, _ = iterate(precision, shells, noise, 1, 0.0, None, rough_steps=0)
    return solve(precision, start=start, tolerance=tolerance)
