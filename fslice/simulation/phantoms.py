"""The built-in test object: a seven-fold complex of Gaussian blobs."""

from __future__ import annotations

import numpy as np

from fslice.simulation.gaussians import GaussianModel, check_box

_FOLD = 7

_WIDTH = 0.055
"""Standard deviation of a blob of relative width 1, in halves of the box."""

_NARROWEST = 1.76
"""The least standard deviation in pixels: here the spectrum ends within the box's band."""

# radius and height (relative), azimuth [degrees], weight [electrons], relative width
_RINGS = np.array(
    [
        # the closed ring, from its mouth to its equator
        (0.38, -0.88, 2.0, 1_500, 0.45),
        (0.50, -0.80, 12.0, 8_000, 1.0),
        (0.66, -0.72, 20.0, 1_500, 0.5),
        (0.62, -0.53, 4.0, 5_000, 0.9),
        (0.74, -0.42, -8.0, 1_500, 0.45),
        (0.46, -0.22, 0.0, 10_000, 1.2),
        (0.60, -0.18, 16.0, 1_500, 0.5),
        # the open ring under the cap, staggered and twisted the other way
        (0.46, 0.06, 26.0, 10_000, 1.2),
        (0.62, 0.10, 12.0, 1_500, 0.45),
        (0.66, 0.31, 34.0, 5_000, 0.9),
        (0.80, 0.36, 46.0, 1_500, 0.5),
        (0.46, 0.50, 5.0, 1_500, 0.45),
        (0.63, 0.58, 19.0, 8_000, 1.0),
        (0.72, 0.62, 30.0, 1_500, 0.5),
        # the cap
        (0.36, 0.82, 43.0, 4_000, 0.9),
        (0.38, 0.88, 58.0, 1_500, 0.45),
    ]
)
_TOP = (0.0, 1.0, 0.0, 6_000, 1.0)


def phantom(size: int, pixel_size: float, *, radius: float = 0.55) -> GaussianModel:
    """Return the phantom: two stacked seven-fold rings and a cap, like GroEL with GroES.

    Parameters
    ----------
    size : int
        Box D in pixels, with which the phantom scales.
    pixel_size : float
        Angstrom.
    radius : float, optional
        Of the sphere about the origin that holds it, relative to half the box. Blobs count
        to three of their standard deviations.

    Returns
    -------
    GaussianModel
        113 blobs of the weight of GroEL-GroES's domains and helices: 450,500 electrons.

    Raises
    ------
    ValueError
        `radius` is not in [0.3, 1], or see `check_box`.

    Notes
    -----
    Symmetric under turns of 360/7 degrees about z and under nothing else: the rings
    differ, so up and down do; they are twisted, so the mirror image does. A transposed
    rotation, a swapped axis or a flipped hand therefore shows.

    Standard deviations are 0.025 to 0.066 of half the box, but 1.76 pixels at least, which
    ends the spectrum of every blob at 2e-6 of its peak where the band of a box of 32 or more
    ends. Below 64 pixels all blobs are wider than drawn and reach further than `radius` says:
    at 32 pixels they wrap around the box by 1e-6 with the default radius, by 3e-3 with 0.9.

    Examples
    --------
    >>> model = phantom(64, pixel_size=4.0)
    >>> len(model), round(model.diameter / (64 * 4.0), 3)
    (113, 0.55)
    """
    size, pixel_size = check_box(size, pixel_size)
    if not 0.3 <= radius <= 1:
        raise ValueError(f"radius: expected 0.3 to 1 of half the box, got {radius:g}")
    blobs = np.vstack([np.repeat(_RINGS, _FOLD, axis=0), _TOP])
    blobs[:-1, 2] += np.tile(360 / _FOLD * np.arange(_FOLD), len(_RINGS))
    distance, height, azimuth, weights, widths = blobs.T
    azimuth = np.deg2rad(azimuth)
    centres = np.stack([distance * np.cos(azimuth), distance * np.sin(azimuth), height], axis=1)
    centres *= (radius - 3 * _WIDTH) * size * pixel_size / 2
    deviations = np.maximum(widths * _WIDTH * size / 2, _NARROWEST) * pixel_size
    return GaussianModel(centres, weights, deviations**2)
