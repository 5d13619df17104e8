"""What the functions of `realspace` share: the walk over poses and points, and the checks.

`summed` is how many leading axes of the box are summed over: 0 to rotate, 1 to project.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator

from fslice._arrays import Array, array_namespace, check_alike, check_real, check_shape
from fslice.geometry import as_matrices
from fslice.operators._pose_checks import check_poses
from fslice.operators.gradients import PoseGradients
from fslice.operators.realspace._trilinear import (
    empty_with_margin,
    sample,
    slopes,
    spread,
    with_margin,
    without_margin,
)

# Points sampled together. On the CPU temporaries should fit the cache (and the allocator's
# reuse: four times as many took seven times as long per point); on a GPU, fill it.
_POINTS, _POINTS_GPU = 2**14, 2**22


def read_at_poses(volume: Array, rotations: Array, shifts: Array | None, summed: int) -> Array:
    """Sample ``v(R (x - t))`` at every point x of the box."""
    rotations = as_matrices(rotations, like=volume)
    dimension, size = _check_volume(volume), volume.shape[-1]
    poses = _check_poses("volume", volume, rotations, shifts, dimension, summed)
    xp = array_namespace(volume)
    padded = with_margin(volume)
    result = xp.zeros((len(poses[0]), *(size,) * (dimension - summed)), volume.dtype)
    for image, (planes, rows), positions, _ in _blocks(*poses, size):
        values = sample(padded, positions, size)
        if summed:
            target = result[image, rows]
            target += values.reshape(-1, *target.shape).sum(0)
        else:
            target = result[image, planes, rows]
            target[...] = values.reshape(target.shape)
    return result.reshape(*rotations.shape[:-2], *result.shape[1:])


def add_at_poses(
    values: Array, rotations: Array, shifts: Array | None, summed: int, name: str
) -> Array:
    """Spread values, the same along the axis that was summed: adjoint of `read_at_poses`."""
    rotations = as_matrices(rotations, like=values)
    check_real("rotations", rotations)
    dimension = 2 if rotations.shape[-1:] == (2,) else 3
    check_real(name, values)
    check_shape(name, values, (..., "D"))
    poses = _check_poses(name, values, rotations, shifts, dimension, summed)
    values = _check_values(name, values, values.shape[-1], rotations, dimension - summed)
    size = values.shape[-1]
    total = empty_with_margin(size, dimension, values)
    for image, block, positions, _ in _blocks(*poses, size):
        spread(total, positions, _block_values(values, image, block, dimension), size)
    return without_margin(total, size, dimension)


def read_at_poses_vjp(
    volume: Array, rotations: Array, shifts: Array | None, cotangent: Array, summed: int
) -> PoseGradients:
    """Carry the gradient of `read_at_poses` to the volume, the rotations and the shifts.

    A position is ``q = R (x - t)``, so with the slope g of the volume there, times the
    cotangent, the sums over all points are ``g (x - t)^T`` for R and ``-R^T g`` for t.
    """
    rotations = as_matrices(rotations, like=volume)
    dimension, size = _check_volume(volume), volume.shape[-1]
    check_real("cotangent", cotangent)
    check_alike(volume=volume, cotangent=cotangent)
    poses = _check_poses("volume", volume, rotations, shifts, dimension, summed)
    values = _check_values("cotangent", cotangent, size, rotations, dimension - summed)
    xp = array_namespace(volume, cotangent)
    padded = with_margin(volume)
    total = empty_with_margin(size, dimension, volume)
    grad_rotation, grad_shift = xp.zeros_like(poses[0]), xp.zeros_like(poses[1])
    for image, block, positions, offsets in _blocks(*poses, size):
        weights = _block_values(values, image, block, dimension)
        spread(total, positions, weights, size)
        grad_positions = slopes(padded, positions, size) * weights
        grad_rotation[image] += grad_positions @ offsets.T
        grad_shift[image] -= poses[0][image].T @ grad_positions.sum(1)
    grad_shift = grad_shift[:, : dimension - summed].reshape(*rotations.shape[:-2], -1)
    return PoseGradients(
        without_margin(total, size, dimension),
        grad_rotation.reshape(rotations.shape),
        None if shifts is None else grad_shift,
    )


def _blocks(
    rotations: Array, shifts: Array, size: int
) -> Iterator[tuple[int, tuple[slice, slice], Array, Array]]:
    """Walk over all images, and over the points of the box a block at a time.

    Yields the image, the block as slices of the two leading axes, the positions ``R (x - t)``
    of its points in voxels of the volume, and their offsets ``x - t``; both (d, p), x first.
    """
    xp = array_namespace(rotations)
    dimension = rotations.shape[-1]
    at_once = _POINTS if xp.__name__ == "numpy" else _POINTS_GPU
    planes = max(1, at_once // size ** (dimension - 1))
    rows = max(1, at_once // size ** (dimension - 2)) if planes == 1 else size
    for plane, row in itertools.product(range(0, size, planes), range(0, size, rows)):
        block = slice(plane, min(plane + planes, size)), slice(row, min(row + rows, size))
        axes = [xp.arange(part.start, part.stop) for part in block]
        axes += [xp.arange(size)] * (dimension - 2)
        points = xp.stack([x.ravel() for x in xp.meshgrid(*axes, indexing="ij")[::-1]])
        grid = points.astype(rotations.dtype) - size // 2
        for image in range(len(rotations)):
            offsets = grid - shifts[image][:, None]
            yield image, block, rotations[image] @ offsets + size // 2, offsets


def _block_values(values: Array, image: int, block: tuple[slice, slice], dimension: int) -> Array:
    """Return the values at a block's points: given for each plane, or one plane for all."""
    planes, rows = block
    if values.ndim > dimension:
        return values[image][block].ravel()
    return array_namespace(values).tile(values[image, rows].ravel(), planes.stop - planes.start)


def _check_volume(volume: Array) -> int:
    """Raise unless the volume is a cube or a square; return its number of dimensions."""
    check_real("volume", volume)
    if volume.ndim not in (2, 3):
        raise ValueError(f"volume: expected 2 or 3 dimensions, got shape {volume.shape}")
    check_shape("volume", volume, (volume.shape[-1],) * volume.ndim)
    return volume.ndim


def _check_values(name: str, values: Array, size: int, rotations: Array, ndim: int) -> Array:
    """Return values with one leading axis; raise unless there is a cube or square per pose."""
    check_real(name, values)
    check_shape(name, values, (*rotations.shape[:-2], *(size,) * ndim))
    return values.reshape(-1, *(size,) * ndim)


def _check_poses(
    name: str, array: Array, rotations: Array, shifts: Array | None, dimension: int, summed: int
) -> tuple[Array, Array]:
    """Return (n, d, d) rotations and (n, d) shifts, or raise unless they fit the array."""
    check_real("rotations", rotations)
    check_shape("rotations", rotations, (..., dimension, dimension))
    check_poses(name, array, rotations, shifts, summed)
    vectors = array_namespace(array).zeros(rotations.shape[:-1], rotations.dtype)
    if shifts is not None:
        vectors[..., : dimension - summed] = shifts
    return rotations.reshape(-1, dimension, dimension), vectors.reshape(-1, dimension)
