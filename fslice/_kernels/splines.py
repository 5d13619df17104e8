"""The interpolation kernels: weights of the taps around a sample, and their derivatives.

The weight of each tap is a polynomial in the fraction ``f`` in [0, 1): its coefficients,
lowest power first, are here, and `weights` evaluates them for arrays.
"""

from __future__ import annotations

WEIGHTS = {
    2: ((1.0, -1.0), (0.0, 1.0)),  # taps 0 and 1 (the paper's eq. 5)
    4: (  # taps -1 to 2 of the cubic B-spline
        (1 / 6, -1 / 2, 1 / 2, -1 / 6),
        (2 / 3, 0.0, -1.0, 1 / 2),
        (1 / 6, 1 / 2, 1 / 2, -1 / 2),
        (0.0, 0.0, 0.0, 1 / 6),
    ),
}
SLOPES = {
    taps: tuple(tuple(power * c for power, c in enumerate(row))[1:] for row in polynomials)
    for taps, polynomials in WEIGHTS.items()
}
"""The derivatives of the polynomials (for two taps the paper's eq. 7)."""

CURVATURES = {
    taps: tuple(tuple(c * power for power, c in enumerate(row))[1:] or (0.0,) for row in slopes)
    for taps, slopes in SLOPES.items()
}
"""Their second derivatives."""


def evaluate(polynomial, f):
    """Return a polynomial's value at every ``f`` (Horner's rule), in the precision of `f`."""
    value = f * 0 + polynomial[-1]
    for coefficient in polynomial[-2::-1]:
        value = value * f + coefficient
    return value
