"""Faults to seed into the CUDA source, and how each must be noticed.

``"numbers"``: by disagreement with NumPy's definition in some order of threads. ``"bits"``: numbers
are right but for rounding, and bits depend on the order. ``"a race"``: by the thread sanitizer
only, in test_cuda_races.py. Else by an error, whose message is given.
"""

from typing import NamedTuple

NUMBERS, BITS, RACE = "numbers", "bits", "a race"
BESIDE = "a kernel wrote beside the array"
NEVER = "threads wait at a barrier that others never reach"


class CudaMutant(NamedTuple):
    """A fault: in a file of the CUDA source `old` becomes `new`; a probe must notice it."""

    name: str
    file: str
    old: str
    new: str
    probe: str
    noticed: str = NUMBERS


M = CudaMutant
MUTANTS = (
    # positions, phases and views
    M("shift of the wrong sign", "views.cu", "view.turn_x = -double", "view.turn_x = double",
      "gather"),
    M("whole turns kept in single precision", "numbers.cuh",
      "sincospif(2 * float(turns - rint(turns)), s, c)", "sincospif(2 * float(turns), s, c)",
      "far"),
    M("image of a view forgotten", "views.cu", "image_of ? image_of[v] : first + v", "first + v",
      "views"),
    M("weight of a view forgotten", "views.cu", "weights ? double(weights[v]) : 1.0", "1.0",
      "views"),
    M("later views take the first images", "views.cu", ": first + v", ": v", "chunks"),
    M("rotation transposed", "views.cu", "rotations[9 * v + 3 * i + j]",
      "rotations[9 * v + 3 * j + i]", "gather"),
    # the traversal
    M("border beyond Nyquist", "geometry.cuh", "return (size - 1) / 2;", "return size / 2;",
      "gather"),
    M("border one too near", "cell.cuh", "bool inside = magnitude(k) <= limit_of(size);",
      "bool inside = magnitude(k) < limit_of(size);", "cubic"),
    M("border not seen", "cell.cuh", "if (!inside) weight[t] = 0;", "", "cubic"),
    M("border not seen by slopes", "cell.cuh", "if (ORDER > 0 && !inside) slope[t] = 0;", "",
      "slopes"),
    M("mate not conjugated", "cell.cuh", "return mate ? conj(sum) : sum;", "return sum;", "gather"),
    M("slopes of mates keep their sign", "cell.cuh",
      "i >= 1 && i <= 3 ? T(-1) * conj(out[i]) : conj(out[i])", "conj(out[i])", "slopes"),
    M("second derivatives of mates change their sign", "cell.cuh", "i >= 1 && i <= 3 ?", "i >= 1 ?",
      "curves"),
    M("mixed derivatives exchanged", "cell.cuh",
      "add(out[5], tap.z * tap.slope_y * tap.slope_x, value);",
      "add(out[5], tap.slope_z * tap.y * tap.slope_x, value);", "curves"),
    M("ghost plane not conjugated", "cell.cuh", "tap.ghost ? conj(value) : value", "value",
      "cubic"),
    M("ghost plane not mirrored", "cell.cuh", "ghost ? mirrored - x.at[a]",
      "ghost ? row - x.at[a]", "cubic"),
    M("band not seen", "gather.cu", "if (in_band(g, k.kx, k.ky))\n      value",
      "if (true)\n      value", "gather"),
    M("a pixel too many", "gather.cu",
      "i < pixels; i += gridDim.y * blockDim.x) {\n    Pixel k(g, i);\n    Complex<T> value",
      "i <= pixels; i += gridDim.y * blockDim.x) {\n    Pixel k(g, i);\n    Complex<T> value",
      "gather", BESIDE),
    # bricks
    M("phase not conjugated in the adjoint", "scatter.cu",
      "* conj(phase<T>(view, kx, ky, amplitude))", "* phase<T>(view, kx, ky, amplitude)",
      "scatter"),
    M("pairs counted twice on kx = 0", "bricks.cuh", "auto value = T(0.5) * stored_at(0, ky);",
      "auto value = stored_at(0, ky);", "scatter"),
    M("mate of kx = 0 not conjugated", "bricks.cuh", "T(0.5) * conj(stored_at(0, -ky))",
      "T(0.5) * stored_at(0, -ky)", "scatter"),
    M("mate of kx = 0 added at x = 0 too", "bricks.cuh", "return at_zero ? value : value",
      "return value", "exact"),
    M("both of a pair added at x = 0", "bricks.cuh", "(p[0] == 0 && kx >= 0)", "p[0] == 0",
      "exact"),
    M("none of a pair added at x = 0", "bricks.cuh", "p[0] > 0 || (p[0] == 0 && kx >= 0)",
      "p[0] > 0", "exact"),
    M("views overlooked", "bricks.cuh", "extent * 1.001f + 0.02f", "extent * 0.5f", "bricks"),
    M("pixels overlooked", "bricks.cuh", "extent = extent * 1.001f + 0.05f;",
      "extent = extent * 0.9f;", "bricks"),
    M("first views of parts overlooked", "bricks.cuh", "count * item.part / item.parts, stop",
      "count * item.part / item.parts + 1, stop", "many"),
    M("wrong class: stride one short", "views.cu", "floor(sqrt(3.001 / shortest)) + 1 : all",
      "floor(sqrt(3.001 / shortest)) : all", "many", BITS),
    M("taps not in step", "scatter.cu", "value);\n        __syncwarp();", "value);", "many"),
    M("queue read before it is written", "scatter.cu",
      "count += __popc(hits);\n  }\n  __syncwarp();", "count += __popc(hits);\n  }", "scatter"),
    M("axes of one frequency interpolated", "scatter.cu",
      "if (size == 1) weight[t] = t == -Spline<T, TAPS>::first;", "", "plane"),
    M("halo one short", "scatter.cu", "width = side + TAPS - 1", "width = side + TAPS - 2",
      "bricks"),
    M("brick's sums not cleared", "scatter.cu", "fresh ? Element<T, POWER>{} : kept[i]", "kept[i]",
      "scatter"),
    M("chunks not continued", "scatter.cu", "fresh ? Element<T, POWER>{} : kept[i]",
      "Element<T, POWER>{}", "chunks"),
    M("further parts not collected", "scatter.cu", "part < slot[2]; ++part",
      "part < slot[1]; ++part", "many"),
    M("ghost not conjugated when collected", "scatter.cu", "ghost ? conj(value) : value", "value",
      "scatter"),
    M("Nyquist planes collected", "scatter.cu",
      "inside = inside && magnitude(k[axis]) <= limit_of(size_of(g, axis));", ";", "scatter"),
    M("weights not squared", "scatter.cu", "if (POWER == 2) weight[t] *= weight[t];", "",
      "squares"),
    M("atomics: mate not conjugated", "atomics.cu", "if (mate) value = conj(value);", "", "atomic"),
    M("atomics: pairs counted twice", "atomics.cu", "k.kx == 0 ? T(0.5) : T(1)", "T(1)", "atomic"),
    # the stencil
    M("moments: border not seen", "stencil.cu", "magnitude(lower) <= limit ? 1 - fraction : T(0)",
      "1 - fraction", "stencil"),
    M("moments read before they are written", "stencil.cu", "= own;\n      __syncwarp();",
      "= own;", "stencil"),
    M("moments overwritten before they are read", "stencil.cu",
      "__syncwarp();  // before `hits` is written again", "", "stencil", RACE),
    M("CTF applied once in the stencil", "stencil.cu", "view.image, x, y) * ctf * ctf",
      "view.image, x, y) * ctf", "stencil"),
    M("further moments not folded", "stencil.cu", "part < slot[2]; ++part",
      "part < slot[1]; ++part", "moments"),
    M("offset in y of the wrong sign", "stencil.cu", "(number - 5) % 3 - 1",
      "1 - (number - 5) % 3", "stencil"),
    M("product: mates not conjugated", "stencil.cu", "conj(half_product", "(half_product",
      "product"),
    M("product: neighbours below forgotten", "stencil.cu", "sign = -1; sign < 2",
      "sign = 1; sign < 2", "product"),
    # filters and the fused kernels
    M("CTF of the wrong sign", "filters.cuh", "T(-c[6]) * s", "T(c[6]) * s", "ctf"),
    M("group of an image forgotten", "filters.cuh", "group_of ? group_of[image] : 0", "0", "views"),
    M("CTF of the view, not of its image", "misfit.cu",
      "ctf(filters.ctf_at(g, view.image, kx, ky))",
      "ctf(filters.ctf_at(g, blockIdx.x % 3, kx, ky))", "views"),
    M("sums read before they are written", "sums.cuh", "  __syncthreads();\n  double total",
      "  double total", "misfit"),
    M("a barrier that some do not reach", "sums.cuh", "if (lane == 0) shared[i][warp] = sums[i];",
      "if (lane == 0) { shared[i][warp] = sums[i]; __syncthreads(); }", "misfit", NEVER),
    M("one warp forgotten", "sums.cuh", "w < WARPS; ++w", "w < WARPS - 1; ++w", "misfit"),
    M("pairs counted once in chi-squared", "misfit.cu", "pair_weight(k.kx) * own.square()",
      "own.square()", "misfit"),
    M("band not seen by the misfit", "misfit.cu", "if (in_band(g, k.kx, k.ky)) {", "{", "misfit"),
    M("phase left in the residual", "misfit.cu", "own.ctf * weighted * conj(own.phase)",
      "own.ctf * weighted", "misfit"),
    M("gradient in the CTF not conjugated", "misfit.cu", "own.slice.re + weighted.im",
      "own.slice.re - weighted.im", "misfit"),
    M("gradient in the shift of the wrong sign", "poses.cuh", "read[0].im - double(h.im)",
      "read[0].im + double(h.im)", "misfit"),
    M("entries of the rotation exchanged", "poses.cuh", "number / 2 * 3 + number % 2",
      "number % 3 * 3 + number / 3", "misfit"),
    M("third column not cleared", "poses.cuh",
      "if (number < 3) grad_rotation[number * 3 + 2] = 0;", "", "misfit"),
    M("curvature: turn of the wrong sign", "pose.cu", "out[1] = -x * along[2];",
      "out[1] = x * along[2];", "pose"),
    M("curvature: not symmetric", "pose.cu", " = gram[36 * v + 6 * (a + b) + a]", "", "pose"),
)  # fmt: skip
