"""One map laid upon another: the rotation, the shift and the hand."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np

from fslice._arrays import Array, array_namespace, check_size, to_numpy
from fslice.fourier import shell_sum
from fslice.geometry import angle_between, grid_rotations
from fslice.metrics._correlation import fsc
from fslice.metrics._sections import STEPS, Sections, refine, search, sections_of
from fslice.symmetry._shears import mirror
from fslice.symmetry.rotation import check_cubic, rotate_volume

_COARSE, _GRID = 6, 4608
"""Shells of the search, and its rotations, each within 10 degrees of the next."""
_FEW, _MANY = 12, 48
"""Sections in the search and at low frequency, and at high."""
_CANDIDATES, _APART = 64, 20.0
"""Rotations of the search that are refined, and how far they are apart, in degrees: of a map that
is nearly octahedral 24 are almost equal, of an icosahedral one 60."""
_SAME = 5.0
"""Refined ones that are nearer to each other, in degrees, are one."""
_FIRST, _WIDE, _WINDOW = 3, 0.5, 0.8
"""Steps after which most fall behind; shares of the nats of the best that the others have at least
which stay, then and later."""
_LEVELS = (12, 24, 48, 96, 192, 384)
"""Shells up to which candidates are refined, one after the other."""


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
    mirror-symmetric below 1/40 A. Rotations between which a map that is nearly symmetric does not
    decide yet are all refined, to the last shell. Of a symmetric object any of the equal rotations
    is found.

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
        few = sections.every(len(sections.views) // _FEW)
        if level == levels[0]:  # most of the search's poses fall behind at once
            poses = _standing([_refined(few, counts, pose, 1, _FIRST) for pose in poses], _WIDE)
        # what tells equals of a nearly symmetric map apart may be in the last shells only
        poses = [_refined(few, counts, pose, 1) for pose in poses]
        poses = _standing([_judged(sections, counts, pose) for pose in poses], _WINDOW)
    return _refined(sections, counts, poses[0], 2)


def _standing(poses: list[_Pose], window: float) -> list[_Pose]:
    """Return those that may still be the best, this first, and of those that have met only one."""
    poses = sorted(poses, key=lambda pose: -pose.nats)
    left: list[_Pose] = []
    for pose in poses:
        if pose.nats < window * poses[0].nats:
            break
        if _is_apart([other.rotation for other in left], pose.rotation, _SAME):
            left.append(pose)
    return left


def _candidates(volume: Array, reference: Array, radius: int) -> list[_Pose]:
    """Return the best rotations of a grid that are apart, each with its best shift."""
    sections = sections_of(volume, reference, radius, _FEW)
    size, rotations = len(volume), grid_rotations(_GRID)
    shifts = _ball(size / 4, size / (3 * radius))
    weights = shell_coefficients(sections)
    scores, arg = search(sections, weights, rotations, shifts)
    chosen: list[int] = []
    for index in np.argsort(-scores):
        if _is_apart(rotations[chosen], rotations[index], _APART):
            chosen.append(int(index))
        if len(chosen) == _CANDIDATES:
            break
    return [_Pose(0.0, rotations[i], shifts[arg[i]]) for i in chosen]


def _is_apart(chosen: Sequence[np.ndarray], rotation: np.ndarray, angle: float) -> bool:
    """Tell whether a rotation is far from all of those that are chosen, in degrees."""
    return not len(chosen) or bool(angle_between(np.array(chosen), rotation).min() > angle)


def _refined(
    sections: Sections, counts: np.ndarray, pose: _Pose, times: int, steps: int = STEPS
) -> _Pose:
    """Return the pose refined, each time with shells weighed by what the present one shows."""
    rotation, shift = pose.rotation, pose.shift
    for _ in range(times):
        rotation, shift = refine(sections, counts, rotation, shift, steps)
    return _judged(sections, counts, _Pose(0.0, rotation, shift))


def _judged(sections: Sections, counts: np.ndarray, pose: _Pose) -> _Pose:
    """Return the pose with what the shells say of it."""
    rho = np.clip(sections.correlation(pose.rotation, pose.shift), 0, 1 - 1e-6)
    return pose._replace(nats=float(-(counts * np.log1p(-(rho**2))).sum() / 2))


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
