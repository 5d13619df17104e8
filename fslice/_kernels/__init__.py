"""The sampling kernels: what they offer is in `interface`, who computes is chosen in `select`."""

from __future__ import annotations

from fslice._kernels.interface import (
    CUBIC,
    LINEAR,
    Filters,
    Kernels,
    SliceGeometry,
    Views,
    band,
)
from fslice._kernels.select import host_kernels, kernels_for, use_kernels

__all__ = [
    "CUBIC",
    "LINEAR",
    "Filters",
    "Kernels",
    "SliceGeometry",
    "Views",
    "band",
    "host_kernels",
    "kernels_for",
    "use_kernels",
]
