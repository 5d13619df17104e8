"""Volumes with the symmetry of a point group: the average over its rotations."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np

from fslice._arrays import Array
from fslice.symmetry._shears import is_of_grid, shears, turn, turn_adjoint
from fslice.symmetry.groups import symmetry_name, symmetry_rotations
from fslice.symmetry.rotation import check_cubic, with_room


def symmetrize(volume: Array, symmetry: str) -> Array:
    """Average a volume over the rotations of a point group.

    Parameters
    ----------
    volume : (D, D, D) real array
        About voxel ``D // 2``.
    symmetry : str
        As in `fslice.symmetry.symmetry_rotations`.

    Returns
    -------
    (D, D, D) real array
        In the precision of `volume`.

    Raises
    ------
    ValueError, TypeError
        The volume is not as above, a value is not finite, or there is no such group.

    Notes
    -----
    ``mean over g of v(g x)``, v being zero outside its box: the orthogonal projection onto
    the symmetric volumes. Groups that take the grid onto itself (C1, C2, C4, D1, D2, D4, O)
    cost no interpolation. For the others the trigonometric polynomial of v, limited to
    ``|k| < D / 2``, is evaluated at the turned voxels: exact for what lies inside the sphere of
    diameter D; see `fslice.symmetry._shears.turn`.

    Examples
    --------
    >>> volume = np.zeros((9, 9, 9))
    >>> volume[4, 4, 7] = 8  # on the x axis
    >>> ring = symmetrize(volume, "C4")[4]
    >>> [(int(y), int(x)) for y, x in np.argwhere(ring)], float(ring.max())
    ([(1, 4), (4, 1), (4, 7), (7, 4)], 2.0)
    """
    check_cubic(volume)
    average = GroupAverage(symmetry)
    return average(volume) if average.keeps_grid else with_room(volume, average)


@dataclass(frozen=True, eq=False)
class GroupAverage:
    """The average over a point group as a linear operator on periodic cubes, with its adjoint.

    Parameters
    ----------
    symmetry : str
        As in `fslice.symmetry.symmetry_rotations`.

    Notes
    -----
    With H the subgroup that takes the grid onto itself, and one c of each coset ``H c``, the
    average is ``mean_c turn_c mean_h turn_h``: the seven two-folds of D7 cost no more than C7.

    Examples
    --------
    >>> average = GroupAverage("I")
    >>> average.order, len(average._turns)
    (60, 5)
    """

    symmetry: str
    order: int = field(init=False)
    """Number of rotations of the group."""
    _kept: np.ndarray = field(init=False, repr=False)
    _turns: np.ndarray = field(init=False, repr=False)

    def __post_init__(self) -> None:
        group = symmetry_rotations(self.symmetry)
        kept = group[[is_of_grid(g) for g in group]]
        object.__setattr__(self, "symmetry", symmetry_name(self.symmetry))
        object.__setattr__(self, "order", len(group))
        object.__setattr__(self, "_kept", kept)
        object.__setattr__(self, "_turns", _representatives(group, kept))

    @property
    def keeps_grid(self) -> bool:
        """Whether the average costs no interpolation."""
        return len(self._turns) == 1

    def __call__(self, volume: Array) -> Array:
        """Return ``mean over g of v(g x)`` of a (D, D, D) real array."""
        return self._sum(turn, self._turns, self._on_grid(volume))

    def adjoint(self, volume: Array) -> Array:
        """Apply the adjoint: the average over the inverse rotations."""
        return self._on_grid(self._sum(turn_adjoint, self._turns, volume))

    def _on_grid(self, volume: Array) -> Array:
        return self._sum(turn, self._kept, volume)

    @staticmethod
    def _sum(
        operator: Callable[[Array, np.ndarray], Array], rotations: np.ndarray, volume: Array
    ) -> Array:
        total = volume
        for rotation in rotations[1:]:
            total = total + operator(volume, rotation)
        return total * (1 / len(rotations)) if len(rotations) > 1 else total


def _representatives(group: np.ndarray, kept: np.ndarray) -> np.ndarray:
    """Return one rotation of each coset of a subgroup, that of the fewest shears, 1 first."""
    left = list(group[np.argsort([shears(g) for g in group], kind="stable")])
    chosen = []
    while left:
        chosen.append(left[0])
        coset = kept @ left[0]
        left = [g for g in left if abs(coset - g).max((1, 2)).min() > 1e-6]
    return np.stack(chosen)
