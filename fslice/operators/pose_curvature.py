"""How a misfit curves with the pose: for Gauss-Newton steps, and for error bars of poses."""

from __future__ import annotations

from typing import NamedTuple

from fslice._arrays import Array, array_namespace
from fslice.operators.ctf import CTF
from fslice.operators.posed import Posed
from fslice.operators.projector import Projector


class PoseCurvature(NamedTuple):
    """The quadratic that touches half the misfit of each image at its pose.

    The coordinates are ``(wx, wy, wz, tx, ty)``: w in radians turns R to ``R @ exp([w]x)``, in
    the axes of the image, and t is in pixels. Of lines they are ``(w, t)``.
    """

    chi_squared: Array
    """(...) float64: ``sum_k m |y^ - y|^2 weights``."""
    gradient: Array
    """(..., 5) float64: of half of it."""
    matrix: Array
    """(..., 5, 5) float64: Gauss-Newton, symmetric and not negative."""


class PoseHessian(NamedTuple):
    """`PoseCurvature`, and what the residual adds: the sum is the curvature of this image."""

    chi_squared: Array
    """(...) float64."""
    gradient: Array
    """(..., 5) float64."""
    matrix: Array
    """(..., 5, 5) float64: Gauss-Newton."""
    residual: Array
    """(..., 5, 5) float64, symmetric: ``sum m Re(conj(r) d^2y^/d(w, t)^2) weights``."""


def pose_curvature(
    projector: Projector,
    volume_ft: Array,
    images_ft: Array,
    rotations: Array,
    shifts: Array | None = None,
    ctf: CTF | Array | None = None,
    weights: Array | float = 1.0,
    *,
    group_of: Array | None = None,
    image_of: Array | None = None,
) -> PoseCurvature:
    """Return misfit, gradient and Gauss-Newton matrix in each pose, in one traversal.

    Parameters
    ----------
    projector : Projector
        Choose cubic interpolation: its slices are twice differentiable, where linear ones have
        kinks.
    volume_ft : (M, M, M//2 + 1) complex array
        As ``projector.transform`` gives it.
    images_ft : (..., D, D//2 + 1) complex array
        Half spectra of the images.
    rotations : (..., 3, 3) real array
    shifts : (..., 2) real array, optional
        Where the quadratic is wanted. Default 0.
    ctf : CTF or (..., D, D//2 + 1) real array, optional
    weights, group_of, image_of
        As in `Projector.misfit`.

    Returns
    -------
    PoseCurvature

    Raises
    ------
    ValueError, TypeError
        As `Projector.misfit`.

    Notes
    -----
    With the derivatives ``J = dy^/d(w, t)`` and the residual ``r = y^ - y`` the gradient is
    ``sum m Re(conj(J) r) weights`` and the matrix ``sum m Re(conj(J) J) weights``, which is
    the curvature less what the residual adds to it (`pose_hessian`). That vanishes in the mean at
    the true pose, where the matrix is the Fisher information. J is that of the paper's eqs. 7 and
    12-13.

    Examples
    --------
    Steps of Gauss-Newton find a pose that is off by a degree and half a pixel:

    >>> import numpy as np, fslice
    >>> from fslice.geometry import angle_between, rotvec_to_matrix
    >>> projector = fslice.Projector(32, oversampling=2, interpolation="cubic")
    >>> volume_ft = projector.transform(fslice.phantom(32, 1.0).volume(32, 1.0))
    >>> truth = fslice.random_rotations(1, np.random.default_rng(0))
    >>> image_ft = projector.project_ft(volume_ft, truth)
    >>> r, t = truth @ rotvec_to_matrix(np.array([0.01, -0.01, 0.01])), np.array([[0.4, -0.3]])
    >>> for _ in range(5):
    ...     found = pose_curvature(projector, volume_ft, image_ft, r, t)
    ...     step = -np.linalg.solve(found.matrix, found.gradient[..., None])[..., 0]
    ...     r, t = r @ rotvec_to_matrix(step[:, :3]), t + step[:, 3:]
    >>> angle_between(r, truth).round(6), abs(t).round(6)
    (array([0.]), array([[0., 0.]]))
    """
    poses, arguments = projector._compared(
        volume_ft, images_ft, rotations, shifts, ctf, weights, group_of, image_of, None
    )
    return PoseCurvature(*_in_pose(poses, poses.kernels.pose_gram(*arguments)))


def pose_hessian(
    projector: Projector,
    volume_ft: Array,
    images_ft: Array,
    rotations: Array,
    shifts: Array | None = None,
    ctf: CTF | Array | None = None,
    weights: Array | float = 1.0,
    *,
    group_of: Array | None = None,
    image_of: Array | None = None,
) -> PoseHessian:
    """Return `pose_curvature`, whose arguments it takes, and what the residual adds to it.

    Returns
    -------
    PoseHessian

    Notes
    -----
    In noise the width of a mode differs from image to image: that of this image is the inverse of
    ``matrix + residual``. It takes about 1.5 times as long as the matrix alone.

    Examples
    --------
    Without a residual there is nothing to add:

    >>> import numpy as np, fslice
    >>> projector = fslice.Projector(16, oversampling=2, interpolation="cubic")
    >>> volume_ft = projector.transform(fslice.phantom(16, 1.0).volume(16, 1.0))
    >>> pose = fslice.random_rotations(1, np.random.default_rng(0))
    >>> found = pose_hessian(projector, volume_ft, projector.project_ft(volume_ft, pose), pose)
    >>> bool(abs(found.residual).max() < 1e-12 * abs(found.matrix).max())
    True
    """
    poses, arguments = projector._compared(
        volume_ft, images_ft, rotations, shifts, ctf, weights, group_of, image_of, None
    )
    gram, second = poses.kernels.pose_curvature(*arguments)
    free = _free(poses)
    residual = second[:, free, free]
    chi_squared, gradient, matrix = _in_pose(poses, gram)
    residual = residual.reshape((*poses.batch, *residual.shape[1:]))
    return PoseHessian(chi_squared, gradient, matrix, residual)


def _free(poses: Posed) -> slice:
    """Return the coordinates that there are: a plane turns about its normal and moves along x."""
    return slice(0, 5) if poses.dimension == 3 else slice(2, 4)


def _in_pose(poses: Posed, gram: Array) -> list[Array]:
    """Return chi-squared, gradient and matrix, of the products of derivatives and residual."""
    free = _free(poses)
    found = gram[:, 5, 5], gram[:, free, 5], gram[:, free, free]
    return [values.reshape((*poses.batch, *values.shape[1:])) for values in found]


def pose_deviations(curvature: PoseCurvature) -> Array:
    """Return the standard deviations of the poses that noise leaves.

    Parameters
    ----------
    curvature : PoseCurvature
        At the best pose, with 1 / sigma^2 as its weights.

    Returns
    -------
    (..., 5) float64 array
        Radians of (wx, wy, wz), then pixels of (tx, ty), each with the others unknown: roots of
        the diagonal of the inverse matrix (the bound of Cramer and Rao). Infinite where the
        image does not tell.

    Examples
    --------
    >>> import numpy as np
    >>> matrix = np.diag([4.0, 4.0, 1.0, 0.25, 0.0])
    >>> pose_deviations(PoseCurvature(np.array(0.0), np.zeros(5), matrix))
    array([0.5, 0.5, 1. , 2. , inf])
    """
    matrix = curvature.matrix
    xp = array_namespace(matrix)
    # scaled to a unit diagonal first: radians and pixels differ by orders of magnitude
    scale = xp.sqrt(xp.diagonal(matrix, axis1=-2, axis2=-1))
    unit = xp.where(scale > 0, scale, 1)
    values, vectors = xp.linalg.eigh(matrix / (unit[..., :, None] * unit[..., None, :]))
    tiny = 100 * xp.finfo(matrix.dtype).eps * xp.maximum(values[..., -1:], 1)
    seen = values > tiny
    inverse = xp.where(seen, 1 / xp.where(seen, values, 1), 0)
    variances = (vectors**2 * inverse[..., None, :]).sum(-1)
    unseen = (vectors**2 * ~seen[..., None, :]).sum(-1) > tiny
    return xp.where(unseen, xp.inf, xp.sqrt(variances) / unit)
