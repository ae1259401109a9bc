"""Read the bytes of files in a TensorFlow graph: what kind of file it is, its parts, and its EXIF orientation.

The steps are those of `data.repair` and of Pillow.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from cnnzoo.core.file_signatures import FILE_KINDS, HEAD_BYTES, TEXT_KINDS
from cnnzoo.core.lazy import Lazy

if TYPE_CHECKING:
    import tensorflow as tf
else:
    tf = Lazy("tensorflow")

ORIENTATION_TAG, SHORT_TYPE = 0x0112, 3  # in EXIF: the number of the entry, and the type "16-bit integer"
MAX_EXIF_ENTRIES = 1000  # a directory that claims more is broken
EXIF_HEADER = b"Exif\0\0"
PADDING = 2 + 12 * MAX_EXIF_ENTRIES  # the most bytes that are read at once
XMP_ORIENTATION = r'\C*?tiff:Orientation(?:="|>)([0-9])\C*'  # \C is any byte, whatever the encoding


class FileBytes:
    """Read the bytes of a file and the integers in them; everything past its end reads as 0."""

    def __init__(self, content: tf.Tensor) -> None:
        self.content = content
        self.length = tf.cast(tf.strings.length(content), tf.int64)
        self._padded = tf.strings.join([content, bytes(PADDING)])

    def text(self, position: Any, size: Any) -> tf.Tensor:
        """Return `size` bytes from a position on as a string."""
        return cut(self._padded, tf.clip_by_value(tf.cast(position, tf.int64), 0, self.length), size)

    def values(self, position: Any, size: int) -> tf.Tensor:
        """Return `size` bytes from a position on as int64."""
        return tf.cast(tf.ensure_shape(tf.io.decode_raw(self.text(position, size), tf.uint8), (size,)), tf.int64)

    def integer(self, position: Any, size: int, little_endian: Any) -> tf.Tensor:
        """Return the unsigned integer of `size` bytes at a position."""
        return to_integers(self.values(position, size), little_endian)


def to_integers(values: tf.Tensor, little_endian: Any) -> tf.Tensor:
    """Return the unsigned integers whose bytes (..., size) are given."""
    big = np.array([256**i for i in reversed(range(values.shape[-1]))], "int64")
    if isinstance(little_endian, bool):
        return tf.reduce_sum(values * (big[::-1] if little_endian else big), -1)
    return tf.reduce_sum(values * tf.where(little_endian, big[::-1], big), -1)


def cut(text: Any, position: Any, size: Any = 2**40) -> tf.Tensor:
    """Return at most `size` bytes of a string from a position on."""
    return tf.strings.substr(text, tf.cast(position, tf.int64), tf.cast(size, tf.int64))


def choose(condition: Any, value: Any, other: Any) -> tf.Tensor:
    """Return `value` where a condition is true, else `other`, as int64."""
    return tf.where(condition, tf.cast(value, tf.int64), tf.cast(other, tf.int64))


# What kind of file it is


def match_file_kinds(head: tf.Tensor) -> tf.Tensor:
    """Return the index in `FILE_KINDS` of the first kind that a file is of, from its first bytes; -1 if none.

    Args:
        head: int64 (HEAD_BYTES,), zeros past the end of the file.
    """
    rows = [
        (i, position + offset, value)
        for i, kind in enumerate(FILE_KINDS)
        for position, magic in kind.signatures
        for offset, value in enumerate(magic)
        if position + offset < HEAD_BYTES
    ]
    kinds, positions, values = (np.array(column, "int64") for column in zip(*rows, strict=True))
    is_equal = tf.cast(tf.equal(tf.gather(head, positions), values), tf.int64)
    is_kind = tf.concat([tf.math.segment_min(is_equal, kinds), [1]], 0)
    first = tf.argmax(is_kind)
    return choose(first < len(FILE_KINDS), first, -1)


def match_text_kinds(head: tf.Tensor) -> tf.Tensor:
    """Return the index in `TEXT_KINDS` of the first kind that a text is of, from its first bytes; -1 if none."""
    text = tf.strings.lower(tf.strings.strip(tf.strings.regex_replace(head, "^\ufeff", "")))
    starts = [start for start, *_ in TEXT_KINDS]
    is_kind = tf.stack([*(tf.equal(tf.strings.substr(text, 0, len(start)), start) for start in starts), True])
    first = tf.argmax(tf.cast(is_kind, tf.int64))
    return choose(first < len(starts), first, -1)


def find_first(head: tf.Tensor, magics: tuple[bytes, ...], last: int) -> tf.Tensor:
    """Return the first position, up to `last`, where one of `magics` begins in the bytes of a file; -1 if none."""
    begins = []
    for magic in magics:
        windows = tf.gather(head, np.arange(last + 1)[:, None] + np.arange(len(magic)))
        begins.append(tf.reduce_all(tf.equal(windows, list(magic)), 1))
    is_start = tf.concat([tf.reduce_any(begins, 0), [True]], 0)
    first = tf.argmax(tf.cast(is_start, tf.int64))
    return choose(first <= last, first, -1)


# Orientation


def read_orientation(file: FileBytes, exif_position: Any, xmp_position: Any, xmp_length: Any) -> tf.Tensor:
    """Return the orientation, 1 to 8, that EXIF data or, without such, XMP data state; 1 if there is none.

    Args:
        file: the file.
        exif_position: where the EXIF data begin, or -1.
        xmp_position: where the XMP data begin, or -1.
        xmp_length: their length in bytes.
    """

    def read_exif() -> tf.Tensor:
        # Some files repeat the header.
        has_header = tf.equal(file.text(exif_position, len(EXIF_HEADER)), EXIF_HEADER)
        return _read_tiff_orientation(file, exif_position + choose(has_header, len(EXIF_HEADER), 0))

    def read_xmp() -> tf.Tensor:
        digit = tf.strings.regex_replace(file.text(xmp_position, xmp_length), XMP_ORIENTATION, r"\1")
        is_digit = tf.strings.regex_full_match(digit, "[0-9]")
        return tf.strings.to_number(tf.where(is_digit, digit, "1"), tf.int64)

    none = tf.constant(-1, tf.int64)
    exif = tf.cond(exif_position < 0, lambda: none, read_exif)
    value = tf.cond((exif < 0) & (xmp_position >= 0), read_xmp, lambda: exif)
    return choose((value >= 1) & (value <= 8), value, 1)


def _read_tiff_orientation(file: FileBytes, begin: Any) -> tf.Tensor:
    """Return the orientation in the first directory of the TIFF structure at `begin`, or -1 if it states none."""
    little_endian = tf.equal(file.integer(begin, 1, False), ord("I"))
    directory = begin + file.integer(begin + 4, 4, little_endian)
    count = tf.minimum(file.integer(directory, 2, little_endian), MAX_EXIF_ENTRIES)

    # An entry is a tag, a type, a count and a value.
    rows = tf.reshape(file.values(directory + 2, 12 * MAX_EXIF_ENTRIES), (MAX_EXIF_ENTRIES, 12))[:count]
    rows = tf.ensure_shape(rows, (None, 12))
    is_short = tf.equal(to_integers(rows[:, 2:4], little_endian), SHORT_TYPE)
    values = tf.where(is_short, to_integers(rows[:, 8:10], little_endian), to_integers(rows[:, 8:12], little_endian))
    is_orientation = tf.equal(to_integers(rows[:, :2], little_endian), ORIENTATION_TAG)
    return tf.reduce_max(tf.concat([[-1], choose(is_orientation, values, -1)], 0))
