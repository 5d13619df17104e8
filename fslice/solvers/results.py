"""What a fit returns, and what it tells while it runs."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np

from fslice.data.dataset import Dataset
from fslice.posterior.evidence import Estimate
from fslice.solvers.adam import Anchor
from fslice.solvers.variational import Bound


class Progress(NamedTuple):
    """What a progress callback is told."""

    stage: str
    """``"reading"`` (the first pass) or ``"fitting"``."""
    done: int
    """Images of this pass so far."""
    total: int
    """Images of a pass."""
    epoch: int
    epochs: int
    elbo: float | None
    """The bound at the last completed pass."""


@dataclass(frozen=True, eq=False)
class Reconstruction:
    """A map, how sure it is, and how it was found; made by `reconstruct`."""

    mean: np.ndarray = field(repr=False)
    """(D, D, D) real: the posterior mean, in the order [z, y, x]; averaged over the symmetry."""
    mean_ft: np.ndarray = field(repr=False)
    """(M, M, M//2 + 1) complex: the mean as it was fitted, on the oversampled spectrum."""
    sigma: np.ndarray | None = field(repr=False)
    """(M, M, M//2 + 1) real: the posterior's s per stored frequency; None for a point."""
    elbo: float
    """Evidence lower bound of all images, in nats, exactly evaluated at the end."""
    elbo_prior: float
    """The bound of what is known without the images: q = prior, or for a point the zero map."""
    elbo_trace: list[float]
    """The bound at the beginning and after every epoch, or turn of a solver."""
    noise_variance: float | np.ndarray
    """``sigma^2`` of every pixel, or (D//2 + 1,) of each shell of the images."""
    prior_variance: float | np.ndarray
    """``tau^2`` of every Fourier coefficient, or of each shell."""
    epochs: int
    """Epochs, or turns of solving for the mean and for the noise."""
    converged: bool
    """Whether the estimated rest of the bound fell below the tolerance."""
    seconds: dict[str, float]
    """Wall time of the stages ``"reading"`` and ``"fitting"``."""
    symmetry: str = "C1"
    """Point group that was imposed."""
    evidence: Estimate | None = None
    """Log probability of the images under prior, support and noise, in nats; if asked for."""
    voxel_sigma: np.ndarray | None = field(default=None, repr=False)
    """(D, D, D) real: posterior standard deviation of every voxel, from samples."""
    fsc_samples: np.ndarray | None = field(default=None, repr=False)
    """(K, D//2 + 1) float64: correlation of the mean with each sample of the posterior. Their
    mean predicts that with the truth, their quantiles are its credible band."""

    def sigma_grid(self) -> np.ndarray:
        """Return s on the full centred Fourier grid, (M, M, M), zero frequency at M//2.

        Examples
        --------
        See `reconstruct`.
        """
        if self.sigma is None:
            raise ValueError("sigma_grid: expected a Gaussian posterior, got a point estimate")
        return full_grid(self.sigma)


def full_grid(half: np.ndarray) -> np.ndarray:
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
    size = half.shape[0]
    mirrored = np.roll(half[::-1, ::-1], 1, (0, 1))[:, :, (size - 1) // 2 : 0 : -1]
    return np.fft.fftshift(np.concatenate([half, mirrored], 2))


class Reporter:
    """Turns the callbacks of the stages into one."""

    def __init__(
        self, progress: Callable[[Progress], object] | None, dataset: Dataset, epochs: int
    ):
        self.progress, self.total, self.epochs = progress, len(dataset), epochs
        self.copies = dataset.views // len(dataset)
        self.views = 0

    def reading(self, views: int) -> None:
        """Tell of views that the first pass of a stochastic fit has read."""
        self._advance("reading", views, 0, None)

    def read(self, images: int) -> None:
        """Tell how many images the one pass of a solver has read so far."""
        self.views = 0
        self._advance("reading", images * self.copies, 0, None)

    def fitting(self, views: int, epoch: int, elbo: float | None) -> None:
        """Tell of views that an epoch has passed over."""
        self._advance("fitting", views, epoch, None if elbo is None else elbo / self.copies)

    def _advance(self, stage: str, views: int, epoch: int, elbo: float | None) -> None:
        self.views = self.views % (self.total * self.copies) + views
        if self.progress is not None:
            done = self.views // self.copies
            self.progress(Progress(stage, done, self.total, epoch, self.epochs, elbo))


def result_of(
    dataset: Dataset,
    mean: np.ndarray,
    bound: Bound,
    anchor: Anchor,
    trace: list[float],
    epochs: int,
    converged: bool,
    clock: list[float],
) -> Reconstruction:
    """Return what was fitted as what is reported; `mean` is the map, symmetry imposed."""
    copies = dataset.views // len(dataset)
    # the fit counted every view as an image, and every orbit of coefficients as often
    return Reconstruction(
        mean=mean,
        mean_ft=anchor.mean,
        sigma=bound.sigma(anchor.noise_variance) if bound.gaussian else None,
        elbo=anchor.bound / copies,
        elbo_prior=anchor.bound_of_prior / copies,
        elbo_trace=[value / copies for value in trace],
        noise_variance=anchor.noise_variance,
        prior_variance=bound.prior_variance,
        epochs=epochs,
        converged=converged,
        seconds={"reading": clock[1] - clock[0], "fitting": clock[2] - clock[1]},
        symmetry=dataset.symmetry,
    )
