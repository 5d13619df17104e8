"""Derivatives against central differences, in double precision, where the function is smooth."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from types import ModuleType
from typing import Any

from fslice._arrays import Array, array_namespace
from fslice.certify._cases import Case, draw_case, half_inner
from fslice.certify._checks import (
    GRADIENT_BOUND,
    Check,
    Setting,
    generator,
    noise,
    relative,
    settings,
)
from fslice.certify._differences import STEP, Problem, gradient_check
from fslice.fourier import hermitian_weights
from fslice.geometry import rotvec_to_matrix
from fslice.operators.gradients import Misfit, MisfitGradients
from fslice.operators.pose_curvature import PoseCurvature, pose_curvature
from fslice.operators.slices import extract_slices, extract_slices_vjp


def gradient_checks(backend: str, xp: ModuleType) -> Iterator[Check]:
    """Yield the checks of the derivatives of what uses kernels."""
    for setting in settings(backend, ("float64",)):
        yield gradient_check("extract_slices: rotations", setting, partial(_slices, setting, xp))
        for dimension, objects in ((3, ""), (2, " (lines)")):
            for name in ("volume_ft", "rotations", "shifts", "ctf"):
                yield gradient_check(
                    f"Projector.project_ft{objects}: {name}",
                    setting,
                    partial(_project_ft, setting, dimension, xp, name),
                )
            yield gradient_check(
                f"Projector.misfit{objects}: volume_ft",
                setting,
                partial(_misfit, setting, dimension, xp),
            )
            for name in ("rotations", "shifts", "ctf"):
                yield gradient_check(
                    f"Projector.misfit_gradients{objects}: {name}",
                    setting,
                    partial(_misfit_gradients, setting, dimension, xp, name),
                )
        yield gradient_check("pose_curvature: pose", setting, partial(_pose, setting, xp))
        yield Check(
            "gradient",
            "pose_curvature: matrix",
            setting,
            GRADIENT_BOUND,
            partial(_pose_matrix, setting, xp),
        )


def _slices(setting: Setting, xp: ModuleType) -> Problem:
    case, size = draw_case(setting, 3, xp, smooth=True), setting.size
    options: dict[str, Any] = {"interpolation": setting.kernel, "max_radius": float(size)}
    product = half_inner(size)
    _, grad_rotations = extract_slices_vjp(
        case.volume_ft, case.rotations, **options, cotangent=case.images_ft
    )

    def function(rotations: Array) -> float:
        slices = extract_slices(case.volume_ft, rotations, size, **options)
        return product(slices, case.images_ft)

    return Problem(function, grad_rotations, case.rotations, case.direction["rotations"])


def _project_ft(setting: Setting, dimension: int, xp: ModuleType, name: str) -> Problem:
    case = draw_case(setting, dimension, xp, smooth=True)
    product = half_inner(setting.size)
    found = case.projector.project_ft_vjp(case.volume_ft, *case.pose, cotangent=case.images_ft)

    def function(value: Array) -> float:
        own: Case = case._replace(**{name: value})
        return product(own.projector.project_ft(own.volume_ft, *own.pose), case.images_ft)

    return Problem(
        function,
        getattr(found, name),
        getattr(case, name),
        case.direction[name],
        _inner(case, name),
    )


def _misfit(setting: Setting, dimension: int, xp: ModuleType) -> Problem:
    case = draw_case(setting, dimension, xp)
    weights = abs(case.ctf[0]) + 1

    def misfit(volume_ft: Array) -> Misfit:
        return case.projector.misfit(volume_ft, case.images_ft, *case.pose, weights=weights)

    return Problem(
        lambda v: float(misfit(v)[0].sum()) / 2,
        misfit(case.volume_ft)[1],
        case.volume_ft,
        case.direction["volume_ft"],
        half_inner(case.projector.padded_size),
    )


def _misfit_gradients(setting: Setting, dimension: int, xp: ModuleType, name: str) -> Problem:
    case = draw_case(setting, dimension, xp, smooth=True)
    weights = abs(case.ctf[0]) + 1

    def misfit(value: Array) -> MisfitGradients:
        own: Case = case._replace(**{name: value})
        return own.projector.misfit_gradients(
            own.volume_ft, own.images_ft, *own.pose, weights=weights
        )

    value = getattr(case, name)
    return Problem(
        lambda value: float(misfit(value)[0].sum()) / 2,
        getattr(misfit(value)[1], name),
        value,
        case.direction[name],
        _inner(case, name),
    )


def _inner(case: Case, name: str) -> Callable[[Array, Array], float] | None:
    """Return the product of gradients and directions in that input, unless it is the plain one."""
    if name == "volume_ft":
        return half_inner(case.projector.padded_size)
    if name == "ctf":
        weights = hermitian_weights(case.projector.size, array_namespace(case.ctf))
        return lambda a, b: float((a * b * weights).sum())
    return None


def _moved(case: Case, pose: Array) -> Case:
    """Return the case with its poses moved by (wx, wy, wz, tx, ty)."""
    rotations = case.rotations @ rotvec_to_matrix(pose[:, :3])
    return case._replace(rotations=rotations, shifts=case.shifts + pose[:, 3:])


def _pose(setting: Setting, xp: ModuleType) -> Problem:
    case = draw_case(setting, 3, xp, smooth=True)
    weights = abs(case.ctf[0]) + 1

    def curvature(own: Case) -> PoseCurvature:
        return pose_curvature(
            own.projector, own.volume_ft, own.images_ft, *own.pose, weights=weights
        )

    direction = xp.asarray(noise(generator("pose", setting[1:]), (len(case.rotations), 5)))
    return Problem(
        lambda pose: float(curvature(_moved(case, pose)).chi_squared.sum()) / 2,
        curvature(case).gradient,
        0 * direction,
        direction,
    )


def _pose_matrix(setting: Setting, xp: ModuleType) -> float:
    """Return how far the matrix is from the power of the difference of two projections."""
    case = draw_case(setting, 3, xp, smooth=True)
    found = pose_curvature(case.projector, case.volume_ft, case.images_ft, *case.pose).matrix
    direction = xp.asarray(noise(generator("pose", setting[1:]), (len(case.rotations), 5)))
    after, before = (
        own.projector.project_ft(own.volume_ft, *own.pose)
        for own in (_moved(case, STEP * direction), _moved(case, -STEP * direction))
    )
    slope, product = (after - before) / (2 * STEP), half_inner(setting.size)
    expected = xp.asarray([product(one, one) for one in slope])
    return relative(xp.einsum("na,nab,nb->n", direction, found, direction), expected)
