"""Fits that take turns with what is learned of the images: noise spectra, contrast."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from fslice import _kernels
from fslice._arrays import Array, array_namespace, to_numpy
from fslice.data.cache import SpectraCache
from fslice.data.dataset import Dataset
from fslice.data.image_ctf import shell_degrees
from fslice.data.passes import Batch, sum_over
from fslice.fourier import shell_sum
from fslice.likelihoods.gaussian import GaussianNoise, group_members
from fslice.operators.contrast import products_per_image
from fslice.posterior.precision import PosteriorPrecision
from fslice.posterior.random import white_noise
from fslice.posterior.result import Posterior
from fslice.solvers.model import Model
from fslice.solvers.progress import Reporter

CHANGE = 0.01
"""What is learned is found when nothing changes by more than this share."""
ITERATIONS = 12
"""At most so many outer iterations of fitting the volume and measuring the images; clean images
take most, since their variances fall by orders of magnitude."""
LEAST = 1e-6
"""Share of the power of a shell below which no residual is believed, as in `expected_residual`.
What all images have in common, such as their mean, a volume explains without any."""


@dataclass(frozen=True, eq=False)
class Fit:
    """A fitted volume, as the solvers hand it on."""

    precision: PosteriorPrecision
    mean: Array
    std: Array | None
    elbo: float
    converged: bool
    halves: list[Any] = field(default_factory=list)
    """Normal equations of the half sets, where there are any; None where all less the other."""
    trace: tuple[float, ...] = ()


def alternate(
    dataset: Dataset,
    model: Model,
    fit: Callable[[Dataset, Model], Fit],
    report: Reporter,
    cache: SpectraCache | None,
    executor: Any = None,
) -> tuple[Fit, Dataset]:
    """Fit the volume, in turns with noise spectra and contrasts where these are learned.

    Parameters
    ----------
    dataset : Dataset
    model : Model
    fit : callable
        Returns the `Fit` of a data set under a model.
    report : Reporter
    cache : SpectraCache or None
    executor : concurrent.futures.Executor, optional
        Measures shares of the images.

    Returns
    -------
    Fit
    Dataset
        With the noise and the contrast that were learned.

    Notes
    -----
    A noise spectrum is learned in the unit of the images, and held while the prior is learned.
    A common factor that is learned once more with the prior would carry an error of one shell
    to all others, and what is learned would drift away instead of meeting: each of the two steps
    has to hold what the other one has found. Where both meet they maximise the same evidence.
    """
    found = fit(dataset, model)
    trace = [found.elbo]
    settled = model.noise == "white" and not model.contrast
    for _ in range(0 if settled else ITERATIONS):
        with report.stage("noise", len(dataset)) as advance:
            dataset, change = measure(dataset, model, found, cache, advance, executor)
        # under a spectrum a fit comes out in its unit; the first is not under one yet
        if change <= CHANGE and (model.noise == "white" or len(trace) > 1):
            settled = True
            break
        found = fit(dataset, _held(model, found))
        trace.append(found.elbo)
    return replace(found, trace=tuple(trace), converged=found.converged and settled), dataset


def _held(model: Model, found: Fit) -> Model:
    """Return the model of later fits, which hold what is known after the first one.

    A noise spectrum that is learned is part of the data set. One prior variance for all
    frequencies is the power of the object, which no weights of the images change.
    """
    if model.noise == "white":
        return model
    prior = found.precision.reported_prior()
    return replace(
        model,
        noise="white",
        noise_variance=1.0,
        prior=prior if np.ndim(prior) == 0 else model.prior,
    )


def measure(
    dataset: Dataset,
    model: Model,
    found: Fit,
    cache: SpectraCache | None,
    progress: Callable[[int], object] | None = None,
    executor: Any = None,
) -> tuple[Dataset, float]:
    """Return the data set with the noise and the contrast that a fit implies, and their change."""
    residuals = _Residuals(dataset, model, found)
    sums = sum_over(dataset, residuals, cache=cache, executor=executor, progress=progress)
    return _learned(dataset, model, sums, residuals, found.precision.noise_variance)


_RESIDUAL, _SPREAD, _POWER = range(3)


@dataclass
class _Sums:
    """What a pass over the images tells about them: sums, and one value for each image."""

    shells: Array  # (3, G, S): of whitened squares `_RESIDUAL`, `_SPREAD`, `_POWER`
    scales: dict[int, Array]  # of the images of each batch, by its first row
    rows: dict[int, Array]

    def __add__(self, other: _Sums) -> _Sums:
        return _Sums(
            self.shells + other.shells,
            self.scales | other.scales,
            self.rows | other.rows,
        )


class _Residuals:
    """The function of a batch that measures residuals by group and shell, and contrasts.

    The expected squared residual is that of the mean, plus the spread of the posterior, which one
    draw from it tells.
    """

    def __init__(self, dataset: Dataset, model: Model, found: Fit) -> None:
        self.projector, self.dimension = model.projector, dataset.poses.dimension
        self.groups = dataset.groups if model.noise == "group" else None
        latent = found.precision.latent
        self.mean = latent.spectrum(found.mean)
        draw = white_noise(found.mean, np.random.default_rng(0))
        self.deviation = None if found.std is None else latent.spectrum(draw * found.std)
        band = _kernels.band(self.projector.geometry(self.dimension), dataset.xp)
        self.band = band if self.dimension == 3 else band[0]

    def __call__(self, batch: Batch) -> _Sums:
        """Return the sums over a batch."""
        n = len(batch.rows)
        rotations, images_ft = batch.rotations[:n], batch.images_ft
        shifts = None if batch.shifts is None else batch.shifts[:n]
        expected = self.projector.project_ft(self.mean, rotations, shifts, batch.ctf)
        spread: Any = 0 * expected
        if self.deviation is not None:
            spread = self.projector.project_ft(self.deviation, rotations, None, batch.ctf)
        sums = self._by_shell((expected - images_ft, spread, images_ft), batch.rows)
        power = products_per_image(expected, expected)
        overlap = products_per_image(expected, images_ft)
        xp = array_namespace(power)
        scales = xp.where(power > 0, overlap / xp.where(power > 0, power, 1), 1.0)
        first = int(batch.rows.min())
        return _Sums(sums, {first: scales}, {first: batch.rows})

    def _by_shell(self, spectra: tuple[Array, ...], rows: Array) -> Array:
        """Return sums of squares of spectra: (3, G, S)."""
        size, ndim = self.projector.size, self.dimension - 1
        xp, groups = array_namespace(*spectra), self.groups
        member = xp.ones((1, len(rows)))
        if groups is not None:
            member = group_members(groups[rows], int(groups.max()) + 1, xp)
        sums = []
        for spectrum in spectra:
            squares = spectrum.real**2 + spectrum.imag**2
            flat = squares.reshape(len(rows), -1).astype(np.float64)
            total = (member @ flat).reshape(-1, *squares.shape[1:]) * self.band
            sums.append(shell_sum(total, size, ndim, corners=True))
        return xp.stack(sums)

    def degrees(self, dataset: Dataset) -> Array:
        """Return the degrees of freedom of the images: (G, S)."""
        count = 1 if self.groups is None else int(self.groups.max()) + 1
        rows = dataset.xp.arange(len(dataset))
        return shell_degrees(dataset, rows, self.band, self.groups, count)


def _learned(
    dataset: Dataset, model: Model, sums: _Sums, residuals: _Residuals, variance: float
) -> tuple[Dataset, float]:
    """Return the data set with what its images tell, and by how much that changed."""
    change = 0.0
    if model.noise != "white":
        shells = dataset.xp.stack([*sums.shells, residuals.degrees(dataset)])
        dataset, change = _with_noise(dataset, model, shells, variance)
    if model.contrast:
        rows = np.concatenate([to_numpy(rows) for rows in sums.rows.values()])
        scales = np.concatenate([to_numpy(scales) for scales in sums.scales.values()])
        factor = np.empty(len(dataset))
        factor[rows] = scales
        before = np.ones(len(dataset)) if dataset.contrast is None else to_numpy(dataset.contrast)
        factor *= before.mean() / (before * factor).mean()  # the map has the common one
        change = max(change, float(np.sqrt(np.mean((factor - 1) ** 2))))
        dataset = replace(dataset, contrast=dataset.xp.asarray(before * factor))
    return dataset, change


def _with_noise(
    dataset: Dataset, model: Model, shells: Array, variance: float
) -> tuple[Dataset, float]:
    """Return the data set with the most likely noise spectra, and their change.

    Relative to a white variance, that of the fit, under which the images are whitened.
    """
    xp, groups = dataset.xp, dataset.groups if model.noise == "group" else None
    known = dataset.noise
    if known is None or known.variances.shape != shells.shape[1:]:
        known = GaussianNoise(xp.ones(shells.shape[1:]), groups)
    found = _variances(to_numpy(shells), variance)
    change = float(np.abs(np.log(found / variance)).max())
    updated = replace(known, variances=known.variances * xp.asarray(found))
    return dataset.with_noise(updated), change


def _variances(shells: np.ndarray, variance: float) -> np.ndarray:
    """Return the noise variance by group and shell that a fit under a variance implies, (G, S).

    With the residual r of the mean, d degrees of freedom and the spread ``sigma^2 gamma`` of the
    posterior, ``r / (d - gamma)`` and ``(r + sigma^2 gamma) / d`` have the same fixed point
    (MacKay 1992). The first is faster, and useless where the volume explains nearly all.
    Shells that nothing tells about follow the others.
    """
    residual, spread, power, degrees = shells
    explained = spread / variance
    few = explained < degrees / 2
    squares = np.where(few, residual, residual + spread)
    squares = np.maximum(squares, LEAST * power)
    degrees = np.where(few, degrees - explained, degrees)
    found = np.full(squares.shape, variance)
    for row in range(len(squares)):
        measured = np.flatnonzero((degrees[row] > 0) & (squares[row] > 0))
        if len(measured):
            values = squares[row, measured] / degrees[row, measured]
            found[row] = np.interp(np.arange(squares.shape[1]), measured, values)
    return found


def noise_of(dataset: Dataset, variance: float) -> Any:
    """Return the noise variance as it is reported: a number, per shell, or per group and shell."""
    if dataset.noise is None:
        return variance
    table = variance * to_numpy(dataset.noise.variances)
    if table.size == 1:
        return float(table[0, 0])
    return table[0] if len(table) == 1 else table


def posterior_of(
    solver: str, found: Fit, dataset: Dataset, report: Reporter, elbo_prior: float,
    notes: tuple[str, ...],
) -> Posterior:  # fmt: skip
    """Return what every solver reports of a fit; `notes` are warnings beside the report's."""
    precision: Any = found.precision
    return Posterior(
        mean=precision.map_of(found.mean),
        latent_mean=found.mean,
        posterior_std=found.std,
        elbo=found.elbo,
        elbo_prior=elbo_prior,
        elbo_trace=list(found.trace),
        noise_variance=noise_of(dataset, precision.noise_variance),
        prior_variance=precision.reported_prior(),
        iterations=len(found.trace),
        converged=found.converged,
        seconds=dict(report.seconds),
        solver=solver,
        images=len(dataset),
        warnings=(*report.warnings, *notes),
        symmetry=dataset.symmetry,
        contrast=dataset.contrast,
    )
