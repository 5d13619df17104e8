"""Projections and linear operators that JAX differentiates, outside and inside of ``jit``.

Outside of ``jit``, NumPy reads JAX's arrays where they lie, or CuPy those on a GPU. Traced, a
function gets no numbers yet, and JAX calls back when it has them, with copies to the host, where
NumPy computes. JAX is imported with this module:
``pip install jax``. Double precision needs ``jax.config.update("jax_enable_x64", True)``.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any, TypeAlias

import jax
import jax.numpy as jnp
import numpy as np

from fslice._arrays import array_namespace
from fslice._devices import gpu_library
from fslice.fourier import hermitian_weights
from fslice.operators.ctf import CTF
from fslice.operators.linop import LinearOperator
from fslice.operators.projector import Projector

Array: TypeAlias = Any
"""A `jax.Array`."""


def project(
    projector: Projector,
    volume: Array,
    rotations: Array,
    shifts: Array | None = None,
    ctf: CTF | Array | None = None,
) -> Array:
    """Project a volume, as `Projector.project`, with gradients in every array.

    Parameters
    ----------
    projector : Projector
    volume : (D, D, D) array, float32 or float64
    rotations : (..., 3, 3) array
        Image to volume coordinates, in the volume's precision.
    shifts : (..., 2) array, optional
        (x, y) in pixels.
    ctf : CTF, or (..., D, D//2 + 1) real array, optional
        The values of an array have a gradient too; a `CTF` is constant.

    Returns
    -------
    (..., D, D) array

    Raises
    ------
    ValueError, TypeError
        As `Projector.project`.

    Notes
    -----
    With linear interpolation the gradient in rotations has kinks, on which differences disagree
    with every gradient; the cubic kernel is smooth. Gradients are first order only.

    Examples
    --------
    >>> volume, rotations = jnp.zeros((8, 8, 8)), jnp.eye(3)[None]
    >>> jax.grad(lambda v: project(Projector(8), v, rotations).sum())(volume).shape
    (8, 8, 8)
    """
    values, constant = (None, ctf) if ctf is None or isinstance(ctf, CTF) else (ctf, None)
    return _project(projector, constant, volume, rotations, shifts, values)


def apply(operator: LinearOperator, x: Array) -> Array:
    """Apply a linear operator between real arrays, with gradients of every order.

    The gradient of a linear map is its adjoint: no other rule is needed.

    Parameters
    ----------
    operator : LinearOperator
        Between spaces of real arrays.
    x : array of the operator's domain

    Returns
    -------
    array of the operator's range

    Raises
    ------
    TypeError
        A space of the operator is complex: JAX's gradient of a half spectrum is another one
        than that of this library, counts every stored number once, and is the conjugate.

    Examples
    --------
    >>> from fslice.operators.linop import identity
    >>> from fslice.operators.spaces import Space
    >>> apply(3 * identity(Space((2,), "float32")), jnp.ones(2))
    Array([3., 3.], dtype=float32)
    """
    for name, space in (("domain", operator.domain), ("range", operator.range)):
        if np.dtype(space.dtype).kind == "c":
            raise TypeError(f"operator: expected a {name} of real arrays, got {space.dtype}")
    return _apply(operator, x)


@partial(jax.custom_vjp, nondiff_argnums=(0, 1))
def _project(projector, constant, volume, rotations, shifts, values):
    images = (*rotations.shape[:-2], *[projector.size] * (rotations.shape[-1] - 1))

    def forward(volume, rotations, shifts, values):
        return projector.project(volume, rotations, shifts, constant if values is None else values)

    return _call(forward, _like(volume, images), volume, rotations, shifts, values)


def _project_forward(projector, constant, *arrays):
    return _project(projector, constant, *arrays), arrays


def _project_backward(projector, constant, saved, cotangent):
    def gradients(volume, rotations, shifts, values, cotangent):
        found = projector.project_vjp(
            volume,
            rotations,
            shifts=shifts,
            ctf=constant if values is None else values,
            cotangent=cotangent,
        )
        if values is None:
            return (*found[:3], None)
        # JAX counts every stored value once, this library as often as it stands in the full plane
        xp = array_namespace(values)
        pairs = hermitian_weights(projector.size, xp).astype(values.dtype)
        return (*found[:3], found.ctf * pairs)

    return _call(gradients, jax.tree.map(_like, saved), *saved, cotangent)


_project.defvjp(_project_forward, _project_backward)


@partial(jax.custom_vjp, nondiff_argnums=(0,))
def _apply(operator, x):
    return _call(operator, _like(x, operator.range.shape), x)


_apply.defvjp(
    lambda operator, x: (_apply(operator, x), None),
    lambda operator, _, cotangent: (_apply(operator.H, cotangent),),
)


def _call(function: Callable[..., Any], shapes: Any, *arrays: Any) -> Any:
    """Call a function of NumPy's or CuPy's arrays with JAX arrays, traced or not."""
    if any(isinstance(array, jax.core.Tracer) for array in arrays):
        back = partial(_through_dlpack, np, function)
        return jax.pure_callback(back, shapes, *arrays, vmap_method="sequential")
    leaves = jax.tree.leaves(arrays)
    places = [place for leaf in leaves for place in getattr(leaf, "devices", set)()]
    on_gpu = [place for place in places if place.platform != "cpu"]
    if not on_gpu:
        return jax.tree.map(jnp.from_dlpack, _through_dlpack(np, function, *arrays))
    cupy = gpu_library()
    # NumPy's arrays, as which JAX may give a cotangent, follow the others
    arrays = jax.tree.map(
        lambda leaf: leaf if hasattr(leaf, "devices") else jax.device_put(leaf, on_gpu[0]), arrays
    )
    with cupy.cuda.Device(jax.tree.leaves(arrays)[0].__dlpack_device__()[1]):
        results = jax.tree.map(jnp.from_dlpack, _through_dlpack(cupy, function, *arrays))
        # JAX may use the memory of its arrays again, on a stream that CuPy does not know
        cupy.cuda.get_current_stream().synchronize()
        return results


def _through_dlpack(xp: Any, function: Callable[..., Any], *arrays: Any) -> Any:
    results = function(*jax.tree.map(xp.from_dlpack, arrays))
    return jax.tree.map(xp.ascontiguousarray, results)  # JAX takes no other


def _like(array: Any, shape: tuple[int, ...] | None = None) -> jax.ShapeDtypeStruct:
    """Describe an array to JAX."""
    return jax.ShapeDtypeStruct(array.shape if shape is None else shape, array.dtype)
