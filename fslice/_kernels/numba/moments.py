"""The moments of a sample's weights, which the stencil is made of, added by vectors."""

from __future__ import annotations

from llvmlite import ir  # type: ignore[import-untyped]
from numba import types

from fslice._kernels.numba.buffer import intrinsic
from fslice._kernels.numba.lanes import INT64, Vector, load, pack, store


@intrinsic
def add_moments(typing_context, flat, start, value, ends):
    """Add a value times the 27 moments of weights to the record of 32 items at `start`.

    The weights are those of the lower and the upper corner along x, y and z; moment
    ``9 c + 3 b + a`` is of the products c along z, b along y and a along x.
    """

    def generate(context, builder, signature, arguments):
        data, weight = Vector(builder, arguments[0]), Vector(builder, arguments[2])
        corners = [Vector(builder, builder.extract_value(arguments[3], i)) for i in range(6)]
        factors = []
        for low, high in zip(corners[::2], corners[1::2], strict=True):
            factors += [low * low, low * high, high * high]
        factors[:3] = [factor * weight for factor in factors[:3]]
        table = pack(factors + [weight * 0.0] * 7)
        for first in (0, 16):
            lanes = [(i % 3, 3 + i // 3 % 3, 6 + i // 9) for i in range(first, first + 16)]
            x, y, z = ([own[axis] if own[2] < 9 else 9 for own in lanes] for axis in range(3))
            product = table.shuffled(x) * table.shuffled(y) * table.shuffled(z)
            place = builder.add(arguments[1], ir.Constant(INT64, first))
            store(load(data, place, product.element, 16) + product, data, place)
        return context.get_dummy_value()

    return types.none(flat, start, value, ends), generate
