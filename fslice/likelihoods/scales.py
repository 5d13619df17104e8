"""The contrast that makes each image most likely."""

from __future__ import annotations

from fslice._arrays import Array, array_namespace, check_alike, check_complex, check_shape
from fslice.likelihoods.gaussian import GaussianNoise
from fslice.operators.contrast import products_per_image


def optimal_scales(
    images_ft: Array, expected_ft: Array, noise: GaussianNoise | None = None
) -> tuple[Array, Array]:
    """Return the contrast that makes each image most likely, and its precision.

    Parameters
    ----------
    images_ft : (n, D, D//2 + 1) complex array
        Half spectra of the images y.
    expected_ft : (n, D, D//2 + 1) complex array
        Half spectra of what is expected at contrast 1, such as `Projector.project_ft` gives.
    noise : GaussianNoise, optional
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
    >>> images_ft = expected_ft * np.array([0.8, 1.0, 1.3])[:, None, None]
    >>> optimal_scales(images_ft, expected_ft)[0].round(6)
    array([0.8, 1. , 1.3])
    """
    check_complex("images_ft", images_ft)
    check_complex("expected_ft", expected_ft)
    check_alike(images_ft=images_ft, expected_ft=expected_ft)
    size = images_ft.shape[-2] if images_ft.ndim > 1 else 0
    check_shape("images_ft", images_ft, ("n", size or "D", size // 2 + 1))
    check_shape("expected_ft", expected_ft, images_ft.shape)
    xp = array_namespace(images_ft, expected_ft)
    model = GaussianNoise(xp.ones(1)) if noise is None else noise
    array_namespace(images_ft, model.variances)
    if model.groups is not None:
        check_shape("images_ft", images_ft, (len(model.groups), size, size // 2 + 1))
    weighted = model.weights(size) * expected_ft
    precisions = products_per_image(weighted, expected_ft)
    known = precisions > 0
    best = products_per_image(weighted, images_ft) / xp.where(known, precisions, 1)
    return xp.where(known, best, 1.0), precisions
