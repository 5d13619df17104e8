"""Which images show the particle at all, judged by their evidence against noise alone."""

from __future__ import annotations

from typing import NamedTuple

from fslice._arrays import Array, array_namespace

SIGNAL = 7.0
"""Nats that a set of images must speak for the particle: odds of a thousand to one."""
_ITERATIONS = 200


class ParticleShare(NamedTuple):
    """How many of the images show the particle."""

    share: float
    """The most likely share."""
    gain: float
    """``max_p sum_n log(1 - p + p exp(evidence_n))``: nats for the map, against noise alone."""
    probability: Array
    """(n,) float64: that each image shows it."""

    @property
    def has_signal(self) -> bool:
        """Whether the images as a whole speak for the map."""
        return self.gain >= SIGNAL


def particle_share(evidence: Array) -> ParticleShare:
    """Return how many images show the particle, and the probability that each does.

    Parameters
    ----------
    evidence : (n,) float64 array
        As `PosePosterior.evidence`.

    Notes
    -----
    An image shows the particle with the probability p, else it is noise. The likelihood of p is
    concave in the log; its maximum is found by expectation and maximisation, which keeps p within
    ``1/(n + 2)`` of 0 and 1, so that one image among many can still be either.

    Examples
    --------
    >>> import numpy as np
    >>> found = particle_share(np.array([80.0, 60.0, -9.0, 75.0]))
    >>> found.probability.round(3), found.has_signal
    (array([1., 1., 0., 1.]), True)
    >>> particle_share(np.full(100, -5.0)).has_signal
    False
    """
    xp, n = array_namespace(evidence), len(evidence)
    least = 1 / (n + 2)
    share: Array = xp.asarray(0.5)
    probability = xp.full(n, 0.5)
    for _ in range(_ITERATIONS):
        odds = evidence + xp.log(share / (1 - share))
        probability = 1 / (1 + xp.exp(xp.clip(-odds, -700, 700)))
        share = xp.clip(probability.mean(), least, 1 - least)
    gains = xp.logaddexp(xp.log1p(-share), evidence + xp.log(share))
    return ParticleShare(float(share), max(float(gains.sum()), 0.0), probability)


def outliers(found: ParticleShare, level: float = 0.99) -> Array:
    """Return which images may be empty: (n,) bool, of a probability below `level`.

    Examples
    --------
    >>> import numpy as np
    >>> outliers(particle_share(np.array([80.0, 60.0, 1.0]))).tolist()
    [False, False, True]
    """
    return found.probability < level
