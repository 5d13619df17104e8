"""The operators of fslice and its peers behind one face: fslice's arrays and conventions.

Half spectra have zero frequency first, matrices are fslice's, shifts are (x, y) in pixels. What is
converted for a peer is said where it is done; no result is corrected beyond that.
"""

from __future__ import annotations

from collections.abc import Callable
from importlib.metadata import version
from typing import Any, NamedTuple

import numpy as np

import fslice
from fslice.fourier import pad, transform


class Setting(NamedTuple):
    """What a projection depends on besides its arrays."""

    size: int
    kernel: str = "linear"
    oversampling: float = 1
    max_radius: float | None = None

    @property
    def box(self) -> int:
        """Box M of the volume's spectrum."""
        return round(self.size * self.oversampling)

    @property
    def radius(self) -> float:
        """The largest frequency that is computed."""
        return (self.size - 1) // 2 if self.max_radius is None else self.max_radius


class Fslice:
    """fslice, by whichever kernels are installed."""

    name, kernels = "fslice", ("linear", "cubic")
    tests = ("dot", "gradient", "analytic")
    product = "half spectra"
    """In which inner product `vjp` is a gradient."""

    def __init__(self):
        self.version = fslice.__version__

    def project(self, setting, volume_ft, rotations, shifts):
        """Return shifted slices (n, D, D//2 + 1) of a half spectrum of box M."""
        slices = fslice.extract_slices(
            volume_ft,
            rotations,
            setting.size,
            interpolation=setting.kernel,
            max_radius=setting.radius,
        )
        return fslice.operators.shift_slices(slices, shifts)

    def insert(self, setting, slices, rotations, shifts):
        """Return what is inserted into a half spectrum."""
        return fslice.insert_slices(
            fslice.operators.shift_slices(slices, -shifts),
            rotations,
            setting.box,
            interpolation=setting.kernel,
            max_radius=setting.radius,
        )

    def vjp(self, setting, volume_ft, rotations, shifts, cotangent):
        """Return the gradients of `project` in the spectrum, the matrices and the shifts."""
        options = {"interpolation": setting.kernel, "max_radius": setting.radius}
        slices = self.project(setting, volume_ft, rotations, 0 * shifts)
        grad_slices, grad_shifts = fslice.operators.shift_slices_vjp(
            slices, shifts, cotangent=cotangent
        )
        found = fslice.operators.extract_slices_vjp(
            volume_ft, rotations, cotangent=grad_slices, **options
        )
        return *found, grad_shifts

    def images(self, setting, volume, rotations, shifts=None):
        """Return real projections of a real volume."""
        projector = fslice.Projector(setting.size, setting.oversampling, setting.kernel)
        return projector.project(volume, rotations, shifts)


class _Differentiated:
    """What PyTorch differentiates; its gradients count every stored number once."""

    product = "stored numbers"
    tests: tuple[str, ...] = ("dot", "gradient", "definition", "analytic")
    """What `certify_peers.py` asks of it."""

    def __init__(self):
        import torch

        self.torch = torch
        package = self.name.partition(" ")[0]
        self.version = f"{version(package)}, torch {torch.__version__}"

    def project(self, setting, volume_ft, rotations, shifts):
        with self.torch.no_grad():
            return self._project(setting, *self._tensors(volume_ft, rotations, shifts)).numpy()

    def vjp(self, setting, volume_ft, rotations, shifts, cotangent):
        leaves = self._tensors(volume_ft, rotations, shifts)
        for leaf in leaves:
            leaf.requires_grad_()
        self._project(setting, *leaves).backward(*self._tensors(cotangent))
        return tuple(leaf.grad.numpy() for leaf in leaves)

    def _tensors(self, *arrays):
        return [self.torch.tensor(array) for array in arrays]


class TorchProjectors(_Differentiated):
    """torch-projectors: its shifts are (row, column), its boxes even, its cubic Catmull-Rom's."""

    name, kernels = "torch-projectors", ("linear", "cubic")
    deconvolved = False

    def __init__(self):
        super().__init__()
        import torch_projectors

        self._library = torch_projectors

    def _project(self, setting, volume_ft, rotations, shifts):
        moved = None if shifts is None else shifts.flip(-1)[None]
        return self._library.project_3d_to_2d_forw(
            volume_ft[None],
            rotations[None],
            moved,
            output_shape=(setting.size, setting.size),
            interpolation=setting.kernel,
            oversampling=float(setting.oversampling),
            fourier_radius_cutoff=float(setting.radius),
        )[0]

    def insert(self, setting, slices, rotations, shifts):
        """Return what it inserts, which its documentation calls the adjoint."""
        slices, rotations, shifts = self._tensors(slices, rotations, shifts[:, ::-1].copy())
        return self._library.backproject_2d_to_3d_forw(
            slices[None],
            rotations[None],
            None,
            shifts[None],
            interpolation=setting.kernel,
            oversampling=float(setting.oversampling),
            fourier_radius_cutoff=float(setting.radius),
        )[0][0].numpy()

    def images(self, setting, volume, rotations, shifts=None):
        """Pad and transform as its documentation says."""
        if self.deconvolved:
            volume = volume / _attenuation(setting, volume.dtype)
        spectrum, matrices = self._tensors(transform(pad(volume, setting.box, 3), 3), rotations)
        moved = None if shifts is None else self._tensors(shifts)[0]
        slices = self._project(setting, spectrum, matrices, moved).numpy()
        scale = volume.dtype.type(setting.box**1.5 / setting.size)
        return transform_back(slices * scale, setting.size)


class TorchProjectorsDeconvolved(TorchProjectors):
    """The same with its kernels' attenuation divided out beforehand, which it does not offer."""

    name = "torch-projectors deconvolved"
    tests, deconvolved = ("analytic",), True


class TorchFourierSlice(_Differentiated):
    """torch-fourier-slice: linear, deconvolved, spectra with zero frequency in the middle.

    It shifts no images: here they are multiplied by phases. Its experimental kernels need the Mojo
    compiler and are left out.
    """

    name, kernels = "torch-fourier-slice", ("linear",)

    def __init__(self):
        super().__init__()
        import torch_fourier_slice

        self._library = torch_fourier_slice

    def _project(self, setting, volume_ft, rotations, shifts):
        if setting.box != setting.size:
            raise ValueError("it samples slices of the box of the volume only")
        fft = self.torch.fft
        slices = self._library.extract_central_slices_rfft_3d(
            fft.fftshift(volume_ft, (0, 1)), rotations, self._band(setting)
        )
        return fft.ifftshift(slices, -2) * self._phases(setting.size, shifts)

    def insert(self, setting, slices, rotations, shifts):
        """Return what it inserts; it does not say that this is the adjoint."""
        fft = self.torch.fft
        slices, rotations, shifts = self._tensors(slices, rotations, shifts)
        slices = fft.fftshift(slices * self._phases(setting.size, -shifts), -2)
        shape = (setting.size,) * 3
        found = self._library.insert_central_slices_rfft_3d(
            slices, shape, rotations, self._band(setting)
        )[0]
        return fft.ifftshift(found, (0, 1)).numpy()

    def images(self, setting, volume, rotations, shifts=None):
        """Project by its own function, in parts: it takes gigabytes for many images at once."""
        at_once = max(1, 2**22 // setting.box**2)
        spectrum, matrices = self._tensors(volume, rotations)
        images = self.torch.cat(
            [
                self._library.project_3d_to_2d(spectrum, part, pad_factor=setting.oversampling)
                for part in matrices.split(at_once)
            ]
        ).numpy()
        if shifts is None:
            return images
        return transform_back(
            fslice.operators.shift_slices(fslice.rfft2(images), shifts), setting.size
        )

    def _band(self, setting):
        return (setting.radius + 1e-3) / setting.size  # in cycles per pixel

    def _phases(self, size, shifts):
        torch = self.torch
        ky = torch.fft.fftfreq(size, 1, dtype=shifts.dtype)
        kx = torch.fft.rfftfreq(size, 1, dtype=shifts.dtype)
        turns = shifts[:, 1, None, None] * ky[:, None] + shifts[:, 0, None, None] * kx
        return torch.exp(-2j * torch.pi * turns)


def present(classes: tuple[Callable[[], Any], ...]) -> list[Any]:
    """Return the contestants that are installed; say which are not."""
    found = []
    for make in classes:
        try:
            found.append(make())
        except (ImportError, OSError) as error:
            print(f"left out: {error}".splitlines()[0])
    return found


def transform_back(slices: np.ndarray, size: int) -> np.ndarray:
    """Return the real images of half spectra, of even and odd boxes."""
    return fslice.fourier.inverse_transform(slices, 2, size)


def _attenuation(setting: Setting, dtype: Any) -> np.ndarray:
    """Return the transform of the linear kernel, or of Catmull-Rom's, over a volume."""
    x = (np.arange(setting.size) - setting.size // 2) / setting.box
    sinc = np.sinc(x)
    if setting.kernel == "linear":
        profile = sinc**2
    else:
        profile = sinc**3 * (3 * sinc - 2 * np.cos(np.pi * x))
    return (profile[:, None, None] * profile[:, None] * profile).astype(dtype)
