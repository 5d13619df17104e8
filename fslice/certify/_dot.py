"""Dot tests: ``<A x, y> == <x, A* y>`` for every operator, on unrestricted noise."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from functools import partial
from types import ModuleType
from typing import Any

import numpy as np

from fslice._arrays import Array, complex_dtype
from fslice.certify._cases import Case, draw_case, half_inner
from fslice.certify._checks import (
    SIZES,
    Check,
    Setting,
    draw_rotations,
    generator,
    noise,
    rounding_bound,
    settings,
)
from fslice.fourier import inverse_transform, transform
from fslice.operators.contrast import scale_slices
from fslice.operators.direct import (
    backproject_direct,
    fourier_sum,
    fourier_sum_adjoint,
    project_direct,
)
from fslice.operators.linop import LinearOperator, stack
from fslice.operators.realspace import (
    backproject_realspace,
    project_realspace,
    rotate_volume,
    rotate_volume_adjoint,
)
from fslice.operators.shifts import shift_slices
from fslice.operators.slices import extract_slices, insert_slices
from fslice.operators.spaces import Space
from fslice.testing import InnerProduct, check_adjoint

Maps = tuple[Callable[[Array], Array], Callable[[Array], Array], Array, Array]


def dot_checks(backend: str, xp: ModuleType) -> Iterator[Check]:
    """Yield the dot tests of the operators that use kernels."""
    for setting in settings(backend):
        yield _check("extract_slices", setting, partial(_slices, setting, xp))
        for dimension, objects in ((3, ""), (2, " (lines)")):
            for name, measure in (("project", _project), ("project_ft", _project_ft)):
                yield _check(
                    f"Projector.{name}{objects}",
                    setting,
                    partial(measure, setting, dimension, xp),
                )


def general_dot_checks() -> Iterator[Check]:
    """Yield the dot tests of the operators that use no kernel."""
    for size in SIZES:
        for dtype in ("float64", "float32"):
            setting = Setting(dtype=dtype, size=size)
            for dimension in (2, 3):
                for name, make in _GENERAL.items():
                    if name in _OF_IMAGES and dimension == 3:
                        continue
                    yield _check(
                        f"{name} ({dimension}-D)",
                        setting,
                        partial(_general, make, setting, dimension),
                    )


def _check(subject: str, setting: Setting, measure: Callable[[], float]) -> Check:
    return Check("dot", subject, setting, rounding_bound(setting.dtype), measure)


def _slices(setting: Setting, xp: ModuleType) -> float:
    case = draw_case(setting, 3, xp)
    box, size = case.projector.padded_size, setting.size
    options: dict[str, Any] = {"interpolation": setting.kernel, "max_radius": float(size)}
    return check_adjoint(
        lambda v: extract_slices(v, case.rotations, size, **options),
        lambda s: insert_slices(s, case.rotations, box, **options),
        case.volume_ft,
        case.images_ft,
        tolerance=math.inf,
    )


def _project(setting: Setting, dimension: int, xp: ModuleType) -> float:
    case: Case = draw_case(setting, dimension, xp)
    return check_adjoint(
        lambda v: case.projector.project(v, *case.pose),
        lambda y: case.projector.backproject(y, *case.pose),
        case.volume,
        case.images,
        tolerance=math.inf,
    )


def _project_ft(setting: Setting, dimension: int, xp: ModuleType) -> float:
    case = draw_case(setting, dimension, xp)
    return check_adjoint(
        lambda v: case.projector.project_ft(v, *case.pose),
        lambda y: case.projector.backproject_ft(y, *case.pose),
        case.volume_ft,
        case.images_ft,
        inner_x=half_inner(case.projector.padded_size),
        inner_y=half_inner(setting.size),
        tolerance=math.inf,
    )


def _general(make: Callable[..., Maps], setting: Setting, dimension: int) -> float:
    rng = generator("dot", setting, dimension)
    apply, adjoint, x, y = make(rng, setting.size, dimension, setting.dtype)
    inner: dict[str, InnerProduct] = {"inner_x": _real_product, "inner_y": _real_product}
    if make in (_fourier, _shifted, _scaled):
        inner = {
            f"inner_{name}": half_inner(setting.size)
            for name, array in (("x", x), ("y", y))
            if array.dtype.kind == "c"
        }
    return check_adjoint(apply, adjoint, x, y, **inner, tolerance=math.inf)


def _real_product(a: Array, b: Array) -> float:
    """Return ``sum Re(conj(a) b)``: of real arrays, and of values that stand for themselves."""
    return float((a.astype(np.result_type(a, "float64")).conj() * b).real.sum())


def _fourier(rng: Any, size: int, dimension: int, dtype: str) -> Maps:
    return (
        lambda x: transform(x, dimension),
        lambda y: inverse_transform(y, dimension, size),
        noise(rng, (size,) * dimension, dtype),
        noise(rng, (*[size] * (dimension - 1), size // 2 + 1), complex_dtype(dtype)),
    )


def _shifted(rng: Any, size: int, dimension: int, dtype: str) -> Maps:
    x, y = noise(rng, (2, 3, size, size // 2 + 1), complex_dtype(dtype))
    shifts = noise(rng, (3, 2), dtype)
    return lambda x: shift_slices(x, shifts), lambda y: shift_slices(y, -shifts), x, y


def _scaled(rng: Any, size: int, dimension: int, dtype: str) -> Maps:
    x, y = noise(rng, (2, 3, size, size // 2 + 1), complex_dtype(dtype))
    scales = noise(rng, (3,), dtype)
    return lambda x: scale_slices(x, scales), lambda y: scale_slices(y, scales), x, y


def _poses(rng: Any, dimension: int, free: int, dtype: str) -> tuple[Array, Array]:
    return draw_rotations(rng, 2, dimension).astype(dtype), noise(rng, (2, free), dtype)


def _rotated(rng: Any, size: int, dimension: int, dtype: str) -> Maps:
    pose = _poses(rng, dimension, dimension, dtype)
    return (
        lambda v: rotate_volume(v, *pose),
        lambda u: rotate_volume_adjoint(u, *pose),
        noise(rng, (size,) * dimension, dtype),
        noise(rng, (2, *[size] * dimension), dtype),
    )


def _projected(project: Any, backproject: Any) -> Callable[..., Maps]:
    def make(rng: Any, size: int, dimension: int, dtype: str) -> Maps:
        pose = _poses(rng, dimension, dimension - 1, dtype)
        return (
            lambda v: project(v, *pose),
            lambda y: backproject(y, *pose),
            noise(rng, (size,) * dimension, dtype),
            noise(rng, (2, *[size] * (dimension - 1)), dtype),
        )

    return make


def _summed(rng: Any, size: int, dimension: int, dtype: str) -> Maps:
    q = size * noise(rng, (5, dimension), dtype)
    return (
        lambda v: fourier_sum(v, q),
        lambda values: fourier_sum_adjoint(values, q, size),
        noise(rng, (size,) * dimension, dtype),
        noise(rng, (5,), complex_dtype(dtype)),
    )


def _stacked(rng: Any, size: int, dimension: int, dtype: str) -> Maps:
    """Compose operators of matrices: the algebra itself."""
    space, (one, two) = Space((size,), dtype), noise(rng, (2, size, size), dtype)
    a = LinearOperator(space, space, lambda x: one @ x, lambda y: one.T @ y)
    b = LinearOperator(space, space, lambda x: two @ x, lambda y: two.T @ y)
    operator = stack([a @ b + 2 * a.H] * (dimension - 1))
    y = noise(rng, (dimension - 1, size), dtype)
    return operator, operator.H, noise(rng, (size,), dtype), y


_OF_IMAGES = ("shift_slices", "scale_slices")

_GENERAL: dict[str, Callable[..., Maps]] = {
    "rfft": _fourier,
    "shift_slices": _shifted,
    "scale_slices": _scaled,
    "rotate_volume": _rotated,
    "project_realspace": _projected(project_realspace, backproject_realspace),
    "fourier_sum": _summed,
    "project_direct": _projected(project_direct, backproject_direct),
    "LinearOperator": _stacked,
}
