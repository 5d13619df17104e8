"""The symmetry axes of a map: found, and laid where the group has them."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np

from fslice._arrays import Array, to_numpy
from fslice.geometry import matrix_to_rotvec, rotvec_to_matrix
from fslice.metrics import fsc
from fslice.metrics._map_alignment import shell_coefficients
from fslice.metrics._sections import refine, search, sections_of
from fslice.symmetry.groups import symmetry_name, symmetry_rotations
from fslice.symmetry.rotation import rotate_volume

_SECTIONS, _DIRECTIONS = 24, 2000
_CANDIDATES, _POLISH = 5, 3
_SYMMETRIC, _ALIKE = 0.65, 0.85
"""Correlations of a map with its rotated copies that show the symmetry: the least over that which
is expected of a symmetric one, and over the largest, as half the rotations of a group may hold."""


@dataclass(frozen=True, eq=False)
class Axes:
    """Where the axes of a point group lie in a map: ``v(R (x - t))`` has them in their places."""

    symmetry: str
    rotation: np.ndarray
    """(3, 3) float64: R."""
    shift: np.ndarray
    """(3,) float64: t, in voxels."""
    volume: Array = field(repr=False)
    """(D, D, D) real: the map, aligned, not averaged."""
    correlation: float
    """Of the aligned map with its rotated copies, the mean over all coefficients of the shells that
    were compared, in the rotation of the group that holds least: 1 for the symmetry."""
    largest: float = 1.0
    """The same in the rotation that holds best."""
    expected: float = 1.0
    """What it would be for a symmetric object, given the noise of the map."""

    @property
    def found(self) -> bool:
        """Whether the map has the symmetry."""
        return self.correlation > max(_SYMMETRIC * self.expected, _ALIKE * self.largest)


def find_axes(
    volume: Array, symmetry: str, max_radius: int, curve: np.ndarray | None = None
) -> Axes:
    """Find the axes of a point group in a map of any orientation.

    Parameters
    ----------
    volume : (D, D, D) real array
    symmetry : str
        The group that the object is thought to have.
    max_radius : int
        The last shell on which the map can be trusted.
    curve : (D//2 + 1,) real array, optional
        Shell correlation of the half maps of which it is the mean: tells the noise. Default: none.

    Returns
    -------
    Axes

    Notes
    -----
    The map is compared with itself, rotated about every direction of a grid by the angle of the
    group's first generator, at every shift: an axis is where they agree. Refined without
    constraint, the rotation and shift give the axis and where it passes. For groups of two
    generators the angle about this axis, and where on it the others meet, are then searched. Last,
    several rotations of the group are refined at full detail, and the frame follows from them by
    least squares.

    Examples
    --------
    >>> import fslice
    >>> model = fslice.phantom(32, 4.0)  # C7, about z
    >>> rotation = fslice.random_rotations(1, np.random.default_rng(0))[0]
    >>> axes = find_axes(rotate_volume(model.volume(32, 4.0), rotation), "C7", 10)
    >>> axes.found, abs((rotation @ axes.rotation)[2, 2]).round(3)
    (True, np.float64(1.0))
    """
    name, group = symmetry_name(symmetry), symmetry_rotations(symmetry)
    if len(group) == 1:
        return Axes(name, np.eye(3), np.zeros(3), volume, 1.0)
    generator = _of_highest_order(group)
    rotation, shift = _main_axis(volume, generator, max_radius)
    moved = rotate_volume(volume, rotation, shift)
    rotation, shift = _then(rotation, shift, *_about_axis(moved, group, generator, max_radius))
    for _ in range(_POLISH):
        moved = rotate_volume(volume, rotation, shift)
        rotation, shift = _then(rotation, shift, *_correction(moved, group, max_radius))
    moved = rotate_volume(volume, rotation, shift)
    counts = np.arange(2, max_radius + 1) ** 2.0
    expected = 1.0
    if curve is not None:
        halves = np.clip(curve[2 : max_radius + 1], 0, 1)
        expected = float((2 * halves / (1 + halves)) @ counts / counts.sum())
    found = _agreement(moved, group, max_radius, counts)
    return Axes(name, rotation, shift, moved, float(found.min()), float(found.max()), expected)


def _then(
    rotation: np.ndarray, shift: np.ndarray, next_rotation: np.ndarray, next_shift: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Return two motions in one: v(R (S (x - s) - t)) = v(R S (x - s - S^T t))."""
    return rotation @ next_rotation, next_shift + next_rotation.T @ shift


def _of_highest_order(group: np.ndarray) -> np.ndarray:
    """Return the rotation by the smallest angle: about an axis of the highest order."""
    traces = np.trace(group, axis1=1, axis2=2)
    traces[0] = -2  # the identity
    return group[int(traces.argmax())]


def _main_axis(
    volume: Array, generator: np.ndarray, max_radius: int
) -> tuple[np.ndarray, np.ndarray]:
    """Return the rotation and shift that lay an axis of the map where the generator has it."""
    turn = matrix_to_rotvec(generator)
    angle = float(np.linalg.norm(turn))
    coarse = sections_of(volume, volume, min(8, max_radius), _SECTIONS)
    turns = rotvec_to_matrix(angle * _hemisphere(_DIRECTIONS))
    step = len(volume) / 32
    shifts = step * np.stack(np.meshgrid(*[np.arange(-2, 3)] * 3), -1).reshape(-1, 3)
    scores, places = search(coarse, shell_coefficients(coarse), turns, shifts)
    fine = sections_of(volume, volume, max_radius, 2 * _SECTIONS)
    counts, best = shell_coefficients(fine), (-np.inf, turns[0], shifts[0])
    for index in _apart(turns, scores):
        pose = turns[index], shifts[places[index]]
        for sections in (coarse, fine):
            pose = refine(sections, shell_coefficients(sections), *pose)
        value = float(counts @ fine.correlation(*pose))
        if value > best[0] and abs(np.linalg.norm(matrix_to_rotvec(pose[0])) - angle) < 0.1:
            best = (value, *pose)
    _, found, shift = best
    axis = matrix_to_rotvec(found)
    axis /= np.linalg.norm(axis)
    # S (c - t) = c on the axis; the part of c along it is free
    centre = np.linalg.lstsq(np.eye(3) - found, -found @ shift, rcond=None)[0]
    rotation = _rotation_between(turn / angle, axis)
    return rotation, -rotation.T @ centre


def _about_axis(
    moved: Array, group: np.ndarray, generator: np.ndarray, max_radius: int
) -> tuple[np.ndarray, np.ndarray]:
    """Return the rotation about the main axis that lays the other axes right, and where they meet.

    How far up the axis they meet is not known from it: all shifts along it are tried.
    """
    axis = matrix_to_rotvec(generator)
    axis /= np.linalg.norm(axis)
    others = [g for g in group[1:] if abs(g @ axis - axis).max() > 1e-6]
    if not others:
        return np.eye(3), np.zeros(3)
    sections = sections_of(moved, moved, min(12, max_radius), _SECTIONS)
    counts, angles = shell_coefficients(sections), np.radians(np.arange(0, 360, 2))
    turns = rotvec_to_matrix(angles[:, None] * axis)
    # with the origin at c, g becomes the rotation about c: v(g (x - t)), t = c - g^T c
    heights = np.arange(-4, 5) * len(moved) / 64
    best = (-np.inf, np.eye(3), np.zeros(3))
    for height in heights:
        score: Any = 0.0
        for g in others[:3]:
            turned = turns @ g @ turns.swapaxes(1, 2)
            shifts = height * (axis - turned.swapaxes(1, 2) @ axis)
            score = score + np.array(
                [counts @ sections.correlation(r, t) for r, t in zip(turned, shifts, strict=True)]
            )
        place = int(np.argmax(score))
        if score[place] > best[0]:
            best = (float(score[place]), turns[place], height * axis)
    _, rotation, centre = best
    return rotation, -rotation.T @ centre


def _correction(moved: Array, group: np.ndarray, max_radius: int) -> tuple[np.ndarray, np.ndarray]:
    """Return the small motion that makes a nearly symmetric map more so.

    Each rotation g of the group is refined without constraint to S, t. To first order a frame that
    is off by the rotation vector u makes S = exp(u - g u) g, and a centre c makes t = c - g^T c:
    the least squares over some of the group.
    """
    sections = sections_of(moved, moved, max_radius, _SECTIONS)
    counts = shell_coefficients(sections)
    rows, turns, shifts = [], [], []
    for g in _some(group):
        found, shift = refine(sections, counts, g, np.zeros(3))
        turns.append(matrix_to_rotvec(found @ g.T))
        shifts.append(shift)
        rows.append(g)
    by_turn = np.concatenate([np.eye(3) - g for g in rows])
    by_shift = np.concatenate([np.eye(3) - g.T for g in rows])
    u = np.linalg.lstsq(by_turn, np.concatenate(turns), rcond=1e-6)[0]
    centre = np.linalg.lstsq(by_shift, np.concatenate(shifts), rcond=1e-6)[0]
    rotation = rotvec_to_matrix(u)
    return rotation, -rotation.T @ centre


def _some(group: np.ndarray) -> np.ndarray:
    """Return at most six rotations of a group, not the identity."""
    return group[1:][:: max(1, (len(group) - 1) // 6)][:6]


def _agreement(
    volume: Array, group: np.ndarray, max_radius: int, counts: np.ndarray
) -> np.ndarray:  # fmt: skip
    """Return the correlation of a map with itself in rotations of the group, over all shells."""
    curves = [
        to_numpy(fsc(volume, rotate_volume(volume, g)))[2 : max_radius + 1] for g in _some(group)
    ]
    return np.array(curves) @ counts / counts.sum()


def _apart(turns: np.ndarray, scores: np.ndarray) -> list[int]:
    """Return the best rotations whose axes are 15 degrees apart."""
    axes = matrix_to_rotvec(turns)
    axes /= np.linalg.norm(axes, axis=1, keepdims=True)
    chosen: list[int] = []
    for index in np.argsort(-scores):
        if not chosen or abs(axes[chosen] @ axes[index]).max() < np.cos(np.radians(15)):
            chosen.append(int(index))
        if len(chosen) == _CANDIDATES:
            break
    return chosen


def _hemisphere(count: int) -> np.ndarray:
    """Return directions (n, 3) evenly spread over the hemisphere z >= 0: a spiral."""
    z = 1 - (np.arange(count) + 0.5) / count
    longitude = np.pi * (1 + 5**0.5) * np.arange(count)
    r = np.sqrt(1 - z**2)
    return np.stack([r * np.cos(longitude), r * np.sin(longitude), z], 1)


def _rotation_between(start: np.ndarray, end: np.ndarray) -> np.ndarray:
    """Return the rotation by the smallest angle that takes one unit vector to another."""
    cross, cosine = np.cross(start, end), float(start @ end)
    length = float(np.linalg.norm(cross))
    if length < 1e-12:
        cross, length = np.cross(start, np.eye(3)[abs(start).argmin()]), 1.0
        cross /= np.linalg.norm(cross)
        return rotvec_to_matrix(cross * (0.0 if cosine > 0 else np.pi))
    return rotvec_to_matrix(cross / length * np.arctan2(length, cosine))
