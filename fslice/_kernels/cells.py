"""What the compiled kernels do at one sample: read its cell of the volume, or add to it.

The two-tap forms are written out, which measured 1.4 times faster than loops over the taps.
"""

from __future__ import annotations

from numba import uintp
from numba.core import types
from numba.extending import overload

from fslice._kernels.walk import OPTIONS, inlined


def read(taps, flat, i, index, weight, lattice):
    """Return the interpolated value of sample `i` of a row."""
    raise NotImplementedError("compiled code only")


def read_slopes(taps, flat, i, index, weight, slope, lattice):
    """Return the value of sample `i` and its derivatives along x, y and z."""
    raise NotImplementedError("compiled code only")


def add(taps, flat, i, index, weight, lattice, value):
    """Add `value` into the cell of sample `i` with the weights it is read by."""
    raise NotImplementedError("compiled code only")


@overload(read, jit_options=OPTIONS)
def _choose_read(taps, flat, i, index, weight, lattice):
    return _read_linear if len(taps) == 2 else _read_cubic


@overload(read_slopes, jit_options=OPTIONS)
def _choose_read_slopes(taps, flat, i, index, weight, slope, lattice):
    return _read_slopes_linear if len(taps) == 2 else _read_slopes_cubic


@overload(add, jit_options=OPTIONS)
def _choose_add(taps, flat, i, index, weight, lattice, value):
    return _add_linear if len(taps) == 2 else _add_cubic


def _times(weight, value):
    """Multiply by a real number; spelled out, as Numba would promote it to a complex one."""
    raise NotImplementedError("compiled code only")


@overload(_times, inline="always")
def _overload_times(weight, value):
    if isinstance(value, types.Complex):
        return lambda weight, value: complex(weight * value.real, weight * value.imag)
    return lambda weight, value: weight * value


def _mate(sign, value):
    """Conjugate where the sign is negative: the value at the sample's Friedel mate."""
    raise NotImplementedError("compiled code only")


@overload(_mate, inline="always")
def _overload_mate(sign, value):
    if isinstance(value, types.Complex):
        return lambda sign, value: complex(value.real, sign * value.imag)
    return lambda sign, value: value


@inlined
def _two_taps(table, k, i):
    return (
        table[k, i], table[k + 1, i], table[k + 2, i],
        table[k + 3, i], table[k + 4, i], table[k + 5, i],
    )  # fmt: skip


def _read_linear(taps, flat, i, index, weight, lattice):
    x0, x1, y0, y1, z0, z1 = _two_taps(index, 0, i)
    u0, u1, v0, v1, w0, w1 = _two_taps(weight, 1, i)
    a, b, c, d = w0 * v0, w0 * v1, w1 * v0, w1 * v1
    a0, a1 = flat[uintp(z0 + y0 + x0)], flat[uintp(z0 + y0 + x1)]
    b0, b1 = flat[uintp(z0 + y1 + x0)], flat[uintp(z0 + y1 + x1)]
    c0, c1 = flat[uintp(z1 + y0 + x0)], flat[uintp(z1 + y0 + x1)]
    d0, d1 = flat[uintp(z1 + y1 + x0)], flat[uintp(z1 + y1 + x1)]
    re0 = a * a0.real + b * b0.real + c * c0.real + d * d0.real
    re1 = a * a1.real + b * b1.real + c * c1.real + d * d1.real
    im0 = a * a0.imag + b * b0.imag + c * c0.imag + d * d0.imag
    im1 = a * a1.imag + b * b1.imag + c * c1.imag + d * d1.imag
    return complex(u0 * re0 + u1 * re1, weight[0, i] * (u0 * im0 + u1 * im1))


def _read_slopes_linear(taps, flat, i, index, weight, slope, lattice):
    x0, x1, y0, y1, z0, z1 = _two_taps(index, 0, i)
    u0, u1, v0, v1, w0, w1 = _two_taps(weight, 1, i)
    p0, p1, q0, q1, r0, r1 = _two_taps(slope, 1, i)
    a0, a1 = flat[uintp(z0 + y0 + x0)], flat[uintp(z0 + y0 + x1)]
    b0, b1 = flat[uintp(z0 + y1 + x0)], flat[uintp(z0 + y1 + x1)]
    c0, c1 = flat[uintp(z1 + y0 + x0)], flat[uintp(z1 + y0 + x1)]
    d0, d1 = flat[uintp(z1 + y1 + x0)], flat[uintp(z1 + y1 + x1)]
    # along x first, then along y, then along z; a slope replaces a weight on its own axis
    a, b = _pair(u0, a0, u1, a1), _pair(u0, b0, u1, b1)
    c, d = _pair(u0, c0, u1, c1), _pair(u0, d0, u1, d1)
    lower, upper = _pair(v0, a, v1, b), _pair(v0, c, v1, d)
    value = _pair(w0, lower, w1, upper)
    dz = _pair(r0, lower, r1, upper)
    dy = _pair(w0, _pair(q0, a, q1, b), w1, _pair(q0, c, q1, d))
    a, b = _pair(p0, a0, p1, a1), _pair(p0, b0, p1, b1)
    c, d = _pair(p0, c0, p1, c1), _pair(p0, d0, p1, d1)
    dx = _pair(w0, _pair(v0, a, v1, b), w1, _pair(v0, c, v1, d))
    return _with_sign(weight[0, i], value, dx, dy, dz)


@inlined
def _pair(s, a, t, b):
    return complex(s * a.real + t * b.real, s * a.imag + t * b.imag)


@inlined
def _with_sign(s, value, dx, dy, dz):
    """Turn value and slopes at the mate into those at the sample: conjugate, and ``dq = -dp``."""
    return (
        complex(value.real, s * value.imag),
        complex(s * dx.real, dx.imag),
        complex(s * dy.real, dy.imag),
        complex(s * dz.real, dz.imag),
    )


def _add_linear(taps, flat, i, index, weight, lattice, value):
    x0, x1, y0, y1, z0, z1 = _two_taps(index, 0, i)
    u0, u1, v0, v1, w0, w1 = _two_taps(weight, 1, i)
    value = _mate(weight[0, i], value)
    value0, value1 = _times(u0, value), _times(u1, value)
    a, b, c, d = w0 * v0, w0 * v1, w1 * v0, w1 * v1
    flat[uintp(z0 + y0 + x0)] += _times(a, value0)
    flat[uintp(z0 + y0 + x1)] += _times(a, value1)
    flat[uintp(z0 + y1 + x0)] += _times(b, value0)
    flat[uintp(z0 + y1 + x1)] += _times(b, value1)
    flat[uintp(z1 + y0 + x0)] += _times(c, value0)
    flat[uintp(z1 + y0 + x1)] += _times(c, value1)
    flat[uintp(z1 + y1 + x0)] += _times(d, value0)
    flat[uintp(z1 + y1 + x1)] += _times(d, value1)


@inlined
def _four_taps(table, k, i):
    return table[k, i], table[k + 1, i], table[k + 2, i], table[k + 3, i]


@inlined
def _mirrored_row(z, y, lattice):
    """Return the offset of the voxel at x = 1 on the mirror image of the row at offset z + y."""
    columns = lattice.nx // 2 + 1
    plane = columns * lattice.ny
    return (plane * lattice.nz - z if z > 0 else 0) + (plane - y if y > 0 else 0) + 1


def _read_cubic(taps, flat, i, index, weight, lattice):
    x0, x1, x2, x3 = _four_taps(index, 0, i)
    u0, u1, u2, u3 = _four_taps(weight, 1, i)
    y, z = _four_taps(index, 4, i), _four_taps(index, 8, i)
    v, w = _four_taps(weight, 5, i), _four_taps(weight, 9, i)
    value = flat[0] * 0
    for c in range(4):
        for b in range(4):
            first = z[c] + y[b]
            if x0 >= 0:
                ghost = flat[uintp(first + x0)]
            else:
                ghost = flat[uintp(_mirrored_row(z[c], y[b], lattice))].conjugate()
            inner = _pair(u1, flat[uintp(first + x1)], u2, flat[uintp(first + x2)])
            outer = _pair(u0, ghost, u3, flat[uintp(first + x3)])
            value += _times(w[c] * v[b], inner + outer)
    return complex(value.real, weight[0, i] * value.imag)


def _read_slopes_cubic(taps, flat, i, index, weight, slope, lattice):
    x0, x1, x2, x3 = _four_taps(index, 0, i)
    u0, u1, u2, u3 = _four_taps(weight, 1, i)
    p0, p1, p2, p3 = _four_taps(slope, 1, i)
    y, z = _four_taps(index, 4, i), _four_taps(index, 8, i)
    v, w = _four_taps(weight, 5, i), _four_taps(weight, 9, i)
    q, r = _four_taps(slope, 5, i), _four_taps(slope, 9, i)
    value = flat[0] * 0
    dx, dy, dz = value, value, value
    for c in range(4):
        for b in range(4):
            first = z[c] + y[b]
            if x0 >= 0:
                f0 = flat[uintp(first + x0)]
            else:
                f0 = flat[uintp(_mirrored_row(z[c], y[b], lattice))].conjugate()
            f1, f2, f3 = flat[uintp(first + x1)], flat[uintp(first + x2)], flat[uintp(first + x3)]
            along = _pair(u0, f0, u1, f1) + _pair(u2, f2, u3, f3)
            value += _times(w[c] * v[b], along)
            dy += _times(w[c] * q[b], along)
            dz += _times(r[c] * v[b], along)
            dx += _times(w[c] * v[b], _pair(p0, f0, p1, f1) + _pair(p2, f2, p3, f3))
    return _with_sign(weight[0, i], value, dx, dy, dz)


def _add_cubic(taps, flat, i, index, weight, lattice, value):
    x0, x1, x2, x3 = _four_taps(index, 0, i)
    u0, u1, u2, u3 = _four_taps(weight, 1, i)
    y, z = _four_taps(index, 4, i), _four_taps(index, 8, i)
    v, w = _four_taps(weight, 5, i), _four_taps(weight, 9, i)
    value = _mate(weight[0, i], value)
    for c in range(4):
        for b in range(4):
            first = z[c] + y[b]
            part = _times(w[c] * v[b], value)
            if x0 >= 0:
                flat[uintp(first + x0)] += _times(u0, part)
            else:
                flat[uintp(_mirrored_row(z[c], y[b], lattice))] += _times(u0, _mate(-1.0, part))
            flat[uintp(first + x1)] += _times(u1, part)
            flat[uintp(first + x2)] += _times(u2, part)
            flat[uintp(first + x3)] += _times(u3, part)
