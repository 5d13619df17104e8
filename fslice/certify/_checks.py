"""A check to be made, the line it gives, and the random input that all of them share."""

from __future__ import annotations

import zlib
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import numpy as np

from fslice._arrays import Array
from fslice.geometry import random_rotations

SIZES = (8, 7)
"""Boxes of both parities, small enough for every pair of sample and grid point to be visited."""

GRADIENT_BOUND = 1e-6
MARGIN = 2e-4
"""How far from the faces of cells samples lie, in cells, where a linear slice is differentiated."""


class Setting(NamedTuple):
    """What a check depends on; a dash where it does not apply."""

    backend: str = "-"
    dtype: str = "float64"
    size: int = 8
    oversampling: int | str = "-"
    kernel: str = "-"


class Check(NamedTuple):
    """A measurement that has not been made yet."""

    test: str
    subject: str
    setting: Setting
    bound: float
    measure: Callable[[], float]


class Line(NamedTuple):
    """A line of the certificate: what was tested, and how far it is off.

    Parameters
    ----------
    test : str
        "dot", "gradient", "definition" or "analytic".
    subject : str
        The operator, and in which of its arguments it was differentiated.
    backend : str
        Who computed the kernels; "-" where none is used.
    dtype : str
        Precision.
    size : int
        Box D.
    oversampling : int or "-"
    kernel : str
        "linear", "cubic" or "-".
    figure : float
        The error; infinite where the operator raised.
    bound : float
        What it may be.
    note : str
        What was raised, if anything was.
    """

    test: str
    subject: str
    backend: str
    dtype: str
    size: int
    oversampling: int | str
    kernel: str
    figure: float
    bound: float
    note: str = ""

    @property
    def passed(self) -> bool:
        """Whether the figure is within the bound; not if it is no number."""
        return bool(self.figure <= self.bound)


def measured(check: Check) -> Line:
    """Make a check; an exception is a finding like any other."""
    note = ""
    try:
        figure = float(check.measure())
    except Exception as error:
        figure, note = float("inf"), f"{type(error).__name__}: {' '.join(str(error).split())}"
    return Line(check.test, check.subject, *check.setting, figure, check.bound, note)


def settings(backend: str, dtypes: tuple[str, ...] = ("float64", "float32")) -> Iterator[Setting]:
    """Yield every kernel, oversampling, parity and precision."""
    for kernel in ("linear", "cubic"):
        for oversampling in (1, 2):
            for size in SIZES:
                for dtype in dtypes:
                    yield Setting(backend, dtype, size, oversampling, kernel)


def rounding_bound(dtype: str) -> float:
    """Return 100 eps."""
    return 100 * float(np.finfo(dtype).eps)


def definition_check(subject: str, setting: Setting, measure: Callable[[], float]) -> Check:
    """Return the comparison of an operator with its formula, to rounding."""
    return Check("definition", subject, setting, rounding_bound(setting.dtype), measure)


def generator(*key: Any) -> np.random.Generator:
    """Return a generator whose seed is what the check is called."""
    return np.random.default_rng(zlib.crc32(repr(key).encode()))


def noise(rng: np.random.Generator, shape: tuple[int, ...], dtype: Any = "float64") -> np.ndarray:
    """Return normal noise, complex where the dtype is."""
    if np.dtype(dtype).kind == "c":
        return (rng.normal(size=shape) + 1j * rng.normal(size=shape)).astype(dtype)
    return rng.normal(size=shape).astype(dtype)


def draw_rotations(
    rng: np.random.Generator, count: int, dimension: int, inside: float | None = None, size: int = 0
) -> np.ndarray:
    """Return random rotations in two or three dimensions, one of them the identity.

    With `inside`, the oversampling, all samples of slices of box `size` lie inside cells, and none
    is the identity.
    """
    while True:
        if dimension == 3:
            rotations = random_rotations(count, rng)
        else:
            angle = rng.uniform(0, 2 * np.pi, count)
            rows = [[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]]
            rotations = np.moveaxis(np.array(rows), (0, 1), (1, 2)).copy()
        if inside is None:
            rotations[0] = np.eye(dimension)  # the samples fall on the grid, and on its border
            return rotations
        k = np.arange(-(size // 2), size // 2 + 1)
        grid = np.array(np.meshgrid(*[k] * (dimension - 1))).reshape(dimension - 1, -1)
        found = inside * rotations[..., :-1] @ grid[:, abs(grid).sum(0) > 0]
        if abs(found - np.rint(found)).min() > MARGIN:
            return rotations


def relative(found: Array, expected: Array) -> float:
    """Return the relative L2 distance of two arrays of one shape."""
    if found.shape != expected.shape:
        raise ValueError(f"expected shape {expected.shape}, got {found.shape}")
    difference = (abs(found - expected) ** 2).sum() ** 0.5
    return float(difference / (abs(expected) ** 2).sum() ** 0.5)
