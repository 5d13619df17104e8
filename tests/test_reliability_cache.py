"""Compiled kernels are kept where nobody else can write, and never outlive their sources."""

import os
import shutil
import stat
import warnings
from pathlib import Path

import pytest

pytest.importorskip("numba", reason="Numba is not installed")

from fslice._kernels.numba import caching


@pytest.fixture
def anew(monkeypatch, tmp_path):
    """Have the kernels' folder chosen anew, below a folder of the test's own."""
    monkeypatch.setenv("NUMBA_CACHE_DIR", str(tmp_path / "cache"))
    caching.cache_folder.cache_clear()
    yield tmp_path / "cache"
    caching.cache_folder.cache_clear()


def twice(x):
    return 2 * x


def files_of(folder):
    return sorted(path.suffix for path in folder.rglob("*") if path.is_file())


def test_nothing_of_the_tests_or_the_package_names_a_shared_folder(monkeypatch):
    monkeypatch.delenv("NUMBA_CACHE_DIR", raising=False)
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    assert caching._parent().is_relative_to(Path.home())
    assert "gettempdir" not in (Path(__file__).parents[1] / "conftest.py").read_text()


def test_a_kernel_is_kept_in_a_folder_that_only_its_owner_may_enter(anew):
    assert caching.cached_kernel()(twice)(3) == 6
    (folder,) = anew.iterdir()
    assert folder.name.endswith(caching.sources_digest())
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    assert files_of(folder) == [".nbc", ".nbi"]


def test_a_kept_kernel_is_loaded_again(anew):
    caching.cached_kernel()(twice)(3)
    again = caching.cached_kernel()(twice)
    assert again(3) == 6
    assert sum(again.stats.cache_hits.values()) == 1


def test_the_folder_changes_with_every_source_also_one_that_holds_no_kernel(tmp_path, monkeypatch):
    shutil.copytree(caching._SOURCES, tmp_path / "_kernels")
    monkeypatch.setattr(caching, "_SOURCES", tmp_path / "_kernels")
    digests = {caching.sources_digest()}
    sources = sorted((tmp_path / "_kernels").rglob("*.py"))
    for path in sources:
        path.write_text(path.read_text() + "\n# changed\n")
        digests.add(caching.sources_digest())
    assert len(digests) == len(sources) + 1


@pytest.mark.parametrize("fault", ["file", "link", "owner"])
def test_a_folder_that_may_be_of_somebody_else_is_not_used(anew, monkeypatch, tmp_path, fault):
    planted = anew / f"{caching._PREFIX}{caching.sources_digest()}"
    anew.mkdir()
    if fault == "file":
        planted.write_bytes(b"")
    elif fault == "link":
        (tmp_path / "elsewhere").mkdir()
        planted.symlink_to(tmp_path / "elsewhere")
    else:
        planted.mkdir()
        monkeypatch.setattr(os, "getuid", lambda: os.stat(planted).st_uid + 1)
    with pytest.warns(UserWarning, match="compiled kernels cannot be kept in .*NUMBA_CACHE_DIR"):
        assert caching.cache_folder() is None
    assert caching.cached_kernel()(twice)(3) == 6
    assert not files_of(anew) or fault == "file"


def test_a_folder_that_others_may_enter_is_closed(anew):
    planted = anew / f"{caching._PREFIX}{caching.sources_digest()}"
    planted.mkdir(parents=True)
    planted.chmod(0o777)
    assert caching.cache_folder() == planted
    assert stat.S_IMODE(planted.stat().st_mode) == 0o700


def test_where_nothing_can_be_written_kernels_are_compiled_after_one_warning(anew, monkeypatch):
    monkeypatch.setenv("NUMBA_CACHE_DIR", "/dev/null/cache")
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        results = [caching.cached_kernel()(twice)(n) for n in range(3)]
    assert results == [0, 2, 4]
    assert len(told) == 1
    assert "they are compiled in every process" in str(told[0].message)


@pytest.mark.parametrize("suffix", [".nbi", ".nbc"])
def test_a_damaged_cache_is_compiled_over(anew, suffix):
    caching.cached_kernel()(twice)(3)
    for path in anew.rglob(f"*{suffix}"):
        path.write_bytes(path.read_bytes()[:10])
    assert caching.cached_kernel()(twice)(3) == 6


def test_a_full_disk_does_not_stop_a_kernel(anew, monkeypatch):
    def full(*_, **__):
        raise OSError(28, "No space left on device")

    kernel = caching.cached_kernel()(twice)
    monkeypatch.setattr("numba.core.caching.IndexDataCacheFile.save", full)
    assert kernel(3) == 6


def test_what_old_sources_left_is_removed_when_nobody_has_used_it_for_long(anew):
    old, recent = (anew / f"{caching._PREFIX}{name}" for name in ("old", "recent"))
    for folder in (old, recent):
        folder.mkdir(parents=True)
    os.utime(old, (0, 0))
    caching.cache_folder()
    assert not old.exists()
    assert recent.exists()
