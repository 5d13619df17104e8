"""Projections of noise: the random input of the checks of `fslice.Projector`."""

from __future__ import annotations

from types import ModuleType
from typing import NamedTuple

from fslice._arrays import Array, array_namespace, complex_dtype
from fslice.certify._checks import Setting, draw_rotations, generator, noise
from fslice.fourier import hermitian_weights, transform
from fslice.operators.projector import Projector
from fslice.testing import InnerProduct

COUNT = 3


class Case(NamedTuple):
    """A projector and what its methods take; every entry is noise."""

    projector: Projector
    volume: Array  # of box D
    volume_ft: Array  # the half spectrum of noise of box M
    rotations: Array
    shifts: Array
    ctf: Array
    images: Array
    images_ft: Array  # unrestricted: the range of a slice
    direction: dict[str, Array]  # like volume_ft, rotations, shifts and ctf, to differentiate along

    @property
    def pose(self) -> tuple[Array, Array, Array]:
        """The arguments after the array."""
        return self.rotations, self.shifts, self.ctf


def draw_case(
    setting: Setting, dimension: int, xp: ModuleType, smooth: bool = False, key: str = ""
) -> Case:
    """Draw the input of a check, in the library `xp`."""
    rng = generator(setting[1:], dimension, key)
    dtype, size = setting.dtype, setting.size
    # out to the corners of the slice, which a rotation takes beyond the border of the grid
    projector = Projector(
        size,
        setting.oversampling,  # type: ignore[arg-type]
        setting.kernel,
        max_radius=float(size),
    )
    wide, flat = (projector.padded_size,) * dimension, dimension - 1
    half = (COUNT, *[size] * (flat - 1), size // 2 + 1)
    inside = projector.padded_size / size if smooth else None
    rotations = draw_rotations(rng, COUNT, dimension, inside, size)
    arrays = {
        "volume": noise(rng, (size,) * dimension, dtype),
        "volume_ft": transform(noise(rng, wide, dtype), dimension),
        "rotations": rotations.astype(dtype),
        "shifts": noise(rng, (COUNT, flat), dtype),
        "ctf": noise(rng, half, dtype),
        "images": noise(rng, (COUNT, *[size] * flat), dtype),
        "images_ft": noise(rng, half, complex_dtype(dtype)),
    }
    direction = {
        "volume_ft": transform(noise(rng, wide, dtype), dimension),
        **{name: noise(rng, arrays[name].shape) for name in ("rotations", "shifts", "ctf")},
    }
    return Case(
        projector,
        **{name: xp.asarray(array) for name, array in arrays.items()},
        direction={name: xp.asarray(array) for name, array in direction.items()},
    )


def half_inner(size: int) -> InnerProduct:
    """Return the inner product of half spectra of box D, of lines, images or volumes."""

    def inner_product(a: Array, b: Array) -> float:
        products = (a.astype("complex128").conj() * b).real
        return float((products * hermitian_weights(size, array_namespace(a))).sum())

    return inner_product
