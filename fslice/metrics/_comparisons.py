"""What is said of many maps or images: bands of curves, errors, halves."""

from __future__ import annotations

import numpy as np

from fslice._arrays import (
    Array,
    array_namespace,
    check_finite,
    check_real,
    check_shape,
    check_size,
)


def credible_band(curves: Array, level: float = 0.95) -> tuple[Array, Array]:
    """Return where a share of the curves of posterior samples lies, shell by shell.

    Parameters
    ----------
    curves : (K, D//2 + 1) real array
        One curve for each sample, as from `fslice.posterior.samples.predicted_fsc`.
    level : float, optional
        The share, between 0 and 1.

    Returns
    -------
    low, high : (D//2 + 1,) float64 arrays
        The quantiles ``(1 - level) / 2`` and ``(1 + level) / 2``; of few samples, hardly more
        than the smallest and the largest.

    Raises
    ------
    ValueError
        The shape is not as above, a value is not finite, or `level` is out of range.

    Examples
    --------
    >>> low, high = credible_band(np.linspace(0, 1, 101)[:, None] * np.ones(3), 0.9)
    >>> low.round(2), high.round(2)
    (array([0.05, 0.05, 0.05]), array([0.95, 0.95, 0.95]))
    """
    check_real("curves", curves)
    check_shape("curves", curves, ("K", "S"))
    check_finite("curves", curves)
    if not 0 < level < 1:
        raise ValueError(f"level: expected a value between 0 and 1, got {level}")
    xp = array_namespace(curves)
    low, high = (xp.quantile(curves, (1 + side * level) / 2, axis=0) for side in (-1, 1))
    return low, high


def mean_squared_error(a: Array, b: Array) -> float:
    """Return the mean of ``(a - b)^2`` over all voxels, accumulated in double precision.

    Parameters
    ----------
    a, b : real array
        Of one shape; their precisions may differ.

    Returns
    -------
    float
        In the square of the arrays' unit.

    Raises
    ------
    ValueError
        The shapes differ.
    TypeError
        An array is not real, or array libraries are mixed.

    Examples
    --------
    >>> mean_squared_error(np.zeros((2, 2, 2)), np.full((2, 2, 2), 3.0))
    9.0
    """
    check_real("a", a)
    check_real("b", b)
    array_namespace(a, b)
    check_shape("b", b, a.shape)
    return float(((a.astype(np.float64) - b) ** 2).mean())


def split_half_sets(n: int, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Split n images at random into two halves, as for a half-map correlation.

    Parameters
    ----------
    n : int
        Number of images, at least 2.
    rng : numpy.random.Generator

    Returns
    -------
    (n - n//2,) int64 array, (n//2,) int64 array
        Indices in ascending order: disjoint, and together complete.

    Examples
    --------
    >>> first, second = split_half_sets(5, np.random.default_rng(0))
    >>> sorted([*first.tolist(), *second.tolist()])
    [0, 1, 2, 3, 4]
    """
    if not isinstance(rng, np.random.Generator):
        raise TypeError(f"rng: expected a numpy.random.Generator, got {type(rng).__name__}")
    order = rng.permutation(check_size("n", n, minimum=2))
    middle = n - n // 2
    return np.sort(order[:middle]), np.sort(order[middle:])
