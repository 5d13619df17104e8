"""Every operator on arrays of a device: device in, device out, the same values and precision.

The device is the CuPy-like library of `standin`, which refuses implicit conversion as CuPy does.
Copies between host and device are those that docs/devices.md lists, and no others.
"""

import functools
import importlib
import pathlib
import re
import warnings

import numpy as np
import pytest
from operators_table import (
    CTFS,
    IMAGES,
    IMAGES_FT,
    LINES_FT,
    OPERATORS,
    VOLUME,
    VOLUME_FT,
    Operator,
    beside,
)  # fmt: skip
from standin import recorded

import fslice
from fslice import CTF, fourier, metrics, optim
from fslice._arrays import array_namespace, to_numpy
from fslice.fourier import radii, shells
from fslice.operators import spaces
from fslice.operators.linop import LinearOperator, stack
from fslice.symmetry.average import GroupAverage
from fslice.testing import check_adjoint, check_gradient

DOCUMENT = pathlib.Path(__file__).parents[1] / "docs" / "devices.md"
ROW = re.compile(r"^\| `(?P<module>[\w/]+\.py): (?P<function>[\w.]+)` \|", re.MULTILINE)
DOCUMENTED = {f"{row['module']}: {row['function']}" for row in ROW.finditer(DOCUMENT.read_text())}

ON_THE_HOST = {
    "GaussianModel.project", "GaussianModel.project_ft", "GaussianModel.rotate", "resample_map",
}  # fmt: skip
"""Functions of atoms and files."""

INNER = {
    "transform": Operator(lambda array: fourier.transform(array, 2), {"array": IMAGES}),
    "inverse_transform": Operator(
        lambda array_ft: fourier.inverse_transform(array_ft, 2, 6), {"array_ft": IMAGES_FT}
    ),
    "inverse_transform (lines)": Operator(
        lambda array_ft: fourier.inverse_transform(array_ft, 1, 6), {"array_ft": LINES_FT}
    ),
    "axis_transform": Operator(lambda array: fourier.axis_transform(array, 1), {"array": IMAGES}),
    "inverse_axis_transform": Operator(
        lambda array_ft: fourier.inverse_axis_transform(array_ft, 1, 4),
        {"array_ft": VOLUME_FT[:, :3]},
    ),
    "pad": Operator(lambda array: fourier.pad(array, 9, 2), {"array": IMAGES}),
    "crop": Operator(lambda array: fourier.crop(array, 4, 2), {"array": IMAGES}),
    "shell_sum": Operator(
        lambda values: fourier.shell_sum(values, 6, 3), {"values": abs(VOLUME_FT)}
    ),
    "reconstruct": Operator(  # test_devices_solvers.py looks at all that it finds
        lambda **given: fslice.reconstruct(**given).mean, OPERATORS["reconstruct"].arrays
    ),
    "adam_init": Operator(optim.adam_init, {"parameters": VOLUME_FT}),
    "credible_band": Operator(metrics.credible_band, {"curves": VOLUME[0]}),
    "to_vector": Operator(spaces.to_vector, {"array": IMAGES_FT}),
    "from_vector": Operator(
        lambda array: spaces.from_vector(
            spaces.to_vector(array), spaces.Space(array.shape, array.dtype)
        ),
        {"array": IMAGES_FT},
    ),
    "stack": Operator(
        lambda array: stack([low_pass(array), 2 * low_pass(array)])(array), {"array": IMAGES[0]}
    ),
    "stack.H": Operator(lambda array: stack([low_pass(array[0])] * 2).H(array), {"array": IMAGES}),
    "CTF": Operator(
        lambda defocus: CTF(
            defocus_u=defocus, defocus_v=1.1 * defocus[:1], astigmatism_angle=30, voltage=300,
            spherical_aberration=2.7, amplitude_contrast=0.1, pixel_size=1.5, b_factor=[3.0, 4.0],
        ).evaluate(6),
        {"defocus": 1e4 + IMAGES[0, 0, :2]},
    ),
    "CTF.__getitem__": Operator(
        lambda index: beside(index, CTFS)[index > 0].evaluate(6, "float32"),
        {"index": np.array([0, 1])},
    ),
    "GroupAverage": Operator(lambda volume: GroupAverage("D3")(volume), {"volume": VOLUME}),
    "GroupAverage.adjoint": Operator(
        lambda volume: GroupAverage("D3").adjoint(volume), {"volume": VOLUME}
    ),
}  # fmt: skip
"""Functions that the table of refusals leaves out, as they do not check, or take any shape."""


def low_pass(image):
    """Return an operator on images like this one."""
    images = spaces.Space(image.shape, image.dtype)
    return LinearOperator(images, images, filtered, filtered)


def filtered(image):
    """Return an image without its high frequencies."""
    near = radii(image.shape[-1], 2, array_namespace(image)) < 2
    return fourier.irfft2(near * fourier.rfft2(image))


EVERY = OPERATORS | INNER


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


def test_every_operator_keeps_single_precision_on_the_device(device):
    failed = failures(device, in_single)
    assert not failed, "\n".join(failed)


@pytest.mark.parametrize("name", sorted(ON_THE_HOST))
def test_what_works_on_atoms_and_files_says_that_it_takes_numpy_arrays(name, device):
    with pytest.raises(TypeError, match=r"NumPy arrays?\b.*\bgot .*cupy"):
        OPERATORS[name].call(**on_device(device, OPERATORS[name].arrays))


def test_operators_copy_only_what_the_document_lists(device):
    with recorded() as transfers:
        failures(device)
    assert transfers
    assert sorted({str(t) for t in transfers if t.place not in DOCUMENTED}) == []


def test_the_document_lists_functions_that_there_are():
    assert DOCUMENTED
    for place in DOCUMENTED:
        module, _, function = place.partition(": ")
        found = importlib.import_module("fslice." + module.removesuffix(".py").replace("/", "."))
        functools.reduce(getattr, function.split("."), found)


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
