"""Mutations of the bytes of a file, as damage and attackers make them."""

import random
import struct

INTERESTING = (0, 1, -1, 0x7F, 0x80, 0xFF, 0x7FFF, 0xFFFF, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF, 2**63 - 1, 2**64 - 1)
SNIPPETS = (b"NaN", b"1e400", b"-1", b"null", b"[" * 300, b'"x"', b"\x00" * 64, b"\xff" * 64, b"{}", b"9" * 40)


def mutate(content: bytes, rng: random.Random) -> bytes:
    """Return `content` after one to three mutations; never the same bytes."""
    mutated = content
    while mutated == content:
        for _ in range(rng.choice((1, 1, 1, 2, 3))):
            mutated = rng.choice(MUTATIONS)(mutated, rng)
    return mutated


def _flip_bits(content, rng):
    changed = bytearray(content)
    for _ in range(rng.randint(1, 12) if changed else 0):
        changed[rng.randrange(len(changed))] ^= 1 << rng.randrange(8)
    return bytes(changed)


def _truncate(content, rng):
    return content[: rng.randrange(len(content) + 1)]


def _replace_integer(content, rng):
    """Write an extreme number of 1, 2, 4 or 8 bytes in either order."""
    size = rng.choice((1, 2, 4, 8))
    if len(content) < size:
        return content
    at = rng.randrange(len(content) - size + 1)
    number = rng.choice(INTERESTING) % (1 << 8 * size)
    return content[:at] + number.to_bytes(size, rng.choice(("little", "big"))) + content[at + size :]


def _add_to_integer(content, rng):
    """Add a little to a number of four bytes, such as a length or an offset."""
    if len(content) < 4:
        return content
    at = rng.randrange(len(content) - 3)
    order = rng.choice("<>")
    (number,) = struct.unpack_from(f"{order}I", content, at)
    changed = struct.pack(f"{order}I", (number + rng.choice((-16, -4, -1, 1, 4, 16))) % 2**32)
    return content[:at] + changed + content[at + 4 :]


def _delete(content, rng):
    begin, end = _range(content, rng)
    return content[:begin] + content[end:]


def _repeat(content, rng):
    begin, end = _range(content, rng)
    return content[:end] + content[begin:end] * rng.choice((1, 1, 20)) + content[end:]


def _splice(content, rng):
    """Copy a part of the file over another one."""
    begin, end = _range(content, rng)
    at = rng.randrange(len(content) + 1)
    return content[:at] + content[begin:end] + content[at + end - begin :]


def _insert(content, rng):
    at = rng.randrange(len(content) + 1)
    return content[:at] + rng.choice((*SNIPPETS, rng.randbytes(rng.randint(1, 40)))) + content[at:]


def _change_digit(content, rng):
    """Change a digit of a text."""
    digits = [i for i in range(len(content)) if 48 <= content[i] <= 57] if len(content) < 1 << 16 else []
    if not digits:
        return content
    at = rng.choice(digits)
    return content[:at] + rng.choice((b"7", b"0", b"-", b"1e9", b"true", b"3.5")) + content[at + 1 :]


def _range(content, rng):
    begin = rng.randrange(len(content) + 1)
    return begin, min(len(content), begin + rng.choice((1, 4, 16, 256, 4096)))


MUTATIONS = (
    *(_flip_bits, _truncate, _replace_integer, _add_to_integer, _delete, _repeat, _splice, _insert, _change_digit),
    _flip_bits,
)
