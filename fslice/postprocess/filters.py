"""Filters of maps: low-pass, B-factor, and phases replaced by random ones."""

from __future__ import annotations

import math

import numpy as np

from fslice._arrays import Array, array_namespace, check_real, check_shape, check_size, real_dtype
from fslice.fourier import irfft3, radii, rfft3, shells


def low_pass(volume: Array, pixel_size: float, resolution: float, *, edge: float = 0.2) -> Array:
    """Remove the frequencies beyond a resolution, with a cosine edge.

    Parameters
    ----------
    volume : (D, D, D) real array
    pixel_size : float
        In Angstrom.
    resolution : float
        In Angstrom: what has this period passes by half.
    edge : float, optional
        Width of the fall from 1 to 0, relative to the cutoff frequency: from above 0 to 2. A
        narrow edge rings.

    Returns
    -------
    (D, D, D) real array
        In the precision of `volume`.

    Raises
    ------
    ValueError
        The volume is no cube, or a number is out of its range.

    Examples
    --------
    A wave of 4 Angstrom is removed at 8 Angstrom, the mean stays:

    >>> volume = 1 + np.cos(np.pi / 2 * np.arange(8)) * np.ones((8, 8, 8))
    >>> np.allclose(low_pass(volume, 1.0, 8.0), 1)
    True
    """
    _check_lengths(pixel_size=pixel_size, resolution=resolution)
    if not 0 < edge <= 2:
        raise ValueError(f"edge: expected above 0 and at most 2, got {edge:g}")
    size = check_cube("volume", volume)
    relative = radii(size, 3, array_namespace(volume)) * (resolution / (size * pixel_size))
    return _multiplied(volume, cosine_fall((relative - 1 + edge / 2) / edge))


def apply_b_factor(volume: Array, pixel_size: float, b_factor: float) -> Array:
    """Multiply the spectrum by ``exp(-B |s|^2 / 4)``: blur, or sharpen by a negative B-factor.

    Parameters
    ----------
    volume : (D, D, D) real array
    pixel_size : float
        In Angstrom.
    b_factor : float
        B in Angstrom squared; the frequency s is in 1/Angstrom.

    Returns
    -------
    (D, D, D) real array
        In the precision of `volume`.

    Raises
    ------
    ValueError
        The volume is no cube, or a number is out of its range.

    Examples
    --------
    >>> volume = np.random.default_rng(0).normal(size=(6, 6, 6))
    >>> np.allclose(apply_b_factor(apply_b_factor(volume, 2.0, 30.0), 2.0, -30.0), volume)
    True
    """
    _check_lengths(pixel_size=pixel_size)
    if not math.isfinite(b_factor):
        raise ValueError(f"b_factor: expected a finite number of Angstrom squared, got {b_factor}")
    size = check_cube("volume", volume)
    xp = array_namespace(volume)
    square = (radii(size, 3, xp) / (size * pixel_size)) ** 2
    return _multiplied(volume, xp.exp(-b_factor / 4 * square))


def phase_randomize(volume: Array, first_shell: int, rng: np.random.Generator) -> Array:
    """Replace the phases from a shell on by those of white noise; amplitudes stay.

    Parameters
    ----------
    volume : (D, D, D) real array
    first_shell : int
        The first shell ``round(|k|)`` whose phases are replaced; the corners beyond shell
        ``D // 2`` are among them.
    rng : numpy.random.Generator
        The noise is drawn on the host, and is the same for every array library.

    Returns
    -------
    (D, D, D) real array
        In the precision of `volume`.

    Raises
    ------
    ValueError
        The volume is no cube, or `first_shell` is below 0.
    TypeError
        `rng` is no generator.

    Notes
    -----
    Each coefficient from the shell on becomes ``|V(k)| N(k) / |N(k)|`` where N is the
    spectrum of real white noise, so that the result is real (Chen et al. 2013).

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> volume = rng.normal(size=(8, 8, 8))
    >>> random = phase_randomize(volume, 2, rng)
    >>> np.allclose(abs(rfft3(random)), abs(rfft3(volume)))
    True
    """
    if not isinstance(rng, np.random.Generator):
        raise TypeError(f"rng: expected a numpy.random.Generator, got {type(rng).__name__}")
    size, first = check_cube("volume", volume), check_size("first_shell", first_shell, 0)
    xp = array_namespace(volume)
    noise_ft = rfft3(xp.asarray(rng.standard_normal((size,) * 3)))
    phases = noise_ft / xp.where(noise_ft == 0, 1, abs(noise_ft))
    volume_ft = rfft3(volume.astype(np.float64))
    randomized = xp.where(shells(size, 3, xp) >= first, abs(volume_ft) * phases, volume_ft)
    return irfft3(randomized).astype(volume.dtype)


def cosine_fall(position: Array) -> Array:
    """Return 1 up to position 0, 0 from position 1 on, and a half cosine between them.

    Examples
    --------
    >>> cosine_fall(np.array([-3.0, 0.0, 0.5, 1.0, 2.0])).round(12)
    array([1. , 1. , 0.5, 0. , 0. ])
    """
    xp = array_namespace(position)
    return (1 + xp.cos(np.pi * xp.clip(position, 0, 1))) / 2


def check_cube(name: str, volume: Array) -> int:
    """Return the box D of a real cube, or raise.

    Examples
    --------
    >>> check_cube("volume", np.zeros((4, 4, 5)))
    Traceback (most recent call last):
    ...
    ValueError: volume: expected shape (4, 4, 4), got (4, 4, 5)
    """
    check_real(name, volume)
    size = volume.shape[0] if volume.ndim else "D"
    check_shape(name, volume, (size, size, size))
    return int(size)


def _multiplied(volume: Array, factors: Array) -> Array:
    """Return the volume whose spectrum is multiplied by real factors."""
    return irfft3(rfft3(volume) * factors.astype(real_dtype(volume.dtype)))


def _check_lengths(**lengths: float) -> None:
    for name, length in lengths.items():
        if not 0 < length < math.inf:
            raise ValueError(f"{name}: expected Angstrom above 0, got {length:g}")
