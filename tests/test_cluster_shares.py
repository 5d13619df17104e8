"""Sums of shares: the same bits whoever works on them, few at a time, and not twice."""

import dataclasses
import functools
import itertools
import os
import pickle
import threading
import tracemalloc
from concurrent.futures import Executor, Future, ProcessPoolExecutor, ThreadPoolExecutor

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import fslice
from fslice._threads import available_cpus, one_thread
from fslice.data import shares
from fslice.data.dataset import Dataset
from fslice.data.identity import identity
from fslice.data.passes import sum_over
from fslice.data.poses import Poses
from fslice.data.shares import Partial, Share, parts_of
from fslice.data.tree import SumTree
from fslice.io import StackWriter
from fslice.io.stack import open_stack
from fslice.likelihoods.gaussian import GaussianNoise
from fslice.operators.aberrations import Aberrations
from fslice.posterior.partial_sums import PATTERN, PartialSums
from fslice.posterior.sums import normal_equations, normal_equations_of_sets
from fslice.solvers.exact import Exact

N, SIZE = 40, 8
HALVES = [np.arange(0, N, 2), np.arange(1, N, 2)]
SUMS = ("b", "stencil", "squares", "degrees", "log_weights", "count")


@functools.cache
def dataset(**options):
    rng = np.random.default_rng(0)
    poses = Poses(fslice.random_rotations(N, rng), rng.normal(size=(N, 2)))
    return Dataset(rng.normal(size=(N, SIZE, SIZE)), poses, **options)


def equations(executor, **options):
    return normal_equations_of_sets(
        dataset(), fslice.Projector(SIZE), HALVES, executor=executor, **options
    )


@functools.cache
def expected():
    with ThreadPoolExecutor(1) as one:
        return equations(one)


def same_bits(found, wanted):
    return all(
        np.array_equal(getattr(a, name), getattr(b, name))
        for a, b in zip(found, wanted, strict=True)
        for name in SUMS
    )


class InAnyOrder(Executor):
    """Works in a thread on what was submitted, in an order of its own; counts what waits."""

    def __init__(self, seed, workers):
        self.rng, self._max_workers = np.random.default_rng(seed), workers
        self.waiting, self.most, self.lock = [], 0, threading.Lock()
        self.pool = ThreadPoolExecutor(1)

    def submit(self, function, *arguments):
        future = Future()
        with self.lock:
            self.waiting.append((future, function, arguments))
            self.most = max(self.most, len(self.waiting))
        self.pool.submit(self._work)
        return future

    def _work(self):
        with self.lock:
            future, function, arguments = self.waiting.pop(self.rng.integers(len(self.waiting)))
        try:
            future.set_result(function(*arguments))
        except BaseException as error:
            future.set_exception(error)


# the tree -----------------------------------------------------------------------------------------


@given(order=st.permutations(range(11)))
def test_a_tree_has_one_shape_whatever_the_order(order):
    tree = SumTree(len(order))
    for leaf in order:
        tree.put((0, leaf), Bracketed(str(leaf)))
    assert tree.total.text == "((((0+1)+(2+3))+((4+5)+(6+7)))+((8+9)+10))"
    assert len(tree.sums) == 1


@dataclasses.dataclass
class Bracketed:
    text: str

    def __add__(self, other):
        return Bracketed(f"({self.text}+{other.text})")


@given(
    leaves=st.integers(1, 40),
    height=st.integers(0, 6),
    there=st.sets(st.tuples(st.integers(0, 3), st.integers(0, 39))),
)
def test_what_is_missing_completes_the_tree_and_no_leaf_counts_twice(leaves, height, there):
    tree = SumTree(leaves)
    covered = set()
    for level, index in sorted(there, reverse=True):
        node = (min(level, tree.root[0]), index)
        own = set(tree.leaves_of(node))
        if own and not own & covered:
            covered |= own
            tree.put(node, tuple(own))
    missing = list(tree.missing(height))
    assert all(level <= height for level, _ in missing)
    everything = [*covered, *itertools.chain(*map(tree.leaves_of, missing))]
    assert sorted(everything) == list(range(leaves))


# executors ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("kind", "workers"),
    [(ThreadPoolExecutor, 2), (ThreadPoolExecutor, 3), (ProcessPoolExecutor, 2)],
)
def test_threads_and_processes_give_the_same_bits(kind, workers):
    with kind(workers) as executor:
        assert same_bits(equations(executor), expected())


@settings(max_examples=10)
@given(seed=st.integers(0, 1000), workers=st.integers(1, 16))
def test_sums_that_arrive_in_any_order_give_the_same_bits(seed, workers):
    executor = InAnyOrder(seed, workers)
    assert same_bits(equations(executor), expected())
    assert executor.most <= 2 * workers


def test_at_most_a_few_partial_sums_are_alive():
    """64 shares of a megabyte each, of which two workers may hold four, and the tree seven."""
    large = Dataset(np.zeros((64, 2, 2)), Poses(np.eye(3)[None].repeat(64, 0)))

    def work(data, rows):
        return np.ones(1 << 17)

    row_sets = np.split(np.arange(64), 8)  # of 8 shares each
    tracemalloc.start()
    with ThreadPoolExecutor(2) as executor:
        found = shares.sums_of_shares(executor, work, large, row_sets)
    peak = tracemalloc.get_traced_memory()[1] / (1 << 20)
    tracemalloc.stop()
    assert all((total == 8).all() for total in found)
    assert peak < 8 + 4 + 7


def test_shares_are_summed_by_one_thread_each():
    assert available_cpus() >= 1
    with one_thread():
        assert available_cpus() == 1
    seen = []
    with ThreadPoolExecutor(2) as executor:
        sum_over(dataset(), lambda batch: seen.append(available_cpus()) or 0, executor=executor)
    assert seen == [1] * len(seen)
    assert len(seen) == shares.LEAST_SHARES


@pytest.mark.parametrize(("images", "size", "count"), [(3, 8, 3), (100, 8, 8), (40_000, 128, 16)])
def test_shares_depend_on_the_number_and_the_size_of_images_alone(images, size, count):
    pixels = np.lib.stride_tricks.as_strided(np.zeros(1, "f4"), (images, size, size), (0, 0, 0))
    poses = Poses(np.eye(3)[None].repeat(images, 0))
    (part,) = parts_of(Dataset(pixels, poses), [np.arange(images)])
    assert len(part.shares) == count
    lengths = [len(share.rows) for share in part.shares]
    assert sum(lengths) == images
    assert max(lengths) - min(lengths) <= 1


def test_a_failure_stops_what_waits_and_is_raised():
    done = []

    def work(batch):
        if done:
            raise OSError(5, "Input/output error", "a.mrcs")
        done.append(batch)
        return 0

    executor = InAnyOrder(0, 4)
    with pytest.raises(OSError, match=r"Input/output error: 'a.mrcs'"):
        sum_over(dataset(), work, executor=executor)
    assert len(done) == 1


def test_an_executor_that_is_gone_is_an_error_in_a_line():
    class Gone(Executor):
        def submit(self, *arguments):
            future = Future()
            future.cancel()
            future.set_running_or_notify_cancel()
            return future

    with pytest.raises(OSError, match="executor: it is gone"):
        sum_over(dataset(), lambda batch: 0, executor=Gone())


# what travels -------------------------------------------------------------------------------------


def test_a_share_takes_its_own_images_along_and_sums_to_the_same():
    rng, options = np.random.default_rng(1), {}
    options["groups"] = np.arange(N) % 2
    options["contrast"] = 1 + 0.1 * rng.normal(size=N)
    options["half_sets"] = 1 + np.arange(N) % 2
    options["noise"] = GaussianNoise(np.array([[1.0], [2.0]]), np.arange(N) % 2)
    options["aberrations"] = Aberrations(
        odd=rng.normal(size=(2, 2)), even=np.zeros((2, 0)), group=np.arange(N) % 2, pixel_size=1.0
    )
    whole = dataset_with(ctf=rng.normal(size=(N, SIZE, SIZE // 2 + 1)), **options)
    rows = np.array([3, 4, 11, 30])
    share = pickle.loads(pickle.dumps(Share(whole, rows)))
    assert len(share.dataset) == 4
    for part, of in ((share.dataset, share.rows), (whole, rows)):
        seen = []
        sum_over(part, lambda batch, seen=seen: seen.append(batch) or 0, rows=of)
        if of is share.rows:
            travelled = seen
    for a, b in zip(travelled, seen, strict=True):
        for one, other in zip(a, b, strict=True):
            np.testing.assert_array_equal(one, other)
    assert np.array_equal(np.sort(travelled[0].rows), rows)


def dataset_with(ctf, **options):
    return dataclasses.replace(dataset(), ctf=ctf, **options)


def test_a_pickled_stack_names_its_files_by_absolute_paths_and_no_others(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    stacks = []
    for number in range(3):
        with StackWriter(f"{number}.mrcs", 4, 8, 1.0) as writer:
            writer.write(np.full((4, 8, 8), float(number)))
        stacks.append(open_stack(f"{number}.mrcs"))
    whole = dataclasses.replace(
        stacks[0],
        files=tuple(stack.files[0] for stack in stacks),
        file_index=np.repeat([0, 1, 2], 4),
        image_index=np.tile(np.arange(4), 3),
    )
    (tmp_path / "elsewhere").mkdir()
    sent = pickle.dumps(whole.select([1, 9]))
    monkeypatch.chdir(tmp_path / "elsewhere")
    found = pickle.loads(sent)
    assert [str(layout.path) for layout in found.files] == [
        str(tmp_path / name) for name in ("0.mrcs", "2.mrcs")
    ]
    assert found[:].mean((1, 2)).tolist() == [0.0, 2.0]


def test_a_bad_pixel_of_a_share_is_named_by_its_place_in_the_whole_set():
    images = dataset().images.copy()
    images[33, 2, 5] = np.nan
    bad = Dataset(images, dataset().poses)
    with ProcessPoolExecutor(1) as executor, pytest.raises(ValueError, match="image 33: 1 of 64"):
        normal_equations(bad, fslice.Projector(SIZE), executor=executor)


class Noting:
    """Images that note which of them were read."""

    def __init__(self, images):
        self.images, self.shape, self.dtype = images, images.shape, images.dtype
        self.read = np.zeros(len(images), int)

    def __getitem__(self, index):
        self.read[index] += 1
        return self.images[index]

    def select(self, rows):
        return Noting(self.images[rows])

    def notes(self, rows):
        return self.read[rows]

    def add_notes(self, rows, notes):
        self.read[rows] += notes


@pytest.mark.parametrize("kind", [ThreadPoolExecutor, ProcessPoolExecutor])
def test_images_hear_once_what_was_noted_of_each_of_them(kind):
    images = Noting(dataset().images)
    with kind(2) as executor:
        normal_equations(
            Dataset(images, dataset().poses), fslice.Projector(SIZE), executor=executor
        )
    assert (images.read == 1).all()


@pytest.mark.parametrize("options", [{"noise": "shell"}, {"interpolation": "cubic"}])
def test_solvers_give_the_same_bits_by_threads_and_by_processes(options):
    maps = []
    for kind in (ThreadPoolExecutor, ProcessPoolExecutor):
        with kind(2) as executor:
            solver = Exact(executor=executor)
            maps.append(fslice.reconstruct(dataset(), solver=solver, **options).mean)
    assert np.array_equal(*maps)


# sums that are kept -------------------------------------------------------------------------------


class Interrupted(ThreadPoolExecutor):
    """Threads that are interrupted after some shares."""

    def __init__(self, after):
        super().__init__(1)
        self.after = after

    def submit(self, *arguments):
        if self.after == 0:
            raise KeyboardInterrupt
        self.after -= 1
        return super().submit(*arguments)


@pytest.mark.parametrize("after", [3, 8, 15])
def test_an_interrupted_pass_goes_on_where_it_was_to_the_same_bits(tmp_path, after):
    with Interrupted(after) as executor, pytest.raises(KeyboardInterrupt):
        equations(executor, store=PartialSums(tmp_path))
    kept = list(tmp_path.glob(PATTERN))
    assert 1 <= len(kept) <= 5
    seen = []
    with ThreadPoolExecutor(3) as executor:
        found = equations(executor, store=PartialSums(tmp_path), progress=seen.append)
    assert same_bits(found, expected())
    assert sum(seen) == N
    assert seen[0] > min(len(half) for half in HALVES) // shares.LEAST_SHARES


def test_sums_are_written_as_they_come_and_added_files_removed(tmp_path):
    counts = []

    class Watched(PartialSums):
        def save(self, parts):
            super().save(parts)
            counts.append(len(list(self.folder.glob(PATTERN))))

    with ThreadPoolExecutor(2) as executor:
        equations(executor, store=Watched(tmp_path, seconds=0))
    assert len(counts) >= 2 * shares.LEAST_SHARES
    assert max(counts) <= 10
    assert counts[-1] == 2
    untouched = PartialSums(tmp_path)
    with Interrupted(0) as none:  # nothing is left to be summed
        assert same_bits(equations(none, store=untouched), expected())


def test_sums_of_other_data_or_settings_are_refused(tmp_path):
    with Interrupted(9) as executor, pytest.raises(KeyboardInterrupt):
        equations(executor, store=PartialSums(tmp_path))
    other = dataclasses.replace(dataset(), contrast=np.full(N, 2.0))
    with ThreadPoolExecutor(1) as one:
        for data, batch_size in ((other, None), (dataset(), 3)):
            with pytest.raises(ValueError, match="partial sums of other data or settings"):
                normal_equations_of_sets(
                    data, fslice.Projector(SIZE), HALVES, executor=one, batch_size=batch_size,
                    store=PartialSums(tmp_path),
                )  # fmt: skip


def test_a_damaged_file_is_named(tmp_path):
    with Interrupted(9) as executor, pytest.raises(KeyboardInterrupt):
        equations(executor, store=PartialSums(tmp_path))
    damaged = sorted(tmp_path.glob(PATTERN))[0]
    damaged.write_bytes(damaged.read_bytes()[:-100])
    with (
        ThreadPoolExecutor(1) as one,
        pytest.raises(ValueError, match=f"{damaged.name} is not a readable checkpoint"),
    ):
        equations(one, store=PartialSums(tmp_path))


def test_files_that_have_changed_since_are_other_data(tmp_path):
    with StackWriter(tmp_path / "a.mrcs", N, SIZE, 1.0) as writer:
        writer.write(np.asarray(dataset().images, "f4"))
    stack = open_stack(tmp_path / "a.mrcs")
    before = identity(Dataset(stack, dataset().poses))
    assert identity(Dataset(open_stack(tmp_path / "a.mrcs"), dataset().poses)) == before
    os.utime(tmp_path / "a.mrcs", (1, 1))
    assert identity(Dataset(stack, dataset().poses)) != before


def test_what_has_no_identity_is_refused():
    with pytest.raises(TypeError, match="expected data or settings, got object"):
        identity(object())


def test_partial_sums_say_how_large_they_are():
    (found, _) = expected()
    partial = Partial(found, [(np.zeros(4, int), np.zeros((4, 16), "u1"))])
    assert partial.__sizeof__() == found.b.nbytes + found.stencil.nbytes + 2 * 5 * 8 + 32 + 64
