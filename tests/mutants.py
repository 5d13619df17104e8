"""Faults to seed into the kernels, of the kinds that people make.

Each names the kind of test that must catch it, which shows what the other kinds are blind to.
"""

from typing import NamedTuple


class Mutant(NamedTuple):
    """A fault: in the file `file` of the kernels `old` becomes `new`, caught by a `test` line."""

    name: str
    file: str
    old: str
    new: str
    test: str = "definition"


NUMPY = (
    Mutant(
        "wrong sign of the shift's phase",
        "numpy/slices",
        "turns = -2j * np.pi",
        "turns = 2j * np.pi",
    ),
    Mutant(
        "cell off by one",
        "numpy/slices",
        "block.corner[axis] + tap",
        "block.corner[axis] + tap + 1",
    ),
    Mutant("border beyond Nyquist", "numpy/slices", "<= (size - 1) // 2", "<= size // 2"),
    Mutant("border one too near", "numpy/slices", "<= (size - 1) // 2", "< (size - 1) // 2"),
    Mutant(
        "border not seen", "numpy/slices", "xp.where(inside, weight**power, 0)", "(weight**power)"
    ),
    Mutant(
        "ghost plane not conjugated when read",
        "numpy/slices",
        "tap = xp.where(ghost, tap.conj(), tap)",
        "pass",
    ),
    Mutant(
        "ghost plane not conjugated when added",
        "numpy/slices",
        "np.where(ghost, values.conj(), values)",
        "values",
        "dot",
    ),
    Mutant(
        "mate not conjugated when read",
        "numpy/slices",
        "sums = xp.where(block.mate, sums.conj(), sums)",
        "pass",
    ),
    Mutant(
        "mate not conjugated when added",
        "numpy/slices",
        "values = np.where(block.mate, values.conj(), values)",
        "pass",
        "dot",
    ),
    Mutant(
        "phase not conjugated in the adjoint",
        "numpy/slices",
        "own * block.phase.conj()",
        "own * block.phase",
        "dot",
    ),
    Mutant(
        "pairs counted twice on the plane kx = 0",
        "numpy/slices",
        "== 0, 0.5, 1.0)",
        "== 0, 1.0, 1.0)",
    ),
    Mutant("weights not squared", "numpy/slices", "weight**power", "weight"),
    Mutant(
        "CTF forgotten in the gradient of the misfit",
        "composed",
        "cotangent = _filtered(residual.weighted, residual.ctf)",
        "cotangent = residual.weighted",
    ),
    Mutant(
        "pairs counted once in chi-squared",
        "composed",
        "by_column @ _pair_weights(geometry, xp)",
        "by_column.sum(1)",
    ),
    Mutant(
        "weights forgotten",
        "composed",
        "weighted = value * weights_of(filters, views, part)",
        "weighted = value",
    ),
    Mutant(
        "band not seen by the misfit",
        "composed",
        "value = xp.where(band(geometry, xp), value, 0)",
        "pass",
    ),
    Mutant(
        "weights forgotten in the gradient of the misfit",
        "composed",
        "cotangent = _filtered(weighted, residual.ctf)",
        "cotangent = _filtered(residual.value, residual.ctf)",
        "gradient",
    ),
    Mutant(
        "gradient in the CTF not conjugated",
        "composed",
        "(weighted.conj() * slices).real",
        "(weighted * slices).real",
        "gradient",
    ),
    Mutant("CTF applied once in the Gram product", "composed", "slices *= ctf**2", "slices *= ctf"),
    Mutant(
        "weights forgotten in the Gram product",
        "composed",
        "slices *= weights_of(filters, views, part)",
        "pass",
    ),
    Mutant("slope without its phase", "numpy/slices", "slope * block.phase", "slope", "gradient"),
    Mutant(
        "slope of a mate not turned",
        "numpy/slices",
        "xp.where(block.mate, -sums[1:4], sums[1:4])",
        "sums[1:4]",
        "gradient",
    ),
    Mutant(
        "oversampling forgotten in the slope",
        "composed",
        "geometry.scale * rates",
        "rates",
        "gradient",
    ),
    Mutant(
        "wrong sign of the gradient in the shift",
        "composed",
        "(g * values).imag",
        "-(g * values).imag",
        "gradient",
    ),
    Mutant(
        "rows and columns swapped in the gradient",
        "composed",
        "[:, 0] *= 2 * np.pi / geometry.columns",
        "[:, 0] *= 2 * np.pi / geometry.rows",
        "gradient",
    ),
    Mutant(
        "cubic weights in reverse",
        "splines",
        "(1 / 6, -1 / 2, 1 / 2, -1 / 6),",
        "(0.0, 0.0, 0.0, 1 / 6),",
    ),
    Mutant("wrong sign of the slopes", "splines", "(power * c for", "(-power * c for", "gradient"),
    Mutant("a power forgotten in the slopes", "splines", "(power * c for", "(c for", "gradient"),
    Mutant(
        "band with a Nyquist row",
        "interface",
        "(abs(ky) <= (geometry.rows - 1) // 2)",
        "(abs(ky) <= geometry.rows // 2)",
    ),
    Mutant(
        "band with a Nyquist column",
        "interface",
        "<= (geometry.columns - 1) // 2",
        "<= geometry.columns // 2",
    ),
    Mutant(
        "band short of its radius",
        "interface",
        "<= geometry.max_radius**2",
        "< geometry.max_radius**2",
    ),
    Mutant(
        "mates not conjugated", "interface", "plane + mirrored.conj()", "plane + mirrored", "dot"
    ),
    Mutant(
        "mates off by one",
        "interface",
        "xp.roll(xp.flip(plane, (0, 1)), 1, (0, 1))",
        "xp.flip(plane, (0, 1))",
        "dot",
    ),
    Mutant(
        "pose's turn about x with the wrong sign",
        "derivatives",
        "return [ky * z,",
        "return [-ky * z,",
        "gradient",
    ),
    Mutant(
        "oversampling forgotten in the pose's slope",
        "derivatives",
        "geometry.scale\n        * sum(",
        "sum(",
        "gradient",
    ),
    Mutant(
        "pose's products not conjugated",
        "composed",
        "weights * table.conj()",
        "weights * table",
        "gradient",
    ),
    Mutant("stencil's cell off by one", "numpy/stencil", "* nh + x[a]", "* nh + x[d]"),
    Mutant(
        "stencil's weights of one corner only", "numpy/stencil", "wx[a] * wx[d]", "wx[a] * wx[a]"
    ),
    Mutant("stencil read the wrong way", "numpy/stencil", "(-z, -y), (0, 1))", "(z, y), (0, 1))"),
    Mutant(
        "stencil without its mirror image",
        "numpy/stencil",
        "return add_friedel_mates(result)",
        "return result",
    ),
)

NUMBA = (
    Mutant(
        "wrong sign of the shift's phase",
        "numba/traversal",
        "angle_x = -2 * math.pi",
        "angle_x = 2 * math.pi",
    ),
    Mutant(
        "row of Nyquist frequencies taken",
        "numba/traversal",
        "if left < 0 or abs(ky) > (geometry.rows - 1) // 2:",
        "if left < 0:",
    ),
    Mutant(
        "border beyond Nyquist",
        "numba/locate",
        "limit = (size - 1) // 2",
        "limit = size // 2",
    ),
    Mutant("cell off by one", "numba/locate", "corners[0] + offsets[0]", "corners[0] + offsets[1]"),
    Mutant("mate at the wrong place", "numba/locate", "tap + self.size)", "tap + self.size + -1)"),
    Mutant(
        "wrong sign of the samples at negative x",
        "numba/locate",
        "grid.points(kx) * sign",
        "grid.points(kx)",
    ),
    Mutant(
        "outside the grid not zero",
        "numba/footprint",
        "buffer.edge[item] = 0\n",
        "buffer.edge[item] = flat[0]\n",
    ),
    Mutant(
        "planes swapped",
        "numba/rows",
        "self._offsets[self.taps + c]",
        "self._offsets[2 * self.taps - 1 - c]",
    ),
    Mutant("wrong slope", "numba/rows", "z.slope(along)", "z.interpolated(along)", "gradient"),
    Mutant(
        "shares of a cell swapped",
        "numba/rows",
        "return [item - upper, upper]",
        "return [upper, item - upper]",
        "dot",
    ),
    Mutant(
        "mate not conjugated",
        "numba/footprint",
        "complex(value.real, buffer.sign[i] * value.imag)",
        "complex(value.real, value.imag)",
    ),
    Mutant(
        "mate not conjugated when added",
        "numba/slices",
        "apply_friedel(buffer, i, image[j, i] * phase.conjugate())",
        "image[j, i] * phase.conjugate()",
        "dot",
    ),
    Mutant(
        "slope of a mate not turned",
        "numba/fused",
        "scaled(buffer.sign[i], g)",
        "scaled(1.0, g)",
        "gradient",
    ),
    Mutant(
        "ghost plane not conjugated when read",
        "numba/footprint",
        "flat[mate_row - x].conjugate()",
        "flat[mate_row - x]",
    ),
    Mutant(
        "ghost plane not conjugated when added",
        "numba/footprint",
        "+= buffer.edge[item].conjugate()",
        "+= buffer.edge[item]",
        "dot",
    ),
    Mutant(
        "samples left out",
        "numba/footprint",
        "for begin in range(LANES // 2)",
        "for begin in range(1, LANES // 2)",
        "dot",
    ),
    Mutant(
        "phase not conjugated in the adjoint",
        "numba/slices",
        "image[j, i] * phase.conjugate()",
        "image[j, i] * phase",
        "dot",
    ),
    Mutant(
        "pairs counted twice on the plane kx = 0",
        "numba/slices",
        "even.phase_x[0] *= 0.5",
        "even.phase_x[0] *= 1.0",
        "dot",
    ),
    Mutant(
        "odd rows read from the even ones' samples",
        "numba/slices",
        "_scatter_row(taps, flat, image, j + 1, after, geometry, odd)",
        "_scatter_row(taps, flat, image, j + 1, after, geometry, even)",
        "dot",
    ),
    Mutant(
        "squares counted twice on the plane kx = 0",
        "numba/slices",
        "(weight * buffer.pairs[i])",
        "weight",
    ),
    Mutant(
        "misfit's gradient not conjugated",
        "numba/fused",
        "scaled(w, residual * factor.conjugate())",
        "scaled(w, residual * factor)",
    ),
    Mutant(
        "CTF forgotten in the gradient of the misfit",
        "numba/fused",
        "factor = scaled(buffer.ctf[i], phase)",
        "phase = factor = scaled(buffer.ctf[i], phase)",
        "gradient",
    ),
    Mutant(
        "pairs counted once in the pose's gradient of the misfit",
        "numba/fused",
        "_pose_sums(sums, i, g, buffer)\n                if",
        "_pose_sums(sums, i, scaled(0.5, g), buffer)\n                if",
        "gradient",
    ),
    Mutant(
        "ky forgotten in the gradient",
        "numba/fused",
        "geometry.scale * ky * sums[axis]",
        "geometry.scale * sums[axis]",
        "gradient",
    ),
    Mutant(
        "wrong sign of the gradient in the shift",
        "numba/fused",
        "grad_shift[0] += 4 * math.pi",
        "grad_shift[0] -= 4 * math.pi",
        "gradient",
    ),
    Mutant(
        "pose's shift with the wrong sign",
        "numba/pose",
        "complex(value.imag, -value.real)",
        "complex(-value.imag, value.real)",
        "gradient",
    ),
    Mutant(
        "pairs counted once in the pose's products",
        "numba/pose",
        "buffer.pairs[i] * weights[i]",
        "weights[i]",
        "gradient",
    ),
    Mutant("stencil's cell off by one", "numba/stencil", "(y - b) % ny", "(y + b) % ny"),
    Mutant(
        "stencil's pairs counted twice",
        "numba/stencil",
        "share * buffer.pairs[i] *",
        "share *",
    ),
)
