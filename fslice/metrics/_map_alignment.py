"""One map laid upon another: the rotation, the shift and the hand."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np

from fslice._arrays import Array, array_namespace, check_size, to_numpy
from fslice.fourier import shell_sum
from fslice.geometry import angle_between, grid_rotations
from fslice.metrics._correlation import fsc
from fslice.metrics._sections import Sections, refine, search, sections_of
from fslice.symmetry._shears import mirror
from fslice.symmetry.rotation import check_cubic, rotate_volume

_COARSE, _GRID = 6, 4608
"""Shells of the search, and its rotations, each within 10 degrees of the next."""
_FEW, _MANY = 12, 48
"""Sections in the search and at low frequency, and at high."""
_CANDIDATES, _APART = 8, 20.0
"""Rotations that are refined, and how far they are apart at least, in degrees."""
_LEVELS = (12, 24, 48, 96, 192, 384)
"""Shells up to which candidates are refined, one after the other."""
_STAY = 3
"""Candidates of a hand that are refined beyond the first level."""


@dataclass(frozen=True, eq=False)
class MapAlignment:
    """A map laid upon a reference, and how: ``aligned(x) = v(R (x - t))``."""

    volume: Array = field(repr=False)
    """(D, D, D) real: the aligned map."""
    rotation: np.ndarray
    """(3, 3) float64: R, acting on (x, y, z)."""
    shift: np.ndarray
    """(3,) float64: t, along x, y and z in voxels."""
    mirrored: bool
    """Whether v is the mirror image of the map, z being negated."""
    curve: Array = field(repr=False)
    """(D//2 + 1,) float64: Fourier shell correlation of the aligned map and the reference."""
    nats: float
    """How much likelier the correlation makes the maps than none: see `align_maps`."""
    hand_nats: float | None = None
    """How much likelier this hand is than the other; None if only one was tried."""


class _Pose(NamedTuple):
    nats: float
    rotation: np.ndarray
    shift: np.ndarray


def align_maps(
    volume: Array, reference: Array, *, hand: bool = False, max_radius: int | None = None
) -> MapAlignment:
    """Find the rotation and shift, and if asked the hand, that lay one map upon another.

    Parameters
    ----------
    volume, reference : (D, D, D) real array
        Maps of one box and voxel size; best without a mask of hard edges.
    hand : bool, optional
        Whether the mirror image is tried too.
    max_radius : int, optional
        The last shell that is compared. Default: ``(D - 1) // 2``.

    Returns
    -------
    MapAlignment

    Raises
    ------
    ValueError
        The maps are not cubes of one size, or not finite, or one has no contrast.
    TypeError
        An array is not real, or array libraries are mixed.

    Notes
    -----
    Twelve central sections up to shell 6 are compared in 4608 rotations and in all shifts up to a
    quarter of the box; the best are refined up to rising frequencies, with each shell weighed by
    ``n rho / (1 - rho^2)`` over its norm. That is the derivative of the log likelihood ratio

    ``-1/2 sum_S n_S log(1 - rho_S^2)``, over the shells with ``rho_S > 0``,

    of two Gaussian maps with correlation rho in a shell of n real coefficients against none. This
    number also chooses: the hand differs only where the fine details are, and GroEL looks almost
    mirror-symmetric below 1/40 A. Of a symmetric object any of the equal rotations is found.

    Examples
    --------
    >>> import fslice
    >>> reference = fslice.phantom(32, 4.0).volume(32, 4.0)
    >>> rotation = fslice.random_rotations(1, np.random.default_rng(0))[0]
    >>> moved = rotate_volume(reference, rotation, np.array([1.5, -1.0, 0.5]))
    >>> found = align_maps(moved, reference)
    >>> bool(found.curve[:12].min() > 0.99), found.mirrored
    (True, False)
    """
    check_cubic(volume)
    _check_reference(volume, reference)
    last = (len(volume) - 1) // 2
    radius = last if max_radius is None else min(check_size("max_radius", max_radius, 2), last)
    for name, given in (("volume", volume), ("reference", reference)):
        if not float(given.std()):
            raise ValueError(f"{name}: expected a map with contrast, got one value everywhere")
    reference = reference.astype(volume.dtype)
    hands = [volume, mirror(volume, 0)] if hand else [volume]
    found = [_best_pose(own, reference, radius) for own in hands]
    chosen = int(np.argmax([pose.nats for pose in found]))
    best = found[chosen]
    aligned = rotate_volume(hands[chosen], best.rotation, best.shift)
    return MapAlignment(
        aligned, best.rotation, best.shift, chosen == 1, fsc(aligned, reference), best.nats,
        best.nats - found[1 - chosen].nats if hand else None,
    )  # fmt: skip


def _check_reference(volume: Array, reference: Array) -> None:
    array_namespace(volume, reference)
    if reference.shape != volume.shape:
        raise ValueError(f"reference: expected shape {volume.shape}, got {reference.shape}")
    check_cubic(reference)


def _best_pose(volume: Array, reference: Array, radius: int) -> _Pose:
    """Return the best pose of a map of one hand."""
    poses = _candidates(volume, reference, min(_COARSE, radius))
    levels = [level for level in _LEVELS if level < radius] + [radius]
    for level in levels:
        sections = sections_of(volume, reference, level, _FEW if level < 13 else _MANY)
        counts = shell_coefficients(sections)
        poses = sorted((_refined(sections, counts, pose) for pose in poses), reverse=True,
                       key=lambda pose: pose.nats)  # fmt: skip
        poses = poses[: 1 if level == levels[-2:][0] else _STAY]
    return poses[0]


def _candidates(volume: Array, reference: Array, radius: int) -> list[_Pose]:
    """Return the best rotations of a grid that are apart, each with its best shift."""
    sections = sections_of(volume, reference, radius, _FEW)
    size, rotations = len(volume), grid_rotations(_GRID)
    shifts = _ball(size / 4, size / (3 * radius))
    weights = shell_coefficients(sections)
    scores, arg = search(sections, weights, rotations, shifts)
    chosen: list[int] = []
    for index in np.argsort(-scores):
        near = (
            angle_between(rotations[chosen], rotations[index : index + 1])
            if chosen
            else np.full(1, 180.0)
        )
        if near.min() > _APART:
            chosen.append(int(index))
        if len(chosen) == _CANDIDATES:
            break
    return [_Pose(0.0, rotations[i], shifts[arg[i]]) for i in chosen]


def _refined(sections: Sections, counts: np.ndarray, pose: _Pose) -> _Pose:
    """Return the pose refined, the shells weighed by what the present one shows."""
    rotation, shift = pose.rotation, pose.shift
    for _ in range(2):
        rotation, shift = refine(sections, counts, rotation, shift)
    rho = np.clip(sections.correlation(rotation, shift), 0, 1 - 1e-6)
    return _Pose(float(-(counts * np.log1p(-(rho**2))).sum() / 2), rotation, shift)


def shell_coefficients(sections: Sections) -> np.ndarray:
    """Return the number of real coefficients of each shell in the band, none at frequency 0."""
    size, radius = sections.projector.size, sections.projector.max_radius
    counts = to_numpy(shell_sum(np.ones((size, size, size // 2 + 1)), size, 3))
    counts[0] = 0
    counts[int(radius or 0) + 1 :] = 0
    return counts


def _ball(radius: float, step: float) -> np.ndarray:
    """Return the points (n, 3) of a cubic grid in a ball."""
    ticks = step * np.arange(-int(radius / step), int(radius / step) + 1)
    points = np.stack(np.meshgrid(ticks, ticks, ticks), -1).reshape(-1, 3)
    return points[(points**2).sum(1) <= radius**2]
