"""Point groups of rotations, in RELION's orientations."""

from __future__ import annotations

import re
from math import sqrt
from typing import Any

import numpy as np

from fslice._arrays import Array, placed
from fslice.geometry.rotvec import rotvec_to_matrix

_GOLDEN = (1 + sqrt(5)) / 2

# fold and axis (x, y, z) of each generator
_GENERATORS = {
    "T": ((3, (0, 0, 1)), (2, (0, sqrt(2), 1))),
    "O": ((3, (1, 1, 1)), (4, (0, 0, 1))),
    "I1": ((2, (1, 0, 0)), (5, (_GOLDEN, 0, -1))),
    "I2": ((2, (0, 0, 1)), (5, (1, 0, _GOLDEN))),
    "I3": ((2, (-1, 0, _GOLDEN)), (5, (0, 0, 1))),
    "I4": ((2, (1, 0, _GOLDEN)), (5, (0, 0, 1))),
}


def symmetry_rotations(symmetry: str, *, dtype: Any = None, like: Array | None = None) -> Array:
    """Return all rotations of a point group.

    Parameters
    ----------
    symmetry : str
        ``C1`` to ``C99``, ``D1`` to ``D99``, ``T``, ``O``, ``I`` or ``I1`` to ``I4``, in either
        case.
    dtype : {"float64", "float32"}, optional
    like : array, optional
        Give the rotations its library, device and precision.

    Returns
    -------
    (order, 3, 3) real array
        NumPy's, in double precision, by default.
        Acting on (x, y, z); the identity is first. A volume v has the symmetry if
        ``v(g @ x) == v(x)`` for every g, so ``R`` and ``g @ R`` see the same.

    Raises
    ------
    ValueError
        The name is not one of these.
    TypeError
        It is not a string.

    Notes
    -----
    The axes are those of RELION (its ``symmetries.cpp``):

    ======  ==========================================================================
    Cn      n-fold on z
    Dn      n-fold on z, two-fold on x
    T       three-fold on z, a two-fold in the plane x = 0
    O       four-folds on x, y and z
    I, I2   two-folds on x, y and z, a five-fold in the xz plane nearer to z
    I1      two-folds on x, y and z, a five-fold in the xz plane nearer to x: I2 turned by 90
            degrees
    I3, I4  five-fold on z, the two-fold next to it in the xz plane at x < 0, or at x > 0
    ======  ==========================================================================

    Examples
    --------
    >>> [len(symmetry_rotations(name)) for name in ("C7", "D7", "T", "O", "I")]
    [7, 14, 12, 24, 60]
    >>> symmetry_rotations("C2")[1].round(9) + 0.0
    array([[-1.,  0.,  0.],
           [ 0., -1.,  0.],
           [ 0.,  0.,  1.]])
    """
    generators = [_turn(fold, axis) for fold, axis in _generators(symmetry_name(symmetry))]
    return placed(_closure(generators), like, dtype)


def symmetry_name(symmetry: str) -> str:
    """Return the one name by which a point group is recorded, or raise.

    Examples
    --------
    >>> symmetry_name("c7"), symmetry_name("i")
    ('C7', 'I2')
    """
    if not isinstance(symmetry, str):
        raise TypeError(f"symmetry: expected a name such as 'C7', got {symmetry!r}")
    name = "I2" if symmetry.upper() == "I" else symmetry.upper()
    if name not in _GENERATORS and not re.fullmatch(r"[CD][1-9][0-9]?", name):
        raise ValueError(
            f"symmetry: expected C1 to C99, D1 to D99, T, O, I or I1 to I4, got {symmetry!r}"
        )
    return name


def _generators(name: str) -> tuple[tuple[int, tuple[float, float, float]], ...]:
    if name in _GENERATORS:
        return _GENERATORS[name]
    main = (int(name[1:]), (0, 0, 1))
    return (main,) if name[0] == "C" else (main, (2, (1, 0, 0)))


def _turn(fold: int, axis: tuple[float, float, float]) -> np.ndarray:
    direction = np.array(axis, np.float64)
    return rotvec_to_matrix(direction * (2 * np.pi / fold / np.linalg.norm(direction)))


def _closure(generators: list[np.ndarray]) -> np.ndarray:
    """Return all products of the generators, the identity first."""
    found, latest = np.eye(3)[None], [np.eye(3)]
    while latest:
        before, latest = latest, []
        for product in (a @ b for a in before for b in generators):
            if abs(found - product).max((1, 2)).min() > 1e-6:
                found = np.concatenate([found, product[None]])
                latest.append(product)
    return found
