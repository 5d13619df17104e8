"""The log posterior of poses in one band, with its gradient and curvature, many at a time."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np

from fslice._arrays import Array, array_namespace
from fslice._kernels import band
from fslice.alignment.band import Band
from fslice.alignment.directions import DirectionPrior
from fslice.alignment.filters import ImageFilters
from fslice.alignment.newton import Quadratic, Starts
from fslice.data.poses import Poses
from fslice.fourier import hermitian_weights
from fslice.operators.filter_curvature import filter_curvature
from fslice.operators.pose_curvature import PoseHessian, pose_curvature, pose_hessian

_WIDEST = math.pi / math.sqrt(3)  # radians: the deviation of an angle of which nothing is known
_LEAST, _MOST = 0.2, 5.0  # eigenvalues of the Hessian relative to the Gauss-Newton matrix
# Pixels of the filters that are made together: on the CPU they fit the cache.
_PIXELS = {True: 1 << 18, False: 1 << 24}


@dataclass(frozen=True, eq=False)
class Level:
    """Images and a map in one band.

    Parameters
    ----------
    band : Band
    volume_ft : complex array
        ``band.transform(volume)``.
    images : (n, d, d//2 + 1) complex array
        Cropped half spectra, over the noise's deviation where it is coloured.
    filters : ImageFilters
        Likewise.
    noise_variance : float
    shift_std : float
        In pixels of the box D.
    directions : DirectionPrior, optional
        Default: all directions of view are equally likely.
    """

    band: Band
    volume_ft: Array
    images: Array
    filters: ImageFilters
    noise_variance: float
    shift_std: float
    directions: DirectionPrior | None = None

    def powers(self) -> Array:
        """Return half of each image's sum of squares over the noise, in the band: (n,) float64."""
        squares = self.images.real**2 + self.images.imag**2
        weights = self._weights().reshape(-1).astype(squares.dtype)
        sums = squares.reshape((len(squares), -1)) @ weights
        return sums.astype(np.float64) / (2 * self.noise_variance)

    def evaluate(self, starts: Starts, powers: Array, full: bool = False) -> Quadratic:
        """Return the log posterior at poses, with the Gauss-Newton matrix for its curvature.

        Where it is full, with what the residual adds, but within a factor of five of
        Gauss-Newton's in every direction, whatever the residual is.
        """
        # slices that follow each other meet the same memory: that halves the time
        order = Poses(starts.rotations).viewing_order()
        near, xp = starts.take(order), array_namespace(self.images)
        found = self._joint(near, full) if self.filters.names else self._of_poses(near, full)
        place = xp.argsort(order)
        chi_squared, gradient, matrix, *residual = (values[place] for values in found)
        units = self._units(gradient)
        outer, precision = units * units[:, None], self._precision()
        apart = self._from_means(starts)
        score = powers[starts.image_of] - chi_squared / 2 - apart**2 @ precision / 2
        gradient = gradient * units + precision * apart
        matrix = matrix * outer + precision * xp.eye(len(precision))
        hessian = matrix + residual[0] * outer if full else matrix
        if self.directions is not None:
            density = self.directions.derivatives(starts.rotations)
            score = score + density.value
            gradient[:, :3] -= density.gradient
            if full:
                hessian[:, :3, :3] -= density.hessian
        return Quadratic(score, gradient, _bounded(hessian, matrix) if full else matrix)

    def scores(self, starts: Starts, powers: Array) -> Array:
        """Return the log posterior alone, (m,): `Quadratic.score`."""
        chi_squared = array_namespace(powers).empty(len(starts.image_of))
        for part in self._parts(starts):
            chi_squared[part] = self._chi_squared(starts.take(part))
        apart = self._from_means(starts)
        score = powers[starts.image_of] - chi_squared / 2 - apart**2 @ self._precision() / 2
        return score if self.directions is None else score + self.directions.log(starts.rotations)

    def _chi_squared(self, starts: Starts) -> Array:
        real = self.images.real.dtype
        slices = self.band.projector.project_ft(
            self.volume_ft, starts.rotations.astype(real),
            (self.band.scale * starts.shifts).astype(real),
        )  # fmt: skip
        if starts.parameters is not None:
            slices *= self.filters.values(starts.image_of, starts.parameters)
        elif self.filters.ctf is not None:
            slices *= self.filters.ctf[starts.image_of]
        slices -= self.images[starts.image_of]
        squares = (slices.real**2 + slices.imag**2).reshape((len(slices), -1))
        weights = self._weights().reshape(-1).astype(squares.dtype)
        return (squares @ weights).astype(np.float64) / self.noise_variance

    def _weights(self) -> Array:
        xp, geometry = array_namespace(self.images), self.band.projector.geometry()
        return hermitian_weights(self.band.box, xp) * band(geometry, xp)

    def _of_poses(self, near: Starts, full: bool) -> Any:
        """Return chi-squared and its derivatives in the pose alone, in pixels of the box d."""
        real, curvature = self.images.real.dtype, pose_hessian if full else pose_curvature
        return curvature(
            self.band.projector, self.volume_ft, self.images, near.rotations.astype(real),
            (self.band.scale * near.shifts).astype(real), self.filters.ctf,
            1 / self.noise_variance, image_of=near.image_of,
        )  # fmt: skip

    def _joint(self, near: Starts, full: bool) -> list[Array]:
        """Return the same in the pose and in the parameters of the filters that are free."""
        xp = array_namespace(self.images)
        parts = [self._joint_of(near.take(part), full) for part in self._parts(near)]
        return [xp.concatenate(values) for values in zip(*parts, strict=True)]

    def _joint_of(self, near: Starts, full: bool) -> list[Array]:
        real, curvature = self.images.real.dtype, pose_hessian if full else pose_curvature
        assert near.parameters is not None
        filters = self.filters.derivatives(near.image_of, near.parameters)
        common = (
            self.band.projector, self.volume_ft, self.images[near.image_of],
            near.rotations.astype(real), (self.band.scale * near.shifts).astype(real),
            filters.values,
        )  # fmt: skip
        pose = curvature(*common, 1 / self.noise_variance)
        rows = filter_curvature(*common, filters.first, filters.second, 1 / self.noise_variance)
        joint = [
            pose.chi_squared, _appended(pose.gradient, rows.gradient),
            _bordered(pose.matrix, rows.matrix),
        ]  # fmt: skip
        if isinstance(pose, PoseHessian):
            joint.append(_bordered(pose.residual, rows.residual))
        return joint

    def _parts(self, starts: Starts) -> list[slice]:
        xp, count = array_namespace(self.images), len(starts.image_of)
        box = self.band.box
        step = max(1, _PIXELS[xp is np] // (box * (box // 2 + 1)))
        return [slice(start, start + step) for start in range(0, count, step)]

    def _from_means(self, starts: Starts) -> Array:
        """Return how far each coordinate is from the mean of its prior; a turn is not: (m, c)."""
        xp = array_namespace(starts.shifts)
        apart = [xp.zeros((len(starts.shifts), 3)), starts.shifts]
        if starts.parameters is not None:
            apart.append(starts.parameters - xp.asarray(self.filters.means))
        return xp.concatenate(apart, 1)

    def _precision(self) -> Array:
        """Return one over the variances of the priors: (c,)."""
        shift, free = self.shift_std**-2, self.filters.stds.values()
        precision = [*[_WIDEST**-2] * 3, shift, shift, *(std**-2 for std in free)]
        return array_namespace(self.images).asarray(precision)

    def _units(self, like: Array) -> Array:
        """Return the pixels of the band's box to those of the box D, for each coordinate."""
        more = like.shape[1] - 5
        return array_namespace(like).asarray([1.0] * 3 + [self.band.scale] * 2 + [1.0] * more)


def _appended(first: Array, second: Array) -> Array:
    return array_namespace(first).concatenate([first, second], -1)


def _bordered(matrix: Array, rows: Array) -> Array:
    """Return symmetric matrices with rows, (m, e, 5 + e), below and beside them."""
    xp = array_namespace(matrix)
    upper = xp.concatenate([matrix, rows[:, :, :5].swapaxes(1, 2)], 2)
    return xp.concatenate([upper, rows], 1)


def _bounded(matrix: Array, reference: Array) -> Array:
    """Return a symmetric matrix with its eigenvalues relative to another one bounded."""
    xp = array_namespace(matrix)
    root = xp.linalg.cholesky(reference)
    inverse = xp.linalg.inv(root)
    values, vectors = xp.linalg.eigh(inverse @ matrix @ inverse.swapaxes(1, 2))
    columns = root @ vectors
    return (columns * xp.clip(values, _LEAST, _MOST)[:, None]) @ columns.swapaxes(1, 2)
