"""What a fit returns: a map, how sure it is, and how it was found."""

from __future__ import annotations

import html
from dataclasses import dataclass, field
from typing import Any

from fslice._arrays import Array, array_namespace, to_numpy
from fslice._devices import map_arrays
from fslice.posterior.evidence import Estimate


@dataclass(frozen=True, eq=False)
class Posterior:
    """A map, how sure it is, and how it was found; made by `fslice.reconstruct` and the solvers.

    Every image counts once in all bounds, whatever the symmetry.
    """

    mean: Array
    """(D, D, D) real: the posterior mean, in the order [z, y, x]; averaged over the symmetry."""
    latent_mean: Array
    """Half spectrum as it was fitted: of the volume in its box, without the mask; of what is sliced
    with `Wiener`, and where nothing is padded and there is no mask."""
    posterior_std: Array | None
    """Real, of the shape of `latent_mean`: standard deviation of each coefficient when all others
    are known, ``diag(precision)^-1/2``; None for a point."""
    elbo: float
    """Evidence lower bound of all images, in nats, exactly evaluated at the end."""
    elbo_prior: float
    """The bound of what is known without the images: q = prior, or for a point the zero map."""
    elbo_trace: list[float]
    """The bound at the beginning and after every epoch, or outer iteration."""
    noise_variance: Any
    """``sigma^2`` of every pixel, or (D//2 + 1,) of each shell, or (G, D//2 + 1) of each optics
    group and shell."""
    prior_variance: Any
    """``tau^2`` of every Fourier coefficient, or (D//2 + 1,) of each shell."""
    iterations: int
    """Epochs, or outer iterations."""
    converged: bool
    """Whether the estimated rest of the bound fell below the tolerance."""
    seconds: dict[str, float]
    """Wall time of each stage."""
    solver: str
    """What found it."""
    images: int
    """How many there were."""
    symmetry: str = "C1"
    """Point group that was imposed."""
    half_maps: tuple[Array, Array] | None = None
    """(D, D, D) real: the maps of the two half sets, under prior and noise of all images."""
    unfiltered_half_maps: tuple[Array, Array] | None = None
    """(D, D, D) real: of the same sets without prior and mask, for deposition; see
    `fslice.posterior.mean.unfiltered_spectrum`."""
    contrast: Array | None = None
    """(n,) real: of each image, its mean 1, if it was learned; NaN where ``robust`` left it out."""
    evidence: Estimate | None = None
    """Log probability of the images under prior, mask and noise, in nats; if asked for."""
    voxel_std: Array | None = None
    """(D, D, D) real: posterior standard deviation of every voxel, from samples."""
    fsc_samples: Array | None = None
    """(K, D//2 + 1) float64: correlation of the mean with each sample of the posterior. Their
    mean predicts that with the truth, their quantiles are its credible band."""
    joint: Any = field(default=None, repr=False)
    """How the poses were found with the map, where they were not known: a
    `fslice.alignment.joint.JointResult`."""
    warnings: tuple[str, ...] = field(default=())
    """What a reader should know before trusting it."""

    def posterior_std_grid(self) -> Array:
        """Return the deviations on the full centred Fourier grid, zero frequency at D//2.

        Raises
        ------
        ValueError
            The posterior is a point.
        """
        if self.posterior_std is None:
            raise ValueError(
                "posterior_std_grid: expected a Gaussian posterior, got a point estimate"
            )
        return full_grid(self.posterior_std)

    def to_numpy(self) -> Posterior:
        """Return it with all arrays copied to the host; itself where they are there already."""
        return map_arrays(self, lambda array: to_numpy(array))

    def plot(self, pixel_size: float = 1.0) -> Any:
        """Return a Matplotlib figure of the map, its uncertainty and its resolution."""
        from fslice.plot.posterior import posterior_figure

        return posterior_figure(self, pixel_size)

    def __repr__(self) -> str:
        """Say in a few lines what was found."""
        return "\n".join(["Posterior", *(f"  {name:<15} {text}" for name, text in self._facts())])

    def _repr_html_(self) -> str:
        """Show a table in notebooks."""
        rows = (
            f"<tr><th style='text-align:left'>{html.escape(name)}</th>"
            f"<td style='text-align:left'>{html.escape(text)}</td></tr>"
            for name, text in self._facts()
        )
        return f"<table>{''.join(rows)}</table>"

    def _facts(self) -> list[tuple[str, str]]:
        box = " x ".join(str(side) for side in self.mean.shape)
        state = "converged" if self.converged else "not converged"
        facts = [
            ("map", f"{box} voxels, {self.mean.dtype}, from {self.images:,} images"),
            ("solver", f"{self.solver}: {state} in {self.iterations} iterations"),
            ("ELBO", f"{self.elbo:.6g} nats, {self.elbo - self.elbo_prior:.4g} above the prior's"),
            ("noise variance", _range_of(self.noise_variance)),
            ("prior variance", _range_of(self.prior_variance)),
            ("symmetry", self.symmetry),
            ("seconds", ", ".join(f"{name} {s:.1f}" for name, s in self.seconds.items())),
        ]
        if self.evidence is not None:
            facts.append(
                ("log evidence", f"{self.evidence.value:.8g} +- {self.evidence.error:.2g}")
            )
        if self.half_maps is not None:
            facts.append(("half maps", "2"))
        if self.fsc_samples is not None:
            facts.append(("samples", str(len(self.fsc_samples))))
        return facts + [("warning", text) for text in self.warnings]


def full_grid(half: Array) -> Array:
    """Unfold a real array on the half spectrum to the full grid, zero frequency at M//2.

    Examples
    --------
    >>> import numpy as np
    >>> half = np.zeros((4, 4, 3))
    >>> half[1, 0, 1] = 1
    >>> np.argwhere(full_grid(half))
    array([[1, 2, 1],
           [3, 2, 3]])
    """
    xp, size = array_namespace(half), half.shape[0]
    mirrored = xp.roll(half[::-1, ::-1], 1, (0, 1))[:, :, (size - 1) // 2 : 0 : -1]
    return xp.fft.fftshift(xp.concatenate([half, mirrored], 2))


def _range_of(variance: Any) -> str:
    """Say a variance, or those of all shells by their extremes."""
    if not getattr(variance, "ndim", 0):
        return f"{float(variance):.4g}"
    values = to_numpy(variance)
    return f"{values.min():.4g} to {values.max():.4g} over {values.shape[-1]} shells"
