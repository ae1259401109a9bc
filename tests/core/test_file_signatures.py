"""The kind of a file is the first row of the table whose bytes are all there."""

import pytest

from cnnzoo.core.file_signatures import FILE_KINDS, find_file_kind


def head_of(kind):
    """Return 512 bytes that hold every signature of a kind, and nothing else."""
    head = bytearray(512)
    for position, magic in kind.signatures:
        head[position : position + len(magic)] = magic
    return bytes(head)


@pytest.mark.parametrize("number", range(len(FILE_KINDS)))
def test_first_matching_kind_is_found(number):
    head = head_of(FILE_KINDS[number])
    matches = [kind for kind in FILE_KINDS if all(head.startswith(magic, at) for at, magic in kind.signatures)]
    assert find_file_kind(head) is matches[0]


def test_kind_without_bytes_at_the_start_wins_over_a_later_one():
    jpeg = bytearray(b"\xff\xd8\xff" + bytes(509))
    assert find_file_kind(bytes(jpeg)).name == "a JPEG image"
    jpeg[128:132] = b"DICM"
    assert find_file_kind(bytes(jpeg)).name == "a DICOM file"


def test_one_byte_is_of_no_kind_in_the_table():
    assert all(find_file_kind(bytes([value])) not in FILE_KINDS for value in range(256))
