"""Damaged files: readers read, or refuse in one line; none crashes, hangs or fills the memory."""

import gzip
import importlib.util
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from fuzz.readers import outcome, readers
from fuzz.run import fuzz

TESTS = Path(__file__).parent
NAMES = (
    *("star", "particles", "info", "cs", "volume", "stack", "gzip", "bzip2", "pdb", "pdb.gz"),
    *("cif", "fsc", "checkpoint", "normal", "record"),
)


@pytest.fixture(scope="module")
def known(tmp_path_factory):
    folder = tmp_path_factory.mktemp("fuzz")
    return folder, {reader.name: reader for reader in readers(folder)}


def test_every_reader_takes_what_it_is_given_undamaged(known):
    folder, found = known
    assert tuple(found) == NAMES
    for reader in found.values():
        assert outcome(reader, folder / f"input{reader.suffix}", reader.content) == "read"


@pytest.mark.parametrize("name", NAMES)
def test_damaged_files_are_read_or_refused_in_one_line(known, name):
    folder, found = known
    ends, failures = fuzz(found[name], folder, 100, seed=7)
    assert not failures, failures[0][1]
    assert sum(ends.values()) == 100
    assert len(ends) > 1 or name == "info"


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("fsc", b"<?xml version='1.0' encoding='utf-19'?><fsc/>"),
        ("fsc", b"<!DOCTYPE a [<!ENTITY b '" + b"c" * 1000 + b"'>]><fsc>&b;</fsc>"),
        ("record", b"[" * 100_000),
        ("pdb.gz", gzip.compress(b"\n" * 10**8, mtime=0)),
        ("gzip", gzip.compress(bytes(1024)[:8] + bytes(10**7), mtime=0)),
        ("star", b"data_\nloop_\n_rlnImageName\n" + b"9" * 5000 + b"@a.mrcs\n"),
        ("cs", b"\x93NUMPY\x01\x00\xff\xff" + b"(" * 70000),
    ],
    ids=lambda value: value[:20] if isinstance(value, str) else len(value),
)
def test_what_once_crashed_is_refused(known, name, content):
    folder, found = known
    reader = found[name]
    kind = outcome(reader, folder / f"input{reader.suffix}", content)
    assert kind == "read" if name == "star" else kind == "ValueError"


@pytest.mark.long
@pytest.mark.parametrize("name", NAMES)
def test_a_hundred_thousand_damaged_files(known, name):
    folder, found = known
    count = int(os.environ.get("FSLICE_FUZZ", 100_000))
    seed = int(np.random.SeedSequence().generate_state(1)[0])
    _, failures = fuzz(found[name], folder, count, seed)
    assert not failures, f"{len(failures)} of {count}: {failures[0][1]}"


@pytest.mark.long
@pytest.mark.skipif(not importlib.util.find_spec("atheris"), reason="atheris is not installed")
@pytest.mark.parametrize("name", NAMES)
def test_a_search_for_paths_through_the_readers_that_crash(tmp_path, name):
    done = subprocess.run(
        [sys.executable, "-m", "fuzz.guided", name, "-runs=20000", f"-artifact_prefix={tmp_path}/"],
        env=os.environ | {"PYTHONPATH": f"{TESTS}{os.pathsep}{TESTS.parent}"},
        capture_output=True, text=True,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-3000:]
