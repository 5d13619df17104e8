"""Projections of a sum of Gaussians against their closed form."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator
from functools import partial
from types import ModuleType
from typing import NamedTuple

import numpy as np

from fslice._arrays import to_numpy
from fslice.certify._checks import Check, Setting, draw_rotations, generator, relative
from fslice.fourier import irfft2
from fslice.operators.direct import project_direct
from fslice.operators.projector import Projector
from fslice.operators.realspace import project_realspace
from fslice.simulation.gaussians import GaussianModel
from fslice.simulation.phantoms import phantom

SIZES = (64, 63)
RADII = (0.5, 0.9)
"""Of the phantom, relative to half the box."""

BOUNDS: dict[tuple[str, int, float], float] = {
    ("linear", 1, 0.5): 3e-2,
    ("linear", 2, 0.5): 8e-3,
    ("cubic", 1, 0.5): 6e-4,
    ("cubic", 2, 0.5): 3e-5,
    ("linear", 1, 0.9): 2.4e-1,
    ("linear", 2, 0.9): 5e-2,
    ("cubic", 1, 0.9): 2.6e-2,
    ("cubic", 2, 0.9): 8e-4,
}
"""Relative L2 error by kernel, oversampling and radius."""

DIRECT_BOUNDS = {"float64": 1e-10, "float32": 1e-5}
REALSPACE_BOUNDS = {0.5: 1.3e-2, 0.9: 2.4e-2}

_COUNT = 2


class Known(NamedTuple):
    """An object, poses and, in closed form, its projections."""

    volume: np.ndarray
    rotations: np.ndarray
    shifts: np.ndarray
    images: np.ndarray


def analytic_checks(backend: str, xp: ModuleType) -> Iterator[Check]:
    """Yield the comparisons of `Projector`, which uses kernels."""
    for (kernel, oversampling, radius), bound in BOUNDS.items():
        for size in SIZES:
            for dtype in ("float64", "float32"):
                setting = Setting(backend, dtype, size, oversampling, kernel)
                yield Check(
                    "analytic",
                    f"Projector.project (radius {radius})",
                    setting,
                    bound,
                    partial(_project, setting, radius, xp),
                )
                yield Check(
                    "analytic",
                    f"Projector.project (lines, radius {radius})",
                    setting,
                    bound,
                    partial(_project_lines, setting, radius, xp),
                )


def general_analytic_checks() -> Iterator[Check]:
    """Yield the comparisons of what uses no kernel."""
    for size in SIZES:
        for dtype in ("float64", "float32"):
            setting = Setting(dtype=dtype, size=size)
            for subject, measure in (("", _direct), (" (lines)", _direct_lines)):
                yield Check(
                    "analytic",
                    f"project_direct{subject}",
                    setting,
                    DIRECT_BOUNDS[dtype],
                    partial(measure, setting),
                )
            for radius, bound in REALSPACE_BOUNDS.items():
                yield Check(
                    "analytic",
                    f"project_realspace (radius {radius})",
                    setting,
                    bound,
                    partial(_realspace, setting, radius),
                )


def _in(dtype: str, known: Known) -> Known:
    return Known(*(array.astype(dtype) for array in known))


@functools.lru_cache(maxsize=2)
def _phantom(size: int, radius: float) -> Known:
    """Return the phantom as a band-limited volume, and its projections in random poses."""
    model = phantom(size, 1.0, radius=radius)
    rng = generator("phantom", size, radius)
    rotations, shifts = draw_rotations(rng, _COUNT + 1, 3)[1:], rng.uniform(-2, 2, (_COUNT, 2))
    images = irfft2(model.project_ft(rotations, size, 1.0, shifts))
    return Known(model.volume(size, 1.0), rotations, shifts, images)


@functools.lru_cache(maxsize=2)
def _flat(model_of: Callable[[int, float], GaussianModel], size: int, radius: float) -> Known:
    """Return an image of a model, and its projections to lines along the y axis."""
    model = model_of(size, radius)
    rng = generator("lines", size, radius)
    rotations = draw_rotations(rng, _COUNT + 1, 2)[1:]
    in_space = np.zeros((_COUNT, 3, 3))
    in_space[:, :2, :2], in_space[:, 2, 2] = rotations, 1
    shifts = np.array([[1.3], [-0.6]])
    turned = model.project_ft(in_space, size, 1.0, np.append(shifts, 0 * shifts, axis=1))
    image = irfft2(model.project_ft(np.eye(3), size, 1.0))
    return Known(image, rotations, shifts, irfft2(turned).sum(-2))


def _phantom_model(size: int, radius: float) -> GaussianModel:
    return phantom(size, 1.0, radius=radius)


def _smooth_model(size: int, radius: float) -> GaussianModel:
    """Return Gaussians so wide, and so far inside, that neither side aliases beyond rounding."""
    model = phantom(size, 1.0, radius=radius)
    return GaussianModel(model.positions, model.weights, model.variances + 1.8**2)


def _project(setting: Setting, radius: float, xp: ModuleType) -> float:
    return _projected(setting, _phantom(setting.size, radius), xp)


def _project_lines(setting: Setting, radius: float, xp: ModuleType) -> float:
    return _projected(setting, _flat(_phantom_model, setting.size, radius), xp)


def _projected(setting: Setting, truth: Known, xp: ModuleType) -> float:
    known = _in(setting.dtype, truth)
    projector = Projector(setting.size, setting.oversampling, setting.kernel)  # type: ignore[arg-type]
    found = projector.project(
        xp.asarray(known.volume), xp.asarray(known.rotations), xp.asarray(known.shifts)
    )
    return relative(to_numpy(found), truth.images)


def _direct(setting: Setting) -> float:
    model, known = _smooth_model(setting.size, 0.4), _phantom(setting.size, 0.5)
    expected = irfft2(model.project_ft(known.rotations, setting.size, 1.0, known.shifts))
    volume = model.density(setting.size, 1.0)
    own = _in(setting.dtype, known._replace(volume=volume))
    return relative(project_direct(own.volume, own.rotations, own.shifts), expected)


def _direct_lines(setting: Setting) -> float:
    truth = _flat(_smooth_model, setting.size, 0.4)
    known = _in(setting.dtype, truth)
    return relative(project_direct(known.volume, known.rotations, known.shifts), truth.images)


def _realspace(setting: Setting, radius: float) -> float:
    truth = _phantom(setting.size, radius)
    known = _in(setting.dtype, truth)
    return relative(project_realspace(known.volume, known.rotations, known.shifts), truth.images)
