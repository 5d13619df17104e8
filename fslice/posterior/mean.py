"""The posterior mean of a volume, for known poses."""

from __future__ import annotations

import warnings
from typing import NamedTuple

import numpy as np

from fslice._arrays import Array, array_namespace
from fslice.fourier import shell_sum
from fslice.posterior.cg import conjugate_gradients
from fslice.posterior.normal import NormalEquations
from fslice.posterior.precision import PosteriorPrecision

_UNOBSERVED = 0.01
_FLOOR = 1e-3
"""What is added to the sampling density of an unfiltered map, relative to its mean."""


class Solution(NamedTuple):
    """The posterior mean of a volume."""

    mean: Array
    """Latent half spectrum."""
    iterations: int
    """Of conjugate gradients."""
    residual: float
    """See `fslice.posterior.cg.conjugate_gradients`."""
    converged: bool
    """Whether the tolerance was met."""
    precision: PosteriorPrecision
    """What was solved."""

    def volume(self) -> Array:
        """Return the mean as a real volume (D, D, D)."""
        return self.precision.map_of(self.mean)


def solve(
    precision: PosteriorPrecision,
    *,
    tolerance: float = 1e-5,
    max_iterations: int = 1000,
    start: Array | None = None,
) -> Solution:
    """Return the posterior mean.

    Parameters
    ----------
    precision : PosteriorPrecision
    tolerance, max_iterations, start
        As in `fslice.posterior.cg.conjugate_gradients`. High frequencies, which hold little of
        the power, are the last to be right.

    Returns
    -------
    Solution

    Warns
    -----
    UserWarning
        More than 1 % of the band was seen by no image, and keeps its prior; or the tolerance was
        not met.

    Examples
    --------
    >>> import numpy as np, fslice
    >>> from fslice.data.dataset import Dataset
    >>> from fslice.data.poses import Poses
    >>> from fslice.posterior.sums import normal_equations
    >>> rng = np.random.default_rng(0)
    >>> projector = fslice.Projector(8)
    >>> volume, rotations = rng.normal(size=(8, 8, 8)), fslice.random_rotations(200, rng)
    >>> images = projector.project(volume, rotations)
    >>> normal = normal_equations(Dataset(images, Poses(rotations)), projector)
    >>> found = solve(PosteriorPrecision(normal, 1.0, 1e-4)).volume()
    >>> np.allclose(projector.project(found, rotations), images, atol=0.03)
    True
    """
    warn_if_unobserved(precision.normal)
    return solve_observed(
        precision, tolerance=tolerance, max_iterations=max_iterations, start=start
    )


def solve_observed(
    precision: PosteriorPrecision,
    *,
    tolerance: float = 1e-5,
    max_iterations: int = 1000,
    start: Array | None = None,
    afresh: bool = True,
    overwrite_start: bool = False,
) -> Solution:
    """Do what `solve` does, without a word about frequencies that no image has seen.

    The options are those of `fslice.posterior.cg.conjugate_gradients`.
    """
    solved = conjugate_gradients(
        precision, precision.rhs, precision.preconditioner(),
        tolerance=tolerance, max_iterations=max_iterations, start=start, afresh=afresh,
        overwrite_start=overwrite_start,
    )  # fmt: skip
    if not solved.converged:
        warnings.warn(
            f"conjugate gradients stopped at a relative residual of {solved.residual:.2g} after "
            f"{solved.iterations} iterations, expected {tolerance:.2g}",
            stacklevel=3,
        )
    return Solution(solved.x, solved.iterations, solved.residual, solved.converged, precision)


def unobserved_note(normal: NormalEquations) -> tuple[str, ...]:
    """Say if a noticeable part of the band was seen by no image."""
    fraction = normal.unobserved()
    if fraction <= _UNOBSERVED:
        return ()
    return (
        f"{100 * fraction:.3g} % of the frequencies in the band were seen by no image: there "
        "the posterior equals the prior",
    )


def warn_if_unobserved(normal: NormalEquations) -> tuple[str, ...]:
    """Warn if a noticeable part of the band was seen by no image, and return what was said."""
    notes = unobserved_note(normal)
    for note in notes:
        warnings.warn(note, stacklevel=3)
    return notes


def weighted_backprojection(precision: PosteriorPrecision, density: Array | None = None) -> Array:
    """Return the conventional map as a sliced spectrum (the paper's section 6.1), the baseline.

    Parameters
    ----------
    precision : PosteriorPrecision
    density : (M, M, M//2 + 1) real array, optional
        ``A 1``, if it is known.

    Returns
    -------
    (M, M, M//2 + 1) complex array
        ``b / (A 1 + sigma^2 / tau^2)``: each coefficient by itself, as if the interpolation
        spread nothing to its neighbours.

    Examples
    --------
    >>> import fslice
    >>> from fslice.posterior.stencil import no_images
    >>> precision = PosteriorPrecision(no_images(fslice.Projector(8)), 1.0)
    >>> float(abs(weighted_backprojection(precision)).max())
    0.0
    """
    normal = precision.normal
    density = normal.row_sums() if density is None else density
    weight = 1 / (density + precision.noise_variance / precision.prior_variance)
    return normal.b * weight  # a complex array is divided three times as slowly


def unfiltered_spectrum(normal: NormalEquations) -> Array:
    """Return the conventional map under a prior that hardly acts, as a sliced spectrum.

    Parameters
    ----------
    normal : NormalEquations

    Returns
    -------
    (M, M, M//2 + 1) complex array
        ``b / (A 1 + f)``. Frequencies that were hardly seen stay finite by f, a thousandth of
        the mean of ``A 1`` where it is not 0, or of ten times that in their shell, if it is less.
        RELION divides by ``max(A 1, m / 1000)``, with m the mean of their shell
        (``BackProjector::reconstruct`` with ``skip_gridding``).

    Notes
    -----
    The solution of the normal equations under a wide prior is no map to deposit: where the CTF is
    almost zero it is noise. Of 300 images of GroEL it correlated with the other half to 16 A only,
    where this does to 8.4 A and the posterior means to 8.3 A.

    Examples
    --------
    >>> import fslice
    >>> from fslice.posterior.stencil import no_images
    >>> float(abs(unfiltered_spectrum(no_images(fslice.Projector(8)))).max())
    0.0
    """
    density = normal.row_sums()
    return weighted_backprojection(_light(normal, density), density)


def unfiltered_volume(normal: NormalEquations, density: Array | None = None) -> Array:
    """Return the real volume (D, D, D) of `unfiltered_spectrum`, averaged over the symmetry.

    `density` is ``A 1``, if it is known.
    """
    density = normal.row_sums() if density is None else density
    light = _light(normal, density)
    return light.map_of(weighted_backprojection(light, density))


def _light(normal: NormalEquations, density: Array) -> PosteriorPrecision:
    """Return a precision whose prior hardly acts, from ``A 1``.

    Under coloured noise the density differs by orders of magnitude between shells: then the
    floor of a shell of the band follows its own.
    """
    size, ndim = normal.projector.padded_size, normal.b.ndim
    xp, geometry = array_namespace(density), normal.geometry
    of_all = density.sum(dtype=np.float64) / xp.maximum((density > 0).sum(), 1)
    total, seen = (shell_sum(values, size, ndim, corners=True) for values in (density, density > 0))
    of_shell = total / xp.maximum(seen, 1.0)
    inside = xp.minimum(xp.arange(len(total)), int(geometry.max_radius * geometry.scale))
    floor = _FLOOR * xp.minimum(of_all, 10 * of_shell[inside])
    return PosteriorPrecision(normal, 1 / xp.where(floor > 0, floor, 1.0))
