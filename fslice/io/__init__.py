"""Files of other programs: MRC, STAR, cryoSPARC's ``.cs``, PDB and mmCIF.

Foreign names and conventions exist only here; what the readers return is in this
library's conventions.
"""

from fslice.io.mrc import read_volume, write_volume
from fslice.io.particles import Particles
from fslice.io.pdb import Atoms, read_atoms
from fslice.io.read import read_particles
from fslice.io.relion_write import write_particles
from fslice.io.stack import ImageStack, open_stack
from fslice.io.stack_writer import StackWriter
from fslice.io.star import read_star

__all__ = [
    "Atoms",
    "ImageStack",
    "Particles",
    "StackWriter",
    "open_stack",
    "read_atoms",
    "read_particles",
    "read_star",
    "read_volume",
    "write_particles",
    "write_volume",
]
