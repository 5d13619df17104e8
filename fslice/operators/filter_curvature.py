"""How a misfit curves with what multiplies the slices: defocus and contrast, beside the pose."""

from __future__ import annotations

import numbers
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from fslice._arrays import Array, array_namespace, check_alike, check_real, check_shape
from fslice._kernels.composed import pose_gradients
from fslice._kernels.interface import signed_frequencies
from fslice.operators.posed import posed
from fslice.operators.projector import Projector
from fslice.operators.sampling import flat_volume


class FilterCurvature(NamedTuple):
    """The rows that parameters of the filter add to `PoseHessian`.

    Of e parameters u: their columns are (wx, wy, wz, tx, ty, u), a joint matrix has 5 + e rows.
    """

    gradient: Array
    """(n, e) float64: of half the misfit."""
    matrix: Array
    """(n, e, 5 + e) float64: Gauss-Newton."""
    residual: Array
    """(n, e, 5 + e) float64: what the residual adds to the curvature."""


def filter_curvature(
    projector: Projector,
    volume_ft: Array,
    images_ft: Array,
    rotations: Array,
    shifts: Array | None,
    ctf: Array,
    first: Sequence[Array],
    second: Mapping[tuple[int, int], Array],
    weights: Array | float = 1.0,
) -> FilterCurvature:
    """Return how half the misfit curves in parameters of the filter, and together with the pose.

    Parameters
    ----------
    projector : Projector
        As for `pose_curvature`.
    volume_ft : (M, M, M//2 + 1) complex array
        As ``projector.transform`` gives it.
    images_ft : (n, D, D//2 + 1) complex array
    rotations : (n, 3, 3) real array
    shifts : (n, 2) real array, optional
    ctf : (n, D, D//2 + 1) real array
        The filter F of each image, such as its CTF.
    first : sequence of e (n, D, D//2 + 1) real arrays
        Its derivatives ``F_a`` in each parameter.
    second : mapping of (a, b) to (n, D, D//2 + 1) real arrays
        Its second derivatives ``F_ab``, of which a <= b. What is absent is zero.
    weights : float or (D, D//2 + 1) real array, optional
        Of the residuals, ``1 / sigma^2``.

    Returns
    -------
    FilterCurvature

    Raises
    ------
    ValueError, TypeError
        As `Projector.misfit`; or a derivative does not fit the filter.

    Notes
    -----
    With ``y^ = F s``, s the slice, its derivatives ``s_p`` in the pose, and the residual
    ``r = y^ - y``: the gradient is ``sum m Re(conj(F_a s) r) weights``, the matrix has
    ``sum m Re(conj(F_a s) F s_p) weights`` and ``sum m F_a F_b |s|^2 weights``, and the residual
    adds ``sum m Re(conj(r) F_a s_p) weights`` and ``sum m Re(conj(r) F_ab s) weights``.

    Examples
    --------
    In a factor of each image, its contrast, the misfit is a parabola: one step of Newton's finds
    it.

    >>> import fslice
    >>> projector = fslice.Projector(16, oversampling=2, interpolation="cubic")
    >>> volume_ft = projector.transform(fslice.phantom(16, 1.0).volume(16, 1.0))
    >>> rotations = fslice.random_rotations(1, np.random.default_rng(0))
    >>> image_ft = 0.8 * projector.project_ft(volume_ft, rotations)
    >>> one = np.ones((1, 16, 9))
    >>> found = filter_curvature(projector, volume_ft, image_ft, rotations, None, one, [one], {})
    >>> (1 - found.gradient / found.matrix[:, :, 5]).round(6)
    array([[0.8]])
    """
    poses = posed(projector, rotations, shifts, ctf, volume_ft=volume_ft, images_ft=images_ft)
    check_shape("rotations", rotations, (len(images_ft), 3, 3))
    named = [("first", array) for array in first] + [("second", array) for array in second.values()]
    for name, array in named:
        check_real(name, array)
        check_alike(**{"ctf": ctf, name: array})
        check_shape(name, array, ctf.shape)
    xp, geometry = array_namespace(volume_ft), poses.geometry
    weights = _checked_weights(weights, ctf)
    slices, slopes = poses.kernels.gather_slopes(
        flat_volume(volume_ft, geometry), poses.views, poses.amplitude, geometry
    )
    kx, _ = signed_frequencies(geometry, xp)
    counted = xp.where(kx == 0, 1.0, 2.0)
    residual = slices * ctf - images_ft
    power = (slices.real**2 + slices.imag**2) * weights
    against = (slices.real * residual.real + slices.imag * residual.imag) * weights

    def summed(products: Array) -> Array:
        return products.sum(1, dtype=np.float64) @ counted

    def in_pose(cotangent: Array) -> Array:
        turns, moves = pose_gradients(cotangent, slices, slopes, geometry)
        return xp.concatenate([_tangent(poses.views.rotations, turns), moves], 1)

    n, e = len(slices), len(first)
    gradient, matrix, second_order = (xp.zeros((n, e, *more)) for more in ((), (5 + e,), (5 + e,)))
    for a, own in enumerate(first):
        gradient[:, a] = summed(own * against)
        weighted = own * weights
        matrix[:, a, :5] = in_pose((weighted * ctf) * slices)
        second_order[:, a, :5] = in_pose(weighted * residual)
        for b, other in enumerate(first):
            matrix[:, a, 5 + b] = summed(own * other * power)
            bend = second.get((min(a, b), max(a, b)))
            if bend is not None:
                second_order[:, a, 5 + b] = summed(bend * against)
    return FilterCurvature(gradient, matrix, second_order)


def _checked_weights(weights: Any, ctf: Array) -> Array:
    """Return weights as an array in the precision of the filter."""
    xp = array_namespace(ctf)
    if isinstance(weights, numbers.Real):
        return xp.full((), float(weights), ctf.dtype)
    check_real("weights", weights)
    array_namespace(ctf, weights)
    check_shape("weights", weights, ctf.shape[1:])
    return weights.astype(ctf.dtype, copy=False)


def _tangent(rotations: Array, gradients: Array) -> Array:
    """Return the gradient in w of ``R exp([w]x)``, (n, 3), from that in the entries of R."""
    product = rotations.swapaxes(1, 2).astype(np.float64) @ gradients
    skew = product - product.swapaxes(1, 2)
    return array_namespace(skew).stack([skew[:, 2, 1], skew[:, 0, 2], skew[:, 1, 0]], 1)
