"""Projections between half spectra, and their comparison with images, in one traversal."""

from __future__ import annotations

import numbers
from dataclasses import dataclass

from fslice import _kernels
from fslice._arrays import (
    Array,
    check_alike,
    check_choice,
    check_complex,
    check_cotangent,
    check_shape,
    check_size,
)
from fslice.operators.ctf import CTF
from fslice.operators.gradients import Misfit, MisfitGradients, ProjectFTGradients
from fslice.operators.posed import posed
from fslice.operators.sampling import (
    INTERPOLATIONS,
    flat_images,
    flat_volume,
    slice_geometry,
)


@dataclass(frozen=True)
class SpectralProjector:
    """What `fslice.Projector`, where its parameters are explained, does between half spectra."""

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
            abs(self.size * self.oversampling - self.padded_size) < 1e-6 * self.padded_size
        )
        if not whole:
            raise ValueError(
                "oversampling: expected a number from 1 to 64 that makes size * oversampling "
                f"whole, got {self.oversampling} for size {self.size}"
            )
        self.geometry()

    @property
    def padded_size(self) -> int:
        """Box M of the transformed volume."""
        return round(self.size * self.oversampling)

    def geometry(self, dimension: int = 3) -> _kernels.SliceGeometry:
        """Return how slices sample the spectrum of a volume or, dimension 2, of an image."""
        return slice_geometry(
            dimension, self.padded_size, self.size, self.interpolation, self.max_radius
        )

    def project_ft(
        self,
        volume_ft: Array,
        rotations: Array,
        shifts: Array | None = None,
        ctf: CTF | Array | None = None,
        *,
        out: Array | None = None,
    ) -> Array:
        """Project a half spectrum, as `transform` gives it, to half spectra of images.

        Parameters
        ----------
        volume_ft : (M, M, M//2 + 1) complex array
        rotations, shifts, ctf
            As in `project`.
        out : (..., D, D//2 + 1) complex array, optional
            Contiguous: where the result is written. Fresh memory costs a fifth of a projection.

        Returns
        -------
        (..., D, D//2 + 1) complex array
        """
        poses = posed(self, rotations, shifts, ctf, volume_ft=volume_ft)
        shape = (*poses.batch, *poses.slice_shape)
        if out is not None:
            check_complex("out", out)
            check_alike(volume_ft=volume_ft, out=out)
            check_shape("out", out, shape)
            if not out.flags.c_contiguous:
                raise ValueError("out: expected a contiguous array")
        return poses.project(volume_ft, poses.ctf_values(), out).reshape(shape)

    def backproject_ft(
        self,
        images_ft: Array,
        rotations: Array,
        shifts: Array | None = None,
        ctf: CTF | Array | None = None,
        *,
        image_of: Array | None = None,
        view_weights: Array | None = None,
    ) -> Array:
        """Apply the adjoint of `project_ft`: half spectra of images to that of a volume.

        With `image_of` and `view_weights` it is the weighted sum over the views of the images.
        """
        poses = posed(
            self, rotations, shifts, ctf, image_of=image_of, view_weights=view_weights,
            images_ft=images_ft,
        )  # fmt: skip
        return poses.backproject(images_ft)

    def project_ft_vjp(
        self,
        volume_ft: Array,
        rotations: Array,
        shifts: Array | None = None,
        ctf: CTF | Array | None = None,
        *,
        cotangent: Array,
    ) -> ProjectFTGradients:
        """Return the gradients of `project_ft` in all its inputs.

        Parameters
        ----------
        volume_ft, rotations, shifts, ctf
            Where the gradient is taken, as in `project_ft`.
        cotangent : (..., D, D//2 + 1) complex array
            Gradient with respect to the images.

        Returns
        -------
        ProjectFTGradients
            ``volume_ft`` (M, M, M//2 + 1) complex, ``rotations`` (..., 3, 3) in the matrix
            entries, ``shifts`` (..., 2) or None, ``ctf`` (..., D, D//2 + 1) or None.
        """
        poses = posed(self, rotations, shifts, ctf, volume_ft=volume_ft)
        shape = (*poses.batch, *poses.slice_shape)
        check_cotangent(check_complex, cotangent, shape, volume_ft=volume_ft)
        return ProjectFTGradients(*poses.vjp(volume_ft, cotangent))

    def misfit(
        self,
        volume_ft: Array,
        images_ft: Array,
        rotations: Array,
        shifts: Array | None = None,
        ctf: CTF | Array | None = None,
        weights: Array | float = 1.0,
        *,
        group_of: Array | None = None,
        image_of: Array | None = None,
        view_weights: Array | None = None,
    ) -> Misfit:
        """Compare projections with images, and return the gradient, in one traversal.

        No projection is stored, which makes this the pass to fit volumes with.

        Parameters
        ----------
        volume_ft, rotations, shifts, ctf
            As in `project_ft`.
        images_ft : (..., D, D//2 + 1) complex array
            Half spectra of the images.
        weights : float or (D, D//2 + 1) real array
            ``1 / sigma^2`` of each frequency, in either precision; beside `group_of` a
            (g, D, D//2 + 1) array, of g groups.
        group_of : (...) integer array, optional
            The row of `weights` of each image.
        image_of, view_weights : (...) integer and real array, optional
            The image that each view is of, and how much the view counts in the gradient.

        Returns
        -------
        Misfit
            The gradient is ``backproject_ft((project_ft(v) - images) * weights)``.
        """
        poses, arguments = self._compared(
            volume_ft, images_ft, rotations, shifts, ctf, weights, group_of, image_of, view_weights
        )
        chi_squared, gradient = poses.kernels.misfit(*arguments)
        return Misfit(chi_squared.reshape(poses.batch), gradient.reshape(volume_ft.shape))

    def misfit_gradients(
        self,
        volume_ft: Array,
        images_ft: Array,
        rotations: Array,
        shifts: Array | None = None,
        ctf: CTF | Array | None = None,
        weights: Array | float = 1.0,
        *,
        group_of: Array | None = None,
        image_of: Array | None = None,
        view_weights: Array | None = None,
    ) -> MisfitGradients:
        """Compare projections with images as `misfit` does, and return every gradient.

        What `project_ft` and `project_ft_vjp` of the weighted residual give in two traversals.

        Examples
        --------
        >>> import numpy as np, fslice
        >>> rng = np.random.default_rng(0)
        >>> projector = fslice.Projector(8)
        >>> volume_ft = fslice.rfft3(rng.normal(size=(8, 8, 8)))
        >>> images_ft = fslice.rfft2(rng.normal(size=(3, 8, 8)))
        >>> rotations = fslice.random_rotations(3, rng)
        >>> found = projector.misfit_gradients(volume_ft, images_ft, rotations).gradients
        >>> residual = projector.project_ft(volume_ft, rotations) - images_ft
        >>> same = projector.project_ft_vjp(volume_ft, rotations, cotangent=residual)
        >>> np.allclose(found.rotations, same.rotations)
        True
        """
        poses, arguments = self._compared(
            volume_ft, images_ft, rotations, shifts, ctf, weights, group_of, image_of, view_weights
        )
        chi_squared, *gradients = poses.kernels.misfit_gradients(*arguments)
        given = ProjectFTGradients(*poses.as_given(*gradients))
        return MisfitGradients(chi_squared.reshape(poses.batch), given)

    def gram(
        self,
        volume_ft: Array,
        rotations: Array,
        ctf: CTF | Array | None = None,
        weights: Array | float = 1.0,
        *,
        group_of: Array | None = None,
        image_of: Array | None = None,
        view_weights: Array | None = None,
    ) -> Array:
        """Project, weight as in `misfit`, and back-project: ``P^H W P volume_ft``.

        No projection is stored, and shifts cancel.
        """
        poses = posed(
            self, rotations, None, ctf, image_of=image_of, view_weights=view_weights,
            group_of=group_of, volume_ft=volume_ft,
        )  # fmt: skip
        product = poses.kernels.gram(
            flat_volume(volume_ft, poses.geometry), poses.views, poses.filters(weights, group_of),
            poses.amplitude, poses.geometry,
        )  # fmt: skip
        return product.reshape(volume_ft.shape)

    def gram_diagonal(
        self,
        rotations: Array,
        ctf: CTF | Array | None = None,
        *,
        image_of: Array | None = None,
        view_weights: Array | None = None,
    ) -> Array:
        """Return the diagonal of `gram`, (M, M, M//2 + 1) real.

        It is what the expected misfit adds for independent errors ``s``: the expectation of
        ``|project_ft(v + s * noise) - y|^2`` exceeds that at v by ``sum_k m diagonal s^2``.
        """
        poses = posed(self, rotations, None, ctf, image_of=image_of, view_weights=view_weights)
        return poses.diagonal()

    def sampling_density(
        self,
        rotations: Array,
        ctf: CTF | Array | None = None,
        *,
        image_of: Array | None = None,
        view_weights: Array | None = None,
    ) -> Array:
        """Return how much of the images' weight each frequency received, (M, M, M//2 + 1) real.

        It is what comes back when all samples of a constant spectrum are inserted, so dividing
        a back-projection by it normalises it. With the linear kernel these are the row sums of
        `gram`; the cubic one loses taps beyond the border.
        """
        poses = posed(self, rotations, None, ctf, image_of=image_of, view_weights=view_weights)
        return poses.density()

    def _compared(
        self, volume_ft, images_ft, rotations, shifts, ctf, weights, group_of, image_of,
        view_weights,
    ):  # fmt: skip
        """Check what is compared; return the poses, and all as kernels take it."""
        poses = posed(
            self, rotations, shifts, ctf, image_of=image_of, view_weights=view_weights,
            volume_ft=volume_ft, images_ft=images_ft,
        )  # fmt: skip
        return poses, (
            flat_volume(volume_ft, poses.geometry), flat_images(images_ft, poses.geometry),
            poses.views, poses.filters(weights, group_of), poses.amplitude, poses.geometry,
        )  # fmt: skip
