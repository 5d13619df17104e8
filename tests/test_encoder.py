"""The encoder of poses: its gradient, its targets, and that it learns."""

import itertools

import numpy as np
import pytest

import fslice
from fslice.alignment.encoder import targets_of, train_encoder
from fslice.alignment.network import Layer, cross_entropy, cross_entropy_vjp, log_probabilities
from fslice.geometry import grid_rotations
from fslice.symmetry import symmetry_rotations


def small_network(rng):
    widths = (7, 6, 5, 4)
    layers = tuple(
        Layer(rng.normal(size=(a, b)), rng.normal(size=b)) for a, b in itertools.pairwise(widths)
    )
    targets = rng.dirichlet(np.ones(4), size=3)
    return layers, rng.normal(size=(3, 7)), targets


def test_the_gradient_is_that_of_the_cross_entropy(rng):
    """Against central differences, in a random direction through all layers."""
    layers, features, targets = small_network(rng)
    loss, gradients = cross_entropy_vjp(layers, features, targets)
    assert loss == pytest.approx(cross_entropy(layers, features, targets))
    direction = tuple(Layer(*(rng.normal(size=a.shape) for a in layer)) for layer in layers)
    slope = sum(
        (g * d).sum() for a, b in zip(gradients, direction, strict=True)
        for g, d in zip(a, b, strict=True)
    )  # fmt: skip

    def moved(step):
        return tuple(
            Layer(*(a + step * d for a, d in zip(layer, one, strict=True)))
            for layer, one in zip(layers, direction, strict=True)
        )

    step = 1e-6
    ends = [cross_entropy(moved(sign * step), features, targets) for sign in (1, -1)]
    assert slope == pytest.approx((ends[0] - ends[1]) / (2 * step), rel=1e-6)


def test_probabilities_are_of_one_cell_or_another(rng):
    layers, features, _ = small_network(rng)
    assert np.allclose(np.exp(log_probabilities(layers, 1e3 * features)).sum(1), 1)


def test_targets_fall_off_with_the_angle_and_are_the_same_for_symmetry_mates(rng):
    group, cells = symmetry_rotations("C7"), grid_rotations(500)
    poses = fslice.random_rotations(4, rng)
    targets = targets_of(poses, cells, group, 0.2)
    assert np.allclose(targets.sum(1), 1)
    assert np.allclose(targets, targets_of(group[3] @ poses, cells, group, 0.2))
    mates = group[:, None] @ cells
    for pose, target in zip(poses, targets, strict=True):
        off = np.min([fslice.geometry.angle_between(mate, pose) for mate in mates], axis=0)
        assert off[target.argmax()] < off.min() + 1
        assert target[off > 90].max(initial=0) < 1e-6


def test_an_encoder_names_the_cell_after_a_little_training(rng):
    """Of an object without symmetry: far more often than by chance."""
    positions = 25 * rng.uniform(-1, 1, (12, 3))
    model = fslice.simulation.GaussianModel(positions, rng.uniform(0.5, 2, 12), np.full(12, 30.0))
    data = fslice.simulate(model, 200, 20, 5.0, snr=5.0)
    losses = []
    encoder = train_encoder(
        data.truth, data.noise_variance, cells=200, radius=5, hidden=(64,), steps=150, rng=rng,
        progress=lambda count, loss: losses.append(loss),
    )  # fmt: skip
    assert len(losses) == 150
    assert np.mean(losses[-10:]) < np.mean(losses[:10]) - 1
    images = encoder.band.flatten(encoder.band.crop(fslice.rfft2(data.images())))
    found = encoder.propose(images, 5)
    assert (np.diff(found.confidences, axis=1) <= 0).all()
    off = fslice.geometry.angle_between(encoder.rotations[found.cells], data.rotations[:, None])
    assert (off.min(1) < 30).mean() > 0.7


def test_features_of_other_images_are_refused(rng):
    volume = fslice.phantom(20, 6.0).volume(20, 6.0)
    encoder = train_encoder(volume, 1.0, cells=30, radius=4, hidden=(8,), steps=1, rng=rng)
    with pytest.raises(ValueError, match="images"):
        encoder.propose(np.zeros((2, 3), complex), 1)
