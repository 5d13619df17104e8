"""The runtime that stands for a GPU: it sees what a GPU would hide."""

import os
import stat

import cuda_host
import numpy as np
import pytest
import standin
from cuda_host import build

pytestmark = pytest.mark.skipif(
    cuda_host.compiler() is None, reason="there is no C++ compiler to run the CUDA source with"
)
THREADS = 64
SOUND = {
    "place": "total[t] = 64 + t;",
    "turn": "static int turns; total[t] = turns++ % 64;",
    "barrier": "s[t] = further[t] + own; __syncthreads(); total[t] = s[63 - t] - own;",
    "no barrier": "s[t] = further[t] + own; total[t] = s[63 - t] - own;",
    "down": "total[t] = __shfl_down_sync(0xffffffffu, further[t], 5);",
    "xor": "total[t] = __shfl_xor_sync(0xffffffffu, further[t], 3);",
    "ballot": "total[t] = __ballot_sync(0xffffffffu, slots[t] % 3 == 0);",
    "shuffle": "total[t] = __shfl_sync(0xffffffffu, further[t], 7);",
    "atomic": "atomicAdd(&total[blockIdx.x], T(1)); __syncthreads();",
}
"""Bodies of a kernel of 64 threads t, on 64 numbers and as many integers."""
NEVER = "threads wait at a barrier that others never reach"
UNSOUND = {
    "if (t < 7) __syncthreads();": NEVER,
    "if (t < 7) __syncwarp();": NEVER,
    "if (t < 32) __syncthreads(); __syncwarp();": NEVER,
    "__syncwarp(0xffu);": "a warp operation of some lanes only",
    "total[slots[63] + 1] = 1;": "total: a kernel wrote beside the array",
    "total[slots[0] - 1] = 1;": "total: a kernel wrote beside the array",
    "s[t + 1] = 1;": "Index 64 out of bounds for type .* in bodies:",
    "total[0] = slots[63] + 2147483647;": "Signed integer overflow",
    "total[0] = int(1e20 * further[63]);": "outside the range of representable values",
    "total[0] = 1 << (slots[63] + 1);": "Shift exponent 64 is too large",
}
"""Bodies with what is undefined on a GPU, and what is said of it."""
BODIES = {**SOUND, **{body: body for body in UNSOUND}}


def run(name, order=0, blocks=1):
    """Run one of the bodies, all of which are compiled together; return `total`."""
    cases = "".join(f"case {n}: {{ {b} break; }}\n" for n, b in enumerate(BODIES.values()))
    source = (
        "template <typename T>\n__global__ void fold_moments(const T* further, const int* slots, "
        "int bricks, T* total) {\n  __shared__ T s[64];\n"
        "  int t = threadIdx.x, own = 64 * blockIdx.x;\n"
        f'  switch (bricks) {{\n#line 1 "bodies"\n{cases}}}\n}}\n'
    )
    launcher = cuda_host.HostLauncher(order=order, sources={"fold_moments": source})
    with standin.installed() as cupy:
        total = cupy.zeros(THREADS)
        inputs = cupy.arange(float(THREADS)), cupy.arange(THREADS, dtype=np.int32)
        given = *inputs, np.int32(list(BODIES).index(name)), total
        launcher.launch("fold_moments", ("double",), (blocks,), (THREADS,), given, total)
        return total.get()


REVERSED = [*range(63, -1, -1)]


def test_threads_run_in_the_order_that_is_asked_for():
    assert run("place").tolist() == [*range(64, 128)]
    first, last, mixed = (run("turn", order=order).tolist() for order in (0, 1, 2))
    assert first == [*range(64)]
    assert last == REVERSED
    assert sorted(mixed) == [*range(64)]
    assert mixed not in (first, last)


@pytest.mark.parametrize("order", range(4))
def test_a_barrier_is_one(order):
    assert run("barrier", order, blocks=2).tolist() == REVERSED


def test_a_missing_barrier_is_seen_in_every_order():
    assert all(run("no barrier", order, blocks=2).tolist() != REVERSED for order in range(4))


@pytest.mark.parametrize("order", range(4))
def test_warp_operations_exchange_among_the_32_threads_of_a_warp(order):
    threads = np.arange(64)
    shifted = threads + np.where(threads % 32 + 5 < 32, 5, 0)
    assert run("down", order).tolist() == shifted.tolist()
    assert run("xor", order).tolist() == (threads ^ 3).tolist()
    votes = [sum(1 << i for i in range(32) if (32 * warp + i) % 3 == 0) for warp in range(2)]
    assert run("ballot", order).tolist() == [votes[0]] * 32 + [votes[1]] * 32
    assert run("shuffle", order).tolist() == [7.0] * 32 + [39.0] * 32


def test_blocks_do_not_wait_for_each_other():
    assert run("atomic", order=3, blocks=5)[:6].tolist() == [64] * 5 + [0]


@pytest.mark.parametrize("body", UNSOUND)
def test_what_is_undefined_on_a_gpu_is_an_error_and_the_next_launch_is_sound(body, capfd):
    with pytest.raises(RuntimeError, match=f"^fold_moments<double>: .*{UNSOUND[body]}"):
        run(body)
    capfd.readouterr()  # the sanitizer reports as well
    assert run("barrier").tolist() == REVERSED


def test_what_does_not_compile_is_an_error_with_the_compilers_words():
    with pytest.raises(RuntimeError, match=r"gather does not compile:\n(.|\n)*no_such_name"):
        build.library("gather", build.UNDEFINED, "no_such_name", ("float", 2))


def test_compiled_kernels_lie_where_nobody_else_can_write():
    found = build.folder().stat()
    assert found.st_uid == os.getuid()
    assert stat.S_IMODE(found.st_mode) == 0o700


def test_a_folder_that_others_can_write_to_is_not_used(monkeypatch, tmp_path):
    monkeypatch.setattr(build.tempfile, "gettempdir", lambda: str(tmp_path))
    monkeypatch.setattr(build.tempfile, "tempdir", str(tmp_path))
    shared = tmp_path / f"fslice-cuda-host-{os.getuid()}"
    shared.mkdir()
    shared.chmod(0o777)
    assert build.folder.__wrapped__() != shared
    shared.chmod(0o700)
    assert build.folder.__wrapped__() == shared


def test_a_change_of_source_or_flags_is_compiled_anew():
    digests = {
        build._digest(text, flags)
        for text in ("one", "other")
        for flags in (build.UNDEFINED, build.THREAD)
    }
    assert len(digests) == 4
