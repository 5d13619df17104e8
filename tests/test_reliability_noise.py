"""Noise spectra and prior meet where both are most likely, also where there is no noise."""

import numpy as np
import pytest

import fslice
from fslice.solvers.adam import Adam
from fslice.solvers.alternate import LEAST, _variances
from fslice.solvers.exact import Exact
from fslice.solvers.wiener import Wiener

SIZE, N = 32, 400
PHANTOM = fslice.phantom(SIZE, 4.0)


def errors(snr, **options):
    """Return the relative squared errors under white noise and under a spectrum, and the latter."""
    noise = {"noise_variance": 0.0} if snr is None else {"snr": snr}
    data = fslice.simulate(PHANTOM, N, SIZE, 4.0, **noise)
    images = data.images()
    found = [
        fslice.reconstruct(images, data.rotations, noise=noise, **options)
        for noise in ("white", "shell")
    ]
    power = (data.truth**2).sum()
    return *(((fit.mean - data.truth) ** 2).sum() / power for fit in found), found[1], data


@pytest.mark.parametrize("snr", [0.1, 1.0, 10.0, None])
def test_a_learned_spectrum_makes_no_map_worse(snr):
    white, shell, found, _ = errors(snr)
    assert shell < 1.05 * white
    assert found.converged


@pytest.mark.parametrize(("solver", "prior"), [(Exact(), "scalar"), (Adam(), None)])
def test_one_prior_for_all_shells_leaves_the_signal_out_of_the_noise(solver, prior):
    white, shell, found, data = errors(None, solver=solver, prior=prior)
    assert shell < 1.05 * white
    assert fslice.resolution(fslice.fsc(found.mean, data.truth), SIZE, 4.0) < 10


@pytest.mark.parametrize("snr", [1.0, None])
def test_neither_does_a_map_whose_frequencies_are_fitted_one_by_one(snr):
    white, shell, _, _ = errors(snr, solver=Wiener())
    assert shell < 1.05 * white


def test_the_bound_rises_at_every_turn():
    trace = np.array(errors(None)[2].elbo_trace)
    assert len(trace) > 3
    assert np.diff(trace).min() > 0


def test_residuals_are_divided_by_what_the_volume_leaves_free():
    residual, explained, degrees = np.array([[8.0, 3.0]]), np.array([[20.0, 60.0]]), 100.0
    shells = np.stack([residual, 2.0 * explained, 0 * residual, 0 * residual + degrees])
    assert np.allclose(_variances(shells, 2.0), [[8 / 80, (3 + 120) / 100]])


def test_both_forms_of_the_variance_stay_where_they_meet():
    degrees, variance = np.full((1, 2), 100.0), 2.0
    explained = np.array([[20.0, 60.0]])
    residual = variance * (degrees - explained)
    shells = np.stack([residual, variance * explained, 0 * residual, degrees])
    assert np.allclose(_variances(shells, variance), variance)


def test_no_variance_is_below_a_millionth_of_the_power():
    shells = np.array([0.0, 0.0, 700.0, 100.0]).reshape(4, 1, 1)
    assert np.allclose(_variances(shells, 1.0), 7 * LEAST)


def test_shells_without_data_follow_the_others():
    shells = np.array([[1.0, 4.0, 0.0], [0.0] * 3, [0.0] * 3, [1.0, 1.0, 0.0]])[:, None]
    assert np.allclose(_variances(shells, 1.0), [[1, 4, 4]])
