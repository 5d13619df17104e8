"""How poses are searched for."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np

from fslice._arrays import Array, array_namespace, check_choice
from fslice.alignment.grid import cell_radius, hexagonal_shifts
from fslice.symmetry.groups import symmetry_rotations

_ROTATIONS = 12288
_CELL = 0.42
"""Cells of the grid times object times frequency: how far apart, in waves, slices may be."""
_COARSEST = 12
_LAST_SHARE = 27 / 64
MOST_CONTRAST = 0.5
"""Deviation of contrasts about one, at most: of a Gaussian 2 % are negative then."""
_NUMBERS = (
    "shift_std", "rotations", "coarse_radius", "radius", "shift_step", "candidates", "max_modes",
    "window", "defocus_std", "contrast_std",
)  # fmt: skip


@dataclass(frozen=True)
class PoseSearch:
    """How poses are searched for; what is None is chosen from the map.

    Parameters
    ----------
    shift_std : float, optional
        Standard deviation, in pixels, of shifts along x and along y before the image is seen.
        `find_poses` sets it.
    rotations : int, optional
        Of the grid over all of SO(3). Default: 12288, up to three times as many for a symmetric
        object, of which only the asymmetric unit is searched.
    coarse_radius : float, optional
        Frequencies of the grid search, in units of 1/D. Default: as many as the grid is fine
        enough for, at most 12.
    radius : float, optional
        The highest frequency that is used, in units of 1/D. Default: 27/64 of D, but 54 if the
        box has so many.
    radii : tuple of float, optional
        Frequencies of the refinement, ascending up to `radius`. Default: from 4/3 of
        `coarse_radius` on about twice as many each time.
    shift_step : float, optional
        Between neighbours of the grid of shifts, in pixels. Default: 0.28 D over `coarse_radius`.
    candidates : int, optional
        Poses of the grid that are refined, of an image, at most. They are apart, so that one mode
        does not take all.
    max_modes : int, optional
        That are kept of an image.
    window : float, optional
        In nats: modes further below the best one are given up.
    defocus_std : float, optional
        Each image's defocus is refined too: an offset, of this standard deviation in Angstrom
        before the image is seen. Default: the defocus of the CTF holds.
    contrast_std : float, optional
        Each image's contrast is free: a factor, of this standard deviation about one, at most
        0.5. The scale of the map is then learned. Default: that of the data set holds.
    prior_directions : {"uniform", "learned"}, optional
        The density of directions of view before the image is seen; learned from up to 1024 images.

    Raises
    ------
    ValueError
        A number is out of its range.
    """

    shift_std: float = 2.0
    rotations: int | None = None
    coarse_radius: float | None = None
    radius: float | None = None
    radii: tuple[float, ...] | None = None
    shift_step: float | None = None
    candidates: int = 20
    max_modes: int = 8
    window: float = 12.0
    defocus_std: float | None = None
    contrast_std: float | None = None
    prior_directions: str = "uniform"

    def __post_init__(self) -> None:
        for name in _NUMBERS:
            value = getattr(self, name)
            if value is not None and not 0 < value < math.inf:
                raise ValueError(f"{name}: expected a number above 0, got {value}")
        if (self.contrast_std or 0) > MOST_CONTRAST:
            raise ValueError(
                f"contrast_std: expected at most {MOST_CONTRAST}, as a contrast is positive, got "
                f"{self.contrast_std}"
            )
        check_choice("prior_directions", self.prior_directions, ("uniform", "learned"))
        if self.radii is not None and (not self.radii or list(self.radii) != sorted(self.radii)):
            raise ValueError(f"radii: expected ascending numbers, got {self.radii}")

    def chosen(self, size: int, object_radius: float, symmetry: str) -> PoseSearch:
        """Return the search with every number chosen.

        Parameters
        ----------
        size : int
            Box D.
        object_radius : float
            In pixels.
        symmetry : str
        """
        most = (size - 1) // 2
        order = len(symmetry_rotations(symmetry))
        rotations = self.rotations or _ROTATIONS * min(order, 3)
        coarse = self.coarse_radius
        if coarse is None:
            fine = _CELL * size / (cell_radius(rotations) * max(object_radius, 1))
            coarse = float(min(max(3, round(fine)), _COARSEST))
        last = min(max(_LAST_SHARE * size, 54), most) if self.radius is None else self.radius
        coarse = min(coarse, last)
        radii = self.radii
        if radii is None:
            radii = (last,)
            while radii[0] > 2 * coarse:
                radii = (max(radii[0] / 2, 4 / 3 * coarse), *radii)
            radii = tuple(float(round(radius)) for radius in radii)
        if radii[-1] > most:
            raise ValueError(f"radii: expected at most {most}, got {radii[-1]}")
        step = self.shift_step or 0.28 * size / coarse
        return replace(
            self, rotations=rotations, coarse_radius=coarse, radii=radii, shift_step=step
        )

    @property
    def parameters(self) -> dict[str, float]:
        """Standard deviations of the parameters of images that are free, by their names."""
        given = {"defocus": self.defocus_std, "contrast": self.contrast_std}
        return {name: std for name, std in given.items() if std is not None}

    def shifts(self) -> np.ndarray:
        """Return the grid of shifts, (T, 2): three standard deviations, and a margin."""
        assert self.shift_step is not None
        return hexagonal_shifts(3 * self.shift_std + self.shift_step / 4, self.shift_step)


def object_radius(volume: Array) -> float:
    """Return the radius, in pixels, of the ball that the squares of a map are spread as.

    Examples
    --------
    >>> z, y, x = np.indices((32, 32, 32)) - 16
    >>> bool(abs(object_radius((x**2 + y**2 + z**2 < 100) * 1.0) - 10) < 0.2)
    True
    """
    xp, size = array_namespace(volume), len(volume)
    squares, place = volume.astype(np.float64) ** 2, (xp.arange(size) - size // 2) ** 2
    by_axis = [squares.sum((0, 1)), squares.sum((0, 2)), squares.sum((1, 2))]
    total = by_axis[0].sum()
    spread = sum((sums * place).sum() for sums in by_axis) / xp.where(total > 0, total, 1)
    return float(xp.sqrt(5 / 3 * spread))
