"""What every implementation of the kernels offers, and what all of them are told.

A backend is a value that satisfies `Kernels`. It brings the primitives; everything else is
composed of them once, in `fslice._kernels.composed`, and may be overridden by a fused kernel that
gives the same.
"""

from __future__ import annotations

from types import ModuleType
from typing import Any, NamedTuple, Protocol

import numpy as np

from fslice._arrays import Array, array_namespace

LINEAR = (0, 1)
CUBIC = (-1, 0, 1, 2)  # the cubic B-spline


class SliceGeometry(NamedTuple):
    """A volume's frequency grid and the slices read from it.

    Any box is allowed: one ``z`` plane and one slice row make the two-dimensional case.
    Frequencies ``-(n-1)//2 ... (n-1)//2`` of each axis take part, so the Nyquist planes of an
    even box are neither read nor written, and neither are slice frequencies beyond
    `max_radius`. What the interpolation kernel meets outside this grid counts as zero; along an
    axis of a single frequency nothing is interpolated, as the spectrum of a plane is constant
    across it.
    """

    nz: int
    ny: int
    nx: int
    rows: int
    columns: int
    scale: float  # volume samples per slice frequency: the oversampling
    max_radius: float  # in slice frequencies
    taps: tuple[int, ...]  # offsets of the interpolation kernel: LINEAR or CUBIC

    @property
    def volume_shape(self) -> tuple[int, int, int]:
        """Shape of the volume's half spectrum."""
        return self.nz, self.ny, self.nx // 2 + 1

    @property
    def slice_shape(self) -> tuple[int, int]:
        """Shape of one slice's half spectrum."""
        return self.rows, self.columns // 2 + 1


class Views(NamedTuple):
    """Poses in which images are seen: symmetry mates and candidate poses are views of one image.

    All arrays are contiguous and of the volume's library.
    """

    rotations: Array  # (v, 3, 3) real, in the volume's precision or float64
    shifts: Array  # (v, 2) real, in pixels
    image_of: Array | None = None  # (v,) int64: which image; None: view n is of image n
    weights: Array | None = None  # (v,) real, >= 0: how much a view counts in sums; None: 1


class Filters(NamedTuple):
    """What multiplies the slices of n images, and how their residuals are weighed.

    Values and weights are in the volume's precision. The seven coefficients of an image's CTF are
    those of `Kernels.ctf_values`; an array of two axes holds them.
    """

    ctf: Array | None = None  # (n, rows, columns//2+1) real values, (n, 7) float64, or None: 1
    weights: Array | None = None  # (g, rows, columns//2+1) real, 1/sigma^2 of g groups; None: 1
    group_of: Array | None = None  # (n,) int64: an image's row of `weights`; None: row 0 serves all


class Kernels(Protocol):
    """A backend: v views of n images, in the arrays of one library.

    Volumes are (nz, ny, nx//2 + 1) and slices (rows, columns//2 + 1) half spectra, contiguous and
    of one precision. `amplitude` is a number. The inner product is that of real arrays: with m = 1
    on the plane ``kx = 0`` and 2 elsewhere, ``sum(m * Re(conj(a) * b))``.
    """

    @property
    def name(self) -> str:
        """What people call it: ``"numpy"``, ``"numba"``."""

    # primitives ----------------------------------------------------------------------------------

    def gather(
        self,
        volume: Array,
        views: Views,
        amplitude: float,
        geometry: SliceGeometry,
        out: Array | None = None,
    ) -> Array:
        """Return the slice in each view, (v, rows, columns//2 + 1).

        ``amplitude * exp(-2 pi i k.t / D) * volume(scale * R k)``, linear in `volume`. The views'
        `image_of` and `weights` play no part. The result is written to `out` where that is given.
        """

    def gather_slopes(
        self, volume: Array, views: Views, amplitude: float, geometry: SliceGeometry
    ) -> tuple[Array, Array]:
        """Return `gather` and its derivatives, (3, v, rows, columns//2 + 1).

        They are those of ``amplitude * exp(-2 pi i k.t / D) * volume(p)`` in the position p, along
        the volume's x, y and z.
        """

    def gather_curvatures(
        self, volume: Array, views: Views, amplitude: float, geometry: SliceGeometry
    ) -> tuple[Array, Array, Array]:
        """Return `gather_slopes`, and the second derivatives, (6, v, rows, columns//2 + 1).

        In the position's coordinates xx, xy, xz, yy, yz and zz.
        """

    def scatter(
        self, slices: Array, views: Views, amplitude: float, geometry: SliceGeometry
    ) -> Array:
        """Return the sum over views of ``weights[v]`` times the adjoint of `gather`.

        A view takes the slice ``slices[image_of[v]]``.
        """

    def scatter_squares(self, values: Array, views: Views, geometry: SliceGeometry) -> Array:
        """Return the diagonal of ``scatter(values * gather(.))``, a real volume.

        `values` are real, (n, rows, columns//2 + 1); they are added with the views' weights and the
        squares of the interpolation weights.
        """

    def new_gram(self, geometry: SliceGeometry, dtype: Any) -> Array:
        """Return the empty sum, in a real dtype, that `add_gram` adds to."""

    def add_gram(
        self, total: Array, views: Views, filters: Filters, geometry: SliceGeometry
    ) -> None:
        """Add, in place, the Gram matrix of linear slices of amplitude 1.

        That is the sum over views of ``weights[v] * filters.weights * ctf**2`` times the products
        of a sample's interpolation weights.
        """

    def stencil_of(self, total: Array, geometry: SliceGeometry) -> Array:
        """Return the stencil of all that was added, (14, nz, ny, nx//2 + 1)."""

    def apply_stencil(self, stencil: Array, volume: Array) -> Array:
        """Return the product of the Gram matrix and a volume, without the images."""

    # composed of them ----------------------------------------------------------------------------

    def gather_vjp(
        self,
        volume: Array,
        cotangent: Array,
        views: Views,
        amplitude: float,
        geometry: SliceGeometry,
    ) -> tuple[Array, Array, Array]:
        """Return the gradients of `gather` in volume, rotations (v, 3, 3) and shifts (v, 2).

        `cotangent` has a slice per view; as in `gather`, `image_of` and `weights` play no part. The
        gradients in the poses are float64, the third column of those in rotations is zero.
        """

    def misfit(
        self,
        volume: Array,
        images: Array,
        views: Views,
        filters: Filters,
        amplitude: float,
        geometry: SliceGeometry,
    ) -> tuple[Array, Array]:
        """Return the chi-squared of each view, (v,) float64, and a gradient in the volume.

        ``losses[v] = sum(m * filters.weights * |ctf * slice - images[image_of[v]]|**2)`` over the
        band, of the view alone. The gradient is that of ``sum(weights[v] * losses[v]) / 2``.
        """

    def misfit_gradients(
        self,
        volume: Array,
        images: Array,
        views: Views,
        filters: Filters,
        amplitude: float,
        geometry: SliceGeometry,
    ) -> tuple[Array, Array, Array, Array, Array | None]:
        """Return `misfit`, and the gradients of the same in rotations, shifts and the CTF.

        They are per view: (v, 3, 3) and (v, 2) float64, and (v, rows, columns//2 + 1) in the values
        of the CTF, or None without a CTF.
        """

    def gram(
        self,
        volume: Array,
        views: Views,
        filters: Filters,
        amplitude: float,
        geometry: SliceGeometry,
    ) -> Array:
        """Return ``P^H W P volume``: the gradient of `misfit` against images of zeros."""

    def pose_gram(
        self,
        volume: Array,
        images: Array,
        views: Views,
        filters: Filters,
        amplitude: float,
        geometry: SliceGeometry,
    ) -> Array:
        """Return the products ``sum(m * filters.weights * Re(conj(a) * b))``, (v, 6, 6) float64.

        The factors are the derivatives of ``ctf * slice`` in w of ``R @ exp([w]x)`` and in the
        shift (x, y), then the residual. They are of the view alone, as losses are.
        """

    def pose_curvature(
        self,
        volume: Array,
        images: Array,
        views: Views,
        filters: Filters,
        amplitude: float,
        geometry: SliceGeometry,
    ) -> tuple[Array, Array]:
        """Return `pose_gram`, and what the residual adds to the curvature, (v, 5, 5) float64.

        That is ``sum(m * filters.weights * Re(conj(residual) * b))``, b the second derivatives of
        ``ctf * slice`` in w of ``R @ exp([w]x)`` and in the shift.
        """

    def best_over_shifts(self, cross: Array, norm: Array, log_prior: Array) -> tuple[Array, Array]:
        """Return the best over t of ``cross[n, t, g] + log_prior[t] - norm[n, g]``, and its t.

        The first (n, G) real, the second (n, G) int32; of equal ones the first.
        """

    def peaks(
        self, scores: Array, rotations: Array, most: int, separation: float, window: float
    ) -> Array:
        """Return the best rotations of each image that are apart, (n, most) int64.

        Of (n, G) scores and (G, 3, 3) rotations: the best, then again and again the best of those
        by more than `separation`, radians, from all before, as long as it is within `window` of
        the best. -1 where there are no more; of equal ones the first.
        """

    def ctf_values(self, coefficients: Array, geometry: SliceGeometry, dtype: Any) -> Array:
        """Return the CTF of each row of seven coefficients c, (n, rows, columns//2 + 1).

        ``-c6 * sin(gamma) * exp(-c5 * (kx**2 + ky**2))`` with ``gamma = c0 * kx**2 + c1 * kx * ky
        + c2 * ky**2 + c3 * (kx**2 + ky**2)**2 + c4``, at the signed frequencies of a slice. Gamma,
        of hundreds of radians, is computed in double precision.
        """


def signed_frequencies(geometry: SliceGeometry, xp: ModuleType) -> tuple[Array, Array]:
    """Return kx (columns//2 + 1,) and ky (rows, 1) of a slice, as float64."""
    rows = xp.arange(geometry.rows, dtype=np.float64)[:, None]
    half = (geometry.rows - 1) // 2
    kx = xp.arange(geometry.columns // 2 + 1, dtype=np.float64)
    return kx, xp.where(rows <= half, rows, rows - geometry.rows)


def band(geometry: SliceGeometry, xp: ModuleType = np) -> Array:
    """Return which stored slice frequencies take part, as a (rows, columns//2 + 1) mask."""
    kx, ky = signed_frequencies(geometry, xp)
    inside = (abs(ky) <= (geometry.rows - 1) // 2) & (kx <= (geometry.columns - 1) // 2)
    return inside & (kx**2 + ky**2 <= geometry.max_radius**2)


def add_friedel_mates(volume: Array) -> Array:
    """Add to the plane ``kx = 0``, in place, the conjugates of what fell on its mirror images.

    A scatter visits each pair of frequencies ``k, -k`` of a slice once. Off the plane its
    mirror image is not stored; on it both are, and this is the other half.
    """
    xp = array_namespace(volume)
    plane = volume[:, :, 0]
    mirrored = xp.roll(xp.flip(plane, (0, 1)), 1, (0, 1))
    volume[:, :, 0] = plane + mirrored.conj()
    return volume
