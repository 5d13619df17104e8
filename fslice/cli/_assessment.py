"""How far a map can be trusted: its mask, its resolution, and what speaks against it."""

from __future__ import annotations

import dataclasses
import math
import warnings

import numpy as np

from fslice._arrays import to_numpy
from fslice.cli._inputs import Inputs
from fslice.cli._messages import Messages
from fslice.metrics import align_maps, fsc, mean_squared_error
from fslice.posterior.result import Posterior
from fslice.postprocess.checks import sign_warning
from fslice.postprocess.fsc import HalfMapFSC, corrected_fsc
from fslice.postprocess.masks import cut_share, mask_from_map
from fslice.postprocess.resolution import Resolution, find_resolution
from fslice.solvers.progress import Reporter

_CUT = 0.02
"""A mask that removes more of the density than this share is named."""


@dataclasses.dataclass(frozen=True, eq=False)
class AgainstTruth:
    """What the truth says of a map.

    Parameters
    ----------
    masked, unmasked : (D//2 + 1,) float64 array
        Shell correlations.
    resolutions : dict of Resolution
        At 0.5, by their names.
    mean_squared_error : float
        Over the box.
    relative_error : float
        Squared error over squared truth, both weighted by the mask.
    """

    masked: np.ndarray
    unmasked: np.ndarray
    resolutions: dict[str, Resolution]
    mean_squared_error: float
    relative_error: float


@dataclasses.dataclass(frozen=True, eq=False)
class Assessment:
    """What a result is said to be worth; None where there is nothing to tell it from."""

    mask: np.ndarray
    halves: HalfMapFSC | None
    truth: AgainstTruth | None
    half_maps: tuple[np.ndarray, np.ndarray] | None
    """Those that are compared, which know of no support."""


class MaskFinder:
    """The mask of ``--support auto``, as the fit finds it."""

    def __init__(self, pixel_size: float) -> None:
        self.pixel_size = pixel_size
        self.mask: np.ndarray | None = None

    def __call__(self, volume: np.ndarray) -> np.ndarray:
        """Return a mask about the object in a map, and keep it."""
        mask = find_mask(volume, self.pixel_size)
        self.mask = to_numpy(mask)
        return mask


def find_mask(volume: np.ndarray, pixel_size: float) -> np.ndarray:
    """Return a mask about the object in a map, whose sign is told by `assess`."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="the object in the map is darker")
        return mask_from_map(volume, pixel_size)


def assess(
    inputs: Inputs,
    fit: Posterior,
    found: np.ndarray | None,
    messages: Messages,
    report: Reporter,
    *,
    aligned: bool = False,
) -> Assessment:
    """Return what a fit is worth; what speaks against it becomes warnings.

    Parameters
    ----------
    inputs : Inputs
    fit : Posterior
    found : (D, D, D) array or None
        The mask that the fit has found.
    messages : Messages
    report : Reporter
    aligned : bool, optional
        Whether the map is laid upon the truth before it is compared, as its orientation and hand
        are arbitrary; the mask is then one about the truth.
    """
    supported = found is not None or inputs.support is not None
    volume, halves = fit.mean, fit.half_maps
    if supported and fit.unfiltered_half_maps is not None:
        # inside a support, half maps share its edge, and nothing shows what it cuts
        halves = fit.unfiltered_half_maps
        volume = halves[0] + halves[1]
    with report.stage("assessing", 3, "steps") as advance:
        mask = inputs.mask if inputs.mask is not None else found
        if mask is None:
            mask = find_mask(volume, inputs.pixel_size)
        advance()
        curves = None
        if halves is not None:
            curves = corrected_fsc(*halves, mask, inputs.pixel_size)
        advance()
        _check(inputs, volume, mask, messages, cut_by_support=halves is not None)
        for note in curves.notes if curves else ():
            messages.warn(note)
        truth = None
        if inputs.truth is not None:
            truth = _against(inputs.truth, fit, mask, inputs, aligned=aligned)
        advance()
    return Assessment(mask, curves, truth, halves)


def _check(
    inputs: Inputs, volume: np.ndarray, mask: np.ndarray, messages: Messages, cut_by_support: bool
) -> None:
    """Warn of a map of the wrong sign, of masks that cut it, and of copies among the images."""
    if line := sign_warning(volume, mask):
        messages.warn(line)
    given = {"--mask": inputs.mask, "--support": inputs.support if cut_by_support else None}
    for name, chosen in given.items():
        if chosen is None:
            continue
        share = cut_share(volume, chosen, inputs.pixel_size)
        if not math.isnan(share) and share > _CUT:
            messages.warn(f"{name} cuts {100 * share:.0f} % of the density of the object")
    if line := inputs.images.warning(inputs.dataset.half_sets):
        messages.warn(line)


def _against(
    truth: np.ndarray, fit: Posterior, mask: np.ndarray, inputs: Inputs, *, aligned: bool
) -> AgainstTruth:
    """Compare the map of all images with the truth."""
    volume = fit.mean
    if aligned:
        volume = align_maps(volume, truth, hand=True).volume
        mask = find_mask(truth, inputs.pixel_size)
    curves = {"masked": fsc(volume, truth, mask), "unmasked": fsc(volume, truth)}
    reached = {
        name: find_resolution(curve, inputs.size, inputs.pixel_size, 0.5)
        for name, curve in curves.items()
    }
    weight = mask.astype(np.float64)
    error = float((weight * (volume - truth) ** 2).sum())
    power = float((weight * truth.astype(np.float64) ** 2).sum())
    return AgainstTruth(
        **curves, resolutions=reached, mean_squared_error=mean_squared_error(volume, truth),
        relative_error=error / power if power else math.inf,
    )  # fmt: skip
