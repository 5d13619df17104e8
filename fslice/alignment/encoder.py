"""Amortised proposals: a network from an image to poses of a grid, with confidences.

The paper's appendix C, whose networks failed as one point estimate cannot answer for an object that
looks alike from several sides. This one says a probability for every cell of a grid of rotations,
so that it may name several; it is trained on simulated projections of the map, and what it proposes
is refined by `fslice.alignment.find.refine_poses`. Whether that is worth it beside scoring all
cells exactly (`fslice.alignment.coarse`) is measured in the documentation.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np

from fslice._arrays import Array, array_namespace, check_shape, check_size
from fslice._sums import group_sums
from fslice.alignment.band import Band
from fslice.alignment.grid import asymmetric_rotations, cell_radius
from fslice.alignment.network import (
    LOWEST,
    Layer,
    cross_entropy_vjp,
    first_layers,
    flatten,
    log_probabilities,
    unflatten,
)
from fslice.geometry import random_rotations
from fslice.optim import adam_init, adam_update
from fslice.symmetry.groups import symmetry_rotations

_BATCH = 512
"""Simulated images of a step."""
_RATE = 2e-3
"""Of the first steps; it falls along half a cosine."""
_SPREAD = 0.5
"""Standard deviation of the target about a pose, in radii of a cell."""


class Proposals(NamedTuple):
    """Poses of a grid, the most likely first."""

    cells: Array
    """(n, M) int64: which rotation of the encoder's."""
    confidences: Array
    """(n, M) real: their probabilities."""


@dataclass(frozen=True, eq=False)
class Encoder:
    """A network from the low frequencies of an image to probabilities of rotations.

    `train_encoder` makes it.

    Parameters
    ----------
    band : Band
        Which frequencies it reads.
    rotations : (G, 3, 3) real array
        Centres of the cells.
    scales : (P,) real array
        What the frequencies are multiplied by.
    layers : tuple of Layer
    """

    band: Band
    rotations: Array = field(repr=False)
    scales: Array = field(repr=False)
    layers: tuple[Layer, ...] = field(repr=False)

    def features(self, images: Array) -> Array:
        """Return what the network reads of (n, P) complex images: (n, 2P) real.

        ``band.flatten(band.crop(images_ft))`` gives them.
        """
        check_shape("images", images, ("n", len(self.scales)))
        return _features(images, self.scales)

    def propose(self, images: Array, most: int) -> Proposals:
        """Return the most likely cells of each image.

        Parameters
        ----------
        images : (n, P) complex array
        most : int
            How many, M.
        """
        xp = array_namespace(images, self.scales)
        values = log_probabilities(self.layers, self.features(images))
        most = min(check_size("most", most), values.shape[1])
        order = xp.argsort(-values, axis=1)[:, :most]
        return Proposals(order, xp.exp(xp.take_along_axis(values, order, 1)))


def train_encoder(
    volume: Array,
    noise_variance: float,
    *,
    symmetry: str = "C1",
    cells: int = 4608,
    radius: float = 8,
    hidden: tuple[int, ...] = (512, 512),
    steps: int = 2000,
    rng: np.random.Generator,
    progress: Callable[[int, float], Any] | None = None,
) -> Encoder:
    """Train an encoder on simulated projections of a map.

    Parameters
    ----------
    volume : (D, D, D) real array
        The map, in the unit of the images.
    noise_variance : float
        ``sigma^2`` of a pixel, white.
    symmetry : str, optional
        Point group of the map: cells are those of its asymmetric unit.
    cells : int, optional
        Of the grid over all of SO(3).
    radius : float, optional
        Frequencies that are read, in units of 1/D.
    hidden : tuple of int, optional
        Widths of the hidden layers.
    steps : int, optional
        Of Adam, on 512 fresh projections each.
    rng : numpy.random.Generator
    progress : callable, optional
        Called after each step with 1 and the loss.

    Returns
    -------
    Encoder

    Notes
    -----
    Views are uniform, centred, without CTF. The target of an image is a probability for each
    cell that falls off with its angle from the pose, as ``exp(-(1 - cos angle) / w^2)`` with w half
    the radius of a cell: neighbours of the right cell are nearly right.

    Examples
    --------
    >>> import fslice
    >>> blobs = fslice.phantom(24, 6.0).volume(24, 6.0)
    >>> found = train_encoder(blobs, 1.0, cells=60, radius=4, hidden=(16,), steps=5,
    ...                       rng=np.random.default_rng(0))
    >>> found.propose(np.zeros((2, len(found.scales)), complex), 3).cells.shape
    (2, 3)
    """
    xp = array_namespace(volume)
    band = Band(len(volume), radius)
    volume_ft = band.transform(volume.astype("float32"))
    rotations = asymmetric_rotations(cells, symmetry)
    some = band.slices(volume_ft, random_rotations(_BATCH, rng, like=volume_ft.real))
    scales = _scales(band, some, noise_variance)
    layers = first_layers((2 * len(scales), *hidden, len(rotations)), rng, like=scales)
    encoder = Encoder(band, xp.asarray(rotations), scales, layers)
    group = symmetry_rotations(symmetry)
    flat = flatten(layers)
    state = adam_init(flat)
    for step in range(steps):
        images, poses = _simulated(band, volume_ft, noise_variance, rng)
        target = targets_of(poses, rotations, group, _SPREAD * cell_radius(cells))
        target = xp.asarray(target, flat.dtype)
        loss, gradients = cross_entropy_vjp(layers, encoder.features(images), target)
        direction, state = adam_update(flatten(gradients), state)
        flat = flat - (_RATE * 0.5 * (1 + math.cos(math.pi * step / steps))) * direction
        layers = unflatten(flat, layers)
        if progress is not None:
            progress(1, loss)
    return Encoder(band, encoder.rotations, scales, layers)


def targets_of(
    poses: np.ndarray, cells: np.ndarray, group: np.ndarray, spread: float
) -> np.ndarray:
    """Return the target of each pose over the cells, (n, G), its symmetry mates together.

    Examples
    --------
    >>> cells = symmetry_rotations("C4")
    >>> targets_of(cells[1:2], cells, np.eye(3)[None], 0.1).round(3) + 0.0
    array([[0., 1., 0., 0.]])
    """
    mates = np.einsum("sij,gjk->sgik", group, cells).reshape(-1, 9)
    traces = poses.reshape(-1, 9) @ mates.T
    exponent = np.maximum((traces - 3) / 2 / spread**2, LOWEST)
    density = np.exp(exponent).reshape(len(poses), len(group), len(cells)).sum(1)
    return density / density.sum(1, keepdims=True)


def _simulated(
    band: Band, volume_ft: Array, noise_variance: float, rng: np.random.Generator
) -> tuple[Array, np.ndarray]:
    """Return noisy projections in uniform poses, (n, P) complex, and these poses."""
    xp = array_namespace(volume_ft)
    poses = random_rotations(_BATCH, rng)
    clean = band.slices(volume_ft, xp.asarray(poses, volume_ft.real.dtype))
    noise = rng.standard_normal((2, *clean.shape), dtype=np.float32)
    noise *= math.sqrt(noise_variance / 2)  # at zero frequency the real part alone counts
    return clean + xp.asarray(noise[0] + 1j * noise[1], clean.dtype), poses


def _scales(band: Band, clean: Array, noise_variance: float) -> Array:
    """Return the signal's deviation over the variance of all, per shell: a Wiener filter."""
    xp = array_namespace(clean)
    shell = np.rint(np.sqrt((band.frequencies**2).sum(1))).astype(int)
    power = xp.asarray((abs(clean) ** 2).mean(0))
    counts = np.bincount(shell)
    sums = group_sums(xp.asarray(shell), power, len(counts))
    signal = (sums / xp.asarray(counts))[xp.asarray(shell)]
    signal[0] = 0  # the sum of an image says nothing of its pose
    return (xp.sqrt(signal) / (signal + noise_variance)).astype(clean.real.dtype)


def _features(images: Array, scales: Array) -> Array:
    scaled = images * scales
    return array_namespace(images).concatenate([scaled.real, scaled.imag], 1)
