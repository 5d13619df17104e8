"""Every operator on arrays of a device: device in, device out, the same values and precision.

The device is the CuPy-like library of `standin`, which refuses implicit conversion as CuPy does.
Copies to the host are those of docs/devices.md and no others.
"""

import numpy as np
import pytest
from operators_table import OPERATORS
from standin import recorded


def on_device(cupy, arrays):
    return {name: cupy.asarray(array) for name, array in arrays.items()}


def in_single(arrays):
    """Return arrays in single precision."""
    return {
        name: array.astype("complex64" if array.dtype.kind == "c" else "float32")
        for name, array in arrays.items()
    }


def leaves(result):
    """Yield the arrays and numbers of a result."""
    if isinstance(result, (tuple, list)):
        for part in result:
            yield from leaves(part)
    elif result is not None:
        yield result


@pytest.mark.parametrize("name", OPERATORS)
def test_device(name, device):
    operator = OPERATORS[name]
    expected = operator.call(**operator.arrays)
    with recorded() as transfers:
        result = operator.call(**on_device(device, operator.arrays))
    print(name, type(result).__name__, [str(t) for t in transfers])
    for a, b in zip(leaves(result), leaves(expected), strict=True):
        if isinstance(b, np.ndarray):
            assert isinstance(a, device.ndarray)
            assert a.dtype == b.dtype
            np.testing.assert_allclose(a.get(), b, rtol=1e-12, atol=1e-12)
