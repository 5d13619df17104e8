"""Centred, unitary transforms of real arrays, their half spectra, and the frequency grids.

A half spectrum stores the frequencies with ``kx >= 0`` of a real array, zero
frequency first. With the weights of `hermitian_weights` its inner product equals that
of the real arrays (Parseval), which makes `irfft2` and `irfft3` the adjoints of
`rfft2` and `rfft3`.
"""

from fslice.fourier._grids import (
    crop,
    frequencies,
    pad,
    radii,
    shell_sum,
    shells,
)
from fslice.fourier._half_spectra import (
    hermitian_part,
    hermitian_weights,
    inner_product,
)
from fslice.fourier._transforms import (
    axis_transform,
    fast_size,
    full_axis_transform,
    inverse_axis_transform,
    inverse_full_axis_transform,
    inverse_transform,
    inverse_transform_about_zero,
    irfft2,
    irfft3,
    rfft2,
    rfft3,
    transform,
    transform_about_zero,
)

__all__ = [
    "axis_transform",
    "crop",
    "fast_size",
    "frequencies",
    "full_axis_transform",
    "hermitian_part",
    "hermitian_weights",
    "inner_product",
    "inverse_axis_transform",
    "inverse_full_axis_transform",
    "inverse_transform",
    "inverse_transform_about_zero",
    "irfft2",
    "irfft3",
    "pad",
    "radii",
    "rfft2",
    "rfft3",
    "shell_sum",
    "shells",
    "transform",
    "transform_about_zero",
]
