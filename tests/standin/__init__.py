"""A library on the CPU whose arrays behave as CuPy's do, so that tests need no GPU to find faults.

It refuses what CuPy refuses, or computes with the arrays' own NumPy memory; and it records every
copy between host and device with the line of the package that asked for it:

`names`
    What CuPy has: functions and their parameters.
`array`
    The array: no implicit conversion, no mixing with NumPy arrays, no numbers from reductions.
`operators`
    Its operators.
`library`
    The modules ``cupy``, ``cupy.fft``, ``cupy.linalg``, ``cupy.random``, ``cupy.cuda`` and
    ``cupyx.scipy.fft``.
`transfers`
    The record of copies.
`kernels`
    The sampling kernels, of NumPy's primitives.

It is stricter than CuPy in three points where CuPy would return wrong or undefined numbers: an
index out of range, two values for one element in an assignment, and a complex-to-real transform of
a spectrum that is not Hermitian.
"""

from standin.kernels import KERNELS
from standin.library import installed
from standin.transfers import recorded

__all__ = ["KERNELS", "installed", "recorded"]
