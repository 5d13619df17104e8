"""What a user gets who sets no option: a resolution to believe, and a line for every doubt."""

import dataclasses
import json
import math

import numpy as np
import pytest
from cli_tools import fail, result, succeed

from fslice.cli import _progress, _results, main
from fslice.fourier import irfft2, rfft2
from fslice.io import (
    StackWriter,
    open_stack,
    read_particles,
    read_star,
    read_volume,
    write_particles,
    write_volume,
)
from fslice.io.star import write_star
from fslice.plot.style import new_figure
from fslice.postprocess.masks import soft_spherical_mask

SIZE, PIXEL_SIZE, NUMBER = 32, 4.0, 300
DRAW = _results._write_summary


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """Simulate particles with CTF, once."""
    folder = tmp_path_factory.mktemp("run")
    words = f"simulate phantom --size {SIZE} --pixel-size {PIXEL_SIZE} -n {NUMBER} --snr 0.2 --ctf"
    assert main([*words.split(), "-o", str(folder)]) == 0
    return folder


@pytest.fixture(autouse=True)
def plain(monkeypatch):
    """Have neither pictures, which take long, nor lines of progress."""
    monkeypatch.setattr(_progress, "SILENT", math.inf)
    monkeypatch.setattr(_results, "_write_summary", lambda path, *_: path.write_bytes(b""))


@pytest.fixture
def reconstruct(run, tmp_path, capsys):
    """Return what reconstructs particles, and returns the record and what was printed."""

    def reconstruct(particles=run / "particles.star", *words):
        command = ["reconstruct", particles, "-o", tmp_path / "out", *words]
        assert main([str(word) for word in command]) == 0
        record = json.loads((tmp_path / "out" / "result.json").read_text())
        return record, capsys.readouterr()

    return reconstruct


def changed(run, tmp_path, name, **changes):
    """Write the particles with other fields beside their stack; return the path."""
    particles = dataclasses.replace(read_particles(run / "particles.star"), **changes)
    path = run / f"{name}.star"
    write_particles(path, particles, "particles.mrcs")
    return path


def rewritten(run, name, images):
    """Write other images for the particles; return the path of their STAR file."""
    with StackWriter(run / f"{name}.mrcs", len(images), SIZE, PIXEL_SIZE) as writer:
        writer.write(images)
    star = run / f"{name}.star"
    star.write_text((run / "particles.star").read_text().replace("particles.mrcs", f"{name}.mrcs"))
    return star


def test_random_half_sets_are_said_to_be_random(reconstruct):
    record, printed = reconstruct()
    assert record["half_sets"] == "random"
    (note,) = (note for note in record["notes"] if note.startswith("half sets: random"))
    assert f"note: {note}\n" in printed.out


def test_half_sets_of_the_file_are_said_to_be_its_own(run, tmp_path, reconstruct):
    star = changed(run, tmp_path, "halves", half_set=np.tile([1, 2], NUMBER // 2))
    record, _ = reconstruct(star)
    assert record["half_sets"] == "of the file"
    assert not any("random" in note for note in record["notes"])


def test_a_single_half_set_is_parted_at_random(run, tmp_path, reconstruct):
    star = changed(run, tmp_path, "one", half_set=np.tile([1, 2], NUMBER // 2))
    tables = read_star(star)
    tables["particles"]["rlnRandomSubset"] = ["1"] * NUMBER
    write_star(star, tables)
    record, _ = reconstruct(star)
    assert record["half_sets"] == "random"
    assert any("all particles are in half 1" in line for line in record["warnings"])


def test_an_image_that_is_listed_twice_is_kept_in_one_half_and_counted(run, tmp_path, reconstruct):
    star = changed(run, tmp_path, "twice", half_set=np.tile([1, 2], NUMBER // 2))
    tables = read_star(star)
    tables["particles"]["rlnImageName"][1] = tables["particles"]["rlnImageName"][0]
    write_star(star, tables)
    record, printed = reconstruct(star)
    assert "1 image is listed more than once" in printed.err
    assert "1 images are in the other half set than their copies: moved there" in printed.err
    assert not any("half maps share them" in line for line in record["warnings"])


def test_copies_of_images_are_counted_where_half_maps_share_them(run, tmp_path, reconstruct):
    images = open_stack(run / "particles.mrcs")[:]
    images[1::2] = images[::2]
    star = rewritten(run, "copies", images)
    tables = read_star(star)
    tables["particles"]["rlnRandomSubset"] = [str(1 + i % 2) for i in range(NUMBER)]
    write_star(star, tables)
    record, printed = reconstruct(star)
    line = f"{NUMBER // 2} of {NUMBER} images are copies of others, {NUMBER // 2} of them in the "
    assert line in printed.err
    assert any(line in warning for warning in record["warnings"])


def test_identical_halves_are_said_to_say_nothing(run, tmp_path, reconstruct):
    star = changed(run, tmp_path, "same", half_set=np.tile([1, 2], NUMBER // 2))
    tables = read_star(star)
    particles = tables["particles"]
    for name, column in particles.items():  # in other files, so that nothing but pixels tells
        if name != "rlnRandomSubset":
            particles[name] = [column[i - i % 2] for i in range(NUMBER)]
    particles["rlnImageName"][1::2] = [
        name.replace("particles", "again") for name in particles["rlnImageName"][1::2]
    ]
    (run / "again.mrcs").write_bytes((run / "particles.mrcs").read_bytes())
    write_star(star, tables)
    record, printed = reconstruct(star)
    assert "the half maps are identical: their correlation of 1 says nothing" in printed.err
    assert f"{NUMBER // 2} of them in the other half set" in printed.err
    assert len(record["warnings"]) >= 2


def test_a_hard_mask_on_noise_gives_no_resolution(run, tmp_path, reconstruct, rng):
    star = rewritten(run, "noise", rng.normal(size=(NUMBER, SIZE, SIZE)).astype(np.float32))
    mask = (soft_spherical_mask(SIZE, 5, 0.1, "float32") > 0.5).astype(np.float32)
    write_volume(tmp_path / "hard.mrc", mask, PIXEL_SIZE)
    record, printed = reconstruct(star, "--mask", tmp_path / "hard.mrc", "--prior-variance", 1)
    assert "without a mask the half maps have nothing in common" in printed.err
    assert abs(np.mean(record["fsc"]["corrected"]["value"][4:15])) < 0.2


def test_inverted_contrast_is_said_once(run, tmp_path, reconstruct):
    star = rewritten(run, "inverted", -open_stack(run / "particles.mrcs")[:])
    record, printed = reconstruct(star)
    assert printed.err.count("the contrast of the images is inverted") == 1
    assert sum("inverted" in line for line in record["warnings"]) == 1


def test_images_without_a_ctf_are_said_to_have_none(run, tmp_path, reconstruct):
    record, printed = reconstruct(changed(run, tmp_path, "plain", ctf=None))
    assert record["ctf"] == "none"
    assert ", no CTF\n" in printed.out
    assert any(note.startswith("no CTF: ") for note in record["notes"])
    record, printed = reconstruct()
    assert record["ctf"] == "used"
    assert ", CTF\n" in printed.out


@pytest.mark.parametrize("kind", ["phase_flipped", "premultiplied"])
def test_flipped_and_premultiplied_images_give_the_map_of_the_others(
    kind, run, tmp_path, reconstruct
):
    particles = read_particles(run / "particles.star")
    ctf = particles.ctf.evaluate(SIZE)
    factor = np.sign(ctf) if kind == "phase_flipped" else ctf
    images = irfft2(rfft2(particles.images[:].astype(float)) * factor).astype(np.float32)
    with StackWriter(run / f"{kind}.mrcs", NUMBER, SIZE, PIXEL_SIZE) as writer:
        writer.write(images)
    star = run / f"{kind}.star"
    write_particles(star, dataclasses.replace(particles, **{kind: True}), f"{kind}.mrcs")
    record, _ = reconstruct(star, "--truth", run / "truth.mrc")
    expected, _ = reconstruct(run / "particles.star", "--truth", run / "truth.mrc")
    assert record["images_are"] == kind.replace("_", "-")
    assert record["relative_error"] == pytest.approx(expected["relative_error"], rel=0.02)


def test_a_pixel_size_that_is_given_replaces_the_files_and_is_said(run, reconstruct):
    record, _ = reconstruct(run / "particles.star", "--pixel-size", 8)
    assert record["pixel_size"] == 8
    assert any("pixel size" in line for line in record["warnings"] + record["notes"])


def test_a_support_that_cuts_the_object_warns_with_the_share(run, tmp_path, reconstruct):
    _, printed = reconstruct(run / "particles.star", "--support", 20)
    assert "--support cuts " in printed.err
    _, printed = reconstruct(run / "particles.star", "--support", 60)
    assert "--support" not in printed.err


def test_a_mask_that_cuts_the_object_warns_with_the_share(run, tmp_path, reconstruct):
    mask = soft_spherical_mask(SIZE, 4, 2, "float32")
    write_volume(tmp_path / "mask.mrc", mask, PIXEL_SIZE)
    _, printed = reconstruct(run / "particles.star", "--mask", tmp_path / "mask.mrc")
    assert "--mask cuts " in printed.err


def test_the_support_that_a_first_solve_shows_is_the_mask(run, tmp_path, reconstruct):
    record, _ = reconstruct(run / "particles.star", "--support", "auto")
    mean, mask, half = (
        read_volume(tmp_path / "out" / f"{name}.mrc")[0] for name in ("mean", "mask", "half1_unfil")
    )
    assert not mean[mask == 0].any()
    assert half[mask == 0].any()
    assert record["resolution_angstrom"] > 0


def test_what_is_no_mask_is_refused_as_one(run, tmp_path, capsys):
    write_volume(tmp_path / "two.mrc", np.full((SIZE,) * 3, 2, np.float32), PIXEL_SIZE)
    words = "reconstruct", run / "particles.star", "-o", tmp_path / "x"
    for option in ("--mask", "--support"):
        message = "expected a mask of values from 0 to 1, not all 0, got 2 to 2"
        assert message in fail(capsys, *words, option, tmp_path / "two.mrc")


def test_a_folder_of_a_job_is_read_and_said(run, tmp_path, reconstruct, capsys):
    folder = tmp_path / "job001"
    folder.mkdir()
    text = (run / "particles.star").read_text()
    (folder / "run_data.star").write_text(text)
    (folder / "particles.mrcs").write_bytes((run / "particles.mrcs").read_bytes())
    record, printed = reconstruct(folder)
    assert any("run_data.star" in note for note in record["notes"])
    assert "warning" not in printed.err.replace("unmasked", "")


def test_json_has_what_was_said(run, tmp_path, capsys):
    line = result(capsys, "reconstruct", run / "particles.star", "-o", tmp_path / "x")
    assert {"warnings", "notes", "resolution_angstrom", "resolution_limit"} <= set(line)
    assert "resolution " in succeed(capsys, "reconstruct", run / "particles.star", "-o", tmp_path)


@pytest.mark.parametrize("words", [[], ["--support", 50]])
def test_the_local_resolution_is_of_half_maps_that_share_no_support(
    run, reconstruct, tmp_path, monkeypatch, words
):
    seen = []

    def local_resolution(half1, half2, mask, pixel_size):
        seen.append((half1, half2))
        return half1

    monkeypatch.setattr(_results, "_write_summary", DRAW)
    monkeypatch.setattr(_results, "local_resolution", local_resolution)
    pytest.importorskip("matplotlib")
    figure = new_figure((1, 1))
    monkeypatch.setattr(_results, "summary_figure", lambda *_, **more: figure)
    reconstruct(run / "particles.star", *words)
    for number, half in enumerate(seen[0], 1):
        name = f"half{number}{'_unfil' if words else ''}.mrc"
        assert np.array_equal(half, read_volume(tmp_path / "out" / name)[0])
