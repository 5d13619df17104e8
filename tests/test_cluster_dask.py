"""Dask's workers as an executor: the same bits whatever dies, and one line where all is lost."""

import dataclasses
import os
import pathlib
import signal
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import peak_memory
import pytest
from cli_tools import fail, result, succeed
from test_cluster_shares import SIZE, N, dataset, equations, expected, same_bits

import fslice
from fslice.cli import _cluster, _progress, _results, main
from fslice.data import shares, workers
from fslice.data.cluster import ClusterExecutor, on_every_worker
from fslice.data.dataset import Dataset
from fslice.data.passes import sum_over
from fslice.data.poses import Poses
from fslice.data.tree import SumTree
from fslice.io import StackWriter, read_particles, read_volume
from fslice.io.stack import open_stack
from fslice.metrics import split_half_sets
from fslice.posterior.memory import sum_bytes, worker_bytes
from fslice.posterior.partial_sums import PATTERN
from fslice.posterior.sums import normal_equations
from fslice.solvers.exact import Exact

CommClosedError = pytest.importorskip(
    "distributed.comm", reason="Dask is not installed: the extra dask"
).CommClosedError
pytestmark = pytest.mark.filterwarnings("default")  # of Dask's and its packages' own


@pytest.fixture(scope="module")
def client():
    """Have two workers on this machine, once."""
    with workers.local_workers(2) as client:
        yield client


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """Simulate particles, once."""
    folder = tmp_path_factory.mktemp("run")
    words = "simulate phantom --size 24 --pixel-size 4 -n 200 --snr 1 --shift-std 1 --ctf"
    assert main([*words.split(), "-o", str(folder)]) == 0
    return folder


@pytest.fixture(autouse=True)
def quiet(monkeypatch):
    """Have no lines of progress and no picture."""
    monkeypatch.setattr(_progress, "SILENT", float("inf"))
    monkeypatch.setattr(_results, "_write_summary", lambda path, *_: path.write_bytes(b""))


@pytest.fixture(scope="module")
def by_threads(run):
    """Return the map that the same shares give in threads, once."""
    inputs = read_particles(run / "particles.star")
    labels = np.full(len(inputs), 2)
    labels[split_half_sets(len(inputs), np.random.default_rng(0))[0]] = 1
    with ThreadPoolExecutor(2) as executor:
        return fslice.reconstruct(
            inputs.images, inputs.rotations, inputs.shifts, inputs.ctf, half_sets=labels,
            solver=Exact(executor=executor),
        ).mean  # fmt: skip


@pytest.fixture
def on_third_sum(monkeypatch):
    """Return what has a function called once, when the third sum arrives."""

    def call(function):
        put, seen = SumTree.put, []

        def counted(tree, node, value):
            put(tree, node, value)
            seen.append(node)
            if len(seen) == 3:
                function()

        monkeypatch.setattr(SumTree, "put", counted)
        return seen

    yield call
    monkeypatch.undo()


# sums ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("root_levels", [3, 1])
def test_workers_give_the_same_bits_wherever_sums_are_added(client, monkeypatch, root_levels):
    monkeypatch.setattr(shares, "_ROOT_LEVELS", root_levels)
    seen = []
    assert same_bits(equations(ClusterExecutor(client), progress=seen.append), expected())
    assert sum(seen) == N
    assert len(seen) == 2 * shares.LEAST_SHARES


def test_so_does_dasks_own_executor(client):
    assert same_bits(equations(client.get_executor(pure=False)), expected())


def test_noise_and_contrast_are_measured_by_workers_too(client):
    options = {"noise": "shell", "contrast": True}
    maps = [
        fslice.reconstruct(dataset(), solver=Exact(executor=executor), **options).mean
        for executor in (ClusterExecutor(client), client.get_executor(pure=False))
    ]
    assert np.array_equal(*maps)


def test_workers_that_are_killed_change_no_bit(client, on_third_sum):
    def kill():
        for pid in client.run(os.getpid).values():
            os.kill(pid, signal.SIGKILL)

    on_third_sum(kill)
    assert same_bits(equations(ClusterExecutor(client)), expected())


def test_what_is_sent_is_the_sums_as_predicted(client):
    pixels = np.zeros((64, 24, 24), "f4")
    poses = Poses(np.eye(3)[None].repeat(64, 0))
    data, projector = Dataset(pixels, poses), fslice.Projector(24)
    executor = ClusterExecutor(client)
    normal_equations(data, projector, executor=executor)
    sent = sum(executor.bytes_sent().values())
    assert sent == pytest.approx(shares.LEAST_SHARES * sum_bytes(data, projector), rel=0.1)


def test_a_share_that_kills_every_worker_is_given_up_in_a_line(client, monkeypatch):
    client.run_on_scheduler(_allow_failures, 0)
    try:
        with pytest.raises(OSError, match=r"worker tcp://.*: died, like 0 others before it"):
            sum_over(dataset(), _die, executor=ClusterExecutor(client))
    finally:
        client.run_on_scheduler(_allow_failures, 20)


def _allow_failures(count, dask_scheduler):
    dask_scheduler.allowed_failures = count


def _die(batch):
    os.kill(os.getpid(), signal.SIGKILL)


# files --------------------------------------------------------------------------------------------


@pytest.fixture
def stack(tmp_path):
    with StackWriter(tmp_path / "a.mrcs", N, SIZE, 1.0) as writer:
        writer.write(np.asarray(dataset().images, "f4"))
    return open_stack(tmp_path / "a.mrcs")


def test_workers_whose_connections_are_lost_are_asked_again(monkeypatch):
    """As a worker that dies while all are asked closes its own."""

    class Client:
        failures = 2

        def run(self, function, *arguments):
            if self.failures:
                self.failures -= 1
                raise CommClosedError("in <TCP (closed)>: Stream is closed")
            return {"tcp://a": function(*arguments)}

    monkeypatch.setattr("fslice.data.cluster._PAUSE", 0.0)
    assert on_every_worker(Client(), abs, -3) == {"tcp://a": 3}
    lost = Client()
    lost.failures = 100
    with pytest.raises(OSError, match="Stream is closed"):
        on_every_worker(lost, abs, -3)
    assert lost.failures == 95


def test_a_file_that_a_worker_cannot_read_names_file_and_worker(client, stack):
    data = dataclasses.replace(dataset(), images=stack)
    os.unlink(stack.files[0].path)
    with pytest.raises(OSError, match=r"No such file or directory, on worker tcp://.*a\.mrcs"):
        normal_equations(data, fslice.Projector(SIZE), executor=ClusterExecutor(client))


def test_files_are_looked_for_on_every_worker_before_anything_is_summed(client, stack, monkeypatch):
    path = stack.files[0].path
    workers.check_files(client, [path])
    monkeypatch.setattr(workers.os.path, "getsize", lambda path: 5)
    with pytest.raises(OSError, match=rf"expected 5 bytes, got \d+, on worker tcp://.*{path}"):
        workers.check_files(client, [path])
    monkeypatch.undo()
    os.chmod(path, 0)
    if not os.access(path, os.R_OK):
        with pytest.raises(OSError, match=r"Permission denied, on worker tcp://"):
            workers.check_files(client, [path])


# the command line ---------------------------------------------------------------------------------


def test_the_command_line_gives_the_same_map(capsys, run, tmp_path, by_threads):
    words = ["reconstruct", run / "particles.star", "-o", tmp_path / "r"]
    found = result(capsys, *words, "--workers", 1)
    assert np.array_equal(read_volume(tmp_path / "r" / "mean.mrc")[0], by_threads)
    (note,) = [note for note in found["notes"] if note.startswith("cluster")]
    assert note.startswith("cluster: 1 worker sent ")


@pytest.fixture
def cluster(tmp_path):
    """Have a scheduler and a worker as processes of their own; yield its file and its process."""
    where = tmp_path / "scheduler.json"
    scheduler = f"scheduler --port 0 --no-dashboard --scheduler-file {where}"
    worker = f"worker --scheduler-file {where} --nthreads 1 --no-nanny --no-dashboard"
    programs = [scheduler, f"{worker} --local-directory {tmp_path / 'scratch'}"]
    paths = [str(pathlib.Path(__file__).parents[1]), *filter(None, sys.path)]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(paths)}
    processes = [
        subprocess.Popen(
            [sys.executable, "-m", f"distributed.cli.dask_{name}", *options],
            env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        )
        for name, *options in map(str.split, programs)
    ]  # fmt: skip
    deadline = time.monotonic() + 120
    while not where.is_file() and time.monotonic() < deadline:
        time.sleep(0.05)
    try:
        yield where, processes[0]
    finally:
        for process in processes:
            process.kill()
            process.wait()


def test_a_scheduler_that_dies_is_one_line_and_another_run_goes_on(
    capsys, cluster, run, tmp_path, by_threads, on_third_sum
):
    where, scheduler = cluster
    words = ["reconstruct", run / "particles.star", "-o", tmp_path / "r"]
    wait_for_workers(where)
    seen = on_third_sum(scheduler.kill)
    assert main([str(word) for word in [*words, "--scheduler", where]]) == 2
    said, line = capsys.readouterr().err.splitlines()
    assert said == "1 worker, each of up to 0.4 GB of memory; sums of 0.5 MB"
    assert line.startswith("error: scheduler tcp://")
    assert "the connection to it was lost; go on with: fslice reconstruct" in line
    assert line.endswith("--resume")
    kept = list((tmp_path / "r").glob(PATTERN))
    assert kept
    assert "holds an interrupted run" in fail(capsys, *words, "--workers", 1)
    before = len(seen)
    succeed(capsys, *words, "--workers", 1, "--resume")
    assert len(seen) - before < 2 * shares.LEAST_SHARES + len(kept)
    assert np.array_equal(read_volume(tmp_path / "r" / "mean.mrc")[0], by_threads)
    assert not list((tmp_path / "r").glob("checkpoint*"))


def wait_for_workers(where):
    from distributed import Client

    with Client(scheduler_file=str(where)) as client:
        client.wait_for_workers(1, timeout=120)


def test_an_interruption_leaves_sums_from_which_another_run_goes_on(
    capsys, run, tmp_path, by_threads, on_third_sum
):
    words = ["reconstruct", run / "particles.star", "-o", tmp_path / "r"]
    on_third_sum(lambda: os.kill(os.getpid(), signal.SIGINT))
    assert main([str(word) for word in [*words, "--workers", 2]]) == 130
    assert "interrupted: go on with: fslice reconstruct" in capsys.readouterr().err
    assert list((tmp_path / "r").glob(PATTERN))
    succeed(capsys, *words, "--workers", 1, "--resume")
    assert np.array_equal(read_volume(tmp_path / "r" / "mean.mrc")[0], by_threads)


def test_workers_leave_ctrl_c_to_the_client(client):
    assert set(client.run(signal.getsignal, signal.SIGINT).values()) == {signal.SIG_IGN}


def test_what_is_missing_or_contradictory_is_one_line(capsys, run, tmp_path, monkeypatch):
    words = ["reconstruct", run / "particles.star", "-o", tmp_path / "r"]
    cases = [
        (["--workers", 2, "--solver", "adam"], "--workers: expected --solver exact, got adam"),
        (["--workers", 2, "--scheduler", "tcp://a:1"], "--scheduler: expected no --workers"),
        (["--workers", 0], "--workers: expected an integer of at least 1"),
        (["--scheduler", "nowhere"], "scheduler nowhere: cannot be reached: "),
    ]
    monkeypatch.setattr(workers, "_CONNECT_SECONDS", 0.5)
    for options, message in cases:
        assert message in fail(capsys, *words, *options)
    monkeypatch.setitem(sys.modules, "distributed", None)
    line = fail(capsys, *words, "--workers", 2)
    assert (
        line == "error: Dask, the extra dask, is not installed: pip install 'dask[distributed]'\n"
    )
    assert not (tmp_path / "r").exists()


def test_too_little_memory_is_refused_with_the_number_that_fits(capsys, run, tmp_path, monkeypatch):
    words = ["reconstruct", run / "particles.star", "-o", tmp_path / "r"]
    need = 320_000_000
    monkeypatch.setattr(_cluster, "worker_bytes", lambda *_: need)
    monkeypatch.setattr(_cluster, "free_memory", lambda: 3 * need + 1)
    assert (
        "--workers: expected at most 3, since each takes 0.3 GB of the 1.0 GB of memory that are "
        "free, got 4" in fail(capsys, *words, "--workers", 4)
    )
    monkeypatch.setattr(_cluster, "free_memory", lambda: need - 1)
    assert "a machine with more, or images in a smaller box" in fail(capsys, *words, "--workers", 1)


def test_workers_of_a_cluster_with_too_many_threads_for_their_memory_are_named(monkeypatch):
    table = {"tcp://a": {"memory_limit": 10_000, "nthreads": 4}}
    for module in (_cluster, workers):
        monkeypatch.setattr(module, "worker_table", lambda client: table)
    _cluster._check_memory(None, 2_500)
    with pytest.raises(ValueError, match=r"on tcp://a: start it with --nthreads 3"):
        _cluster._check_memory(None, 3_000)
    with pytest.raises(ValueError, match=r"on tcp://a: start it with more memory"):
        _cluster._check_memory(None, 11_000)


def test_a_worker_takes_no_more_than_is_said(client):
    """At 64 pixels the sums are small against a process: what the run adds is compared."""
    size, rng = 64, np.random.default_rng(0)
    pixels = rng.normal(size=(800, size, size)).astype("f4")
    data = Dataset(pixels, Poses(fslice.random_rotations(800, rng)))
    projector = fslice.Projector(size)
    normal_equations(data, projector, executor=ClusterExecutor(client))
    peak = max(client.run(peak_memory.peak).values())
    assert peak < worker_bytes(data, projector)
    assert sum_bytes(data, projector) == sum(
        array.nbytes for array in (lambda n: (n.b, n.stencil))(normal_equations(data, projector))
    )
