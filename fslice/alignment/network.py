"""A network of affine maps and rectifiers that gives probabilities, and its gradient by hand."""

from __future__ import annotations

import itertools
import math
from typing import NamedTuple

import numpy as np

from fslice._arrays import Array, array_namespace

LOWEST = -60.0
"""Exponents below it count as this: no denormal numbers, which are slow."""


class Layer(NamedTuple):
    """An affine map ``x W + b``; between layers negative values become 0."""

    weights: Array
    """(inputs, outputs) real."""
    bias: Array
    """(outputs,) real."""


def log_probabilities(layers: tuple[Layer, ...], features: Array) -> Array:
    """Return the log probability of each cell, (n, G).

    Examples
    --------
    >>> even = (Layer(np.zeros((3, 4)), np.zeros(4)),)
    >>> np.exp(log_probabilities(even, np.ones((1, 3))))
    array([[0.25, 0.25, 0.25, 0.25]])
    """
    return _log_softmax(_activations(layers, features)[-1])


def cross_entropy(layers: tuple[Layer, ...], features: Array, targets: Array) -> float:
    """Return the mean over images of ``-sum_g target_g log p_g``, in nats.

    Parameters
    ----------
    layers : tuple of Layer
    features : (n, F) real array
    targets : (n, G) real array
        Not negative; the sum over an image is one.
    """
    return float(-(targets * log_probabilities(layers, features)).sum(1).mean())


def cross_entropy_vjp(
    layers: tuple[Layer, ...], features: Array, targets: Array
) -> tuple[float, tuple[Layer, ...]]:
    """Return `cross_entropy` and its gradient in all layers.

    Notes
    -----
    With z the last layer's values the gradient there is ``(softmax(z) - target) / n``; back
    through a layer ``y = max(x, 0) W + b`` it is ``max(x, 0)^T g`` in W, ``sum g`` in b, and
    ``g W^T`` where x is positive, 0 elsewhere, in x.
    """
    values = _activations(layers, features)
    log_p = _log_softmax(values[-1])
    xp = array_namespace(log_p)
    loss = float(-(targets * log_p).sum(1).mean())
    gradient = (xp.exp(log_p) - targets) / len(features)
    found = []
    for index in range(len(layers) - 1, -1, -1):
        entered = _entered(values, index)
        found.append(Layer(entered.T @ gradient, gradient.sum(0)))
        if index:
            gradient = (gradient @ layers[index].weights.T) * (values[index] > 0)
    return loss, tuple(reversed(found))


def first_layers(
    widths: tuple[int, ...], rng: np.random.Generator, like: Array
) -> tuple[Layer, ...]:
    """Draw weights that keep the variance through rectified layers (He et al. 2015)."""
    xp = array_namespace(like)
    return tuple(
        Layer(
            xp.asarray(rng.normal(scale=math.sqrt(2 / before), size=(before, after)), like.dtype),
            xp.zeros(after, like.dtype),
        )
        for before, after in itertools.pairwise(widths)
    )


def _activations(layers: tuple[Layer, ...], features: Array) -> list[Array]:
    """Return the features, and what each layer gives, before negative values become 0."""
    values = [features]
    for index, layer in enumerate(layers):
        values.append(_entered(values, index) @ layer.weights + layer.bias)
    return values


def _entered(values: list[Array], index: int) -> Array:
    """Return what enters a layer."""
    return array_namespace(values[0]).maximum(values[index], 0) if index else values[0]


def _log_softmax(values: Array) -> Array:
    xp = array_namespace(values)
    shifted = xp.maximum(values - values.max(1, keepdims=True), LOWEST)
    return shifted - xp.log(xp.exp(shifted).sum(1, keepdims=True))


def flatten(layers: tuple[Layer, ...]) -> Array:
    """Return all weights and biases in one row, as an optimiser takes them."""
    xp = array_namespace(layers[0].bias)
    return xp.concatenate([array.reshape(-1) for layer in layers for array in layer])


def unflatten(flat: Array, like: tuple[Layer, ...]) -> tuple[Layer, ...]:
    """Return the layers of a row that `flatten` made of such layers."""
    found, start = [], 0
    for layer in like:
        arrays = []
        for array in layer:
            arrays.append(flat[start : start + array.size].reshape(array.shape))
            start += array.size
        found.append(Layer(*arrays))
    return tuple(found)
