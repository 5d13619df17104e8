"""torch-projectors: C++ kernels under PyTorch's automatic differentiation.

Its matrices are fslice's, its shifts are (row, column). Its cubic kernel is Catmull-Rom's. What it
inserts is not the adjoint of what it projects, so it differs on the plane ``kx = 0``.
"""

from __future__ import annotations

from collections.abc import Callable
from importlib.metadata import version
from typing import Any

import numpy as np
from problem import Problem, in_the_space_of_volumes

import fslice


class TorchProjectors:
    """The contestant."""

    interpolations = ("linear", "cubic")
    largest_batch = 1024

    def __init__(self):
        import torch
        import torch_projectors

        self._torch, self._projectors = torch, torch_projectors
        self.name = "torch-projectors"
        self.version = f"{version('torch-projectors')}, torch {torch.__version__}"

    def operations(self, problem: Problem) -> dict[str, Callable[[], Any]]:
        """Return what is timed, by name."""
        torch, options = self._torch, self._options(problem)
        volume, images = torch.tensor(fslice.rfft3(problem.volume))[None], self._images(problem)
        pairs, rotations = torch.tensor(problem.pairs), torch.tensor(problem.rotations)[None]
        shifts = torch.tensor(problem.shifts[:, ::-1].copy())[None]
        project = self._projectors.project_3d_to_2d_forw

        @torch.no_grad()
        def project_only():
            return project(volume, rotations, shifts, **options)

        @torch.no_grad()
        def insert():
            return self._projectors.backproject_2d_to_3d_forw(
                images, rotations, None, shifts, **options
            )[0]

        def project_with_gradients():
            leaves = [leaf.detach().requires_grad_() for leaf in (volume, rotations, shifts)]
            slices = project(*leaves, **options)
            slices.backward(cotangent)
            return slices.detach(), *(leaf.grad for leaf in leaves)

        def misfit(*leaves):
            leaves = [leaf.detach().requires_grad_() for leaf in leaves]
            slices = project(*leaves, *(rotations, shifts)[len(leaves) - 1 :], **options)
            residual = torch.view_as_real(slices - images)
            power = (residual.square().sum(-1) * pairs).sum((-2, -1))
            (power.sum() / 2).backward()
            return power.detach(), *(leaf.grad for leaf in leaves)

        cotangent = images * pairs
        return {
            "project": project_only,
            "insert": insert,
            "project, all gradients": project_with_gradients,
            "misfit, volume gradient": lambda: misfit(volume),
            "misfit, all gradients": lambda: misfit(volume, rotations, shifts),
        }

    def answer(self, operation: str, result: Any, problem: Problem) -> list[np.ndarray]:
        """Return the result in the terms in which contestants are compared."""
        if "misfit" in operation:
            return []
        linear = problem.interpolation == "linear"  # else volumes are those of another kernel
        if operation == "project, all gradients":
            slices, grad_volume, grad_rotation, grad_shift = (array[0].numpy() for array in result)
            grad_volume = in_the_space_of_volumes(grad_volume) if linear else None
            return [slices, grad_volume, grad_rotation, grad_shift[:, ::-1]]
        if operation == "project" or linear:
            return [result[0].numpy()]
        return [None]

    def _images(self, problem):
        return self._torch.tensor(problem.images_ft)[None]

    def _options(self, problem):
        return {
            "interpolation": problem.interpolation,
            "fourier_radius_cutoff": float(problem.max_radius),
        }
