"""The exact posterior, its samples and the evidence, against dense linear algebra."""

import warnings

import numpy as np
import pytest
from dense import accumulate, dense_problem, real_matrix, solve_exact
from scipy.stats import multivariate_normal

import fslice
from fslice.fourier import inner_product, irfft3, radii, rfft3
from fslice.posterior.cg import conjugate_gradients
from fslice.posterior.elbo import (
    elbo,
    elbo_gradients,
    expected_log_likelihood,
)
from fslice.posterior.evidence import held_out_log_likelihood, log_determinant, log_evidence
from fslice.posterior.lanczos import lanczos
from fslice.posterior.mean import weighted_backprojection
from fslice.posterior.precision import PosteriorPrecision
from fslice.posterior.samples import (
    centred_samples,
    marginal_variance,
    predicted_fsc,
    voxel_std,
)
from fslice.posterior.stencil import no_images
from fslice.testing import check_gradient

NOISE = 0.7


def posed(size=4, oversampling=1, n=6, *, prior="shells"):
    """Return normal equations, a prior, and the dense posterior in the basis of real voxels."""
    inputs, design, data = dense_problem(size, oversampling, n)
    normal = accumulate(**inputs)
    box = normal.projector.padded_size
    if prior == "shells":
        prior = np.linspace(3, 0.5, box // 2 + 1)
    precision = PosteriorPrecision(normal, prior, NOISE)
    prior_inverse = real_matrix(lambda v: v / precision.prior_variance, box)
    dense = design.T @ design / NOISE + prior_inverse
    mean = np.linalg.solve(dense, design.T @ data / NOISE)
    return precision, design, data, dense, prior_inverse, mean


@pytest.mark.parametrize(("size", "oversampling"), [(4, 1), (5, 1), (3, 2)])
def test_mean_equals_the_dense_solution(size, oversampling):
    precision, _, _, _, _, mean = posed(size, oversampling)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        solution = solve_exact(precision.normal, precision.prior_variance, NOISE, tolerance=1e-13)
    assert solution.residual < 1e-12
    assert np.allclose(irfft3(solution.mean).ravel(), mean, rtol=0, atol=1e-11)


def test_sigma_is_the_conditional_deviation_and_elbo_is_the_dense_one():
    precision, design, data, dense, prior_inverse, mean = posed(n=30)
    solution = solve_exact(precision.normal, precision.prior_variance, NOISE, tolerance=1e-13)
    covariance = real_matrix(lambda v: solution.std**2 * v, 4)
    expected_power = ((data - design @ mean) ** 2).sum() + np.trace(design @ covariance @ design.T)
    normal = precision.normal
    degrees = normal.degrees.sum()
    fit = -expected_power / (2 * NOISE) - degrees / 2 * np.log(2 * np.pi * NOISE)
    divergence = 0.5 * (
        np.trace(prior_inverse @ covariance)
        + mean @ prior_inverse @ mean
        - len(mean)
        - np.linalg.slogdet(prior_inverse @ covariance)[1]
    )
    expected = fit + normal.log_weights / 2 - divergence
    assert np.isclose(solution.elbo, expected, rtol=1e-10)
    spectrum = np.linalg.eigvalsh(dense)
    assert spectrum[0] < (1 / solution.std**2).min()


def test_nothing_is_better_than_the_exact_solution(rng):
    precision = posed(n=30)[0]
    solution = solve_exact(precision.normal, precision.prior_variance, NOISE, tolerance=1e-13)
    grad_mean, grad_log_sigma = elbo_gradients(precision, solution.mean, solution.std)
    assert abs(grad_mean).max() < 1e-10
    assert abs(grad_log_sigma).max() < 1e-12
    for _ in range(5):
        other = solution.mean + 0.01 * rfft3(rng.normal(size=(4, 4, 4)))
        wider = solution.std * np.exp(0.01 * rng.normal())
        assert elbo(precision, other, solution.std) < solution.elbo
        assert elbo(precision, solution.mean, wider) < solution.elbo
    assert solution.elbo_prior < solution.elbo


def test_gradients_of_the_elbo(rng):
    precision = posed(5)[0]
    mean_ft, direction = (rfft3(v) for v in rng.normal(size=(2, 5, 5, 5)))
    sigma = np.exp(0.1 * abs(rfft3(rng.normal(size=(5, 5, 5)))))
    grad_mean, _ = elbo_gradients(precision, mean_ft, sigma)
    check_gradient(lambda v: elbo(precision, v, sigma), grad_mean, mean_ft, direction)
    log_sigma = np.log(sigma)
    _, grad_log_sigma = elbo_gradients(precision, mean_ft, sigma)
    check_gradient(
        lambda t: elbo(precision, mean_ft, np.exp(t)),
        grad_log_sigma,
        log_sigma,
        abs(direction),
        inner=lambda a, b: inner_product(a.astype(complex), b.astype(complex)),
    )


def test_log_likelihood_is_that_of_the_residuals(rng):
    inputs, _, _ = dense_problem(6, n=5, full=False)
    precision = PosteriorPrecision(accumulate(**inputs), 1.0, NOISE)
    volume_ft = rfft3(rng.normal(size=(6, 6, 6)))
    expected = inputs["projector"].project_ft(volume_ft, inputs["rotations"])
    images_ft = fslice.rfft2(inputs["images"])
    band = radii(6, 2) <= 2
    residual = (images_ft - expected) * band
    degrees = 5 * (band * fslice.fourier.hermitian_weights(6)).sum()
    power = inner_product(residual, residual)
    want = -power / (2 * NOISE) - degrees / 2 * np.log(2 * np.pi * NOISE)
    assert np.isclose(expected_log_likelihood(precision, volume_ft), want, rtol=1e-12)


def test_noise_can_be_chosen_before_or_after_the_pass():
    inputs, _, _ = dense_problem(6, n=200, full=False)
    after = solve_exact(accumulate(**inputs), 2.0, NOISE)
    before = accumulate(**inputs, noise_variance=np.full((1, 1), NOISE))
    with_it = solve_exact(before, 2.0)
    assert np.allclose(with_it.mean, after.mean, atol=1e-4)
    assert np.isclose(with_it.elbo, after.elbo, rtol=1e-9)


def test_wiener_divides_by_the_summed_weights():
    inputs, _, _ = dense_problem(6, n=50)
    normal = accumulate(**inputs)
    ones = np.ones_like(normal.b)
    weights = np.zeros((6, 6, 4), complex)
    noise = inputs["noise_variance"][:, np.minimum(fslice.fourier.shells(6, 2), 3)]
    slices = inputs["projector"].project_ft(ones, inputs["rotations"], ctf=inputs["ctf"])
    weights = inputs["projector"].backproject_ft(
        slices / noise, inputs["rotations"], ctf=inputs["ctf"]
    )
    expected = normal.b / (weights.real + NOISE / 3)
    assert np.allclose(weighted_backprojection(PosteriorPrecision(normal, 3.0, NOISE)), expected)


def test_the_posterior_is_the_prior_where_nothing_was_seen():
    projector = fslice.Projector(6)
    with pytest.warns(UserWarning, match="100 % of the frequencies in the band were seen by no"):
        solution = solve_exact(no_images(projector), 4.0)
    assert not solution.mean.any()
    assert np.allclose(solution.std, 2)
    assert solution.elbo == solution.elbo_prior == 0
    images, rotations = np.ones((3, 6, 6)), np.broadcast_to(np.eye(3), (3, 3, 3))
    with pytest.warns(UserWarning, match="seen by no image"):
        solution = solve_exact(
            accumulate(images, rotations, ctf=np.zeros((3, 6, 4)), projector=projector), 4.0
        )
    assert np.allclose(solution.std, 2)


def test_images_of_one_pose_tell_about_one_slice_only(rng):
    projector = fslice.Projector(8)
    images, rotations = rng.normal(size=(5, 8, 8)), np.broadcast_to(np.eye(3), (5, 3, 3))
    normal = accumulate(images, rotations, projector=projector)
    with pytest.warns(UserWarning, match="of the frequencies in the band were seen by no image"):
        solution = solve_exact(normal, 4.0)
    unseen = normal.diagonal() == 0
    assert not unseen[0][radii(8, 2) <= 3].any()  # kz = 0
    assert unseen[1:].all()
    assert np.allclose(solution.std[unseen], 2)
    assert (solution.std[0, 1:3, 1:3] < 1).all()
    assert abs(solution.mean[unseen]).max() < 1e-6 * abs(solution.mean).max()
    assert np.isfinite(solution.elbo)
    sample = next(centred_samples(solution.precision, 1, rng))
    assert np.isfinite(sample).all()
    assert np.isfinite(log_evidence(solution.precision)).all()


def test_an_unmet_tolerance_is_told():
    precision = posed(n=30)[0]
    with pytest.warns(UserWarning, match=r"stopped at a relative residual of .* after 2 iter"):
        solve_exact(precision.normal, 1.0, 1e-4, max_iterations=2)


def test_a_warm_start_saves_iterations():
    precision = posed(n=30)[0]
    cold = solve_exact(precision.normal, 2.0, NOISE)
    warm = solve_exact(precision.normal, 2.0, NOISE, start=cold.mean)
    assert warm.iterations <= 1 < cold.iterations


@pytest.mark.parametrize(
    ("prior", "message"),
    [
        (0.0, "prior_variance: expected finite values above 0"),
        (np.ones(5), r"prior_variance: expected a number or shape \(4,\) or \(6, 6, 4\), got"),
        (1 + np.arange(144.0).reshape(6, 6, 4), "prior_variance: expected the same value at k"),
    ],
)
def test_wrong_priors_are_named(prior, message):
    with pytest.raises(ValueError, match=message):
        PosteriorPrecision(no_images(fslice.Projector(6)), prior)


def test_wrong_noise_is_named():
    with pytest.raises(ValueError, match="noise_variance: expected a finite value above 0, got 0"):
        PosteriorPrecision(no_images(fslice.Projector(6)), 1.0, 0)


@pytest.mark.parametrize("overwrite", [False, True])
def test_a_start_is_overwritten_only_where_it_may_be(overwrite):
    rhs, given = (rfft3(v) for v in np.random.default_rng(0).normal(size=(2, 6, 6, 6)))
    start = given.copy()
    solved = conjugate_gradients(
        lambda v: 3 * v, rhs, np.ones(1), start=start, afresh=False, overwrite_start=overwrite
    )
    assert np.allclose(solved.x, rhs / 3)
    assert solved.residual == solved.trace[-1]
    assert (solved.x is start) == overwrite
    assert overwrite or np.array_equal(start, given)


def test_conjugate_gradients_of_zero_are_zero():
    solved = conjugate_gradients(lambda v: v, np.zeros((4, 4, 3), complex), np.ones(1))
    assert solved.converged
    assert solved.iterations == 0
    assert not solved.x.any()


def test_lanczos_equals_the_dense_function(rng):
    precision, _, _, dense, _, _ = posed()
    vector = rng.normal(size=(4, 4, 4))
    values, vectors = np.linalg.eigh(dense)
    for function in (np.log, np.sqrt, lambda x: 1 / x):
        expected = vectors @ (function(values) * (vectors.T @ vector.ravel()))
        krylov = lanczos(precision, rfft3(vector), function, tolerance=1e-13)
        assert np.allclose(irfft3(krylov.applied(function)).ravel(), expected, atol=1e-9)
        assert np.isclose(krylov.form(function), vector.ravel() @ expected, rtol=1e-10)


def test_samples_have_the_dense_covariance():
    """Draws are a linear map of white noise: its square is compared, not an estimate."""
    precision, _, _, dense, _, _ = posed()
    unit = iter(np.eye(64).reshape(64, 4, 4, 4))

    class Units:
        def standard_normal(self, shape, dtype):
            return next(unit)

    columns = [irfft3(v).ravel() for v in centred_samples(precision, 64, Units(), tolerance=1e-12)]
    root = np.stack(columns, 1)
    covariance = np.linalg.inv(dense)
    assert np.allclose(root @ root.T, covariance, rtol=0, atol=1e-9 * abs(covariance).max())


def test_marginal_variances_and_voxel_stds_approach_the_dense_ones(rng):
    precision, _, _, dense, _, _ = posed(4, n=12)
    covariance = np.linalg.inv(dense)
    deviations = list(centred_samples(precision, 400, rng))
    marginals = marginal_variance(precision, deviations)
    box = precision.normal.projector.padded_size
    units = np.stack([rfft3(e).ravel() for e in np.eye(64).reshape(64, 4, 4, 4)], 1)
    exact = (units @ covariance @ units.conj().T).diagonal().real.reshape(box, box, -1)
    score = (marginals.variance - exact) / np.maximum(marginals.standard_error, 1e-12)
    assert abs(score).max() < 4.5
    assert (marginals.variance >= 1 / precision.diagonal() * (1 - 1e-12)).all()
    assert np.allclose(marginals.variance, exact, rtol=0.15)
    # far fewer samples would do than for the plain variance of the samples
    plain = np.mean([abs(v) ** 2 for v in deviations], 0)
    assert np.std(marginals.variance / exact) < 0.7 * np.std(plain / exact)
    voxels = voxel_std(precision, deviations)
    attenuation = np.sinc((np.arange(4) - 2) / 4) ** 2
    cube = attenuation[:, None, None] * attenuation[:, None] * attenuation
    expected = np.sqrt(covariance.diagonal().reshape(4, 4, 4)) * cube
    assert np.allclose(voxels, expected, rtol=0.2)


def test_predicted_correlation_brackets_that_with_a_truth_from_the_model(rng):
    size, n = 12, 300
    projector = fslice.Projector(size)
    rotations = fslice.random_rotations(n, rng)
    prior = 10.0 ** -np.linspace(0, 3, size // 2 + 1)
    shells = np.minimum(fslice.fourier.shells(size, 3), size // 2)
    truth_ft = np.sqrt(prior)[shells] * rfft3(rng.normal(size=(size,) * 3))
    images_ft = projector.project_ft(truth_ft, rotations)
    images = fslice.irfft2(images_ft) + rng.normal(size=(n, size, size))
    solution = solve_exact(accumulate(images, rotations, projector=projector), prior)
    deviations = centred_samples(solution.precision, 60, rng)
    curves = predicted_fsc(solution.precision, solution.mean, deviations)
    actual = fslice.metrics.fsc(solution.volume(), projector.to_volume(truth_ft))
    low, high = np.quantile(curves, [0.005, 0.995], axis=0)
    assert curves.shape == (60, size // 2 + 1)
    band = slice(1, 6)
    assert ((low[band] - 0.02 <= actual[band]) & (actual[band] <= high[band] + 0.02)).all()


@pytest.mark.parametrize(("size", "n"), [(3, 3), (5, 1)])
def test_log_evidence_is_the_dense_density_of_the_images(size, n):
    """In an odd box with every frequency in the band, images have a density in real space."""
    rng = np.random.default_rng(3)
    projector = fslice.Projector(size, max_radius=size)
    rotations = fslice.random_rotations(n, rng)
    images = rng.normal(size=(n, size, size))
    noise = rng.uniform(0.5, 2, (n, size // 2 + 1))
    prior = np.linspace(3, 0.5, size // 2 + 1)
    normal = accumulate(images, rotations, projector=projector, noise_variance=noise)
    assert normal.degrees.sum() == images.size
    precision = PosteriorPrecision(normal, prior, NOISE)
    root = np.sqrt(precision.prior_variance)
    columns = [
        fslice.irfft2(projector.project_ft(root * rfft3(e), rotations)).ravel()
        for e in np.eye(size**3).reshape(-1, size, size, size)
    ]
    design = np.stack(columns, 1)
    per_pixel = noise[:, np.minimum(fslice.fourier.shells(size, 2), size // 2)]
    pixels = np.eye(images.size).reshape(-1, *images.shape)
    white = np.stack(
        [fslice.irfft2(NOISE * per_pixel * fslice.rfft2(e)).ravel() for e in pixels], 1
    )
    covariance = design @ design.T + white
    expected = multivariate_normal(np.zeros(images.size), covariance).logpdf(images.ravel())
    estimate = log_evidence(precision, probes=60, tolerance=1e-9)
    assert abs(estimate.value - expected) < 4 * estimate.error
    assert estimate.error < 0.05 * size**1.5
    solution_bound = elbo(
        precision, rfft3(np.zeros((size,) * 3)), np.sqrt(1 / precision.diagonal())
    )
    assert solution_bound < expected


def test_log_determinant_equals_the_dense_one():
    precision, _, _, dense, _, _ = posed()
    estimate = log_determinant(precision, probes=60, tolerance=1e-7)
    assert abs(estimate.value - np.linalg.slogdet(dense)[1]) < 4 * estimate.error
    assert estimate.error < 1


def test_evidence_prefers_the_prior_that_the_volume_came_from(rng):
    projector = fslice.Projector(10)
    rotations = fslice.random_rotations(100, rng)
    volume_ft = rfft3(2 * rng.normal(size=(10, 10, 10)))
    images_ft = projector.project_ft(volume_ft, rotations)
    images = fslice.irfft2(images_ft) + rng.normal(size=(100, 10, 10))
    normal = accumulate(images, rotations, projector=projector)
    values = [log_evidence(PosteriorPrecision(normal, tau2)).value for tau2 in (1.0, 4.0, 16.0)]
    assert values[1] == max(values)


def test_held_out_images_are_predicted_and_the_shared_probes_cancel(rng):
    projector = fslice.Projector(8)
    rotations = fslice.random_rotations(300, rng)
    volume_ft = rfft3(2 * rng.normal(size=(8, 8, 8)))
    images_ft = projector.project_ft(volume_ft, rotations)
    images = fslice.irfft2(images_ft) + rng.normal(size=(300, 8, 8))
    training, held_out = (
        accumulate(images[part], rotations[part], projector=projector)
        for part in (slice(0, 200), slice(200, None))
    )
    learned = PosteriorPrecision(training, 4.0)
    estimate = held_out_log_likelihood(learned, held_out)
    ignorant = log_evidence(PosteriorPrecision(held_out, 4.0))
    assert estimate.value > ignorant.value
    assert estimate.error < ignorant.error
    whole, part = log_evidence(PosteriorPrecision(training + held_out, 4.0)), log_evidence(learned)
    assert np.isclose(estimate.value, whole.value - part.value, atol=1e-2)
