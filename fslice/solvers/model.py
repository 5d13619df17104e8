"""The statistical model of a reconstruction: what is assumed, and what is learned."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from fslice._arrays import Array, check_choice, is_array, to_numpy
from fslice.data.dataset import Dataset
from fslice.operators.projector import Projector
from fslice.posterior.latent import LatentMap, latent_map

PRIORS = ("shell", "scalar")
NOISES = ("white", "shell", "group")
_SCALES = {"float32": (1e-9, 1e9), "float64": (1e-90, 1e90)}
"""Root mean squares of pixels whose squares, sums and inverses can be held, with room to spare."""
_SAMPLE = 64


@dataclass(frozen=True, eq=False)
class Model:
    """What is assumed of the volume and of the noise.

    Parameters
    ----------
    projector : Projector
        How volumes become images.
    prior : {"shell", "scalar"}, float or (D//2 + 1,) real array, optional
        Prior variance of a voxel: one value per shell, learned from the images; one value for all,
        from the power of the images; or given, for all frequencies or for each shell. Default:
        what the solver does best.
    noise : {"white", "shell", "group"}, optional
        Noise variance: one for all frequencies; one per shell; or one per shell for each optics
        group. Learned.
    noise_variance : float, optional
        Of a pixel, if it is known; with white noise.
    mask : (D, D, D) real array, optional
        Where the object is, from 0 to 1: the map is zero where it is.
    posterior : {"gaussian", "dirac"}, optional
        Independent Gaussians for the Fourier coefficients (the paper's section 5.1), or a point.
    contrast : bool, optional
        Whether each image's contrast is learned.

    Examples
    --------
    >>> import fslice
    >>> Model(fslice.Projector(32), prior="smooth")
    Traceback (most recent call last):
    ...
    ValueError: prior: expected 'shell' or 'scalar' or a variance, got 'smooth'
    """

    projector: Projector
    prior: Any = None
    noise: str = "white"
    noise_variance: float | None = None
    mask: Array | None = field(default=None, repr=False)
    posterior: str = "gaussian"
    contrast: bool = False

    def __post_init__(self) -> None:
        check_choice("noise", self.noise, NOISES)
        check_choice("posterior", self.posterior, ("gaussian", "dirac"))
        _check_prior(self.prior)
        known = self.noise_variance
        if known is not None and not 0 < known < math.inf:
            raise ValueError(f"noise_variance: expected a number above 0, got {known}")
        if known is not None and self.noise != "white":
            raise ValueError(
                f"noise_variance: expected None with noise={self.noise!r}, got {known}"
            )

    @property
    def gaussian(self) -> bool:
        """Whether q has a width."""
        return self.posterior == "gaussian"

    def given_prior(self, default: str) -> Any:
        """Return the prior variance that is given, or None if it is to be learned per shell.

        ``"scalar"`` stays a word: its value comes from the images.
        """
        prior = default if self.prior is None else self.prior
        return None if isinstance(prior, str) and prior == "shell" else prior

    def latent(self, like: Array) -> LatentMap:
        """Return the map from what is unknown to the spectrum that is sliced."""
        return latent_map(self.projector, self.mask, like)

    def check(self, dataset: Dataset) -> None:
        """Raise unless a data set has what the model needs."""
        if self.projector.size != dataset.size:
            raise ValueError(f"projector: expected size {dataset.size}, got {self.projector.size}")
        if self.noise == "group" and dataset.groups is None:
            raise ValueError("groups: expected the optics group of each image, got None")
        _check_scale(dataset)


def _check_scale(dataset: Dataset) -> None:
    """Raise where variances, their inverses and sums of squares would leave the range of numbers.

    Some images tell: they are read before all others are.
    """
    rows = np.unique(np.linspace(0, len(dataset) - 1, _SAMPLE).astype(int))
    xp = dataset.xp
    pixels = abs(xp.asarray(dataset.images[rows]).reshape(len(rows), -1).astype(np.float64))
    largest = pixels.max(1, keepdims=True)
    parts = pixels / xp.where((largest > 0) & xp.isfinite(largest), largest, 1)
    found = to_numpy(largest[:, 0] * xp.sqrt((parts**2).mean(1)))
    found = found[np.isfinite(found) & (found > 0)]
    if not len(found):  # other images may show something; NaN is named later
        return
    got = float(np.median(found))
    low, high = _SCALES[dataset.dtype.name]
    if not low <= got <= high:
        raise ValueError(
            f"images: expected a root mean square of {low:g} to {high:g}, got {got:.3g}: "
            "multiply them by a constant"
        )


def _check_prior(prior: Any) -> None:
    if prior is None:
        return
    if isinstance(prior, str):
        if prior not in PRIORS:
            raise ValueError(f"prior: expected 'shell' or 'scalar' or a variance, got {prior!r}")
        return
    if is_array(prior):  # its shape and values are checked with the box
        return
    if isinstance(prior, bool) or not isinstance(prior, int | float):
        raise TypeError(f"prior: expected 'shell', 'scalar' or a variance, got {prior!r}")
    if not 0 < prior < math.inf:
        raise ValueError(f"prior: expected a number above 0, got {prior}")
