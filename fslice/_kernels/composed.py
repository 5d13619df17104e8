"""The kernels that are made of a backend's primitives, once, in array code.

They are the definition of what a fused kernel of a backend must give. Views are taken a part at a
time, so that what is stored between two primitives is bounded.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np

from fslice._arrays import Array, array_namespace, real_dtype
from fslice._kernels.derivatives import first_derivatives, second_derivatives
from fslice._kernels.filters import ctf_of, ctf_values, of_images, part_of, weights_of
from fslice._kernels.interface import (
    Filters,
    Kernels,
    SliceGeometry,
    Views,
    band,
    signed_frequencies,
)
from fslice._kernels.scores import best_over_shifts, peaks

_PIXELS = 1 << 19
"""Pixels of slices that are held at a time, unless the volume, which is summed into, has more."""


class Residual(NamedTuple):
    """What the images and the slices of some views differ by."""

    value: Array  # ctf * slice - image, zero outside the band
    weighted: Array  # times the weights of the residual
    losses: Array  # (v,) float64
    ctf: Array | None


class ComposedKernels(Kernels):
    """What a backend inherits: it defines the primitives of `Kernels`, and overrides at will."""

    def gather_vjp(
        self,
        volume: Array,
        cotangent: Array,
        views: Views,
        amplitude: float,
        geometry: SliceGeometry,
    ) -> tuple[Array, Array, Array]:
        """Return what `Kernels.gather_vjp` says."""
        xp = array_namespace(volume)
        grad_volume = xp.zeros_like(volume, order="C")
        grad_rotations, grad_shifts = _no_gradients(views)
        inside = band(geometry, xp)
        for part in _parts(views, geometry):
            poses = Views(views.rotations[part], views.shifts[part])
            own = xp.where(inside, cotangent[part], 0)
            values, slopes = self.gather_slopes(volume, poses, amplitude, geometry)
            gradients = pose_gradients(own, values, slopes, geometry)
            grad_rotations[part], grad_shifts[part] = gradients
            grad_volume += self.scatter(own, poses, amplitude, geometry)
        return grad_volume, grad_rotations, grad_shifts

    def misfit(
        self,
        volume: Array,
        images: Array,
        views: Views,
        filters: Filters,
        amplitude: float,
        geometry: SliceGeometry,
    ) -> tuple[Array, Array]:
        """Return what `Kernels.misfit` says."""
        xp = array_namespace(volume)
        grad_volume, losses = xp.zeros_like(volume, order="C"), xp.zeros(len(views.rotations))
        for part in _parts(views, geometry):
            poses = part_of(views, part)
            slices = self.gather(volume, poses, amplitude, geometry)
            residual = _residual(slices, images, views, filters, part, geometry)
            losses[part] = residual.losses
            cotangent = _filtered(residual.weighted, residual.ctf)
            grad_volume += self.scatter(cotangent, poses, amplitude, geometry)
        return losses, grad_volume

    def misfit_gradients(
        self,
        volume: Array,
        images: Array,
        views: Views,
        filters: Filters,
        amplitude: float,
        geometry: SliceGeometry,
    ) -> tuple[Array, Array, Array, Array, Array | None]:
        """Return what `Kernels.misfit_gradients` says."""
        xp = array_namespace(volume)
        grad_volume, losses = xp.zeros_like(volume, order="C"), xp.zeros(len(views.rotations))
        grad_rotations, grad_shifts = _no_gradients(views)
        grad_ctf = None
        if filters.ctf is not None:
            shape = (len(losses), *geometry.slice_shape)
            grad_ctf = xp.empty(shape, real_dtype(volume.dtype))
        for part in _parts(views, geometry):
            poses = Views(views.rotations[part], views.shifts[part])
            slices, slopes = self.gather_slopes(volume, poses, amplitude, geometry)
            residual = _residual(slices, images, views, filters, part, geometry)
            losses[part] = residual.losses
            weighted = residual.weighted
            if views.weights is not None:
                weighted = weighted * views.weights[part, None, None].astype(weighted.real.dtype)
            if grad_ctf is not None:
                grad_ctf[part] = (weighted.conj() * slices).real
            cotangent = _filtered(weighted, residual.ctf)
            gradients = pose_gradients(cotangent, slices, slopes, geometry)
            grad_rotations[part], grad_shifts[part] = gradients
            grad_volume += self.scatter(cotangent, poses, amplitude, geometry)
        return losses, grad_volume, grad_rotations, grad_shifts, grad_ctf

    def gram(
        self,
        volume: Array,
        views: Views,
        filters: Filters,
        amplitude: float,
        geometry: SliceGeometry,
    ) -> Array:
        """Return what `Kernels.gram` says."""
        product = array_namespace(volume).zeros_like(volume, order="C")
        for part in _parts(views, geometry):
            poses = part_of(views, part)
            slices = self.gather(volume, poses, amplitude, geometry)
            slices *= weights_of(filters, views, part)
            ctf = ctf_of(filters, views, part, geometry, real_dtype(volume.dtype))
            if ctf is not None:
                slices *= ctf**2
            product += self.scatter(slices, poses, amplitude, geometry)
        return product

    def pose_gram(
        self,
        volume: Array,
        images: Array,
        views: Views,
        filters: Filters,
        amplitude: float,
        geometry: SliceGeometry,
    ) -> Array:
        """Return what `Kernels.pose_gram` says."""
        xp = array_namespace(volume)
        gram = xp.zeros((len(views.rotations), 6, 6))
        pairs = xp.broadcast_to(_pair_weights(geometry, xp), geometry.slice_shape)
        for part in _parts(views, geometry, _PIXELS // 8):
            poses = Views(views.rotations[part], views.shifts[part])
            slices, slopes = self.gather_slopes(volume, poses, amplitude, geometry)
            residual = _residual(slices, images, views, filters, part, geometry)
            derivatives = first_derivatives(poses.rotations, slices, slopes, geometry)
            columns = [*(_filtered(d, residual.ctf) for d in derivatives), residual.value]
            table = xp.stack(columns, 1).astype(np.complex128).reshape(len(slices), 6, -1)
            weights = (pairs * weights_of(filters, views, part)).reshape((-1, 1, table.shape[2]))
            gram[part] = ((weights * table.conj()) @ table.swapaxes(1, 2)).real
        return gram

    def gather_curvatures(
        self, volume: Array, views: Views, amplitude: float, geometry: SliceGeometry
    ) -> tuple[Array, Array, Array]:
        """Return what `Kernels.gather_curvatures` says, in array code for any library."""
        from fslice._kernels.numpy.slices import gather_curvatures  # which imports this module

        return gather_curvatures(volume, views, amplitude, geometry)

    def pose_curvature(
        self,
        volume: Array,
        images: Array,
        views: Views,
        filters: Filters,
        amplitude: float,
        geometry: SliceGeometry,
    ) -> tuple[Array, Array]:
        """Return what `Kernels.pose_curvature` says."""
        xp = array_namespace(volume)
        curvature = xp.zeros((len(views.rotations), 5, 5))
        for part in _parts(views, geometry, _PIXELS // 16):
            poses = Views(views.rotations[part], views.shifts[part])
            slices, slopes, bends = self.gather_curvatures(volume, poses, amplitude, geometry)
            residual = _residual(slices, images, views, filters, part, geometry)
            weighted = _filtered(residual.weighted, residual.ctf).conj()
            second = second_derivatives(poses.rotations, slices, slopes, bends, geometry)
            for (a, b), values in second.items():
                products = (weighted * values).real.sum(1, dtype=np.float64)
                curvature[part, a, b] = products @ _pair_weights(geometry, xp)
                curvature[part, b, a] = curvature[part, a, b]
        gram = self.pose_gram(volume, images, views, filters, amplitude, geometry)
        return gram, curvature

    def best_over_shifts(self, cross: Array, norm: Array, log_prior: Array) -> tuple[Array, Array]:
        """Return what `Kernels.best_over_shifts` says."""
        return best_over_shifts(cross, norm, log_prior)

    def peaks(
        self, scores: Array, rotations: Array, most: int, separation: float, window: float
    ) -> Array:
        """Return what `Kernels.peaks` says."""
        return peaks(scores, rotations, most, separation, window)

    def ctf_values(self, coefficients: Array, geometry: SliceGeometry, dtype: Any) -> Array:
        """Return what `Kernels.ctf_values` says."""
        return ctf_values(coefficients, geometry, dtype)


def _parts(views: Views, geometry: SliceGeometry, pixels: int = _PIXELS) -> Iterator[slice]:
    rows, columns = geometry.slice_shape
    step = max(1, max(pixels, math.prod(geometry.volume_shape)) // (rows * columns))
    for start in range(0, len(views.rotations), step):
        yield slice(start, start + step)


def _pair_weights(geometry: SliceGeometry, xp: Any) -> Array:
    """Return 2 in the columns that stand for a Friedel pair, 1 where the mate is stored."""
    kx, _ = signed_frequencies(geometry, xp)
    return xp.where(kx == 0, 1.0, 2.0)


def _residual(
    slices: Array,
    images: Array,
    views: Views,
    filters: Filters,
    part: slice,
    geometry: SliceGeometry,
) -> Residual:
    xp = array_namespace(slices, images)
    ctf = ctf_of(filters, views, part, geometry, real_dtype(slices.dtype))
    value = _filtered(slices, ctf) - of_images(images, views, part)
    value = xp.where(band(geometry, xp), value, 0)
    weighted = value * weights_of(filters, views, part)
    products = value.real * weighted.real + value.imag * weighted.imag
    by_column = products.sum(1, dtype=np.float64)
    return Residual(value, weighted, by_column @ _pair_weights(geometry, xp), ctf)


def _filtered(slices: Array, ctf: Array | None) -> Array:
    return slices if ctf is None else slices * ctf


def _no_gradients(views: Views) -> tuple[Array, Array]:
    xp = array_namespace(views.rotations)
    return xp.zeros((len(views.rotations), 3, 3)), xp.zeros((len(views.rotations), 2))


def pose_gradients(
    cotangent: Array, values: Array, slopes: Array, geometry: SliceGeometry
) -> tuple[Array, Array]:
    """Chain the cotangent of slices to the matrix entries (eq. 7) and to the shift (eq. 12)."""
    xp = array_namespace(values)
    kx, ky = signed_frequencies(geometry, xp)
    pairs = _pair_weights(geometry, xp)
    frequencies = xp.stack([pairs * kx + 0 * ky, pairs * ky]).reshape(2, -1).T
    g = cotangent.conj()
    rates = (g * slopes).real.reshape((3, len(values), -1)) @ frequencies
    grad_rotations = xp.zeros((len(values), 3, 3))
    grad_rotations[:, :, :2] = geometry.scale * rates.swapaxes(0, 1)
    grad_shifts = (g * values).imag.reshape((len(values), -1)) @ frequencies
    grad_shifts[:, 0] *= 2 * np.pi / geometry.columns
    grad_shifts[:, 1] *= 2 * np.pi / geometry.rows
    return grad_rotations, grad_shifts
