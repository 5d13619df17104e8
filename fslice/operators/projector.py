"""The projector: a slice, times the CTF, shifted, with its adjoint and every gradient."""

from __future__ import annotations

import numbers
from dataclasses import dataclass
from typing import Any, NamedTuple

from fslice import _kernels
from fslice._arrays import (
    Array,
    array_namespace,
    check_alike,
    check_choice,
    check_complex,
    check_cotangent,
    check_finite,
    check_one_library,
    check_real,
    check_shape,
    check_size,
    complex_dtype,
    real_dtype,
)
from fslice.fourier import crop, inverse_transform, pad, transform
from fslice.geometry import check_rotations
from fslice.operators.ctf import CTF
from fslice.operators.slices import (
    INTERPOLATIONS,
    check_volume_ft,
    flat_images,
    make_geometry,
    views_of,
)


class Gradients(NamedTuple):
    """Gradients of a projection; what was not an input is None."""

    volume: Array
    rotations: Array
    shifts: Array | None
    ctf: Array | None
    """With respect to the values of the CTF; `CTF.vjp` chains it to the parameters."""


@dataclass(frozen=True)
class Projector:
    """Projections of a volume in known poses, and their exact adjoint.

    ``project`` computes, in real space, ``image(x, y) = sum_z volume(R @ (x, y, z))``, filtered
    by the CTF and shifted (the paper's eqs. 1 and 9-13); `backproject` is its adjoint. The
    ``_ft`` forms do the same between half spectra, so that the volume is transformed once for
    many images.

    Parameters
    ----------
    size : int
        Box D of volumes and images.
    oversampling : float, optional
        The volume is zero-padded to the box ``M = oversampling * D`` before its transform,
        which reduces the interpolation error; M must be whole.
    interpolation : {"linear", "cubic"}
        Trilinear, or cubic B-spline.
    max_radius : float, optional
        Frequencies with ``|k| > max_radius`` are zero. Default ``(D - 1) // 2``.

    Notes
    -----
    Interpolating a spectrum multiplies the object by the transform of the interpolation kernel,
    ``sinc(x/M)**2`` per axis for linear and ``sinc(x/M)**4`` for cubic. `transform` divides it
    out beforehand.

    An image in place of the volume, (D, D), with 2 x 2 rotations and one shift per projection
    gives the one-dimensional projections of computed tomography, by the same code.

    Examples
    --------
    >>> import numpy as np, fslice
    >>> volume = np.zeros((8, 8, 8))
    >>> volume[4, 4, 6] = 1  # at (x, y, z) = (2, 0, 0)
    >>> projector = fslice.Projector(8, oversampling=2)
    >>> rotations = fslice.euler_to_matrix(np.array([[0.0, 0.0, 0.0], [0.0, 0.0, 90.0]]))
    >>> images = projector.project(volume, rotations)
    >>> [tuple(map(int, np.unravel_index(image.argmax(), (8, 8)))) for image in images]  # [y, x]
    [(4, 6), (2, 4)]
    """

    size: int
    oversampling: float = 1
    interpolation: str = "linear"
    max_radius: float | None = None

    def __post_init__(self) -> None:
        check_size("size", self.size, 2)
        check_choice("interpolation", self.interpolation, tuple(INTERPOLATIONS))
        if not isinstance(self.oversampling, numbers.Real):
            raise TypeError(f"oversampling: expected a number, got {self.oversampling!r}")
        whole = 1 <= self.oversampling <= 64 and (
            abs(self.size * self.oversampling - self.box) < 1e-6 * self.box
        )
        if not whole:
            raise ValueError(
                "oversampling: expected a number from 1 to 64 that makes size * oversampling "
                f"whole, got {self.oversampling} for size {self.size}"
            )
        self._geometry(3)

    @property
    def box(self) -> int:
        """Box M of the transformed volume."""
        return round(self.size * self.oversampling)

    def transform(self, volume: Array) -> Array:
        """Deconvolve, pad and transform a real volume to the half spectrum that is sliced.

        Parameters
        ----------
        volume : (D, D, D) real array
            Or (D, D), to be projected to lines.

        Returns
        -------
        (M, M, M//2 + 1) complex array
        """
        dimension = self._check_volume(volume)
        corrected = self._deconvolved(volume)
        return transform(pad(corrected, self.box, dimension), dimension)

    def transform_adjoint(self, volume_ft: Array) -> Array:
        """Apply the adjoint of `transform`: (M, M, M//2 + 1) complex to (D, D, D) real."""
        volume, dimension = self._inverse(volume_ft)
        return self._deconvolved(crop(volume, self.size, dimension))

    def to_volume(self, volume_ft: Array) -> Array:
        """Return the real volume whose `transform` is this half spectrum.

        Content outside the box D is cut off.

        Examples
        --------
        >>> import numpy as np, fslice
        >>> volume = np.random.default_rng(0).normal(size=(6, 6, 6))
        >>> projector = fslice.Projector(6, oversampling=2)
        >>> np.allclose(projector.to_volume(projector.transform(volume)), volume)
        True
        """
        volume, dimension = self._inverse(volume_ft)
        return self._convolved(crop(volume, self.size, dimension))

    def project(
        self,
        volume: Array,
        rotations: Array,
        shifts: Array | None = None,
        ctf: CTF | Array | None = None,
    ) -> Array:
        """Project a real volume to real images.

        Parameters
        ----------
        volume : (D, D, D) real array
            In the order ``[z, y, x]``.
        rotations : (..., 3, 3) real array
            Image to volume coordinates, acting on (x, y, z), in the volume's precision.
        shifts : (..., 2) real array, optional
            Where the particle sits, (x, y) in pixels.
        ctf : CTF or (..., D, D//2 + 1) real array, optional
            Contrast transfer function, one per image.

        Returns
        -------
        (..., D, D) real array
            In the order ``[y, x]``.

        Raises
        ------
        ValueError
            A shape does not fit, a matrix is no rotation, or a shift is not finite.
        TypeError
            Array libraries are mixed, or precisions differ.
        """
        self._check_volume(volume, _dimension(rotations))
        check_one_library(volume, rotations, shifts)
        images_ft = self.project_ft(self.transform(volume), rotations, shifts, ctf)
        return inverse_transform(images_ft, volume.ndim - 1, self.size)

    def backproject(
        self,
        images: Array,
        rotations: Array,
        shifts: Array | None = None,
        ctf: CTF | Array | None = None,
    ) -> Array:
        """Apply the adjoint of `project`: (..., D, D) images to a (D, D, D) volume.

        The sum over all images, not normalised: ``<project(v), y> == <v, backproject(y)>``.
        """
        check_real("images", images)
        flat = _dimension(rotations) - 1
        check_shape("images", images, (*rotations.shape[:-2], *[self.size] * flat))
        check_one_library(images, rotations, shifts)
        volume_ft = self.backproject_ft(transform(images, flat), rotations, shifts, ctf)
        return self.transform_adjoint(volume_ft)

    def project_vjp(
        self,
        volume: Array,
        rotations: Array,
        cotangent: Array,
        shifts: Array | None = None,
        ctf: CTF | Array | None = None,
    ) -> Gradients:
        """Return the gradients of `project`, given that with respect to the images.

        See `project_ft_vjp`; here `volume`, `cotangent` and the gradient in the volume are
        real arrays.
        """
        check_real("cotangent", cotangent)
        flat = _dimension(rotations) - 1
        self._check_volume(volume, flat + 1)
        check_shape("cotangent", cotangent, (*rotations.shape[:-2], *[self.size] * flat))
        check_one_library(volume, rotations, cotangent, shifts)
        gradients = self.project_ft_vjp(
            self.transform(volume), rotations, transform(cotangent, flat), shifts, ctf
        )
        return gradients._replace(volume=self.transform_adjoint(gradients.volume))

    def project_ft(
        self,
        volume_ft: Array,
        rotations: Array,
        shifts: Array | None = None,
        ctf: CTF | Array | None = None,
    ) -> Array:
        """Project a half spectrum, as `transform` gives it, to half spectra of images.

        Parameters
        ----------
        volume_ft : (M, M, M//2 + 1) complex array
        rotations, shifts, ctf
            As in `project`.

        Returns
        -------
        (..., D, D//2 + 1) complex array
        """
        geometry = self._check("volume_ft", volume_ft, rotations, shifts)
        check_volume_ft("volume_ft", volume_ft, rotations.shape[-1])
        check_shape("volume_ft", volume_ft, self._volume_shape(rotations))
        kernels = _kernels.kernels_for(volume_ft, rotations, shifts)
        slices = kernels.gather(
            self._flat_volume(volume_ft, geometry), views_of(rotations, shifts),
            self._amplitude(rotations), geometry,
        )  # fmt: skip
        slices = slices.reshape(self._slice_shape(rotations))
        values = self._ctf_values(ctf, rotations)
        if values is not None:
            slices *= values
        return slices

    def backproject_ft(
        self,
        images_ft: Array,
        rotations: Array,
        shifts: Array | None = None,
        ctf: CTF | Array | None = None,
    ) -> Array:
        """Apply the adjoint of `project_ft`: half spectra of images to that of a volume."""
        geometry = self._check("images_ft", images_ft, rotations, shifts)
        check_shape("images_ft", images_ft, self._slice_shape(rotations))
        values = self._ctf_values(ctf, rotations)
        if values is not None:
            images_ft = images_ft * values
        kernels = _kernels.kernels_for(images_ft, rotations, shifts)
        volume_ft = kernels.scatter(
            flat_images(images_ft, geometry), views_of(rotations, shifts),
            self._amplitude(rotations), geometry,
        )  # fmt: skip
        return volume_ft.reshape(self._volume_shape(rotations))

    def project_ft_vjp(
        self,
        volume_ft: Array,
        rotations: Array,
        cotangent: Array,
        shifts: Array | None = None,
        ctf: CTF | Array | None = None,
    ) -> Gradients:
        """Return the gradients of `project_ft` in all its inputs.

        Parameters
        ----------
        volume_ft, rotations, shifts, ctf
            Where the gradient is taken, as in `project_ft`.
        cotangent : (..., D, D//2 + 1) complex array
            Gradient with respect to the images.

        Returns
        -------
        Gradients
            ``volume`` (M, M, M//2 + 1) complex, ``rotations`` (..., 3, 3) in the matrix
            entries, ``shifts`` (..., 2) or None, ``ctf`` (..., D, D//2 + 1) or None.
        """
        geometry = self._check("volume_ft", volume_ft, rotations, shifts)
        check_shape("volume_ft", volume_ft, self._volume_shape(rotations))
        shape = self._slice_shape(rotations)
        check_cotangent(check_complex, cotangent, shape, volume_ft=volume_ft)
        values = self._ctf_values(ctf, rotations)
        grad_ctf = None
        if values is not None:
            slices = self.project_ft(volume_ft, rotations, shifts)
            grad_ctf = (cotangent.conj() * slices).real
            cotangent = cotangent * values
        kernels = _kernels.kernels_for(volume_ft, rotations, shifts, cotangent)
        grad_volume, grad_rotation, grad_shift = kernels.gather_vjp(
            self._flat_volume(volume_ft, geometry), flat_images(cotangent, geometry),
            views_of(rotations, shifts), self._amplitude(rotations), geometry,
        )  # fmt: skip
        return _shaped(
            grad_volume, grad_rotation, grad_shift, grad_ctf, volume_ft, rotations, shifts
        )

    def misfit(
        self,
        volume_ft: Array,
        images_ft: Array,
        rotations: Array,
        shifts: Array | None = None,
        ctf: CTF | Array | None = None,
        precision: Array | float = 1.0,
    ) -> tuple[Array, Array]:
        """Compare projections with images, and return the gradient, in one walk.

        No projection is stored, which makes this the pass to fit volumes with.

        Parameters
        ----------
        volume_ft, rotations, shifts, ctf
            As in `project_ft`.
        images_ft : (..., D, D//2 + 1) complex array
            Half spectra of the images.
        precision : float or (D, D//2 + 1) real array
            Weight ``1 / sigma^2`` of each frequency, in either precision.

        Returns
        -------
        power : (...) float64 array
            Per image ``sum_k m |project_ft(v) - image|^2 / sigma^2`` over the band.
        grad_volume : (M, M, M//2 + 1) complex array
            Gradient of half the sum of `power`:
            ``backproject_ft((project_ft(v) - images) / sigma^2)``.
        """
        arguments = self._misfit_arguments(volume_ft, images_ft, rotations, shifts, ctf, precision)
        power, grad_volume = _kernels.kernels_for(volume_ft, images_ft).misfit(*arguments)
        return power.reshape(rotations.shape[:-2]), grad_volume.reshape(volume_ft.shape)

    def misfit_gradients(
        self,
        volume_ft: Array,
        images_ft: Array,
        rotations: Array,
        shifts: Array | None = None,
        ctf: CTF | Array | None = None,
        precision: Array | float = 1.0,
    ) -> tuple[Array, Gradients]:
        """Compare projections with images, and return every gradient, in one walk.

        What `project_ft` and `project_ft_vjp` of the weighted residual give in two walks, with
        no projection stored.

        Parameters
        ----------
        volume_ft, images_ft, rotations, shifts, ctf, precision
            As in `misfit`.

        Returns
        -------
        power : (...) float64 array
            As in `misfit`.
        Gradients
            Of half the sum of `power`, as `project_ft_vjp` returns them.

        Examples
        --------
        >>> import numpy as np, fslice
        >>> rng = np.random.default_rng(0)
        >>> projector = fslice.Projector(8)
        >>> volume_ft = fslice.rfft3(rng.normal(size=(8, 8, 8)))
        >>> images_ft = fslice.rfft2(rng.normal(size=(3, 8, 8)))
        >>> rotations = fslice.random_rotations(3, rng)
        >>> power, gradients = projector.misfit_gradients(volume_ft, images_ft, rotations)
        >>> residual = projector.project_ft(volume_ft, rotations) - images_ft
        >>> same = projector.project_ft_vjp(volume_ft, rotations, residual)
        >>> np.allclose(gradients.rotations, same.rotations)
        True
        """
        arguments = self._misfit_arguments(volume_ft, images_ft, rotations, shifts, ctf, precision)
        kernels = _kernels.kernels_for(volume_ft, images_ft)
        power, grad_volume, grad_rotation, grad_shift, grad_ctf = kernels.misfit_gradients(
            *arguments
        )
        if grad_ctf is not None:
            grad_ctf = grad_ctf.reshape(images_ft.shape)
        return power.reshape(rotations.shape[:-2]), _shaped(
            grad_volume, grad_rotation, grad_shift, grad_ctf, volume_ft, rotations, shifts
        )

    def gram_diagonal(self, rotations: Array, ctf: CTF | Array | None = None) -> Array:
        """Return the diagonal of ``backproject_ft(project_ft(.))``, summed over the images.

        It is what the expected misfit adds for independent errors ``s``: the expectation of
        ``|project_ft(v + s * noise) - y|^2`` exceeds that at v by ``sum_k m diagonal s^2``.

        Parameters
        ----------
        rotations, ctf
            As in `project_ft`.

        Returns
        -------
        (M, M, M//2 + 1) real array
        """
        geometry, weights = self._squared_ctf(rotations, ctf)
        kernels = _kernels.kernels_for(rotations)
        diagonal = kernels.scatter_squares(weights, views_of(rotations), geometry)
        return diagonal.reshape(self._volume_shape(rotations)) * self._amplitude(rotations) ** 2

    def sampling_density(self, rotations: Array, ctf: CTF | Array | None = None) -> Array:
        """Return how much of the images' weight each frequency of the volume received.

        It is what comes back when all samples of a constant spectrum are inserted, so dividing
        a back-projection by it normalises it. With the linear kernel these are the row sums of
        ``backproject_ft(project_ft(.))``; the cubic one loses taps beyond the border.

        Parameters
        ----------
        rotations, ctf
            As in `project_ft`.

        Returns
        -------
        (M, M, M//2 + 1) real array
        """
        geometry, weights = self._squared_ctf(rotations, ctf)
        density = _kernels.kernels_for(rotations).scatter(
            weights.astype(complex_dtype(rotations.dtype)), views_of(rotations), 1.0, geometry
        )
        return density.reshape(self._volume_shape(rotations)).real * (
            self._amplitude(rotations) ** 2
        )

    def _squared_ctf(self, rotations: Array, ctf: CTF | Array | None) -> tuple[Any, Array]:
        """Return the geometry and one weight per sample: the square of the CTF, or 1."""
        check_rotations("rotations", rotations)
        geometry = self._geometry(rotations.shape[-1])
        xp = array_namespace(rotations)
        values = self._ctf_values(ctf, rotations)
        weights = xp.ones((1,), rotations.dtype) if values is None else values**2
        weights = xp.broadcast_to(weights, self._slice_shape(rotations))
        return geometry, flat_images(weights, geometry)

    def _misfit_arguments(
        self,
        volume_ft: Array,
        images_ft: Array,
        rotations: Array,
        shifts: Array | None,
        ctf: CTF | Array | None,
        precision: Array | float,
    ) -> tuple[Any, ...]:
        """Check what is compared and return it as the kernels take it."""
        geometry = self._check("volume_ft", volume_ft, rotations, shifts)
        check_shape("volume_ft", volume_ft, self._volume_shape(rotations))
        check_complex("images_ft", images_ft)
        check_alike(volume_ft=volume_ft, images_ft=images_ft)
        check_shape("images_ft", images_ft, self._slice_shape(rotations))
        xp = array_namespace(volume_ft, images_ft, rotations, shifts)
        if not isinstance(precision, numbers.Real):
            check_real("precision", precision)
            check_shape("precision", precision, images_ft.shape[rotations.ndim - 2 :])
            array_namespace(images_ft, precision)
        values = self._ctf_values(ctf, rotations)
        if values is not None:
            values = flat_images(xp.broadcast_to(values, images_ft.shape), geometry)
        weight = xp.broadcast_to(xp.asarray(precision, dtype=rotations.dtype), geometry.slice_shape)
        return (
            self._flat_volume(volume_ft, geometry), flat_images(images_ft, geometry),
            views_of(rotations, shifts), _kernels.Filters(values, flat_images(weight, geometry)),
            self._amplitude(rotations), geometry,
        )  # fmt: skip

    def _flat_volume(self, volume_ft: Array, geometry: _kernels.SliceGeometry) -> Array:
        flat = volume_ft.reshape(geometry.volume_shape)
        return array_namespace(volume_ft).ascontiguousarray(flat)

    def _geometry(self, dimension: int) -> _kernels.SliceGeometry:
        return make_geometry(dimension, self.box, self.size, self.interpolation, self.max_radius)

    def _amplitude(self, rotations: Array) -> float:
        """Return the ratio of the unitary transforms' norms: sqrt(D) without oversampling."""
        dimension = rotations.shape[-1]
        return self.box ** (dimension / 2) / self.size ** ((dimension - 1) / 2)

    def _volume_shape(self, rotations: Array) -> tuple[int, ...]:
        return (*[self.box] * (rotations.shape[-1] - 1), self.box // 2 + 1)

    def _slice_shape(self, rotations: Array) -> tuple[int, ...]:
        flat = rotations.shape[-1] - 2
        return (*rotations.shape[:-2], *[self.size] * flat, self.size // 2 + 1)

    def _check(self, name: str, array_ft: Array, rotations: Array, shifts: Array | None) -> Any:
        check_complex(name, array_ft)
        check_rotations("rotations", rotations)
        dimension = rotations.shape[-1]
        if shifts is not None:
            check_real("shifts", shifts)
            check_shape("shifts", shifts, (*rotations.shape[:-2], dimension - 1))
            check_finite("shifts", shifts)
        check_alike(**{name: array_ft, "rotations": rotations, "shifts": shifts})
        return self._geometry(dimension)

    def _check_volume(self, volume: Array, dimension: int | None = None) -> int:
        check_real("volume", volume)
        dimension = dimension or (2 if volume.ndim == 2 else 3)
        check_shape("volume", volume, (self.size,) * dimension)
        return dimension

    def _ctf_values(self, ctf: CTF | Array | None, rotations: Array) -> Array | None:
        if ctf is None:
            return None
        expected = self._slice_shape(rotations)
        if isinstance(ctf, CTF):
            if rotations.shape[-1] == 2:
                raise TypeError(
                    f"ctf: expected an array of shape {expected} for projections to lines, got "
                    "a CTF, which is that of images"
                )
            values = ctf.evaluate(self.size, rotations.dtype)
            if len(ctf) not in (1, len(rotations.reshape((-1, *rotations.shape[-2:])))):
                raise ValueError(f"ctf: expected one per image, {expected[:-2]}, got {len(ctf)}")
            return values.reshape(expected) if len(ctf) > 1 else values[0]
        check_real("ctf", ctf)
        check_alike(rotations=rotations, ctf=ctf)
        check_shape("ctf", ctf, expected)
        return ctf

    def _inverse(self, volume_ft: Array) -> tuple[Array, int]:
        check_complex("volume_ft", volume_ft)
        dimension = 2 if volume_ft.ndim == 2 else 3
        check_volume_ft("volume_ft", volume_ft, dimension)
        check_shape("volume_ft", volume_ft, (*[self.box] * (dimension - 1), self.box // 2 + 1))
        return inverse_transform(volume_ft, dimension, self.box), dimension

    def _attenuation(self, xp: Any, dtype: Any) -> Array:
        """Return, along one axis, the transform of the interpolation kernel."""
        x = (xp.arange(self.size) - self.size // 2) / self.box
        return (xp.sinc(x) ** len(INTERPOLATIONS[self.interpolation])).astype(dtype)

    def _convolved(self, volume: Array, power: int = 1) -> Array:
        xp = array_namespace(volume)
        factor = self._attenuation(xp, real_dtype(volume.dtype)) ** power
        for axis in range(volume.ndim):
            volume = volume * factor.reshape((-1,) + (1,) * axis)
        return volume

    def _deconvolved(self, volume: Array) -> Array:
        return self._convolved(volume, -1)


def _shaped(
    grad_volume, grad_rotation, grad_shift, grad_ctf, volume_ft, rotations, shifts
) -> Gradients:
    """Return what kernels give in the shapes and the precision of the inputs."""
    dimension = rotations.shape[-1]
    entries = grad_rotation[:, :dimension, :dimension].reshape(rotations.shape)
    moved = grad_shift[:, : dimension - 1].reshape((*rotations.shape[:-2], dimension - 1))
    return Gradients(
        grad_volume.reshape(volume_ft.shape),
        entries.astype(rotations.dtype),
        None if shifts is None else moved.astype(rotations.dtype),
        grad_ctf,
    )


def _dimension(rotations: Array) -> int:
    """Return whether rotations are 2 x 2 or 3 x 3, or raise; their entries are checked later."""
    check_real("rotations", rotations)
    dimension = 2 if rotations.shape[-1:] == (2,) else 3
    check_shape("rotations", rotations, (..., dimension, dimension))
    return dimension
