"""Models made of isotropic Gaussians: density, spectrum and projections in closed form."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from fslice import fourier
from fslice._arrays import Array, check_finite, check_on_host, check_shape, complex_dtype
from fslice.geometry import as_matrices, check_rotations
from fslice.simulation import _gaussian_images, _gaussian_sums
from fslice.simulation._inputs import Poses, check_box, constant
from fslice.simulation.atoms import Atoms, atom_gaussians


@dataclass(frozen=True, eq=False)
class GaussianModel:
    """A sum of isotropic Gaussians, ``sum_j w_j N(x; x_j, var_j)``.

    Parameters
    ----------
    positions : (J, 3) real array
        Centres (x, y, z) in Angstrom about the origin of the box (voxel ``D // 2``).
    weights : (J,) real array
        Integrals of the Gaussians, in any unit.
    variances : (J,) real array
        Variances along one axis, in Angstrom^2; 0 is a point.

    Raises
    ------
    ValueError
        A shape is not as above, a value is not finite, or a variance is negative.

    Notes
    -----
    Arrays are NumPy, kept and computed in double precision. Volumes are scaled such that
    they sum to ``sum(weights)``, and so do projections, which are plain sums over z.

    Examples
    --------
    >>> model = GaussianModel([[0.0, 0.0, 6.0]], [2.0], [5.0])
    >>> model.density(16, pixel_size=2.0).sum().round(3)
    np.float64(2.0)
    >>> turned = [[0, 0, -1], [0, 1, 0], [1, 0, 0.0]]  # the image's x axis is the volume's z
    >>> image = model.project(np.array(turned), 16, pixel_size=2.0)
    >>> np.unravel_index(image.argmax(), image.shape)  # row y, column x
    (np.int64(8), np.int64(11))
    """

    positions: np.ndarray
    weights: np.ndarray
    variances: np.ndarray

    def __post_init__(self) -> None:
        for name in ("positions", "weights", "variances"):
            object.__setattr__(self, name, constant(name, getattr(self, name)))
        check_shape("positions", self.positions, ("J", 3))
        for name in ("weights", "variances"):
            check_shape(name, getattr(self, name), (len(self.positions),))
            check_finite(name, getattr(self, name))
        check_finite("positions", self.positions)
        if self.variances.min() < 0:
            raise ValueError(f"variances: expected none below 0, got {self.variances.min():g}")

    @classmethod
    def from_atoms(
        cls, atoms: Atoms, *, scattering: str = "electron", extra_variance: float = 0.0
    ) -> GaussianModel:
        """Make atoms Gaussians of their scattering and B-factors, about their centroid.

        Parameters
        ----------
        atoms : Atoms
            With `positions` (J, 3) [Angstrom], `atomic_numbers` (J,) and `b_factors` (J,)
            [Angstrom^2], as ``fslice.io.read_atoms`` returns.
        scattering : {"electron", "atomic-number"}, optional
            Five Gaussians per atom, which are its form factor for electrons in Angstrom; see
            `fslice.simulation.form_factors`. Or one, whose weight is the atomic number.
        extra_variance : float, optional
            Added to every variance, in Angstrom^2.

        Returns
        -------
        GaussianModel
            Variances are ``B / (8 pi^2)``, plus ``b / (8 pi^2)`` of the term of a form factor, and
            the mean of the atoms (each counting once) is the origin. Gaussians of one atom are
            neighbours.

        Raises
        ------
        ValueError
            There is no atom, a number is not finite or negative, or an element has no form
            factor.

        Examples
        --------
        >>> from types import SimpleNamespace
        >>> pair = np.array([[10.0, 0, 0], [12.0, 0, 0]])
        >>> atoms = SimpleNamespace(positions=pair, atomic_numbers=[6, 8], b_factors=[20, 30])
        >>> GaussianModel.from_atoms(atoms, scattering="atomic-number").positions
        array([[-1.,  0.,  0.],
               [ 1.,  0.,  0.]])
        """
        return cls(*atom_gaussians(atoms, scattering, extra_variance))

    def __len__(self) -> int:
        """Return the number of Gaussians J."""
        return len(self.weights)

    @property
    def diameter(self) -> float:
        """The diameter in Angstrom of the sphere about the origin that holds the model.

        Every Gaussian counts to three of its standard deviations.
        """
        reach = np.linalg.norm(self.positions, axis=1) + 3 * np.sqrt(self.variances)
        return float(2 * reach.max())

    def rotate(self, rotation: Array) -> GaussianModel:
        """Return the model turned about the origin: every centre p moves to ``rotation @ p``.

        Examples
        --------
        >>> quarter = np.array([[0.0, -1, 0], [1, 0, 0], [0, 0, 1]])
        >>> GaussianModel([[1, 0, 0]], [1], [1]).rotate(quarter).positions
        array([[0., 1., 0.]])
        """
        rotation = as_matrices(rotation)
        check_rotations("rotation", rotation)
        check_shape("rotation", rotation, (3, 3))
        check_on_host("rotation", rotation)
        return GaussianModel(self.positions @ rotation.T, self.weights, self.variances)

    def density(self, size: int, pixel_size: float, *, dtype: Any = np.float64) -> np.ndarray:
        """Sample the density at the voxels' centres, times the voxels' volume.

        Parameters
        ----------
        size : int
            Box D, in voxels.
        pixel_size : float
            Angstrom.
        dtype : {float64, float32}, optional
            Of the result.

        Returns
        -------
        (D, D, D) real array
            In the order [z, y, x]. Its sum is ``weights.sum()`` up to what lies outside the box
            and to aliasing.

        Raises
        ------
        ValueError
            A variance is 0 (points have a `volume`, but no density), or see `check_box`.

        Notes
        -----
        ``v(r) = a^3 sum_j w_j (2 pi var_j)^(-3/2) exp(-|r - x_j|^2 / (2 var_j))`` with the
        pixel size a. The sum runs over all voxels and all Gaussians: for few of them.
        """
        size, pixel_size = check_box(size, pixel_size)
        density = _gaussian_images.density(*self._in_pixels(pixel_size), size)
        return density.astype(dtype, copy=False)

    def spectrum(self, size: int, pixel_size: float, *, dtype: Any = np.float64) -> np.ndarray:
        """Evaluate the half spectrum, limited to the band ``|k| <= (D - 1) // 2``.

        Parameters
        ----------
        size : int
            Box D, in voxels.
        pixel_size : float
            Angstrom.
        dtype : {float64, float32}, optional
            Precision of the result.

        Returns
        -------
        (D, D, D//2 + 1) complex array
            Unitary, as that of `fslice.rfft3`.

        Raises
        ------
        ValueError
            See `check_box`.

        Notes
        -----
        ``V(k) = D^(-3/2) sum_j w_j exp(-2 pi^2 var_j |s|^2 - 2 pi i s . x_j)`` with
        ``s = k / (D a)`` and the pixel size a: the continuous transform at the frequencies of
        the box, hence without aliasing. From 1000 Gaussians on it is computed by gridding,
        with a relative error (L2 over the band, and largest over largest) below 1e-7.

        Examples
        --------
        >>> point = GaussianModel([[0, 0, 0]], [8.0], [0])
        >>> float(point.spectrum(4, 1.0)[0, 0, 1].real)
        1.0
        """
        size, pixel_size = check_box(size, pixel_size)
        spectrum = _gaussian_sums.spectrum(*self._in_pixels(pixel_size), size)
        spectrum[fourier.radii(size, 3) > (size - 1) // 2] = 0
        return spectrum.astype(complex_dtype(dtype), copy=False)

    def volume(self, size: int, pixel_size: float, *, dtype: Any = np.float64) -> np.ndarray:
        """Return the real volume of the band-limited `spectrum`, (D, D, D) in the order [z, y, x].

        Its sum is ``weights.sum()`` exactly. It differs from `density` where that is not
        band-limited, and in that what leaves the box at one face enters at the opposite one.
        """
        return fourier.irfft3(self.spectrum(size, pixel_size)).astype(dtype, copy=False)

    def project(
        self,
        rotations: Array,
        size: int,
        pixel_size: float,
        shifts: Array | None = None,
        *,
        dtype: Any = np.float64,
    ) -> np.ndarray:
        """Sample the analytic projections at the pixels' centres, times the pixels' area.

        Parameters
        ----------
        rotations : (..., 3, 3) real array
            Image to volume coordinates, acting on (x, y, z).
        size : int
            Box D, in pixels.
        pixel_size : float
            Angstrom.
        shifts : (..., 2) real array, optional
            Where the particle sits, (x, y) in pixels.
        dtype : {float64, float32}, optional
            Of the result.

        Returns
        -------
        (..., D, D) real array
            In the order [y, x]: the sum over z of the rotated `density`.

        Raises
        ------
        ValueError
            A variance is 0, a shape is not as above, a matrix is no rotation, or `check_box`.

        Notes
        -----
        A Gaussian at p is seen at the x and y of ``R.T @ p`` plus the shift:
        ``image(x, y) = a^2 sum_j w_j (2 pi var_j)^-1 exp(-|(x, y) - p_j|^2 / (2 var_j))``.
        """
        size, pixel_size = check_box(size, pixel_size)
        poses = Poses(rotations, shifts)
        images = _gaussian_images.projections(*self._in_pixels(pixel_size), poses, size, dtype)
        return images.reshape(*poses.batch, size, size)

    def project_ft(
        self,
        rotations: Array,
        size: int,
        pixel_size: float,
        shifts: Array | None = None,
        *,
        dtype: Any = np.float64,
    ) -> np.ndarray:
        """Evaluate the half spectra of the projections, limited to ``|k| <= (D - 1) // 2``.

        Parameters
        ----------
        rotations, size, pixel_size, shifts
            As in `project`.
        dtype : {float64, float32}, optional
            Precision of the result; phases are computed in double precision in either case.

        Returns
        -------
        (..., D, D//2 + 1) complex array
            Unitary, as that of `fslice.rfft2`: ``sqrt(D)`` times the slices of the `spectrum`.

        Raises
        ------
        ValueError
            A shape is not as above, a matrix is no rotation, or see `check_box`.

        Notes
        -----
        ``I(k) = D^-1 sum_j w_j exp(-2 pi^2 var_j |s|^2 - 2 pi i s . p_j)``, ``s = k / (D a)``,
        with ``p_j`` as in `project`. One complex matrix product per image: for few Gaussians.
        """
        size, pixel_size = check_box(size, pixel_size)
        poses = Poses(rotations, shifts)
        images = _gaussian_images.projections_ft(*self._in_pixels(pixel_size), poses, size, dtype)
        return images.reshape(*poses.batch, size, size // 2 + 1)

    def _in_pixels(self, pixel_size: float) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        return self.positions / pixel_size, self.weights, self.variances / pixel_size**2
