"""From particle images with known poses to a map with its uncertainty."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np

from fslice._arrays import Array, check_choice, check_size
from fslice.ctf import CTF
from fslice.exact.accumulate import accumulate
from fslice.inference.checkpoint import Checkpoint
from fslice.inference.closed_form import solve, statistics_of
from fslice.inference.dataset import Dataset
from fslice.inference.fitting import RATE, Anchor, FitState, fit
from fslice.inference.variational import Bound, Statistics, collect, signal_variance
from fslice.projector import Projector

TOLERANCE = 1e-4
"""A fit has converged when the rest is at most this share of the gain over the prior."""


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
    """(D, D, D) real: the posterior mean, in the order [z, y, x]."""
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
    noise_variance: float
    """``sigma^2`` of every pixel."""
    prior_variance: float
    """``tau^2`` of every Fourier coefficient."""
    epochs: int
    """Epochs, or turns of solving for the mean and for the noise."""
    converged: bool
    """Whether the estimated rest of the bound fell below the tolerance."""
    seconds: dict[str, float]
    """Wall time of the stages ``"reading"`` and ``"fitting"``."""

    def sigma_grid(self) -> np.ndarray:
        """Return s on the full centred Fourier grid, (M, M, M), zero frequency at M//2.

        Examples
        --------
        See `reconstruct`.
        """
        if self.sigma is None:
            raise ValueError("sigma_grid: expected a Gaussian posterior, got a point estimate")
        return full_grid(self.sigma)


def reconstruct(
    images: Any,
    rotations: Array,
    shifts: Array | None = None,
    ctf: CTF | None = None,
    *,
    posterior: str = "gaussian",
    solver: str = "adam",
    epochs: int = 50,
    batch_size: int | None = None,
    prior_variance: float | None = None,
    noise_variance: float | None = None,
    oversampling: float = 1,
    interpolation: str = "linear",
    seed: int = 0,
    progress: Callable[[Progress], object] | None = None,
    checkpoint: str | os.PathLike[str] | None = None,
) -> Reconstruction:
    """Fit a posterior over the volume by maximising the evidence lower bound.

    Parameters
    ----------
    images : (n, D, D) array of real numbers, or a memory-mapped stack
        Particle images, of any real dtype; fitted in single precision unless they are double.
        Read a batch at a time; their half spectra are kept in memory if they take at most 4 GiB.
    rotations : (n, 3, 3) real array
        Image to volume coordinates, acting on (x, y, z).
    shifts : (n, 2) real array, optional
        Where the particles sit, (x, y) in pixels.
    ctf : CTF, optional
        Of the n images.
    posterior : {"gaussian", "dirac"}
        Independent Gaussians for the Fourier coefficients (the paper's section 5.1), or a
        point: the maximum a posteriori map.
    solver : {"adam", "exact", "wiener"}
        Stochastic steps; or, in one pass over the images, the maximum of the bound by
        conjugate gradients on the normal equations (linear interpolation only); or the
        conventional weighted back-projection, as a baseline.
    epochs : int
        At most so many. This, `batch_size`, `seed` and `checkpoint` are Adam's.
    batch_size : int, optional
        Images per step. Default: so many that even the outermost frequencies are hit about
        four times (without oversampling), or all images if there are fewer.
    prior_variance : float, optional
        ``tau^2`` of every coefficient of the unitary spectrum, which is that of every voxel.
        Default: the mean power of the conventional estimate.
    noise_variance : float, optional
        ``sigma^2`` of every pixel. Default: learned.
    oversampling : float
        See `Projector`.
    interpolation : {"linear", "cubic"}
        See `Projector`.
    seed : int
        Of the minibatches. The same inputs and number of threads repeat bit for bit.
    progress : callable, optional
        Called with a `Progress` after each batch of images.
    checkpoint : path, optional
        An ``.npz`` file, written after each epoch. If it exists the fit continues from it, to
        the result of an uninterrupted one.

    Returns
    -------
    Reconstruction

    Raises
    ------
    ValueError
        A shape does not fit, a pixel is not finite, a number is out of its range, or the
        checkpoint belongs to another fit.
    TypeError
        A dtype is not as above, or array libraries are mixed.

    Notes
    -----
    Maximises ``E_q[log p(images | volume)] - KL(q || prior)`` (eq. 14). It converges when half
    the squared gradient, in units of posterior standard deviations, is at most 1e-4 of the
    gain over the prior; see `fslice.inference.fitting` for the steps and
    `fslice.inference.variational` for the bound.

    Examples
    --------
    >>> import numpy as np, fslice
    >>> model = fslice.phantom(32, 4.0)
    >>> data = fslice.simulate(model, 400, 32, 4.0, snr=1.0)
    >>> result = fslice.reconstruct(data.images(), data.rotations)
    >>> bool(fslice.fsc(result.mean, data.truth)[5] > 0.9), result.converged
    (True, True)
    >>> result.sigma_grid().shape  # large where no image looked
    (32, 32, 32)
    """
    check_choice("posterior", posterior, ("gaussian", "dirac"))
    check_choice("solver", solver, ("adam", "exact", "wiener"))
    for name, value in (("prior_variance", prior_variance), ("noise_variance", noise_variance)):
        if value is not None and not (np.isfinite(value) and value > 0):
            raise ValueError(f"{name}: expected a number above 0, got {value}")
    dataset = Dataset(images, rotations, shifts, ctf)
    projector = Projector(dataset.size, oversampling, interpolation)
    report = _Reporter(progress, len(dataset), check_size("epochs", epochs))
    settings = _Settings(prior_variance, noise_variance, posterior == "gaussian")
    if solver == "adam":
        return _stochastic(
            dataset,
            projector,
            settings,
            report,
            batch_size=_batch_size(batch_size, projector),
            seed=check_size("seed", seed, 0),
            checkpoint=checkpoint,
        )
    return _closed_form(dataset, projector, settings, report, solver)


def _stochastic(
    dataset: Dataset,
    projector: Projector,
    settings: _Settings,
    report: _Reporter,
    *,
    batch_size: int,
    seed: int,
    checkpoint: str | os.PathLike[str] | None,
) -> Reconstruction:
    clock = [time.perf_counter()]
    bound = settings.bound(collect(dataset, projector, report.reading))
    clock.append(time.perf_counter())
    start = FitState(bound.statistics.weighted_backprojection(), 0, RATE, (), None)
    store = Checkpoint(checkpoint, dataset, projector, bound, batch_size, seed)
    anchor, state, converged = fit(
        dataset,
        projector,
        bound,
        store.load(start),
        epochs=report.epochs,
        batch_size=batch_size,
        tolerance=TOLERANCE,
        seed=seed,
        on_batch=report.fitting,
        on_epoch=store.save,
    )
    clock.append(time.perf_counter())
    return _result(projector, bound, anchor, list(state.trace), state.epoch, converged, clock)


def _closed_form(
    dataset: Dataset, projector: Projector, settings: _Settings, report: _Reporter, solver: str
) -> Reconstruction:
    clock = [time.perf_counter()]
    normal = accumulate(
        dataset.images,
        dataset.rotations,
        dataset.shifts,
        dataset.ctf,
        projector=projector,
        progress=report.read,
    )
    bound = settings.bound(statistics_of(normal))
    clock.append(time.perf_counter())
    anchor, trace, converged = solve(normal, bound, solver)
    clock.append(time.perf_counter())
    return _result(projector, bound, anchor, trace, len(trace) - 1, converged, clock)


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


class _Settings(NamedTuple):
    """What is asked of the bound; None is found from the data."""

    prior_variance: float | None
    noise_variance: float | None
    gaussian: bool

    def bound(self, statistics: Statistics) -> Bound:
        tau2 = self.prior_variance
        tau2 = signal_variance(statistics) if tau2 is None else float(tau2)
        return Bound(statistics, tau2, self.gaussian, self.noise_variance)


class _Reporter:
    """Turns the callbacks of the stages into one."""

    def __init__(self, progress: Callable[[Progress], object] | None, total: int, epochs: int):
        self.progress, self.total, self.epochs = progress, total, epochs
        self.done = 0

    def reading(self, images: int) -> None:
        self._advance("reading", images, 0, None)

    def read(self, images: int) -> None:
        self.done = 0
        self._advance("reading", images, 0, None)

    def fitting(self, images: int, epoch: int, elbo: float | None) -> None:
        self._advance("fitting", images, epoch, elbo)

    def _advance(self, stage: str, images: int, epoch: int, elbo: float | None) -> None:
        self.done = self.done % self.total + images
        if self.progress is not None:
            self.progress(Progress(stage, self.done, self.total, epoch, self.epochs, elbo))


def _batch_size(given: int | None, projector: Projector) -> int:
    """Return a batch that hits a frequency at the rim, of 2 pi r neighbours, about four times."""
    if given is not None:
        return check_size("batch_size", given)
    return max(64, round(8 * projector.box / 2))


def _result(
    projector: Projector,
    bound: Bound,
    anchor: Anchor,
    trace: list[float],
    epochs: int,
    converged: bool,
    clock: list[float],
) -> Reconstruction:
    return Reconstruction(
        mean=projector.to_volume(anchor.mean),
        mean_ft=anchor.mean,
        sigma=bound.sigma(anchor.noise_variance) if bound.gaussian else None,
        elbo=anchor.bound,
        elbo_prior=anchor.bound_of_prior,
        elbo_trace=trace,
        noise_variance=anchor.noise_variance,
        prior_variance=bound.prior_variance,
        epochs=epochs,
        converged=converged,
        seconds={"reading": clock[1] - clock[0], "fitting": clock[2] - clock[1]},
    )
