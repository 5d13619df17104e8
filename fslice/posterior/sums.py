"""From a data set to its normal equations: one pass over the images, one over their poses."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from fslice import _kernels
from fslice._arrays import Array, array_namespace
from fslice._kernels import Filters, Views
from fslice.data.cache import SpectraCache
from fslice.data.dataset import Dataset
from fslice.data.image_ctf import shell_degrees
from fslice.data.passes import Batch, make_batch, sums_over
from fslice.data.shares import SumStore
from fslice.fourier import shell_sum
from fslice.likelihoods.gaussian import GaussianNoise
from fslice.operators.ctf import CTF
from fslice.operators.projector import Projector
from fslice.operators.sampling import flat_poses, slice_geometry
from fslice.posterior.by_passes import PassEquations, pass_equations
from fslice.posterior.normal import NormalEquations
from fslice.posterior.stencil import StencilEquations

_TOGETHER = 2048
"""Slices that are added to the stencil at a time."""
_PIECE = 1 << 20
"""Bytes of half spectra that are squared and filtered together: they fit the cache."""


def normal_equations(
    dataset: Dataset,
    projector: Projector,
    *,
    rows: Array | None = None,
    batch_size: int | None = None,
    cache: SpectraCache | None = None,
    executor: Any = None,
    progress: Callable[[int], object] | None = None,
) -> NormalEquations:
    """Sum the normal equations of a data set.

    Parameters
    ----------
    dataset : Dataset
    projector : Projector
    rows, batch_size, cache, executor, progress
        As in `fslice.data.passes.sum_over`.

    Returns
    -------
    NormalEquations
        `StencilEquations` for linear interpolation, else `PassEquations`.

    Notes
    -----
    Per image this costs its transform, one insertion and one walk that adds the products of
    interpolation weights. The walk needs poses and CTF only, so all views are walked in the order
    of their directions: successive slices then meet the same memory, which halves the time.

    The views of an image under a symmetry are summed like images of their own, which is what
    mean, variances and learned prior of a symmetric volume need; log-likelihood, bound and noise
    count each image once. The mathematics' section on symmetry says why.
    """
    row_sets = [np.arange(len(dataset)) if rows is None else rows]
    return normal_equations_of_sets(
        dataset, projector, row_sets, batch_size=batch_size, cache=cache, executor=executor,
        progress=progress,
    )[0]  # fmt: skip


def normal_equations_of_sets(
    dataset: Dataset,
    projector: Projector,
    row_sets: Sequence[Array],
    *,
    batch_size: int | None = None,
    cache: SpectraCache | None = None,
    executor: Any = None,
    progress: Callable[[int], object] | None = None,
    store: SumStore | None = None,
) -> list[NormalEquations]:
    """Sum the normal equations of several sets of images, such as half sets.

    Parameters
    ----------
    dataset, projector, batch_size, cache, executor, progress
        As in `normal_equations`.
    row_sets : sequence of (k,) int64 arrays
        Which images, in ascending order.
    store : SumStore, optional
        As in `fslice.data.passes.sum_over`; for linear interpolation.
    """
    if projector.size != dataset.size:
        raise ValueError(f"projector: expected size {dataset.size}, got {projector.size}")
    found = sums_over(
        dataset, NormalSums.of(projector), row_sets, batch_size=batch_size, cache=cache,
        executor=executor, progress=progress, store=store,
    )  # fmt: skip
    return [of_images(*one) for one in zip(found, [dataset] * len(found), row_sets, strict=True)]


def of_images(normal: NormalEquations, dataset: Dataset, rows: Array) -> NormalEquations:
    """Return normal equations that pass over images of this data set.

    Those that an executor's processes have summed are of portions of it.
    """
    if not isinstance(normal, PassEquations):
        return normal
    return replace(normal, dataset=dataset, rows=rows)


@dataclass
class Running:
    """The sums while they grow."""

    b: Any = 0
    squares: Any = 0
    room: Any = None

    def room_for(self, images_ft: Array) -> Array:
        """Return an array of the same kind, of any content: fresh memory would cost more."""
        if self.room is None or len(self.room) < len(images_ft):
            self.room = array_namespace(images_ft).empty_like(images_ft)
        return self.room[: len(images_ft)]


@dataclass(frozen=True)
class NormalSums:
    """The sum over batches that is the normal equations; see `fslice.data.passes.Fold`."""

    projector: Projector
    stencil: bool
    overwrite: bool = False
    """Whether the spectra of a batch are lost; not those that a cache keeps."""

    @classmethod
    def of(cls, projector: Projector, *, overwrite: bool = False) -> NormalSums:
        """Return the sum with a stencil where the kernel has one."""
        return cls(projector, projector.interpolation == "linear", overwrite)

    def start(self, dataset: Dataset) -> Running:
        """Return the sums over no images."""
        return Running()

    def add(self, total: Running, batch: Batch) -> Running:
        """Add a batch to all but the matrix A, which needs no pixels."""
        images_ft: Any = batch.images_ft
        xp, ndim = array_namespace(images_ft), images_ft.ndim - 1
        filtered = images_ft
        if batch.ctf is not None and not self.overwrite:
            filtered = total.room_for(images_ft)
        squares = _squares_and_filtered(batch, filtered, self.projector.size)
        inside = xp.where(self._band(ndim + 1, xp), squares, 0)
        total.squares = total.squares + shell_sum(inside, self.projector.size, ndim, corners=True)
        total.b = total.b + self.projector.backproject_ft(
            filtered, batch.rotations, batch.shifts, image_of=batch.image_of
        )
        return total

    def finish(self, total: Running, dataset: Dataset, rows: Array) -> NormalEquations:
        """Add what poses and CTF say, and return the normal equations."""
        total.room = None
        order, count = dataset.order, len(rows)
        band = self._band(dataset.poses.dimension, dataset.xp)
        noise = dataset.noise
        groups = (None, 1) if noise is None else (noise.groups, len(noise.variances))
        degrees = shell_degrees(dataset, rows, band, *groups)
        known = {
            "projector": self.projector,
            "b": total.b,
            "squares": order * total.squares,
            "degrees": order * degrees.sum(0),
            "log_weights": order * _log_weights(noise, degrees),
            "count": count,
            "symmetry": dataset.symmetry,
        }
        if not self.stencil:
            return pass_equations(dataset, rows, **known)
        stencil = _stencil(dataset, rows, self.projector)
        return StencilEquations(**known, stencil=stencil)

    def _band(self, dimension: int, xp: Any) -> Array:
        """Return which frequencies of an image take part."""
        inside = _kernels.band(self.projector.geometry(dimension), xp)
        return inside if dimension == 3 else inside[0]


def _squares_and_filtered(batch: Batch, filtered: Array, size: int) -> Array:
    """Return the sum of the squared spectra; `filtered` becomes the spectra times their CTF."""
    images_ft: Any = batch.images_ft
    xp, count, squares = array_namespace(images_ft), len(images_ft), 0
    step = max(1, _PIECE * count // images_ft.nbytes) if xp is np else count
    for start in range(0, count, step):
        part = slice(start, min(start + step, count))
        piece = images_ft[part]
        with np.errstate(over="ignore"):  # told by `check_informative`
            squares = squares + (piece.real**2 + piece.imag**2).sum(0, dtype=np.float64)
        if batch.ctf is not None:
            values = ctf_values(batch.ctf[part], size, piece.real.dtype)
            xp.multiply(piece, values, out=filtered[part])
    return squares


def ctf_values(ctf: CTF | Array, size: int, dtype: Any) -> Array:
    """Return the values of a batch's CTF, evaluated by the kernels if it is a `CTF`."""
    if not isinstance(ctf, CTF):
        return ctf
    geometry = slice_geometry(3, size, size, "linear", None)
    kernels = _kernels.kernels_for(ctf.defocus_u)
    return kernels.ctf_values(ctf.coefficients(size), geometry, dtype)


def _log_weights(noise: GaussianNoise | None, degrees: Array) -> float:
    """Return ``sum m log w`` over images, from their degrees of freedom by group and shell."""
    if noise is None:
        return 0.0
    return float(-(array_namespace(degrees).log(noise.variances) * degrees).sum())


def _stencil(dataset: Dataset, rows: Array, projector: Projector) -> Array:
    """Return the stencil of some images' slices, walked in the order of their directions."""
    xp, dtype, dimension = dataset.xp, dataset.dtype, dataset.poses.dimension
    geometry = projector.geometry(dimension)
    kernels = _kernels.kernels_for(dataset.poses.rotations)
    total = kernels.new_gram(geometry, dtype)
    # the square of the projector's ratio of norms
    amplitude = projector.padded_size**dimension / projector.size ** (dimension - 1)
    weights = xp.full((1, *geometry.slice_shape), amplitude, dtype)
    chosen = xp.asarray(rows)
    ordered = chosen[dataset.poses[chosen].viewing_order()]
    for start in range(0, len(ordered), _TOGETHER):
        batch = make_batch(dataset, ordered[start : start + _TOGETHER])
        matrices, shifts = flat_poses(batch.rotations)
        filters = Filters(ctf_for_kernels(batch.ctf, projector.size, geometry), weights)
        kernels.add_gram(total, Views(matrices, shifts, batch.image_of), filters, geometry)
    return kernels.stencil_of(total, geometry)


def ctf_for_kernels(
    ctf: CTF | Array | None, size: int, geometry: _kernels.SliceGeometry
) -> Array | None:
    """Return a batch's CTF as kernels take it: its coefficients, or its values."""
    if ctf is None:
        return None
    if isinstance(ctf, CTF):
        return ctf.coefficients(size)
    return ctf.reshape((-1, *geometry.slice_shape))
