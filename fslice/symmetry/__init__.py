"""Point groups: their rotations, and the average of a volume over them."""

from fslice.symmetry.average import GroupAverage, symmetrize
from fslice.symmetry.groups import symmetry_name, symmetry_rotations

__all__ = ["GroupAverage", "symmetrize", "symmetry_name", "symmetry_rotations"]
