"""What describes the contrast transfer functions of n images, checked once."""

from __future__ import annotations

import dataclasses
from types import ModuleType
from typing import Any, Self

import numpy as np

from fslice._arrays import Array, array_namespace, check_finite, check_shape, to_numpy


@dataclasses.dataclass(frozen=True, eq=False, kw_only=True)
class CTFParameters:
    """The parameters of a `fslice.CTF`, which says what they are."""

    defocus_u: Array
    defocus_v: Array
    astigmatism_angle: Array
    voltage: Array
    spherical_aberration: Array
    amplitude_contrast: Array
    pixel_size: Array
    phase_shift: Array = 0.0
    b_factor: Array = 0.0
    scale: Array = 1.0

    def __post_init__(self) -> None:
        given = {field.name: getattr(self, field.name) for field in dataclasses.fields(self)}
        xp = array_namespace(*(value for value in given.values() if getattr(value, "ndim", 0)))
        arrays = {name: _parameter(name, value, xp) for name, value in given.items()}
        count = max(array.size for array in arrays.values())
        for name, array in arrays.items():
            if array.size > 1:
                check_shape(name, array, (count,))
            object.__setattr__(self, name, xp.broadcast_to(array, (count,)).copy())
        _check_range("voltage", self.voltage, self.voltage > 0, "positive values")
        _check_range("pixel_size", self.pixel_size, self.pixel_size > 0, "positive values")
        contrast = self.amplitude_contrast
        _check_range("amplitude_contrast", contrast, abs(contrast) < 1, "values between -1 and 1")

    def __len__(self) -> int:
        return len(self.defocus_u)

    def __getitem__(self, index: Any) -> Self:
        """Select images by an integer, a slice, or an array of integers or booleans."""
        xp = array_namespace(self.defocus_u)
        chosen = object.__new__(type(self))  # the parameters have been checked already
        for field in dataclasses.fields(self):
            value = xp.atleast_1d(getattr(self, field.name)[index])
            object.__setattr__(chosen, field.name, value)
        check_shape("index", chosen.defocus_u, ("n",))
        return chosen

    def replace(self, **changes: Array) -> Self:
        """Return a copy with some parameters changed.

        Examples
        --------
        >>> from fslice import CTF
        >>> ctf = CTF(defocus_u=15000, defocus_v=14000, astigmatism_angle=30, voltage=300,
        ...           spherical_aberration=2.7, amplitude_contrast=0.1, pixel_size=1.5)
        >>> ctf.replace(scale=2).scale
        array([2.])
        """
        return dataclasses.replace(self, **changes)

    def to(self, xp: ModuleType) -> Self:
        """Return a copy whose parameters are arrays of the library `xp` (NumPy or CuPy).

        Examples
        --------
        >>> from fslice import CTF
        >>> ctf = CTF(defocus_u=15000, defocus_v=14000, astigmatism_angle=30, voltage=300,
        ...           spherical_aberration=2.7, amplitude_contrast=0.1, pixel_size=1.5)
        >>> type(ctf.to(np).voltage).__module__
        'numpy'
        """
        convert = to_numpy if xp is np else xp.asarray
        fields = dataclasses.fields(self)
        return type(self)(**{field.name: convert(getattr(self, field.name)) for field in fields})


def _parameter(name: str, value: Any, xp: ModuleType) -> Array:
    """Return a number or a one-dimensional array as float64, or raise."""
    array = xp.asarray(value)
    if array.dtype.kind not in "iuf":
        raise TypeError(f"{name}: expected real numbers, got {array.dtype}")
    array = array.astype(np.float64)
    check_finite(name, array)
    if array.ndim:
        check_shape(name, array, ("n",))
    return array


def _check_range(name: str, values: Array, inside: Array, expected: str) -> None:
    if not bool(inside.all()):
        raise ValueError(f"{name}: expected {expected}, got {float(values[~inside][0])}")
