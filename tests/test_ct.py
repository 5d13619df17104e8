"""Parallel-beam tomography of a real sinogram, better than by filtered back-projection."""

import importlib.util
import pathlib

import numpy as np
import pytest

BENCHMARK = pathlib.Path(__file__).parents[1] / "benchmarks" / "ct.py"


@pytest.fixture(scope="module")
def ct():
    """Return the benchmark, whose methods these are."""
    spec = importlib.util.spec_from_file_location("ct", BENCHMARK)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def scan(data, ct):
    folder = data / "ct" / "tomopy_phantom"
    operator, _ = ct.scanner(np.load(folder / "angle.npy"))
    square = np.zeros((ct.SIZE, ct.SIZE))
    square[8:40, 8:40] = 1
    return operator, np.load(folder / "proj.npy")[:, 4].astype(float), square


def relative_error(found, expected):
    return np.linalg.norm(found - expected) / np.linalg.norm(expected)


def test_lines_are_the_chords_of_the_square(scan):
    operator, sinogram, square = scan
    assert relative_error(operator(square), sinogram) < 0.005


# the best of scikit-image's filters, run beside them by the benchmark, gives 0.082
@pytest.mark.parametrize(("method", "error"), [("least_squares", 0.075), ("not_negative", 0.025)])
def test_the_square_is_found_from_16_views(scan, ct, method, error):
    operator, sinogram, square = scan
    x, y = np.meshgrid(*[np.arange(ct.SIZE) - ct.SIZE // 2 - ct.MIDDLE] * 2)
    disc = x**2 + y**2 <= (ct.SIZE / 2) ** 2
    found = getattr(ct, method)(operator, sinogram)
    assert relative_error(found * disc, square * disc) < error
