"""Scores of images at all poses of a grid, by products of matrices.

With the centred image ``a = m C y exp(2 pi i k.t / D) / sigma^2`` and the slice S at a rotation,

``log p(y | R, t) - log p(y | noise) = Re<a, S> - 1/2 sum_k m C^2 |S|^2 / sigma^2``

so that the scores at T shifts and G rotations are the product of a (T, 2P) and a (2P, G) matrix,
less one of (1, P) and (P, G). Slices of one map at low frequencies lie close to a space of few
dimensions: in its basis the products are several times shorter.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np

from fslice import _kernels
from fslice._arrays import Array, array_namespace
from fslice.alignment.band import Band

TILE = 2048
"""Rotations that are scored together: a tile of scores is read from the cache, once."""
CROSS_LOSS, NORM_LOSS = 1e-3, 1e-7
"""Shares of the power of slices, and of their squares, that their bases may leave out."""

_SAMPLE = 4096
"""Slices that a basis is made from."""


class Encoded(NamedTuple):
    """Images, as templates take them."""

    centred: Array
    """(n, T, r) real: each image, weighted and centred at each shift of the grid."""
    squared_ctf: Array
    """(n, r2) real: half the squared CTF over the noise."""


class Candidates(NamedTuple):
    """Poses on the grid, a list for all images."""

    image_of: Array
    """(m,) int64, ascending."""
    rotation: Array
    """(m,) int64: which rotation of the grid."""
    shift: Array
    """(m,) int64: which shift of the grid."""
    score: Array
    """(m,) real: log posterior, up to the prior's constant, above that of noise alone."""


@dataclass(frozen=True, eq=False)
class Templates:
    """Slices of a map at G rotations, on which images are scored at T shifts.

    `make_templates` makes them.

    Parameters
    ----------
    band : Band
    rotations : (G, 3, 3) real array
    shifts : (T, 2) real array
        In pixels of the box D.
    log_prior : (T,) real array
        What is added to the scores at each shift.
    slices : (G, r) real array
        Coefficients of the slices in their basis.
    squares : (G, r2) real array
        Of their squared moduli.
    encoder : (2P, r) real array, or None
        From real, then imaginary parts of a centred image to that basis; None: no basis.
    square_encoder : (P, r2) real array, or None
    log_directions : (G,) real array, optional
        What is added to the scores at each rotation.
    """

    band: Band
    rotations: Array = field(repr=False)
    shifts: Array = field(repr=False)
    log_prior: Array = field(repr=False)
    slices: Array = field(repr=False)
    squares: Array = field(repr=False)
    encoder: Array | None = field(repr=False)
    square_encoder: Array | None = field(repr=False)
    log_directions: Array | None = field(default=None, repr=False)

    def encode(self, images: Array, ctf: Array | None, noise_variance: float = 1.0) -> Encoded:
        """Return images as the templates take them.

        Parameters
        ----------
        images : (n, P) complex array
            ``band.flatten(band.crop(images_ft))``, over the noise's deviation where it is coloured.
        ctf : (n, P) real array, optional
            Likewise, of the images.
        noise_variance : float, optional
            ``sigma^2``.
        """
        xp, real = array_namespace(images), images.real.dtype
        weights = xp.asarray(self.band.multiplicities / noise_variance, real)
        weighted = images * weights
        squares = xp.full(images.shape, 0.5 / noise_variance, real)
        if ctf is not None:
            weighted = weighted * ctf
            squares = ctf**2 * (0.5 / noise_variance)
        centred = weighted[:, None] * self.band.phases(self.shifts, images.dtype)
        centred = xp.concatenate([centred.real, centred.imag], -1)
        if self.encoder is not None:
            centred = centred @ self.encoder
        if self.square_encoder is not None:
            squares = squares @ self.square_encoder
        return Encoded(centred, squares)

    def scores(self, encoded: Encoded) -> Array:
        """Return the log posterior, up to the prior's constant, above that of noise: (n, T, G)."""
        cross = encoded.centred @ self.slices.T
        cross += self.log_prior[:, None]
        cross -= self._norm(encoded, slice(None))[:, None]
        return cross

    def best_over_shifts(self, encoded: Encoded) -> tuple[Array, Array]:
        """Return the best score at each rotation, and which shift has it: (n, G), (n, G) int32."""
        xp, (n, count) = array_namespace(encoded.centred), encoded.centred.shape[:2]
        kernels = _kernels.kernels_for(encoded.centred)
        best = xp.empty((n, len(self.rotations)), encoded.centred.dtype)
        shift = xp.empty(best.shape, np.int32)
        flat = encoded.centred.reshape(n * count, -1)
        for start in range(0, len(self.rotations), TILE):
            part = slice(start, start + TILE)
            cross = (flat @ self.slices[part].T).reshape((n, count, -1))
            norm = self._norm(encoded, part)
            best[:, part], shift[:, part] = kernels.best_over_shifts(cross, norm, self.log_prior)
        return best, shift

    def _norm(self, encoded: Encoded, part: slice) -> Array:
        """Return what is taken from the scores at some rotations, (n, g)."""
        norm = encoded.squared_ctf @ self.squares[part].T
        return norm if self.log_directions is None else norm - self.log_directions[part]

    def candidates(
        self, encoded: Encoded, most: int, separation: float, window: float
    ) -> Candidates:
        """Return the best poses of each image, apart from each other.

        Parameters
        ----------
        encoded : Encoded
        most : int
            Of an image.
        separation : float
            Least angle between the rotations of two, in radians.
        window : float
            In nats: those further below the best are left out.
        """
        xp = array_namespace(encoded.centred)
        best, shift = self.best_over_shifts(encoded)
        peaks = _kernels.kernels_for(best).peaks(best, self.rotations, most, separation, window)
        image_of, place = xp.nonzero(peaks >= 0)
        rotation = peaks[image_of, place]
        own = image_of, rotation
        return Candidates(image_of, rotation, shift[own].astype(np.int64), best[own])


def make_templates(
    volume_ft: Array,
    band: Band,
    rotations: Array,
    shifts: Array,
    *,
    log_prior: Array | None = None,
    compress: bool = True,
) -> Templates:
    """Read the slices of a map at a grid's rotations.

    Parameters
    ----------
    volume_ft : complex array
        ``band.transform(volume)``.
    band : Band
    rotations : (G, 3, 3) real array
    shifts : (T, 2) real array
        In pixels of the box D.
    log_prior : (T,) real array, optional
        Default: 0.
    compress : bool, optional
        Whether slices are kept in a basis. Scores are exact up to rounding without one, and
        within about a thousandth of the slices' power with one.

    Returns
    -------
    Templates

    Examples
    --------
    >>> import fslice
    >>> band = Band(32, 6)
    >>> volume_ft = band.transform(fslice.phantom(32, 4.0).volume(32, 4.0))
    >>> rotations, shifts = fslice.random_rotations(50, np.random.default_rng(0)), np.zeros((1, 2))
    >>> templates = make_templates(volume_ft, band, rotations, shifts, compress=False)
    >>> images = band.slices(volume_ft, rotations[:3])
    >>> templates.scores(templates.encode(images, None)).argmax(-1).ravel()
    array([0, 1, 2])
    """
    xp = array_namespace(volume_ft, rotations, shifts)
    slices = band.slices(volume_ft, rotations)
    weights = xp.asarray(band.multiplicities, slices.real.dtype)
    squares = slices.real**2 + slices.imag**2
    parts = xp.concatenate([slices.real, slices.imag], -1)
    squares *= weights
    encoder = square_encoder = None
    if compress:
        roots = xp.sqrt(xp.concatenate([weights, weights]))
        basis = _basis(parts * roots, CROSS_LOSS)
        parts, encoder = (parts * roots) @ basis, basis / roots[:, None]
        square_encoder = _basis(squares, NORM_LOSS)
        squares = squares @ square_encoder
    if log_prior is None:
        log_prior = xp.zeros(len(shifts))
    return Templates(
        band, rotations, shifts, log_prior.astype(parts.dtype), parts, squares, encoder,
        square_encoder,
    )  # fmt: skip


def _basis(table: Array, loss: float) -> Array:
    """Return the fewest orthonormal columns that hold all but a share of the rows' power."""
    xp = array_namespace(table)
    some = table[:: max(1, len(table) // _SAMPLE)]  # of a grid: they fill the space evenly
    values, vectors = xp.linalg.eigh((some.T @ some).astype(np.float64))
    power = xp.cumsum(values)  # ascending: of what the first columns hold
    dropped = int((power <= loss * power[-1]).sum())
    return xp.ascontiguousarray(vectors[:, dropped:].astype(table.dtype))
