"""``fslice poses`` by workers of Dask: the bits of this process, whatever dies."""

import os
import signal
import sys
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import numpy as np
import peak_memory
import pytest
from cli_tools import fail, result
from pose_files import simulated_run
from test_cluster_dask import cluster, wait_for_workers  # noqa: F401 (a fixture)

import fslice
from fslice.alignment import search
from fslice.alignment.find import find_poses, pose_model, refine_poses
from fslice.alignment.fold import PoseFold
from fslice.alignment.posterior import PosePosterior
from fslice.alignment.search import PoseSearch
from fslice.cli import _progress, main, poses
from fslice.data import shares, workers
from fslice.data.cluster import ClusterExecutor
from fslice.data.dataset import Dataset
from fslice.data.poses import Poses
from fslice.data.tree import SumTree
from fslice.io import read_volume

pytest.importorskip("distributed", reason="Dask is not installed: the extra dask")
pytestmark = pytest.mark.filterwarnings("default")  # of Dask's and its packages' own
FIELDS = ("image_of", "rotations", "shifts", "weights", "covariance", "evidence", "rows")
SEARCH = PoseSearch(rotations=600, candidates=4)
SIZE, COUNT = 16, 40


@pytest.fixture(scope="module")
def client():
    """Have two workers on this machine, once."""
    with workers.local_workers(2) as client:
        yield client


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """Return a folder with a map, and images of it, once."""
    return simulated_run(tmp_path_factory.mktemp("poses"), COUNT)


@pytest.fixture(scope="module")
def dataset(run):
    particles = fslice.io.read_particles(run / "particles.star")
    return Dataset(particles.images, Poses(particles.rotations, particles.shifts), particles.ctf)


@pytest.fixture(scope="module")
def volume(run):
    return read_volume(run / "truth.mrc")[0]


def searched(dataset, volume, executor, **options):
    return find_poses(
        dataset, volume, noise_variance=1.0, shift_std=0.5, search=SEARCH, executor=executor,
        **options,
    )  # fmt: skip


def same_bits(one, other):
    return all(np.array_equal(getattr(one, name), getattr(other, name)) for name in FIELDS)


@pytest.fixture(scope="module")
def by_threads(dataset, volume):
    """Return the posterior that the same shares give in a thread, once."""
    with ThreadPoolExecutor(1) as executor:
        return searched(dataset, volume, executor)


def test_threads_and_workers_give_the_same_bits_in_the_order_of_images(
    client, dataset, volume, by_threads
):
    seen = []
    found = searched(dataset, volume, ClusterExecutor(client), progress=seen.append)
    assert same_bits(found, by_threads)
    assert found.rows.tolist() == list(range(COUNT))
    assert (sum(seen), len(seen)) == (COUNT, shares.LEAST_SHARES)
    whole = searched(dataset, volume, None)  # in one batch
    assert found.image_of.tolist() == whole.image_of.tolist()
    np.testing.assert_allclose(found.evidence, whole.evidence, rtol=1e-4)
    rows = np.arange(3, COUNT, 2)
    some = searched(dataset, volume, ClusterExecutor(client), rows=rows)
    assert some.rows.tolist() == rows.tolist()
    np.testing.assert_allclose(some.evidence, found.evidence[rows], rtol=1e-4)


def test_refinement_relaxed_symmetry_and_defocus_are_shared_too(client, dataset, volume):
    free = replace(SEARCH, defocus_std=300.0, contrast_std=0.2)

    def each(executor):
        options = {"shift_std": 0.5, "executor": executor}
        yield searched(dataset, volume, executor, relax_symmetry="C2")
        yield refine_poses(dataset, volume, **options)
        yield refine_poses(dataset, volume, search=free, **options)

    with ThreadPoolExecutor(2) as threads:
        expected = list(each(threads))
    found = list(each(ClusterExecutor(client)))
    assert all(map(same_bits, found, expected))
    assert found[-1].covariance.shape[1:] == (7, 7)
    assert np.array_equal(found[-1].defocus, expected[-1].defocus)
    alone = refine_poses(dataset, volume, search=free, shift_std=0.5)  # not in shares
    np.testing.assert_allclose(found[-1].defocus, alone.defocus, rtol=1e-3, atol=1)


def test_workers_that_are_killed_change_no_bit(client, dataset, volume, by_threads):
    killed = []

    def kill(seen):
        if not killed:
            killed.extend(client.run(os.getpid).values())
            for pid in killed:
                os.kill(pid, signal.SIGKILL)

    found = searched(dataset, volume, ClusterExecutor(client), progress=kill)
    assert len(killed) == 2
    assert same_bits(found, by_threads)


def test_a_share_has_no_more_images_than_the_fold_wants(dataset):
    (part,) = shares.parts_of(dataset, [np.arange(COUNT)], 3)
    assert [len(share.rows) for share in part.shares] == [3] * 12 + [2] * 2
    assert len(shares.parts_of(dataset, [np.arange(COUNT)])[0].shares) == shares.LEAST_SHARES
    fold = PoseFold(pose_model(dataset, np.ones((SIZE,) * 3, "f4"), search=SEARCH,
                               noise_variance=1.0, shift_std=1.0).prepared, 1.0)  # fmt: skip
    assert 0 < fold.share_size <= 256
    assert fold.nbytes() > sum(volume_ft.nbytes for _, volume_ft in fold.prepared.levels)


def test_what_is_sent_taken_and_needed_is_what_is_said(client, dataset, volume):
    executor = ClusterExecutor(client)
    found = searched(dataset, volume, executor)
    model = pose_model(dataset, volume, noise_variance=1.0, shift_std=0.5, search=SEARCH)
    fold = PoseFold(model.prepared, 1.0)
    assert executor.bytes_broadcast() == fold.nbytes()
    modes = sum(getattr(found, name).nbytes for name in (*FIELDS, "discarded"))
    # to the client, and at most once for each level at which workers add
    assert 1 <= sum(executor.bytes_sent().values()) / modes < 2.2
    assert max(client.run(peak_memory.peak).values()) < fold.worker_bytes(dataset)


# the command line ---------------------------------------------------------------------------------


@pytest.fixture
def words(run, tmp_path, monkeypatch):
    """Return a command, of a grid of few rotations, without lines of progress and a picture."""
    monkeypatch.setattr(search, "_ROTATIONS", 600)
    monkeypatch.setattr(_progress, "SILENT", float("inf"))
    monkeypatch.setattr(poses, "write_picture", lambda *_: None)
    star, truth = run / "particles.star", run / "truth.mrc"
    return ["poses", star, "--volume", truth, "--shift-std", 0.5, "-o", tmp_path / "r"]


def test_the_command_line_gives_the_bits_of_threads(capsys, words, tmp_path, dataset, volume):
    line = result(capsys, *words, "--workers", 1)
    (note,) = [note for note in line["notes"] if note.startswith("cluster")]
    assert note.startswith("cluster: 1 worker sent ")
    found = PosePosterior.load(tmp_path / "r" / "posterior.npz")
    with ThreadPoolExecutor(2) as threads:
        assert same_bits(found, find_poses(dataset, volume, shift_std=0.5, executor=threads))


def test_a_scheduler_that_dies_is_one_line(capsys, cluster, words, monkeypatch, tmp_path):  # noqa: F811
    where, scheduler = cluster
    wait_for_workers(where)
    put = SumTree.put
    monkeypatch.setattr(SumTree, "put", lambda *given: (put(*given), scheduler.kill())[0])
    assert main([str(word) for word in [*words, "--scheduler", where]]) == 2
    said, line = capsys.readouterr().err.splitlines()
    assert said.startswith("1 worker, each of up to 0.")
    assert "; a map of " in said
    assert line.startswith("error: scheduler tcp://")
    assert line.endswith("the connection to it was lost")
    assert not list((tmp_path / "r").glob("*"))


def test_what_is_missing_or_contradictory_is_one_line(capsys, words, monkeypatch, tmp_path):
    cases = [
        (["--workers", 2, "--scheduler", "tcp://a:1"], "--scheduler: expected no --workers"),
        (["--workers", 0], "--workers: expected an integer of at least 1"),
        (["--scheduler", "nowhere"], "scheduler nowhere: cannot be reached: "),
    ]
    monkeypatch.setattr(workers, "_CONNECT_SECONDS", 0.5)
    for options, message in cases:
        assert message in fail(capsys, *words, *options)
    monkeypatch.setattr(PoseFold, "worker_bytes", lambda self, dataset: 10**12)
    assert "--workers: one takes 1000.0 GB, and " in fail(capsys, *words, "--workers", 1)
    monkeypatch.setitem(sys.modules, "distributed", None)
    line = fail(capsys, *words, "--workers", 2)
    assert (
        line == "error: Dask, the extra dask, is not installed: pip install 'dask[distributed]'\n"
    )
    assert not (tmp_path / "r").exists()
