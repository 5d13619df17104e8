"""Derivatives of what uses no kernel, against central differences."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import numpy as np

from fslice._arrays import Array
from fslice.certify._cases import half_inner
from fslice.certify._checks import (
    SIZES,
    Check,
    Setting,
    draw_rotations,
    generator,
    noise,
)
from fslice.certify._definition_general import draw_ctf
from fslice.certify._differences import Problem, gradient_check
from fslice.fourier import hermitian_weights, transform
from fslice.geometry import (
    euler_to_matrix,
    euler_to_matrix_vjp,
    quaternion_to_matrix,
    quaternion_to_matrix_vjp,
    rotvec_to_matrix,
    rotvec_to_matrix_vjp,
    tangent_vjp,
)
from fslice.likelihoods.gaussian import GaussianNoise
from fslice.likelihoods.poisson import poisson_log_likelihood, poisson_log_likelihood_gradient
from fslice.operators.contrast import scale_slices, scale_slices_vjp
from fslice.operators.direct import fourier_sum, fourier_sum_vjp, project_direct, project_direct_vjp
from fslice.operators.realspace import (
    project_realspace,
    project_realspace_vjp,
    rotate_volume,
    rotate_volume_vjp,
)
from fslice.operators.shifts import shift_slices, shift_slices_vjp

_CTF_SCALES = {
    "defocus_u": 100.0,
    "defocus_v": 100.0,
    "astigmatism_angle": 1.0,
    "phase_shift": 1.0,
    "amplitude_contrast": 0.01,
    "b_factor": 1.0,
    "scale": 0.1,
}
"""Changes of the parameters that change the function about equally."""


def general_gradient_checks() -> Iterator[Check]:
    """Yield the checks of the derivatives of what uses no kernel."""
    for name in _CTF_SCALES:
        yield gradient_check(f"CTF: {name}", Setting(), partial(_ctf, name))
    for name, make in _ROTATIONS.items():
        yield gradient_check(name, Setting(size=3), make)
    for size in SIZES:
        setting = Setting(size=size)
        for argument in ("expected_ft", "variances"):
            yield gradient_check(
                f"GaussianNoise: {argument}", setting, partial(_noise, size, argument)
            )
        yield gradient_check("poisson_log_likelihood: rates", setting, partial(_poisson, size))
        for argument in ("slices", "shifts"):
            yield gradient_check(
                f"shift_slices: {argument}", setting, partial(_shift, size, argument)
            )
        for argument in ("slices", "scales"):
            yield gradient_check(
                f"scale_slices: {argument}", setting, partial(_scale, size, argument)
            )
        for dimension in (2, 3):
            for argument in ("volume", "frequencies"):
                yield gradient_check(
                    f"fourier_sum ({dimension}-D): {argument}",
                    setting,
                    partial(_sum, size, dimension, argument),
                )
            for name, functions in _PROJECTIONS.items():
                for argument in ("volume", "rotations", "shifts"):
                    yield gradient_check(
                        f"{name} ({dimension}-D): {argument}",
                        setting,
                        partial(_project, size, dimension, argument, *functions),
                    )


def _ctf(name: str) -> Problem:
    rng, size, count = generator("ctf gradient", name), 8, 3
    ctf, cotangent = draw_ctf(rng, count), noise(rng, (count, size, size // 2 + 1))
    weights = cotangent * hermitian_weights(size)
    scale = _CTF_SCALES[name]
    return Problem(
        # in units in which the derivative is of order one
        lambda x: float((ctf.replace(**{name: scale * x}).evaluate(size) * weights).sum()),
        scale * getattr(ctf.vjp(size, cotangent=cotangent), name),
        getattr(ctf, name) / scale,
        noise(rng, (count,)),
        step=1e-4,
    )


def _described(to_matrix: Any, vjp: Any, scale: float, length: int) -> Problem:
    rng = generator("rotation", length)
    point, cotangent = noise(rng, (2, length)), noise(rng, (2, 3, 3))
    return Problem(
        lambda x: float((to_matrix(scale * x) * cotangent).sum()),
        scale * vjp(scale * point, cotangent=cotangent)[0],
        point,
        noise(rng, (2, length)),
    )


def _tangent() -> Problem:
    rng = generator("tangent")
    rotations, cotangent = draw_rotations(rng, 2, 3), noise(rng, (2, 3, 3))
    return Problem(
        lambda w: float((rotations @ rotvec_to_matrix(w) * cotangent).sum()),
        tangent_vjp(rotations, cotangent=cotangent).tangent,
        np.zeros((2, 3)),
        noise(rng, (2, 3)),
    )


_ROTATIONS: dict[str, Callable[[], Problem]] = {
    "euler_to_matrix": partial(_described, euler_to_matrix, euler_to_matrix_vjp, 60.0, 3),
    "quaternion_to_matrix": partial(
        _described, quaternion_to_matrix, quaternion_to_matrix_vjp, 1.0, 4
    ),
    "rotvec_to_matrix": partial(_described, rotvec_to_matrix, rotvec_to_matrix_vjp, 1.0, 3),
    "tangent_vjp": _tangent,
}


def _per_image(
    name: str, apply: Callable, vjp: Callable, each: tuple, size: int, argument: str
) -> Problem:
    """Return the gradient of an operator on slices that takes values of shape `each` per image."""
    rng = generator(name, size, argument)
    slices, cotangent, direction = noise(rng, (3, 2, size, size // 2 + 1), "complex128")
    values, changed = noise(rng, (2, 2, *each))
    grad_slices, by_values = vjp(slices, values, cotangent=cotangent)
    product = half_inner(size)
    if argument == "slices":
        return Problem(
            lambda z: product(apply(z, values), cotangent),
            grad_slices, slices, direction, product,
        )  # fmt: skip
    return Problem(lambda v: product(apply(slices, v), cotangent), by_values, values, changed)


_shift = partial(_per_image, "shift", shift_slices, shift_slices_vjp, (2,))
_scale = partial(_per_image, "scale", scale_slices, scale_slices_vjp, ())


def _noise(size: int, argument: str) -> Problem:
    """Return the log-likelihood of noise by group and shell."""
    rng = generator("noise", size, argument)
    y, expected, direction = (transform(noise(rng, (3, size, size)), 2) for _ in range(3))
    table, groups = rng.uniform(0.5, 2, (2, size // 2 + 1)), np.array([1, 0, 1])
    grad_expected, grad_variances = GaussianNoise(table, groups).log_likelihood_gradients(
        y, expected
    )
    if argument == "expected_ft":
        return Problem(
            lambda z: float(GaussianNoise(table, groups).log_likelihood(y, z).sum()),
            grad_expected, expected, direction, half_inner(size),
        )  # fmt: skip
    return Problem(
        lambda v: float(GaussianNoise(v, groups).log_likelihood(y, expected).sum()),
        grad_variances, table, noise(rng, table.shape),
    )  # fmt: skip


def _poisson(size: int) -> Problem:
    rng = generator("poisson", size)
    rates, direction = rng.uniform(0.5, 30, (size, size)), noise(rng, (size, size))
    counts = rng.poisson(rates).astype(float)
    return Problem(
        lambda r: float(poisson_log_likelihood(counts, r)),
        poisson_log_likelihood_gradient(counts, rates),
        rates,
        direction,
    )


def _sum(size: int, dimension: int, argument: str) -> Problem:
    rng = generator("sum", size, dimension, argument)
    volume, direction = noise(rng, (2, *[size] * dimension))
    q, turned = size / 4 * noise(rng, (2, 5, dimension))
    g = noise(rng, (5,), "complex128")
    grad_volume, by_q = fourier_sum_vjp(volume, q, cotangent=g)
    if argument == "volume":
        return Problem(
            lambda v: float((g.conj() * fourier_sum(v, q)).real.sum()),
            grad_volume, volume, direction,
        )  # fmt: skip
    return Problem(lambda q: float((g.conj() * fourier_sum(volume, q)).real.sum()), by_q, q, turned)


def _project(
    size: int, dimension: int, argument: str, project: Any, vjp: Any, free: int
) -> Problem:
    rng = generator("project", size, dimension, argument, free)
    rotations = draw_rotations(rng, 2, dimension, 1.0, size)
    arguments = {
        "volume": noise(rng, (size,) * dimension),
        "rotations": rotations,
        "shifts": noise(rng, (2, dimension - free)),
    }
    cotangent = noise(rng, (2, *[size] * (dimension - free)))
    gradients = vjp(**arguments, cotangent=cotangent)

    def function(value: Array) -> float:
        return float((project(*(arguments | {argument: value}).values()) * cotangent).sum())

    point = arguments[argument]
    return Problem(function, getattr(gradients, argument), point, noise(rng, point.shape))


_PROJECTIONS: dict[str, tuple[Any, Any, int]] = {
    "rotate_volume": (rotate_volume, rotate_volume_vjp, 0),
    "project_realspace": (project_realspace, project_realspace_vjp, 1),
    "project_direct": (project_direct, project_direct_vjp, 1),
}
