"""What uses no kernel against its formula."""

from __future__ import annotations

import math
from collections.abc import Iterator
from functools import partial

import numpy as np

from fslice._arrays import Array
from fslice.certify._checks import (
    SIZES,
    Check,
    Setting,
    definition_check,
    draw_rotations,
    generator,
    noise,
    relative,
)
from fslice.fourier import frequencies, inner_product, transform
from fslice.likelihoods.gaussian import GaussianNoise
from fslice.operators.ctf import CTF
from fslice.operators.direct import fourier_sum, project_direct


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
                    yield definition_check(
                        f"{name} ({dimension}-D)", setting, partial(measure, setting, dimension)
                    )
            yield definition_check("CTF.evaluate", setting, partial(_ctf, setting))
            yield definition_check(
                "GaussianNoise.log_likelihood", setting, partial(_white_noise, setting)
            )


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
    return abs(inner_product(transform(a, dimension), transform(b, dimension)) - product) / scale


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
    found = GaussianNoise(0.7).log_likelihood(transform(images, 2), transform(expected, 2))
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
