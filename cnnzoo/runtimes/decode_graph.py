"""Decode image files in a TensorFlow graph, with the same pixels as `data.decode`.

JPEG, PNG, GIF, BMP and WebP files are decoded, turned upright by their EXIF orientation, and laid over white where
they are transparent.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any

from cnnzoo.core.lazy import Lazy
from cnnzoo.data.decode import MAX_ASPECT_RATIO, MAX_PIXELS
from cnnzoo.data.transform import Transform
from cnnzoo.runtimes.resize_graph import resize_in_graph

if TYPE_CHECKING:
    import tensorflow as tf
else:
    tf = Lazy("tensorflow")

ORIENTATION_TAG, SHORT_TYPE = 0x0112, 3  # in EXIF: the number of the entry, and the type "16-bit integer"
MAX_EXIF_ENTRIES = 1000  # a directory that claims more is broken
EXIF_HEADER = b"Exif\0\0"
WHITE = 255


def decode_files(contents: tf.Tensor, transform: Transform) -> tuple[tf.Tensor, tf.Tensor]:
    """Decode and transform a batch of image files.

    Args:
        contents: string (N,), the contents of the files.
        transform: the transform that resizes and crops each image.

    Returns:
        uint8 images (N, height, width, channels), black where a file is no image, and bool (N,), which of them were
        decoded.
    """
    count = tf.size(contents, tf.int64)

    # Decode in a data set, the only part of a graph that continues after an error.
    files = tf.data.Dataset.from_tensor_slices((tf.range(count), contents))
    decoded = files.map(lambda i, content: (i, decode_file(content, transform)), tf.data.AUTOTUNE).ignore_errors()

    # A blank image goes last, so that the batch is not empty when no file can be decoded.
    blank = tf.data.Dataset.from_tensors((count, tf.zeros((*transform.size, transform.channels), tf.uint8)))
    indices, pixels = decoded.concatenate(blank).batch(count + 1).get_single_element()

    # Put each image in its place; the others stay black.
    shape = tf.concat([[count + 1], tf.shape(pixels, tf.int64)[1:]], 0)
    is_decoded = tf.scatter_nd(indices[:, None], tf.ones_like(indices), [count + 1])
    return tf.scatter_nd(indices[:, None], pixels, shape)[:-1], is_decoded[:-1] > 0


def decode_file(content: tf.Tensor, transform: Transform) -> tf.Tensor:
    """Return the transformed image (height, width, channels) of the contents of a file."""
    pixels = apply_orientation(decode_pixels(content), read_exif_orientation(content))
    if transform.channels == 1:  # the three channels of a gray file are equal, so their luminance is exact
        pixels = tf.ensure_shape(pixels, (None, None, 3))
    return resize_in_graph(pixels[None], transform, keep_matching=False)[0]


def decode_pixels(content: tf.Tensor) -> tf.Tensor:
    """Decode the contents of a file to RGB pixels (H, W, 3); of an animation, the first frame."""
    first_bytes = tf.strings.substr(content, 0, 4)
    decoders: list[tuple[Any, Callable[[], Any]]] = [
        (tf.io.is_jpeg(content), partial(_decode_jpeg, content)),
        (tf.equal(first_bytes, b"\x89PNG"), partial(_decode_png, content)),
        (tf.equal(first_bytes, b"RIFF"), partial(_decode_webp, content)),
    ]
    return tf.ensure_shape(tf.case(decoders, default=partial(_decode_other, content)), (None, None, 3))


def _decode_jpeg(content: tf.Tensor) -> tf.Tensor:
    with tf.control_dependencies(_check_size(tf.io.extract_jpeg_shape(content))):
        return tf.io.decode_jpeg(content, channels=3, dct_method="INTEGER_ACCURATE")  # the method that Pillow uses


def _decode_png(content: tf.Tensor) -> tf.Tensor:
    header = _FileBytes(tf.strings.substr(content, 0, 32))
    size = tf.stack([header.integers_at(20, 4, False), header.integers_at(16, 4, False)])
    is_16_bit_gray = tf.logical_and(tf.equal(header.bytes_at(24), 16), tf.equal(header.bytes_at(25), 0))

    def decode_8_bit() -> tf.Tensor:
        return composite_over_white(tf.io.decode_png(content))

    def decode_16_bit() -> tf.Tensor:
        levels = tf.cast(tf.io.decode_png(content, channels=3, dtype=tf.uint16), tf.int32)
        return tf.cast((2 * levels + 257) // 514, tf.uint8)  # divided by 257 and rounded

    with tf.control_dependencies(_check_size(size)):
        return tf.cond(is_16_bit_gray, decode_16_bit, decode_8_bit)


def _decode_webp(content: tf.Tensor) -> tf.Tensor:
    pixels = tf.io.decode_image(content, expand_animations=False)  # with or without an alpha channel
    with tf.control_dependencies(_check_size(tf.shape(pixels))):
        return composite_over_white(pixels)


def _decode_other(content: tf.Tensor) -> tf.Tensor:
    # TensorFlow itself refuses to decode more than half a gigabyte.
    pixels = tf.io.decode_image(content, channels=3, expand_animations=False)
    with tf.control_dependencies(_check_size(tf.shape(pixels))):
        return tf.identity(pixels)


def _check_size(size: tf.Tensor) -> list[Any]:
    """Return operations that fail if an image has more pixels, or is a longer strip, than `data.decode` accepts."""
    size = tf.cast(size[:2], tf.int64)
    return [
        tf.debugging.assert_less_equal(tf.reduce_prod(size), tf.constant(MAX_PIXELS, tf.int64)),
        tf.debugging.assert_less_equal(tf.reduce_max(size), MAX_ASPECT_RATIO * tf.reduce_min(size)),
    ]


def composite_over_white(pixels: tf.Tensor) -> tf.Tensor:
    """Lay pixels (H, W, 1 to 4), gray or RGB with or without alpha, over white; rounds as Pillow's alpha_composite."""
    x = tf.cast(pixels, tf.int32)
    channels = tf.shape(x)[2]
    color = tf.cond(channels < 3, lambda: tf.repeat(x[..., :1], 3, axis=2), lambda: x[..., :3])
    opacity = tf.cond(tf.equal(channels % 2, 0), lambda: x[..., -1:], lambda: tf.fill(tf.shape(x[..., :1]), 255))
    total = 128 * (color * opacity + WHITE * (255 - opacity) + 128)
    return tf.cast((total // 256 + total) // 256 // 128, tf.uint8)


def apply_orientation(pixels: tf.Tensor, orientation: tf.Tensor) -> tf.Tensor:
    """Turn pixels (H, W, C) upright by their EXIF orientation, 1 to 8."""
    pixels = tf.cond(orientation > 4, lambda: tf.transpose(pixels, (1, 0, 2)), lambda: pixels)
    for axis, mirrored_orientations in ((0, (3, 4, 7, 8)), (1, (2, 3, 6, 7))):
        is_mirrored = tf.reduce_any(tf.equal(orientation, mirrored_orientations))
        pixels = tf.cond(is_mirrored, lambda x=pixels, a=axis: tf.reverse(x, [a]), lambda x=pixels: x)
    return pixels


class _FileBytes:
    """Read the bytes of a file and the integers in them; everything past its end reads as 0."""

    def __init__(self, content: tf.Tensor) -> None:
        self.values = tf.io.decode_raw(content, tf.uint8)
        self.length = tf.cast(tf.size(self.values), tf.int64)

    def bytes_at(self, positions: Any) -> tf.Tensor:
        """Return the bytes at int64 positions."""
        positions = tf.cast(positions, tf.int64)
        is_inside = (positions >= 0) & (positions < self.length)
        values = tf.gather(self.values, tf.where(is_inside, positions, tf.zeros_like(positions)))
        return tf.where(is_inside, tf.cast(values, tf.int64), tf.zeros_like(positions))

    def integers_at(self, positions: Any, size: int, little_endian: Any) -> tf.Tensor:
        """Return the unsigned integers of `size` bytes that begin at positions."""
        positions = tf.cast(positions, tf.int64)
        digits = [self.bytes_at(positions + i) for i in range(size)]
        little = sum(digit * 256**i for i, digit in enumerate(digits))
        big = sum(digit * 256**i for i, digit in enumerate(reversed(digits)))
        return tf.where(little_endian, little, big)

    def has_word(self, position: Any, word: bytes) -> tf.Tensor:
        """Return whether `word` begins at a position."""
        return tf.reduce_all(tf.equal(self.bytes_at(position + tf.range(len(word), dtype=tf.int64)), list(word)))


# A part of a file: whether one begins here, whether it holds EXIF data, and where the next part begins
Part = tuple[Any, Any, Any]
PartReader = Callable[[_FileBytes, Any], Part]


def read_exif_orientation(content: tf.Tensor) -> tf.Tensor:
    """Return the EXIF orientation, 1 to 8, of the contents of a JPEG, PNG or WebP file; 1 if it has none."""
    file = _FileBytes(content)

    def find_exif(begin: int, read_part: PartReader, header_size: int) -> Callable[[], Any]:
        return partial(_find_exif, file, begin, read_part, header_size)

    position = tf.case(
        [
            (file.has_word(tf.constant(0, tf.int64), b"\xff\xd8"), find_exif(2, _jpeg_segment, 4 + len(EXIF_HEADER))),
            (file.has_word(tf.constant(0, tf.int64), b"\x89PNG"), find_exif(8, _png_chunk, 8)),
            (file.has_word(tf.constant(8, tf.int64), b"WEBP"), find_exif(12, _webp_chunk, 8)),
        ],
        default=lambda: tf.constant(-1, tf.int64),
    )
    # Some WebP files repeat the header.
    tiff_position = tf.where(file.has_word(position, EXIF_HEADER), position + len(EXIF_HEADER), position)
    return tf.cond(position < 0, lambda: tf.constant(1, tf.int64), lambda: _read_tiff_orientation(file, tiff_position))


def _find_exif(file: _FileBytes, begin: int, read_part: PartReader, header_size: int) -> tf.Tensor:
    """Walk through the parts of a file, from position `begin`; return where the EXIF data begins, or -1."""

    def is_unfinished(position: Any, exif_position: Any) -> tf.Tensor:
        return (exif_position < 0) & (position < file.length) & read_part(file, position)[0]

    def read_next(position: Any, exif_position: Any) -> tuple[tf.Tensor, tf.Tensor]:
        _, has_exif, end = read_part(file, position)
        return tf.maximum(end, position + 2), tf.where(has_exif, position + header_size, exif_position)

    return tf.while_loop(is_unfinished, read_next, (tf.constant(begin, tf.int64), tf.constant(-1, tf.int64)))[1]


def _jpeg_segment(file: _FileBytes, position: Any) -> Part:
    is_segment = tf.equal(file.bytes_at(position), 0xFF) & tf.not_equal(file.bytes_at(position + 1), 0xDA)
    has_exif = tf.equal(file.bytes_at(position + 1), 0xE1) & file.has_word(position + 4, EXIF_HEADER)
    return is_segment, has_exif, position + 2 + file.integers_at(position + 2, 2, False)


def _png_chunk(file: _FileBytes, position: Any) -> Part:
    end = position + 12 + file.integers_at(position, 4, False)
    return tf.constant(True), file.has_word(position + 4, b"eXIf"), end


def _webp_chunk(file: _FileBytes, position: Any) -> Part:
    size = file.integers_at(position + 4, 4, True)
    return tf.constant(True), file.has_word(position, b"EXIF"), position + 8 + size + size % 2


def _read_tiff_orientation(file: _FileBytes, begin: Any) -> tf.Tensor:
    """Return the orientation in the first directory of the TIFF structure at `begin`, or 1 if none is valid."""
    little_endian = tf.equal(file.bytes_at(begin), ord("I"))
    directory = begin + file.integers_at(begin + 4, 4, little_endian)
    count = tf.minimum(file.integers_at(directory, 2, little_endian), MAX_EXIF_ENTRIES)
    entries = directory + 2 + 12 * tf.range(count)

    # An entry is a tag, a type, a count and a value.
    is_short = tf.equal(file.integers_at(entries + 2, 2, little_endian), SHORT_TYPE)
    values = tf.where(
        is_short, file.integers_at(entries + 8, 2, little_endian), file.integers_at(entries + 8, 4, little_endian)
    )
    is_orientation = tf.equal(file.integers_at(entries, 2, little_endian), ORIENTATION_TAG)
    values = tf.where(is_orientation, values, tf.zeros_like(values))

    orientation = tf.reduce_max(tf.concat([[tf.constant(0, tf.int64)], values], 0))
    return tf.where((orientation >= 1) & (orientation <= 8), orientation, tf.ones_like(orientation))
