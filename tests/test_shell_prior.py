"""A spectrum from few numbers, and steps towards the evidence's maximum."""

import numpy as np
import pytest

from fslice.posterior.prior import ShellPrior, shell_prior


def responses(variance, signal, noise, counts):
    """Return what independent coefficients say, their powers at expectation."""
    ratio = variance / (variance + noise)
    power = counts * ratio * (signal + noise) / (variance + noise)
    return power, counts * ratio, counts * ratio**2


def test_knots_spread_and_unknown_shells_follow_their_neighbours():
    values = np.exp(-np.arange(33) / 8)
    values[5] = 0
    prior = shell_prior(values, 31)
    assert prior.knots[-1] == 31
    assert np.allclose(prior.variance()[:31], np.exp(-np.arange(31) / 8), rtol=1e-12)
    assert prior.variance()[32] == prior.variance()[31]
    assert (np.diff(shell_prior(values, 31, 2.0).knots)[:-1] >= 2).all()


@pytest.mark.parametrize("start", [0.01, 1.0, 100.0])
def test_steps_end_where_the_powers_are_explained(start):
    shells = np.arange(33)
    signal, noise = 3 * np.exp(-shells / 6), np.full(33, 2.0)
    counts = 1e5 * (1 + shells) ** 2.0
    counts[32] = 0  # out of the band
    prior, gains = shell_prior(np.full(33, start), 31), []
    for _ in range(12):
        prior, gain = prior.step(*responses(prior.variance(), signal, noise, counts))
        gains.append(gain)
    assert np.allclose(prior.variance()[:31], signal[:31], rtol=0.02)
    assert gains[-1] < 1e-2 < gains[0]


def test_without_signal_the_variance_falls_without_end():
    prior, counts = shell_prior(np.ones(17), 15), np.full(17, 1e4)
    for _ in range(8):
        before = prior.variance()
        prior, _ = prior.step(*responses(before, np.zeros(17), np.ones(17), counts))
        assert (prior.variance() < before).all()
    assert prior.variance().max() < 1e-2


def test_what_nothing_is_known_of_stays():
    prior, nothing = ShellPrior(np.arange(4.0), np.zeros(4), 4), np.zeros(4)
    moved, gain = prior.step(nothing, nothing, nothing)
    assert np.array_equal(moved.variance(), np.ones(4))
    assert gain == 0


def test_a_step_that_turns_back_is_halved():
    prior = shell_prior(np.ones(9), 7)
    up, down = (
        responses(np.ones(9), np.full(9, signal), np.ones(9), np.full(9, 50.0))
        for signal in (1.3, 0.8)
    )
    there, _ = prior.step(*up)
    back, _ = there.step(*down)
    assert (there.rate == 1).all()
    assert (back.rate == 0.5).all()
    assert (back.last < 0).all()


def test_zeros_make_no_prior():
    with pytest.raises(ValueError, match="images: expected images that show something, got zeros"):
        shell_prior(np.zeros(9), 7)
