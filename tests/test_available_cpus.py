"""The number of threads follows affinity and control groups, here in files made for the test."""

import math
import os

import pytest

from fslice import _threads
from fslice._threads import available_cpus, cgroup_cpus


def group(tmp_path, membership, **files):
    """Write control-group files; return the arguments of `cgroup_cpus`."""
    root, own = tmp_path / "cgroup", tmp_path / "own"
    own.write_text(membership)
    for path, text in files.items():
        target = root / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(text)
    return root, own


@pytest.mark.parametrize(
    ("membership", "files", "expected"),
    [
        ("0::/\n", {"cpu.max": "max 100000\n"}, math.inf),
        ("0::/\n", {"cpu.max": "150000 100000\n"}, 1.5),
        ("0::/job/step\n", {"job/step/cpu.max": "max 100000", "job/cpu.max": "4000 1000"}, 4),
        ("0::/job\n", {"job/cpu.max": "8000 1000", "cpu.max": "2000 1000"}, 2),
        ("0::/on/the/host\n", {"cpu.max": "3000 1000"}, 3),
        (
            "4:cpu,cpuacct:/job\n3:memory:/other\n",
            {"cpu/job/cpu.cfs_quota_us": "50000", "cpu/job/cpu.cfs_period_us": "100000"},
            0.5,
        ),
        (
            "4:cpu:/\n",
            {"cpu/cpu.cfs_quota_us": "-1", "cpu/cpu.cfs_period_us": "100000"},
            math.inf,
        ),
        ("", {}, math.inf),
    ],
)
def test_the_quota_is_the_least_of_the_groups_above(tmp_path, membership, files, expected):
    assert cgroup_cpus(*group(tmp_path, membership, **files)) == expected


def test_no_control_groups_mean_no_limit(tmp_path):
    assert cgroup_cpus(tmp_path / "absent", tmp_path / "neither") == math.inf


@pytest.mark.parametrize(
    ("processors", "quota", "expected"), [(8, math.inf, 8), (8, 2.5, 3), (2, 16, 2), (4, 0.2, 1)]
)
def test_affinity_and_quota_both_limit_the_threads(monkeypatch, processors, quota, expected):
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: set(range(processors)), raising=False)
    monkeypatch.setattr(_threads, "_own_quota", lambda: quota)
    assert available_cpus() == expected
