"""The solvers of `reconstruct` that need one pass over the images and no stochastic step."""

from __future__ import annotations

from dataclasses import replace

from fslice._arrays import Array
from fslice.fourier import inner_product
from fslice.posterior.normal import NormalEquations
from fslice.posterior.solve import solve_exact
from fslice.posterior.wiener import solve_wiener
from fslice.solvers.adam import Anchor
from fslice.solvers.variational import Bound, Statistics

ROUNDS = 20
"""At most so many turns of solving for the mean and for the noise variance."""


def statistics_of(normal: NormalEquations) -> Statistics:
    """Return what `collect` would: the normal equations hold it all."""
    return Statistics(
        normal.b,
        normal.row_sums(),
        normal.diagonal(),
        float(normal.power.sum()),
        float(normal.degrees.sum()),
        normal.log_weights,
    )


def solve(normal: NormalEquations, bound: Bound, solver: str) -> tuple[Anchor, list[float], bool]:
    """Solve for the mean, in turns with the noise variance where that is learned.

    Parameters
    ----------
    normal : NormalEquations
    bound : Bound
    solver : {"exact", "wiener"}

    Returns
    -------
    anchor : Anchor
        Without a gradient.
    trace : list of float
        The bound after each turn.
    converged : bool
        The noise variance changed by less than a part in 10,000, and the mean was found.
    """
    start = bound.statistics.weighted_backprojection()
    anchor = _anchor(normal, bound, start)
    trace = [anchor.bound]
    for _ in range(ROUNDS):
        mean, found = _mean(normal, bound, solver, anchor)
        before, anchor = anchor.noise_variance, _anchor(normal, bound, mean)
        trace.append(anchor.bound)
        if abs(anchor.noise_variance - before) <= 1e-4 * before:
            return anchor, trace, found
    return anchor, trace, False


def _mean(normal: NormalEquations, bound: Bound, solver: str, anchor: Anchor) -> tuple[Array, bool]:
    noise = anchor.noise_variance
    if solver == "wiener":
        return solve_wiener(normal, bound.prior_variance, noise).astype(normal.b.dtype), True
    solution = solve_exact(normal, bound.prior_variance, noise, start=anchor.mean)
    return solution.mean_ft.astype(normal.b.dtype), solution.converged


def _anchor(normal: NormalEquations, bound: Bound, mean: Array) -> Anchor:
    """Evaluate the bound at a mean, and the noise variance that is best for it."""
    explained = 2 * inner_product(normal.b, mean) - inner_product(mean, normal.apply(mean))
    misfit = max(bound.statistics.power - explained, 0.0)
    variance = bound.best_noise_variance(misfit)
    anchor = Anchor(mean, 0 * mean, misfit, variance, 0.0, bound.value_of_prior(variance))
    return replace(anchor, bound=bound.value(mean, misfit, variance))
