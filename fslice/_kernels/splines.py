"""The interpolation kernels: weights of the taps around a sample, and their derivatives.

Plain arithmetic on the fraction ``f`` in [0, 1), so that the same lines serve arrays and
compiled scalars.
"""


def linear_weights(f):
    """Return the weights of taps 0 and 1 (the paper's eq. 5)."""
    return 1 - f, f


def linear_slopes(f):
    """Return the derivatives of `linear_weights` (the paper's eq. 7)."""
    return f * 0 - 1, f * 0 + 1


def cubic_weights(f):
    """Return the weights of taps -1 to 2 of the cubic B-spline."""
    g = 1 - f
    f3 = f * f * f
    g3 = g * g * g
    middle = (4 - 6 * f * f + 3 * f3) / 6
    return g3 / 6, middle, 1 - middle - (f3 + g3) / 6, f3 / 6


def cubic_slopes(f):
    """Return the derivatives of `cubic_weights`."""
    g = 1 - f
    middle = (1.5 * f - 2) * f
    return -g * g / 2, middle, -middle - (f * f - g * g) / 2, f * f / 2
