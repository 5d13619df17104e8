"""Defocus and contrast of each image: coordinates of its posterior, beside the pose.

Both change what multiplies the slices. With ``C_0 = -A sin(gamma)``, its quadrature
``C_1 = -A cos(gamma)`` and the phase ``b = rate |k|^2 delta`` of a defocus offset delta,

``C = C_0 cos(b) - C_1 sin(b),    dC/d(delta) = -rate |k|^2 (C_1 cos(b) + C_0 sin(b))``

and the second derivative is ``-(rate |k|^2)^2 C``. A contrast a multiplies it.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from fslice._arrays import Array, array_namespace
from fslice.alignment.band import Band
from fslice.data.dataset import Dataset
from fslice.data.image_ctf import applied_factor, ctf_of
from fslice.data.passes import Batch
from fslice.operators.ctf import CTF, electron_wavelength

PARAMETERS = ("defocus", "contrast")
"""Offset of the defocus, in Angstrom, of `defocus_u` and `defocus_v` alike; and contrast."""
MEANS = {"defocus": 0.0, "contrast": 1.0}
"""Of their priors."""


class DefocusResponse(NamedTuple):
    """How the CTFs of n images answer to defocus."""

    quadrature: CTF | Array
    """As `Batch.ctf`, with the phase gamma a quarter turn ahead."""
    rates: Array
    """(n,) float64: what an Angstrom takes from gamma at ``|k| = 1``, in units of 1/D, radians."""

    def take(self, index: Array) -> DefocusResponse:
        """Select images."""
        return DefocusResponse(self.quadrature[index], self.rates[index])


def defocus_response(dataset: Dataset, batch: Batch) -> DefocusResponse:
    """Return how the CTFs of a batch answer to defocus.

    Parameters
    ----------
    dataset : Dataset
        With a `CTF`.
    batch : Batch
        Of its images.

    Raises
    ------
    ValueError
        There is no CTF, or only its values are known.
    """
    ctf = dataset.ctf
    if not isinstance(ctf, CTF):
        kind = "none" if ctf is None else "its values"
        raise ValueError(f"defocus_std: expected None unless there is a CTF, got {kind}")
    rows, xp = batch.rows, dataset.xp
    if dataset.origin is not None:  # of a portion, whose images are named as in the whole
        rows = xp.searchsorted(xp.asarray(dataset.origin), rows)
    own = ctf[rows] if len(ctf) > 1 else ctf[xp.zeros(len(rows), int)]
    rates = np.pi * electron_wavelength(own.voltage) / (dataset.size * own.pixel_size) ** 2
    turned = ctf.replace(phase_shift=ctf.phase_shift - 90)
    ahead = ctf_of(dataclasses.replace(dataset, ctf=turned, ctf_applied="none"), rows)
    # what was done to the images was done by their CTF as it was thought to be
    factor = applied_factor(dataset, rows)
    if factor is None:
        return DefocusResponse(ahead, rates)
    if isinstance(ahead, CTF):
        ahead = ahead.evaluate(dataset.size, dataset.dtype)
    return DefocusResponse(ahead * factor, rates)


class FilterDerivatives(NamedTuple):
    """The filters of some views, and their derivatives in the parameters."""

    values: Array
    """(m, d, d//2 + 1) real."""
    first: list[Array]
    """e arrays of that shape."""
    second: dict[tuple[int, int], Array]
    """By the places of two parameters, the first not above the second; what is absent is zero."""


@dataclass(frozen=True, eq=False)
class ImageFilters:
    """What multiplies the slices of n images in a band: CTF and contrast, over the noise.

    Parameters
    ----------
    ctf : (n, d, d//2 + 1) real array or None
        At defocus offset 0 and contrast 1.
    stds : dict of str to float, optional
        Of the parameters that are free, in the order of `PARAMETERS`: standard deviation of
        their priors about `MEANS`.
    quadrature : (n, d, d//2 + 1) real array, optional
        Where the defocus is free.
    phases : (n, d, d//2 + 1) real array, optional
        ``rate |k|^2``, likewise.
    """

    ctf: Array | None
    stds: dict[str, float] = dataclasses.field(default_factory=dict)
    quadrature: Array | None = None
    phases: Array | None = None

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the parameters that are free."""
        return tuple(self.stds)

    @property
    def means(self) -> list[float]:
        """Means of their priors."""
        return [MEANS[name] for name in self.stds]

    def values(self, image_of: Array, parameters: Array) -> Array:
        """Return the filters of m views: (m, d, d//2 + 1).

        Parameters
        ----------
        image_of : (m,) int64 array
        parameters : (m, e) float64 array
        """
        return self._at_contrast(self._at_defocus(image_of, parameters)[0], parameters)

    def derivatives(self, image_of: Array, parameters: Array) -> FilterDerivatives:
        """Return the filters of m views with their derivatives, as `values`."""
        ctf, ahead, phases = self._at_defocus(image_of, parameters)
        values = self._at_contrast(ctf, parameters)
        first, second = [], {}
        if ahead is not None:
            slope = -phases * ahead
            first.append(self._at_contrast(slope, parameters))
            second[0, 0] = -(phases**2) * values
            if "contrast" in self.stds:
                second[0, 1] = slope
        if "contrast" in self.stds:
            first.append(ctf)
        return FilterDerivatives(values, first, second)

    def _at_defocus(self, image_of: Array, parameters: Array) -> tuple[Array, Any, Any]:
        """Return the CTF at contrast 1, its quadrature, and the phase per Angstrom."""
        assert self.ctf is not None
        ctf = self.ctf[image_of]
        if self.quadrature is None:
            return ctf, None, None
        assert self.phases is not None
        xp, ahead, phases = array_namespace(ctf), self.quadrature[image_of], self.phases[image_of]
        offsets = parameters[:, self.names.index("defocus")].astype(ctf.dtype)
        angle = phases * offsets[:, None, None]
        cosine, sine = xp.cos(angle), xp.sin(angle)
        return ctf * cosine - ahead * sine, ahead * cosine + ctf * sine, phases

    def _at_contrast(self, values: Array, parameters: Array) -> Array:
        if "contrast" not in self.stds:
            return values
        contrast = parameters[:, self.names.index("contrast")].astype(values.dtype)
        return values * contrast[:, None, None]


def image_filters(
    batch: Batch, band: Band, dtype: Any, stds: dict[str, float], response: DefocusResponse | None
) -> ImageFilters:
    """Return the filters of a batch of images in a band.

    Parameters
    ----------
    batch : Batch
    band : Band
    dtype : real dtype
    stds : dict of str to float
        As in `ImageFilters`.
    response : DefocusResponse, optional
        Where the defocus is free.
    """
    assert batch.images_ft is not None
    n, xp = len(batch.images_ft), array_namespace(batch.images_ft)
    ctf = band.crop_ctf(batch.ctf, n, dtype)
    if not stds:
        return ImageFilters(ctf)
    if ctf is None:
        ctf = xp.ones((n, band.box, band.box // 2 + 1), dtype)
    if "defocus" not in stds:
        return ImageFilters(ctf, stds)
    assert response is not None
    quadrature = band.crop_ctf(response.quadrature, n, dtype)
    rows = xp.arange(band.box)
    ky = xp.where(rows <= (band.box - 1) // 2, rows, rows - band.box)[:, None]
    squares = ky**2 + xp.arange(band.box // 2 + 1) ** 2
    phases = (response.rates[:, None, None] * squares).astype(dtype)
    return ImageFilters(ctf, stds, quadrature, phases)


def defocused(ctf: CTF, offset: Array) -> CTF:
    """Return CTFs with an offset, (n,) in Angstrom, on the defocus along both axes.

    Examples
    --------
    >>> ctf = CTF(defocus_u=15000, defocus_v=14000, astigmatism_angle=30, voltage=300,
    ...           spherical_aberration=2.7, amplitude_contrast=0.1, pixel_size=1.5)
    >>> defocused(ctf, np.array([100.0, -50.0])).defocus_v
    array([14100., 13950.])
    """
    own = ctf if len(ctf) == len(offset) else ctf[array_namespace(offset).zeros(len(offset), int)]
    return own.replace(defocus_u=own.defocus_u + offset, defocus_v=own.defocus_v + offset)
