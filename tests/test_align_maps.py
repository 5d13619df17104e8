"""Maps are laid upon each other: rotation, shift and hand."""

import numpy as np
import pytest
from cli_tools import fail, result, succeed
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

import fslice
from fslice.fourier import irfft3, pad, radii, rfft3
from fslice.geometry import angle_between
from fslice.io import read_volume, write_volume
from fslice.metrics import _map_alignment, align_maps
from fslice.postprocess.masks import soft_spherical_mask
from fslice.simulation import GaussianModel
from fslice.symmetry import rotate_volume, symmetrize, symmetry_rotations
from fslice.symmetry._shears import mirror

SIZE = 24


def blobs(rng, size=SIZE, order=1):
    """Return an object without symmetry but the given one, well inside its box."""
    model = GaussianModel(
        rng.normal(size=(12, 3)) * size / 10, rng.uniform(0.5, 1, 12), np.full(12, 1.2)
    )
    volume = model.volume(size, 1.0)
    return symmetrize(volume, f"C{order}") if order > 1 else volume


@given(seed=st.integers(0, 10**6), parity=st.integers(0, 1))
@settings(max_examples=2, phases=[Phase.generate])
def test_the_inverse_of_a_rotation_and_shift_is_found(seed, parity):
    rng = np.random.default_rng(seed)
    reference = blobs(rng, SIZE + parity)
    rotation, shift = fslice.random_rotations(1, rng)[0], rng.uniform(-2, 2, 3)
    found = align_maps(rotate_volume(reference, rotation, shift), reference)
    assert angle_between(found.rotation, rotation.T) < 0.3
    # v(R (x - t)) with v(x) = u(Q (x - s)): u(Q R x - Q (R t + s)) is u where R t = -s
    assert np.allclose(found.rotation @ found.shift, -shift, atol=0.05)
    assert found.curve[:-1].min() > 0.95
    assert (found.mirrored, found.hand_nats) == (False, None)


@given(seed=st.integers(0, 10**6))
@settings(max_examples=1, phases=[Phase.generate])
def test_the_hand_is_found(seed):
    rng = np.random.default_rng(seed)
    reference = blobs(rng)
    moved = rotate_volume(reference, fslice.random_rotations(1, rng)[0], rng.uniform(-1, 1, 3))
    same, other = (align_maps(v, reference, hand=True) for v in (moved, mirror(moved, 0)))
    assert (same.mirrored, other.mirrored) == (False, True)
    assert min(same.hand_nats, other.hand_nats) > 10
    assert min(same.curve[:-1].min(), other.curve[:-1].min()) > 0.95


def test_details_tell_the_hand_of_what_looks_alike_at_low_frequency(rng):
    """An object whose coarse shape is its own mirror image."""
    coarse = blobs(rng)
    coarse = np.float32(coarse + mirror(coarse, 0))
    fine = rng.normal(size=coarse.shape)
    spectrum = fslice.rfft3(fine)
    spectrum[fslice.fourier.radii(SIZE, 3) < 7] = 0
    reference = coarse + 0.2 * coarse.std() * soft_spherical_mask(SIZE, 8.0, 2.0) * fslice.irfft3(
        spectrum
    )
    moved = mirror(rotate_volume(reference, fslice.random_rotations(1, rng)[0]), 0)
    found = align_maps(moved, reference, hand=True)
    assert found.mirrored
    assert found.curve[:-1].min() > 0.9
    low = align_maps(moved, reference, hand=True, max_radius=5)
    assert low.hand_nats < 0.05 * found.hand_nats


def test_of_a_symmetric_object_one_of_the_equal_rotations_is_found(rng):
    reference = blobs(rng, order=5)
    rotation = fslice.random_rotations(1, rng)[0]
    found = align_maps(rotate_volume(reference, rotation), reference)
    # v(R x) with v(x) = u(Q x): any R with Q R in the group
    assert angle_between(symmetry_rotations("C5"), rotation @ found.rotation).min() < 0.5
    assert found.curve[:-1].min() > 0.95


def test_noise_moves_the_answer_by_little(rng):
    reference = blobs(rng)
    rotation = fslice.random_rotations(1, rng)[0]
    moved = rotate_volume(reference, rotation)
    found = align_maps(moved + 0.5 * moved.std() * rng.normal(size=moved.shape), reference)
    assert angle_between(found.rotation, rotation.T) < 3


def test_a_rotated_volume_is_its_density_at_the_rotated_places(rng):
    centres, widths = rng.normal(size=(5, 3)) * 2, np.full(5, 1.5)
    rotation, shift = fslice.random_rotations(1, rng)[0], rng.normal(size=3)
    model = GaussianModel(centres, np.ones(5), widths)
    # v(R (x - t)) has its centres at R^T c + t
    moved = GaussianModel(centres @ rotation + shift, np.ones(5), widths)
    expected = moved.volume(SIZE, 1.0)
    error = rotate_volume(model.volume(SIZE, 1.0), rotation, shift) - expected
    assert abs(error).max() < 1e-3 * expected.max()


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_the_precision_is_that_of_the_map(rng, dtype):
    volume = blobs(rng).astype(dtype)
    assert align_maps(volume, volume.astype("float64")).volume.dtype == dtype


def test_maps_that_cannot_be_compared_are_refused(rng):
    volume = blobs(rng)
    with pytest.raises(ValueError, match=r"reference: expected shape \(24, 24, 24\), got"):
        align_maps(volume, pad(volume, 26, 3))
    with pytest.raises(ValueError, match="reference: expected a map with contrast"):
        align_maps(volume, np.ones_like(volume))
    with pytest.raises(ValueError, match="shift: expected shape"):
        rotate_volume(volume, np.eye(3), np.zeros(2))


def test_alignment_stays_on_its_device(rng, device, monkeypatch):
    monkeypatch.setattr(_map_alignment, "_GRID", 60)
    monkeypatch.setattr(_map_alignment, "_CANDIDATES", 8)
    volume, reference = blobs(rng, 16), blobs(rng, 16)
    on_host = align_maps(volume, reference, hand=True)
    found = align_maps(device.asarray(volume), device.asarray(reference), hand=True)
    assert isinstance(found.volume, device.ndarray)
    assert np.allclose(found.volume.get(), on_host.volume, atol=1e-6)


@pytest.fixture
def files(tmp_path, rng):
    """Write a reference, and its mirror image rotated."""
    reference = np.float32(blobs(rng))
    moved = mirror(rotate_volume(reference, fslice.random_rotations(1, rng)[0]), 0)
    write_volume(tmp_path / "reference.mrc", reference, 2.0)
    write_volume(tmp_path / "moved.mrc", np.ascontiguousarray(moved), 2.0)
    return tmp_path


def test_the_command_writes_the_aligned_map(files, capsys):
    words = "align", files / "moved.mrc", files / "reference.mrc", "-o", files / "out.mrc", "--hand"
    line = result(capsys, *words)
    written, pixel_size = read_volume(files / "out.mrc")
    reference, _ = read_volume(files / "reference.mrc")
    assert fslice.fsc(written, reference)[:-1].min() > 0.95
    assert pixel_size == pytest.approx(2.0)
    assert line["mirrored"]
    assert line["hand_nats"] > 10
    assert np.shape(line["rotation_matrix"]) == (3, 3)


def test_fsc_aligns_where_it_is_asked_to(files, capsys):
    words = "fsc", files / "moved.mrc", files / "reference.mrc"
    before = result(capsys, *words)
    after = result(capsys, *words, "--align", "--hand")
    assert np.mean(after["fsc"][:-1]) > 0.98 > np.mean(before["fsc"][:-1])
    assert "hand: mirrored" in succeed(capsys, *words, "--align", "--hand")
    assert fail(capsys, *words, "--hand") == "error: --hand: expected --align beside it\n"


@pytest.mark.parametrize("seed", [1, 2])
def test_details_decide_between_equals_of_a_nearly_symmetric_map(seed):
    """Up to shell 12 seven rotations are as good as each other; what breaks that lies beyond."""
    size, rng = 48, np.random.default_rng(0)
    ring = GaussianModel(12 * rng.uniform(-1, 1, (6, 3)) + [6, 0, 0], np.ones(6), np.ones(6))
    volume = symmetrize(ring.volume(size, 1.0), "C7")
    mark = GaussianModel(10 * rng.uniform(-1, 1, (12, 3)), np.ones(12), np.full(12, 0.8))
    details = rfft3(mark.volume(size, 1.0))
    details[radii(size, 3, np) < 13] = 0
    details = irfft3(details)
    volume += 0.3 * volume.std() / details.std() * details
    rng = np.random.default_rng(seed)
    rotation = fslice.random_rotations(1, rng)[0]
    moved, reference = (
        each + 0.3 * volume.std() * rng.normal(size=each.shape)
        for each in (rotate_volume(volume, rotation, rng.normal(size=3)), volume)
    )
    found = align_maps(moved, reference, max_radius=20)
    assert angle_between(found.rotation, rotation.T) < 1


@pytest.mark.parametrize(("group", "seed"), [("D7", 2), ("D7", 5), ("O", 1), ("O", 3)])
def test_one_feature_decides_between_the_equals_of_large_groups(group, seed):
    """Fourteen rotations, or 24, are all but equal: what is right has to be among those refined."""
    size, rng = 32, np.random.default_rng(0)
    places = rng.normal(size=(4, 3))
    lengths = 0.3 * size * rng.uniform(0.5, 1, (4, 1))
    places *= lengths / np.linalg.norm(places, axis=1, keepdims=True)
    places = np.einsum("gij,pj->gpi", symmetry_rotations(group), places).reshape(-1, 3)
    weights = np.where(np.arange(len(places)) == 0, 2.0, 1.0)
    volume = GaussianModel(places, weights, np.full(len(places), 1.5)).volume(size, 1.0)
    rng = np.random.default_rng(seed)
    rotation = fslice.random_rotations(1, rng)[0]
    moved, reference = (
        each + 0.3 * volume.std() * rng.normal(size=each.shape)
        for each in (rotate_volume(volume, rotation, rng.normal(size=3)), volume)
    )
    assert angle_between(align_maps(moved, reference).rotation, rotation.T) < 1
