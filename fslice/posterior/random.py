"""Random half spectra of real arrays: white noise, and probes of unit modulus."""

from __future__ import annotations

from typing import Any

import numpy as np

from fslice._arrays import Array, array_namespace, real_dtype
from fslice.fourier import transform


def white_noise(like: Array, rng: Any) -> Array:
    """Return the half spectrum of a real cube of white noise of variance 1.

    Parameters
    ----------
    like : (D, D, D//2 + 1) complex array
        Gives shape, library and precision.
    rng : numpy.random.Generator
        Draws on the host, so that equal seeds give equal noise in every library.
    """
    xp, dtype = array_namespace(like), real_dtype(like.dtype)
    white = rng.standard_normal((like.shape[0],) * like.ndim, dtype=dtype)
    return transform(xp.asarray(white), like.ndim)


def unit_probe(like: Array, rng: np.random.Generator) -> Array:
    """Return a half spectrum of modulus 1 and random phase: for traces, ``E <z, M z> = tr M``."""
    noise = white_noise(like, rng)
    return noise / abs(noise)
