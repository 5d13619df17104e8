"""The search for poses on arrays of a device: the same posterior, no undocumented copy."""

import functools
from dataclasses import replace

import numpy as np
import pytest
from standin import recorded
from strategies import random_ctf
from test_devices_solvers import on, undocumented

import fslice
from fslice._arrays import to_numpy
from fslice.alignment.find import find_poses, pose_model, refine_poses
from fslice.alignment.importance import check_posterior
from fslice.alignment.outliers import particle_share
from fslice.alignment.search import PoseSearch

SIZE, COUNT = 16, 12
SEARCH = PoseSearch(rotations=600, candidates=4)


@functools.cache
def problem():
    """Return a volume, images of it, and their CTF."""
    rng = np.random.default_rng(2)
    model = fslice.simulation.GaussianModel(
        25 * rng.uniform(-1, 1, (20, 3)), rng.uniform(0.5, 1.5, 20), np.full(20, 60.0)
    )
    volume = model.volume(SIZE, 7.0)
    rotations, shifts = fslice.random_rotations(COUNT, rng), 0.5 * rng.normal(size=(COUNT, 2))
    ctf = random_ctf(rng, COUNT, pixel_size=7.0)
    images = fslice.Projector(SIZE, 2, "cubic").project(volume, rotations, shifts, ctf)
    images += 0.3 * images.std() * rng.normal(size=images.shape)
    return {
        "images": images,
        "volume": volume,
        "ctf": ctf,
        "rotations": rotations,
        "shifts": shifts,
    }


def searched(xp, **options):
    given = {name: on(xp, problem()[name]) for name in ("images", "volume", "ctf")}
    return find_poses(**given, **({"search": SEARCH} | options))


FIELDS = ("rotations", "shifts", "weights", "covariance", "evidence")


@pytest.mark.parametrize(
    "options",
    [
        {"noise_variance": 1.0, "shift_std": 1.0},
        {},
        {"noise": "shell", "shift_std": 1.0},
        {"relax_symmetry": "C2", "shift_std": 1.0},
        {"search": replace(SEARCH, defocus_std=300.0, contrast_std=0.2), "noise": "shell"},
        {"search": replace(SEARCH, prior_directions="learned"), "shift_std": 1.0},
    ],
    ids=["given", "learned", "noise per shell", "symmetry relaxed", "filters", "directions"],
)
def test_poses_on_the_device_are_those_of_numpy(device, options):
    if "noise_variance" in options:
        options = options | {"noise_variance": float(problem()["images"].var()) / 12}
    expected = searched(np, **options)
    with recorded() as transfers:
        found = searched(device, **options)
    assert undocumented(transfers) == []
    assert to_numpy(found.image_of).tolist() == expected.image_of.tolist()
    for name in (*FIELDS, *expected.parameters):
        one, other = to_numpy(getattr(found, name)), getattr(expected, name)
        assert isinstance(getattr(found, name), device.ndarray)
        np.testing.assert_allclose(one, other, rtol=1e-4, atol=1e-5 * max(1, abs(other).max()))


def test_refinement_sampling_and_the_check_stay_on_the_device(device):
    given = {name: on(device, value) for name, value in problem().items()}
    poses = fslice.Poses(given["rotations"], given["shifts"])
    dataset = fslice.Dataset(given["images"], poses, given["ctf"])
    with recorded() as transfers:
        found = refine_poses(dataset, given["volume"], shift_std=1.0)
        model = pose_model(dataset, given["volume"], shift_std=1.0, search=SEARCH)
        checked = check_posterior(model, found, np.random.default_rng(0), draws=20)
        drawn = found.sample(np.random.default_rng(0), 3)
        shown = particle_share(found.evidence)
    assert undocumented(transfers) == []
    for array in (checked.divergence, drawn.rotations, shown.probability, found.entropy()):
        assert isinstance(array, device.ndarray)
    assert np.isfinite(to_numpy(checked.evidence)).all()
