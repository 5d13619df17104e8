"""Centred, unitary transforms of real arrays, their half spectra, and the frequency grids.

A half spectrum stores the frequencies with ``kx >= 0`` of a real array, zero
frequency first. With the weights of `hermitian_weights` its inner product equals that
of the real arrays (Parseval), which makes `irfft2` and `irfft3` the adjoints of
`rfft2` and `rfft3`.
"""

from __future__ import annotations

import sys
from typing import Any

import numpy as np

from fslice._arrays import (
    Array,
    array_namespace,
    check_complex,
    check_real,
    check_shape,
    check_size,
)
from fslice._threads import available_cpus


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
    array = _fft(xp).irfftn(array_ft, s=[size] * ndim, axes=axes, norm="ortho", **_workers(xp))
    return xp.fft.fftshift(array, axes=axes)


def axis_transform(array: Array, axis: int) -> Array:
    """Transform a real array along one axis to a half spectrum, not scaled, about index 0.

    Examples
    --------
    >>> axis_transform(np.ones((2, 4)), 1)[0].real
    array([4., 0., 0.])
    """
    xp = array_namespace(array)
    return _fft(xp).rfft(array, axis=axis, **_workers(xp))


def inverse_axis_transform(array_ft: Array, axis: int, size: int) -> Array:
    """Apply the inverse of `axis_transform`; `size` is the length of the axis."""
    xp = array_namespace(array_ft)
    return _fft(xp).irfft(array_ft, size, axis=axis, **_workers(xp))


def _inverse(array_ft: Array, ndim: int, name: str) -> Array:
    return inverse_transform(array_ft, ndim, _check_half(name, array_ft, ndim))


def _check_box(name: str, array: Array, ndim: int) -> None:
    """Raise unless the trailing axes of an array are equal."""
    check_shape(name, array, (..., *["D"] * ndim))
    check_shape(name, array, (..., *[array.shape[-1]] * ndim))


def _check_half(name: str, array_ft: Array, ndim: int) -> int:
    """Return the box of a half spectrum, or raise."""
    check_shape(name, array_ft, (..., *["D"] * (ndim - 1), "D//2 + 1"))
    size = array_ft.shape[-2]
    check_shape(name, array_ft, (..., *[size] * (ndim - 1), size // 2 + 1))
    return size


def _fft(xp: Any) -> Any:
    """Return the FFT module that keeps single precision and uses every core."""
    if xp is np:
        import scipy.fft

        return scipy.fft
    return sys.modules["cupy"].fft


def _workers(xp: Any) -> dict[str, int]:
    return {"workers": available_cpus()} if xp is np else {}


def hermitian_weights(size: int, xp: Any = np) -> Array:
    """Return how many frequencies of the full spectrum each stored ``kx`` stands for.

    Parameters
    ----------
    size : int
        Box D.
    xp : module, optional
        Array library of the result.

    Returns
    -------
    (D//2 + 1,) float64 array
        1 at ``kx = 0`` and at ``kx = D/2`` of an even box, 2 elsewhere. With these weights
        ``sum(m * Re(conj(a) * b))`` is the dot product of the real arrays.

    Examples
    --------
    >>> hermitian_weights(6)
    array([1., 2., 2., 1.])
    >>> hermitian_weights(5)
    array([1., 2., 2.])
    """
    weights = xp.full(check_size("size", size) // 2 + 1, 2.0)
    weights[0] = 1
    if size % 2 == 0:
        weights[-1] = 1
    return weights


def inner_product(a_ft: Array, b_ft: Array) -> float:
    """Return the real-space dot product of two half spectra (Parseval), summed in double precision.

    Parameters
    ----------
    a_ft, b_ft : (..., D, D//2 + 1) complex arrays
        Of one shape; of images, of volumes, or of many.

    Returns
    -------
    float
        ``sum(m * Re(conj(a) * b))`` with m of `hermitian_weights`.

    Raises
    ------
    ValueError
        The shapes are different, or not those of half spectra.
    TypeError
        Array libraries are mixed, or an array is not complex.

    Examples
    --------
    >>> import numpy as np
    >>> a, b = np.random.default_rng(0).normal(size=(2, 5, 5))
    >>> np.isclose(inner_product(rfft2(a), rfft2(b)), np.vdot(a, b))
    np.True_
    """
    check_complex("a_ft", a_ft)
    check_complex("b_ft", b_ft)
    xp = array_namespace(a_ft, b_ft)
    _check_half("a_ft", a_ft, 2)
    check_shape("b_ft", b_ft, a_ft.shape)
    products = (a_ft.conj() * b_ft).real
    columns = products.reshape(-1, products.shape[-1]).sum(0, dtype=xp.float64)
    return float(columns @ hermitian_weights(a_ft.shape[-2], xp))


def hermitian_part(array_ft: Array, ndim: int) -> Array:
    """Project onto the half spectra of real arrays (orthogonally; the paper's footnote 3).

    Parameters
    ----------
    array_ft : (..., D, D//2 + 1) or (..., D, D, D//2 + 1) complex array
    ndim : {2, 3}
        The number of trailing axes that are transformed.

    Returns
    -------
    complex array of the same shape
        Unchanged but for the planes ``kx = 0`` and, for even D, ``kx = D/2``, where
        ``z(k)`` becomes ``(z(k) + conj(z(-k))) / 2``.

    Examples
    --------
    >>> import numpy as np
    >>> z = np.ones((3, 2)) * 1j
    >>> hermitian_part(z, 2).imag
    array([[0., 1.],
           [0., 1.],
           [0., 1.]])
    """
    check_complex("array_ft", array_ft)
    _check_half("array_ft", array_ft, ndim)
    result = array_ft.copy()
    axes = tuple(range(-ndim + 1, 0))
    xp = array_namespace(array_ft)
    planes = [0] if array_ft.shape[-2] % 2 else [0, -1]
    for plane in planes:
        own = array_ft[..., plane]
        mirrored = xp.roll(xp.flip(own, axes), 1, axes)
        result[..., plane] = (own + mirrored.conj()) / 2
    return result


def frequencies(size: int, ndim: int, xp: Any = np) -> tuple[Array, ...]:
    """Return the signed integer frequencies of a half spectrum as broadcastable arrays.

    Parameters
    ----------
    size : int
        Box D.
    ndim : int
        Number of dimensions.
    xp : module, optional
        Array library of the result.

    Returns
    -------
    tuple of float64 arrays
        ``(kx, ky)`` or ``(kx, ky, kz)``: x first, as everywhere for vectors. Nyquist of an
        even box is ``-D/2`` on the full axes and ``+D/2`` on x.

    Examples
    --------
    >>> kx, ky = frequencies(4, 2)
    >>> kx
    array([[0., 1., 2.]])
    >>> ky.ravel()
    array([ 0.,  1., -2., -1.])
    """
    check_size("size", size)
    full = xp.rint(xp.fft.fftfreq(size) * size)
    axes = [xp.arange(size // 2 + 1, dtype=xp.float64)] + [full] * (ndim - 1)
    return tuple(
        k.reshape((-1,) + (1,) * i) if i else k.reshape((1,) * (ndim - 1) + (-1,))
        for i, k in enumerate(axes)
    )


def radii(size: int, ndim: int, xp: Any = np) -> Array:
    """Return ``|k|`` of every stored frequency.

    Examples
    --------
    >>> radii(3, 2).round(3)
    array([[0.   , 1.   ],
           [1.   , 1.414],
           [1.   , 1.414]])
    """
    return xp.sqrt(sum(k**2 for k in frequencies(size, ndim, xp)))


def shells(size: int, ndim: int, xp: Any = np) -> Array:
    """Return the shell index ``round(|k|)`` of every stored frequency.

    Examples
    --------
    >>> shells(4, 2)
    array([[0, 1, 2],
           [1, 1, 2],
           [2, 2, 3],
           [1, 1, 2]])
    """
    return xp.rint(radii(size, ndim, xp)).astype(xp.int64)


def shell_sum(values: Array, size: int, ndim: int) -> Array:
    """Sum real values of a half spectrum over shells, each frequency by its Hermitian weight.

    Parameters
    ----------
    values : (D, ..., D//2 + 1) real array
    size : int
        Box D.
    ndim : int
        Number of dimensions of `values`.

    Returns
    -------
    (D//2 + 1,) float64 array
        Shells 0 to ``D // 2``; the corners beyond belong to no shell.

    Examples
    --------
    >>> import numpy as np
    >>> shell_sum(np.ones((4, 3)), 4, 2)  # how many frequencies of the full plane
    array([1., 8., 6.])
    """
    xp = array_namespace(values)
    weighted = (values * hermitian_weights(size, xp)).ravel()
    index = xp.minimum(shells(size, ndim, xp).ravel(), size // 2 + 1)
    return xp.bincount(index, weights=weighted, minlength=size // 2 + 2)[: size // 2 + 1]


def pad(array: Array, size: int, ndim: int) -> Array:
    """Zero-pad the trailing `ndim` axes to `size` about the origin ``D // 2``.

    Examples
    --------
    >>> import numpy as np
    >>> pad(np.array([1.0, 2.0, 3.0]), 6, 1)
    array([0., 0., 1., 2., 3., 0.])
    """
    before = size // 2 - array.shape[-1] // 2
    after = size - array.shape[-1] - before
    widths = [(0, 0)] * (array.ndim - ndim) + [(before, after)] * ndim
    return array_namespace(array).pad(array, widths)


def crop(array: Array, size: int, ndim: int) -> Array:
    """Cut the trailing `ndim` axes to `size` about the origin: the adjoint of `pad`.

    Examples
    --------
    >>> import numpy as np
    >>> crop(np.array([0.0, 0.0, 1.0, 2.0, 3.0, 0.0]), 3, 1)
    array([1., 2., 3.])
    """
    start = array.shape[-1] // 2 - size // 2
    return array[(..., *[slice(start, start + size)] * ndim)]
