"""Centred, unitary transforms of real arrays."""

from __future__ import annotations

import sys
from typing import Any

import numpy as np

from fslice._arrays import Array, array_namespace, check_complex, check_real, check_shape
from fslice._threads import available_cpus
from fslice.fourier._half_spectra import check_half, symmetrized


def rfft2(images: Array) -> Array:
    """Transform real images to centred, unitary half spectra.

    Parameters
    ----------
    images : (..., D, D) real array
        The origin is pixel ``D // 2`` of each axis.

    Returns
    -------
    (..., D, D//2 + 1) complex array
        Zero frequency first, in the precision of `images`.

    Notes
    -----
    Unitary in the inner product of `hermitian_weights`, so the adjoint is `irfft2`.

    Examples
    --------
    A unit pixel at the origin has a flat spectrum:

    >>> import numpy as np
    >>> image = np.zeros((4, 4))
    >>> image[2, 2] = 1
    >>> np.allclose(rfft2(image), 1 / 4)
    True
    """
    check_real("images", images)
    _check_box("images", images, 2)
    return transform(images, 2)


def rfft3(volume: Array) -> Array:
    """Transform a real volume to its centred, unitary half spectrum.

    Parameters
    ----------
    volume : (..., D, D, D) real array
        In the order ``[z, y, x]``; the origin is voxel ``D // 2`` of each axis.

    Returns
    -------
    (..., D, D, D//2 + 1) complex array
        Zero frequency first, in the precision of `volume`.

    Notes
    -----
    Unitary in the inner product of `hermitian_weights`, so the adjoint is `irfft3`.

    Examples
    --------
    >>> import numpy as np
    >>> volume = np.ones((4, 4, 4))
    >>> float(rfft3(volume)[0, 0, 0].real)  # the sum over D**1.5
    8.0
    """
    check_real("volume", volume)
    _check_box("volume", volume, 3)
    return transform(volume, 3)


def irfft2(images_ft: Array) -> Array:
    """Transform centred half spectra back to real images: inverse and adjoint of `rfft2`.

    Parameters
    ----------
    images_ft : (..., D, D//2 + 1) complex array
        What is not Hermitian on the planes ``kx = 0`` and ``kx = D/2`` is projected out.

    Returns
    -------
    (..., D, D) real array

    Examples
    --------
    >>> import numpy as np
    >>> image = np.random.default_rng(0).normal(size=(5, 5))
    >>> np.allclose(irfft2(rfft2(image)), image)
    True
    """
    check_complex("images_ft", images_ft)
    return _inverse(images_ft, 2, "images_ft")


def irfft3(volume_ft: Array) -> Array:
    """Transform a centred half spectrum back to a real volume: inverse and adjoint of `rfft3`.

    Parameters
    ----------
    volume_ft : (..., D, D, D//2 + 1) complex array
        What is not Hermitian on the planes ``kx = 0`` and ``kx = D/2`` is projected out.

    Returns
    -------
    (..., D, D, D) real array

    Examples
    --------
    >>> import numpy as np
    >>> volume = np.random.default_rng(0).normal(size=(4, 4, 4))
    >>> np.allclose(irfft3(rfft3(volume)), volume)
    True
    """
    check_complex("volume_ft", volume_ft)
    return _inverse(volume_ft, 3, "volume_ft")


def transform(array: Array, ndim: int) -> Array:
    """Transform the trailing `ndim` axes of a real array: `rfft2` and `rfft3` for any `ndim`."""
    axes = tuple(range(-ndim, 0))
    xp = array_namespace(array)
    return _fft(xp).rfftn(
        xp.fft.ifftshift(array, axes=axes), axes=axes, norm="ortho", **_workers(xp)
    )


def inverse_transform(array_ft: Array, ndim: int, size: int) -> Array:
    """Apply the inverse and adjoint of `transform`, to arrays of box `size`."""
    axes = tuple(range(-ndim, 0))
    xp = array_namespace(array_ft)
    if xp is not np:  # NumPy projects, cuFFT leaves undefined what is not Hermitian
        array_ft = symmetrized(array_ft, ndim, size)
    array = _fft(xp).irfftn(array_ft, s=[size] * ndim, axes=axes, norm="ortho", **_workers(xp))
    return xp.fft.fftshift(array, axes=axes)


def axis_transform(array: Array, axis: int, size: int | None = None) -> Array:
    """Transform a real array along one axis to a half spectrum, not scaled, about index 0.

    With `size`, zeros are put behind the array up to that length of the axis.

    Examples
    --------
    >>> axis_transform(np.ones((2, 4)), 1)[0].real
    array([4., 0., 0.])
    """
    xp = array_namespace(array)
    return _fft(xp).rfft(array, size, axis=axis, **_workers(xp))


def full_axis_transform(array: Array, axis: int, size: int | None = None) -> Array:
    """Transform a complex array along one axis, not scaled, about index 0; `size` as above.

    Examples
    --------
    >>> full_axis_transform(np.ones((2, 3), complex), 1, 4)[0].real
    array([3., 0., 1., 0.])
    """
    xp = array_namespace(array)
    return _fft(xp).fft(array, size, axis=axis, **_workers(xp))


def inverse_full_axis_transform(array_ft: Array, axis: int) -> Array:
    """Apply the inverse of `full_axis_transform`.

    Examples
    --------
    >>> inverse_full_axis_transform(full_axis_transform(np.ones((2, 3), complex), 1), 1)[0].real
    array([1., 1., 1.])
    """
    xp = array_namespace(array_ft)
    return _fft(xp).ifft(array_ft, axis=axis, **_workers(xp))


def inverse_axis_transform(array_ft: Array, axis: int, size: int) -> Array:
    """Apply the inverse of `axis_transform`; `size` is the length of the axis."""
    xp = array_namespace(array_ft)
    if xp is not np:
        array_ft = xp.moveaxis(symmetrized(xp.moveaxis(array_ft, axis, -1), 1, size), -1, axis)
    return _fft(xp).irfft(array_ft, size, axis=axis, **_workers(xp))


def transform_about_zero(volume: Array) -> Array:
    """Transform real volumes to half spectra, not scaled, about voxel 0 of their last three axes.

    Examples
    --------
    >>> transform_about_zero(np.ones((2, 2, 2)))[0, 0].real
    array([8., 0.])
    """
    xp = array_namespace(volume)
    return _fft(xp).rfftn(volume, axes=(-3, -2, -1), **_workers(xp))


def inverse_transform_about_zero(volume_ft: Array, size: int) -> Array:
    """Apply the inverse of `transform_about_zero` to what is Hermitian."""
    xp = array_namespace(volume_ft)
    return _fft(xp).irfftn(volume_ft, s=[size] * 3, axes=(0, 1, 2), **_workers(xp))


def fast_size(size: int) -> int:
    """Return the smallest box from `size` on whose transform is fast.

    Examples
    --------
    >>> fast_size(127)
    128
    """
    import scipy.fft

    return scipy.fft.next_fast_len(size, real=True)


def _inverse(array_ft: Array, ndim: int, name: str) -> Array:
    return inverse_transform(array_ft, ndim, check_half(name, array_ft, ndim))


def _check_box(name: str, array: Array, ndim: int) -> None:
    """Raise unless the trailing axes of an array are equal."""
    check_shape(name, array, (..., *["D"] * ndim))
    check_shape(name, array, (..., *[array.shape[-1]] * ndim))


def _fft(xp: Any) -> Any:
    """Return the FFT module that keeps single precision and uses every core."""
    if xp is np:
        import scipy.fft

        return scipy.fft
    return sys.modules["cupy"].fft


def _workers(xp: Any) -> dict[str, int]:
    return {"workers": available_cpus()} if xp is np else {}
