"""The posterior over poses: for each image a mixture of Gaussians about its modes."""

from __future__ import annotations

import os
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from fslice._arrays import Array, array_namespace, to_numpy
from fslice._sums import group_sums
from fslice.alignment.filters import PARAMETERS
from fslice.data.poses import Poses
from fslice.geometry import rotvec_to_matrix
from fslice.io._files import atomic_write
from fslice.symmetry.groups import symmetry_rotations

COLUMNS = ("wx", "wy", "wz", "tx", "ty")
"""Coordinates about a mode: ``R exp([w]x)``, radians about the image's axes; pixels."""

_SAVED = (
    "image_of", "rotations", "shifts", "weights", "covariance", "evidence", "discarded",
)  # fmt: skip
_OF_MODES = ("rotations", "shifts", "weights", "covariance", *PARAMETERS)


class ImageViews(NamedTuple):
    """Poses in which some images are seen, as `Projector` takes them."""

    rotations: Array
    """(v, 3, 3) float64."""
    shifts: Array
    """(v, 2) float64, in pixels."""
    image_of: Array
    """(v,) int64: which of the images that were asked for."""
    view_weights: Array
    """(v,) float64: they sum to one over an image."""


@dataclass(frozen=True, eq=False)
class PosePosterior:
    """Where the particle of each image may be: modes, their weights, and their widths.

    ``q(R, t) = sum_j w_j N((w, tau); 0, covariance_j)`` with ``R = R_j exp([w]x)`` and
    ``t = t_j + tau``, a mixture for each of n images; all modes are in one list, image by image.

    Parameters
    ----------
    image_of : (m,) int64 array
        The image of each mode, ascending; every image has one at least.
    rotations : (m, 3, 3) float64 array
        Image to volume coordinates, acting on (x, y, z).
    shifts : (m, 2) float64 array
        Where the particle sits, (x, y) in pixels.
    weights : (m,) float64 array
        Probability of each mode; the sum over an image is one.
    covariance : (m, c, c) float64 array
        Of (wx, wy, wz, tx, ty), radians about the image's axes and pixels; then of `defocus` and
        `contrast`, those that there are.
    evidence : (n,) float64 array
        ``log p(image | map) - log p(image | noise alone)``, in nats, over poses under their prior.
        Below zero, an empty image explains the pixels better.
    discarded : (n,) float64 array
        Estimate of the probability of modes that were left out.
    rows : (n,) int64 array, optional
        Which images of a data set these are. Default: the first n.
    defocus : (m,) float64 array, optional
        Offset of the defocus along both axes, in Angstrom, where it was free.
    contrast : (m,) float64 array, optional
        Factor of the image, beside what the data set has, where it was free.

    Examples
    --------
    >>> two = PosePosterior(
    ...     np.array([0, 1, 1]), np.tile(np.eye(3), (3, 1, 1)), np.zeros((3, 2)),
    ...     np.array([1.0, 0.3, 0.7]), np.tile(1e-4 * np.eye(5), (3, 1, 1)), np.ones(2),
    ...     np.zeros(2))
    >>> two, two.best_modes()
    (PosePosterior(2 images, 3 modes), array([0, 2]))
    """

    image_of: Array = field(repr=False)
    rotations: Array = field(repr=False)
    shifts: Array = field(repr=False)
    weights: Array = field(repr=False)
    covariance: Array = field(repr=False)
    evidence: Array = field(repr=False)
    discarded: Array = field(repr=False)
    rows: Array | None = field(default=None, repr=False)
    defocus: Array | None = field(default=None, repr=False)
    contrast: Array | None = field(default=None, repr=False)

    def __len__(self) -> int:
        """Return the number of images."""
        return len(self.evidence)

    def __repr__(self) -> str:
        """Say how much there is."""
        return f"PosePosterior({len(self)} images, {len(self.weights)} modes)"

    def __add__(self, other: PosePosterior) -> PosePosterior:
        """Return the posterior of the images of both, those of the other after these."""
        xp = array_namespace(self.weights, other.weights)
        joined: dict[str, Any] = {
            name: xp.concatenate([getattr(self, name), getattr(other, name)])
            for name in (*_OF_MODES, "evidence", "discarded") if getattr(self, name) is not None
        }  # fmt: skip
        image_of = xp.concatenate([self.image_of, other.image_of + len(self)])
        rows = xp.concatenate([self._rows(), other._rows() + (0 if other.rows is not None
                               else len(self))])  # fmt: skip
        return PosePosterior(image_of=image_of, rows=rows, **joined)

    def sorted(self) -> PosePosterior:
        """Return the images in the order of their rows."""
        return self[array_namespace(self.weights).argsort(self._rows())]

    def __getitem__(self, index: Any) -> PosePosterior:
        """Select images by an array of integers or booleans, or by a slice."""
        xp = array_namespace(self.weights)
        chosen = xp.arange(len(self))[index if isinstance(index, slice) else xp.asarray(index)]
        modes, image_of = self._modes_of(chosen)
        return replace(
            self, image_of=image_of, evidence=self.evidence[chosen],
            discarded=self.discarded[chosen], rows=self._rows()[chosen], **self._modes(modes),
        )  # fmt: skip

    @property
    def parameters(self) -> dict[str, Array]:
        """Those of `PARAMETERS` that were free, (m,) float64 each."""
        given = {name: getattr(self, name) for name in PARAMETERS}
        return {name: values for name, values in given.items() if values is not None}

    @property
    def columns(self) -> tuple[str, ...]:
        """Names of the c coordinates of `covariance` and `deviations`."""
        return (*COLUMNS, *self.parameters)

    @property
    def mode_counts(self) -> Array:
        """(n,) int64: how many modes each image has."""
        return array_namespace(self.weights).bincount(self.image_of, minlength=len(self))

    def best_modes(self) -> Array:
        """Return the place of each image's most probable mode: (n,) int64."""
        xp = array_namespace(self.weights)
        order = xp.lexsort(xp.stack([-self.weights, self.image_of]))
        return order[_starts(self.mode_counts)]

    def best(self) -> Poses:
        """Return the most probable pose of each image."""
        best = self.best_modes()
        return Poses(self.rotations[best], self.shifts[best])

    def deviations(self) -> Array:
        """Return the standard deviations at each image's best mode: (n, c), as in `columns`."""
        xp = array_namespace(self.weights)
        covariance = self.covariance[self.best_modes()]
        return xp.sqrt(xp.diagonal(covariance, axis1=1, axis2=2))

    def entropy(self) -> Array:
        """Return the entropy of the modes' weights, (n,) in nats: 0 where there is one mode."""
        xp = array_namespace(self.weights)
        terms = -self.weights * xp.log(xp.where(self.weights > 0, self.weights, 1))
        return group_sums(self.image_of, terms, len(self))

    def views(self, images: Any = slice(None)) -> ImageViews:
        """Return the modes of some images, Dirac, with their weights.

        Parameters
        ----------
        images : slice or array of integers or booleans, optional
            Which of the n. Default: all.
        """
        chosen = array_namespace(self.weights).arange(len(self))[images]
        modes, image_of = self._modes_of(chosen)
        return ImageViews(self.rotations[modes], self.shifts[modes], image_of, self.weights[modes])

    def sample(
        self, rng: np.random.Generator, draws: int = 1, images: Any = slice(None)
    ) -> ImageViews:
        """Draw poses of some images from the posterior.

        Parameters
        ----------
        rng : numpy.random.Generator
            Of the host: one seed gives the same poses in every library.
        draws : int, optional
            Of each image; each has the weight ``1 / draws``.
        images
            As in `views`.
        """
        own = self[images]
        mode, steps = own.draw(rng, draws)
        xp = array_namespace(self.weights)
        rotations = own.rotations[mode] @ rotvec_to_matrix(steps[:, :3])
        return ImageViews(
            rotations, own.shifts[mode] + steps[:, 3:5], xp.repeat(xp.arange(len(own)), draws),
            xp.full(len(mode), 1 / draws),
        )  # fmt: skip

    def draw(
        self, rng: np.random.Generator, draws: int, degrees: float | None = None
    ) -> tuple[Array, Array]:
        """Draw modes and steps from them, image by image: (n draws,) int64 and (n draws, c).

        Parameters
        ----------
        rng : numpy.random.Generator
        draws : int
            Of each image.
        degrees : float, optional
            Of a t distribution for the steps. Default: Gaussian.
        """
        xp, n = array_namespace(self.weights), len(self)
        uniform = xp.asarray(rng.random((n, draws)))
        normal = rng.standard_normal((n * draws, len(self.columns)))
        if degrees is not None:
            normal *= np.sqrt(degrees / rng.chisquare(degrees, (n * draws, 1)))
        # modes lie one after the other on a line, an image's on an interval of length one
        ends = xp.cumsum(self.weights)
        first = _starts(self.mode_counts)
        last = first + self.mode_counts - 1
        before = ends[first] - self.weights[first]
        places = before[:, None] + uniform * (ends[last] - before)[:, None]
        found = xp.searchsorted(ends, places.reshape(-1), side="right").reshape((n, draws))
        mode = xp.minimum(xp.maximum(found, first[:, None]), last[:, None]).reshape(-1)
        steps = xp.linalg.cholesky(self.covariance[mode]) @ xp.asarray(normal)[..., None]
        return mode, steps[..., 0]

    def relax(self, symmetry: str) -> PosePosterior:
        """Return the posterior with all equivalent modes g R of a point group, in equal shares.

        Refine it against a map that need not have the symmetry (`refine_poses`), and the weights
        tell which of them hold.
        """
        xp = array_namespace(self.weights)
        group = symmetry_rotations(symmetry, like=self.weights)
        order, count = len(group), len(self.weights)
        rotations = (group @ self.rotations[:, None]).reshape((-1, 3, 3))
        modes = xp.repeat(xp.arange(count), order)
        weights = self.weights[modes] / order
        return replace(
            self, image_of=self.image_of[modes],
            **(self._modes(modes) | {"rotations": rotations, "weights": weights}),
        )  # fmt: skip

    def save(self, path: str | os.PathLike[str], **more: Any) -> None:
        """Write the posterior as a NumPy archive, without pickled objects.

        Parameters
        ----------
        path : path
            Ending in ``.npz``.
        **more : array or number
            What is written beside it, such as ``pixel_size``.
        """
        names = (*_SAVED, *self.parameters)
        fields: dict[str, Any] = {name: to_numpy(getattr(self, name)) for name in names}
        with atomic_write(Path(path)) as file:
            rows, columns = to_numpy(self._rows()), np.array(self.columns)
            np.savez_compressed(file, rows=rows, columns=columns, **fields, **more)

    @staticmethod
    def load(path: str | os.PathLike[str]) -> PosePosterior:
        """Read what `save` has written.

        Raises
        ------
        ValueError
            The file is no such archive.
        """
        with np.load(path, allow_pickle=False) as archive:
            missing = [name for name in (*_SAVED, "rows") if name not in archive]
            if missing:
                raise ValueError(f"{path}: expected {', '.join(missing)}, got {archive.files}")
            names = (*_SAVED, "rows", *(name for name in PARAMETERS if name in archive))
            return PosePosterior(**{name: archive[name] for name in names})

    def _rows(self) -> Array:
        return array_namespace(self.weights).arange(len(self)) if self.rows is None else self.rows

    def _modes(self, modes: Array) -> dict[str, Array]:
        """Return the fields of some modes."""
        given = {name: getattr(self, name) for name in _OF_MODES}
        return {name: values[modes] for name, values in given.items() if values is not None}

    def _modes_of(self, images: Array) -> tuple[Array, Array]:
        """Return the places of some images' modes, and which of these images each is of."""
        xp = array_namespace(self.weights)
        counts = self.mode_counts
        starts, own = _starts(counts)[images], counts[images]
        first = _starts(own)
        image_of = xp.searchsorted(first + own, xp.arange(int(own.sum())), side="right")
        return starts[image_of] + xp.arange(len(image_of)) - first[image_of], image_of


def _starts(counts: Array) -> Array:
    return array_namespace(counts).cumsum(counts) - counts
