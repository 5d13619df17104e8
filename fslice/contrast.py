"""The contrast of an image: one factor for all of it, its gradient, and the best one."""

from __future__ import annotations

from fslice._arrays import (
    Array,
    array_namespace,
    check_alike,
    check_complex,
    check_cotangent,
    check_per_image,
    check_shape,
)
from fslice.fourier import multiplicity
from fslice.noise import NoiseModel


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


def scale_slices_vjp(slices: Array, scales: Array, cotangent: Array) -> tuple[Array, Array]:
    """Return the gradients of `scale_slices` in the slices and in the scales.

    Parameters
    ----------
    slices, scales : arrays
        Where the gradient is taken, as in `scale_slices`.
    cotangent : (..., D, D//2 + 1) complex array
        Gradient with respect to the scaled slices.

    Returns
    -------
    by_slices : (..., D, D//2 + 1) complex array
        ``scale * cotangent``.
    by_scales : (...) real array
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
    >>> _, by_scales = scale_slices_vjp(slices, np.ones(2), slices)
    >>> np.allclose(by_scales, (images**2).sum((1, 2)))
    True
    """
    check_per_image("scales", scales, slices)
    check_cotangent(check_complex, cotangent, slices.shape, slices=slices)
    by_scales = _products(slices, cotangent)
    return cotangent * scales[..., None, None], by_scales.astype(scales.dtype)


def optimal_scales(
    images_ft: Array, expected_ft: Array, noise: NoiseModel | None = None
) -> tuple[Array, Array]:
    """Return the contrast that makes each image most likely, and its precision.

    Parameters
    ----------
    images_ft : (n, D, D//2 + 1) complex array
        Half spectra of the images y.
    expected_ft : (n, D, D//2 + 1) complex array
        Half spectra of what is expected at contrast 1, such as `Projector.project_ft` gives.
    noise : NoiseModel, optional
        Variance of each coefficient. Default: 1, everywhere.

    Returns
    -------
    scales : (n,) float64 array
        ``a = <y^, y> / <y^, y^>``, both weighted by ``1 / sigma^2``. Where nothing is expected
        it is 1.
    precisions : (n,) float64 array
        ``<y^, y^>``: one over the square of the standard error of a, and the second derivative of
        the misfit ``1/2 sum_k m |y - a y^|^2 / sigma^2``.

    Raises
    ------
    ValueError, TypeError
        The arrays do not fit one another, or the noise model.

    Notes
    -----
    Least squares in one unknown, from the derivative ``<y^, a y^ - y> = 0`` of the misfit. A
    volume times a constant and contrasts divided by it give the same images: divide all scales by
    their mean when both are learned.

    Examples
    --------
    >>> import numpy as np, fslice
    >>> images = np.random.default_rng(0).normal(size=(3, 8, 8))
    >>> expected_ft = fslice.rfft2(images)
    >>> images_ft = scale_slices(expected_ft, np.array([0.8, 1.0, 1.3]))
    >>> optimal_scales(images_ft, expected_ft)[0].round(6)
    array([0.8, 1. , 1.3])
    """
    check_complex("images_ft", images_ft)
    check_complex("expected_ft", expected_ft)
    check_alike(images_ft=images_ft, expected_ft=expected_ft)
    size = images_ft.shape[-2] if images_ft.ndim > 1 else 0
    check_shape("images_ft", images_ft, ("n", size or "D", size // 2 + 1))
    check_shape("expected_ft", expected_ft, images_ft.shape)
    model = NoiseModel(1.0) if noise is None else noise
    xp = array_namespace(images_ft, expected_ft, model.variances)
    if model.groups is not None:
        check_shape("images_ft", images_ft, (len(model.groups), size, size // 2 + 1))
    weighted = model.weights(size) * expected_ft
    precisions = _products(weighted, expected_ft)
    known = precisions > 0
    best = _products(weighted, images_ft) / xp.where(known, precisions, 1)
    return xp.where(known, best, 1.0), precisions


def _products(a: Array, b: Array) -> Array:
    """Return the inner product of half spectra, image by image, in double precision."""
    xp = array_namespace(a, b)
    return (a.conj() * b).real.sum(-2, dtype=xp.float64) @ multiplicity(a.shape[-2], xp)
