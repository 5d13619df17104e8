"""Kernels against their formulas, and composed operators against what they are composed of."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from functools import partial
from types import ModuleType

import numpy as np

from fslice._arrays import Array, complex_dtype, to_numpy
from fslice.accumulate import accumulate
from fslice.certify import _formula
from fslice.certify._cases import COUNT, Case, draw_case
from fslice.certify._checks import (
    SIZES,
    Check,
    Setting,
    draw_rotations,
    generator,
    noise,
    relative,
    rounding_bound,
    settings,
)
from fslice.ctf import CTF
from fslice.direct import fourier_sum, project_direct
from fslice.fourier import frequencies, inner, inverse_transform, multiplicity, transform
from fslice.noise import NoiseModel
from fslice.slices import extract_slices


def definition_checks(backend: str, xp: ModuleType) -> Iterator[Check]:
    """Yield the comparisons of everything that uses kernels."""
    for setting in settings(backend):
        yield _check("extract_slices", setting, partial(_slices, setting, xp, None))
        corners = float(setting.size)
        yield _check("extract_slices (corners)", setting, partial(_slices, setting, xp, corners))
        for dimension, objects in ((3, ""), (2, " (lines)")):
            for name, measure in _PROJECTIONS.items():
                yield _check(
                    f"Projector.{name}{objects}",
                    setting,
                    partial(_with_case, measure, setting, dimension, xp),
                )
        if setting.kernel == "linear":
            for dimension, objects in ((3, ""), (2, " (lines)")):
                yield _check(
                    f"NormalEquations.apply{objects}",
                    setting,
                    partial(_with_case, _normal, setting, dimension, xp),
                )


def general_definition_checks() -> Iterator[Check]:
    """Yield the comparisons of what uses no kernel."""
    for size in SIZES:
        for dtype in ("float64", "float32"):
            setting = Setting(dtype=dtype, size=size)
            for dimension in (2, 3):
                for name, measure in (
                    ("rfft", _sum_at_whole_frequencies),
                    ("parseval", _parseval),
                    ("project_direct", _direct),
                ):
                    yield _check(
                        f"{name} ({dimension}-D)", setting, partial(measure, setting, dimension)
                    )
            yield _check("CTF.evaluate", setting, partial(_ctf, setting))
            yield _check("NoiseModel.log_likelihood", setting, partial(_white_noise, setting))


def _check(subject: str, setting: Setting, measure: Callable[[], float]) -> Check:
    return Check("definition", subject, setting, rounding_bound(setting.dtype), measure)


def _with_case(
    measure: Callable[[Case, Setting], float], setting: Setting, dimension: int, xp: ModuleType
) -> float:
    return measure(draw_case(setting, dimension, xp), setting)


def _real(case: Case) -> np.ndarray:
    """Return the real array of box M that the case's half spectrum belongs to."""
    volume_ft = to_numpy(case.volume_ft)
    return inverse_transform(volume_ft, volume_ft.ndim, case.projector.box)


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
    """Return the larger error of the power, and of the gradient against its composition."""
    precision = abs(case.ctf[0]) + 1
    power, by_volume = case.projector.misfit(
        case.volume_ft, case.images_ft, *case.pose, precision=precision
    )
    images = _formula_images(case, setting)
    band = _formula.band(setting.size, case.volume.ndim - 1, setting.size)
    weights = multiplicity(setting.size) * to_numpy(precision) * band
    residual = abs(images - to_numpy(case.images_ft)) ** 2 * weights
    expected = residual.reshape(COUNT, -1).sum(1)
    difference = case.projector.project_ft(case.volume_ft, *case.pose) - case.images_ft
    composed = case.projector.backproject_ft(difference * precision, *case.pose)
    return max(
        relative(to_numpy(power), expected), relative(to_numpy(by_volume), to_numpy(composed))
    )


def _gradient_in_volume(case: Case, setting: Setting) -> float:
    """Return how far the gradient in the volume is from the adjoint."""
    found = case.projector.project_ft_vjp(
        case.volume_ft, case.rotations, case.images_ft, case.shifts, case.ctf
    )
    expected = case.projector.backproject_ft(case.images_ft, *case.pose)
    return relative(to_numpy(found.volume), to_numpy(expected))


def _gram_diagonal(case: Case, setting: Setting) -> float:
    """Return the error of the diagonal at the origin and elsewhere, each probed by its waves."""
    diagonal = to_numpy(case.projector.gram_diagonal(case.rotations, case.ctf))
    rng, limit = generator("probe", setting), (case.projector.box - 1) // 2
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
        wave = inverse_transform(wave_ft, wave_ft.ndim, case.projector.box)
        if (wave**2).sum() > 1e-20:  # the imaginary part of a real coefficient is none
            still = case._replace(
                volume_ft=transform(wave, wave.ndim), shifts=np.zeros(case.shifts.shape)
            )
            power = abs(_formula_images(still, setting)) ** 2 * multiplicity(setting.size)
            ratios.append(power.sum() / (wave**2).sum())
    return float(np.mean(ratios))


def _sampling_density(case: Case, setting: Setting) -> float:
    """Return how far the density is from the back-projection of the images of a constant."""
    found = case.projector.sampling_density(case.rotations, case.ctf)
    dimension = case.volume.ndim
    amplitude = math.sqrt(case.projector.box**dimension / setting.size ** (dimension - 1))
    ones = amplitude * case.ctf.astype(complex_dtype(setting.dtype))
    expected = case.projector.backproject_ft(ones, case.rotations, None, case.ctf)
    return relative(to_numpy(found), to_numpy(expected).real)


def _normal(case: Case, setting: Setting) -> float:
    """Return how far the stencil's product is from projecting and back-projecting."""
    normal = accumulate(case.images, *case.pose, projector=case.projector)
    images = case.projector.project_ft(case.volume_ft, *case.pose)
    expected = case.projector.backproject_ft(images, *case.pose)
    return relative(to_numpy(normal.apply(case.volume_ft)), to_numpy(expected))


_PROJECTIONS: dict[str, Callable[[Case, Setting], float]] = {
    "project_ft": _project_ft,
    "misfit": _misfit,
    "project_ft_vjp": _gradient_in_volume,
    "gram_diagonal": _gram_diagonal,
    "sampling_density": _sampling_density,
}


def _sum_at_whole_frequencies(setting: Setting, dimension: int) -> float:
    """Compare a transform with the sum over all voxels."""
    rng = generator("sum", setting, dimension)
    array = noise(rng, (setting.size,) * dimension, setting.dtype)
    k = np.stack(np.broadcast_arrays(*frequencies(setting.size, dimension)), -1)
    return relative(transform(array, dimension), fourier_sum(array, k.astype(setting.dtype)))


def _parseval(setting: Setting, dimension: int) -> float:
    """Compare the inner product of half spectra with that of the real arrays."""
    rng = generator("parseval", setting, dimension)
    a, b = noise(rng, (2, *[setting.size] * dimension), setting.dtype)
    product = float(np.vdot(a.astype(float), b.astype(float)))
    scale = float(np.linalg.norm(a) * np.linalg.norm(b))
    return abs(inner(transform(a, dimension), transform(b, dimension)) - product) / scale


def _direct(setting: Setting, dimension: int) -> float:
    """Compare projections with the sum over voxels, one wave at a time."""
    rng, size = generator("direct", setting, dimension), setting.size
    volume = noise(rng, (size,) * dimension, setting.dtype)
    rotations = draw_rotations(rng, 2, dimension).astype(setting.dtype)
    shifts = noise(rng, (2, dimension - 1), setting.dtype)
    r = np.stack(np.meshgrid(*[np.arange(size) - size // 2] * dimension, indexing="ij")[::-1])
    seen = np.einsum("nab,a...->nb...", rotations, r)[:, : dimension - 1]  # x and y of R^T r
    expected = np.zeros((2, *[size] * (dimension - 1)))
    pixels = r[: dimension - 1, 0]
    half = (size - 1) // 2
    for k in np.ndindex(*[2 * half + 1] * (dimension - 1)):
        wave = np.array(k) - half
        if (wave**2).sum() > half**2:
            continue
        for image in range(2):
            angles = 2 * np.pi / size * np.tensordot(wave, seen[image], 1)
            total = (volume * np.exp(-1j * angles)).sum()
            offset = pixels - shifts[image].reshape(-1, *[1] * (dimension - 1))
            back = np.exp(2j * np.pi / size * np.tensordot(wave, offset, 1))
            expected[image] += (total * back).real / size ** (dimension - 1)
    return relative(project_direct(volume, rotations, shifts), expected)


def _white_noise(setting: Setting) -> float:
    """Compare the density of white noise with that of the pixels (the paper's eqs. 2 and 11)."""
    rng, size = generator("noise", setting), setting.size
    images, expected = noise(rng, (2, 3, size, size), setting.dtype)
    found = NoiseModel(0.7).log_likelihood(transform(images, 2), transform(expected, 2))
    power = ((images - expected).astype(float) ** 2).sum((1, 2))
    return relative(found, -0.5 * (power / 0.7 + size**2 * math.log(2 * math.pi * 0.7)))


def _ctf(setting: Setting) -> float:
    """Compare contrast transfer functions with the formula, in scalars."""
    ctf, size = draw_ctf(generator("ctf", setting), 2), setting.size
    found = ctf.evaluate(size, setting.dtype)
    expected = np.zeros(found.shape)
    kx, ky = frequencies(size, 2)
    for n, row, column in np.ndindex(*found.shape):
        x, y = (float(k.ravel()[i]) for k, i in ((kx, column), (ky, row)))
        expected[n, row, column] = _ctf_value(ctf, n, x / size, y / size)
    return relative(found, expected)


def _ctf_value(ctf: CTF, n: int, x: float, y: float) -> float:
    """Return the value at (x, y) cycles per pixel."""
    own: dict[str, Array] = {name: float(value[n]) for name, value in vars(ctf).items()}
    s2 = (x * x + y * y) / own["pixel_size"] ** 2
    volts = 1000 * own["voltage"]
    wavelength = 12.2643247 / math.sqrt(volts * (1 + 0.978466e-6 * volts))
    mean = (own["defocus_u"] + own["defocus_v"]) / 2
    half_difference = (own["defocus_u"] - own["defocus_v"]) / 2
    turn = 2 * (math.atan2(y, x) - math.radians(own["astigmatism_angle"]))
    aberration = math.pi / 2 * own["spherical_aberration"] * 1e7 * wavelength**3 * s2**2
    gamma = -math.pi * wavelength * s2 * (mean + half_difference * math.cos(turn)) + aberration
    contrast = own["amplitude_contrast"]
    gamma -= math.radians(own["phase_shift"]) + math.atan(contrast / math.sqrt(1 - contrast**2))
    return -own["scale"] * math.exp(-own["b_factor"] * s2 / 4) * math.sin(gamma)


def draw_ctf(rng: np.random.Generator, count: int) -> CTF:
    """Return contrast transfer functions with every parameter away from its default."""
    return CTF(
        defocus_u=rng.uniform(5000, 20000, count),
        defocus_v=rng.uniform(5000, 20000, count),
        astigmatism_angle=rng.uniform(0, 180, count),
        voltage=300.0,
        spherical_aberration=2.7,
        amplitude_contrast=rng.uniform(0.05, 0.2, count),
        phase_shift=rng.uniform(0, 90, count),
        b_factor=rng.uniform(0, 100, count),
        scale=rng.uniform(0.5, 2, count),
        pixel_size=3.0,
    )
