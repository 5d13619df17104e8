"""Random cases: both parities, both precisions, any layout in memory, leading batch axes.

Input is drawn without restriction: every entry is noise, corners and Nyquist frequencies
included. Half spectra of volumes are those of real noise, as a half spectrum always belongs to a
real array; half spectra of images, the range of a slice, are plain complex noise.
"""

from __future__ import annotations

import dataclasses
import itertools
from typing import Any

import numpy as np
from hypothesis import strategies as st

from fslice import CTF, Projector
from fslice._arrays import array_namespace, complex_dtype
from fslice.fourier import hermitian_weights, rfft2, rfft3
from fslice.geometry import random_rotations

seeds = st.integers(0, 2**32 - 1)
batches = st.sampled_from([(), (1,), (3,), (2, 2)])
interpolations = st.sampled_from(["linear", "cubic"])
precisions = st.sampled_from(["float32", "float64"])

MARGIN = 2e-4
"""How far from the faces of cells the samples of a smooth case lie, in cells."""


class Case:
    """Arrays and what else a test needs; `on` moves the arrays to another library."""

    def on(self, xp):
        """Return the case with all arrays in the library `xp`."""
        fields = {field.name: getattr(self, field.name) for field in dataclasses.fields(self)}
        moved = {k: xp.asarray(v) for k, v in fields.items() if isinstance(v, np.ndarray)}
        moved |= {k: v.to(xp) for k, v in fields.items() if isinstance(v, CTF)}
        return dataclasses.replace(self, **moved)


@dataclasses.dataclass(frozen=True)
class SliceCase(Case):
    """What `extract_slices` and `insert_slices` take."""

    volume_ft: Any
    rotations: Any
    slices: Any
    size: int
    interpolation: str
    max_radius: float | None

    @property
    def box(self):
        """Box M of the volume."""
        return self.volume_ft.shape[0]

    @property
    def options(self):
        """Return the keyword arguments that all functions share."""
        return {"interpolation": self.interpolation, "max_radius": self.max_radius}


@dataclasses.dataclass(frozen=True)
class ProjectorCase(Case):
    """What the methods of `Projector` take; `images` are real and `images_ft` unrestricted."""

    projector: Projector
    volume: Any
    volume_ft: Any
    rotations: Any
    shifts: Any
    ctf: Any
    images: Any
    images_ft: Any

    @property
    def pose(self):
        """Return rotations, shifts and CTF: the arguments after the array."""
        return self.rotations, self.shifts, self.ctf


def noise(rng, shape, dtype="float64", xp=np):
    """Return normal noise, complex where the dtype is, as an array of the library `xp`."""
    drawn = rng.normal(size=shape)
    if np.dtype(dtype).kind == "c":
        drawn = drawn + 1j * rng.normal(size=shape)
    return xp.asarray(drawn.astype(dtype))


def laid_out(array, layout):
    """Return an array that is equal, but lies differently in memory."""
    if layout == "fortran":
        return np.asfortranarray(array)
    if layout == "strided":
        wider = np.zeros((*array.shape[:-1], 2 * array.shape[-1]), array.dtype)
        wider[..., ::2] = array
        return wider[..., ::2]
    if layout == "reversed":
        return array[::-1].copy()[::-1]
    return array


layouts = st.sampled_from(["contiguous", "fortran", "strided", "reversed"])


def poses(rng, batch, dimension=3):
    """Return rotations, uniformly at random, in two or three dimensions."""
    if dimension == 3:
        return random_rotations(int(np.prod(batch)), rng).reshape(*batch, 3, 3)
    angle = rng.uniform(0, 2 * np.pi, batch)
    rows = [[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]]
    return np.moveaxis(np.array(rows), (0, 1), (-2, -1)).reshape(*batch, 2, 2)


def cube_rotations():
    """Return the 24 rotations of the cube, with entries -1, 0 and 1 exactly."""
    matrices = [
        np.eye(3)[list(order)] * np.array(signs)[:, None]
        for order in itertools.permutations(range(3))
        for signs in itertools.product((1, -1), repeat=3)
    ]
    return np.array([matrix for matrix in matrices if np.linalg.det(matrix) > 0])


def slice_positions(rotations, size, scale):
    """Return where the samples of slices fall: (..., d, samples), in cells, origin left out."""
    flat = rotations.shape[-1] - 1
    k = np.arange(-(size // 2), size // 2 + 1)
    grid = np.array(np.meshgrid(*[k] * flat)).reshape(flat, -1)
    return scale * rotations[..., :flat] @ grid[:, abs(grid).sum(0) > 0]


def inside_cells(rotations, size, scale):
    """Return whether no sample is near a face of its cell, where linear slices have kinks."""
    found = slice_positions(rotations, size, scale)
    return found.size == 0 or abs(found - np.rint(found)).min() > MARGIN


def poses_inside_cells(rng, batch, size, scale, dimension=3):
    """Return random rotations at which linear slices are smooth."""
    while True:
        rotations = poses(rng, batch, dimension)
        if inside_cells(rotations, size, scale):
            return rotations


def boxes(size):
    """Return boxes M for slices of box D: oversampling 1 and 2, 1.5 where whole, and D + 1."""
    return sorted({size, 2 * size, size + 1} | ({size * 3 // 2} if size % 2 == 0 else set()))


def radii(size):
    """Draw no, a smaller, or a larger radius than the default."""
    return st.one_of(st.none(), st.sampled_from([0.0, size / 3, (size - 1) / 2, float(size)]))


@st.composite
def slice_cases(draw, smooth=False):
    """Draw a `SliceCase`; a smooth one is of double precision with all samples inside cells."""
    rng = np.random.default_rng(draw(seeds))
    dtype = "float64" if smooth else draw(precisions)
    size = draw(st.integers(3 if smooth else 1, 8))
    box = draw(st.sampled_from(boxes(size)))
    batch, layout = draw(batches), draw(layouts)
    make = poses_inside_cells if smooth else lambda rng, batch, *_: poses(rng, batch)
    slices = noise(rng, (*batch, size, size // 2 + 1), complex_dtype(dtype))
    return SliceCase(
        volume_ft=laid_out(rfft3(noise(rng, (box,) * 3, dtype)), layout),
        rotations=laid_out(make(rng, batch, size, box / size).astype(dtype), layout),
        slices=laid_out(slices, layout),
        size=size,
        interpolation=draw(interpolations),
        max_radius=draw(radii(size)),
    )


@st.composite
def projectors(draw, smallest=2):
    """Draw a `Projector` of any parity, oversampling and kernel."""
    size = draw(st.integers(smallest, 7))
    oversampling = draw(st.sampled_from([1, 2, *([1.5] if size % 2 == 0 else [])]))
    return Projector(size, oversampling, draw(interpolations), draw(radii(size)))


@st.composite
def projector_cases(draw, smooth=False, dimension=None):
    """Draw a `ProjectorCase`, in two or three dimensions, with or without shifts and CTF."""
    rng = np.random.default_rng(draw(seeds))
    dtype = "float64" if smooth else draw(precisions)
    projector = draw(projectors(3 if smooth else 2))
    dimension = dimension or draw(st.sampled_from([2, 3]))
    batch, layout = draw(batches), draw(layouts)
    size, flat = projector.size, dimension - 1
    make = poses_inside_cells if smooth else lambda rng, batch, a, b, d: poses(rng, batch, d)
    rotations = make(rng, batch, size, projector.padded_size / size, dimension).astype(dtype)
    volume = noise(rng, (size,) * dimension, dtype)
    half = (*batch, *[size] * (flat - 1), size // 2 + 1)
    wide = noise(rng, (projector.padded_size,) * dimension, dtype)
    with_shifts, with_ctf = draw(st.booleans()), draw(st.booleans())
    return ProjectorCase(
        projector=projector,
        volume=laid_out(volume, layout),
        volume_ft=laid_out(rfft3(wide) if dimension == 3 else rfft2(wide), layout),
        rotations=laid_out(rotations, layout),
        shifts=noise(rng, (*batch, flat), dtype) if with_shifts else None,
        ctf=noise(rng, half, dtype) if with_ctf else None,
        images=laid_out(noise(rng, (*batch, *[size] * flat), dtype), layout),
        images_ft=laid_out(noise(rng, half, complex_dtype(dtype)), layout),
    )


REFINABLE = (
    "defocus_u",
    "defocus_v",
    "astigmatism_angle",
    "phase_shift",
    "amplitude_contrast",
    "b_factor",
    "scale",
)
"""The parameters of a CTF that have gradients."""


def random_ctf(rng, count, pixel_size=3.0):
    """Return CTFs with every parameter away from its default."""
    return CTF(
        defocus_u=rng.uniform(5000, 20000, count),
        defocus_v=rng.uniform(5000, 20000, count),
        astigmatism_angle=rng.uniform(0, 180, count),
        voltage=300.0,
        spherical_aberration=2.7,
        amplitude_contrast=rng.uniform(0.05, 0.2, count),
        phase_shift=rng.uniform(0, 90, count),
        b_factor=rng.uniform(0, 100, count),
        scale=rng.uniform(0.5, 2, count),
        pixel_size=pixel_size,
    )


def half_inner(size):
    """Return the inner product of half spectra of images, or of lines, of box D."""

    def inner_product(a, b):
        xp = array_namespace(a, b)
        a, b = a.astype(xp.result_type(a, "f8")), b.astype(xp.result_type(b, "f8"))
        return float(((a.conj() * b).real * hermitian_weights(size, xp)).sum())

    return inner_product
