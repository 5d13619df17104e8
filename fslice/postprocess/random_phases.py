"""What a mask alone makes two maps share: their expected correlation under random phases."""

from __future__ import annotations

import numpy as np

from fslice._arrays import Array, array_namespace
from fslice.fourier import (
    frequencies,
    hermitian_weights,
    inverse_transform_about_zero,
    transform_about_zero,
)
from fslice.postprocess.shell_sums import bounding_box, shell_products, sum_over_shells


def random_phase_fsc(half1: Array, half2: Array, mask: Array, first_shell: int) -> Array:
    """Return the shell correlation of two masked maps, expected when their phases are random.

    Parameters
    ----------
    half1, half2 : (D, D, D) real array
        Not masked.
    mask : (D, D, D) real array
    first_shell : int
        The first shell ``round(|k|)`` whose phases are random, as in
        `fslice.postprocess.filters.phase_randomize`.

    Returns
    -------
    (D//2 + 1,) float64 array

    Notes
    -----
    A map is ``L + R``: its frequencies below `first_shell`, and the others. In the masked
    spectrum ``M * (L + R)``, a convolution with that of the mask, only R is random: its
    coefficients are independent, with mean 0 and the powers P of the map. So two maps share, in
    the mean over all random phases, ``sum_S Re(M * L1) conj(M * L2)``, and each has the power
    ``sum_S |M * L|^2 + |M|^2 * P``. Their quotient is what the mean over many draws (Chen et al.
    2013) comes to, without the scatter of few. ``|M|^2 * P`` is a product of the autocorrelations
    of mask and map.

    Examples
    --------
    What two clouds of noise on a common background have in common inside a mask:

    >>> from fslice.metrics import fsc
    >>> from fslice.postprocess.filters import phase_randomize
    >>> from fslice.postprocess.masks import soft_spherical_mask
    >>> rng = np.random.default_rng(0)
    >>> halves, mask = 3 + rng.normal(size=(2, 16, 16, 16)), soft_spherical_mask(16, 4, 1)
    >>> draws = [fsc(*(phase_randomize(v, 1, rng) for v in halves), mask) for _ in range(50)]
    >>> bool(abs(random_phase_fsc(*halves, mask, 1) - np.mean(draws, 0)).max() < 0.05)
    True
    """
    xp, size = array_namespace(half1, half2, mask), len(half1)
    box = bounding_box(mask)
    lag_weights = _autocorrelation(transform_about_zero(mask)) / size**3
    random = _from_shell_on(first_shell, size, half1)
    fixed, spread = [], []
    for half in (half1, half2):
        volume_ft = transform_about_zero(half)
        fixed.append(mask[box] * low_frequencies(volume_ft, first_shell, box))
        volume_ft *= random
        lags = _autocorrelation(volume_ft)
        lags *= lag_weights
        spread.append(sum_over_shells([lags], size, lambda part: [part.real])[0])
    overlap, *powers = shell_products(fixed[0], fixed[1], size)
    norms = xp.sqrt((powers[0] + spread[0]) * (powers[1] + spread[1]))
    return xp.clip(overlap / xp.where(norms > 0, norms, xp.inf), -1, 1)


def _autocorrelation(volume_ft: Array) -> Array:
    """Return the products of a volume with its shifted self, from its spectrum, which is lost."""
    volume_ft *= volume_ft.conj()
    return inverse_transform_about_zero(volume_ft, len(volume_ft))


def _from_shell_on(first: int, size: int, like: Array) -> Array:
    """Return 1 for the frequencies from a shell on, and 0 before, in the precision of an array."""
    kx, ky, kz = ((k**2).astype(like.dtype) for k in frequencies(size, 3, array_namespace(like)))
    return (kx + ky + kz > (first - 0.5) ** 2).astype(like.dtype)


def low_frequencies(volume_ft: Array, first_shell: int, box: tuple[slice, ...]) -> Array:
    """Return a part of the volume that has only the shells before one of a spectrum.

    Parameters
    ----------
    volume_ft : (D, D, D//2 + 1) complex array
        As from `fslice.fourier.transform_about_zero`.
    first_shell : int
        The first that is left out.
    box : (3,) tuple of slice
        Which voxels.

    Returns
    -------
    (c, d, e) real array

    Examples
    --------
    >>> volume = np.random.default_rng(0).normal(size=(6, 6, 6))
    >>> box = (slice(1, 3), slice(0, 6), slice(5, 6))
    >>> part = low_frequencies(transform_about_zero(volume), 99, box)
    >>> np.allclose(part, volume[box])
    True
    """
    xp, size = array_namespace(volume_ft), len(volume_ft)
    reach = min(first_shell, size // 2 + 1)
    index = xp.arange(size)
    ends = index[xp.minimum(index, size - index) < reach]
    kept = np.s_[:, :, :reach]
    part = volume_ft[ends][:, ends][kept]
    before = 1 - _from_shell_on(first_shell, size, part.real)[ends][:, ends][kept]
    part = part * (before * hermitian_weights(size, xp)[:reach]).astype(before.dtype) / size**3
    z, y, x = (
        _waves(k, side, size, part)
        for k, side in zip((ends, ends, xp.arange(reach)), box, strict=True)
    )
    planes = z @ part.reshape(len(ends), -1 if reach else 0)
    lines = y @ planes.reshape(len(z), len(ends), reach)
    return lines.real @ x.real.T - lines.imag @ x.imag.T


def _waves(k: Array, side: slice, size: int, like: Array) -> Array:
    """Return ``exp(2 pi i x k / D)``, (voxels, frequencies), in the precision of an array."""
    xp = array_namespace(k)
    x = xp.arange(side.start, side.stop)
    return xp.exp(2j * np.pi / size * (x[:, None] * k % size)).astype(like.dtype)
