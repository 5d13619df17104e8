"""Models and volumes to simulate from: atoms as Gaussians, maps resampled to another box."""

from __future__ import annotations

import numpy as np

from fslice._arrays import check_finite, check_on_host, check_real, check_shape
from fslice.simulation.gaussians import GaussianModel, check_box
from fslice.symmetry.groups import symmetry_rotations

SCATTERING = ("electron", "atomic-number")
"""What atoms can be made to scatter like."""

_SHARE = 0.99
"""The share of a map's energy that has to be inside the box."""


def symmetrized_model(model: GaussianModel, symmetry: str) -> GaussianModel:
    """Return the average of a model over the rotations of a point group, exactly.

    Parameters
    ----------
    model : GaussianModel
    symmetry : str
        As in `fslice.symmetry.symmetry_rotations`.

    Returns
    -------
    GaussianModel
        Each Gaussian becomes as many as the group has rotations, and shares its weight among them.

    Examples
    --------
    >>> pair = symmetrized_model(GaussianModel([[3.0, 0, 1]], [2.0], [5.0]), "C2")
    >>> pair.positions.round(9) + 0.0, pair.weights
    (array([[ 3.,  0.,  1.],
           [-3.,  0.,  1.]]), array([1., 1.]))
    """
    group = symmetry_rotations(symmetry)
    positions = np.concatenate([model.positions @ g.T for g in group])
    weights = np.tile(model.weights / len(group), len(group))
    return GaussianModel(positions, weights, np.tile(model.variances, len(group)))


def resample_map(
    volume: np.ndarray, pixel_size: float, size: int, new_pixel_size: float
) -> np.ndarray:
    """Resample a map to another box and pixel size by its own trigonometric polynomial.

    Parameters
    ----------
    volume : (M, M, M) real array
        In the order [z, y, x], about voxel ``M // 2``.
    pixel_size : float
        Of the map, in Angstrom.
    size : int
        Box D of the result.
    new_pixel_size : float
        Of the result, in Angstrom; any ratio to the old one.

    Returns
    -------
    (D, D, D) real array
        About voxel ``D // 2``, in the precision of `volume`. Values are densities: those of
        the map, where it is smooth enough for the new pixels (so the sum over voxels
        changes by the cube of the pixel sizes' ratio). Zero outside the map's own box.

    Raises
    ------
    ValueError
        A shape is not as above, a value is not finite, `check_box`, or less than 99 % of the
        map's energy is inside the new box.

    Notes
    -----
    Along each axis ``v(x) = M^-1 sum_k V(k) exp(2 pi i k x / (M a))`` at the new voxels'
    coordinates, with the frequencies that the new pixels can carry: ``|k| / (M a) <= 1 / (2 a')``.
    It is exact for every ratio, and the identity if nothing changes.

    Examples
    --------
    >>> ones = np.ones((8, 8, 8))
    >>> resample_map(ones, 3.0, 6, 4.0).round(12).min()
    np.float64(1.0)
    """
    check_real("volume", volume)
    check_on_host("volume", volume)
    check_shape("volume", volume, (volume.shape[0],) * 3)
    check_finite("volume", volume)
    length, pixel_size = check_box(volume.shape[0], pixel_size)
    size, new_pixel_size = check_box(size, new_pixel_size)
    held = _held_length(volume) * pixel_size
    if held > size * new_pixel_size * (1 + 1e-9):
        raise ValueError(_too_small(held, size, new_pixel_size, "99 % of the map's energy"))
    weights = _resampling(length, size, new_pixel_size / pixel_size).astype(volume.dtype)
    for _ in range(3):  # each axis in turn becomes the first, is resampled, and goes last
        volume = np.tensordot(volume, weights, (0, 1))
    return volume


def check_fits(model: GaussianModel, size: int, pixel_size: float) -> None:
    """Raise unless the model, in any orientation, fits the box.

    Examples
    --------
    >>> check_fits(GaussianModel([[0, 0, 50.0]], [1], [4]), 32, 3.0)
    Traceback (most recent call last):
    ...
    ValueError: size: expected at least 112.0 Angstrom to hold the model, got 32 x 3 = 96.0 Angstrom
    """
    size, pixel_size = check_box(size, pixel_size)
    if model.diameter > size * pixel_size:
        raise ValueError(_too_small(model.diameter, size, pixel_size, "the model"))


def _too_small(needed: float, size: int, pixel_size: float, what: str) -> str:
    got = f"got {size} x {pixel_size:g} = {size * pixel_size:.1f} Angstrom"
    return f"size: expected at least {needed:.1f} Angstrom to hold {what}, {got}"


def _held_length(volume: np.ndarray) -> int:
    """Return the edge in voxels of the smallest centred cube with enough of the energy."""
    distance = np.abs(np.arange(len(volume)) - len(volume) // 2)
    cube = np.maximum.reduce(np.meshgrid(*[distance] * 3))
    energy = np.bincount(cube.ravel(), weights=np.square(volume, dtype=np.float64).ravel())
    inside = np.cumsum(energy)
    return min(2 * int(np.searchsorted(inside, _SHARE * inside[-1])) + 1, len(volume))


def _resampling(length: int, size: int, ratio: float) -> np.ndarray:
    """Return the (size, length) matrix of one axis; `ratio` is new over old pixel size."""
    new = (np.arange(size) - size // 2) * ratio
    old = np.arange(length) - length // 2
    highest = length / 2 * min(1.0, 1 / ratio) * (1 + 1e-12)
    k = np.arange(1, int(highest) + 1)
    count = np.where(2 * k == length, 1, 2)  # Nyquist stands for itself alone
    phase = 2 * np.pi / length * k
    # cos(k (x - x')) = cos cos + sin sin
    matrix = (count * np.cos(np.outer(new, phase))) @ np.cos(np.outer(phase, old))
    matrix += (count * np.sin(np.outer(new, phase))) @ np.sin(np.outer(phase, old))
    matrix = (1 + matrix) / length
    outside = (new < old[0] - 0.5) | (new >= old[-1] + 0.5)
    matrix[outside] = 0
    return matrix
