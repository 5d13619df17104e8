"""Stacks: read lazily as NumPy would read them whole, written in batches, valid elsewhere."""

import dataclasses
import gzip
import pickle
import re
import shutil

import mrcfile
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from mrcfile.dtypes import HEADER_DTYPE

from fslice.io import ImageStack, StackWriter, open_stack, write_volume
from fslice.io.stack import stack_layout


def write_stack(path, images, pixel_size=1.5):
    with StackWriter(path, len(images), images.shape[-1], pixel_size) as writer:
        writer.write(images)
    return path


@pytest.fixture
def images(rng):
    return rng.normal(size=(7, 6, 6)).astype(np.float32)


@pytest.fixture
def stack(tmp_path, images):
    """Seven images in two files, out of order."""
    for name, part in (("a", images[:4]), ("b", images[4:])):
        write_stack(tmp_path / name, part)
    files = tuple(stack_layout(tmp_path / name) for name in "ba")
    return ImageStack(files, np.array([1, 1, 1, 1, 0, 0, 0]), np.array([0, 1, 2, 3, 0, 1, 2]))


@pytest.fixture
def signed(stack):
    """The same images, every other one of reversed contrast."""
    signs = (-1.0) ** np.arange(7)
    return dataclasses.replace(stack, signs=signs)


INDICES = st.one_of(
    st.integers(-7, 6),
    st.slices(7),
    st.lists(st.integers(-7, 6), max_size=12).map(lambda list_: np.array(list_, int)),
    st.lists(st.booleans(), min_size=7, max_size=7).map(np.array),
)


@given(index=INDICES)
def test_a_stack_is_indexed_as_an_array_is(stack, images, index):
    read = stack[index]
    assert read.dtype == np.float32
    assert type(read) is np.ndarray
    np.testing.assert_array_equal(read, images[index])


@given(first=INDICES, second=st.slices(7))
def test_images_of_reversed_contrast_are_multiplied_by_minus_one(signed, images, first, second):
    expected = images * signed.signs.astype(np.float32)[:, None, None]
    np.testing.assert_array_equal(signed[first], expected[first])
    np.testing.assert_array_equal(signed.select(second)[:], expected[second])


def test_the_same_image_of_a_file_has_one_identity(tmp_path, images):
    write_stack(tmp_path / "a.mrcs", images)
    (tmp_path / "link.mrcs").symlink_to("a.mrcs")
    shutil.copy(tmp_path / "a.mrcs", tmp_path / "b.mrcs")
    files = tuple(stack_layout(tmp_path / name) for name in ("a.mrcs", "b.mrcs", "link.mrcs"))
    stack = ImageStack(files, np.array([0, 1, 2, 0, 2]), np.array([3, 3, 3, 1, 1]))
    one, other, again, second, third = stack.identities()
    assert one == again != other
    assert second == third not in (one, other)


@given(first=INDICES, data=st.data())
def test_selecting_is_lazy_indexing(stack, images, first, data):
    chosen = stack.select(first)
    expected = images[first].reshape(-1, 6, 6)
    assert isinstance(chosen, ImageStack)
    assert len(chosen) == len(expected)
    np.testing.assert_array_equal(chosen[:], expected)
    again = data.draw(st.slices(len(chosen)))
    np.testing.assert_array_equal(chosen.select(again)[:], expected[again])


def test_a_stack_is_array_like(stack, images):
    assert (len(stack), stack.shape, stack.ndim, stack.dtype) == (7, (7, 6, 6), 3, np.float32)
    np.testing.assert_array_equal(np.asarray(stack), images)
    assert np.asarray(stack, dtype=np.float64).dtype == np.float64
    np.testing.assert_array_equal(np.stack(list(stack)), images)
    assert repr(stack) == "ImageStack of 7 images of 6 x 6 pixels in 2 files"
    with pytest.raises(ValueError, match=r"^ImageStack: expected copy to be allowed"):
        np.asarray(stack, copy=False)


WITHIN = st.lists(st.one_of(st.integers(-6, 5), st.slices(6)), max_size=2)


@given(first=INDICES, within=WITHIN)
def test_rows_and_columns_are_indexed_as_those_of_an_array_are(stack, images, first, within):
    np.testing.assert_array_equal(stack[first, *within], images[first, *within])


@pytest.mark.parametrize("within", [([0], [1]), (0, 0, 0), (...,)], ids=str)
def test_other_indices_of_rows_and_columns_are_refused(stack, within):
    with pytest.raises(IndexError, match=r"^ImageStack: expected integers or slices after images"):
        stack[0, *within]


def test_an_index_out_of_range_is_an_index_error(stack):
    for index in (7, -8, [0, 7]):
        with pytest.raises(IndexError):
            stack[index]


def test_reading_an_image_gives_memory_of_its_own(stack, images):
    stack[0][:] = 0
    np.testing.assert_array_equal(stack[0], images[0])


def test_a_stack_can_be_sent_to_another_process(stack, images):
    np.testing.assert_array_equal(pickle.loads(pickle.dumps(stack))[:], images)


@pytest.mark.parametrize("order", "<>")
@pytest.mark.parametrize("dtype", ["i1", "i2", "f4", "u2", "f2"])
def test_every_mode_and_byte_order_is_read(tmp_path, rng, dtype, order):
    values = rng.integers(0, 100, (3, 5, 5)).astype(np.dtype(dtype).newbyteorder(order))
    with mrcfile.new(tmp_path / "a.mrcs") as file:
        file.set_data(values)
        file.set_image_stack()
    read = open_stack(tmp_path / "a.mrcs")[:]
    assert read.dtype == np.dtype("float32")
    np.testing.assert_array_equal(read, values)


def test_a_stack_larger_than_memory_is_read_where_it_is_asked_for(tmp_path):
    number, size = 3_000_000, 256  # 786 GB, of which the disk holds the pages that are written
    with StackWriter(tmp_path / "a.mrcs", 1, size, 1.5) as writer:
        writer.write(np.ones((1, size, size)))
    with open(tmp_path / "a.mrcs", "r+b") as file:
        file.seek(8)
        file.write(np.int32(number).tobytes())
        file.truncate(1024 + number * size**2 * 4)
        file.seek(1024 + (number - 1) * size**2 * 4)
        file.write(np.full((size, size), 5, np.float32).data)
    stack = open_stack(tmp_path / "a.mrcs")
    assert stack.shape == (number, size, size)
    assert stack[[0, 1, number - 1]].mean((1, 2)).tolist() == [1, 0, 5]
    assert stack[-2:].mean((1, 2)).tolist() == [0, 5]


def test_more_files_than_a_process_may_open_are_no_limit(tmp_path, images):
    resource = pytest.importorskip("resource")
    write_stack(tmp_path / "a.mrcs", images)
    layout = stack_layout(tmp_path / "a.mrcs")
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (64, before[1]))
    try:
        stack = ImageStack((layout,) * 100, np.arange(100), np.zeros(100, int))
        np.testing.assert_array_equal(stack[:], np.repeat(images[:1], 100, axis=0))
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, before)


def test_a_stack_that_shrinks_after_opening_is_an_error(tmp_path, images):
    path = write_stack(tmp_path / "a.mrcs", images)
    stack = open_stack(path)
    path.write_bytes(path.read_bytes()[:1500])
    np.testing.assert_array_equal(stack[0], images[0])
    with pytest.raises(ValueError, match=rf"^{re.escape(str(path))}: expected 2032 bytes .* 1500$"):
        stack[3:]


@pytest.mark.parametrize("batch", [1, 100, 2**22])
def test_pixels_that_are_not_finite_are_counted_and_the_first_is_named(stack, monkeypatch, batch):
    monkeypatch.setattr("fslice.io.stack._BATCH", batch)
    stack.check_finite()
    layout = stack.files[0]
    values = np.memmap(layout.path, layout.dtype, "r+", layout.offset, layout.shape)
    values[1, 2, 3] = np.nan
    values[2, 4, 4:] = -np.inf
    values.flush()
    message = f"{layout.path}: 3 of 252 pixels are NaN or infinite, the first at index (5, 2, 3)"
    with pytest.raises(ValueError, match=rf"^{re.escape(message)}$"):
        stack.check_finite()


def test_a_stack_opened_by_a_relative_path_outlives_a_change_of_folder(
    tmp_path, images, monkeypatch
):
    write_stack(tmp_path / "a.mrcs", images)
    monkeypatch.chdir(tmp_path)
    stack = open_stack("a.mrcs")
    monkeypatch.chdir("/")
    np.testing.assert_array_equal(stack[:], images)


@pytest.mark.parametrize(
    ("field", "value", "message"),
    [
        ("nx", 3, "expected square images, got 6 rows of 3 columns"),
        ("nz", 0, "expected at least one section, row and column, got 0 x 6 x 6"),
        ("nz", 8, "expected 2176 bytes for the 8 x 6 x 6 values of float32 that the header "
         "claims, got 2032"),
        ("nz", 2**31 - 1, "expected 309237646192 bytes for the 2147483647 x 6 x 6 values of "
         "float32 that the header claims, got 2032"),
        ("mode", 4, "expected an MRC file of mode 0, 1, 2, 6, 12, got mode 4"),
        ("mapc", 2, "expected a stack with the axes 1, 2, 3, got 2, 1, 3"),
    ],
)  # fmt: skip
def test_a_bad_stack_gives_one_line_that_names_it(tmp_path, images, field, value, message):
    path = write_stack(tmp_path / "a.mrcs", images)
    header = np.memmap(path, HEADER_DTYPE, "r+", shape=1)
    header[field] = value
    if field == "mapc":
        header["mapr"] = 1
    header.flush()
    with pytest.raises(ValueError, match=rf"^{re.escape(f'{path}: {message}')}$"):
        open_stack(path)


def test_a_truncated_or_compressed_or_missing_stack_is_an_error(tmp_path, images):
    path = write_stack(tmp_path / "a.mrcs", images)
    whole = path.read_bytes()
    path.write_bytes(whole[:-1])
    with pytest.raises(ValueError, match=r"a.mrcs: expected 2032 bytes .*, got 2031$"):
        open_stack(path)
    path.write_bytes(gzip.compress(whole))
    with pytest.raises(ValueError, match=r"a.mrcs: expected an uncompressed stack, which can .*$"):
        open_stack(path)
    path.unlink()
    with pytest.raises(FileNotFoundError, match=r"a.mrcs'$"):
        open_stack(path)


# Writing.


@given(number=st.integers(1, 9), size=st.integers(1, 7), batch=st.integers(1, 9))
def test_batches_written_are_read_back(tmp_path, number, size, batch):
    images = np.random.default_rng(number).normal(size=(number, size, size))
    with StackWriter(tmp_path / "a.mrcs", number, size, 2.5) as writer:
        for start in range(0, number, batch):
            writer.write(images[start : start + batch])
    np.testing.assert_array_equal(open_stack(tmp_path / "a.mrcs")[:], images.astype(np.float32))


def test_a_written_stack_is_a_valid_stack_of_images(tmp_path, rng, capsys):
    images = rng.normal(3, 2, (5, 8, 8))
    path = write_stack(tmp_path / "a.mrcs", images, 1.25)
    assert mrcfile.validate(path), capsys.readouterr().out
    with mrcfile.open(path) as file:
        assert file.is_image_stack()
        np.testing.assert_array_equal(file.data, images.astype(np.float32))
        assert file.voxel_size.tolist() == (1.25, 1.25, 1.25)
        assert (file.header.ispg, file.header.mz) == (0, 1)
        assert file.header.dmin == np.float32(images.min())
        assert file.header.dmax == np.float32(images.max())
        assert file.header.dmean == pytest.approx(images.mean(), rel=1e-5)
        assert file.header.rms == pytest.approx(images.std(), rel=1e-5)


def test_a_stack_appears_only_when_it_is_complete(tmp_path, images):
    path = tmp_path / "a.mrcs"
    with StackWriter(path, 7, 6, 1.5) as writer:
        writer.write(images)
        assert not path.exists()
    assert [entry.name for entry in tmp_path.iterdir()] == ["a.mrcs"]


@pytest.mark.parametrize("number", [6, 8])
def test_a_wrong_number_of_images_leaves_nothing_behind(tmp_path, images, number):
    path = tmp_path / "a.mrcs"
    message = f"expected {number} images to be written, got 7"
    with (
        pytest.raises(ValueError, match=rf"^{re.escape(f'{path}: {message}')}$"),
        StackWriter(path, number, 6, 1.5) as writer,
    ):
        writer.write(images)
    assert not list(tmp_path.iterdir())


def test_an_error_while_writing_leaves_nothing_behind(tmp_path, images):
    def write():
        with StackWriter(tmp_path / "a.mrcs", 7, 6, 1.5) as writer:
            writer.write(images)
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write()
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ((0, 6, 1.5), ValueError, "n: expected at least 1, got 0"),
        ((7, 0, 1.5), ValueError, "size: expected at least 1, got 0"),
        ((7, 6.5, 1.5), TypeError, "size: expected an integer, got 6.5"),
        ((7, 6, 0.0), ValueError, "pixel_size: expected a positive number of Angstrom, got 0.0"),
        ((7, 6, None), TypeError, "pixel_size: expected a number of Angstrom, got None"),
    ],
)
def test_bad_arguments_of_a_writer_are_named(tmp_path, arguments, error, message):
    with pytest.raises(error, match=f"^{re.escape(message)}$"):
        StackWriter(tmp_path / "a.mrcs", *arguments)


@pytest.mark.parametrize(
    ("images", "error", "message"),
    [
        (np.ones((2, 6, 5)), ValueError, "images: expected shape (b, 6, 6), got (2, 6, 5)"),
        (np.full((1, 6, 6), np.nan), ValueError, "images: 36 of 36 values are NaN or infinite, the "
         "first at index (0, 0, 0)"),
        (np.ones((6, 6)), ValueError, "images: expected shape (b, 6, 6), got (6, 6)"),
        (np.ones((0, 6, 6)), ValueError, "images: expected at least one element, got shape "
         "(0, 6, 6)"),
        (np.ones((2, 6, 6), int), TypeError, "images: expected dtype float32 or float64, got "
         "int64"),
    ],
)  # fmt: skip
def test_bad_images_are_named(tmp_path, images, error, message):
    with (
        pytest.raises(error, match=f"^{re.escape(message)}$"),
        StackWriter(tmp_path / "a.mrcs", 7, 6, 1.5) as writer,
    ):
        writer.write(images)
    assert not list(tmp_path.iterdir())


# Real files.


def test_the_toy_stack_without_a_stamp_is_read(data):
    path = data / "particles" / "cryodrgn_toy" / "toy_projections.mrcs"
    with pytest.raises(ValueError, match="Map ID string not found"):
        mrcfile.open(path)
    stack = open_stack(path)
    assert stack.shape == (1000, 30, 30)
    stored = np.fromfile(path, "<f4", offset=1024).reshape(1000, 30, 30)
    np.testing.assert_array_equal(stack[[3, 999, 0]], stored[[3, 999, 0]])


def test_a_volume_is_a_stack_of_its_sections(tmp_path, rng):
    volume = rng.normal(size=(6, 6, 6)).astype(np.float32)
    write_volume(tmp_path / "a.mrc", volume, 1.5)
    shutil.copy(tmp_path / "a.mrc", tmp_path / "a.mrcs")
    np.testing.assert_array_equal(open_stack(tmp_path / "a.mrcs")[:], volume)
