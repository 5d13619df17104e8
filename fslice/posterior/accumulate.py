"""One pass over images with known poses, to their normal equations."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np

from fslice import _kernels
from fslice._arrays import (
    Array,
    check_finite,
    check_one_library,
    check_real,
    check_shape,
    check_size,
    complex_dtype,
)
from fslice.fourier import hermitian_weights, shells, transform
from fslice.geometry import check_rotations
from fslice.operators.ctf import CTF
from fslice.operators.projector import Projector
from fslice.operators.sampling import flat_poses
from fslice.posterior.normal import NormalEquations, no_images, normal_lattice
from fslice.symmetry.groups import symmetry_name, symmetry_rotations

_BATCH_BYTES = 1 << 26
_TOGETHER = 1 << 19  # pixels transformed together: more than fits the cache took twice as long


def accumulate(
    images: Any,
    rotations: Array,
    shifts: Array | None = None,
    ctf: CTF | Array | None = None,
    *,
    projector: Projector,
    noise_variance: Array | None = None,
    symmetry: str = "C1",
    batch_size: int | None = None,
    progress: Callable[[int], object] | None = None,
) -> NormalEquations:
    """Sum the normal equations of images in known poses, in one pass.

    Parameters
    ----------
    images : (n, D, D) real array, or what gives such arrays when it is indexed
        Memory maps and `fslice.io.ImageStack` are read batch by batch, in their order.
    rotations : (n, 3, 3) real array
        Image to volume coordinates; used in the precision of the images, like `shifts`. With
        (n, 2, 2) rotations the images are lines, (n, D).
    shifts : (n, 2) real array, optional
        Where the particles sit, (x, y) in pixels.
    ctf : CTF of n images or of one, or (n, D, D//2 + 1) real array, optional
    projector : Projector
        Interpolation linear.
    noise_variance : real array that broadcasts with (n, D//2 + 1), optional
        Of each image and each shell of its frequencies, up to a factor that the solvers take
        separately. Default 1.
    symmetry : str, optional
        Point group of the object, as in `fslice.symmetry_rotations`: every image is summed at each
        of the poses ``g @ R`` that see the same.
    batch_size : int, optional
        Images in memory at a time. Default: 64 MB of them.
    progress : callable, optional
        Called after each batch with the number of images done.

    Returns
    -------
    NormalEquations
        In the precision of the images.

    Raises
    ------
    ValueError
        A shape does not fit, a matrix is no rotation, a pixel is not finite, or a noise variance
        is not positive.
    TypeError
        A dtype is not as above.

    Notes
    -----
    Per image this costs its transform, one insertion and one walk that adds the products of
    interpolation weights. Images that are in memory are taken in the order of their viewing
    directions, so that successive slices meet the same memory: that halves the time.

    The copies of an image under a symmetry are summed like images of their own, which is what
    mean, variances and learned prior of a symmetric volume need; log-likelihood, ELBO and noise
    count each image once. The mathematics' section on symmetry says why.

    Examples
    --------
    >>> import fslice
    >>> rng = np.random.default_rng(0)
    >>> images, rotations = rng.normal(size=(20, 8, 8)), fslice.random_rotations(20, rng)
    >>> normal = accumulate(images, rotations, projector=fslice.Projector(8, oversampling=2))
    >>> normal.b.shape, normal.stencil.shape, normal.count
    ((16, 16, 9), (14, 16, 16, 9), 20)
    """
    dimension = _check(images, rotations, shifts, ctf, projector, noise_variance)
    n, dtype = len(images), np.dtype(images.dtype)
    group = _group(symmetry, dimension).astype(dtype)
    sums = _Sums(projector, dimension, dtype, group)
    if n == 0:
        return replace(no_images(projector, dimension, dtype), symmetry=symmetry_name(symmetry))
    rotations = rotations.astype(dtype)
    shifts = None if shifts is None else shifts.astype(dtype)
    weights = _noise_weights(noise_variance, n, projector.size)
    uniform = ctf is None and len(weights) == 1
    by_view = _viewing_order(rotations)
    in_memory = isinstance(images, np.ndarray) and not isinstance(images, np.memmap)
    step = batch_size or max(64, _BATCH_BYTES // (projector.size ** (dimension - 1) * 8))
    for start in range(0, n, check_size("batch_size", step)):
        rows = (
            by_view[start : start + step] if in_memory else np.arange(start, min(start + step, n))
        )
        if not in_memory:
            rows = rows[_viewing_order(rotations[rows])]
        chosen = weights[rows] if len(weights) > 1 else weights
        values = _ctf_values(ctf, rows, projector.size, dtype)
        moved = None if shifts is None else shifts[rows]
        batch = images[rows]
        if not np.isfinite(np.vdot(batch, batch)):
            _refuse(images, rows, in_memory)
        sums.add_images(batch, rotations[rows], moved, values, chosen)
        slices = rotations[by_view[start : start + step]] if uniform else rotations[rows]
        sums.add_slices(slices, values, chosen)
        if progress is not None:
            progress(start + len(rows))
    return replace(sums.result(), symmetry=symmetry_name(symmetry))


class _Sums:
    """The sums while they grow: the stencil still in the form that the kernel adds to."""

    def __init__(
        self, projector: Projector, dimension: int, dtype: np.dtype, group: np.ndarray
    ) -> None:
        self.projector, self.dimension, self.dtype = projector, dimension, dtype
        self.group = group
        self.lattice = normal_lattice(projector, dimension)
        self.kernels = _kernels.kernels_for(np.zeros(0, dtype))
        self.gram = self.kernels.new_gram(self.lattice, dtype)
        self.shells = np.minimum(shells(projector.size, dimension - 1), projector.size // 2)
        inside = _kernels.band(self.lattice).reshape(self.shells.shape)
        self.pairs = inside * hermitian_weights(projector.size)
        self.b: Any = 0
        self.power = np.zeros(projector.size // 2 + 1)
        self.per_image = self.by_shell(np.ones(self.shells.shape))
        self.log_weights, self.count = 0.0, 0

    def by_shell(self, values: np.ndarray) -> np.ndarray:
        weighted = (values * self.pairs).ravel()
        return np.bincount(self.shells.ravel(), weighted, self.projector.size // 2 + 1)

    def add_images(self, images, rotations, shifts, ctf, weights) -> None:
        """Add to all but the stencil."""
        images_ft = np.empty((len(images), *self.shells.shape), complex_dtype(self.dtype))
        together = max(1, _TOGETHER // self.shells.size)
        for start in range(0, len(images), together):
            part = slice(start, start + together)
            images_ft[part] = transform(images[part], self.dimension - 1)
            self._weigh(images_ft[part], weights[part] if len(weights) > 1 else weights)
        for g in self.group:
            self.b = self.b + self.projector.backproject_ft(images_ft, g @ rotations, shifts, ctf)
        share = len(images) / len(weights)
        self.log_weights += share * float((np.log(weights) @ self.per_image).sum())
        self.count += len(images)

    def _weigh(self, images_ft: np.ndarray, weights: np.ndarray) -> None:
        """Add the power of a few spectra, and multiply them by their weights."""
        power = images_ft.real**2 + images_ft.imag**2
        if (weights != 1).any():
            factors = weights.astype(self.dtype)[:, self.shells]
            power *= factors
            images_ft *= factors
        self.power += self.by_shell(power.sum(0, dtype=np.float64))

    def add_slices(self, rotations, ctf, weights) -> None:
        """Add the samples of slices to the stencil."""
        size, box, dimension = self.projector.size, self.projector.padded_size, self.dimension
        # the square of the projector's ratio of norms
        amplitude = box**dimension / size ** (dimension - 1)
        factors = (amplitude * weights).astype(self.dtype)[:, self.shells]
        if ctf is not None:
            factors = factors * ctf**2
        factors = factors.reshape((-1, *self.lattice.slice_shape))
        group_of = np.arange(len(factors)) if len(factors) > 1 else None
        for g in self.group:
            filters = _kernels.Filters(weights=factors, group_of=group_of)
            views = _kernels.Views(*flat_poses(g @ rotations))
            self.kernels.add_gram(self.gram, views, filters, self.lattice)

    def result(self) -> NormalEquations:
        stencil = self.kernels.stencil_of(self.gram, self.lattice)
        copies = len(self.group)
        return NormalEquations(
            self.projector,
            self.b,
            stencil,
            copies * self.power,
            copies * self.count * self.per_image,
            copies * self.log_weights,
            self.count,
        )


def _viewing_order(rotations: Array) -> np.ndarray:
    """Return an order in which successive slices are close to each other.

    Opposite directions have the same slice. The hemisphere of directions is laid out flat,
    equal areas to equal areas, and walked in strips, up and down.
    """
    beam = rotations[:, :, -1].astype(float)
    beam = beam * np.where(beam[:, -1:] < 0, -1, 1)
    if beam.shape[1] == 2:
        return np.argsort(beam[:, 0])
    flat = beam[:, :2] / np.sqrt(1 + beam[:, 2:])
    strips = max(1, int(np.sqrt(len(rotations) / 2)))
    strip = np.floor((flat[:, 0] + 1) / 2 * strips).astype(int)
    along = np.where(strip % 2, -flat[:, 1], flat[:, 1])
    return np.lexsort((along, strip))


def _noise_weights(noise_variance: Array | None, n: int, size: int) -> np.ndarray:
    """Return ``1 / noise_variance`` as an (n or 1, D//2 + 1) array."""
    columns = size // 2 + 1
    if noise_variance is None:
        return np.ones((1, columns))
    check_real("noise_variance", noise_variance)
    variance = np.atleast_2d(noise_variance).astype(float)
    if variance.ndim > 2 or len(variance) not in (1, n) or variance.shape[1] not in (1, columns):
        raise ValueError(
            f"noise_variance: expected a shape that broadcasts with ({n}, {columns}), "
            f"got {noise_variance.shape}"
        )
    if not (np.isfinite(variance).all() and (variance > 0).all()):
        raise ValueError("noise_variance: expected finite values above 0")
    return np.broadcast_to(1 / variance, (len(variance), columns))


def _group(symmetry: str, dimension: int) -> np.ndarray:
    """Return the rotations of a point group; lines have none but C1."""
    group = symmetry_rotations(symmetry)
    if dimension == 3:
        return group
    if len(group) > 1:
        raise ValueError(f"symmetry: expected C1 for images of lines, got {symmetry}")
    return np.eye(2)[None]


def _ctf_values(ctf: CTF | Array | None, rows: np.ndarray, size: int, dtype: Any) -> Array | None:
    if ctf is None:
        return None
    if isinstance(ctf, CTF):
        if len(ctf) == 1:
            return np.repeat(ctf.evaluate(size, dtype), len(rows), 0)
        return ctf[rows].evaluate(size, dtype)
    return ctf[rows].astype(dtype, copy=False)


def _refuse(images: Any, rows: np.ndarray, in_memory: bool) -> None:
    """Raise and say which pixels are not finite."""
    if in_memory:
        check_finite("images", images)
    check_finite(f"images {rows.min()} to {rows.max()}", images[np.sort(rows)])


def _check(images, rotations, shifts, ctf, projector, noise_variance) -> int:
    """Raise unless the shapes fit each other; return the dimension of the volume."""
    if not hasattr(images, "dtype") or not hasattr(images, "shape"):
        raise TypeError(f"images: expected an array, got {type(images).__name__}")
    if np.dtype(images.dtype).name not in ("float32", "float64"):
        raise TypeError(f"images: expected dtype float32 or float64, got {images.dtype}")
    dimension, n = len(images.shape), images.shape[0] if images.shape else 0
    if tuple(images.shape[1:]) != (projector.size,) * (dimension - 1) or dimension not in (2, 3):
        raise ValueError(
            f"images: expected shape (n, {projector.size}, {projector.size}), "
            f"got {tuple(images.shape)}"
        )
    if projector.interpolation != "linear":
        raise ValueError(
            f"projector: expected interpolation 'linear', got {projector.interpolation!r}"
        )
    check_real("rotations", rotations)
    if rotations.shape != (n, dimension, dimension):
        raise ValueError(
            f"rotations: expected shape {(n, dimension, dimension)}, got {rotations.shape}"
        )
    check_one_library(images, rotations, shifts, ctf, noise_variance)
    if n == 0:
        return dimension
    check_rotations("rotations", rotations)
    if shifts is not None:
        check_real("shifts", shifts)
        check_shape("shifts", shifts, (n, dimension - 1))
        check_finite("shifts", shifts)
    if isinstance(ctf, CTF):
        if len(ctf) not in (1, n):
            raise ValueError(f"ctf: expected one for each of the {n} images, got {len(ctf)}")
    elif ctf is not None:
        check_real("ctf", ctf)
        check_shape("ctf", ctf, (*images.shape[:-1], images.shape[-1] // 2 + 1))
    return dimension
