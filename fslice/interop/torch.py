"""Projections and linear operators that PyTorch differentiates, with tensors on the CPU.

DLPack lets both sides read the same memory, so that no array is copied. PyTorch is imported with
this module: ``pip install torch``.
"""

from __future__ import annotations

from typing import Any, TypeAlias

import numpy as np
import torch
from torch.autograd.function import once_differentiable

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
        An argument is no tensor, or not on the CPU; or as `Projector.project`.
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
        A space of the operator is complex, or `x` is no tensor on the CPU.

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
        names = ("volume", "rotations", "shifts", "ctf")
        arrays = _to_numpy(names, (volume, rotations, shifts, ctf_values))
        return torch.from_dlpack(forward(*arrays[:3], ctf if ctf_values is None else arrays[3]))

    @staticmethod
    def setup_context(ctx, inputs, output):
        *tensors, ctx.ctf, ctx.projector, ctx.in_fourier = inputs
        ctx.save_for_backward(*tensors)

    @staticmethod
    @once_differentiable
    def backward(ctx, cotangent):
        names = ("volume", "rotations", "shifts", "ctf", "cotangent")
        volume, rotations, shifts, values, cotangent = _to_numpy(
            names, (*ctx.saved_tensors, cotangent)
        )
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
        gradients = [volume_gradient, *others]
        return *(None if g is None else torch.from_dlpack(g) for g in gradients), None, None, None


class _Apply(torch.autograd.Function):
    @staticmethod
    def forward(x, operator):
        return torch.from_dlpack(operator(*_to_numpy(("x",), (x,))))

    @staticmethod
    def setup_context(ctx, inputs, output):
        ctx.operator = inputs[1]

    @staticmethod
    def backward(ctx, cotangent):
        return _Apply.apply(cotangent, ctx.operator.H), None


def _split(ctf: Any) -> tuple[Tensor | None, CTF | None]:
    """Return the values of a CTF that are differentiated, and a CTF that is constant."""
    return (None, ctf) if ctf is None or isinstance(ctf, CTF) else (ctf, None)


def _weights(size: int, like: np.ndarray) -> np.ndarray:
    return hermitian_weights(size).astype(like.real.dtype)


def _to_numpy(names: tuple[str, ...], tensors: tuple[Any, ...]) -> list[Any]:
    """Show tensors to NumPy in the same memory; None stays."""
    arrays = []
    for name, tensor in zip(names, tensors, strict=True):
        if tensor is not None and not isinstance(tensor, torch.Tensor):
            raise TypeError(f"{name}: expected a tensor, got {type(tensor).__name__}")
        if tensor is not None and tensor.device.type != "cpu":
            raise TypeError(f"{name}: expected a tensor on the CPU, got one on {tensor.device}")
        arrays.append(
            None if tensor is None else np.from_dlpack(tensor.detach().resolve_conj().resolve_neg())
        )
    return arrays
