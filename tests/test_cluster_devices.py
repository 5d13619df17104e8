"""Shares on the GPU of a worker: the function's maps and the sums travel, on any machine."""

import dataclasses
import functools

import numpy as np
from test_cluster_shares import SIZE, N, dataset

import fslice
from fslice.data import cluster
from fslice.data.passes import _share
from fslice.data.plain import as_fold
from fslice.data.shares import Share
from fslice.posterior.sums import NormalSums, normal_equations


class Overlap:
    """A function of a batch that holds a map, such as what noise is measured against."""

    def __init__(self, mean):
        self.mean = mean

    def __call__(self, batch):
        return (batch.images_ft * self.mean).sum(0)


def on_gpu(monkeypatch, device, fold, name):
    monkeypatch.setattr(cluster, "gpu_library", lambda: device)
    data = dataclasses.replace(dataset(), images=dataset().images)
    work = functools.partial(_share, fold, True, 64, None)
    return cluster._sum_on_gpu(work, Share(data, np.arange(N)), name).total


def test_a_gpu_sums_a_share_of_host_arrays_to_host_arrays(device, monkeypatch):
    projector = fslice.Projector(SIZE)
    found = on_gpu(monkeypatch, device, NormalSums.of(projector), 0)
    wanted = normal_equations(dataset(), projector)
    for name in ("b", "stencil", "squares"):
        assert type(getattr(found, name)) is np.ndarray
        np.testing.assert_allclose(getattr(found, name), getattr(wanted, name), atol=1e-10)


def test_the_map_of_a_function_is_copied_to_the_gpu(device, monkeypatch):
    mean = np.random.default_rng(0).normal(size=(SIZE, SIZE // 2 + 1))
    function = Overlap(mean)
    found = on_gpu(monkeypatch, device, as_fold(function), "tcp-7")
    np.testing.assert_allclose(found, fslice.rfft2(dataset().images).sum(0) * mean, atol=1e-10)
    assert function.mean is mean
