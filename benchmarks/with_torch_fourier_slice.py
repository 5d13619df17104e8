"""torch-fourier-slice: slices in plain PyTorch, differentiated automatically.

Its spectra are shifted to put zero frequency in the middle, and it shifts no images: the phases
are multiplied here. It always inserts weights beside the slices. Linear only; its experimental
kernels need the Mojo compiler and are not measured.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from importlib.metadata import version
from typing import Any

import numpy as np
from problem import Problem, in_the_space_of_volumes

import fslice


class TorchFourierSlice:
    """The contestant."""

    interpolations = ("linear",)
    largest_batch = 256

    def __init__(self):
        import torch
        import torch_fourier_slice

        self._torch, self._slices = torch, torch_fourier_slice
        self.name = "torch-fourier-slice"
        self.version = f"{version('torch-fourier-slice')}, torch {torch.__version__}"

    def operations(self, problem: Problem) -> dict[str, Callable[[], Any]]:
        """Return what is timed, by name."""
        torch, size = self._torch, problem.size
        ky, kx = torch.arange(size) - size // 2, torch.arange(size // 2 + 1)
        band = (problem.max_radius + 1e-3) / size  # in cycles per pixel
        volume = torch.tensor(np.fft.fftshift(fslice.rfft3(problem.volume), (0, 1)))
        images = torch.tensor(np.fft.fftshift(problem.images_ft, 1))
        rotations, shifts = torch.tensor(problem.rotations), torch.tensor(problem.shifts)
        pairs = torch.tensor(problem.pairs)

        def phases(shifts):
            turns = shifts[:, :1] @ kx[None].float(), shifts[:, 1:] @ ky[None].float()
            x, y = (torch.exp(-2j * math.pi / size * turn) for turn in turns)
            return y[:, :, None] * x[:, None, :]

        def project(volume, rotations, shifts):
            slices = self._slices.extract_central_slices_rfft_3d(volume, rotations, band)
            return slices * phases(shifts)

        @torch.no_grad()
        def insert():
            return self._slices.insert_central_slices_rfft_3d(
                images * phases(shifts).conj(), (size,) * 3, rotations, band
            )[0]

        def project_with_gradients():
            leaves = [leaf.detach().requires_grad_() for leaf in (volume, rotations, shifts)]
            slices = project(*leaves)
            slices.backward(images * pairs)
            return slices.detach(), *(leaf.grad for leaf in leaves)

        def misfit(*leaves):
            leaves = [leaf.detach().requires_grad_() for leaf in leaves]
            slices = project(*leaves, *(rotations, shifts)[len(leaves) - 1 :])
            residual = torch.view_as_real(slices - images)
            power = (residual.square().sum(-1) * pairs).sum((-2, -1))
            (power.sum() / 2).backward()
            return power.detach(), *(leaf.grad for leaf in leaves)

        return {
            "project": lambda: torch.no_grad()(project)(volume, rotations, shifts),
            "insert": insert,
            "project, all gradients": project_with_gradients,
            "misfit, volume gradient": lambda: misfit(volume),
            "misfit, all gradients": lambda: misfit(volume, rotations, shifts),
        }

    def answer(self, operation: str, result: Any, problem: Problem) -> list[np.ndarray]:
        """Return the result in the terms in which contestants are compared."""
        if "misfit" in operation:
            return []
        if operation == "project":
            return [np.fft.ifftshift(result.numpy(), 1)]
        if operation == "insert":
            return [np.fft.ifftshift(result.numpy(), (0, 1))]
        slices, grad_volume, grad_rotation, grad_shift = (array.numpy() for array in result)
        return [
            np.fft.ifftshift(slices, 1),
            in_the_space_of_volumes(np.fft.ifftshift(grad_volume, (0, 1))),
            grad_rotation,
            grad_shift,
        ]
