"""MRC volumes: every header in use is read right, what is written is valid elsewhere."""

import bz2
import gzip
import itertools
import lzma
import math
import re
import tracemalloc
import warnings

import mrcfile
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from mrcfile.dtypes import HEADER_DTYPE

from fslice.io import open_stack, read_volume, write_volume
from fslice.io.mrc import check_mask

MODES = {0: np.int8, 1: np.int16, 2: np.float32, 6: np.uint16, 12: np.float16}


def mrc_bytes(values, order="<", extended=b"", **fields):
    """Make an MRC file field by field, by the format's description and nothing of ours."""
    header = np.zeros((), HEADER_DTYPE.newbyteorder(order))
    header["nz"], header["ny"], header["nx"] = values.shape
    header["mz"], header["my"], header["mx"] = values.shape
    header["cella"] = tuple(2.5 * side for side in values.shape[::-1])
    header["mapc"], header["mapr"], header["maps"] = 1, 2, 3
    header["mode"] = next(mode for mode, dtype in MODES.items() if dtype == values.dtype)
    header["map"] = b"MAP "
    header["machst"] = {"<": (0x44, 0x44, 0, 0), ">": (0x11, 0x11, 0, 0)}[order]
    header["nsymbt"] = len(extended)
    for name, value in fields.items():
        header[name] = value
    stored = values.astype(values.dtype.newbyteorder(order))
    return header.tobytes() + extended + stored.tobytes()


def write_raw(path, values, order="<", **fields):
    path.write_bytes(mrc_bytes(values, order, **fields))
    return path


def values_of(dtype, shape=(5, 5, 5), seed=0):
    return np.random.default_rng(seed).integers(0, 100, shape).astype(dtype)


@given(size=st.integers(1, 9), seed=st.integers(0, 99), pixel_size=st.floats(0.1, 100))
def test_a_volume_written_is_read_back(tmp_path, size, seed, pixel_size):
    volume = np.random.default_rng(seed).normal(size=(size,) * 3)
    write_volume(tmp_path / "a.mrc", volume, pixel_size)
    read, read_pixel_size = read_volume(tmp_path / "a.mrc")
    assert read.dtype == np.float32
    np.testing.assert_array_equal(read, volume.astype(np.float32))
    assert read_pixel_size == pytest.approx(pixel_size, rel=1e-6)


def test_a_written_volume_is_a_valid_mrc_file(tmp_path, rng, capsys):
    volume = rng.normal(3, 2, (8, 8, 8)).astype(np.float32)
    write_volume(tmp_path / "a.mrc", volume, 1.25)
    assert mrcfile.validate(tmp_path / "a.mrc"), capsys.readouterr().out
    with mrcfile.open(tmp_path / "a.mrc") as file:
        np.testing.assert_array_equal(file.data, volume)
        assert file.voxel_size.tolist() == (1.25, 1.25, 1.25)
        assert file.is_volume()
        assert file.header.origin.tolist() == (0, 0, 0)
        assert file.header.dmin == volume.min()
        assert file.header.dmax == volume.max()
        assert file.header.dmean == pytest.approx(volume.mean(), rel=1e-5)
        assert file.header.rms == pytest.approx(volume.std(), rel=1e-5)


def test_writing_does_not_change_the_volume_and_takes_any_strides(tmp_path, rng):
    volume = rng.normal(size=(6, 6, 6)).T[::-1]
    before = volume.copy()
    write_volume(tmp_path / "a.mrc", volume, 1.0)
    np.testing.assert_array_equal(volume, before)
    np.testing.assert_array_equal(read_volume(tmp_path / "a.mrc")[0], volume.astype(np.float32))


@pytest.mark.parametrize("order", "<>")
@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("compress", [bytes, gzip.compress, bz2.compress])
def test_every_mode_byte_order_and_compression_is_read(tmp_path, mode, order, compress):
    values = values_of(MODES[mode])
    path = tmp_path / "a.map"
    path.write_bytes(compress(mrc_bytes(values, order, extended=b"extended" * 10)))
    volume, pixel_size = read_volume(path)
    assert volume.dtype == np.dtype("float32")
    assert volume.flags.c_contiguous
    np.testing.assert_array_equal(volume, values)
    assert pixel_size == 2.5


@pytest.mark.parametrize("order", "<>")
@pytest.mark.parametrize("mode", [0, 2])
def test_a_missing_or_wrong_stamp_is_seen_through(tmp_path, mode, order):
    values = values_of(MODES[mode])
    wrong = {"<": (0x11, 0x11, 0, 0), ">": (0x44, 0x44, 0, 0)}[order]
    stamps = [(0, 0, 0, 0)] + [wrong] * (mode != 0)  # mode 0 reads the same in both orders
    for stamp in stamps:
        path = write_raw(tmp_path / "a.mrc", values, order, map=b"", machst=stamp)
        np.testing.assert_array_equal(read_volume(path)[0], values)


@pytest.mark.parametrize("axes", list(itertools.permutations((1, 2, 3))))
def test_any_order_of_axes_is_turned_to_z_y_x(tmp_path, axes):
    volume = values_of(np.float32)
    of_axis = {1: 2, 2: 1, 3: 0}  # x, y, z in our order of axes
    columns, rows, sections = axes
    stored = volume.transpose([of_axis[axis] for axis in (sections, rows, columns)])
    path = write_raw(tmp_path / "a.mrc", stored, mapc=columns, mapr=rows, maps=sections)
    np.testing.assert_array_equal(read_volume(path)[0], volume)


def test_axes_left_at_zero_are_x_y_z(tmp_path):
    values = values_of(np.float32)
    path = write_raw(tmp_path / "a.mrc", values, mapc=0, mapr=0, maps=0)
    np.testing.assert_array_equal(read_volume(path)[0], values)


def test_the_cell_is_divided_by_its_own_sampling(tmp_path):
    path = write_raw(tmp_path / "a.mrc", values_of(np.float32), mx=4, my=4, mz=4)
    assert read_volume(path)[1] == pytest.approx(12.5 / 4)


@pytest.mark.parametrize(
    "fields",
    [
        {"cella": (0, 0, 0)},
        {"cella": (5, 5, 0)},
        {"cella": (-5, -5, -5)},
        {"cella": (np.nan,) * 3},
        {"mx": 0, "my": 0, "mz": 0},
    ],
    ids=str,
)
def test_an_unknown_pixel_size_is_nan_and_cannot_be_written(tmp_path, fields):
    path = write_raw(tmp_path / "a.mrc", values_of(np.float32), **fields)
    volume, pixel_size = read_volume(path)
    assert math.isnan(pixel_size)
    with pytest.raises(ValueError, match=r"^pixel_size: expected a positive number .*, got nan$"):
        write_volume(tmp_path / "b.mrc", volume, pixel_size)


BYTES = np.arange(125, dtype=np.uint8).reshape(5, 5, 5) + 100


def imod(flags, order):
    """Return the field that holds IMOD's stamp and flags, in words 39 and 40 of the header."""
    words = np.zeros(21, order + "i4")
    words[10], words[11] = 1146047817, flags
    return {"extra2": np.frombuffer(words.tobytes(), "V84")[0]}


@pytest.mark.parametrize("order", "<>")
def test_bytes_are_unsigned_where_imod_or_the_greatest_value_says_so(tmp_path, order):
    def read(**fields):
        path = write_raw(tmp_path / "a.mrc", BYTES.view(np.int8), order, **fields)
        volume, _ = read_volume(path)
        np.testing.assert_array_equal(open_stack(path)[:], volume)
        return volume.min(), volume.max()

    unsigned, signed = (100, 224), (-128, 127)
    assert read(dmax=224) == read(**imod(0, order)) == read(dmax=100, **imod(2, order)) == unsigned
    assert read() == read(dmax=127) == read(dmax=224, **imod(1, order)) == signed
    assert read(dmin=-128, dmax=224) == signed


def test_a_full_cell_that_is_sampled_once_has_the_pixels_of_its_other_axes(tmp_path):
    values = values_of(np.float32)
    assert read_volume(write_raw(tmp_path / "a.mrc", values, mz=1))[1] == 2.5
    one_section = write_raw(tmp_path / "b.mrc", values, mz=1, cella=(12.5, 12.5, 2.5))
    assert read_volume(one_section)[1] == 2.5


def test_a_stack_of_one_volume_is_that_volume(tmp_path):
    values = values_of(np.float32)
    path = write_raw(tmp_path / "a.mrc", values, ispg=401)
    np.testing.assert_array_equal(read_volume(path)[0], values)


@pytest.mark.parametrize("name", ["a.ccp4", "a.rec", "a.map.gz", "a"])
def test_a_volume_is_told_by_its_content_not_by_its_name(tmp_path, name):
    values = values_of(np.float32)
    np.testing.assert_array_equal(read_volume(write_raw(tmp_path / name, values))[0], values)


@pytest.mark.parametrize("compress", [bz2.compress, gzip.compress])
def test_a_compressed_map_takes_the_memory_of_its_values_once(tmp_path, compress):
    path = tmp_path / "a.mrc"
    path.write_bytes(compress(mrc_bytes(np.zeros((128,) * 3, np.float32), extended=bytes(10**7))))
    tracemalloc.start()
    volume, _ = read_volume(path)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 1.6 * volume.nbytes + 2**25  # the rest: the check for finite values, pieces


def test_a_few_bytes_may_not_become_gigabytes(tmp_path):
    path = tmp_path / "a.mrc"
    header = mrc_bytes(ONES, nx=640, ny=640, nz=640)[:1024]
    path.write_bytes(bz2.compress(header + bytes(2**20)))
    with pytest.raises(ValueError, match=r"expected at most 67108864 bytes in a compressed file"):
        read_volume(path)


@pytest.mark.parametrize("values", [[0, 1.001], [-0.001, 1], [0, 0], [0, 255]], ids=str)
def test_what_is_not_from_0_to_1_is_no_mask(values):
    with pytest.raises(ValueError, match=r"^m: expected a mask of values from 0 to 1, not all 0, "):
        check_mask("m", np.array(values, float))
    check_mask("m", np.array([0, 0.5, 1]))


ONES = np.ones((5, 5, 5), np.float32)
WHOLE = mrc_bytes(ONES)
TERABYTES = {"nx": 30000, "ny": 30000, "nz": 30000}
BAD_FILES = {
    "empty": (b"", "expected an MRC header of 1024 bytes, got 0 bytes"),
    "part of a header": (WHOLE[:1000], "expected an MRC header of 1024 bytes, got 1000 bytes"),
    "cut off": (
        WHOLE[:-1],
        "expected 1524 bytes for the 5 x 5 x 5 values of float32 that the header claims, got 1523",
    ),
    "claims terabytes": (
        mrc_bytes(ONES, **TERABYTES),
        "expected 108000000001024 bytes for the 30000 x 30000 x 30000 values of float32 that the "
        "header claims, got 1524",
    ),
    "claims terabytes, compressed": (
        gzip.compress(mrc_bytes(ONES, **TERABYTES), mtime=0),
        "expected at most 67108864 bytes in a compressed file of this size, got a header that "
        "claims 108000000001024; decompress it first",
    ),
    "claims more than it holds, compressed": (
        gzip.compress(WHOLE[:-1], mtime=0),
        "expected 1524 bytes for the 5 x 5 x 5 values of float32 that the header claims, got 1523",
    ),
    "ends in its extended header, compressed": (
        gzip.compress(mrc_bytes(ONES, nsymbt=9999), mtime=0),
        "expected 11523 bytes for the 5 x 5 x 5 values of float32 that the header claims, got 1524",
    ),
    "of xz": (lzma.compress(WHOLE), "expected gzip or bzip2, got xz; decompress it first"),
    "of zip": (b"PK\x03\x04" + WHOLE, "expected gzip or bzip2, got zip; decompress it first"),
    "of zstd": (
        b"\x28\xb5\x2f\xfd" + WHOLE,
        "expected gzip or bzip2, got zstd; decompress it first",
    ),
    "a stack of volumes": (
        mrc_bytes(np.ones((15, 5, 5), np.float32), ispg=401, mz=5),
        "expected one volume, got a stack of 3",
    ),
    "long extended header": (
        mrc_bytes(ONES, nsymbt=2**31 - 1),
        "expected 2147485171 bytes for the 5 x 5 x 5 values of float32 that the header claims, "
        "got 1524",
    ),
    "negative extended header": (
        mrc_bytes(ONES, nsymbt=-4),
        "expected an extended header of 0 bytes or more, got -4",
    ),
    "text": (
        b"data_particles" * 100,
        "expected an MRC file of mode 0, 1, 2, 6, 12, got another kind of file",
    ),
    "complex": (
        mrc_bytes(ONES, mode=4),
        "expected an MRC file of mode 0, 1, 2, 6, 12, got mode 4",
    ),
    "no columns": (
        mrc_bytes(ONES, nx=0),
        "expected at least one section, row and column, got 5 x 5 x 0",
    ),
    "negative sections": (
        mrc_bytes(ONES, nz=-5),
        "expected at least one section, row and column, got -5 x 5 x 5",
    ),
    "repeated axis": (
        mrc_bytes(ONES, mapr=1),
        "expected the axes 1, 2, 3 in some order in mapc, mapr, maps, got 1, 1, 3",
    ),
    "not cubic": (
        mrc_bytes(ONES[:4]),
        "expected a cubic volume, got 4 x 5 x 5 sections, rows, columns",
    ),
    "voxels not cubic": (
        mrc_bytes(ONES, cella=(10, 10, 20)),
        "expected cubic voxels, got 2 x 2 x 4 Angstrom",
    ),
    "not finite": (
        mrc_bytes(np.where(np.arange(125).reshape(5, 5, 5) == 38, np.nan, ONES)),
        "1 of 125 values are NaN or infinite, the first at index (1, 2, 3)",
    ),
    "gzip cut off": (
        gzip.compress(mrc_bytes(values_of(np.float32)), mtime=0)[:-20],
        "the compressed data is damaged: Compressed file ended before the end-of-stream marker "
        "was reached",
    ),
    "gzip cut off in the header": (
        gzip.compress(WHOLE, mtime=0)[:40],
        "the compressed data is damaged: Compressed file ended before the end-of-stream "
        "marker was reached",
    ),
    "bzip2 only at its start": (
        b"BZ" + WHOLE,
        "the compressed data is damaged: Invalid data stream",
    ),
}


@pytest.mark.parametrize("name", BAD_FILES)
def test_a_bad_file_gives_one_line_that_names_it(tmp_path, name):
    path = tmp_path / "a.mrc"
    content, message = BAD_FILES[name]
    path.write_bytes(content)
    with pytest.raises(ValueError, match=rf"^{re.escape(f'{path}: {message}')}$"):
        read_volume(path)


def test_a_missing_file_is_an_oserror_that_names_it(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"absent\.mrc'$"):
        read_volume(tmp_path / "absent.mrc")
    with pytest.raises(IsADirectoryError, match=re.escape(str(tmp_path))):
        read_volume(tmp_path)


@pytest.mark.parametrize(
    ("volume", "error", "message"),
    [
        (np.ones((4, 4, 5)), ValueError, r"volume: expected shape \(4, 4, 4\), got \(4, 4, 5\)"),
        (np.ones((4, 4)), ValueError, r"volume: expected shape \(4, 4, 4\), got \(4, 4\)"),
        (np.float64(1)[...], ValueError, r"volume: expected shape \(D, D, D\), got \(\)"),
        (
            np.ones((4, 4, 4), int),
            TypeError,
            "volume: expected dtype float32 or float64, got int64",
        ),
        (np.full((2, 2, 2), np.inf), ValueError, "volume: 8 of 8 values are NaN or infinite, .*"),
    ],
)
def test_a_bad_volume_is_not_written(tmp_path, volume, error, message):
    with pytest.raises(error, match=f"^{message}$"):
        write_volume(tmp_path / "a.mrc", volume, 1.0)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("name", ["a.mrc.gz", "a.map.BZ2"])
def test_a_compressed_name_is_refused(tmp_path, name):
    with pytest.raises(ValueError, match=r"expected the name of an uncompressed MRC file, got \."):
        write_volume(tmp_path / name, np.ones((2, 2, 2)), 1.0)


# Real files.


def test_three_compressions_of_emd_3197_read_alike(data):
    names = ("EMD-3197.map", "EMD-3197.map.bz2", "emd_3197.map.gz")
    volumes, pixel_sizes = zip(*(read_volume(data / "maps" / name) for name in names), strict=True)
    assert volumes[0].shape == (20, 20, 20)
    np.testing.assert_array_equal(volumes[0], volumes[1])
    np.testing.assert_array_equal(volumes[0], volumes[2])
    assert pixel_sizes == pytest.approx([11.4] * 3)


def test_emd_1080_has_2_7_angstrom_although_its_sampling_is_not_its_size(data):
    volume, pixel_size = read_volume(data / "maps" / "emd_1080_groel_11.5A.mrc")
    assert volume.shape == (100, 100, 100)
    assert pixel_size == pytest.approx(2.7)


def test_the_70s_map_does_not_say_its_pixel_size(data):
    volume, pixel_size = read_volume(data / "maps" / "clean70SRibosome_vol_65p.mrc")
    assert volume.shape == (65, 65, 65)
    assert math.isnan(pixel_size)


def test_real_maps_are_read_as_mrcfile_reads_them(data):
    for path in sorted((data / "maps").iterdir()):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            expected = mrcfile.read(path)
        np.testing.assert_array_equal(read_volume(path)[0], expected, err_msg=str(path))


def test_a_volume_marked_as_a_stack_is_still_a_volume(data):
    path = data / "particles" / "cryodrgn_toy" / "toymodel_small_nocenter.mrc"
    volume, pixel_size = read_volume(path)
    assert (volume.shape, pixel_size) == ((30, 30, 30), 1.0)


def test_the_point_of_relions_point_mass_is_where_it_must_be(data):
    volume, _ = read_volume(data / "particles" / "relion_pointmass_ctf" / "pointmass.mrc")
    assert np.argwhere(volume).tolist() == [[32, 32, 49]]
