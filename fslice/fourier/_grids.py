"""Grids of frequencies, sums over shells, boxes of another size."""

from __future__ import annotations

from typing import Any

import numpy as np

from fslice._arrays import Array, array_namespace, check_size
from fslice._large import cached_parts
from fslice._sums import group_sums
from fslice.fourier._half_spectra import hermitian_weights


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


def shell_sum(values: Array, size: int, ndim: int, *, corners: bool = False) -> Array:
    """Sum real values of half spectra over shells, each frequency by its Hermitian weight.

    Parameters
    ----------
    values : (..., D, ..., D//2 + 1) real array
    size : int
        Box D.
    ndim : int
        Number of dimensions of one half spectrum.
    corners : bool, optional
        Whether the last shell takes what lies beyond it too.

    Returns
    -------
    (..., D//2 + 1) float64 array
        Shells 0 to ``D // 2``; without `corners`, what lies beyond belongs to no shell.

    Examples
    --------
    >>> import numpy as np
    >>> shell_sum(np.ones((4, 3)), 4, 2)  # how many frequencies of the full plane
    array([1., 8., 6.])
    >>> shell_sum(np.ones((4, 3)), 4, 2, corners=True)
    array([1., 8., 7.])
    """
    xp = array_namespace(values)
    leading = values.shape[: values.ndim - ndim]
    spectra = values.reshape(-1, *values.shape[values.ndim - ndim :])
    columns = size // 2 + 1 if corners else size // 2 + 2
    rows = columns * xp.arange(len(spectra))[:, None]
    *others, first = (xp.rint(k**2).astype(xp.int64) for k in frequencies(size, ndim, xp))
    distance = xp.sqrt(xp.arange(ndim * (size // 2) ** 2 + 1))
    shell = xp.minimum(xp.rint(distance).astype(xp.int64), columns - 1)  # by squares
    weights, sums = hermitian_weights(size, xp), xp.zeros(len(spectra) * columns)
    for part in cached_parts(spectra[0]) if len(spectra) else ():
        index = shell[sum(others, first[part])].ravel()
        weighted = (spectra[:, part] * weights).ravel()
        sums += group_sums((rows + index).ravel(), weighted, len(sums))
    return sums.reshape(*leading, columns)[..., : size // 2 + 1]


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
