"""Files that claim too much, contradict themselves, or change while they are read."""

import bz2
import gzip
import struct

import numpy as np
import peak_memory
import pytest
from cs_files import make_rows
from cs_files import save as save_cs

from fslice.io import StackWriter, open_stack, read_atoms, read_particles, read_volume, write_volume
from fslice.io.star import write_star


def header(size, extended=0):
    """Return an MRC header of a cube of single precision."""
    words = np.zeros(256, "<i4")
    words[:4], words[7:10], words[16:19] = (size, size, size, 2), size, (1, 2, 3)
    words[10:13] = np.full(3, float(size), "<f4").view("<i4")
    words[23] = extended
    return words.tobytes()


@pytest.mark.parametrize("compress", [gzip.compress, bz2.compress])
@pytest.mark.parametrize(("size", "extended"), [(640, 0), (1024, 0), (8, 2_000_000_000)])
def test_a_small_file_that_claims_gigabytes_takes_no_memory(tmp_path, compress, size, extended):
    path = tmp_path / "bomb.mrc"
    path.write_bytes(compress(header(size, extended) + bytes(10**6)))

    def read():
        with pytest.raises(ValueError, match=r"expected at most .* got a header that claims"):
            read_volume(path)

    assert peak_memory.growth(read) < 1e8


def test_an_extended_header_is_dropped_while_it_is_read(tmp_path):
    write_volume(tmp_path / "plain.mrc", np.ones((8, 8, 8)), 2.0)
    content = (tmp_path / "plain.mrc").read_bytes()
    extended = struct.pack("<i", 50_000_000)
    head = content[:92] + extended + content[96:1024]
    (tmp_path / "a.mrc.gz").write_bytes(gzip.compress(head + bytes(50_000_000) + content[1024:], 1))
    volumes = []
    assert peak_memory.growth(lambda: volumes.append(read_volume(tmp_path / "a.mrc.gz")[0])) < 1e8
    assert (volumes[0] == 1).all()


def test_compressed_newlines_are_no_molecule(tmp_path):
    path = tmp_path / "a.pdb.gz"
    path.write_bytes(gzip.compress(b"\n" * 200_000_000, 1))

    def read():
        with pytest.raises(ValueError, match=r"expected at most .* bytes of text in a compressed"):
            read_atoms(path)

    assert peak_memory.growth(read) < 3e8


def test_a_stack_that_shrinks_is_one_line_and_not_the_end_of_the_process(tmp_path):
    path = tmp_path / "a.mrcs"
    with StackWriter(path, 10, 64, 1.5) as writer:
        writer.write(np.ones((10, 64, 64)))
    stack = open_stack(path)
    path.write_bytes(path.read_bytes()[:5000])
    with pytest.raises(ValueError, match=r"a.mrcs: expected 164864 bytes .* got 5000"):
        stack[:]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"alignments3D/pose": np.ones((3, 3), "c8")}, "alignments3D/pose: expected .* complex64"),
        ({"alignments3D/pose": np.ones((3, 3, 2), "f4")}, "expected .* of shape"),
        ({"blob/idx": np.array(["a", "b", "c"])}, "blob/idx: expected integers"),
        ({"blob/path": np.array([1, 2, 3])}, "blob/path: expected bytes or text"),
        ({"uid": np.array([1, 2, 3], "M8[s]")}, "uid: expected integers"),
        ({"ctf/df1_A": np.array([1, np.nan, 2], "f4")}, "ctf/df1_A: expected finite numbers"),
    ],
)
def test_every_field_of_a_cs_file_has_its_kind_and_shape(tmp_path, change, message):
    save_cs(tmp_path / "a.cs", make_rows(**change))
    with pytest.raises(ValueError, match=f"a.cs: .*{message}"):
        read_particles(tmp_path / "a.cs", images=False)


@pytest.mark.parametrize("shape", [2**62, -1, "(3, 2)"])
def test_a_shape_that_no_file_holds_is_refused(tmp_path, shape):
    path = tmp_path / "a.cs"
    save_cs(path, make_rows())
    content = path.read_bytes()
    new = f"({shape},)" if isinstance(shape, int) else shape
    path.write_bytes(content.replace(b"(3,), }" + b" " * (len(new) - 4), f"{new}, }}".encode()))
    with pytest.raises(ValueError, match=r"a\.cs: expected a \.cs file"):
        read_particles(path, images=False)


OPTICS = {
    "rlnOpticsGroup": [1, 2], "rlnImagePixelSize": [1.5, 1.5], "rlnImageSize": [8, 8],
    "rlnVoltage": [300, 300], "rlnSphericalAberration": [2.7, 2.7],
    "rlnAmplitudeContrast": [0.1, 0.1],
}  # fmt: skip
PARTICLES = {
    "rlnImageName": ["1@a.mrcs", "2@a.mrcs"], "rlnOpticsGroup": [1, 2],
    "rlnAngleRot": [0, 10], "rlnAngleTilt": [0, 20], "rlnAnglePsi": [0, 30],
    "rlnDefocusU": [1e4, 1e4],
}  # fmt: skip


@pytest.mark.parametrize(
    ("optics", "particles", "message"),
    [
        ({"rlnOpticsGroup": [1, 1], "rlnImagePixelSize": [1.5, 3]}, {}, "group 1 twice"),
        ({"rlnImageSize": [0, 0]}, {}, "whole number of pixels from 2, got 0"),
        ({"rlnImageSize": [32.9, 32.9]}, {}, "whole number of pixels from 2, got 32.9"),
        ({"rlnVoltage": ["3_00", "300"]}, {}, "rlnVoltage: expected a finite number, got '3_00'"),
        ({}, {"rlnImageName": ["9" * 5000 + "@a.mrcs", "1@a.mrcs"]}, "number from 1 before '@'"),
        ({}, {"rlnImageName": ["1_0@a.mrcs", "1@a.mrcs"]}, "number from 1 before '@'"),
        ({}, {"rlnImageName": ["99999999999@a.mrcs", "1@a.mrcs"]}, "number from 1 before '@'"),
    ],
)
def test_a_star_file_that_contradicts_itself_is_refused(tmp_path, optics, particles, message):
    tables = {"optics": OPTICS | optics, "particles": PARTICLES | particles}
    write_star(tmp_path / "a.star", tables)
    with pytest.raises(ValueError, match=message) as caught:
        read_particles(tmp_path / "a.star", images=False)
    assert len(str(caught.value)) < 400 + len(str(tmp_path))
