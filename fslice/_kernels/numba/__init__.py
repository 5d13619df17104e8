"""The kernels compiled by Numba."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from fslice._kernels.composed import ComposedKernels
from fslice._kernels.filters import ctf_of
from fslice._kernels.numba import pose, slices, stencil
from fslice._kernels.numpy.slices import gather_slopes


@dataclass(frozen=True)
class NumbaKernels(ComposedKernels):
    """The primitives, and fused kernels for images that have one view and share their weights."""

    name: str = "numba"

    gather = staticmethod(slices.gather)
    gather_slopes = staticmethod(gather_slopes)
    scatter = staticmethod(slices.scatter)
    scatter_squares = staticmethod(slices.scatter_squares)
    new_gram = staticmethod(stencil.new_gram)
    add_gram = staticmethod(stencil.add_gram)
    stencil_of = staticmethod(stencil.stencil_of)
    apply_stencil = staticmethod(stencil.apply_stencil)
    gather_vjp = staticmethod(slices.gather_vjp)

    def misfit(self, volume, images, views, filters, amplitude, geometry):
        """Return what `Kernels.misfit` says."""
        if not _is_plain(views, filters):
            return super().misfit(volume, images, views, filters, amplitude, geometry)
        ctf, weights = _plain(views, filters, geometry, volume)
        return slices.misfit(volume, images, views, ctf, weights, amplitude, geometry)

    def misfit_gradients(self, volume, images, views, filters, amplitude, geometry):
        """Return what `Kernels.misfit_gradients` says."""
        if not _is_plain(views, filters):
            return super().misfit_gradients(volume, images, views, filters, amplitude, geometry)
        ctf, weights = _plain(views, filters, geometry, volume)
        return slices.misfit_gradients(volume, images, views, ctf, weights, amplitude, geometry)

    def pose_gram(self, volume, images, views, filters, amplitude, geometry):
        """Return what `Kernels.pose_gram` says."""
        if not _is_plain(views, filters):
            return super().pose_gram(volume, images, views, filters, amplitude, geometry)
        ctf, weights = _plain(views, filters, geometry, volume)
        return pose.pose_gram(volume, images, views, ctf, weights, amplitude, geometry)


def _is_plain(views, filters):
    return views.image_of is None and views.weights is None and filters.group_of is None


def _plain(views, filters, geometry, volume):
    """Return the values of the CTF and the one image of weights."""
    real = volume.real.dtype
    ctf = ctf_of(filters, views, slice(None), geometry, real)
    one = np.ones(geometry.slice_shape, real) if filters.weights is None else filters.weights[0]
    return ctf, one


KERNELS = NumbaKernels()
