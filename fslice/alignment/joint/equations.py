"""Normal equations of a map from a posterior over poses, in a band."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from fslice import _kernels
from fslice._arrays import Array, array_namespace
from fslice._kernels import Filters, Views
from fslice.alignment.band import Band
from fslice.alignment.posterior import ImageViews, PosePosterior
from fslice.data.dataset import Dataset
from fslice.data.image_ctf import shell_degrees
from fslice.data.passes import Batch, sum_over
from fslice.data.poses import Poses
from fslice.fourier import radii, shell_sum
from fslice.posterior.stencil import StencilEquations
from fslice.symmetry.groups import symmetry_rotations


def expected_equations(
    dataset: Dataset,
    band: Band,
    poses: PosePosterior,
    rng: np.random.Generator,
    *,
    draws: int = 2,
    rows: np.ndarray | None = None,
    progress: Callable[[int], object] | None = None,
) -> StencilEquations:
    """Sum the normal equations of images over the posterior of their poses.

    Parameters
    ----------
    dataset : Dataset
        Its own poses play no part; its noise and its symmetry do.
    band : Band
        With linear interpolation.
    poses : PosePosterior
        Of the images of `rows`, in their order.
    rng : numpy.random.Generator
        Draws the poses.
    draws : int, optional
        Poses of each image, each with the weight 1 over their number: what is not known of a pose
        blurs the map. 0 takes the modes themselves, by their weights.
    rows : (k,) int64 array, optional
        Which images, ascending, on the host. Default: all.
    progress : callable, optional

    Returns
    -------
    StencilEquations
        In the box of the band. The noise is in the sums, so its variance is 1; every image counts
        once, but as often as the group has rotations under a symmetry.
    """
    chosen = np.arange(len(dataset)) if rows is None else rows
    if len(poses) != len(chosen):
        raise ValueError(f"poses: expected those of {len(chosen)} images, got {len(poses)}")
    place = np.zeros(len(dataset), np.int64)
    place[chosen] = np.arange(len(chosen))
    fold = _PosedSums(band, poses, dataset.xp.asarray(place), rng, draws, dataset.symmetry)
    plain = replace(dataset, symmetry="C1")
    return sum_over(plain, fold, rows=chosen, progress=progress)


@dataclass
class _Running:
    gram: Any
    b: Any = 0
    squares: Any = 0


@dataclass(frozen=True)
class _PosedSums:
    """The sum over batches; see `fslice.data.passes.Fold`."""

    band: Band
    poses: PosePosterior
    place: Array
    rng: np.random.Generator
    draws: int
    symmetry: str

    def start(self, dataset: Dataset) -> _Running:
        """Return the sums over no images."""
        kernels = _kernels.kernels_for(dataset.poses.rotations)
        return _Running(kernels.new_gram(self.band.projector.geometry(), dataset.dtype))

    def add(self, total: _Running, batch: Batch) -> _Running:
        """Add a batch in poses that are drawn for it."""
        images, xp = self.band.crop(batch.images_ft), array_namespace(batch.images_ft)
        projector, real = self.band.projector, images.real.dtype
        geometry, count = projector.geometry(), len(images)
        ctf = self.band.crop_ctf(batch.ctf, count, real)
        if ctf is None:
            ctf = xp.ones(images.shape, real)
        ctf, images = xp.ascontiguousarray(ctf), xp.ascontiguousarray(images)
        views = self._views(self.place[batch.rows], real)
        total.b = total.b + projector.backproject_ft(
            images * ctf, views.rotations, views.shifts, image_of=views.image_of,
            view_weights=views.view_weights,
        )  # fmt: skip
        power = (images.real**2 + images.imag**2).sum(0, dtype=np.float64)
        total.squares = total.squares + self._shells(power, xp)
        amplitude = projector.padded_size**3 / projector.size**2
        kernels = _kernels.kernels_for(images)
        kernels.add_gram(
            total.gram,
            Views(views.rotations, views.shifts, views.image_of, views.view_weights),
            Filters(ctf, xp.full((1, *geometry.slice_shape), amplitude, real)),
            geometry,
        )
        return total

    def finish(self, total: _Running, dataset: Dataset, rows: Array) -> StencilEquations:
        """Return the normal equations."""
        projector, xp = self.band.projector, dataset.xp
        geometry = projector.geometry()
        order = len(symmetry_rotations(self.symmetry))
        inside = radii(dataset.size, 2, xp) <= geometry.max_radius
        degrees = shell_degrees(dataset, rows, inside)[0, : self.band.box // 2 + 1]
        kernels = _kernels.kernels_for(dataset.poses.rotations)
        return StencilEquations(
            projector, total.b, order * total.squares, order * degrees, 0.0, len(rows),
            self.symmetry, kernels.stencil_of(total.gram, geometry),
        )  # fmt: skip

    def _views(self, images: Array, dtype: Any) -> ImageViews:
        """Return poses of some images in the band's pixels, mates included, near ones together."""
        drawn = self.poses.views(images) if not self.draws else self.poses.sample(
            self.rng, self.draws, images
        )  # fmt: skip
        xp = array_namespace(drawn.rotations)
        group = symmetry_rotations(self.symmetry, like=drawn.rotations)
        rotations = (group[:, None] @ drawn.rotations).reshape(-1, 3, 3)
        near = Poses(rotations).viewing_order()
        one_of = near % len(drawn.rotations)
        return ImageViews(
            xp.ascontiguousarray(rotations[near].astype(dtype)),
            (self.band.scale * drawn.shifts[one_of]).astype(dtype),
            drawn.image_of[one_of],
            drawn.view_weights[one_of].astype(dtype),
        )

    def _shells(self, values: Array, xp: Any) -> Array:
        """Sum over the shells of the band."""
        geometry = self.band.projector.geometry()
        inside = _kernels.band(geometry, xp)
        return shell_sum(values * inside, self.band.box, 2, corners=True)
