"""Every CUDA kernel compiles for every card, and takes no more registers or memory than it did."""

import nvrtc
import pytest

from fslice._kernels.cuda.sources import SOURCES, expression

EVERY = sorted(
    expression(entry, values) for entry, source in SOURCES.items()
    for values in source.instantiations
)  # fmt: skip
pytestmark = pytest.mark.skipif(
    nvrtc.library() is None,
    reason="NVRTC {}.{} is absent: pip install 'nvidia-cuda-nvrtc-cu12=={}.{}.*'".format(
        *nvrtc.VERSION, *nvrtc.VERSION
    ),
)


def grown(card):
    """Return a line for each kernel that takes more of a card than is recorded."""
    found, known = nvrtc.all_compiled(card), nvrtc.recorded()[f"sm_{card}"]
    assert sorted(found) == EVERY
    return [
        f"{name}: {now}, recorded: {known.get(name)}" for name, now in found.items()
        if name not in known or any(new > old for new, old in zip(now, known[name], strict=True))
    ]  # fmt: skip


def test_every_kernel_compiles_for_hopper_and_takes_no_more_than_it_did():
    assert grown(90) == [], "if it is meant to, record it: python tests/nvrtc.py"


@pytest.mark.long
@pytest.mark.parametrize("card", nvrtc.CARDS)
def test_every_kernel_compiles_for_every_card_and_takes_no_more_than_it_did(card):
    assert grown(card) == [], "if it is meant to, record it: python tests/nvrtc.py"


@pytest.mark.parametrize("card", nvrtc.CARDS)
def test_the_record_holds_every_kernel_and_no_other(card):
    assert sorted(nvrtc.recorded()[f"sm_{card}"]) == EVERY


@pytest.mark.parametrize("card", [75, 120])
def test_the_simplest_kernel_compiles_for_the_oldest_and_the_newest_card(card):
    assert nvrtc.compiled("gather", card)


def test_no_kernel_takes_more_shared_memory_than_a_block_has():
    for table in nvrtc.recorded().values():
        assert max(found.shared for found in table.values()) <= 48 << 10


def test_what_does_not_compile_is_reported_with_its_file_and_line(monkeypatch):
    broken = '#line 7 "gather.cu"\ntemplate <typename T> __global__ void gather(T x) { nonsense; }'
    with pytest.raises(RuntimeError, match=r'gather\.cu\(7\): error: identifier "nonsense"'):
        nvrtc._compile(broken, ["gather<float>"], nvrtc.options_for(90))
