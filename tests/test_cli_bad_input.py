"""Every kind of bad input: one clear line, exit 2, no traceback, no partial output."""

import errno
import os
import re
import resource
import shutil
import subprocess
import sys

import numpy as np
import pytest
from cli_tools import fail, names, succeed
from mrcfile.dtypes import HEADER_DTYPE

from fslice.io import StackWriter, write_volume

SIZE, PIXEL_SIZE, NUMBER = 24, 4.0, 12


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """Simulate a few particles, once."""
    from fslice.cli import main

    folder = tmp_path_factory.mktemp("made")
    words = f"simulate phantom --size {SIZE} --pixel-size {PIXEL_SIZE} -n {NUMBER} --snr 1"
    assert main([*words.split(), "-o", str(folder)]) == 0
    return folder


@pytest.fixture
def folder(made, tmp_path):
    """Copy the particles, to be spoilt."""
    return shutil.copytree(made, tmp_path / "run")


def set_header(path, **fields):
    """Change fields of an MRC header."""
    content = bytearray(path.read_bytes())
    header = np.frombuffer(content, HEADER_DTYPE, count=1).copy()
    for name, value in fields.items():
        header[name] = value
    content[: HEADER_DTYPE.itemsize] = header.tobytes()
    path.write_bytes(content)


def set_pixel(path, image, row, column, value):
    """Change a pixel of a stack."""
    offset = HEADER_DTYPE.itemsize + 4 * ((image * SIZE + row) * SIZE + column)
    with open(path, "r+b") as file:
        file.seek(offset)
        file.write(np.float32(value).tobytes())


def replace(path, pattern, replacement):
    """Replace a regular expression in a text file."""
    before = path.read_text()
    path.write_text(re.sub(pattern, replacement, before))
    assert path.read_text() != before


def no_stack(run):
    (run / "particles.mrcs").unlink()


def truncated_stack(run):
    os.truncate(run / "particles.mrcs", 1024 + 4 * SIZE**2 * NUMBER - 1)


def stack_of_a_few_bytes(run):
    os.truncate(run / "particles.mrcs", 100)


def header_that_claims_terabytes(run):
    set_header(run / "particles.mrcs", nx=2**17, ny=2**17, nz=2**17)


def stack_of_too_few_images(run):
    with StackWriter(run / "particles.mrcs", 5, SIZE, PIXEL_SIZE) as writer:
        writer.write(np.ones((5, SIZE, SIZE)))


def no_pose_columns(run):
    replace(run / "particles.star", "_rlnAngle(Tilt|Psi)", r"_rlnAngle\1Prior")


def images_that_are_not_square(run):
    set_header(run / "particles.mrcs", ny=SIZE // 2, nz=2 * NUMBER)


def box_that_is_not_the_star_files(run):
    with StackWriter(run / "particles.mrcs", NUMBER, SIZE + 2, PIXEL_SIZE) as writer:
        writer.write(np.ones((NUMBER, SIZE + 2, SIZE + 2)))


def pixels_that_are_not_finite(run):
    for image, value in ((3, np.nan), (3, np.inf), (7, -np.inf)):
        set_pixel(run / "particles.mrcs", image, 5 + (value > 0), 2, value)


def stack_of_zero_images(run):
    set_header(run / "particles.mrcs", nz=0)


def star_of_zero_images(run):
    replace(run / "particles.star", r" *\d+@particles.mrcs.*\n", "")


def pixel_size_zero(run):
    replace(run / "particles.star", "(opticsGroup1 .*) 4.0", r"\1 0.0")


def pixel_size_negative(run):
    replace(run / "particles.star", "(opticsGroup1 .*) 4.0", r"\1 -4.0")


def no_pixel_size(run):
    replace(run / "particles.star", "_rlnImagePixelSize", "_rlnSomething")


def angle_that_is_not_finite(run):
    replace(run / "particles.star", r"(000003@particles.mrcs +1 +)\S+", r"\1nan")


def star_that_is_none(run):
    (run / "particles.star").write_text("These are not the particles you are looking for.")


def star_of_nothing(run):
    (run / "particles.star").write_bytes(b"")


def star_of_bytes(run):
    (run / "particles.star").write_bytes(bytes(range(256)))


def stack_that_is_none(run):
    (run / "particles.mrcs").write_bytes(b"\x89PNG\r\n\x1a\n" + bytes(range(256)) * 16)


PARTICLES = [
    (no_stack, "the stack 'particles.mrcs' was not found"),
    (truncated_stack, "expected 28672 bytes for the 12 x 24 x 24 values"),
    (stack_of_a_few_bytes, "expected an MRC header of 1024 bytes, got 100 bytes"),
    (header_that_claims_terabytes, "that the header claims, got 28672"),
    (stack_of_too_few_images, "which has 5, got 000006@particles.mrcs"),
    (no_pose_columns, "missing: rlnAngleTilt, rlnAnglePsi"),
    (images_that_are_not_square, "expected square images, got 12 rows of 24 columns"),
    (box_that_is_not_the_star_files, "expected images of 24 x 24 pixels, got 26 x 26"),
    (
        pixels_that_are_not_finite,
        "3 of 6912 pixels are NaN or infinite, the first at index (3, 5, 2)",
    ),
    (stack_of_zero_images, "got 0 x 24 x 24"),
    (star_of_zero_images, "expected at least one particle, got 0"),
    (pixel_size_zero, "expected a positive pixel size (rlnImagePixelSize"),
    (pixel_size_negative, "), got -4"),
    (no_pixel_size, "expected a pixel size (rlnImagePixelSize"),
    (angle_that_is_not_finite, "rlnAngleRot: expected a finite number, got 'nan' in row 3"),
    (star_that_is_none, "expected a STAR file, got"),
    (star_of_nothing, "expected one table with the column rlnImageName, got none"),
    (star_of_bytes, "expected a STAR file, got"),
    (stack_that_is_none, "expected an MRC file of mode"),
]


@pytest.mark.parametrize(
    ("spoil", "complaint"), PARTICLES, ids=lambda case: getattr(case, "__name__", "")
)
def test_bad_particles(spoil, complaint, folder, tmp_path, capsys):
    spoil(folder)
    line = fail(capsys, "reconstruct", folder / "particles.star", "-o", tmp_path / "recon")
    assert complaint in line
    assert not (tmp_path / "recon").exists()


def test_a_header_that_claims_more_than_the_file_holds_takes_no_memory(folder, tmp_path):
    header_that_claims_terabytes(folder)
    words = ["reconstruct", folder / "particles.star", "-o", tmp_path / "recon"]
    done = limited(words, resource.RLIMIT_AS, 2**32)
    assert done.returncode == 2
    assert done.stderr.count("\n") == 1
    assert "bytes for the 131072 x 131072 x 131072 values" in done.stderr


@pytest.mark.parametrize("option", ["--truth", "--mask"])
@pytest.mark.parametrize(
    ("size", "pixel_size", "complaint"),
    [
        (SIZE + 1, PIXEL_SIZE, "expected a box of 24 voxels, got 25"),
        (SIZE, 3.9, "expected a pixel size of 4 Angstrom, got 3.9"),
    ],
)
def test_a_map_that_does_not_fit(option, size, pixel_size, complaint, folder, tmp_path, capsys):
    write_volume(tmp_path / "map.mrc", np.ones((size,) * 3), pixel_size)
    words = "-o", tmp_path / "recon", option, tmp_path / "map.mrc"
    assert complaint in fail(capsys, "reconstruct", folder / "particles.star", *words)
    assert not (tmp_path / "recon").exists()


@pytest.mark.parametrize(
    ("words", "complaint"),
    [
        ("--device tpu", "argument --device: invalid choice: 'tpu' (choose from"),
        ("--epochs 0", "argument --epochs: expected an integer of at least 1, got '0'"),
        ("--batch-size -1", "argument --batch-size: expected an integer of at least 1, got '-1'"),
        ("--oversampling 0", "argument --oversampling: expected a number of at least 1, got '0'"),
        ("--noise-variance 0", "expected 'auto' or a number above 0, got '0'"),
        ("--prior-variance nan", "expected 'auto' or a number above 0, got 'nan'"),
        ("--pixel-size 0", "argument --pixel-size: expected a number above 0, got '0'"),
        ("--pixel-size -1", "argument --pixel-size: expected a number above 0, got '-1'"),
        ("--posterior student", "invalid choice: 'student'"),
        ("--truth absent.mrc", "absent.mrc: No such file or directory"),
    ],
)
def test_bad_arguments_of_reconstruct(words, complaint, folder, tmp_path, capsys):
    particles = folder / "particles.star"
    line = fail(capsys, "reconstruct", particles, "-o", tmp_path / "recon", *words.split())
    assert complaint in line
    assert not (tmp_path / "recon").exists()


def test_halves_of_a_single_image(folder, tmp_path, capsys):
    star = folder / "particles.star"
    star.write_text(re.sub(r"(?m)^.*0000(0[2-9]|1\d)@.*\n", "", star.read_text()))
    words = "reconstruct", star, "-o", tmp_path / "recon"
    message = "expected at least 2 images for half maps, got 1: give --no-halves"
    assert message in fail(capsys, *words)
    assert not (tmp_path / "recon").exists()


@pytest.mark.parametrize(
    ("words", "complaint"),
    [
        ("--snr 0 -n 5", "argument --snr: expected a number above 0, got '0'"),
        ("--snr -1 -n 5", "argument --snr: expected a number above 0, got '-1'"),
        ("--snr inf -n 5", "argument --snr: expected a number above 0, got 'inf'"),
        ("--snr 1 -n 0", "argument -n: expected an integer of at least 1, got '0'"),
        ("--snr 1 -n -3", "argument -n: expected an integer of at least 1, got '-3'"),
        ("--snr 1 -n 2.5", "argument -n: expected an integer of at least 1, got '2.5'"),
        ("--snr 1", "the following arguments are required: -n"),
        ("-n 5", "one of the arguments --snr --noise-variance is required"),
        ("-n 5 --snr 1 --noise-variance 1", "not allowed with argument --snr"),
        ("-n 5 --noise-variance -1", "expected a number of at least 0, got '-1'"),
        ("-n 5 --snr 1 --pixel-size 0", "argument --pixel-size: expected a number above 0"),
        ("-n 5 --snr 1 --pixel-size -2", "argument --pixel-size: expected a number above 0"),
        ("-n 5 --snr 1 --size 0", "argument --size: expected an integer of at least 4, got '0'"),
        ("-n 5 --snr 1 --cone 361", "argument --cone: expected 0 to 360 degrees, got '361'"),
        ("-n 5 --snr 1 --shift-std nan", "argument --shift-std: expected a number of at least 0"),
        ("-n 5 --snr 1 --defocus 9000 8000", "defocus: expected (lowest, highest) in Angstrom"),
        ("-n 5 --snr 1 --seed -1", "argument --seed: expected an integer of at least 0"),
        ("-n 5 --snr 1 --map-pixel-size 2", "--map-pixel-size: expected a map, got phantom"),
    ],
)
def test_bad_arguments_of_simulate(words, complaint, tmp_path, capsys):
    line = fail(capsys, "simulate", "phantom", "-o", tmp_path / "run", *words.split())
    assert complaint in line
    assert names(tmp_path) == []


ATOM = "ATOM      1  CA  GLY A{0:4d}       0.000   0.000{0:8.3f}  1.00 20.00           C\n"


@pytest.mark.parametrize(
    ("name", "content", "complaint"),
    [
        ("empty.pdb", b"", "expected at least one atom, got 0"),
        ("remarks.pdb", b"REMARK nothing here\nEND\n", "expected at least one atom, got 0"),
        ("empty.cif", b"", "expected at least one atom, got 0"),
        ("words.cif", b"These are no atoms.", "expected a PDB or mmCIF file, got"),
        ("cut.pdb.gz", b"\x1f\x8b\x08\x00", "the compressed data is damaged"),
        ("large.pdb", (ATOM.format(0) + ATOM.format(300)).encode(), "to hold the model, got 24 x"),
        ("words.mrc", b"This is no map.", "expected an MRC header of 1024 bytes, got 15 bytes"),
        ("words.txt", b"This is no model.", "MODEL: expected 'phantom' or a file ending in"),
        ("absent.pdb", None, "absent.pdb: No such file or directory"),
    ],
)
def test_bad_models(name, content, complaint, tmp_path, capsys):
    if content is not None:
        (tmp_path / name).write_bytes(content)
    words = "-o", tmp_path / "run", "-n", 5, "--snr", 1, "--size", 24
    assert complaint in fail(capsys, "simulate", tmp_path / name, *words)
    assert not (tmp_path / "run").exists()


def test_a_model_larger_than_the_box(folder, tmp_path, capsys):
    words = "simulate", folder / "truth.mrc", "-o", tmp_path / "x", "-n", 5, "--snr", 1
    complaint = "to hold 99 % of the map's energy, got 12 x 4 = 48.0 Angstrom"
    assert complaint in fail(capsys, *words, "--size", 12)
    assert not (tmp_path / "x").exists()


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_a_map_that_is_not_finite(value, folder, tmp_path, capsys):
    set_pixel(folder / "truth.mrc", 1, 2, 3, value)
    words = "simulate", folder / "truth.mrc", "-o", tmp_path / "x", "-n", 5, "--snr", 1
    complaint = "1 of 13824 values are NaN or infinite, the first at index (1, 2, 3)"
    assert complaint in fail(capsys, *words)


def outputs(tmp_path):
    """Return folders that cannot be written, and what is said of them."""
    (tmp_path / "file").write_text("precious")
    (tmp_path / "taken" / "particles.star").mkdir(parents=True)
    (tmp_path / "taken" / "result.json").mkdir()
    return [
        (tmp_path / "file", "file: expected a folder"),
        (tmp_path / "file" / "below", "Not a directory"),
        (tmp_path / "taken", "expected a file"),
        ("/dev/full", "/dev/full: expected a folder"),
        ("/proc/fslice/run", "/proc/fslice"),
        ("bad\0name", "null byte"),
    ]


@pytest.mark.parametrize("number", range(6))
@pytest.mark.parametrize("command", ["simulate", "reconstruct"])
def test_unwritable_outputs(command, number, folder, tmp_path, capsys):
    output, complaint = outputs(tmp_path)[number]
    before = sorted(tmp_path.rglob("*"))
    words = {
        "simulate": ["phantom", *f"--size {SIZE} -n 5 --snr 1".split()],
        "reconstruct": [folder / "particles.star"],
    }
    assert complaint in fail(capsys, command, *words[command], "-o", output)
    assert sorted(tmp_path.rglob("*")) == before
    assert (tmp_path / "file").read_text() == "precious"


def full_disk(monkeypatch, writes):
    """Let the disk be full at the given write that has to reach it."""
    left = [writes]

    def fsync(_):
        left[0] -= 1
        if left[0] < 0:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr("os.fsync", fsync)


@pytest.mark.parametrize("writes", range(4))
def test_a_disk_that_fills_up_while_simulating(writes, tmp_path, monkeypatch, capsys):
    full_disk(monkeypatch, writes)
    words = "simulate", "phantom", "-o", tmp_path / "run", "--size", SIZE, "-n", 5, "--snr", 1
    assert "No space left on device" in fail(capsys, *words)
    assert names(tmp_path) == []


def limited(words, limit, value):
    """Run a command in a process of its own under a limit of the system."""
    return subprocess.run(
        [sys.executable, "-m", "fslice", *map(str, words)],
        preexec_fn=lambda: resource.setrlimit(limit, (value, value)),
        capture_output=True,
        text=True,
        timeout=100,
    )


@pytest.mark.parametrize("size", [500, 5_000, 40_000])
def test_writes_that_the_system_refuses(size, tmp_path):
    words = ["simulate", "phantom", "-o", tmp_path / "run", "--size", SIZE, "-n", 12, "--snr", 1]
    done = limited(words, resource.RLIMIT_FSIZE, size)
    assert done.returncode == 2
    assert done.stderr.startswith(f"error: {tmp_path}")
    assert done.stderr.endswith("File too large\n")
    assert done.stderr.count("\n") == 1
    assert names(tmp_path) == []


def test_a_disk_that_fills_up_leaves_earlier_results_as_they_were(folder, monkeypatch, capsys):
    before = {name: (folder / name).read_bytes() for name in names(folder)}
    full_disk(monkeypatch, 2)
    words = "simulate", "phantom", "-o", folder, "--size", SIZE, "-n", 5, "--snr", 1
    assert "No space left on device" in fail(capsys, *words)
    assert before == {name: (folder / name).read_bytes() for name in names(folder)}
    monkeypatch.undo()
    succeed(capsys, *words)
