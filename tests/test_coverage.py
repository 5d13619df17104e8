"""How much images say about each frequency through a mask, against dense matrices."""

import numpy as np
import pytest
from dense import accumulate, masked, real_matrix

import fslice
from fslice.fourier import rfft3
from fslice.posterior.coverage import coverage
from fslice.posterior.elbo import elbo, mean_field_std, spread
from fslice.posterior.families import GaussianPosterior
from fslice.posterior.mean import solve
from fslice.postprocess.masks import soft_spherical_mask


def dense_diagonal(operator, size):
    """Return the diagonal of an operator on half spectra, of each coefficient."""
    matrix = real_matrix(operator, size)
    units = np.stack([rfft3(e.reshape((size,) * 3)).ravel() for e in np.eye(size**3)], 1)
    return (units @ matrix @ units.conj().T).diagonal().real.reshape(size, size, -1)


def posed(size, oversampling, mask, n=40):
    rng = np.random.default_rng(0)
    projector = fslice.Projector(size, oversampling)
    images, rotations = rng.normal(size=(n, size, size)), fslice.random_rotations(n, rng)
    normal = accumulate(images, rotations, projector=projector)
    return masked(normal, 0.5, mask(size), 0.7)


MASKS = {
    "box": lambda size: np.ones((size,) * 3),
    "sphere": lambda size: soft_spherical_mask(size, size / 4, size / 6),
}


@pytest.mark.parametrize("mask", MASKS)
@pytest.mark.parametrize(
    ("size", "oversampling", "bound"), [(7, 2, 0.08), (6, 2, 0.08), (6, 3, 0.08), (8, 1.5, 0.3)]
)
def test_coverage_is_the_diagonal_but_for_interpolation(size, oversampling, bound, mask):
    """With less than twofold padding part of the point spread function is not known."""
    precision = posed(size, oversampling, MASKS[mask])
    latent, normal = precision.latent, precision.normal

    def gram(w):
        return latent.spectrum_adjoint(normal.apply(latent.spectrum(w)))

    expected = dense_diagonal(gram, size)
    found = coverage(normal, latent.mask)
    assert abs(found - expected).max() < bound * expected.max()
    assert np.corrcoef(found.ravel(), expected.ravel())[0, 1] > 1 - bound / 8


def test_the_bound_of_a_masked_volume_is_below_its_evidence_and_near_its_definition():
    precision = posed(6, 2, MASKS["sphere"])
    latent, normal = precision.latent, precision.normal
    std, mean = mean_field_std(precision), solve(precision, tolerance=1e-8).mean
    rng = np.random.default_rng(1)
    q = GaussianPosterior(0 * mean, std)
    draws = []
    for _ in range(300):
        v = latent.spectrum(q.sample(rng))
        draws.append(fslice.fourier.inner_product(v, normal.apply(v)))
    error = np.std(draws) / len(draws) ** 0.5
    # one probe of unit modulus: its error is that of the off-diagonal elements
    assert abs(spread(precision, std) - np.mean(draws)) < 5 * error + 0.1 * np.mean(draws)
    from fslice.posterior.evidence import log_evidence

    evidence = log_evidence(precision, mean, probes=40)
    assert elbo(precision, mean, std) < evidence.value + 4 * evidence.error
