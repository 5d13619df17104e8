"""Every solver on arrays of a device: the same posterior, and no copy but those documented."""

import dataclasses
import functools
import warnings

import numpy as np
import pytest
from standin import recorded
from strategies import noise, random_ctf
from test_devices import DOCUMENTED, difference

import fslice
from fslice._arrays import to_numpy
from fslice.data.dataset import Dataset
from fslice.data.poses import Poses
from fslice.likelihoods.gaussian import GaussianNoise
from fslice.posterior import evidence
from fslice.posterior.hyperparameters import fit_hyperparameters
from fslice.posterior.latent import SlicedSpectrum, SymmetricVolume
from fslice.posterior.mean import solve
from fslice.posterior.precision import PosteriorPrecision
from fslice.posterior.samples import (
    centred_samples,
    marginal_variance,
    predicted_fsc,
    voxel_std,
)
from fslice.posterior.stencil import StencilEquations
from fslice.posterior.sums import normal_equations
from fslice.postprocess.masks import soft_spherical_mask
from fslice.solvers.adam import Adam
from fslice.solvers.exact import Exact
from fslice.solvers.wiener import Wiener

SIZE, COUNT = 8, 60
ON_DEVICE = {
    "mean": 1e-5, "latent_mean": 1e-5, "posterior_std": 1e-5, "half_maps": 1e-5, "contrast": 1e-5,
    "voxel_std": 5e-3,
}  # fmt: skip
"""What a posterior has in the library of the images, and how well it is determined: samples are
solved for to 1e-3."""
ON_HOST = {
    "elbo": 1e-6, "elbo_prior": 1e-5, "elbo_trace": 1e-6, "noise_variance": 1e-5,
    "prior_variance": 1e-4, "fsc_samples": 1e-3,
}  # fmt: skip
"""What it has on the host."""


@functools.cache
def problem():
    """Return the arguments of `reconstruct`: images of a phantom, with noise, shifts and CTF."""
    rng = np.random.default_rng(0)
    volume = fslice.phantom(SIZE, 8.0).volume(SIZE, 8.0)
    volume /= volume.std()
    rotations, shifts = fslice.random_rotations(COUNT, rng), noise(rng, (COUNT, 2))
    ctf = random_ctf(rng, COUNT, pixel_size=8.0)
    images = fslice.Projector(SIZE).project(volume, rotations, shifts, ctf)
    images += 3 * images.std() * noise(rng, images.shape)
    return {"images": images, "rotations": rotations, "shifts": shifts, "ctf": ctf}


MASK = soft_spherical_mask(SIZE, 3.0, 1.0)
HALVES = np.arange(COUNT) % 2 + 1
FITS = {
    "exact": {},
    "exact, in single precision": {"single": True},
    "exact, one prior for all shells": {"prior": "scalar"},
    "exact, prior and noise given": {
        "prior": np.geomspace(2, 0.1, SIZE // 2 + 1), "noise_variance": 1.5,
    },
    "exact, a point": {"posterior": "dirac"},
    "exact, samples and evidence": {"solver": Exact(samples=2, evidence=True)},
    "exact, mask, samples and evidence": {
        "solver": Exact(samples=2, evidence=True), "mask": MASK,
    },
    "exact, symmetry and samples": {"solver": Exact(samples=2), "symmetry": "C3"},
    "exact, half sets": {"half_sets": HALVES},
    "exact, noise per shell": {"noise": "shell"},
    "exact, noise per group": {"noise": "group", "groups": np.arange(COUNT) % 2},
    "exact, contrast": {"contrast": True},
    "exact, one image left out, contrast, noise per group": {
        "images": np.where(np.arange(COUNT) == 3, 100.0, 1.0)[:, None, None] * problem()["images"],
        "robust": True, "contrast": True, "noise": "group", "groups": np.arange(COUNT) % 2,
    },
    "exact, oversampling": {"oversampling": 2},
    "exact, cubic": {"interpolation": "cubic"},
    "Adam": {"solver": Adam(epochs=3)},
    "Adam, symmetry and mask": {"solver": Adam(epochs=3), "symmetry": "C2", "mask": MASK},
    "Adam, noise per shell, half sets": {
        "solver": Adam(epochs=3), "noise": "shell", "half_sets": HALVES,
    },
    "Wiener": {"solver": Wiener()},
}  # fmt: skip


def on(xp, value, single=False):
    """Return an array, or a CTF, in another library; anything else as it is."""
    if isinstance(value, fslice.CTF):
        fields = dataclasses.fields(value)
        return fslice.CTF(**{f.name: on(xp, getattr(value, f.name)) for f in fields})
    if not isinstance(value, np.ndarray):
        return value
    return xp.asarray(value.astype("float32") if single and value.dtype.kind == "f" else value)


def fit(xp, options):
    """Fit with given options on one library."""
    single = options.get("single", False)
    given = problem() | {key: value for key, value in options.items() if key != "single"}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # few epochs, few images
        return fslice.reconstruct(**{key: on(xp, value, single) for key, value in given.items()})


def parts(posterior, field):
    """Return a value of a posterior, or those of a pair or of a trace, in a list."""
    value = getattr(posterior, field)
    return list(value) if isinstance(value, (tuple, list)) else [value]


def undocumented(transfers):
    return sorted({str(t) for t in transfers if t.place not in DOCUMENTED})


@pytest.mark.parametrize("name", FITS)
def test_a_fit_on_the_device_finds_what_numpy_finds(name, device):
    expected = fit(np, FITS[name])
    with recorded() as transfers:
        found = fit(device, FITS[name])
    assert undocumented(transfers) == []
    single = "single" in FITS[name]
    for field, tolerance in (ON_DEVICE | ON_HOST).items():
        library = device if field in ON_DEVICE else np
        for a, b in zip(parts(found, field), parts(expected, field), strict=True):
            assert difference(a, b, library, 1e-2 if single else tolerance) == "", field
    assert (found.converged, found.iterations) == (expected.converged, expected.iterations)


def test_images_on_the_host_are_copied_to_the_device_of_their_poses_a_batch_at_a_time(device):
    given = problem()
    poses = [on(device, given[name]) for name in ("rotations", "shifts")]
    dataset = Dataset(given["images"], Poses(*poses), on(device, given["ctf"]))
    with recorded() as transfers:
        found = fslice.reconstruct(dataset)
    assert isinstance(found.mean, device.ndarray)
    np.testing.assert_allclose(found.mean.get(), to_numpy(fit(np, {}).mean), atol=1e-6)
    assert undocumented(transfers) == []


def test_images_are_not_copied_and_copies_do_not_grow_with_their_number(device):
    """In one batch: all copies are of tables per shell, of sums, of decisions."""
    counts = []
    for count in (30, 60):
        given = {key: on(device, value[:count]) for key, value in problem().items()}
        with recorded() as transfers, warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)
            fslice.reconstruct(**given, solver=Wiener(), prior=1.0, noise_variance=1.0)
        counts.append(len(transfers))
    assert counts[0] == counts[1]


def test_a_posterior_of_the_device_is_shown_and_drawn(device):
    with recorded() as transfers:
        found = fit(device, {"half_sets": HALVES})
        assert "map" in repr(found)
        assert "<table>" in found._repr_html_()
        assert found.plot(8.0).axes
    assert isinstance(found.posterior_std_grid(), device.ndarray)
    assert undocumented(transfers) == []


@functools.cache
def sums(xp):
    """Return the normal equations of the images on a library."""
    given = {key: on(xp, value) for key, value in problem().items()}
    poses = Poses(given["rotations"], given["shifts"])
    return normal_equations(Dataset(given["images"], poses, given["ctf"]), fslice.Projector(SIZE))


def under(xp, latent=None):
    return PosteriorPrecision(sums(xp), 0.5, 1.0, latent)


def symmetric(xp):
    return under(xp, SymmetricVolume(fslice.Projector(SIZE), on(xp, MASK), "C2"))


@functools.cache
def drawn(xp):
    """Return a precision, its mean, and a few centred samples."""
    precision = under(xp)
    samples = centred_samples(precision, 3, np.random.default_rng(0), tolerance=1e-8)
    return precision, solve(precision, tolerance=1e-10).mean, list(samples)


FUNCTIONS = {
    "log_evidence": lambda xp: evidence.log_evidence(*drawn(xp)[:2], tolerance=1e-6).value,
    "symmetry_evidence": lambda xp: evidence.symmetry_evidence(symmetric(xp), tolerance=1e-6).value,
    "held_out_log_likelihood": lambda xp: (
        evidence.held_out_log_likelihood(under(xp), sums(xp), tolerance=1e-6).value
    ),
    "voxel_std": lambda xp: voxel_std(drawn(xp)[0], drawn(xp)[2]),
    "marginal_variance": lambda xp: marginal_variance(drawn(xp)[0], drawn(xp)[2])[0],
    "predicted_fsc": lambda xp: predicted_fsc(*drawn(xp)),
    "sum of normal equations": lambda xp: (sums(xp) + sums(xp)).b,
    "fit_hyperparameters": lambda xp: (
        fit_hyperparameters(sums(xp), SlicedSpectrum(fslice.Projector(SIZE))).mean
    ),
}


@pytest.mark.parametrize("name", FUNCTIONS)
def test_functions_of_a_posterior_compute_on_the_device(name, device):
    with recorded() as transfers, warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        found, expected = FUNCTIONS[name](device), FUNCTIONS[name](np)
    assert difference(found, expected, device, 1e-5) == ""
    assert undocumented(transfers) == []


def test_normal_equations_are_saved_from_the_device_and_loaded_on_the_host(device, tmp_path):
    with recorded() as transfers:
        sums(device).save(tmp_path / "sums.npz")
    loaded = StencilEquations.load(tmp_path / "sums.npz")
    np.testing.assert_allclose(loaded.stencil, sums(np).stencil, atol=1e-9)
    assert undocumented(transfers) == []


def dataset_on(xp, **options):
    """Return the images as a data set on a library, with options made of arrays and words."""
    given = {key: on(xp, value) for key, value in problem().items()}
    poses = Poses(given["rotations"], given["shifts"])
    options = {key: on(xp, value) for key, value in options.items()}
    return Dataset(given["images"], poses, **{"ctf": given["ctf"], **options})


def noise_on(xp):
    table = xp.asarray(np.linspace(1, 2, 2 * (SIZE // 2 + 1)).reshape(2, -1))
    return GaussianNoise(table, xp.asarray(np.arange(COUNT) % 2))


DATASETS = {
    "phase-flipped": lambda xp: dataset_on(xp, ctf_applied="phase-flipped"),
    "premultiplied": lambda xp: dataset_on(xp, ctf_applied="premultiplied"),
    "values of a CTF": lambda xp: dataset_on(xp, ctf=problem()["ctf"].evaluate(SIZE)),
    "contrasts": lambda xp: dataset_on(xp, contrast=np.linspace(0.5, 1.5, COUNT)),
    "coloured noise of groups": lambda xp: dataset_on(xp, noise=noise_on(xp)),
    "integers": lambda xp: Dataset(
        xp.asarray((100 * problem()["images"]).astype("int16")),
        Poses(xp.asarray(problem()["rotations"].astype("float32"))),
    ),
}


@pytest.mark.parametrize("name", DATASETS)
@pytest.mark.parametrize("symmetry", ["C1", "D2"])
def test_normal_equations_of_every_kind_of_data_set_are_those_of_numpy(name, symmetry, device):
    with recorded() as transfers:
        found, expected = (
            normal_equations(
                dataclasses.replace(DATASETS[name](xp), symmetry=symmetry), fslice.Projector(SIZE)
            )
            for xp in (device, np)
        )
    tolerance = 1e-5 if name == "integers" else 1e-12
    for field in ("b", "stencil", "squares", "degrees"):
        a, b = getattr(found, field), getattr(expected, field)
        assert difference(a, b, device, tolerance) == "", field
    assert found.log_weights == pytest.approx(expected.log_weights, rel=1e-12)
    assert undocumented(transfers) == []
