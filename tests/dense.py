"""Small problems as dense matrices, the oracle for everything that is in closed form."""

from types import SimpleNamespace

import numpy as np

import fslice
from fslice.data.dataset import Dataset
from fslice.data.poses import Poses
from fslice.fourier import hermitian_weights, inverse_transform, shells, transform
from fslice.likelihoods.gaussian import GaussianNoise
from fslice.posterior.elbo import elbo, elbo_of_prior, mean_field_std
from fslice.posterior.latent import MaskedVolume, SymmetricVolume
from fslice.posterior.mean import solve
from fslice.posterior.precision import PosteriorPrecision
from fslice.posterior.sums import normal_equations


def coordinates(array_ft, size):
    """Return a half spectrum as a vector, keeping inner products."""
    weighted = array_ft * np.sqrt(hermitian_weights(size))
    return np.concatenate([weighted.real.ravel(), weighted.imag.ravel()])


def dense_problem(size=4, oversampling=1, n=6, seed=0, *, full=True, dimension=3):
    """Return images with CTF, shifts and per-shell noise, and the whitened dense operator.

    `design` maps real volumes of the padded box to the images' band, in coordinates whose dot
    product is the weighted inner product of half spectra.
    """
    rng = np.random.default_rng(seed)
    projector = fslice.Projector(size, oversampling)
    if dimension == 3:
        rotations = fslice.random_rotations(n, rng)
    else:
        angles = rng.uniform(0, 2 * np.pi, n)
        rotations = np.moveaxis(
            np.array([[np.cos(angles), -np.sin(angles)], [np.sin(angles), np.cos(angles)]]), -1, 0
        )
    images = rng.normal(size=(n, *[size] * (dimension - 1)))
    half = (n, *[size] * (dimension - 2), size // 2 + 1)
    given_inputs = {}
    noise = np.ones((n, size // 2 + 1))
    if full:
        noise = rng.uniform(0.5, 2, noise.shape)
        given_inputs = {
            "shifts": rng.normal(size=(n, dimension - 1)),
            "ctf": rng.normal(size=half),
            "noise_variance": noise,
        }
    shell = np.minimum(shells(size, dimension - 1), size // 2)
    root = np.sqrt(1 / noise[:, shell])
    poses = {key: given_inputs.get(key) for key in ("shifts", "ctf")}
    box = projector.padded_size
    basis = np.eye(box**dimension).reshape(-1, *[box] * dimension)
    columns = [
        coordinates(root * projector.project_ft(transform(e, dimension), rotations, **poses), size)
        for e in basis
    ]
    band = projector.project_ft(transform(basis.sum(0) * 0 + basis[0], dimension), rotations) != 0
    inputs = {"images": images, "rotations": rotations, "projector": projector, **given_inputs}
    data = coordinates(root * transform(images, dimension - 1) * band, size)
    return inputs, np.stack(columns, 1), data


def real_matrix(operator, box, dimension=3):
    """Return the matrix of an operator on half spectra, in the basis of real voxels."""
    basis = np.eye(box**dimension).reshape(-1, *[box] * dimension)
    columns = [
        inverse_transform(operator(transform(e, dimension)), dimension, box).ravel() for e in basis
    ]
    return np.stack(columns, 1)


def accumulate(
    images,
    rotations,
    shifts=None,
    ctf=None,
    *,
    projector,
    noise_variance=None,
    symmetry="C1",
    **how,
):
    """Return the normal equations of images, each with noise of its own where that is given."""
    noise = None
    if noise_variance is not None:
        table = np.broadcast_to(noise_variance, (len(noise_variance), projector.size // 2 + 1))
        noise = GaussianNoise(table, None if len(table) == 1 else np.arange(len(table)))
    dataset = Dataset(images, Poses(rotations, shifts), ctf, noise, symmetry)
    return normal_equations(dataset, projector, **how)


def masked(normal, prior, mask, noise=1.0):
    """Return the posterior precision of a volume inside a mask."""
    return PosteriorPrecision(normal, prior, noise, MaskedVolume(normal.projector, mask))


def symmetric(normal, prior, mask, noise=1.0, symmetry="C1"):
    """Return the posterior precision of a symmetric volume inside a mask."""
    return PosteriorPrecision(
        normal, prior, noise, SymmetricVolume(normal.projector, mask, symmetry)
    )


def solve_exact(normal, prior, noise=1.0, **how):
    """Return the best independent-Gaussian posterior, with its bound."""
    precision = PosteriorPrecision(normal, prior, noise)
    found = solve(precision, **how)
    std = mean_field_std(precision)
    return SimpleNamespace(
        **found._asdict(),
        std=std,
        elbo=elbo(precision, found.mean, std),
        elbo_prior=elbo_of_prior(precision),
        volume=found.volume,
    )
