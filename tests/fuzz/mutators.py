"""Seeded damage to files: of bytes, of numbers, of what a format is made of."""

import re
import struct

EXTREMES = (0, 1, 2, 3, 127, 128, 255, 256, 2**15, 2**16, 2**24, 2**31 - 1, 2**31, 2**32 - 1)
WORDS = (
    *(b"nan", b"-nan", b"inf", b"-inf", b"1e999", b"1e-999", b"-1", b"0", b"-0.0", b"1_0", b"32.9"),
    *(b"9" * 30, b"9" * 5000, b"0x10", b"\xc3\xa9", b"\xff\xfe", b"\0", b"''", b'"', b";", b"#"),
    *(b"data_", b"loop_", b"_rlnImageName", b"save_", b"{}", b"[", b"(" * 50, b"../../etc/passwd"),
    *(b"<!DOCTYPE", b"&a;", b"1@etc/passwd", b"000000@a.mrcs", b" " * 100, b"\r\n", b"?", b"."),
)
HEADER_WORDS = (
    *(b"<f4", b">f8", b"<f2", b"|O", b"<c16", b"<M8[s]", b"|V0", b"|S0", b"<U9", b"|b1", b"<i8"),
    *(b"True", b"False", b"(2,)", b"(0,)", b"(-1,)", b"(4611686018427387904,)", b"(2, 2, 2)"),
    *(b"()", b"[[", b"]", b"}", b"{", b"'", b"9" * 20, b"None", b"1 + 1", b"__import__('os')"),
)
TOKEN = re.compile(rb"[^\s]+")
LITERAL = re.compile(rb"'[^']*'|\d+|\([^()]*\)|True|False|[{}\[\]]")


def flip(content, rng):
    """Change some bytes."""
    changed = bytearray(content)
    for _ in range(int(rng.integers(1, 5))):
        changed[int(rng.integers(len(changed)))] = int(rng.integers(256))
    return bytes(changed)


def cut(content, rng):
    """Leave out the end, or a part."""
    a, b = sorted(rng.integers(0, len(content) + 1, 2).tolist())
    return content[:a] if rng.random() < 0.5 else content[:a] + content[b:]


def repeat(content, rng):
    """Say a part twice, or often."""
    a, b = sorted(rng.integers(0, len(content) + 1, 2).tolist())
    return content[:b] + content[a:b] * int(rng.choice([1, 1, 3, 50])) + content[b:]


def insert(content, rng):
    """Put a word somewhere."""
    place, word = int(rng.integers(len(content) + 1)), WORDS[int(rng.integers(len(WORDS)))]
    return content[:place] + word + content[place:]


def number(content, rng):
    """Write an extreme integer over four bytes, of a header rather than of values."""
    end = min(len(content) - 4, 1024 if rng.random() < 0.8 else len(content))
    if end < 1:
        return content
    place = int(rng.integers(end)) // 4 * 4
    value = int(rng.choice(EXTREMES)) % 2**32
    packed = struct.pack(rng.choice(["<I", ">I"]), value)
    if rng.random() < 0.2:
        packed = struct.pack("<f", float(rng.choice([float("nan"), float("inf"), -1e38, 1e-40])))
    return content[:place] + packed + content[place + 4 :]


def token(content, rng):
    """Replace a word of a text by another one, leave it out, or exchange two."""
    return _replaced(content, rng, TOKEN, WORDS)


def literal(content, rng):
    """Replace a literal of a NumPy header."""
    head, tail = content[: 2**12], content[2**12 :]
    return _replaced(head, rng, LITERAL, HEADER_WORDS) + tail


def _replaced(content, rng, pattern, words):
    found = [match.span() for match in pattern.finditer(content[:20000])]
    if not found:
        return content
    a, b = found[int(rng.integers(len(found)))]
    other = found[int(rng.integers(len(found)))]
    choices = [words[int(rng.integers(len(words)))], b"", content[slice(*other)]]
    return content[:a] + choices[int(rng.integers(3))] + content[b:]


def inside(module, *errors):
    """Return what damages the content of compressed files, as often as the files themselves."""

    def change(content, rng):
        try:
            plain = module.decompress(content)
        except errors:
            return content
        mutators = (*ANY, token)
        return module.compress(mutators[int(rng.integers(len(mutators)))](plain or b"\0", rng))

    return (change,) * len(ANY)


ANY = (flip, cut, repeat, insert, number)


def damaged(content, rng, mutators):
    """Return a file with one to three kinds of damage."""
    for _ in range(int(rng.choice([1, 1, 1, 2, 3]))):
        content = mutators[int(rng.integers(len(mutators)))](content or b"\0", rng)
    return content
