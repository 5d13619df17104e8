"""The peers on a GPU: torch-projectors, torch-fourier-slice, and cuFINUFFT, where installed.

cuFINUFFT computes the exact sums to a tolerance, which linear interpolation only approximates: it
is there for who wants that accuracy. The others compute what the linear kernel does.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
from gpu_timing import timed

import fslice

TOGETHER = {
    "torch-projectors": {"float32": 40_000, "float64": 1000},
    "torch-fourier-slice": {"float32": 500, "float64": 250},
    "cuFINUFFT": {"float32": 1000, "float64": 500},
}
"""Images a call at 128 pixels: what memory allows, and for torch-projectors in double precision,
where it is a thousand times as slow, what patience does."""
TOLERANCE = 1e-3


def time_peer(
    make: Callable[..., Any], volumes: int, case: tuple[int, int, str, str], device: str,
    repeats: int,
) -> Iterator[dict[str, Any]]:  # fmt: skip
    """Yield a row for each operation of a peer; a line says which cannot take part, and why.

    `volumes` of them share the images evenly.
    """
    size, count, dtype, interpolation = case
    try:
        peer = make(device)
        if interpolation != "linear" or (volumes > 1 and not peer.many_volumes):
            return
        most = int(TOGETHER[peer.name][dtype] * (128 / size) ** 2)
        together = max(volumes, min(count, most) // volumes * volumes)
        calls = peer.operations(size, together, volumes, dtype)
    except Exception as error:  # whatever a peer raises on this card: it takes no part
        leave_out(make.__name__, error)
        return
    for name, call in calls.items():
        try:
            spent = timed(call, peer.wait, min(repeats, 3)) * count / together
        except Exception as error:
            leave_out(f"{peer.name}, {name}, {dtype}", error)
            continue
        yield {
            "contestant": peer.name,
            "operation": name,
            "milliseconds": spent,
            "images a call": together,
        }


def leave_out(what: str, error: Exception) -> None:
    """Say in a line what does not take part, and why."""
    missing = isinstance(error, ImportError)
    why = str(error) if missing else f"{what}: {type(error).__name__}: {error}"
    print(f"left out: {why}".splitlines()[0])


class WithTorch:
    """What the peers on PyTorch share."""

    name = ""
    many_volumes = False

    def __init__(self, device: str) -> None:
        import torch

        self.torch, self.device = torch, device
        if device == "cuda" and not torch.cuda.is_available():
            raise ImportError("PyTorch finds no GPU")

    def wait(self) -> None:
        """Wait until all is computed."""
        if self.device == "cuda":
            self.torch.cuda.synchronize()

    def drawn(self, size: int, count: int, volumes: int, dtype: str) -> tuple[Any, ...]:
        """Return volumes, images, rotations and shifts (x, y), with an axis for the volumes."""
        torch, rng, each = self.torch, np.random.default_rng(0), count // volumes
        kind = {"float32": torch.complex64, "float64": torch.complex128}[dtype]
        half = size // 2 + 1
        volume = torch.randn(volumes, size, size, half, dtype=kind, device=self.device)
        images = torch.randn(volumes, each, size, half, dtype=kind, device=self.device)
        rotations = fslice.random_rotations(volumes * each, rng).astype(dtype)
        shifts = rng.uniform(-5, 5, (volumes, each, 2)).astype(dtype)
        poses = (
            torch.tensor(array, device=self.device)
            for array in (rotations.reshape(volumes, each, 3, 3), shifts)
        )
        return volume, images, *poses

    def with_gradients(self, project: Callable[..., Any], images: Any, *leaves: Any) -> Any:
        """Return a call that gives the misfit and its gradients in all leaves."""

        def call() -> Any:
            own = [leaf.detach().requires_grad_() for leaf in leaves]
            residual = self.torch.view_as_real(project(*own) - images)
            residual.square().sum().backward()
            return [leaf.grad for leaf in own]

        return call


class TorchProjectors(WithTorch):
    """torch-projectors."""

    name = "torch-projectors"
    many_volumes = True

    def operations(self, size: int, count: int, volumes: int, dtype: str) -> dict[str, Any]:
        """Return what is timed, by name."""
        import torch_projectors

        volume, images, rotations, shifts = self.drawn(size, count, volumes, dtype)
        options = {"interpolation": "linear", "fourier_radius_cutoff": float((size - 1) // 2)}

        def project(volume, rotations, shifts):
            return torch_projectors.project_3d_to_2d_forw(volume, rotations, shifts, **options)

        def insert():
            return torch_projectors.backproject_2d_to_3d_forw(
                images, rotations, None, shifts, **options
            )

        no_grad = self.torch.no_grad()
        return {
            "project": lambda: no_grad(project)(volume, rotations, shifts),
            "insert": no_grad(insert),
            "misfit, volume gradient": self.with_gradients(
                lambda v: project(v, rotations, shifts), images, volume
            ),
            "misfit, all gradients": self.with_gradients(
                project, images, volume, rotations, shifts
            ),
        }


class TorchFourierSlice(WithTorch):
    """torch-fourier-slice, with shifts by a multiplication."""

    name = "torch-fourier-slice"

    def operations(self, size: int, count: int, volumes: int, dtype: str) -> dict[str, Any]:
        """Return what is timed, by name."""
        import torch_fourier_slice as slices

        torch = self.torch
        volume, images, rotations, shifts = (a[0] for a in self.drawn(size, count, 1, dtype))
        kx = torch.arange(size // 2 + 1, device=self.device)
        ky = torch.arange(size, device=self.device) - size // 2
        band = ((size - 1) // 2 + 1e-3) / size

        def phases(shifts):
            turns = shifts[:, :1] * kx, shifts[:, 1:] * ky
            x, y = (torch.exp(-2j * math.pi / size * turn) for turn in turns)
            return y[:, :, None] * x[:, None, :]

        def project(volume, rotations, shifts):
            return slices.extract_central_slices_rfft_3d(volume, rotations, band) * phases(shifts)

        def insert():
            moved = images * phases(shifts).conj()
            return slices.insert_central_slices_rfft_3d(moved, (size,) * 3, rotations, band)

        no_grad = torch.no_grad()
        return {
            "project": lambda: no_grad(project)(volume, rotations, shifts),
            "insert": no_grad(insert),
            "misfit, all gradients": self.with_gradients(
                project, images, volume, rotations, shifts
            ),
        }


class CuFinufft:
    """cuFINUFFT: non-uniform transforms between a volume and the samples of slices."""

    name = "cuFINUFFT"
    many_volumes = False

    def __init__(self, device: str) -> None:
        import cufinufft
        import cupy

        self.cufinufft, self.cupy = cufinufft, cupy

    def wait(self) -> None:
        """Wait until all is computed."""
        self.cupy.cuda.Device().synchronize()

    def operations(self, size: int, count: int, volumes: int, dtype: str) -> dict[str, Any]:
        """Return what is timed, by name: a plan for the poses included, as these change."""
        cupy, kind = self.cupy, {"float32": "complex64", "float64": "complex128"}[dtype]
        rng = np.random.default_rng(0)
        rotations = cupy.asarray(fslice.random_rotations(count, rng).astype(dtype))
        kx, ky = cupy.meshgrid(cupy.arange(size // 2 + 1), cupy.arange(size) - size // 2)
        inside = kx**2 + ky**2 <= ((size - 1) // 2) ** 2
        plane = (2 * math.pi / size * cupy.stack([kx[inside], ky[inside]])).astype(dtype)
        points = [cupy.ascontiguousarray((rotations[:, row, :2] @ plane).ravel())
                  for row in (2, 1, 0)]  # fmt: skip
        volume = cupy.zeros((size,) * 3, kind)
        values = cupy.ones(points[0].size, kind)

        def planned(which: int, given: Any) -> Any:
            plan = self.cufinufft.Plan(which, (size,) * 3, eps=TOLERANCE, dtype=kind)
            plan.setpts(*points)
            return plan.execute(given)

        return {
            f"project, to {TOLERANCE:g}": lambda: planned(2, volume),
            f"insert, to {TOLERANCE:g}": lambda: planned(1, values),
        }


PEERS = (TorchProjectors, TorchFourierSlice, CuFinufft)
