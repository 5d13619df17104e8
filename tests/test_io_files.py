"""Files appear complete or not at all, and errors name the file that the user knows."""

import errno
import os
import re

import numpy as np
import pytest

from fslice.io import Particles, StackWriter, write_particles, write_volume
from fslice.io import _files as files
from fslice.io._files import atomic_write, check_pixel_size, find_named_file

FULL = OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def write_a_volume(path):
    write_volume(path, np.ones((16, 16, 16)), 1.5)


def write_a_stack(path):
    with StackWriter(path, 4, 16, 1.5) as writer:
        for _ in range(4):
            writer.write(np.ones((1, 16, 16)))


def write_a_star(path):
    rotations = np.tile(np.eye(3), (50, 1, 1))
    write_particles(path, Particles(rotations=rotations, pixel_size=1.5), "images.mrcs")


WRITERS = [write_a_volume, write_a_stack, write_a_star]


@pytest.fixture(params=WRITERS, ids=lambda writer: writer.__name__)
def writer(request):
    return request.param


@pytest.fixture(params=[False, True], ids=["new", "existing"])
def path(request, tmp_path):
    path = tmp_path / "out.mrc"
    if request.param:
        path.write_bytes(b"what was there before")
    return path


def assert_untouched(path, existed):
    """Nothing is left in the folder but what stood there before."""
    if existed:
        assert path.read_bytes() == b"what was there before"
    assert [entry.name for entry in path.parent.iterdir()] == ["out.mrc"] * existed


class FullDisk:
    """A file on a disk that has room for `room` bytes."""

    def __init__(self, file, room):
        self.file, self.room = file, room

    def write(self, content):
        self.room -= memoryview(content).nbytes
        if self.room < 0:
            raise OSError(*FULL.args)
        return self.file.write(content)

    def __getattr__(self, name):
        return getattr(self.file, name)


@pytest.mark.parametrize("room", [0, 1500])
def test_a_full_disk_leaves_nothing_behind(monkeypatch, writer, path, room):
    existed = path.exists()

    def open_full(*arguments):
        return FullDisk(open(*arguments), room)

    monkeypatch.setattr(files, "open", open_full, raising=False)
    with pytest.raises(OSError, match=rf"^\[Errno 28\] .*: '{re.escape(str(path))}'$") as caught:
        writer(path)
    assert caught.value.errno == errno.ENOSPC
    assert_untouched(path, existed)


def test_a_disk_found_full_only_at_the_end_leaves_nothing_behind(monkeypatch, writer, path):
    existed = path.exists()

    def refuse(descriptor):
        raise OSError(*FULL.args)

    monkeypatch.setattr(os, "fsync", refuse)
    with pytest.raises(OSError, match=rf"^\[Errno 28\] .*: '{re.escape(str(path))}'$"):
        writer(path)
    assert_untouched(path, existed)


def test_a_write_that_the_system_refuses_leaves_nothing_behind(writer, path):
    resource = pytest.importorskip("resource")
    existed = path.exists()
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1100, before[1]))
    try:
        with pytest.raises(OSError, match=re.escape(str(path))) as caught:
            writer(path)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert caught.value.errno == errno.EFBIG
    assert_untouched(path, existed)


@pytest.mark.parametrize("error", [KeyboardInterrupt, ValueError])
def test_an_interrupted_write_leaves_nothing_behind(path, error):
    existed = path.exists()

    def write():
        with atomic_write(path) as file:
            file.write(b"half")
            raise error

    with pytest.raises(error):
        write()
    assert_untouched(path, existed)


def test_a_file_is_replaced_only_when_it_is_complete(tmp_path):
    path = tmp_path / "a"
    path.write_bytes(b"old")
    with atomic_write(path) as file:
        file.write(b"new")
        assert path.read_bytes() == b"old"
    assert path.read_bytes() == b"new"


def test_a_written_file_has_the_usual_permissions(tmp_path):
    (tmp_path / "usual").write_bytes(b"")
    with atomic_write(tmp_path / "ours") as file:
        file.write(b"")
    assert (tmp_path / "ours").stat().st_mode == (tmp_path / "usual").stat().st_mode


def test_writing_through_a_link_keeps_the_link(tmp_path):
    target, link = tmp_path / "target", tmp_path / "link"
    target.write_bytes(b"old")
    link.symlink_to(target)
    with atomic_write(link) as file:
        file.write(b"new")
    assert link.is_symlink()
    assert target.read_bytes() == b"new"


def test_a_missing_folder_is_an_error_about_the_file(writer, tmp_path):
    path = tmp_path / "absent" / "out.mrc"
    with pytest.raises(FileNotFoundError, match=rf"^\[Errno 2\] .*: '{re.escape(str(path))}'$"):
        writer(path)


def test_a_folder_or_a_device_is_never_replaced(writer, tmp_path):
    for path in (tmp_path, os.devnull):
        with pytest.raises(OSError, match=rf"regular file to write: '{re.escape(str(path))}'$"):
            writer(path)
    assert not os.path.isfile(os.devnull)
    assert tmp_path.is_dir()


def test_errors_about_other_files_keep_their_name(tmp_path):
    with pytest.raises(FileNotFoundError, match="other"), atomic_write(tmp_path / "a"):
        (tmp_path / "other").read_bytes()
    assert not list(tmp_path.iterdir())


def test_a_named_file_is_found_beside_then_here_then_above(tmp_path, monkeypatch):
    job = tmp_path / "project" / "job"
    here = tmp_path / "here"
    job.mkdir(parents=True)
    here.mkdir()
    monkeypatch.chdir(here)
    star = job / "particles.star"
    for folder in (tmp_path, tmp_path / "project", here, job):
        (folder / "a.mrcs").write_bytes(b"")
        assert find_named_file(["a.mrcs"], star) == folder / "a.mrcs"
    (tmp_path / "b.mrcs").write_bytes(b"")
    assert find_named_file(["c.mrcs", "b.mrcs"], star) == tmp_path / "b.mrcs"
    assert find_named_file([str(here / "a.mrcs")], star) == here / "a.mrcs"
    with pytest.raises(FileNotFoundError, match=r"particles.star: the stack 'c.mrcs' was not f.*$"):
        find_named_file(["c.mrcs"], star)


@pytest.mark.parametrize("value", [0, -1.5, float("nan"), float("inf")])
def test_a_pixel_size_must_be_positive(value):
    with pytest.raises(ValueError, match=r"^size: expected a positive number of Angstrom, got "):
        check_pixel_size("size", value)


@pytest.mark.parametrize("value", [None, "1.5", True, [1.5]])
def test_a_pixel_size_must_be_a_number(value):
    with pytest.raises(TypeError, match=r"^size: expected a number of Angstrom, got "):
        check_pixel_size("size", value)
