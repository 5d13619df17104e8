"""fslice, with its NumPy or its Numba kernels."""

from __future__ import annotations

import importlib
import math
from collections.abc import Callable
from typing import Any

import numpy as np
from problem import Problem

import fslice
from fslice.certify import computed_by


class Fslice:
    """The contestant; `backend` is ``"numpy"`` or ``"numba"``."""

    interpolations = ("linear", "cubic")
    largest_batch = 1024

    def __init__(self, backend: str):
        importlib.import_module(backend)  # raises where it is not installed
        self.name = {"numpy": "fslice (NumPy)", "numba": "fslice (Numba)"}[backend]
        self.version = fslice.__version__
        self.backend = backend

    def operations(self, problem: Problem) -> dict[str, Callable[[], Any]]:
        """Return what is timed, by name."""
        projector = fslice.Projector(
            problem.size, interpolation=problem.interpolation, max_radius=problem.max_radius
        )
        linear = problem.interpolation == "linear"
        volume_ft = fslice.rfft3(problem.volume) if linear else projector.transform(problem.volume)
        pose, images_ft = (problem.rotations, problem.shifts), problem.images_ft

        def project_with_gradients():
            images = projector.project_ft(volume_ft, *pose)
            return images, projector.project_ft_vjp(volume_ft, *pose, cotangent=images_ft)

        operations = {
            "project": lambda: projector.project_ft(volume_ft, *pose),
            "insert": lambda: projector.backproject_ft(images_ft, *pose),
            "project, all gradients": project_with_gradients,
            "misfit, volume gradient": lambda: projector.misfit(volume_ft, images_ft, *pose),
            "misfit, all gradients": lambda: projector.misfit_gradients(
                volume_ft, images_ft, *pose
            ),
        }
        return {name: self._with_backend(call) for name, call in operations.items()}

    def answer(self, operation: str, result: Any, problem: Problem) -> list[np.ndarray]:
        """Return the result in the terms in which contestants are compared."""
        scale = math.sqrt(problem.size)  # fslice's slices are spectra of images: sums, not means
        if operation == "project, all gradients":
            images, gradients = result
            return [array / scale for array in (images, *gradients[:3])]
        return [] if "misfit" in operation else [result / scale]

    def _with_backend(self, call):
        def run():
            with computed_by(self.backend):
                return call()

        return run
