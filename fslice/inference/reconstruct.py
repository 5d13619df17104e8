"""From particle images with known poses to a map with its uncertainty."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any, NamedTuple

import numpy as np

from fslice._arrays import Array, check_choice, check_size
from fslice.ctf import CTF
from fslice.exact.accumulate import accumulate
from fslice.exact.evidence import Estimate
from fslice.exact.precision import Precision
from fslice.fourier import rfft3
from fslice.geometry import symmetry_name
from fslice.inference.checkpoint import Checkpoint
from fslice.inference.closed_form import solve, statistics_of
from fslice.inference.dataset import Dataset
from fslice.inference.exact_posterior import (
    Extras,
    Fitted,
    draw,
    evidence_of,
    fit_learned,
    symmetric_volume,
)
from fslice.inference.fitting import RATE, Anchor, FitState, fit
from fslice.inference.noise_spectrum import CHANGE, ROUNDS, residual_spectrum
from fslice.inference.variational import Bound, Statistics, collect, signal_variance
from fslice.projector import Projector
from fslice.symmetrize import symmetrize

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
    symmetry: str = "C1",
    noise: str = "white",
    prior: str = "scalar",
    support: Array | None = None,
    samples: int = 0,
    evidence: bool = False,
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
    symmetry : str
        Point group of the object, as in `fslice.symmetry_rotations`, in RELION's orientation. Each
        image counts from all equivalent directions, which costs the order of the group in time.
    noise : {"white", "shell"}
        One variance for all frequencies of the images, or one per shell, both learned. The
        latter takes a few turns of fitting the volume and measuring what is left; only the first
        of them is kept in a checkpoint.
    prior : {"scalar", "shell"}
        One variance for all frequencies, or one per shell, learned from the images. This and
        the next three are the exact solver's; see `fslice.exact.empirical_bayes`.
    support : (D, D, D) real array, optional
        From 0 to 1: the map is zero where it is; `fslice.exact.support.soft_sphere` makes one.
        The bound is then that of the exact posterior, the log evidence, and there is no s.
    samples : int
        Draws from the exact posterior, for `voxel_sigma` and `fsc_samples`; 8 are enough for a
        resolution, 50 for voxels.
    evidence : bool
        Whether to estimate the log evidence.
    seed : int
        Of the minibatches and of samples. The same inputs and number of threads repeat bit for bit.
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
    extras = Extras(check_choice("prior", prior, ("scalar", "shell")), support, samples, evidence)
    _check_extras(extras, solver, posterior, symmetry_name(symmetry))
    for name, value in (("prior_variance", prior_variance), ("noise_variance", noise_variance)):
        if value is not None and not (np.isfinite(value) and value > 0):
            raise ValueError(f"{name}: expected a number above 0, got {value}")
    dataset = Dataset(images, rotations, shifts, ctf, symmetry_name(symmetry))
    projector = Projector(dataset.size, oversampling, interpolation)
    report = _Reporter(progress, dataset, check_size("epochs", epochs))
    check_choice("noise", noise, ("white", "shell"))
    if noise == "shell" and noise_variance is not None:
        raise ValueError(f"noise_variance: expected None with noise='shell', got {noise_variance}")
    settings = _Settings(prior_variance, noise_variance, posterior == "gaussian", extras)
    size, seed = _batch_size(batch_size, projector), check_size("seed", seed, 0)

    def once(data: Dataset, extras: Extras, turn: int) -> Reconstruction:
        chosen = settings._replace(extras=extras)
        if solver != "adam":
            return _closed_form(data, projector, chosen, report, solver, seed)
        return _stochastic(
            data,
            projector,
            chosen,
            report,
            batch_size=size,
            seed=seed,
            checkpoint=checkpoint if turn == 0 else None,
        )

    if noise == "white":
        return once(dataset, extras, 0)
    return _with_noise_spectrum(dataset, projector, extras, once)


def _with_noise_spectrum(
    dataset: Dataset,
    projector: Projector,
    extras: Extras,
    once: Callable[[Dataset, Extras, int], Reconstruction],
) -> Reconstruction:
    """Fit in turns with the noise variance per shell, then draw the samples that are asked for."""
    rng = np.random.default_rng(0)
    # s is known without a support only, and the noise hardly depends on the model of the volume
    simple = Extras(extras.prior)
    shape, seconds = np.ones(projector.size // 2 + 1), 0.0
    for turn in range(ROUNDS):
        result = once(replace(dataset, noise_shape=shape), simple, turn)
        start = time.perf_counter()
        white = rfft3(rng.standard_normal((projector.box,) * 3).astype(dataset.dtype))
        deviation = white * (0 if result.sigma is None else result.sigma)
        found = residual_spectrum(
            replace(dataset, noise_shape=shape), projector, result.mean_ft, deviation
        )
        seconds += sum(result.seconds.values()) + time.perf_counter() - start
        ratio = found / found.mean()
        shape = shape * ratio
        if abs(np.log(ratio)).max() <= CHANGE:
            break
    result = once(replace(dataset, noise_shape=shape), extras, ROUNDS)
    return replace(
        result,
        noise_variance=result.noise_variance * shape,
        seconds={**result.seconds, "noise": seconds},
    )


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
    fitted = anchor, list(state.trace), state.epoch, converged
    return _result(dataset, projector, bound, *fitted, clock)


def _closed_form(
    dataset: Dataset,
    projector: Projector,
    settings: _Settings,
    report: _Reporter,
    solver: str,
    seed: int,
) -> Reconstruction:
    clock = [time.perf_counter()]
    normal = accumulate(
        dataset.images,
        dataset.rotations,
        dataset.shifts,
        dataset.ctf,
        projector=projector,
        symmetry=dataset.symmetry,
        noise_variance=None if dataset.noise_shape is None else dataset.noise_shape[None],
        progress=report.read,
    )
    clock.append(time.perf_counter())
    extras, bound = settings.extras, settings.bound(statistics_of(normal))
    if extras.learns:
        fitted = fit_learned(normal, extras, settings.prior_variance, settings.noise_variance)
        anchor, trace, converged = fitted.anchor, [fitted.anchor.bound], fitted.converged
    else:
        anchor, trace, converged = solve(normal, bound, solver)
        precision = Precision(normal, bound.prior_variance, anchor.noise_variance)
        fitted = Fitted(
            precision, anchor.mean, anchor, bound.sigma(anchor.noise_variance),
            bound.prior_variance, None, converged,
        )  # fmt: skip
    clock.append(time.perf_counter())
    fit = anchor, trace, len(trace) - 1, converged
    result = _result(dataset, projector, bound, *fit, clock)
    known = fitted.evidence
    if extras.evidence and known is None:
        known = evidence_of(fitted.precision, fitted.unknowns)
    drawn = draw(fitted.precision, fitted.unknowns, extras.samples, seed)
    if extras.samples or extras.evidence:
        result.seconds["sampling"] = time.perf_counter() - clock[-1]
    return replace(
        result,
        mean=symmetric_volume(fitted.precision, fitted.unknowns),
        sigma=fitted.sigma if settings.gaussian else None,
        prior_variance=fitted.prior_variance,
        evidence=known,
        voxel_sigma=drawn.voxel_sigma,
        fsc_samples=drawn.fsc_samples,
    )


def _check_extras(extras: Extras, solver: str, posterior: str, symmetry: str) -> None:
    """Raise unless the solver and the posterior can do what is asked for."""
    check_size("samples", extras.samples, 0)
    asked = {
        "prior": extras.prior == "shell",
        "support": extras.support is not None,
        "samples": extras.samples > 0,
        "evidence": extras.evidence,
    }
    for name, wanted in asked.items():
        if wanted and solver != "exact":
            raise ValueError(f"{name}: expected solver='exact', got {solver!r}")
        if wanted and posterior != "gaussian":
            raise ValueError(f"{name}: expected posterior='gaussian', got {posterior!r}")
    if extras.evidence and symmetry != "C1":
        raise ValueError(
            f"evidence: expected symmetry='C1', got {symmetry!r}; to compare groups see "
            "fslice.exact.symmetric.symmetry_evidence"
        )


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
    extras: Extras

    def bound(self, statistics: Statistics) -> Bound:
        tau2 = self.prior_variance
        tau2 = signal_variance(statistics) if tau2 is None else float(tau2)
        return Bound(statistics, tau2, self.gaussian, self.noise_variance)


class _Reporter:
    """Turns the callbacks of the stages into one."""

    def __init__(
        self, progress: Callable[[Progress], object] | None, dataset: Dataset, epochs: int
    ):
        self.progress, self.total, self.epochs = progress, len(dataset), epochs
        self.copies = dataset.views // len(dataset)
        self.views = 0

    def reading(self, views: int) -> None:
        self._advance("reading", views, 0, None)

    def read(self, images: int) -> None:
        self.views = 0
        self._advance("reading", images * self.copies, 0, None)

    def fitting(self, views: int, epoch: int, elbo: float | None) -> None:
        self._advance("fitting", views, epoch, None if elbo is None else elbo / self.copies)

    def _advance(self, stage: str, views: int, epoch: int, elbo: float | None) -> None:
        self.views = self.views % (self.total * self.copies) + views
        if self.progress is not None:
            done = self.views // self.copies
            self.progress(Progress(stage, done, self.total, epoch, self.epochs, elbo))


def _batch_size(given: int | None, projector: Projector) -> int:
    """Return a batch that hits a frequency at the rim, of 2 pi r neighbours, about four times."""
    if given is not None:
        return check_size("batch_size", given)
    return max(64, round(8 * projector.box / 2))


def _result(
    dataset: Dataset,
    projector: Projector,
    bound: Bound,
    anchor: Anchor,
    trace: list[float],
    epochs: int,
    converged: bool,
    clock: list[float],
) -> Reconstruction:
    mean, copies = projector.to_volume(anchor.mean), dataset.views // len(dataset)
    # the fit counted every view as an image, and every orbit of coefficients as often
    return Reconstruction(
        mean=mean if copies == 1 else symmetrize(mean, dataset.symmetry),
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
