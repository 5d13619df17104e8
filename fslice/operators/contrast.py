"""The contrast of an image: one factor for all of it, and its gradient."""

from __future__ import annotations

from typing import NamedTuple

from fslice._arrays import (
    Array,
    array_namespace,
    check_complex,
    check_cotangent,
    check_per_image,
)
from fslice.fourier import hermitian_weights


def scale_slices(slices: Array, scales: Array) -> Array:
    """Multiply each image by its contrast.

    Parameters
    ----------
    slices : (..., D, D//2 + 1) complex array
        Half spectra of images.
    scales : (...) real array
        One factor per image.

    Returns
    -------
    (..., D, D//2 + 1) complex array

    Raises
    ------
    ValueError
        A shape is not as above, or a scale is not finite.
    TypeError
        Array libraries are mixed, or precisions differ.

    Notes
    -----
    Its own adjoint. It commutes with shift and CTF; `fslice.CTF.scale` is the same factor where
    there is a CTF.

    Examples
    --------
    >>> import numpy as np, fslice
    >>> slices = fslice.rfft2(np.random.default_rng(0).normal(size=(2, 6, 6)))
    >>> brighter = scale_slices(slices, np.array([1.0, 1.5]))
    >>> np.allclose(brighter[1], 1.5 * slices[1])
    True
    """
    check_per_image("scales", scales, slices)
    return slices * scales[..., None, None]


class ScaleGradients(NamedTuple):
    """Gradients of `scale_slices`."""

    slices: Array
    scales: Array


def scale_slices_vjp(slices: Array, scales: Array, *, cotangent: Array) -> ScaleGradients:
    """Return the gradients of `scale_slices` in the slices and in the scales.

    Parameters
    ----------
    slices, scales : arrays
        Where the gradient is taken, as in `scale_slices`.
    cotangent : (..., D, D//2 + 1) complex array
        Gradient with respect to the scaled slices.

    Returns
    -------
    ScaleGradients
        ``slices`` (..., D, D//2 + 1) complex: ``scale * cotangent``; ``scales`` (...) real:
        ``<slice, cotangent>``, in the inner product of half spectra.

    Raises
    ------
    ValueError, TypeError
        As in `scale_slices`.

    Examples
    --------
    >>> import numpy as np, fslice
    >>> images = np.random.default_rng(0).normal(size=(2, 6, 6))
    >>> slices = fslice.rfft2(images)
    >>> gradients = scale_slices_vjp(slices, np.ones(2), cotangent=slices)
    >>> np.allclose(gradients.scales, (images**2).sum((1, 2)))
    True
    """
    check_per_image("scales", scales, slices)
    check_cotangent(check_complex, cotangent, slices.shape, slices=slices)
    grad_scales = products_per_image(slices, cotangent)
    return ScaleGradients(cotangent * scales[..., None, None], grad_scales.astype(scales.dtype))


def products_per_image(a: Array, b: Array) -> Array:
    """Return the inner product of half spectra, image by image, in double precision."""
    xp = array_namespace(a, b)
    return (a.conj() * b).real.sum(-2, dtype=xp.float64) @ hermitian_weights(a.shape[-2], xp)
