"""Particle images with all that is known of them, checked once."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from fslice._arrays import (
    Array,
    array_namespace,
    check_choice,
    check_finite,
    check_real,
    check_shape,
    is_array,
)
from fslice.data.poses import Poses
from fslice.likelihoods.gaussian import GaussianNoise, check_groups
from fslice.operators.aberrations import Aberrations
from fslice.operators.ctf import CTF
from fslice.symmetry.groups import symmetry_name, symmetry_rotations

CTF_STATES = ("none", "phase-flipped", "premultiplied")


@dataclass(frozen=True, eq=False)
class Dataset:
    """Images of one box, their poses, their CTF, and the model of their noise.

    Parameters
    ----------
    images : (n, D, D) array of real numbers, or what gives such arrays when it is indexed
        Of any real dtype and byte order, as files have them. `fslice.io.ImageStack` and memory
        maps are read a batch at a time, so they may exceed the memory; with poses on a GPU
        every batch is copied there. (n, D) for lines.
    poses : Poses
    ctf : CTF of n images or of one, or (n, D, D//2 + 1) real array, optional
    noise : GaussianNoise, optional
        Variances up to a factor, which solvers take separately. Default: white.
    symmetry : str, optional
        Point group of the object, as in `fslice.symmetry.symmetry_rotations`: each image is seen
        from all equivalent directions.
    groups : (n,) integer array, optional
        Optics group of each image, from 0.
    half_sets : (n,) integer array, optional
        1 or 2: the half of the data that each image belongs to.
    contrast : (n,) real array, optional
        Factor of each image. Default: 1.
    aberrations : Aberrations, optional
        Phases of each optics group: odd ones, such as that of a beam tilt, multiply the images;
        even ones add to the phase of a `CTF`; an array of values is taken to have them.
    ctf_applied : {"none", "phase-flipped", "premultiplied"}, optional
        What was done to the images: nothing; the sign of the CTF was taken out; or they were
        multiplied by it, and then hold nothing where it is below 0.01.
    origin : (n,) int64 array, optional
        Of a `portion`: which images of the whole set these are, by which they are named.

    Raises
    ------
    ValueError
        Shapes do not fit together, or a value is out of its range.
    TypeError
        A dtype is not as above, or array libraries are mixed.

    Notes
    -----
    Everything is computed in double precision where the images are float64, else in single.

    Examples
    --------
    >>> import fslice
    >>> rng = np.random.default_rng(0)
    >>> poses = Poses(fslice.random_rotations(7, rng))
    >>> Dataset(rng.normal(size=(7, 16, 16)), poses, symmetry="c3")
    Dataset(7 images of 16 x 16 pixels, float64, no CTF, white noise, symmetry C3)
    """

    images: Any = field(repr=False)
    poses: Poses
    ctf: CTF | Array | None = None
    noise: GaussianNoise | None = None
    symmetry: str = "C1"
    groups: Array | None = field(default=None, kw_only=True)
    half_sets: Array | None = field(default=None, kw_only=True)
    contrast: Array | None = field(default=None, repr=False, kw_only=True)
    aberrations: Aberrations | None = field(default=None, repr=False, kw_only=True)
    ctf_applied: str = field(default="none", kw_only=True)
    origin: Array | None = field(default=None, repr=False, kw_only=True)

    def __post_init__(self) -> None:
        _check_images(self.images, self.poses)
        object.__setattr__(self, "poses", self.poses.astype(self.dtype))
        object.__setattr__(self, "symmetry", symmetry_name(self.symmetry))
        self._check_ctf()
        n = len(self)
        if self.noise is not None and self.noise.groups is not None:
            check_shape("noise", self.noise.groups, (n,))
        if self.noise is not None and self.noise.max_radius is not None:
            raise ValueError("noise: expected no max_radius: the band is that of the projector")
        if self.groups is not None:
            check_shape("groups", self.groups, (n,))
            check_groups(self.groups, int(self.groups.max()) + 1)
        if self.contrast is not None:
            check_real("contrast", self.contrast)
            check_shape("contrast", self.contrast, (n,))
            check_finite("contrast", self.contrast)
        if self.aberrations is not None and len(self.aberrations) != n:
            raise ValueError(
                f"aberrations: expected those of {n} images, got {len(self.aberrations)}"
            )
        if self.half_sets is not None:
            _check_half_sets(self.half_sets, n)
        if self.poses.dimension == 2 and self.symmetry != "C1":
            raise ValueError(f"symmetry: expected C1 for images of lines, got {self.symmetry}")

    def __len__(self) -> int:
        """Return the number of images n."""
        return int(self.images.shape[0])

    def __repr__(self) -> str:
        """Say in a line what there is."""
        shape = " x ".join(str(side) for side in self.images.shape[1:])
        ctf = "no CTF" if self.ctf is None else "CTF"
        noise = "white" if self.noise is None else "coloured"
        return (
            f"Dataset({len(self)} images of {shape} pixels, {self.dtype}, {ctf}, {noise} noise, "
            f"symmetry {self.symmetry})"
        )

    @property
    def size(self) -> int:
        """Box D of the images."""
        return int(self.images.shape[1])

    @property
    def dtype(self) -> np.dtype:
        """Real dtype of everything that is computed: double only for double images."""
        kind = np.dtype(self.images.dtype)
        return np.dtype("float64" if kind.kind == "f" and kind.itemsize == 8 else "float32")

    @property
    def xp(self) -> Any:
        """The array library in which everything is computed: that of the poses."""
        return array_namespace(self.poses.rotations)

    @property
    def order(self) -> int:
        """Number of poses in which each image is seen: the order of the symmetry."""
        return len(symmetry_rotations(self.symmetry))

    def with_noise(self, noise: GaussianNoise | None) -> Dataset:
        """Return the same images under another noise model."""
        return replace(self, noise=noise)

    def portion(self, rows: Array) -> Dataset:
        """Return some images, by ascending rows, with what is known of them and no more.

        An `fslice.io.ImageStack` is not read; halves are left out.
        """
        images, poses, ctf = self.images, self.poses[rows], self.ctf
        if ctf is not None and len(ctf) == len(self):
            ctf = ctf[rows]
        return replace(
            self,
            images=images.select(rows) if hasattr(images, "select") else images[rows],
            poses=poses,
            ctf=ctf,
            noise=None if self.noise is None else self.noise[rows],
            groups=None if self.groups is None else self.groups[rows],
            half_sets=None,
            contrast=None if self.contrast is None else self.contrast[rows],
            aberrations=None if self.aberrations is None else self.aberrations[rows],
            origin=self.numbers(rows),
        )

    def numbers(self, rows: Array) -> Array:
        """Return which images of the whole set some rows are."""
        return rows if self.origin is None else self.xp.asarray(self.origin)[rows]

    def whitening(self, rows: Array) -> Array | None:
        """Return one over the noise's deviation, (n or 1, D, D//2 + 1), None where it is white.

        Lines have (n or 1, D//2 + 1).
        """
        if self.noise is None:
            return None
        if self.poses.dimension == 2:
            table = self.noise[rows]
            values = table.variances if table.groups is None else table.variances[table.groups]
            shape = (len(values), self.size // 2 + 1)
            return (1 / self.xp.sqrt(self.xp.broadcast_to(values, shape))).astype(self.dtype)
        return (1 / self.xp.sqrt(self.noise[rows].evaluate(self.size))).astype(self.dtype)

    def _check_ctf(self) -> None:
        check_choice("ctf_applied", self.ctf_applied, CTF_STATES)
        if self.ctf is None:
            if self.ctf_applied != "none":
                raise ValueError(f"ctf: expected the CTF of images that are {self.ctf_applied}")
            return
        n = len(self)
        if isinstance(self.ctf, CTF):
            array_namespace(self.poses.rotations, self.ctf.defocus_u)
            if self.poses.dimension == 2:
                raise TypeError("ctf: expected an array for images of lines, got a CTF")
            if len(self.ctf) not in (1, n):
                raise ValueError(f"ctf: expected one per image, {n}, got {len(self.ctf)}")
            return
        check_real("ctf", self.ctf)
        array_namespace(self.poses.rotations, self.ctf)
        check_shape("ctf", self.ctf, (n, *self.images.shape[1:-1], self.size // 2 + 1))


def _check_images(images: Any, poses: Poses) -> None:
    """Raise unless images are real squares, one for each pose."""
    if not hasattr(images, "dtype") or not hasattr(images, "shape"):
        raise TypeError(f"images: expected an array, got {type(images).__name__}")
    shape, sides = tuple(images.shape), poses.dimension - 1
    if len(shape) != sides + 1 or len(set(shape[1:])) > 1 or 0 in shape:
        wanted = ", ".join("D" * sides)
        raise ValueError(f"images: expected shape (n, {wanted}) with n and D above 0, got {shape}")
    if np.dtype(images.dtype).kind not in "fiu":
        raise TypeError(f"images: expected real numbers, got {images.dtype}")
    if is_array(images) and array_namespace(images) is not np:
        array_namespace(images, poses.rotations)
    if len(poses) != shape[0]:
        raise ValueError(f"poses: expected one for each of the {shape[0]} images, got {len(poses)}")


def _check_half_sets(half_sets: Array, n: int) -> None:
    if half_sets.dtype.kind not in "iu":
        raise TypeError(f"half_sets: expected integers, got {half_sets.dtype}")
    check_shape("half_sets", half_sets, (n,))
    if not bool(((half_sets == 1) | (half_sets == 2)).all()):
        raise ValueError("half_sets: expected 1 or 2 for every image")
