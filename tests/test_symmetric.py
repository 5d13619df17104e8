"""The posterior of symmetric volumes and the evidence of a group, against dense linear algebra."""

from dataclasses import replace

import numpy as np
import pytest
from dense import accumulate, dense_problem, real_matrix, solve_exact, symmetric
from scipy.stats import multivariate_normal

import fslice
from fslice.fourier import inner_product, irfft3, rfft3, transform
from fslice.posterior.elbo import elbo, expected_log_likelihood
from fslice.posterior.evidence import log_determinant, log_evidence, symmetry_evidence
from fslice.posterior.families import GaussianPosterior, weighted_sum
from fslice.posterior.mean import solve
from fslice.posterior.precision import PosteriorPrecision
from fslice.posterior.samples import centred_samples
from fslice.posterior.stencil import StencilEquations, no_images
from fslice.postprocess.masks import soft_spherical_mask
from fslice.solvers.exact import Exact
from fslice.symmetry._shears import permute
from fslice.symmetry.groups import symmetry_rotations
from fslice.testing import check_adjoint

NOISE, TAU2 = 0.7, 2.0


def projection(name, size):
    """Return the dense average over a group that moves voxels."""
    group = symmetry_rotations(name)
    units = np.eye(size**3).reshape(-1, size, size, size)
    return np.stack([np.mean([permute(e, g) for g in group], 0).ravel() for e in units], 1)


def under(precision, group):
    """Return the same posterior for volumes of another symmetry."""
    return replace(precision, latent=replace(precision.latent, symmetry=group))


def tiled(inputs, name):
    """Return the inputs with every image at every equivalent pose."""
    group = symmetry_rotations(name)
    copies = {
        key: np.concatenate([value] * len(group))
        for key, value in inputs.items()
        if isinstance(value, np.ndarray)
    }
    copies["rotations"] = np.concatenate([g @ inputs["rotations"] for g in group])
    return {**inputs, **copies}


@pytest.mark.parametrize(("name", "oversampling"), [("C3", 1), ("D4", 2), ("T", 1)])
def test_sums_under_a_symmetry_are_those_of_copies(name, oversampling):
    inputs, _, _ = dense_problem(6, oversampling, n=7)
    found, expected = accumulate(**inputs, symmetry=name), accumulate(**tiled(inputs, name))
    for key in ("b", "stencil", "squares", "degrees", "log_weights"):
        assert np.allclose(getattr(found, key), getattr(expected, key), rtol=1e-10, atol=1e-10)
    assert (found.count, found.order, found.symmetry) == (7, expected.count / 7, name)


@pytest.mark.parametrize("name", ["C2", "C4", "D2", "D4", "O"])
@pytest.mark.parametrize("size", [4, 5])
def test_the_solution_is_that_on_the_subspace_of_symmetric_volumes(name, size):
    """The prior there has the covariance ``|G| tau^2 S``: tau^2 is the variance of a voxel."""
    inputs, design, data = dense_problem(size, n=40)
    normal = accumulate(**inputs, symmetry=name)
    onto, order = projection(name, size), normal.order
    values, vectors = np.linalg.eigh(onto)
    basis = vectors[:, values > 0.5]
    assert np.isclose(basis.shape[1], np.trace(onto))
    whole = design @ basis
    kept = whole.T @ whole / NOISE + np.eye(basis.shape[1]) / (order * TAU2)
    mean = basis @ np.linalg.solve(kept, whole.T @ data / NOISE)
    solution = solve_exact(normal, TAU2, NOISE, tolerance=1e-12)
    assert np.allclose(irfft3(solution.mean).ravel(), mean, rtol=0, atol=1e-9)
    # the covariance, and the mean-field widths: what a coefficient has when other orbits are known
    covariance = basis @ np.linalg.inv(kept) @ basis.T
    copies = np.linalg.inv(real_matrix(solution.precision, size))
    assert np.allclose(covariance, order * onto @ copies, rtol=0, atol=1e-9)
    assert np.allclose(solution.std**2, 1 / solution.precision.diagonal())


@pytest.mark.parametrize("name", ["C4", "D2"])
def test_the_likelihood_of_a_symmetric_volume_counts_each_image_once(name, rng):
    inputs, _, _ = dense_problem(5, n=9)
    volume_ft = rfft3(fslice.symmetry.symmetrize(rng.normal(size=(5, 5, 5)), name))
    own, summed = (
        PosteriorPrecision(accumulate(**inputs, symmetry=group), TAU2, NOISE)
        for group in ("C1", name)
    )
    expected = expected_log_likelihood(own, volume_ft)
    assert np.isclose(expected_log_likelihood(summed, volume_ft), expected, rtol=1e-11)
    std = np.full(volume_ft.shape, 0.3)
    order = len(symmetry_rotations(name))
    spread = weighted_sum(summed.normal.diagonal() * std**2) / (2 * NOISE)
    bound = expected - (spread + GaussianPosterior(volume_ft, std).kl(TAU2)) / order
    assert np.isclose(elbo(summed, volume_ft, std), bound, rtol=1e-11)


def test_symmetries_are_kept_apart(tmp_path):
    inputs, _, _ = dense_problem(5, n=4)
    summed, own = accumulate(**inputs, symmetry="c3"), accumulate(**inputs)
    summed.save(tmp_path / "normal.npz")
    assert StencilEquations.load(tmp_path / "normal.npz").symmetry == "C3"
    assert (summed + summed).symmetry == "C3"
    with pytest.raises(ValueError, match=r"\+: expected the symmetry C3, got C1"):
        summed + own
    with pytest.raises(ValueError, match="expected images in their own poses, got the symmetry C3"):
        log_evidence(PosteriorPrecision(summed, 1.0))
    with pytest.raises(ValueError, match="normal: expected images in their own poses, got them"):
        symmetric(summed, 1.0, np.ones((5, 5, 5)), symmetry="C3")
    assert no_images(own.projector).symmetry == "C1"
    flat = dense_problem(5, n=4, dimension=2)[0]
    with pytest.raises(ValueError, match="symmetry: expected C1 for images of lines, got C2"):
        accumulate(**flat, symmetry="C2")


def posed(name, size=5, oversampling=1, n=8):
    inputs, design, data = dense_problem(size, oversampling, n)
    prior = np.linspace(3, 0.5, size // 2 + 1)
    mask = soft_spherical_mask(size, size / 4, size / 4)
    return symmetric(accumulate(**inputs), prior, mask, NOISE, name), design, data


def coloured(precision, white):
    """Return unknowns with the prior's spectrum from white noise."""
    return np.sqrt(precision.prior_variance) * rfft3(white)


def made(precision):
    """Return the matrix from white noise to real volumes, and to the padded box."""
    size = precision.normal.projector.size
    units = np.eye(size**3).reshape(-1, size, size, size)
    volumes = [precision.latent.volume(coloured(precision, e)) for e in units]
    padded = [irfft3(precision.normal.projector.transform(v)).ravel() for v in volumes]
    return np.stack([v.ravel() for v in volumes], 1), np.stack(padded, 1)


@pytest.mark.parametrize(("name", "oversampling"), [("C3", 1), ("D2", 1), ("C4", 2)])
def test_the_posterior_equals_the_dense_one(name, oversampling):
    size = 5 if oversampling == 1 else 3
    precision, design, data = posed(name, size, oversampling)
    volumes, padded = made(precision)
    whole = design @ padded
    inverse = np.linalg.inv(whole.T @ whole / NOISE + np.eye(size**3))
    mean = volumes @ inverse @ whole.T @ data / NOISE
    solved = solve(precision, tolerance=1e-12)
    assert np.allclose(solved.volume().ravel(), mean, rtol=0, atol=1e-9)
    deviations = centred_samples(precision, 60, np.random.default_rng(0))
    spread = [(precision.latent.volume(w) ** 2).sum() for w in deviations]
    exact = np.trace(volumes @ inverse @ volumes.T)
    assert abs(np.mean(spread) - exact) < 4 * np.std(spread) / 60**0.5


def test_spectrum_adjoint_is_the_adjoint(rng):
    precision, _, _ = posed("C3", 6, 2)
    w = rfft3(rng.normal(size=(6, 6, 6)))
    other = transform(rng.normal(size=(12, 12, 12)), 3)
    check_adjoint(precision.latent.spectrum, precision.latent.spectrum_adjoint, w, other)


def test_the_variance_of_a_voxel_is_the_same_under_every_group():
    """Off the axes; there rotations leave a voxel almost in its place."""
    size, spreads = 24, []
    z, y, x = np.indices((size,) * 3) - size // 2
    radius = np.sqrt(x**2 + y**2 + z**2)
    away = (radius > 5) & (radius < 7) & (np.hypot(x, y) > 4) & (abs(z) > 2)
    for name in ("C1", "C3", "D2"):
        precision = symmetric(
            no_images(fslice.Projector(size)), 4.0, soft_spherical_mask(size, 9, 2), symmetry=name
        )
        rng = np.random.default_rng(0)
        whites = (rng.normal(size=(size,) * 3) for _ in range(60))
        draws = [precision.latent.volume(coloured(precision, white))[away] for white in whites]
        spreads.append(np.mean(np.square(draws)))
    # the band takes nearly half of the four
    assert np.allclose(spreads, spreads[0], rtol=0.05)


@pytest.mark.parametrize("name", ["C3", "D2", "O"])
def test_the_evidence_is_the_dense_density_of_the_images(name):
    """In an odd box with every frequency in the band, images have a density in real space."""
    size, n = 5, 2
    rng = np.random.default_rng(3)
    projector = fslice.Projector(size, max_radius=size)
    rotations = fslice.random_rotations(n, rng)
    images = rng.normal(size=(n, size, size))
    normal = accumulate(images, rotations, projector=projector)
    mask = soft_spherical_mask(size, 1.5, 1)
    precision = symmetric(normal, np.array([3, 2, 1.0]), mask, NOISE, name)
    units = np.eye(size**3).reshape(-1, size, size, size)
    columns = [
        fslice.irfft2(
            projector.project_ft(precision.latent.spectrum(coloured(precision, e)), rotations)
        ).ravel()
        for e in units
    ]
    design = np.stack(columns, 1)
    covariance = design @ design.T + NOISE * np.eye(images.size)
    expected = multivariate_normal(np.zeros(images.size), covariance).logpdf(images.ravel())
    found = symmetry_evidence(precision, probes=20, tolerance=1e-10)
    estimate = log_determinant(precision, probes=20, tolerance=1e-10)
    determinant = np.linalg.slogdet(real_matrix(precision, size))[1]
    known = found.value + estimate.value / 2  # all but the determinant
    assert np.isclose(known - determinant / 2, expected, rtol=1e-9)
    assert abs(estimate.value - determinant) < 4 * estimate.error
    assert estimate.error == 2 * found.error


@pytest.mark.parametrize("truth", ["C1", "C2", "C3", "D2", "D3"])
def test_evidence_prefers_the_group_that_the_volume_has(truth):
    """Volumes drawn from the models themselves, in noise as strong as the images' signal."""
    size, groups = 16, ("C1", "C2", "C3", "D2", "D3")
    rng = np.random.default_rng(7)
    projector, rotations = fslice.Projector(size), fslice.random_rotations(60, rng)
    precision = symmetric(
        no_images(projector),
        1.0,
        soft_spherical_mask(size, 5, 2),
        9.0,
        truth,
    )
    volume = precision.latent.volume(coloured(precision, rng.normal(size=(size,) * 3)))
    clean = projector.project(volume, rotations)
    noisy = clean + 3 * rng.normal(size=clean.shape)
    normal = accumulate(noisy, rotations, projector=projector)
    found = {
        group: symmetry_evidence(replace(under(precision, group), normal=normal), probes=8)
        for group in groups
    }
    assert clean.var() < 9.5
    best = found.pop(truth)
    assert all(best.value - f.value > 4 * np.hypot(best.error, f.error) for f in found.values())


def test_single_precision_gives_the_same_posterior(rng):
    precision, _, _ = posed("C3", 8, 1, 30)
    single = symmetric(
        precision.normal.astype(np.float32), np.linspace(3, 0.5, 5), precision.latent.mask, NOISE,
        "C3",
    )  # fmt: skip
    means = [solve(p).volume() for p in (precision, single)]
    assert means[1].dtype == np.float32
    assert np.linalg.norm(means[0] - means[1]) < 5e-3 * np.linalg.norm(means[0])
    assert np.isclose(
        inner_product(single.rhs, single.rhs),
        inner_product(precision.rhs, precision.rhs),
        rtol=1e-4,
    )


@pytest.mark.parametrize("noise", ["white", "shell"])
@pytest.mark.parametrize("edge", [None, 3])
def test_learned_fits_foretell_how_well_they_find_a_symmetric_volume(edge, noise):
    """Without the truth: by samples of the posterior, which are as symmetric as the mean."""
    size, rng = 24, np.random.default_rng(1)
    mask = soft_spherical_mask(size, 8, 2)
    truth = 3**0.5 * fslice.symmetry.symmetrize(mask * rng.normal(size=(size,) * 3), "C3")
    rotations = fslice.random_rotations(150, rng)
    images = fslice.Projector(size, 2, "cubic").project(truth, rotations)
    images += 4 * rng.normal(size=images.shape)
    found = fslice.reconstruct(
        images, rotations, solver=Exact(samples=10), noise=noise, symmetry="C3",
        mask=None if edge is None else soft_spherical_mask(size, 9, edge),
    )  # fmt: skip
    assert found.converged
    assert found.elbo > found.elbo_prior
    assert np.isclose(np.mean(found.noise_variance), 16, rtol=0.05)
    reached, foretold = fslice.fsc(found.mean, truth), found.fsc_samples.mean(0)
    assert reached[1:11].min() > 0.9
    assert abs(foretold - reached)[1:11].max() < 0.03
    inside = mask > 0.9
    errors = ((found.mean - truth)[inside] ** 2).mean()
    assert np.isclose((found.voxel_std[inside] ** 2).mean(), errors, rtol=0.6)


def test_the_evidence_of_images_summed_under_a_symmetry_is_refused(rng):
    images, rotations = rng.normal(size=(9, 8, 8)), fslice.random_rotations(9, rng)
    with pytest.raises(ValueError, match="evidence: expected symmetry='C1', got 'C3'"):
        fslice.reconstruct(images, rotations, solver=Exact(evidence=True), symmetry="c3")
