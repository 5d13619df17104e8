"""Central differences: what every check of a derivative is made of."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import NamedTuple

from fslice._arrays import Array
from fslice.certify._checks import GRADIENT_BOUND, Check, Setting
from fslice.testing import InnerProduct, check_gradient

STEP = 1e-6


class Problem(NamedTuple):
    """A scalar function, its gradient at a point, and a direction."""

    function: Callable[[Array], float]
    gradient: Array
    point: Array
    direction: Array
    inner: InnerProduct | None = None
    step: float = STEP


def gradient_check(subject: str, setting: Setting, make: Callable[[], Problem]) -> Check:
    return Check("gradient", subject, setting, GRADIENT_BOUND, lambda: _solve(make()))


def _solve(problem: Problem) -> float:
    return check_gradient(
        problem.function,
        problem.gradient,
        problem.point,
        problem.direction,
        inner=problem.inner,
        step=problem.step,
        tolerance=math.inf,
    )
