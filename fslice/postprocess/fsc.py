"""The shell correlation of two half maps, corrected for what the mask adds to it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from fslice._arrays import Array, array_namespace, check_finite, check_shape, to_numpy
from fslice.metrics import shell_frequencies
from fslice.postprocess.filters import check_cube
from fslice.postprocess.masks import check_mask
from fslice.postprocess.random_phases import of_spectra
from fslice.postprocess.resolution import Resolution, find_resolution, last_shell
from fslice.postprocess.shell_sums import (
    bounding_box,
    box_spectrum,
    products,
    shell_products,
    sum_of_spectra,
)

THRESHOLD = 0.143
"""Of two half maps (Rosenthal and Henderson 2003)."""

RANDOMIZE_BELOW = 0.8
"""Phases are random from the shell on where the unmasked curve first falls below this."""

_LEAK = 2
"""Shells that the mask mixes with those before the first random one; they are not corrected."""

_EMPTY = 16
"""Shells whose norm is below so many rounding errors of the whole map's are empty."""

_GAIN = 0.95
"""A mask that makes the resolution finer than this share of the corrected one is named."""

_NAMES = ("corrected", "unmasked", "masked", "randomized")


@dataclass(frozen=True, eq=False)
class HalfMapFSC:
    """The shell correlations of two half maps, and the resolutions that they give.

    Parameters
    ----------
    frequencies : (D//2 + 1,) float64 array
        Of the shells, in 1/Angstrom. This and the curves are on the host.
    unmasked, masked, randomized, corrected : (D//2 + 1,) float64 arrays
        `randomized` is that of the masked maps with random phases: what the mask alone does.
    first_random_shell : int or None
        From which shell on phases are random; None where the unmasked curve never falls low
        enough: `randomized` is then that of the masked maps, and so is `corrected`.
    resolutions : dict of Resolution
        By the names of the curves. That of ``"corrected"`` is the one to report.
    notes : tuple of str
        Sentences about what makes the curves doubtful; empty if nothing does.
    """

    frequencies: np.ndarray
    unmasked: np.ndarray
    masked: np.ndarray
    randomized: np.ndarray
    corrected: np.ndarray
    first_random_shell: int | None
    resolutions: dict[str, Resolution]
    notes: tuple[str, ...]

    @property
    def resolution(self) -> float:
        """Where the corrected curve first falls below the threshold, in Angstrom."""
        return self.resolutions["corrected"].first_falls


def corrected_fsc(
    half1: Array,
    half2: Array,
    mask: Array,
    pixel_size: float,
    *,
    threshold: float = THRESHOLD,
    randomize_below: float = RANDOMIZE_BELOW,
) -> HalfMapFSC:
    """Return the shell correlation of two half maps in a mask, corrected for the mask.

    Parameters
    ----------
    half1, half2 : (D, D, D) real array
        Maps of disjoint halves of the images, not masked.
    mask : (D, D, D) real array
        From 0 to 1, with a soft edge: see `fslice.postprocess.masks.mask_from_map`.
    pixel_size : float
        In Angstrom.
    threshold : float, optional
        For the resolutions.
    randomize_below : float, optional
        Phases are random from the first shell on in which the unmasked curve is below.

    Returns
    -------
    HalfMapFSC

    Raises
    ------
    ValueError
        A shape is not as above, a value is not finite or out of its range.
    TypeError
        An array is not real, or array libraries are mixed.

    Notes
    -----
    A mask that both maps share correlates them. How much is what the same maps have in common
    with random phases (Chen et al. 2013), ``n``, in the mean over all phases; see
    `fslice.postprocess.random_phases`. It is taken out of the masked curve ``t``:
    ``(t - n) / (1 - n)``, and 0 where ``n > t``. Transforms are in the precision of the maps, sums
    in double precision. As in RELION's postprocessing, the first two
    random shells are not corrected, since the mask mixes them with the last shells that keep
    their phases; there are none of these where the first shell is random already.

    Examples
    --------
    What a hard mask makes of noise alone is taken out:

    >>> from fslice.postprocess.masks import soft_spherical_mask
    >>> halves = np.random.default_rng(0).normal(size=(2, 32, 32, 32))
    >>> curves = corrected_fsc(*halves, soft_spherical_mask(32, 5, 0.1), 2.0)
    >>> curves.resolutions["unmasked"].words
    'nothing is resolved: below 0.143 from the first shell on'
    >>> bool(abs(curves.corrected[5:16]).max() < 0.3)
    True
    """
    _check_halves(half1, half2)
    check_mask(mask, half1)
    for name, value in (("threshold", threshold), ("randomize_below", randomize_below)):
        if not 0 < value < 1:
            raise ValueError(f"{name}: expected a value between 0 and 1, got {value}")
    frequencies = shell_frequencies(len(half1), pixel_size)
    box, size = bounding_box(mask), len(half1)
    spectra = [box_spectrum(half, size) for half in (half1, half2)]
    unmasked = _correlation(sum_of_spectra(spectra, products), half1.dtype)
    boxes = half1[box] * mask[box], half2[box] * mask[box]
    masked = _correlation(shell_products(*boxes, size), half1.dtype)
    first = _first_below(unmasked, randomize_below)
    randomized = masked
    if first is not None:
        randomized = to_numpy(of_spectra(spectra[0], spectra[1], mask, first))
    curves = {
        "unmasked": unmasked,
        "masked": masked,
        "randomized": randomized,
        "corrected": _corrected(masked, randomized, first),
    }
    last = last_shell(unmasked, len(half1))
    found = {
        name: find_resolution(curves[name], len(half1), pixel_size, threshold, last)
        for name in _NAMES
    }
    is_random = first is not None and first <= last  # beyond there is nothing to correct
    notes = _notes(half1, half2, unmasked[: last + 1], found, randomize_below, is_random)
    return HalfMapFSC(
        frequencies=frequencies, first_random_shell=first, resolutions=found, notes=notes, **curves
    )


def _first_below(curve: np.ndarray, threshold: float) -> int | None:
    below = np.flatnonzero(curve[1:] < threshold)
    return int(below[0]) + 1 if len(below) else None


def _correlation(sums: Sequence[Array], dtype: Any) -> np.ndarray:
    """Return the shell correlation from sums of `products`, in a precision, on the host."""
    overlap, *powers = sums
    xp, floor = array_namespace(overlap), (_EMPTY * np.finfo(dtype).eps) ** 2
    norms = [xp.sqrt(xp.where(power > floor * power.sum(), power, 0)) for power in powers]
    norm = norms[0] * norms[1]
    return to_numpy(xp.clip(overlap / xp.where(norm > 0, norm, xp.inf), -1, 1))


def _corrected(masked: np.ndarray, randomized: np.ndarray, first: int | None) -> np.ndarray:
    """Apply the formula of Chen et al. from the first shell that nothing leaks into."""
    if first is None:
        return masked.copy()
    start = 1 if first == 1 else first + _LEAK
    t, n = masked[start:], randomized[start:]
    useful = (n <= t) & (n < 1)
    corrected = masked.copy()
    corrected[start:] = np.where(useful, (t - n) / np.where(useful, 1 - n, 1), 0)
    return corrected


def _notes(
    half1: Array,
    half2: Array,
    unmasked: np.ndarray,
    found: dict[str, Resolution],
    randomize_below: float,
    is_random: bool,
) -> tuple[str, ...]:
    """Return sentences about what makes the curves doubtful."""
    if bool((half1 == half2).all()):
        return ("the half maps are identical: their correlation of 1 says nothing",)
    notes = []
    if found["unmasked"].limit == "nothing":
        notes.append(
            "without a mask the half maps have nothing in common: what they share inside it may "
            "be chance"
        )
    outer = unmasked[1:][-max(1, len(unmasked) // 10) :]
    if len(outer) and outer.mean() >= found["unmasked"].threshold:
        notes.append(
            f"the unmasked FSC is {outer.mean():.2f} in the outermost shells: either the pixel "
            "limits the resolution, or the halves share images or a mask"
        )
    if not is_random:
        notes.append(
            f"the unmasked FSC never falls below {randomize_below:g}: the masked one is not "
            "corrected for the mask"
        )
    elif found["masked"].first_falls < _GAIN * found["corrected"].first_falls:
        reached = found["masked"].first_falls
        notes.append(
            f"the mask itself adds to the masked FSC, {reached:.2f} Å: it is too tight, or its "
            "edge is too hard"
        )
    return tuple(notes)


def _check_halves(half1: Array, half2: Array) -> None:
    size = check_cube("half1", half1)
    check_cube("half2", half2)
    array_namespace(half1, half2)
    check_shape("half2", half2, (size,) * 3)
    check_finite("half1", half1)
    check_finite("half2", half2)
