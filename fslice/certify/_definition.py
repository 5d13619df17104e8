"""Kernels against their formulas, and composed operators against what they are composed of."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from functools import partial
from types import ModuleType

import numpy as np

from fslice._arrays import complex_dtype, to_numpy
from fslice.certify import _formula
from fslice.certify._cases import COUNT, Case, draw_case
from fslice.certify._checks import (
    Check,
    Setting,
    definition_check,
    generator,
    relative,
    settings,
)
from fslice.data.dataset import Dataset
from fslice.data.poses import Poses
from fslice.fourier import hermitian_weights, inverse_transform, transform
from fslice.operators.slices import extract_slices
from fslice.posterior.sums import normal_equations


def definition_checks(backend: str, xp: ModuleType) -> Iterator[Check]:
    """Yield the comparisons of everything that uses kernels."""
    for setting in settings(backend):
        yield definition_check("extract_slices", setting, partial(_slices, setting, xp, None))
        corners = float(setting.size)
        yield definition_check(
            "extract_slices (corners)", setting, partial(_slices, setting, xp, corners)
        )
        for dimension, objects in ((3, ""), (2, " (lines)")):
            for name, measure in _PROJECTIONS.items():
                yield definition_check(
                    f"Projector.{name}{objects}",
                    setting,
                    partial(_with_case, measure, setting, dimension, xp),
                )
        if setting.kernel == "linear":
            for dimension, objects in ((3, ""), (2, " (lines)")):
                yield definition_check(
                    f"NormalEquations.apply{objects}",
                    setting,
                    partial(_with_case, _normal, setting, dimension, xp),
                )


def _with_case(
    measure: Callable[[Case, Setting], float], setting: Setting, dimension: int, xp: ModuleType
) -> float:
    return measure(draw_case(setting, dimension, xp), setting)


def _real(case: Case) -> np.ndarray:
    """Return the real array of box M that the case's half spectrum belongs to."""
    volume_ft = to_numpy(case.volume_ft)
    return inverse_transform(volume_ft, volume_ft.ndim, case.projector.padded_size)


def _formula_images(case: Case, setting: Setting) -> np.ndarray:
    """Return ``amplitude * slice * phase * CTF``."""
    array, size = _real(case), setting.size
    rotations = to_numpy(case.rotations)
    slices = _formula.slices(array, rotations, size, setting.kernel, size)
    # the ratio of what unitary transforms divide by
    amplitude = math.sqrt(len(array) ** array.ndim / size ** (array.ndim - 1))
    phases = _formula.shift_factors(to_numpy(case.shifts), size)
    return amplitude * slices * phases * to_numpy(case.ctf)


def _slices(setting: Setting, xp: ModuleType, max_radius: float | None) -> float:
    case, size = draw_case(setting, 3, xp), setting.size
    found = extract_slices(
        case.volume_ft, case.rotations, size, interpolation=setting.kernel, max_radius=max_radius
    )
    radius = (size - 1) // 2 if max_radius is None else max_radius
    rotations = to_numpy(case.rotations)
    expected = _formula.slices(_real(case), rotations, size, setting.kernel, radius)
    return relative(to_numpy(found), expected)


def _project_ft(case: Case, setting: Setting) -> float:
    found = case.projector.project_ft(case.volume_ft, *case.pose)
    return relative(to_numpy(found), _formula_images(case, setting))


def _misfit(case: Case, setting: Setting) -> float:
    """Return the larger error of chi-squared, and of the gradient against its composition."""
    weights = abs(case.ctf[0]) + 1
    chi_squared, grad_volume = case.projector.misfit(
        case.volume_ft, case.images_ft, *case.pose, weights=weights
    )
    images = _formula_images(case, setting)
    band = _formula.band(setting.size, case.volume.ndim - 1, setting.size)
    residual = abs(images - to_numpy(case.images_ft)) ** 2 * to_numpy(weights) * band
    residual = residual * hermitian_weights(setting.size)
    expected = residual.reshape(COUNT, -1).sum(1)
    difference = case.projector.project_ft(case.volume_ft, *case.pose) - case.images_ft
    composed = case.projector.backproject_ft(difference * weights, *case.pose)
    return max(
        relative(to_numpy(chi_squared), expected),
        relative(to_numpy(grad_volume), to_numpy(composed)),
    )


def _misfit_gradients(case: Case, setting: Setting) -> float:
    """Return the largest difference from `misfit` and from projecting, comparing, and `vjp`."""
    images, volume_ft, pose = case.images_ft, case.volume_ft, case.pose
    weights = abs(case.ctf[0]) + 1
    chi_squared, found = case.projector.misfit_gradients(volume_ft, images, *pose, weights=weights)
    difference = (case.projector.project_ft(volume_ft, *pose) - images) * weights
    expected = case.projector.project_ft_vjp(volume_ft, *pose, cotangent=difference)
    alone, _ = case.projector.misfit(volume_ft, images, *pose, weights=weights)
    return max(
        relative(to_numpy(a), to_numpy(b))
        for a, b in zip((chi_squared, *found), (alone, *expected), strict=True)
    )


def _gram(case: Case, setting: Setting) -> float:
    """Return how far the Gram product is from projecting, weighting and back-projecting."""
    weights = abs(case.ctf[0]) + 1
    found = case.projector.gram(case.volume_ft, case.rotations, case.ctf, weights)
    images = case.projector.project_ft(case.volume_ft, *case.pose) * weights
    expected = case.projector.backproject_ft(images, *case.pose)
    return relative(to_numpy(found), to_numpy(expected))


def _gradient_in_volume(case: Case, setting: Setting) -> float:
    """Return how far the gradient in the volume is from the adjoint."""
    found = case.projector.project_ft_vjp(case.volume_ft, *case.pose, cotangent=case.images_ft)
    expected = case.projector.backproject_ft(case.images_ft, *case.pose)
    return relative(to_numpy(found.volume_ft), to_numpy(expected))


def _gram_diagonal(case: Case, setting: Setting) -> float:
    """Return the error of the diagonal at the origin and elsewhere, each probed by its waves."""
    diagonal = to_numpy(case.projector.gram_diagonal(case.rotations, case.ctf))
    rng, limit = generator("probe", setting), (case.projector.padded_size - 1) // 2
    found, expected = [], []
    for reach in (0, 1, 1, 2, limit, limit, limit):
        index = (
            *rng.integers(-reach, reach + 1, diagonal.ndim - 1),
            rng.integers(0, reach + 1),
        )
        found.append(diagonal[index])
        expected.append(_probed(case, setting, index))
    return relative(np.array(found), np.array(expected))


def _probed(case: Case, setting: Setting, index: tuple[int, ...]) -> float:
    """Return the mean of ``|P e|^2 / |e|^2`` over the waves of one frequency."""
    ratios = []
    for factor in (1, 1j):
        wave_ft = np.zeros(case.volume_ft.shape, complex)
        wave_ft[index] = factor
        wave = inverse_transform(wave_ft, wave_ft.ndim, case.projector.padded_size)
        if (wave**2).sum() > 1e-20:  # the imaginary part of a real coefficient is none
            still = case._replace(
                volume_ft=transform(wave, wave.ndim), shifts=np.zeros(case.shifts.shape)
            )
            power = abs(_formula_images(still, setting)) ** 2 * hermitian_weights(setting.size)
            ratios.append(power.sum() / (wave**2).sum())
    return float(np.mean(ratios))


def _sampling_density(case: Case, setting: Setting) -> float:
    """Return how far the density is from the back-projection of the images of a constant."""
    found = case.projector.sampling_density(case.rotations, case.ctf)
    dimension = case.volume.ndim
    amplitude = math.sqrt(case.projector.padded_size**dimension / setting.size ** (dimension - 1))
    ones = amplitude * case.ctf.astype(complex_dtype(setting.dtype))
    expected = case.projector.backproject_ft(ones, case.rotations, None, case.ctf)
    return relative(to_numpy(found), to_numpy(expected).real)


def _normal(case: Case, setting: Setting) -> float:
    """Return how far the stencil's product is from projecting and back-projecting."""
    rotations, shifts, ctf = case.pose
    dataset = Dataset(case.images, Poses(rotations, shifts), ctf)
    normal = normal_equations(dataset, case.projector)
    images = case.projector.project_ft(case.volume_ft, *case.pose)
    expected = case.projector.backproject_ft(images, *case.pose)
    return relative(to_numpy(normal.apply(case.volume_ft)), to_numpy(expected))


_PROJECTIONS: dict[str, Callable[[Case, Setting], float]] = {
    "project_ft": _project_ft,
    "misfit": _misfit,
    "misfit_gradients": _misfit_gradients,
    "project_ft_vjp": _gradient_in_volume,
    "gram": _gram,
    "gram_diagonal": _gram_diagonal,
    "sampling_density": _sampling_density,
}
