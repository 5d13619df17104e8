"""A small object, images of it, and settings of joint inference that are quick for them."""

import numpy as np

import fslice
from fslice import Dataset, Poses
from fslice.alignment.joint import Joint
from fslice.alignment.joint.rounds import Rounds
from fslice.alignment.joint.starts import GridEM, Level
from fslice.alignment.search import PoseSearch
from fslice.simulation import GaussianModel
from fslice.symmetry import symmetry_rotations

SIZE = 24
FAST = Joint(
    starts=1,
    radius=9.0,
    grid_em=GridEM((Level(3, 300, 150, 15), Level(4, 1000, 200, 10)), shift_std=0.7),
    rounds=Rounds(most=5, search=PoseSearch(rotations=4000, candidates=8)),
)


def blobs(seed=0, symmetry="C1"):
    """Return the model of an object without other symmetry, well inside its box."""
    rng = np.random.default_rng(seed)
    group = symmetry_rotations(symmetry)
    centres = (group @ (5.5 * rng.uniform(-1, 1, (8, 3))).T).swapaxes(1, 2).reshape(-1, 3)
    weights = np.tile(rng.uniform(0.5, 1.5, 8), len(group))
    return GaussianModel(centres, weights, np.full(len(centres), 0.8))


def simulated(count=500, symmetry="C1", seed=0, **options):
    """Return images of blobs in poses that the data set does not tell, and the true map."""
    options = {"snr": 1.0, "shift_std": 0.5, "seed": seed} | options
    data = fslice.simulate(blobs(seed, symmetry), count, SIZE, 1.0, **options)
    images = data.images().astype(np.float32)
    return Dataset(images, Poses(np.tile(np.eye(3), (count, 1, 1)))), data
