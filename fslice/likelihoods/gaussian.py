"""Models of Gaussian noise: white, coloured by shell, different between groups of images."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from fslice._arrays import (
    Array,
    array_namespace,
    check_alike,
    check_complex,
    check_real,
    check_shape,
)
from fslice.fourier import hermitian_weights, radii, shells


@dataclass(frozen=True, eq=False)
class NoiseModel:
    """Independent Gaussian noise in the Fourier coefficients of n images.

    Parameters
    ----------
    variances : float or (S,) or (G, S) float64 array
        ``sigma^2`` by group of images and by shell. One shell (S = 1) is white noise: as the
        transforms are unitary, the variance of a pixel. Otherwise S = D//2 + 1; the last one also
        serves the corners beyond.
    groups : (n,) integer array, optional
        The row of `variances` of each image, such as its micrograph or optics group. Needed
        unless there is one row, which then serves any number of images.
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
    With m the Hermitian weight of a stored frequency (`fslice.fourier.hermitian_weights`) and d
    the sum of m over the band, the number of real degrees of freedom, an image has the log density

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
    >>> start = NoiseModel(np.ones((2, 1)), groups)
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
        if self.groups.dtype.kind not in "iu":
            raise TypeError(f"groups: expected integers, got {self.groups.dtype}")
        check_shape("groups", self.groups, ("n",))
        low, high = int(self.groups.min()), int(self.groups.max())
        if low < 0 or high >= len(table):
            raise ValueError(
                f"groups: expected 0 to {len(table) - 1}, got {low if low < 0 else high}"
            )

    def __getitem__(self, index: Any) -> NoiseModel:
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
        rows = self.variances if self.groups is None else self.variances[self.groups]
        return rows[:, self._columns(size)]

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
        power, degrees = self._sums(images_ft, expected_ft)
        rows = self._rows(len(power))
        xp = array_namespace(power)
        return -0.5 * (power / rows + degrees * xp.log(2 * math.pi * rows)).sum(1)

    def log_likelihood_gradients(self, images_ft: Array, expected_ft: Array) -> tuple[Array, Array]:
        """Return the gradients of the summed log density in the expectation and the variances.

        Parameters
        ----------
        images_ft, expected_ft
            As in `log_likelihood`.

        Returns
        -------
        grad_expected : (n, D, D//2 + 1) complex array
            ``(y - y^) / sigma^2``, zero beyond `max_radius`; in the inner product of half
            spectra.
        grad_variances : (G, S) float64 array
            ``(power / sigma^2 - d) / (2 sigma^2)``, which vanishes at `updated`.
        """
        power, degrees = self._grouped(*self._sums(images_ft, expected_ft))
        size = images_ft.shape[-2]
        weights = self.weights(size)
        grad_expected = (images_ft - expected_ft) * weights.astype(images_ft.real.dtype)
        return grad_expected, (power / self.variances - degrees) / (2 * self.variances)

    def updated(
        self, images_ft: Array, expected_ft: Array, uncertainty: Array | None = None
    ) -> NoiseModel:
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
        NoiseModel
            ``sigma^2 = power / d`` in each group and shell. Where there is no image, no
            frequency or no residual, the variance stays.
        """
        sums = self._grouped(*self._sums(images_ft, expected_ft, uncertainty))
        power, degrees = sums
        xp = array_namespace(power)
        known = (degrees > 0) & (power > 0)
        best = power / xp.where(known, degrees, 1)
        return replace(self, variances=xp.where(known, best, self.variances))

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

    def _rows(self, count: int) -> Array:
        return self.variances if self.groups is None else self.variances[self.groups]

    def _sums(
        self, images_ft: Array, expected_ft: Array, uncertainty: Array | None = None
    ) -> tuple[Array, Array]:
        """Return the power of each image (n, S), and the degrees of freedom (S,), by shell."""
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
        power = difference.real**2 + difference.imag**2
        if uncertainty is not None:
            check_shape("uncertainty", uncertainty, images_ft.shape)
            power = power + uncertainty
        return self._by_shell(power), self._by_shell(0 * power[:1] + 1)[0]

    def _by_shell(self, power: Array) -> Array:
        """Sum (n, D, D//2 + 1) values over shells, each frequency by its Hermitian weight."""
        xp = array_namespace(power)
        size = power.shape[-2]
        weights = (self._band(size) * hermitian_weights(size, xp)).ravel()
        member = self._columns(size).ravel()[:, None] == xp.arange(self.variances.shape[1])
        return power.reshape(len(power), -1) @ (weights[:, None] * member)

    def _grouped(self, power: Array, degrees: Array) -> tuple[Array, Array]:
        """Sum powers and degrees of freedom over the images of each group: (G, S) both."""
        xp = array_namespace(power)
        if self.groups is None:
            return power.sum(0, keepdims=True), len(power) * degrees[None]
        member = (xp.arange(len(self.variances))[:, None] == self.groups).astype(np.float64)
        return member @ power, member.sum(1, keepdims=True) * degrees
