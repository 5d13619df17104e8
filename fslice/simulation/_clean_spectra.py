"""What makes the clean half spectra of simulated images: closed forms, or an accurate operator."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import numpy as np

from fslice import fourier
from fslice._arrays import (
    Array,
    check_finite,
    check_on_host,
    check_real,
    check_shape,
    is_array,
)
from fslice._threads import available_cpus
from fslice.operators.projector import Projector
from fslice.simulation._gaussian_sums import cropped
from fslice.simulation.gaussians import GaussianModel
from fslice.simulation.models import check_fits

_FEW = 200
"""Models of up to this many Gaussians are projected analytically."""

_PART = 8
"""Images that one thread projects in closed form at a time: their tables fit the cache."""

Spectra = Callable[[np.ndarray, np.ndarray], np.ndarray]
"""(b, 3, 3) rotations, (b, 2) shifts -> (b, D, D//2 + 1) complex64 clean half spectra."""


def clean_spectra(
    model: GaussianModel | Array, size: int, pixel_size: float
) -> tuple[np.ndarray, Spectra]:
    """Return the truth, and what makes clean half spectra from rotations and shifts."""
    if isinstance(model, GaussianModel):
        check_fits(model, size, pixel_size)
        if len(model) <= _FEW:
            truth = model.volume(size, pixel_size, dtype=np.float32)
            return truth, _analytic(model, size, pixel_size)
        return _many_gaussians(model, size, pixel_size)
    if is_array(model):
        check_on_host("model", model)
    else:
        raise TypeError(f"model: expected a GaussianModel or an array, got {type(model).__name__}")
    check_real("model", model)
    check_shape("model", model, (size, size, size))
    check_finite("model", model)
    volume = model.astype(np.float32, copy=False)
    return _band_limited(fourier.rfft3(volume), size), _sampled(volume, size)


def _many_gaussians(
    model: GaussianModel, size: int, pixel_size: float
) -> tuple[np.ndarray, Spectra]:
    """Sample the spectrum on a wider band, which tapers off, and interpolate it there.

    Atoms are sharper than pixels. Cut at the band's edge, their spectrum would belong to a
    volume that rings across the whole box and out of it: with 1AON in 128 pixels of 2.8
    Angstrom the outermost shell of projections was off by 38 %, and with the taper by 0.03 %.
    """
    wide = fourier.fast_size(size + max(32, -(-size // 4)))
    spectrum = model.spectrum(wide, pixel_size * size / wide, dtype=np.float32)
    scale = np.float32((wide / size) ** 1.5)  # unitary in the smaller box
    truth = _band_limited(cropped(spectrum, size, 3) * scale, size)
    across = (fourier.radii(wide, 3) - size / 2) / ((wide - size) / 2)
    spectrum *= np.cos(np.pi / 2 * np.clip(across, 0, 1)).astype(np.float32) ** 2
    return truth, _sampled(fourier.irfft3(spectrum), size)


def _band_limited(spectrum: np.ndarray, size: int) -> np.ndarray:
    """Return the real volume of what is inside the band."""
    return fourier.irfft3(spectrum * (fourier.radii(size, 3) <= (size - 1) // 2))


def _sampled(volume: np.ndarray, size: int) -> Spectra:
    """Return an accurate projection; the volume may have smaller voxels in a box as long."""
    wide = len(volume)
    band = (size - 1) // 2
    projector = Projector(wide, oversampling=2, interpolation="cubic", max_radius=band)
    padded = projector.transform(volume)

    def sampled(rotations: np.ndarray, shifts: np.ndarray) -> np.ndarray:
        poses = rotations.astype(np.float32), (shifts * (wide / size)).astype(np.float32)
        spectra = projector.project_ft(padded, *poses)
        return spectra if wide == size else cropped(spectra, size, 2) * np.float32(wide / size)

    return sampled


def _analytic(model: GaussianModel, size: int, pixel_size: float) -> Spectra:
    """Return the closed form, computed for some images on each core."""

    def part(pose: tuple[np.ndarray, np.ndarray]) -> np.ndarray:
        rotations, shifts = pose
        return model.project_ft(rotations, size, pixel_size, shifts, dtype=np.float32)

    def analytic(rotations: np.ndarray, shifts: np.ndarray) -> np.ndarray:
        starts = range(_PART, len(rotations), _PART)
        poses = zip(np.split(rotations, starts), np.split(shifts, starts), strict=True)
        with ThreadPoolExecutor(available_cpus()) as pool:
            return np.concatenate(list(pool.map(part, poses)))

    return analytic
