"""Results appear together and complete, or not at all."""

import errno
import json
import math
import os
from collections import namedtuple

import numpy as np
import pytest
from cli_tools import names

from fslice.cli import _outputs
from fslice.cli._outputs import check_space, json_line, output_folder, write_json
from fslice.io import _held


def write_and_raise(folder, error):
    """Write half of the results and fail."""
    with output_folder(folder, ["a", "b"]) as staging:
        (staging / "a").write_text("partial")
        raise error


def test_files_appear_together_at_the_end(tmp_path):
    with output_folder(tmp_path / "run", ["a", "b"]) as staging:
        (staging / "a").write_text("1")
        (staging / "b").write_text("2")
        assert [name for name in names(tmp_path / "run") if not name.startswith(".")] == []
    assert names(tmp_path / "run") == ["a", "b"]


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt, OSError])
def test_a_failure_leaves_nothing_not_even_folders(error, tmp_path):
    with pytest.raises(error):
        write_and_raise(tmp_path / "x" / "y", error)
    assert names(tmp_path) == []


def test_a_failure_leaves_earlier_results_as_they_were(tmp_path):
    (tmp_path / "a").write_text("old")
    with pytest.raises(ValueError, match="bad"):
        write_and_raise(tmp_path, ValueError("bad"))
    assert names(tmp_path) == ["a"]
    assert (tmp_path / "a").read_text() == "old"


def test_success_replaces_earlier_results_as_a_set_and_nothing_else(tmp_path):
    for name in ("a", "stale", "mine"):
        (tmp_path / name).write_text("old")
    with output_folder(tmp_path, ["a", "stale"]) as staging:
        (staging / "a").write_text("new")
    assert names(tmp_path) == ["a", "mine"]
    assert (tmp_path / "a").read_text() == "new"


def test_a_folder_in_the_place_of_a_file_is_found_before_anything_is_computed(tmp_path):
    (tmp_path / "a").mkdir()
    with pytest.raises(IsADirectoryError, match="expected a file"), output_folder(tmp_path, ["a"]):
        pytest.fail("computed")


@pytest.mark.parametrize("path", ["file", "file/below"])
def test_a_file_in_the_place_of_the_folder_is_refused(path, tmp_path):
    (tmp_path / "file").write_text("precious")
    with pytest.raises(NotADirectoryError), output_folder(tmp_path / path, ["a"]):
        pytest.fail("computed")
    assert (tmp_path / "file").read_text() == "precious"


def test_a_folder_without_permission_is_named(tmp_path, monkeypatch):
    def refuse(*_, **__):
        raise PermissionError(errno.EACCES, "Permission denied", "a name that nobody knows")

    monkeypatch.setattr(_held.tempfile, "mkdtemp", refuse)
    with pytest.raises(PermissionError) as caught, output_folder(tmp_path / "run", ["a"]):
        pytest.fail("computed")
    assert caught.value.filename == str(tmp_path / "run")
    assert names(tmp_path) == []


def test_a_disk_that_is_too_full_is_found_before_anything_is_computed(tmp_path, monkeypatch):
    usage = namedtuple("usage", "free")(10**6)
    monkeypatch.setattr(_outputs.shutil, "disk_usage", lambda _: usage)
    check_space(tmp_path, 10**6)
    message = r"No space left on device: expected 2.5 GB free, got 1.0 MB"
    with pytest.raises(OSError, match=message) as caught:
        check_space(tmp_path, 2_500_000_000)
    assert caught.value.errno == errno.ENOSPC


def test_json_has_plain_numbers_and_null_for_what_is_not_finite(tmp_path):
    content = {
        "array": np.array([1.5, math.nan]),
        "scalar": np.float32(2),
        "infinity": math.inf,
        "flag": np.bool_(True),
        "path": tmp_path,
        "nested": [{"a": (1, -math.inf)}],
    }
    expected = {
        "array": [1.5, None],
        "scalar": 2.0,
        "infinity": None,
        "flag": True,
        "path": str(tmp_path),
        "nested": [{"a": [1, None]}],
    }
    write_json(tmp_path / "a.json", content)
    assert json.loads((tmp_path / "a.json").read_text()) == expected
    assert json.loads(json_line(content)) == expected
    assert "\n" not in json_line(content)
    assert os.listdir(tmp_path) == ["a.json"]


def test_an_error_names_the_file_that_was_asked_for(tmp_path):
    with pytest.raises(FileNotFoundError) as caught, output_folder(tmp_path, ["a"]) as staging:
        (staging / "a").read_bytes()
    assert caught.value.filename == str(tmp_path / "a")
