"""The projector: a slice, times the CTF, shifted, with its adjoint and every gradient."""

from __future__ import annotations

from dataclasses import dataclass

from fslice._arrays import (
    Array,
    check_complex,
    check_cotangent,
    check_real,
    check_shape,
    complex_dtype,
)
from fslice.fourier import inverse_transform, transform
from fslice.geometry import as_matrices
from fslice.operators.ctf import CTF
from fslice.operators.gradients import ProjectGradients
from fslice.operators.linop import LinearOperator
from fslice.operators.padding import Padding
from fslice.operators.posed import check_matrices, posed
from fslice.operators.sampling import INTERPOLATIONS, check_volume_ft
from fslice.operators.spaces import Space
from fslice.operators.spectral import SpectralProjector


@dataclass(frozen=True)
class Projector(SpectralProjector):
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

    What the methods share is said in `project`; derivatives (``_vjp``) take the arguments of the
    function, then its `cotangent` by name.

    An image may be seen in several poses: with ``image_of``, integers in the shape of the
    rotations' leading axes, each view names its image among n, ``(n, D, D//2 + 1)``, and there is
    one CTF per image. ``view_weights``, in the same shape, multiply what each view adds to a sum.
    Symmetry mates and candidate poses are such views.

    An image in place of the volume, (D, D), with 2 x 2 rotations and one shift per projection
    gives the one-dimensional projections of computed tomography, by the same code.

    Examples
    --------
    >>> import numpy as np, fslice
    >>> volume = np.zeros((8, 8, 8))
    >>> volume[4, 4, 6] = 1  # at (x, y, z) = (2, 0, 0)
    >>> projector = fslice.Projector(8, oversampling=2)
    >>> rotations = fslice.geometry.euler_to_matrix(np.array([[0.0, 0.0, 0.0], [0.0, 0.0, 90.0]]))
    >>> images = projector.project(volume, rotations)
    >>> [tuple(map(int, np.unravel_index(image.argmax(), (8, 8)))) for image in images]  # [y, x]
    [(4, 6), (2, 4)]
    """

    def transform(self, volume: Array) -> Array:
        """Deconvolve, pad and transform a real volume to the half spectrum that is sliced.

        Of a (D, D, D) volume, or a (D, D) image to be projected to lines, it gives the
        (M, M, M//2 + 1) or (M, M//2 + 1) complex spectrum.
        """
        check_real("volume", volume)
        check_shape("volume", volume, (self.size,) * (2 if volume.ndim == 2 else 3))
        return self._padding.transform(volume)

    def transform_adjoint(self, volume_ft: Array) -> Array:
        """Apply the adjoint of `transform`: (M, M, M//2 + 1) complex to (D, D, D) real."""
        self._check_spectrum(volume_ft)
        return self._padding.adjoint(volume_ft)

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
        self._check_spectrum(volume_ft)
        return self._padding.undo(volume_ft)

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
        rotations : (..., 3, 3) real array, or scipy.spatial.transform.Rotation
            Image to volume coordinates, acting on (x, y, z), in the volume's precision.
        shifts : (..., 2) real array, optional
            Where the particle sits, (x, y) in pixels.
        ctf : CTF or (..., D, D//2 + 1) real array, optional
            Contrast transfer function, one per image; one CTF serves all.

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
        poses = posed(self, rotations, shifts, ctf, volume=volume)
        images_ft = poses.project(self._padding.transform(volume), poses.ctf_values())
        images_ft = images_ft.reshape((*poses.batch, *poses.slice_shape))
        return inverse_transform(images_ft, poses.dimension - 1, self.size)

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
        poses = posed(self, rotations, shifts, ctf, images=images)
        images_ft = transform(images, poses.dimension - 1)
        return self._padding.adjoint(poses.backproject(images_ft))

    def project_vjp(
        self,
        volume: Array,
        rotations: Array,
        shifts: Array | None = None,
        ctf: CTF | Array | None = None,
        *,
        cotangent: Array,
    ) -> ProjectGradients:
        """Return the gradients of `project`, given that with respect to the images.

        As `project_ft_vjp`; `volume`, `cotangent` and the gradient in the volume are real.
        """
        poses = posed(self, rotations, shifts, ctf, volume=volume)
        shape = (*poses.batch, *[self.size] * (poses.dimension - 1))
        check_cotangent(check_real, cotangent, shape, volume=volume)
        cotangent_ft = transform(cotangent, poses.dimension - 1)
        grad_volume_ft, *others = poses.vjp(self._padding.transform(volume), cotangent_ft)
        return ProjectGradients(self._padding.adjoint(grad_volume_ft), *others)

    def operator(
        self, rotations: Array, shifts: Array | None = None, ctf: CTF | Array | None = None
    ) -> LinearOperator:
        """Return `project` in given poses, and `backproject`, as a `LinearOperator`.

        In the precision of `rotations`, from (D, D, D) volumes to (..., D, D) images.

        Examples
        --------
        >>> import numpy as np, fslice
        >>> rotations = fslice.random_rotations(5, np.random.default_rng(0))
        >>> A = fslice.Projector(8).operator(rotations)
        >>> A.range.shape, A.H(A(np.ones((8, 8, 8)))).shape
        ((5, 8, 8), (8, 8, 8))
        """
        rotations = as_matrices(rotations)
        dimension, dtype = check_matrices(rotations), rotations.dtype.name
        images = (*rotations.shape[:-2], *[self.size] * (dimension - 1))
        return LinearOperator(
            Space((self.size,) * dimension, dtype),
            Space(images, dtype),
            lambda volume: self.project(volume, rotations, shifts, ctf),
            lambda images: self.backproject(images, rotations, shifts, ctf),
        )

    def operator_ft(
        self, rotations: Array, shifts: Array | None = None, ctf: CTF | Array | None = None
    ) -> LinearOperator:
        """Return `project_ft` in given poses, and `backproject_ft`, as a `LinearOperator`.

        In the precision of `rotations`, from (M, M, M//2 + 1) to (..., D, D//2 + 1) half spectra.
        """
        rotations = as_matrices(rotations)
        dimension, dtype = check_matrices(rotations), complex_dtype(rotations.dtype).name
        geometry = self.geometry(dimension)
        return LinearOperator(
            Space(geometry.volume_shape[3 - dimension :], dtype),
            Space((*rotations.shape[:-2], *geometry.slice_shape[3 - dimension :]), dtype),
            lambda volume_ft: self.project_ft(volume_ft, rotations, shifts, ctf),
            lambda images_ft: self.backproject_ft(images_ft, rotations, shifts, ctf),
        )

    @property
    def _padding(self) -> Padding:
        order = len(INTERPOLATIONS[self.interpolation])
        return Padding(self.size, self.padded_size, order)

    def _check_spectrum(self, volume_ft: Array) -> None:
        check_complex("volume_ft", volume_ft)
        dimension = 2 if volume_ft.ndim == 2 else 3
        check_volume_ft("volume_ft", volume_ft, dimension)
        check_shape("volume_ft", volume_ft, self.geometry(dimension).volume_shape[3 - dimension :])
