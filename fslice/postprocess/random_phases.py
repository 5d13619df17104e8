"""What a mask alone makes two maps share: their expected correlation under random phases."""

from __future__ import annotations

from fslice._arrays import Array, array_namespace
from fslice.fourier import (
    axis_transform,
    frequencies,
    full_axis_transform,
    inverse_axis_transform,
    inverse_full_axis_transform,
    transform_about_zero,
)
from fslice.postprocess.shell_sums import (
    bounding_box,
    box_spectrum,
    shell_products,
    sums_of_even,
)


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

    >>> import numpy as np
    >>> from fslice.metrics import fsc
    >>> from fslice.postprocess.filters import phase_randomize
    >>> from fslice.postprocess.masks import soft_spherical_mask
    >>> rng = np.random.default_rng(0)
    >>> halves, mask = 3 + rng.normal(size=(2, 16, 16, 16)), soft_spherical_mask(16, 4, 1)
    >>> draws = [fsc(*(phase_randomize(v, 1, rng) for v in halves), mask) for _ in range(50)]
    >>> bool(abs(random_phase_fsc(*halves, mask, 1) - np.mean(draws, 0)).max() < 0.05)
    True
    """
    return of_spectra(transform_about_zero(half1), transform_about_zero(half2), mask, first_shell)


def of_spectra(half1_ft: Array, half2_ft: Array, mask: Array, first_shell: int) -> Array:
    """Return `random_phase_fsc` of two spectra, as from `transform_about_zero`."""
    xp, size, box = array_namespace(half1_ft, half2_ft, mask), len(mask), bounding_box(mask)
    lag_weights = _autocorrelation(_power(box_spectrum(mask[box], size)) / size**3)
    random = _from_shell_on(first_shell, size, mask)
    fixed, lags = [], []
    for volume_ft in (half1_ft, half2_ft):
        fixed.append(mask[box] * low_frequencies(volume_ft, first_shell, box))
        lags.append(_autocorrelation(random * _power(volume_ft)))
        lags[-1] *= lag_weights
    spread = sums_of_even(lags, size)
    overlap, *powers = shell_products(fixed[0], fixed[1], size)
    norms = xp.sqrt((powers[0] + spread[0]) * (powers[1] + spread[1]))
    return xp.clip(overlap / xp.where(norms > 0, norms, xp.inf), -1, 1)


def _power(volume_ft: Array) -> Array:
    return volume_ft.real**2 + volume_ft.imag**2


def _autocorrelation(power: Array) -> Array:
    """Return the products of a volume with its shifted self, from its power spectrum.

    They are the same for opposite shifts, so that half of them are enough: (D//2 + 1, D, D), of
    which the first axis has those from 0 on. They are mirrored along x.
    """
    size = len(power)
    lines = full_axis_transform(axis_transform(power, 0), 1)
    return inverse_axis_transform(lines, 2, size) / size**2


def _from_shell_on(first: int, size: int, like: Array) -> Array:
    """Return 1 for the frequencies from a shell on, and 0 before, in the precision of an array."""
    kx, ky, kz = ((k**2).astype(like.dtype) for k in frequencies(size, 3, array_namespace(like)))
    least = first - 0.5
    return (kx + ky + kz > least * abs(least)).astype(like.dtype)  # all from shell 0 on


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

    Notes
    -----
    Transforms of zeros, and to voxels outside the box, are left out.

    Examples
    --------
    >>> import numpy as np
    >>> volume = np.random.default_rng(0).normal(size=(6, 6, 6))
    >>> box = (slice(1, 3), slice(0, 6), slice(5, 6))
    >>> part = low_frequencies(transform_about_zero(volume), 99, box)
    >>> np.allclose(part, volume[box])
    True
    """
    xp, size, columns = array_namespace(volume_ft), len(volume_ft), volume_ft.shape[2]
    reach = max(1, min(first_shell, columns))
    before = 1 - _from_shell_on(first_shell, size, volume_ft.real)[:, :, :reach]
    planes = inverse_full_axis_transform(volume_ft[:, :, :reach] * before, 0)[box[0]]
    lines = inverse_full_axis_transform(planes, 1)[:, box[1]]
    padded = xp.pad(lines, [(0, 0), (0, 0), (0, columns - reach)])
    return inverse_axis_transform(padded, 2, size)[:, :, box[2]]
