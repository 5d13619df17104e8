"""``fslice fsc``: the table, the resolution, and maps that do not fit together."""

import numpy as np
import pytest
from cli_tools import fail, result, succeed

from fslice.fourier import crop, pad
from fslice.io import write_volume
from fslice.metrics import fsc, resolution
from fslice.postprocess.fsc import corrected_fsc
from fslice.postprocess.masks import soft_spherical_mask
from fslice.simulation import phantom

SIZE, PIXEL_SIZE = 12, 2.5


@pytest.fixture
def maps(tmp_path, rng):
    """Write two maps that agree at low frequencies; return folder and maps."""
    smooth = np.ones((SIZE,) * 3)
    smooth[:2] = 0
    a, b = (smooth + 0.8 * rng.normal(size=smooth.shape) for _ in range(2))
    a, b = (np.float32(pad(crop(v, 8, 3), SIZE, 3)) for v in (a, b))
    write_volume(tmp_path / "a.mrc", a, PIXEL_SIZE)
    write_volume(tmp_path / "b.mrc", b, PIXEL_SIZE)
    return tmp_path, a, b


def without_pixel_size(path):
    content = bytearray(path.read_bytes())
    content[40:52] = bytes(12)  # the cell
    path.write_bytes(content)


def test_the_table_has_a_line_for_each_shell(maps, capsys):
    folder, a, b = maps
    lines = succeed(capsys, "fsc", folder / "a.mrc", folder / "b.mrc").splitlines()
    curve = fsc(a, b)
    assert len(lines) == 1 + len(curve) + 1
    shell, frequency, length, value = lines[4].split()
    assert int(shell) == 3
    assert float(frequency) == pytest.approx(3 / (SIZE * PIXEL_SIZE), abs=1e-5)
    assert float(length) == pytest.approx(SIZE * PIXEL_SIZE / 3)
    assert float(value) == pytest.approx(curve[3], abs=1e-4)


@pytest.mark.parametrize("threshold", [0.143, 0.5])
def test_the_resolution_is_that_of_the_library(threshold, maps, capsys):
    folder, a, b = maps
    expected = resolution(fsc(a, b), SIZE, PIXEL_SIZE, threshold)
    words = "fsc", folder / "a.mrc", folder / "b.mrc", "--threshold", threshold
    line = result(capsys, *words)
    assert line["resolution_angstrom"] == pytest.approx(expected)
    assert line["threshold"] == threshold
    assert line["fsc"] == pytest.approx(fsc(a, b))
    assert f"resolution: {expected:.2f} Angstrom" in succeed(capsys, *words)


def test_a_mask_multiplies_both_maps(maps, capsys):
    folder, a, b = maps
    mask = np.zeros_like(a)
    mask[3:9, 3:9, 3:9] = 1
    write_volume(folder / "mask.mrc", mask, PIXEL_SIZE)
    line = result(capsys, "fsc", folder / "a.mrc", folder / "b.mrc", "--mask", folder / "mask.mrc")
    assert line["fsc"] == pytest.approx(fsc(a, b, mask))


def test_half_maps_are_corrected_for_their_mask(tmp_path, capsys):
    halves = phantom(32, 4.0).volume(32, 4.0) + 0.02 * np.random.default_rng(0).normal(
        size=(2, 32, 32, 32)
    )
    halves, mask = halves.astype("f4"), soft_spherical_mask(32, 9, 4, "f4")
    for name, volume in (("a", halves[0]), ("b", halves[1]), ("mask", mask)):
        write_volume(tmp_path / f"{name}.mrc", volume, 4.0)
    words = "fsc", tmp_path / "a.mrc", tmp_path / "b.mrc"
    masked = *words, "--mask", tmp_path / "mask.mrc", "--corrected"
    expected = corrected_fsc(*halves, mask, 4.0)
    line = result(capsys, *masked)
    assert line["resolution_angstrom"] == pytest.approx(expected.resolution)
    assert (line["threshold"], line["notes"]) == (0.143, list(expected.notes))
    for name in ("corrected", "unmasked", "masked", "randomized"):
        assert line["fsc"][name] == pytest.approx(getattr(expected, name))
    printed = succeed(capsys, *masked)
    assert f"corrected: {expected.resolutions['corrected'].words}" in printed
    assert len(printed.splitlines()[3].split()) == 7  # shell, frequency, length, four curves
    finer = result(capsys, *masked, "--threshold", 0.5)["resolution_angstrom"]
    assert finer == pytest.approx(corrected_fsc(*halves, mask, 4.0, threshold=0.5).resolution)
    assert "expected --mask" in fail(capsys, *words, "--corrected")


def test_equal_maps_resolve_to_the_last_shell_and_unlike_ones_nothing(maps, capsys):
    folder, a, _ = maps
    write_volume(folder / "minus.mrc", -a, PIXEL_SIZE)
    same = "fsc", *[folder / "a.mrc"] * 2
    assert "limited by the pixel: never falls below 0.5" in succeed(capsys, *same)
    line = result(capsys, *same)
    assert line["resolution_limit"] == "pixel"
    assert line["resolution_angstrom"] == pytest.approx(SIZE * PIXEL_SIZE / ((SIZE - 1) // 2))
    words = "fsc", folder / "a.mrc", folder / "minus.mrc"
    assert "resolution: nothing is resolved" in succeed(capsys, *words)
    assert result(capsys, *words)["resolution_angstrom"] is None


def test_headers_without_a_pixel_size_take_the_other_maps_or_the_one_given(maps, capsys):
    folder, a, b = maps
    expected = resolution(fsc(a, b), SIZE, PIXEL_SIZE)
    words = "fsc", folder / "a.mrc", folder / "b.mrc"
    without_pixel_size(folder / "a.mrc")
    assert result(capsys, *words)["resolution_angstrom"] == pytest.approx(expected)
    without_pixel_size(folder / "b.mrc")
    assert "got none; give --pixel-size" in fail(capsys, *words)
    line = result(capsys, *words, "--pixel-size", 2 * PIXEL_SIZE)
    assert line["resolution_angstrom"] == pytest.approx(2 * expected)


def test_maps_that_do_not_fit_together_are_refused(maps, capsys):
    folder, a, _ = maps
    write_volume(folder / "small.mrc", a[1:, 1:, 1:], PIXEL_SIZE)
    write_volume(folder / "other.mrc", a, 3.0)
    write_volume(folder / "zero.mrc", 0 * a, PIXEL_SIZE)
    first = folder / "a.mrc"
    assert "expected a box of 12 voxels, got 11" in fail(capsys, "fsc", first, folder / "small.mrc")
    message = "expected a pixel size of 2.5 Angstrom, got 3"
    assert message in fail(capsys, "fsc", first, folder / "other.mrc")
    message = "expected a mask of values from 0 to 1, not all 0, got 0 to 0"
    assert message in fail(capsys, "fsc", first, first, "--mask", folder / "zero.mrc")
    write_volume(folder / "bytes.mrc", np.full_like(a, 255), PIXEL_SIZE)
    message = "expected a mask of values from 0 to 1, not all 0, got 255 to 255"
    assert message in fail(capsys, "fsc", first, first, "--mask", folder / "bytes.mrc")


@pytest.mark.parametrize("threshold", ["0", "1", "-0.5", "nan", "half"])
def test_a_threshold_is_between_0_and_1(threshold, capsys):
    message = f"argument --threshold: expected a number between 0 and 1, got '{threshold}'"
    assert message in fail(capsys, "fsc", "a.mrc", "b.mrc", "--threshold", threshold)
