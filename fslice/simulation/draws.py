"""What a simulation draws at random, each from its own stream of one seed."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import numpy as np

from fslice._arrays import Array, array_namespace, check_size
from fslice._threads import available_cpus
from fslice.geometry import random_rotations, rotations_in_cone
from fslice.operators.ctf import CTF

DEFOCUS_RANGE = (10_000.0, 25_000.0)
"""A usual range of underfocus, in Angstrom."""

_POSES, _SHIFTS, _CTFS, _NOISE = range(4)
"""Independent streams of random numbers from one seed."""


def draw_rotations(n: int, cone: float | None, seed: int) -> np.ndarray:
    """Draw rotations, uniform or with directions in a cone of this full angle in degrees."""
    rng = _generator(seed, _POSES)
    if cone is None:
        return random_rotations(n, rng)
    if not 0 <= cone <= 360:
        raise ValueError(f"cone: expected an angle of 0 to 360 degrees, got {cone:g}")
    return rotations_in_cone(n, cone / 2, rng)


def draw_shifts(n: int, deviation: float, seed: int) -> np.ndarray:
    """Draw normal shifts of this standard deviation in pixels, (n, 2)."""
    if not (np.isfinite(deviation) and deviation >= 0):
        raise ValueError(f"shift_std: expected pixels of at least 0, got {deviation:g}")
    return _generator(seed, _SHIFTS).normal(scale=deviation, size=(n, 2))


def draw_ctf(n: int, pixel_size: float, defocus: tuple[float, float], seed: int) -> CTF:
    """Draw from the seed's own stream what `random_ctf` draws."""
    return random_ctf(n, pixel_size, _generator(seed, _CTFS), defocus=defocus)


def random_ctf(
    n: int,
    pixel_size: float,
    rng: np.random.Generator,
    *,
    defocus: tuple[float, float] = DEFOCUS_RANGE,
    astigmatism: float = 300.0,
    voltage: float = 300.0,
    spherical_aberration: float = 2.7,
    amplitude_contrast: float = 0.1,
    like: Array | None = None,
) -> CTF:
    """Draw contrast transfer functions from a range of defocus.

    Parameters
    ----------
    n : int
        How many.
    pixel_size : float
        Angstrom.
    rng : numpy.random.Generator
    defocus : (lowest, highest), optional
        Underfocus in Angstrom; the mean of U and V is uniform between them.
    astigmatism : float, optional
        Root mean square in Angstrom of U - V; the angle is uniform.
    voltage : float, optional
        kV.
    spherical_aberration : float, optional
        Millimetres.
    amplitude_contrast : float, optional
    like : array, optional
        Give the parameters its library and device; they are of double precision always.

    Returns
    -------
    CTF

    Raises
    ------
    ValueError
        `defocus` is not an increasing pair of finite numbers, or `astigmatism` is negative.

    Examples
    --------
    >>> ctf = random_ctf(3, 2.8, np.random.default_rng(0), defocus=(8000, 9000))
    >>> bool((8000 <= (ctf.defocus_u + ctf.defocus_v) / 2).all())
    True
    """
    n = check_size("n", n)
    if not (len(defocus) == 2 and np.isfinite(defocus).all() and defocus[0] <= defocus[1]):
        raise ValueError(f"defocus: expected (lowest, highest) in Angstrom, got {defocus}")
    if not (np.isfinite(astigmatism) and astigmatism >= 0):
        raise ValueError(f"astigmatism: expected Angstrom of at least 0, got {astigmatism:g}")
    mean = rng.uniform(*defocus, n)
    half = rng.normal(scale=astigmatism / 2, size=n)
    ctf = CTF(
        defocus_u=mean + np.abs(half),
        defocus_v=mean - np.abs(half),
        astigmatism_angle=rng.uniform(0, 180, n),
        voltage=voltage,
        spherical_aberration=spherical_aberration,
        amplitude_contrast=amplitude_contrast,
        pixel_size=pixel_size,
    )
    return ctf if like is None else ctf.to(array_namespace(like))


def add_noise(images: np.ndarray, deviation: float, seed: int, first: int = 0) -> None:
    """Add white Gaussian noise in place, on every core.

    Each image has its own stream of random numbers, named by the seed and its number (the
    first one's is `first`), so neither portions nor threads change a bit.
    """

    def add(index: int) -> None:
        noise = _generator(seed, _NOISE, first + index).standard_normal(
            images.shape[1:], images.dtype
        )
        noise *= deviation
        images[index] += noise

    with ThreadPoolExecutor(available_cpus()) as pool:
        list(pool.map(add, range(len(images))))


def _generator(seed: int, *stream: int) -> np.random.Generator:
    return np.random.Generator(np.random.SFC64(np.random.SeedSequence(seed, spawn_key=stream)))
