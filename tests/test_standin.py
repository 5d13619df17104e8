"""The CuPy-like library: it refuses what CuPy refuses, computes the rest, records every copy."""

import sys

import numpy as np
import pytest
from standin import installed, recorded

from fslice._arrays import array_namespace, check_finite, to_numpy

IMPLICIT = "Implicit conversion to a NumPy array is not allowed"
UNSUPPORTED = "Unsupported type <class 'numpy.ndarray'>"


@pytest.fixture
def cupy():
    """Have the library in CuPy's place."""
    with installed() as module:
        yield module


@pytest.fixture
def array(cupy):
    """Return an array of the device."""
    return cupy.arange(6.0).reshape(2, 3)


# the modules -------------------------------------------------------------------------------------


def test_it_is_found_as_cupy_inside_the_block_only():
    before = sys.modules.get("cupy")
    with installed() as cupy:
        import cupyx.scipy.fft

        assert sys.modules["cupy"] is cupy
        assert array_namespace(cupy.zeros(2)) is cupy
        assert cupyx.scipy.fft.rfftn is sys.modules["cupyx.scipy.fft"].rfftn
    assert sys.modules.get("cupy") is before


@pytest.mark.parametrize("name", ["errstate", "memmap", "geomspace", "lib"])
def test_what_cupy_lacks_is_lacking(cupy, name):
    assert hasattr(np, name)
    with pytest.raises(AttributeError, match=f"module 'cupy' has no attribute '{name}'"):
        getattr(cupy, name)


def test_generators_have_few_distributions_and_no_seed_sequences(cupy):
    generator = cupy.random.default_rng(0)
    expected = np.random.default_rng(0).standard_normal(3)
    assert generator.standard_normal(3).get().tolist() == expected.tolist()
    assert isinstance(generator.random(), cupy.ndarray)
    for name in ("normal", "permutation", "choice"):
        with pytest.raises(AttributeError, match=name):
            getattr(generator, name)
    for name in ("SFC64", "SeedSequence"):
        with pytest.raises(AttributeError, match=name):
            getattr(cupy.random, name)


# no way to NumPy but the explicit one -------------------------------------------------------------


@pytest.mark.parametrize(
    "convert",
    [np.asarray, np.array, np.float64, lambda a: np.array([a, a])],
)
def test_nothing_converts_by_itself(array, convert):
    with pytest.raises(TypeError, match=IMPLICIT):
        convert(array)


@pytest.mark.parametrize(
    "mix",
    [
        lambda a, h: a + h,
        lambda a, h: h + a,
        lambda a, h: a.__iadd__(h),
        lambda a, h: h.__iadd__(a),
        lambda a, h: a @ h.T,
        lambda a, h: a == h,
        lambda a, h: np.add(a, h),
        lambda a, h: np.dot(a, h.T),
        lambda a, h: sys.modules["cupy"].where(a > 0, a, h),
        lambda a, h: sys.modules["cupy"].stack([a, h]),
        lambda a, h: sys.modules["cupy"].add(h, h),
        lambda a, h: sys.modules["cupy"].sum(h),
        lambda a, h: a * [1.0, 2.0, 3.0],
        lambda a, h: sys.modules["cupy"].sum([1.0, 2.0]),
        lambda a, h: a + np.array(1.0),
    ],
)
def test_arrays_of_the_two_libraries_do_not_mix(array, mix):
    with pytest.raises(TypeError, match=r"Unsupported type|__array_ufunc__|no implementation"):
        mix(array, np.ones((2, 3)))


@pytest.mark.parametrize("key", [0, slice(None), (0, slice(None)), [0, 1]])
def test_arrays_of_the_host_are_not_assigned(array, key):
    with pytest.raises(ValueError, match=r"non-scalar numpy\.ndarray"):
        array[key] = np.ones(array[key].shape)


def test_numbers_of_numpy_are_as_good_as_those_of_python(array):
    assert (np.float64(2) * array).dtype == np.float64
    assert (array.astype("f4") * np.float64(2)).dtype == np.float64
    assert (array.astype("f4") * 2.0).dtype == np.float32
    array[0] = np.float64(7)
    assert array.get()[0].tolist() == [7, 7, 7]


# what computes ------------------------------------------------------------------------------------


def test_functions_and_operators_give_what_numpy_gives(cupy, array):
    host = array.get()
    for function in (
        lambda xp, a: a * 2 - 1 / (a + 1),
        lambda xp, a: xp.sqrt(a) @ a.T,
        lambda xp, a: np.exp(-a),
        lambda xp, a: abs(-a) ** 2 // 3 % 2,
        lambda xp, a: xp.einsum("ij,kj->ik", a, a),
        lambda xp, a: xp.where(a > 2, a, 0.0),
        lambda xp, a: xp.fft.rfftn(a, axes=(0, 1), norm="ortho"),
        lambda xp, a: a[::-1, None, xp.asarray([2, 0])],
        lambda xp, a: a[a > 2],
        lambda xp, a: xp.linalg.norm(a, axis=1),
        lambda xp, a: np.sum(a, axis=0),
        lambda xp, a: 1 - a.sum(0, keepdims=True),
    ):
        result, expected = function(cupy, array), function(np, host)
        assert isinstance(result, cupy.ndarray)
        assert result.dtype == expected.dtype
        np.testing.assert_array_equal(result.get(), expected)


@pytest.mark.parametrize(
    "reduce",
    [
        lambda xp, a: a.sum(),
        lambda xp, a: a[0, 1],
        lambda xp, a: a.argmax(),
        lambda xp, a: (a > 1).all(),
        lambda xp, a: a[0] @ a[0],
        lambda xp, a: xp.vdot(a, a),
        lambda xp, a: xp.sqrt(2.0),
        lambda xp, a: xp.count_nonzero(a),
        lambda xp, a: xp.array_equal(a, a),
        lambda xp, a: xp.allclose(a, a),
        lambda xp, a: xp.linalg.norm(a),
        lambda xp, a: xp.maximum(1, 2),
    ],
)
def test_what_is_a_number_in_numpy_is_an_array_on_the_device(cupy, array, reduce):
    result = reduce(cupy, array)
    assert isinstance(result, cupy.ndarray)
    assert result.shape == ()


def test_views_share_memory_and_assignments_in_place_keep_the_array(cupy, array):
    same = array
    array += 1
    array *= cupy.full((3,), 2.0)
    array[:, :1].real[...] = 0
    spectrum = array.astype(complex)
    spectrum.imag = array
    assert same is array
    assert same.get().tolist() == [[0, 4, 6], [0, 10, 12]]
    assert spectrum.get()[1].tolist() == [0, 10 + 10j, 12 + 12j]
    assert np.add(array, 1, out=array) is array


def test_functions_lack_the_parameters_that_cupy_lacks(cupy, array):
    for refused in (
        lambda: cupy.sum(array, where=array > 0),
        lambda: array.max(initial=0.0),
        lambda: cupy.sqrt(array, where=array > 0),
        lambda: cupy.fft.rfft(array, workers=2),
        lambda: np.max(array, initial=0.0),
    ):
        with pytest.raises(TypeError, match="unexpected keyword argument"):
            refused()
    with pytest.raises(NotImplementedError):
        cupy.maximum.reduce(array)
    with pytest.raises(TypeError, match="no atomic operation for int64"):
        cupy.add.at(cupy.zeros(3, "i8"), cupy.asarray([0, 0]), 1)


def test_nothing_but_a_number_of_python_counts(array):
    with pytest.raises(TypeError, match="cannot be interpreted as an integer"):
        range(array[0, 1])
    with pytest.raises(TypeError, match="cannot be interpreted as an integer"):
        np.zeros((array.sum(), 2))


def test_indices_out_of_range_and_values_for_one_element_twice_are_refused(cupy, array):
    with pytest.raises(IndexError):
        array[cupy.asarray([0, 2])]
    with pytest.raises(IndexError, match="assigned twice"):
        array[cupy.asarray([0, 0])] = cupy.ones((2, 3))
    array[cupy.asarray([0, 0])] = 1.0
    cupy.add.at(array, cupy.asarray([0, 0]), 1.0)
    assert array.get()[0].tolist() == [3, 3, 3]


@pytest.mark.parametrize("sides", [(4, 4), (5, 5), (4, 4, 4)])
def test_transforms_to_real_arrays_take_hermitian_spectra_only(cupy, rng, sides):
    import cupyx.scipy.fft as scipy_fft

    options = {"s": sides, "axes": range(len(sides)), "norm": "ortho"}
    real = cupy.asarray(rng.normal(size=sides))
    for module in (cupy.fft, scipy_fft):
        spectrum = module.rfftn(real, norm="ortho")
        back = module.irfftn(spectrum, **options)
        np.testing.assert_allclose(back.get(), real.get(), atol=1e-14)
        spectrum[1, 0] += 1
        with pytest.raises(ValueError, match="cuFFT leaves undefined"):
            module.irfftn(spectrum, **options)


# the record ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("kind", "copy"),
    [
        ("get", lambda xp, a: a.get()),
        ("asnumpy", lambda xp, a: xp.asnumpy(a)),
        ("item", lambda xp, a: a.sum().item()),
        ("tolist", lambda xp, a: a.tolist()),
        ("float", lambda xp, a: float(a.sum())),
        ("int", lambda xp, a: int(a.sum())),
        ("bool", lambda xp, a: bool(a.any())),
        ("bool", lambda xp, a: 1.0 in a[0]),
        ("complex", lambda xp, a: complex(a.sum())),
        ("repr", lambda xp, a: repr(a)),
        ("str", lambda xp, a: str(a)),
        ("format", lambda xp, a: f"{a.sum():.1f}"),
        ("upload", lambda xp, a: xp.asarray(np.ones(2))),
        ("upload", lambda xp, a: xp.asarray([1.0])),
        ("upload", lambda xp, a: a[np.array([0, 1])]),
        ("upload", lambda xp, a: a.__setitem__(np.array([0, 1]), 1.0)),
        ("upload", lambda xp, a: a.set(np.ones((2, 3)))),
    ],
)
def test_every_copy_is_noted(cupy, array, monkeypatch, kind, copy):
    noted = []
    for module in ("array", "library"):
        monkeypatch.setattr(f"standin.{module}.note", noted.append)
    copy(cupy, array)
    assert set(noted) == {kind}


def test_a_copy_is_recorded_with_the_line_of_the_package_that_asked(cupy, array):
    with recorded() as transfers:
        check_finite("array", array)
        to_numpy(array)  # for this test, not for the package
        float(array.sum())
    assert [(t.kind, t.place) for t in transfers] == [("bool", "_arrays.py: check_finite")]
    assert str(transfers[0]).startswith("bool in _arrays.py:")
    with recorded() as again:
        assert again == []
