"""Projections and linear operators that PyTorch differentiates, on the CPU or on a GPU.

DLPack lets both sides read the same memory, so that no array is copied. Tensors on a GPU are
computed by CuPy, on PyTorch's current stream. PyTorch is imported with this module:
``pip install torch``.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping
from typing import Any, TypeAlias

import numpy as np
import torch
from torch.autograd.function import once_differentiable

from fslice._arrays import Array, array_namespace
from fslice._devices import gpu_library
from fslice.fourier import hermitian_weights
from fslice.operators.ctf import CTF
from fslice.operators.linop import LinearOperator
from fslice.operators.projector import Projector

Tensor: TypeAlias = Any
"""A `torch.Tensor`."""


def project(
    projector: Projector,
    volume: Tensor,
    rotations: Tensor,
    shifts: Tensor | None = None,
    ctf: CTF | Tensor | None = None,
) -> Tensor:
    """Project a volume, as `Projector.project`, with gradients in every tensor.

    Parameters
    ----------
    projector : Projector
    volume : (D, D, D) tensor, float32 or float64
    rotations : (..., 3, 3) tensor
        Image to volume coordinates, in the volume's precision.
    shifts : (..., 2) tensor, optional
        (x, y) in pixels.
    ctf : CTF, or (..., D, D//2 + 1) real tensor, optional
        The values of a tensor have a gradient too, PyTorch's (see `project_ft`); a `CTF` is
        constant.

    Returns
    -------
    (..., D, D) tensor

    Raises
    ------
    TypeError
        An argument is no tensor, or they are not all on the CPU or one GPU; or as
        `Projector.project`. A `CTF` has to be of NumPy for the CPU and of CuPy for a GPU, see
        `CTF.to`.
    ValueError
        As `Projector.project`.

    Notes
    -----
    With linear interpolation the gradient in rotations has kinks, on which differences disagree
    with every gradient; the cubic kernel is smooth. Gradients are first order only.

    Examples
    --------
    >>> projector = Projector(8)
    >>> volume = torch.zeros(8, 8, 8, requires_grad=True)
    >>> project(projector, volume, torch.eye(3)[None]).sum().backward()
    >>> volume.grad.shape
    torch.Size([8, 8, 8])
    """
    return _Project.apply(volume, rotations, shifts, *_split(ctf), projector, False)


def project_ft(
    projector: Projector,
    volume_ft: Tensor,
    rotations: Tensor,
    shifts: Tensor | None = None,
    ctf: CTF | Tensor | None = None,
) -> Tensor:
    """Project a half spectrum, as `Projector.project_ft`, with gradients in every tensor.

    Parameters
    ----------
    projector : Projector
    volume_ft : (M, M, M//2 + 1) complex tensor
        As from `Projector.transform`.
    rotations, shifts, ctf
        As in `project`.

    Returns
    -------
    (..., D, D//2 + 1) complex tensor

    Notes
    -----
    PyTorch's gradient counts every stored number once, that of this library as often as it
    stands in the full spectrum. The gradients here are PyTorch's: those of the library times
    `fslice.fourier.hermitian_weights`.

    Examples
    --------
    >>> volume_ft = torch.zeros(8, 8, 5, dtype=torch.complex64)
    >>> project_ft(Projector(8), volume_ft, torch.eye(3)[None]).shape
    torch.Size([1, 8, 5])
    """
    return _Project.apply(volume_ft, rotations, shifts, *_split(ctf), projector, True)


def apply(operator: LinearOperator, x: Tensor) -> Tensor:
    """Apply a linear operator between real arrays, with derivatives of every order.

    The derivative of a linear map is the map, and its gradient is the adjoint.

    Parameters
    ----------
    operator : LinearOperator
        Between spaces of real arrays.
    x : tensor of the operator's domain

    Returns
    -------
    tensor of the operator's range

    Raises
    ------
    TypeError
        A space of the operator is complex, or `x` is no tensor on the CPU or a GPU.

    Examples
    --------
    >>> from fslice.operators.linop import identity
    >>> from fslice.operators.spaces import Space
    >>> apply(3 * identity(Space((2,), "float32")), torch.ones(2))
    tensor([3., 3.])
    """
    for name, space in (("domain", operator.domain), ("range", operator.range)):
        if np.dtype(space.dtype).kind == "c":
            raise TypeError(f"operator: expected a {name} of real arrays, got {space.dtype}")
    return _Apply.apply(x, operator)


class _Project(torch.autograd.Function):
    @staticmethod
    def forward(volume, rotations, shifts, ctf_values, ctf, projector, in_fourier):
        forward = projector.project_ft if in_fourier else projector.project
        tensors = {"volume": volume, "rotations": rotations, "shifts": shifts, "ctf": ctf_values}
        with _as_arrays(tensors) as arrays:
            return torch.from_dlpack(forward(*arrays[:3], ctf if ctf_values is None else arrays[3]))

    @staticmethod
    def setup_context(ctx, inputs, output):
        *tensors, ctx.ctf, ctx.projector, ctx.in_fourier = inputs
        ctx.save_for_backward(*tensors)

    @staticmethod
    @once_differentiable
    def backward(ctx, cotangent):
        names = ("volume", "rotations", "shifts", "ctf", "cotangent")
        with _as_arrays(dict(zip(names, (*ctx.saved_tensors, cotangent), strict=True))) as arrays:
            gradients = _gradients(ctx, *arrays)
            return *(None if g is None else torch.from_dlpack(g) for g in gradients), *[None] * 3


def _gradients(ctx, volume, rotations, shifts, values, cotangent):
    """Return the gradients in volume, rotations, shifts and the values of the CTF, or None."""
    poses = {"rotations": rotations, "shifts": shifts}
    poses["ctf"] = ctx.ctf if values is None else values
    projector = ctx.projector
    if ctx.in_fourier:
        cotangent = cotangent / _weights(projector.size, cotangent)
    if any(ctx.needs_input_grad[1:4]):
        vjp = projector.project_ft_vjp if ctx.in_fourier else projector.project_vjp
        volume_gradient, *others = vjp(volume, **poses, cotangent=cotangent)
    else:  # the adjoint alone is faster
        adjoint = projector.backproject_ft if ctx.in_fourier else projector.backproject
        volume_gradient, others = adjoint(cotangent, **poses), [None] * 3
    if ctx.in_fourier:
        volume_gradient = volume_gradient * _weights(volume.shape[-2], volume_gradient)
    if values is None:
        others[2] = None
    elif others[2] is not None:
        others[2] = others[2] * _weights(projector.size, others[2])
    return volume_gradient, *others


class _Apply(torch.autograd.Function):
    @staticmethod
    def forward(x, operator):
        with _as_arrays({"x": x}) as arrays:
            return torch.from_dlpack(operator(*arrays))

    @staticmethod
    def setup_context(ctx, inputs, output):
        ctx.operator = inputs[1]

    @staticmethod
    def backward(ctx, cotangent):
        return _Apply.apply(cotangent, ctx.operator.H), None


def _split(ctf: Any) -> tuple[Tensor | None, CTF | None]:
    """Return the values of a CTF that are differentiated, and a CTF that is constant."""
    return (None, ctf) if ctf is None or isinstance(ctf, CTF) else (ctf, None)


def _weights(size: int, like: Array) -> Array:
    return hermitian_weights(size, array_namespace(like)).astype(like.real.dtype)


@contextlib.contextmanager
def _as_arrays(tensors: Mapping[str, Tensor | None]) -> Iterator[list[Array | None]]:
    """Show tensors as arrays in the same memory, and compute where and when they are; None stays.

    On a GPU, CuPy computes on PyTorch's current stream: what either library frees is used again
    in order, by either.
    """
    for name, tensor in tensors.items():
        if tensor is not None and not isinstance(tensor, torch.Tensor):
            raise TypeError(f"{name}: expected a tensor, got {type(tensor).__name__}")
        if tensor is not None and tensor.device.type not in ("cpu", "cuda"):
            raise TypeError(
                f"{name}: expected a tensor on the CPU or a GPU, got one on {tensor.device}"
            )
    places = {name: tensor.device for name, tensor in tensors.items() if tensor is not None}
    if len(set(places.values())) > 1:
        listed = ", ".join(f"{name} is on {place}" for name, place in places.items())
        raise TypeError(f"tensors: expected all on one device, got: {listed}")
    library, queue = _library_on(next(iter(places.values())))
    with queue:
        yield [
            None if tensor is None
            else library.from_dlpack(tensor.detach().resolve_conj().resolve_neg())
            for tensor in tensors.values()
        ]  # fmt: skip


def _library_on(device: torch.device) -> tuple[Any, contextlib.AbstractContextManager]:
    """Return the library for a device of PyTorch, and a context in which it computes there."""
    queue = contextlib.ExitStack()
    if device.type == "cpu":
        return np, queue
    cupy = gpu_library()
    queue.enter_context(cupy.cuda.Device(device.index))
    queue.enter_context(cupy.cuda.ExternalStream(torch.cuda.current_stream(device).cuda_stream))
    return cupy, queue
