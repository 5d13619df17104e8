"""Every operator on arrays of a device: device in, device out, the same values and precision.

The device is the CuPy-like library of `standin`, which refuses implicit conversion as CuPy does.
Copies between host and device are those that docs/devices.md lists, and no others.
"""

import functools
import importlib
import inspect
import itertools
import pathlib
import re
import warnings

import numpy as np
import pytest
from devices_table import OTHERS
from operators_table import CTFS, IMAGES_FT, OPERATORS, ROTATIONS, VOLUME, VOLUME_FT
from standin import recorded

import fslice
from fslice import fourier, optim
from fslice._arrays import to_numpy
from fslice.fourier import radii, shells
from fslice.io import (
    Particles,
    StackWriter,
    read_particles,
    read_volume,
    write_particles,
    write_volume,
)
from fslice.plot import summary_figure
from fslice.testing import check_adjoint, check_gradient

DOCUMENT = pathlib.Path(__file__).parents[1] / "docs" / "devices.md"
ROW = re.compile(r"^\| `(?P<module>[\w/]+\.py): (?P<function>[\w.]+)` \|", re.MULTILINE)
DOCUMENTED = {f"{row['module']}: {row['function']}" for row in ROW.finditer(DOCUMENT.read_text())}

ON_THE_HOST = {
    "GaussianModel.project", "GaussianModel.project_ft", "GaussianModel.rotate", "resample_map",
}  # fmt: skip
"""Functions of atoms and files."""

EVERY = OPERATORS | OTHERS


def on_device(cupy, arrays):
    """Return the arrays on the device."""
    return {name: cupy.asarray(array) for name, array in arrays.items()}


SINGLE = {"c": "complex64", "f": "float32"}


def in_single(arrays):
    """Return the arrays in single precision."""
    return {
        name: array.astype(SINGLE.get(array.dtype.kind, array.dtype))
        for name, array in arrays.items()
    }


def leaves(result):
    """Yield the arrays and numbers of a result, also of objects."""
    if isinstance(result, (tuple, list)):
        for part in result:
            yield from leaves(part)
    elif isinstance(result, dict):
        yield from leaves(list(result.values()))
    elif hasattr(result, "__dict__"):
        yield from leaves(vars(result))
    else:
        yield result


def difference(found, expected, library, tolerance):
    """Say what differs between a result in a library and that of NumPy; nothing if they agree."""
    if expected is None or isinstance(expected, str):
        return "" if found == expected else f"{found!r} instead of {expected!r}"
    if not isinstance(expected, np.ndarray):
        same = type(found) is type(expected) and np.isclose(
            found, expected, rtol=max(tolerance, 1e-9), atol=1e-15, equal_nan=True
        )
        return "" if same else f"{found!r} instead of {expected!r}"
    if not isinstance(found, library.ndarray):
        return f"{type(found).__module__}.{type(found).__name__} instead of an array"
    if (found.dtype, found.shape) != (expected.dtype, expected.shape):
        return f"{found.dtype} {found.shape} instead of {expected.dtype} {expected.shape}"
    finite, values = np.isfinite(expected), to_numpy(found)
    scale = abs(expected[finite]).max(initial=0.0)
    if not np.allclose(values, expected, rtol=0, atol=tolerance * scale, equal_nan=True):
        return f"values differ by up to {abs(values - expected)[finite].max() / scale:.3g}"
    return ""


def compare(name, arrays, cupy):
    """Call an operator with NumPy's arrays and with those of the device; say what differs."""
    call = EVERY[name].call
    expected = call(**arrays)
    try:
        found = call(**on_device(cupy, arrays))
    except Exception as error:
        return f"{type(error).__name__}: {error}"
    pairs = zip(leaves(found), leaves(expected), strict=True)
    single = any(array.dtype in (np.float32, np.complex64) for array in arrays.values())
    tolerance = 1e-4 if single else 1e-12
    return "; ".join(filter(None, (difference(a, b, cupy, tolerance) for a, b in pairs)))


def failures(cupy, change=lambda arrays: arrays):
    """Return a line for each operator that does not do on the device what it does on the host."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # two images leave frequencies unobserved
        lines = {
            name: compare(name, change(operator.arrays), cupy)
            for name, operator in EVERY.items()
            if name not in ON_THE_HOST
        }
    return [f"{name}: {line}" for name, line in lines.items() if line]


def test_every_operator_gives_on_the_device_what_numpy_gives(device):
    failed = failures(device)
    assert not failed, "\n".join(failed)


def test_every_operator_gives_the_same_dtypes_and_values_in_single_precision(device):
    failed = failures(device, in_single)
    assert not failed, "\n".join(failed)


def test_what_is_written_is_copied_to_the_host_as_documented(device, tmp_path):
    volume = device.asarray(VOLUME)
    rotations, shifts = device.asarray(ROTATIONS), device.zeros((2, 2))
    particles = Particles(rotations=rotations, shifts=shifts, ctf=CTFS.to(device), pixel_size=3.0)
    with recorded() as transfers:
        write_volume(tmp_path / "a.mrc", volume, 3.0)
        with StackWriter(tmp_path / "a.mrcs", 6, 6, 3.0) as writer:
            writer.write(volume)
        write_particles(tmp_path / "a.star", particles, "a.mrcs")
        summary_figure(volume, 3.0, sigma=abs(volume) + 1, particles=volume)
    assert {t.place for t in transfers} <= DOCUMENTED
    np.testing.assert_array_equal(read_volume(tmp_path / "a.mrc")[0], VOLUME.astype("float32"))
    again = read_particles(tmp_path / "a.star")
    np.testing.assert_allclose(again.rotations, ROTATIONS, atol=1e-6)
    np.testing.assert_allclose(again.ctf.defocus_u, CTFS.defocus_u, rtol=1e-6)


@pytest.mark.parametrize(
    "make",
    [
        lambda array: fslice.simulate(array, 5, 6, 4.0, snr=1.0),
        lambda array: fslice.simulation.GaussianModel(array[0, :, :3], array[0, 0], array[0, 0]),
    ],
)
def test_models_are_of_the_host(make, device):
    with pytest.raises(TypeError, match=r"NumPy array, .*\bgot cupy\.ndarray"):
        make(device.asarray(abs(VOLUME)))


@pytest.mark.parametrize("name", sorted(ON_THE_HOST))
def test_what_works_on_atoms_and_files_says_that_it_takes_numpy_arrays(name, device):
    with pytest.raises(TypeError, match=r"NumPy arrays?\b.*\bgot .*cupy"):
        OPERATORS[name].call(**on_device(device, OPERATORS[name].arrays))


def test_operators_copy_only_what_the_document_lists(device):
    with recorded() as transfers:
        failures(device)
    assert transfers
    assert sorted({str(t) for t in transfers if t.place not in DOCUMENTED}) == []


def test_the_document_lists_functions_that_there_are_and_that_convert():
    assert DOCUMENTED
    converts = re.compile(r"\b(bool|float|int|to_numpy|asarray|convert|set)\(")
    for place in DOCUMENTED:
        module, _, function = place.partition(": ")
        found = importlib.import_module("fslice." + module.removesuffix(".py").replace("/", "."))
        found = functools.reduce(getattr, function.split("."), found)
        source = inspect.getsource(found.fget if isinstance(found, property) else found)
        assert converts.search(source), place


@pytest.mark.parametrize("size", [5, 6])
def test_grids_are_made_in_the_library_that_is_asked_for(device, size):
    for made in (radii(size, 3, device), shells(size, 2, device)):
        assert isinstance(made, device.ndarray)
    np.testing.assert_array_equal(radii(size, 3, device).get(), radii(size, 3))


def test_the_checks_of_operators_take_arrays_of_the_device(device, rng):
    image = device.asarray(rng.normal(size=(6, 6)))
    spectrum = device.asarray(IMAGES_FT[0])
    assert check_adjoint(fourier.rfft2, fourier.irfft2, image, spectrum) < 1e-15
    direction = device.asarray(rng.normal(size=(6, 6)))
    assert check_gradient(lambda x: (x**3).sum(), 3 * image**2, image, direction) < 1e-8


def test_adam_stays_on_the_device(device):
    with recorded() as transfers:
        parameters = device.asarray(VOLUME_FT)
        state = optim.adam_init(parameters)
        for _ in range(3):
            direction, state = optim.adam_update(parameters, state)
            parameters = parameters - 0.1 * direction
    assert isinstance(parameters, device.ndarray)
    assert transfers == []


def test_the_certificate_holds_on_the_device(device):
    from fslice.certify import certify

    lines = list(itertools.takewhile(lambda line: line.backend == "cuda", certify(["cuda"])))
    assert len(lines) > 300
    assert [line for line in lines if not line.passed] == []
