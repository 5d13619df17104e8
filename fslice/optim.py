"""Adam, as pure functions on a small state."""

from __future__ import annotations

from typing import NamedTuple

from fslice._arrays import Array, array_namespace, check_alike, check_array, check_shape


class AdamState(NamedTuple):
    """What Adam remembers from step to step; see `adam_init` and `adam_update`."""

    count: int  # type: ignore[assignment]  # the tuple's own method `count` is not needed
    """Number of updates so far."""
    first: Array
    """Running mean of the gradient, as the parameters."""
    second: Array
    """Running mean of ``|gradient|^2``, real."""


def adam_init(parameters: Array) -> AdamState:
    """Return the state before the first update.

    Parameters
    ----------
    parameters : real or complex floating array
        What will be optimised; only its shape, dtype, library and device are used.

    Returns
    -------
    AdamState

    Raises
    ------
    TypeError
        Not an array of floating-point numbers.

    Examples
    --------
    >>> import numpy as np
    >>> adam_init(np.zeros(2))
    AdamState(count=0, first=array([0., 0.]), second=array([0., 0.]))
    """
    check_array("parameters", parameters)
    xp = array_namespace(parameters)
    if parameters.dtype.kind not in "fc":
        raise TypeError(
            f"parameters: expected a real or complex floating dtype, got {parameters.dtype}"
        )
    first = xp.zeros_like(parameters)
    return AdamState(0, first, xp.zeros_like(first.real))


def adam_update(
    gradient: Array,
    state: AdamState,
    *,
    beta1: float = 0.9,
    beta2: float = 0.999,
    epsilon: float = 1e-8,
) -> tuple[Array, AdamState]:
    """Return the direction of the next step, and the state after it.

    Parameters
    ----------
    gradient : array like the parameters
        Of the function to be made smaller; with respect to a half spectrum it is the half
        spectrum of the gradient with respect to the real array.
    state : AdamState
        Left as it is.
    beta1, beta2 : float, optional
        Decay of the running means of gradient and squared magnitude, from 0 to below 1.
    epsilon : float, optional
        Positive; added to the root of the second moment. Directions do not depend on the
        scale of gradients that are much larger than this.

    Returns
    -------
    direction : array like the parameters
        Step by ``parameters - rate * direction``. Its entries are about 1 in magnitude while
        the gradients agree with each other, and small where they do not.
    state : AdamState

    Raises
    ------
    ValueError
        The gradient has not the shape of the parameters, or a constant is out of range.
    TypeError
        Array libraries are mixed, precisions differ, or one of gradient and parameters is
        complex and the other is not.

    Notes
    -----
    With t updates, ``m = beta1 m + (1 - beta1) g`` and ``v = beta2 v + (1 - beta2) |g|^2``:
    direction ``(m / (1 - beta1^t)) / (sqrt(v / (1 - beta2^t)) + epsilon)`` (Kingma and Ba,
    "Adam: a method for stochastic optimization", 2015). A complex entry has one second
    moment, so that a shift of the volume, which turns the phases of its spectrum and of the
    gradients alike, turns the phases of the directions likewise.

    Examples
    --------
    The first direction is the sign, or the phase, of the gradient:

    >>> import numpy as np
    >>> direction, state = adam_update(np.array([3.0, -0.1]), adam_init(np.zeros(2)))
    >>> direction.round(6)
    array([ 1., -1.])
    >>> state.count
    1
    """
    _check(gradient, state, beta1, beta2, epsilon)
    xp = array_namespace(gradient)
    count = state.count + 1
    first = beta1 * state.first
    first += (1 - beta1) * gradient
    second = beta2 * state.second
    second += (1 - beta2) * _squared_magnitude(gradient)
    scale = xp.sqrt(second / (1 - beta2**count))
    scale += epsilon
    scale *= 1 - beta1**count
    return first * (1 / scale), AdamState(count, first, second)


def _squared_magnitude(gradient: Array) -> Array:
    if gradient.dtype.kind == "c":
        return gradient.real**2 + gradient.imag**2
    return gradient**2


def _check(gradient: Array, state: AdamState, beta1: float, beta2: float, epsilon: float) -> None:
    check_alike(gradient=gradient, parameters=state.first)
    check_shape("gradient", gradient, state.first.shape)
    if gradient.dtype != state.first.dtype:
        raise TypeError(f"gradient: expected dtype {state.first.dtype}, got {gradient.dtype}")
    for name, beta in (("beta1", beta1), ("beta2", beta2)):
        if not 0 <= beta < 1:
            raise ValueError(f"{name}: expected a number from 0 to below 1, got {beta}")
    if not epsilon > 0:
        raise ValueError(f"epsilon: expected a positive number, got {epsilon}")
