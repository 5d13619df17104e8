"""Tomography in Fourier space, with maps that know how sure they are.

Here are the names that most programs begin with. The rest is in namespaces, which load when they
are named: `fslice.fourier`, `geometry`, `operators`, `symmetry`, `simulation`, `io`, `metrics`,
`postprocess`, `likelihoods`, `data`, `posterior`, `solvers`, `alignment`, `plot`, `testing`, ...
"""

from typing import TYPE_CHECKING

from fslice._lazy import lazy_namespace
from fslice.fourier import irfft2, irfft3, rfft2, rfft3
from fslice.geometry import random_rotations
from fslice.metrics import fsc, resolution
from fslice.operators.ctf import CTF
from fslice.operators.projector import Projector
from fslice.operators.slices import extract_slices, insert_slices
from fslice.simulation import phantom, simulate

if TYPE_CHECKING:
    from fslice.alignment.find import find_poses
    from fslice.data.dataset import Dataset
    from fslice.data.poses import Poses
    from fslice.reconstruction import reconstruct
    from fslice.solvers.adam import Adam
    from fslice.solvers.exact import Exact
    from fslice.solvers.wiener import Wiener

__all__ = [  # noqa: RUF022 (in plain alphabetical order)
    "Adam",
    "CTF",
    "Dataset",
    "Exact",
    "Poses",
    "Projector",
    "Wiener",
    "extract_slices",
    "find_poses",
    "fsc",
    "insert_slices",
    "irfft2",
    "irfft3",
    "phantom",
    "random_rotations",
    "reconstruct",
    "resolution",
    "rfft2",
    "rfft3",
    "simulate",
]

__version__ = "0.1.0"

__getattr__, __dir__ = lazy_namespace(
    __name__,
    {
        "Adam": "solvers.adam",
        "Dataset": "data.dataset",
        "Exact": "solvers.exact",
        "Poses": "data.poses",
        "Wiener": "solvers.wiener",
        "find_poses": "alignment.find",
        "reconstruct": "reconstruction",
    },
)
