"""Images on their way to a device: copied while it computes, in batches that fit, by all GPUs."""

import contextlib
import dataclasses
import functools
import threading

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from standin import devices, recorded
from test_devices import DOCUMENTED

import fslice
from fslice._arrays import to_numpy
from fslice.data.cache import SpectraCache
from fslice.data.dataset import Dataset
from fslice.data.devices import DeviceExecutor, to_library
from fslice.data.passes import sum_over
from fslice.data.poses import Poses
from fslice.data.upload import Staging, uploaded
from fslice.likelihoods.gaussian import GaussianNoise
from fslice.posterior.sums import normal_equations
from fslice.solvers.exact import Exact

N, SIZE = 40, 8
SUMS = ("b", "stencil", "squares", "degrees")


@functools.cache
def on_host(dtype="float32"):
    """Return a data set of the host."""
    rng = np.random.default_rng(0)
    images = rng.normal(size=(N, SIZE, SIZE))
    images = (100 * images).astype(dtype)
    rotations = fslice.random_rotations(N, rng)
    poses = Poses(rotations.astype("float32"), rng.normal(size=(N, 2)).astype("float32"))
    return Dataset(images, poses, half_sets=1 + np.arange(N) % 2)


def total(batch):
    return batch.images_ft.sum(0)


def in_order(batch):
    """Return the images of a batch by their rows."""
    return {int(row): spectrum for row, spectrum in zip(batch.rows.get(), batch.images_ft.get(),
                                                        strict=True)}  # fmt: skip


# uploads ------------------------------------------------------------------------------------------


@given(batch_size=st.integers(1, 50), rows=st.sets(st.integers(0, N - 1), min_size=1))
def test_every_image_arrives_at_its_place_whatever_the_batches(device, batch_size, rows):
    """Copies are carried out as late as CUDA may: a buffer filled too early gives other images."""
    chosen, seen = np.array(sorted(rows)), {}
    dataset = to_library(on_host(), device)

    def see(batch):
        seen.update(in_order(batch))
        return 0

    sum_over(dataset, see, rows=chosen, batch_size=batch_size)
    expected = fslice.rfft2(dataset.images[chosen])
    assert sorted(seen) == list(chosen)
    for row, spectrum in zip(chosen, expected, strict=True):
        np.testing.assert_allclose(seen[row], spectrum, atol=1e-3)


@pytest.mark.parametrize("dtype", [">f4", "<f4", ">i2", "int8", "uint16", "float16", "float64"])
def test_images_of_every_kind_of_file_are_sent_as_they_are_and_converted_there(device, dtype):
    dataset = to_library(on_host(dtype), device)
    parts = np.array_split(np.arange(N), 3)
    with recorded() as transfers:
        got = [pixels.get() for pixels in uploaded(dataset, parts)]
    np.testing.assert_array_equal(np.concatenate(got), on_host(dtype).images.astype(dataset.dtype))
    assert {part.dtype for part in got} == {dataset.dtype}
    assert {str(t) for t in transfers if t.place not in DOCUMENTED} == set()


class Watched:
    """Images that note in which thread each is read, and when."""

    def __init__(self, images, log):
        self.images, self.shape, self.dtype, self.log = images, images.shape, images.dtype, log

    def __getitem__(self, index):
        start = index.start if isinstance(index, slice) else int(np.atleast_1d(index)[0])
        self.log.append(("read", start, threading.current_thread().name))
        return self.images[index]


def test_the_next_batch_is_read_while_one_is_computed(device):
    log, dataset = [], to_library(on_host(), device)
    watched = dataclasses.replace(dataset, images=Watched(dataset.images, log))

    def compute(batch):
        first = int(batch.rows.min())
        # another thread reads the next batch, though this one is not done
        assert _within(lambda: first + 10 >= N or any(one[1] == first + 10 for one in log))
        log.append(("computed", first, threading.current_thread().name))
        return 0

    sum_over(watched, compute, batch_size=10)
    assert [one[1] for one in log if one[0] == "read"] == [0, 10, 20, 30]
    readers = {one[2] for one in log if one[0] == "read"}
    assert threading.current_thread().name not in readers


def _within(condition, seconds=60):
    """Return whether a condition comes true."""
    waiting = threading.Event()
    for _ in range(int(seconds * 100)):
        if condition():
            return True
        waiting.wait(0.01)
    return False


def test_the_schedule_of_a_staging_waits_for_every_buffer(device, monkeypatch):
    """Without one of its waits, the stand-in gives wrong numbers or an error."""
    pixels = np.arange(12.0).reshape(3, 2, 2)

    def received(staging, count=6):
        found = []
        for index in range(count):
            slot = index % 2
            staging.send(slot, pixels + index)
            found.append(staging.receive(slot, 3).astype("float32").get())
            staging.release(slot)
        return all(np.array_equal(a, pixels + i) for i, a in enumerate(found))

    assert received(Staging(device, (3, 2, 2), "float64"))

    forgetful = Staging(device, (3, 2, 2), "float64")
    monkeypatch.setattr(forgetful, "release", lambda slot: None)
    with pytest.raises(RuntimeError, match="may still be read"):
        received(forgetful)

    hasty = Staging(device, (3, 2, 2), "float64")
    monkeypatch.setattr(hasty, "receive", lambda slot, count: hasty.device[slot][:count])
    assert not received(hasty)

    ahead = Staging(device, (3, 2, 2), "float64")
    for index in range(4):  # nobody has received the first two
        ahead.sent = [None, None] if index == 2 else ahead.sent
        ahead.send(index % 2, pixels + index)
    ahead.stream.synchronize()
    assert np.array_equal(ahead.receive(0, 3).get(), pixels + 2)


def test_a_bad_pixel_is_named_by_its_image_on_a_device_too(device):
    images = on_host().images.copy()
    images[17, 3, 3] = np.nan
    dataset = to_library(dataclasses.replace(on_host(), images=images), device)
    with pytest.raises(ValueError, match=r"image 17: 1 of 64 values are NaN or infinite"):
        sum_over(dataset, total, batch_size=7)


def test_what_cannot_be_read_is_raised_where_the_sum_is_asked_for(device):
    class Broken(Watched):
        def __getitem__(self, index):
            raise OSError("x.mrcs: the file ends early")

    dataset = to_library(on_host(), device)
    broken = dataclasses.replace(dataset, images=Broken(dataset.images, []))
    before = threading.active_count()
    with pytest.raises(OSError, match="the file ends early"):
        sum_over(broken, total)
    assert threading.active_count() == before


def test_poses_alone_and_cached_batches_need_no_upload(device):
    log, dataset = [], to_library(on_host(), device)
    watched = dataclasses.replace(dataset, images=Watched(dataset.images, log))
    assert sum_over(watched, lambda batch: len(batch.rotations), images=False) == N
    assert log == []
    cache = SpectraCache()
    first, again = (sum_over(watched, total, batch_size=16, cache=cache) for _ in range(2))
    assert [one[1] for one in log] == [0, 16, 32]
    assert np.array_equal(first.get(), again.get())


def test_a_data_set_is_taken_to_a_library_with_all_but_its_images(device, rng):
    noise = GaussianNoise(np.ones((2, SIZE // 2 + 1)), np.arange(N) % 2)
    whole = dataclasses.replace(
        on_host(), noise=noise, groups=np.arange(N) % 2, contrast=np.ones(N, "float32"),
        ctf=np.ones((N, SIZE, SIZE // 2 + 1), "float32"),
    )  # fmt: skip
    moved = to_library(whole, device)
    assert moved.images is whole.images
    assert moved.xp is device
    arrays = (moved.poses.shifts, moved.ctf, moved.noise.variances, moved.noise.groups,
              moved.groups, moved.half_sets, moved.contrast)  # fmt: skip
    assert all(isinstance(array, device.ndarray) for array in arrays)
    back = to_numpy(sum_over(moved, total))
    np.testing.assert_allclose(back, sum_over(whole, total), atol=1e-2)


# memory -------------------------------------------------------------------------------------------


def test_where_the_memory_is_too_small_batches_are_halved_until_they_fit(device):
    dataset, sizes, told = to_library(on_host(), device), [], []

    def measure(batch):
        sizes.append(len(batch.rows))
        return total(batch)

    one = SIZE * (SIZE // 2 + 1) * 8  # bytes of a half spectrum
    cache = SpectraCache()
    with devices.memory_for(7 * one):
        found = sum_over(dataset, measure, cache=cache, progress=told.append)
    assert sizes == [5] * 8  # 64, then half of 40, of 20, of 10
    assert sum(told) == N
    assert cache.limit == 0
    np.testing.assert_allclose(found.get(), sum_over(on_host(), total), atol=1e-2)


def test_images_are_told_once_though_they_are_summed_again(device):
    dataset, told, calls = to_library(on_host(), device), [], []

    def fails_late(batch):
        calls.append(len(batch.rows))
        if len(calls) == 3:
            raise MemoryError("no room")
        return total(batch)

    found = sum_over(dataset, fails_late, batch_size=12, progress=told.append)
    assert calls == [12, 12, 12] + [6] * 6 + [4]
    assert told == [12, 12, 6, 6, 4]
    np.testing.assert_allclose(found.get(), sum_over(on_host(), total), atol=1e-2)


def test_an_image_that_does_not_fit_alone_is_an_error(device):
    dataset = to_library(on_host(), device)
    with devices.memory_for(SIZE * SIZE), pytest.raises(MemoryError, match="Out of memory"):
        sum_over(dataset, total)


# several devices ----------------------------------------------------------------------------------


@contextlib.contextmanager
def sharing(device, count):
    with DeviceExecutor([device.cuda.Device(i) for i in range(count)]) as executor:
        yield executor


@pytest.mark.parametrize("count", [1, 2, 3])
def test_the_bits_of_a_sum_do_not_depend_on_the_number_of_devices(device, count):
    dataset, sums = to_library(on_host(), device), []
    for number in (1, count):
        with sharing(device, number) as executor:
            sums.append(normal_equations(dataset, fslice.Projector(SIZE), executor=executor))
    alone = normal_equations(dataset, fslice.Projector(SIZE))
    for name in SUMS:
        one, many, plain = (getattr(of, name) for of in (*sums, alone))
        assert np.array_equal(one.get(), many.get()), name
        assert many.device == device.cuda.Device(0), name
        scale = abs(plain.get()).max()
        np.testing.assert_allclose(many.get(), plain.get(), atol=1e-5 * scale)
    assert sums[1].count == N


def test_every_device_takes_part_and_computes_on_its_own_arrays(device):
    dataset, used = to_library(on_host(), device), []
    barrier = threading.Barrier(3)

    def where(batch):
        if len(used) < 3:
            barrier.wait(60)  # all three are at work
        used.append((device.cuda.Device().id, batch.images_ft.device.id, batch.rows.device.id))
        return total(batch)

    with sharing(device, 3) as executor:
        found = sum_over(dataset, where, executor=executor)
    assert {one[0] for one in used} == {0, 1, 2}
    assert all(len(set(one)) == 1 for one in used)
    np.testing.assert_allclose(found.get(), sum_over(on_host(), total), atol=1e-2)


@pytest.mark.parametrize("options", [{}, {"noise": "shell"}, {"interpolation": "cubic"}])
def test_a_fit_on_several_devices_is_that_on_one(device, options):
    dataset = to_library(on_host(), device)
    with sharing(device, 2) as executor:
        shared = fslice.reconstruct(dataset, solver=Exact(executor=executor), **options)
    alone = fslice.reconstruct(dataset, **options)
    scale = abs(alone.mean.get()).max()
    np.testing.assert_allclose(shared.mean.get(), alone.mean.get(), atol=1e-3 * scale)
    assert shared.mean.device == device.cuda.Device(0)


def test_what_a_share_raises_is_raised(device):
    dataset = to_library(on_host(), device)

    def refuse(batch):
        raise ValueError("not this one")

    with sharing(device, 2) as executor, pytest.raises(ValueError, match="not this one"):
        sum_over(dataset, refuse, executor=executor)


def test_an_executor_without_devices_is_refused():
    with pytest.raises(ValueError, match="devices: expected at least one, got none"):
        DeviceExecutor([])


def test_arrays_of_two_devices_do_not_meet(device):
    """The stand-in refuses what CuPy may, so that the tests above show what they say."""
    here = device.ones(3)
    with device.cuda.Device(1):
        there = here.copy()
        assert there.device.id == 1
        with pytest.raises(ValueError, match="array device = 0 while current = 1"):
            here + there
