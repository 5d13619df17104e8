"""Point groups: their rotations, and the average of a volume over them."""

from fslice.symmetry.average import GroupAverage, symmetrize
from fslice.symmetry.groups import symmetry_name, symmetry_rotations
from fslice.symmetry.rotation import rotate_volume

__all__ = [
    "GroupAverage",
    "rotate_volume",
    "symmetrize",
    "symmetry_name",
    "symmetry_rotations",
]
