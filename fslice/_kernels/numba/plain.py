"""What `locate` and `rows` do, without instructions by hand: the fallback, and their definition.

It is used, with a warning, where a newer compiler rejects those instructions.
"""

from __future__ import annotations

import math

from fslice._kernels import splines
from fslice._kernels.numba.buffer import LANES, cell_place, inlined, position_place

_LINEAR, _CUBIC = splines.WEIGHTS[2], splines.WEIGHTS[4]
_LINEAR_SLOPES, _CUBIC_SLOPES = splines.SLOPES[2], splines.SLOPES[4]
_CUBIC_CURVATURES = splines.CURVATURES[4]


@inlined
def locate_samples(taps, axes, side, buffer, first):
    """Tabulate the samples from `first` on."""
    n, mask = len(taps), 0
    for i in range(first, first + LANES):
        sign = 1.0 if side[0] * i + side[1] >= 0 else -1.0
        buffer.sign[i] = sign
        whole, first_x = True, 0
        for axis in range(3):
            step, start, size, stride, low, high = axes[axis]
            point = (step * i + start) * sign
            lower = math.floor(point)
            whole = whole and low <= lower and lower <= high
            buffer.cell[cell_place(taps, 2 * n + axis, i)] = lower + taps[0]
            buffer.position[position_place(axis, i)] = point - lower
            if axis == 0:
                first_x = lower + taps[0]
            else:
                for place in range(n):
                    tap = lower + taps[place]
                    stored = (tap if tap >= 0 else tap + size) * stride
                    item = cell_place(taps, (axis - 1) * n + place, i)
                    buffer.cell[item] = stored + (first_x if axis == 1 else 0)
        mask |= whole << (i - first)
    buffer.whole[first // LANES] = mask


@inlined
def interpolate(taps, flat, rows, position, buffer, i):
    """Write the interpolated value in a cell to the buffer."""
    total = 0 * flat[0]
    for c in range(len(taps)):
        for b in range(len(taps)):
            plane = _weight(taps, c, position[2]) * _weight(taps, b, position[1])
            start = _start(taps, rows, b, c)
            for a in range(len(taps)):
                total += flat[start + a] * (plane * _weight(taps, a, position[0]))
    buffer.value[i] = total


@inlined
def interpolate_slopes(taps, flat, rows, position, buffer, i):
    """Write the value in a cell and its derivatives along x, y and z to the buffer."""
    total = x = y = z = 0 * flat[0]
    for c in range(len(taps)):
        for b in range(len(taps)):
            start = _start(taps, rows, b, c)
            wz, wy = _weight(taps, c, position[2]), _weight(taps, b, position[1])
            sz, sy = _slope(taps, c, position[2]), _slope(taps, b, position[1])
            for a in range(len(taps)):
                item, wx = flat[start + a], _weight(taps, a, position[0])
                total += item * (wz * wy * wx)
                x += item * (wz * wy * _slope(taps, a, position[0]))
                y += item * (wz * sy * wx)
                z += item * (sz * wy * wx)
    buffer.value[i] = total
    buffer.slope_x[i], buffer.slope_y[i], buffer.slope_z[i] = x, y, z


@inlined
def interpolate_curvatures(taps, flat, rows, position, buffer, curves, stride, i):
    """Write the value, its derivatives, and its second derivatives: six columns of `curves`."""
    xx = xy = xz = yy = yz = zz = 0 * flat[0]
    for c in range(len(taps)):
        for b in range(len(taps)):
            start = _start(taps, rows, b, c)
            wz, wy = _weight(taps, c, position[2]), _weight(taps, b, position[1])
            sz, sy = _slope(taps, c, position[2]), _slope(taps, b, position[1])
            cz, cy = _curvature(taps, c, position[2]), _curvature(taps, b, position[1])
            for a in range(len(taps)):
                item, wx = flat[start + a], _weight(taps, a, position[0])
                sx = _slope(taps, a, position[0])
                xx += item * (wz * wy * _curvature(taps, a, position[0]))
                xy += item * (wz * sy * sx)
                xz += item * (sz * wy * sx)
                yy += item * (wz * cy * wx)
                yz += item * (sz * sy * wx)
                zz += item * (cz * wy * wx)
    curves[i], curves[stride + i], curves[2 * stride + i] = xx, xy, xz
    curves[3 * stride + i], curves[4 * stride + i], curves[5 * stride + i] = yy, yz, zz
    interpolate_slopes(taps, flat, rows, position, buffer, i)


@inlined
def add(taps, flat, rows, position, buffer, i):
    """Add the buffer's item `i` into a cell, with the weights it is read by."""
    _add(taps, flat, rows, position, buffer.value[i], 1)


@inlined
def add_squared(taps, flat, rows, position, buffer, i):
    """Add the buffer's item `i` into a cell, with the squares of those weights."""
    _add(taps, flat, rows, position, buffer.value[i], 2)


@inlined
def _add(taps, flat, rows, position, item, power):
    for c in range(len(taps)):
        for b in range(len(taps)):
            plane = _weight(taps, c, position[2]) * _weight(taps, b, position[1])
            start = _start(taps, rows, b, c)
            for a in range(len(taps)):
                flat[start + a] += item * (plane * _weight(taps, a, position[0])) ** power


@inlined
def add_moments(flat, start, value, ends):
    """Add a value times the 27 moments of weights to the record at `start`.

    The weights are those of the lower and the upper corner along x, y and z.
    """
    x0, x1, y0, y1, z0, z1 = ends
    xs = (value * x0 * x0, value * x0 * x1, value * x1 * x1)
    ys = (y0 * y0, y0 * y1, y1 * y1)
    zs = (z0 * z0, z0 * z1, z1 * z1)
    for c in range(3):
        for b in range(3):
            for a in range(3):
                flat[start + 9 * c + 3 * b + a] += zs[c] * ys[b] * xs[a]


@inlined
def _start(taps, rows, b, c):
    """Return where the row of taps at tap `b` along y and tap `c` along z starts."""
    cell, step, first = rows
    return cell[first + b * step] + cell[first + (len(taps) + c) * step]


@inlined
def _weight(taps, tap, f):
    if len(taps) == 2:
        return _LINEAR[tap][0] + f * _LINEAR[tap][1]
    c0, c1, c2, c3 = _CUBIC[tap]
    return c0 + f * (c1 + f * (c2 + f * c3))


@inlined
def _slope(taps, tap, f):
    if len(taps) == 2:
        return _LINEAR_SLOPES[tap][0]
    c0, c1, c2 = _CUBIC_SLOPES[tap]
    return c0 + f * (c1 + f * c2)


@inlined
def _curvature(taps, tap, f):
    if len(taps) == 2:
        return 0 * f
    c0, c1 = _CUBIC_CURVATURES[tap]
    return c0 + f * c1
