"""The conventional map: weighted back-projection."""

from __future__ import annotations

from fslice._arrays import Array
from fslice.posterior.normal import NormalEquations
from fslice.posterior.precision import Precision


def solve_wiener(
    normal: NormalEquations, prior_variance: Array | float, noise_variance: float = 1.0
) -> Array:
    """Return the conventional weighted back-projection (paper, section 6.1), the baseline.

    Parameters
    ----------
    normal : NormalEquations
    prior_variance, noise_variance
        As in `fslice.posterior.precision.Precision`.

    Returns
    -------
    (M, M, M//2 + 1) complex array
        ``b / (A 1 + sigma^2 / tau^2)``: each coefficient by itself, as if the interpolation
        spread nothing to its neighbours.

    Examples
    --------
    >>> import fslice
    >>> from fslice.posterior.normal import no_images
    >>> float(abs(solve_wiener(no_images(fslice.Projector(8)), 1.0)).max())
    0.0
    """
    precision = Precision(normal, prior_variance, noise_variance)
    return normal.b / (normal.row_sums() + noise_variance / precision.prior_variance)
