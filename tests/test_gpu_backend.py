"""The CUDA source through all that is built on it: solvers, samples, evidence, the certificate.

On a GPU where there is one, else compiled by g++ on arrays with CuPy's manners. What the kernels
compute by themselves is tested under the ids of `backend` in the tests of kernels, slices and
projector.
"""

import itertools

import numpy as np
import pytest
from test_devices import difference
from test_devices_solvers import (
    DATASETS,
    FITS,
    FUNCTIONS,
    ON_DEVICE,
    ON_HOST,
    dataset_on,
    fit,
    parts,
)

import fslice
from fslice.certify import certify
from fslice.posterior.sums import normal_equations

SOLVERS = (
    "exact, in single precision", "exact, symmetry and samples", "exact, half sets",
    "exact, noise per group", "exact, contrast", "exact, oversampling", "Adam, symmetry and mask",
    "Wiener",
)  # fmt: skip


@pytest.mark.parametrize("name", SOLVERS)
def test_a_fit_finds_what_numpy_finds(name, gpu):
    found, expected = fit(gpu, FITS[name]), fit(np, FITS[name])
    single = "single" in FITS[name]
    for field, tolerance in (ON_DEVICE | ON_HOST).items():
        library = gpu if field in ON_DEVICE else np
        for a, b in zip(parts(found, field), parts(expected, field), strict=True):
            assert difference(a, b, library, 1e-2 if single else tolerance) == "", field
    assert (found.converged, found.iterations) == (expected.converged, expected.iterations)


@pytest.mark.parametrize("name", ["premultiplied", "values of a CTF", "coloured noise of groups"])
def test_normal_equations_are_those_of_numpy(name, gpu):
    found, expected = (
        normal_equations(DATASETS[name](xp), fslice.Projector(8)) for xp in (gpu, np)
    )
    for field in ("b", "stencil", "squares", "degrees"):
        assert difference(getattr(found, field), getattr(expected, field), gpu, 1e-12) == "", field


def test_normal_equations_of_the_cubic_kernel_are_those_of_numpy(gpu):
    """They go over the poses for each product: once here, a hundred times in a fit."""
    projector = fslice.Projector(8, interpolation="cubic")
    sums = {xp: normal_equations(dataset_on(xp), projector) for xp in (gpu, np)}
    results = {xp: (of.b, of.diagonal(), of.row_sums(), of.apply(of.b)) for xp, of in sums.items()}
    for found, expected in zip(results[gpu], results[np], strict=True):
        assert difference(found, expected, gpu, 1e-12) == ""


@pytest.mark.parametrize("name", ["log_evidence", "marginal_variance"])
def test_functions_of_a_posterior_are_those_of_numpy(name, gpu):
    assert difference(FUNCTIONS[name](gpu), FUNCTIONS[name](np), gpu, 1e-5) == ""


def test_a_fit_has_the_same_bits_each_time(gpu):
    first, second = (fit(gpu, FITS["exact, symmetry and samples"]) for _ in range(2))
    for field in ("mean", "posterior_std", "voxel_std"):
        assert np.array_equal(getattr(first, field).get(), getattr(second, field).get())


def test_the_certificate_holds_for_the_cuda_source(gpu):
    tests = "definition", "gradient", "dot"
    lines = itertools.takewhile(lambda line: line.backend == "cuda", certify(["cuda"], tests))
    found = list(lines)
    assert len(found) > 200
    assert [line for line in found if not line.passed] == []
