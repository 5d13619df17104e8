"""Gaussian noise: white, coloured by shell, different between groups of images (eqs. 2 and 11)."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import numpy as np

from fslice._arrays import (
    Array,
    array_namespace,
    check_alike,
    check_complex,
    check_real,
    check_shape,
)
from fslice.fourier import radii, shell_sum, shells


class NoiseGradients(NamedTuple):
    """Gradients of the summed log density of images."""

    expected: Array
    """(n, D, D//2 + 1) complex, in the inner product of half spectra."""
    variances: Array
    """(G, S) float64."""


@dataclass(frozen=True, eq=False)
class GaussianNoise:
    """Independent Gaussian noise in the Fourier coefficients of n images.

    Parameters
    ----------
    variances : float or (S,) or (G, S) float64 array
        ``sigma^2`` by group of images and by shell. One shell (S = 1) is white noise: as the
        transforms are unitary, the variance of a pixel. Otherwise S = D//2 + 1; the last one also
        serves the corners beyond.
    groups : (n,) integer array, optional
        The row of `variances` of each image, such as its optics group. Needed unless there is
        one row, which then serves any number of images.
    max_radius : float, optional
        Frequencies ``|k| <= max_radius`` take part, as in `Projector`. Default: all.

    Raises
    ------
    ValueError
        A variance is not finite and positive, a shape is not as above, or a group has no row.
    TypeError
        `groups` is not of integers.

    Notes
    -----
    With m the Hermitian weight of a stored frequency and d the sum of m over the band, the number
    of real degrees of freedom, an image has the log density

    ``-1/2 sum_k m [ |y - y^|^2 / sigma^2 + log(2 pi sigma^2) ]``

    (the paper's eq. 11 with a variance for each k). Without `max_radius` it is the density of
    its pixels (eq. 2).

    Examples
    --------
    Two groups of images, the second with twice the noise; what is learned is what was drawn:

    >>> import fslice
    >>> rng = np.random.default_rng(0)
    >>> groups = np.arange(400) % 2
    >>> images = np.sqrt(1.0 + groups)[:, None, None] * rng.normal(size=(400, 16, 16))
    >>> images_ft = fslice.rfft2(images)
    >>> start = GaussianNoise(np.ones((2, 1)), groups)
    >>> start.updated(images_ft, 0 * images_ft).variances.round(1)
    array([[1.],
           [2.]])
    """

    variances: Array
    groups: Array | None = None
    max_radius: float | None = None

    def __post_init__(self) -> None:
        # a plain number belongs to the library of the other array
        given = self.variances if hasattr(self.variances, "dtype") else None
        xp = array_namespace(given, self.groups)
        table = xp.atleast_2d(xp.asarray(self.variances, dtype=np.float64))
        check_shape("variances", table, ("G", "S"))
        if not bool((xp.isfinite(table) & (table > 0)).all()):
            raise ValueError("variances: expected finite values above 0")
        object.__setattr__(self, "variances", table)
        if self.groups is None:
            if len(table) > 1:
                raise ValueError(f"groups: expected one for each image, as there are {len(table)}")
            return
        check_groups(self.groups, len(table))

    def __getitem__(self, index: Any) -> GaussianNoise:
        """Select images by a slice, or by an array of integers or booleans."""
        return self if self.groups is None else replace(self, groups=self.groups[index])

    def evaluate(self, size: int) -> Array:
        """Return the variance of every coefficient.

        Parameters
        ----------
        size : int
            Box D.

        Returns
        -------
        (n, D, D//2 + 1) float64 array
            With one image that stands for all where there are no groups. Its inverse is the
            weight that fits take.
        """
        return self._rows()[:, self._columns(size)]

    def weights(self, size: int) -> Array:
        """Return one over the variance of every coefficient, and 0 beyond `max_radius`.

        Parameters
        ----------
        size : int
            Box D.

        Returns
        -------
        (n, D, D//2 + 1) float64 array
            With one image that stands for all where there are no groups.
        """
        return self._band(size) / self.evaluate(size)

    def log_likelihood(self, images_ft: Array, expected_ft: Array) -> Array:
        """Return the log density of each image.

        Parameters
        ----------
        images_ft, expected_ft : (n, D, D//2 + 1) complex arrays
            Half spectra.

        Returns
        -------
        (n,) float64 array

        Raises
        ------
        ValueError, TypeError
            The arrays do not fit one another, or the model.
        """
        squares, degrees = self._sums(images_ft, expected_ft)
        rows = self._rows()
        xp = array_namespace(squares)
        return -0.5 * (squares / rows + degrees * xp.log(2 * math.pi * rows)).sum(1)

    def log_likelihood_gradients(self, images_ft: Array, expected_ft: Array) -> NoiseGradients:
        """Return the gradients of the summed log density in the expectation and the variances.

        Parameters
        ----------
        images_ft, expected_ft
            As in `log_likelihood`.

        Returns
        -------
        NoiseGradients
            ``expected``: ``(y - y^) / sigma^2``, zero beyond `max_radius`.
            ``variances``: ``(sum |y - y^|^2 / sigma^2 - d) / (2 sigma^2)``, which vanishes at
            `updated`.
        """
        squares, degrees = self._grouped(*self._sums(images_ft, expected_ft))
        weights = self.weights(images_ft.shape[-2])
        grad_expected = (images_ft - expected_ft) * weights.astype(images_ft.real.dtype)
        grad_variances = (squares / self.variances - degrees) / (2 * self.variances)
        return NoiseGradients(grad_expected, grad_variances)

    def updated(
        self, images_ft: Array, expected_ft: Array, uncertainty: Array | None = None
    ) -> GaussianNoise:
        """Return the model whose variances make these images most likely.

        Parameters
        ----------
        images_ft, expected_ft
            As in `log_likelihood`.
        uncertainty : (n, D, D//2 + 1) real array, optional
            Variance of each coefficient of the expectation, which adds to the residual: of the
            projected posterior, in variational inference.

        Returns
        -------
        GaussianNoise
            ``sigma^2 = sum |y - y^|^2 / d`` in each group and shell. Where there is no image, no
            frequency or no residual, the variance stays.
        """
        return self.fitted(*self._grouped(*self._sums(images_ft, expected_ft, uncertainty)))

    def fitted(self, squares: Array, degrees: Array) -> GaussianNoise:
        """Return the model with the most likely variances, from sums by group and shell.

        Parameters
        ----------
        squares, degrees : (G, S) float64 arrays
            Sums of squared residuals, and how many real numbers they are of.
        """
        xp = array_namespace(squares)
        measured = (degrees > 0) & (squares > 0)
        best = squares / xp.where(measured, degrees, 1)
        return replace(self, variances=xp.where(measured, best, self.variances))

    def _columns(self, size: int) -> Array:
        """Return the column of `variances` of every stored frequency."""
        xp = array_namespace(self.variances)
        count = self.variances.shape[1]
        if count not in (1, size // 2 + 1):
            raise ValueError(
                f"variances: expected 1 or {size // 2 + 1} shells for box {size}, got {count}"
            )
        return xp.minimum(shells(size, 2, xp), count - 1)

    def _band(self, size: int) -> Array:
        xp = array_namespace(self.variances)
        return radii(size, 2, xp) <= (math.inf if self.max_radius is None else self.max_radius)

    def _rows(self) -> Array:
        return self.variances if self.groups is None else self.variances[self.groups]

    def _sums(
        self, images_ft: Array, expected_ft: Array, uncertainty: Array | None = None
    ) -> tuple[Array, Array]:
        """Return each image's squared residuals (n, S), and the degrees of freedom (S,)."""
        check_complex("images_ft", images_ft)
        check_complex("expected_ft", expected_ft)
        if uncertainty is not None:
            check_real("uncertainty", uncertainty)
        check_alike(images_ft=images_ft, expected_ft=expected_ft, uncertainty=uncertainty)
        array_namespace(images_ft, self.variances)
        count = "n" if self.groups is None else len(self.groups)
        size = images_ft.shape[-2] if images_ft.ndim > 1 else 0
        check_shape("images_ft", images_ft, (count, size or "D", size // 2 + 1))
        check_shape("expected_ft", expected_ft, images_ft.shape)
        difference = images_ft - expected_ft
        squares = difference.real**2 + difference.imag**2
        if uncertainty is not None:
            check_shape("uncertainty", uncertainty, images_ft.shape)
            squares = squares + uncertainty
        ones = array_namespace(squares).ones_like(squares[:1], dtype=np.float64)
        return self._by_shell(squares, size), self._by_shell(ones, size)[0]

    def _by_shell(self, values: Array, size: int) -> Array:
        """Sum (n, D, D//2 + 1) values over the shells of the model, in its band."""
        self._columns(size)
        sums = shell_sum(values * self._band(size), size, 2, corners=True)
        return sums if self.variances.shape[1] > 1 else sums.sum(1, keepdims=True)

    def _grouped(self, squares: Array, degrees: Array) -> tuple[Array, Array]:
        """Sum squares and degrees of freedom over the images of each group: (G, S) both."""
        xp = array_namespace(squares)
        if self.groups is None:
            return squares.sum(0, keepdims=True), len(squares) * degrees[None]
        member = group_members(self.groups, len(self.variances), xp)
        return member @ squares, member.sum(1, keepdims=True) * degrees


def group_members(groups: Array, count: int, xp: Any) -> Array:
    """Return which images belong to each group, as a (G, n) float64 array of 0 and 1."""
    return (xp.arange(count)[:, None] == groups).astype(np.float64)


def check_groups(groups: Array, count: int) -> None:
    """Raise unless `groups` are integers from 0 to `count` - 1, one for each image."""
    if groups.dtype.kind not in "iu":
        raise TypeError(f"groups: expected integers, got {groups.dtype}")
    check_shape("groups", groups, ("n",))
    low, high = int(groups.min()), int(groups.max())
    if low < 0 or high >= count:
        raise ValueError(f"groups: expected 0 to {count - 1}, got {low if low < 0 else high}")
