"""Encoded images to pixels in a TensorFlow graph: JPEG, PNG, GIF, BMP and WebP, upright, transparency over white."""

from typing import Any

from cnnzoo.core.lazy import Lazy
from cnnzoo.data.decode import MAX_ASPECT_RATIO, MAX_PIXELS
from cnnzoo.data.transform import Transform
from cnnzoo.runtimes.resize_graph import resize_in_graph

tf = Lazy("tensorflow")

ORIENTATION_TAG, SHORT_TYPE = 0x0112, 3  # of EXIF: the tag, and the type of its value
MAX_EXIF_ENTRIES = 1000  # of an EXIF directory: more is no directory
WHITE = 255


def decode_files(contents: Any, transform: Transform) -> tuple[Any, Any]:
    """Files (N,) of bytes to uint8 (N, height, width, channels), black where one is no image, and which ones are."""
    count = tf.size(contents, tf.int64)
    # a data set, as nothing else in a graph goes on after an error; a blank last, so that one is there
    files = tf.data.Dataset.from_tensor_slices((tf.range(count), contents))
    good = files.map(lambda i, content: (i, decode_file(content, transform)), tf.data.AUTOTUNE).ignore_errors()
    blank = tf.data.Dataset.from_tensors((count, tf.zeros((*transform.size, transform.channels), tf.uint8)))
    places, pixels = good.concatenate(blank).batch(count + 1).get_single_element()
    shape = tf.concat([[count + 1], tf.shape(pixels, tf.int64)[1:]], 0)
    there = tf.scatter_nd(places[:, None], tf.ones_like(places), [count + 1])
    return tf.scatter_nd(places[:, None], pixels, shape)[:-1], there[:-1] > 0


def decode_file(content: Any, transform: Transform) -> Any:
    """The transformed image (height, width, channels) of a file's bytes."""
    pixels = apply_orientation(decode_pixels(content), read_exif_orientation(content))
    if transform.channels == 1:  # gray files are gray in all three
        pixels = tf.ensure_shape(pixels, (None, None, 3))
    return resize_in_graph(pixels[None], transform, ready=False)[0]


def decode_pixels(content: Any) -> Any:
    """RGB (H, W, 3) of a file's bytes, of an animation the first frame."""

    def jpeg() -> Any:
        with tf.control_dependencies(_check_sides(tf.io.extract_jpeg_shape(content))):
            return tf.io.decode_jpeg(content, channels=3, dct_method="INTEGER_ACCURATE")  # as Pillow has it

    def png() -> Any:
        head = _FileBytes(tf.strings.substr(content, 0, 32))
        checks = _check_sides(tf.stack([head.number(20, 4, False), head.number(16, 4, False)]))
        deep = tf.logical_and(tf.equal(head.at(24), 16), tf.equal(head.at(25), 0))  # gray levels to 65,535

        def shallow() -> Any:
            return composite_over_white(tf.io.decode_png(content))

        def levels() -> Any:
            whole = tf.cast(tf.io.decode_png(content, channels=3, dtype=tf.uint16), tf.int32)
            return tf.cast((2 * whole + 257) // 514, tf.uint8)  # over 257, rounded

        with tf.control_dependencies(checks):
            return tf.cond(deep, levels, shallow)

    def other() -> Any:  # TensorFlow itself bounds what it decodes to half a gigabyte
        pixels = tf.io.decode_image(content, channels=3, expand_animations=False)
        with tf.control_dependencies(_check_sides(tf.shape(pixels))):
            return tf.identity(pixels)

    def webp() -> Any:
        pixels = tf.io.decode_image(content, expand_animations=False)  # it has an alpha channel or not
        with tf.control_dependencies(_check_sides(tf.shape(pixels))):
            return composite_over_white(pixels)

    kinds = [
        (tf.io.is_jpeg(content), jpeg),
        (tf.equal(tf.strings.substr(content, 0, 4), b"\x89PNG"), png),
        (tf.equal(tf.strings.substr(content, 0, 4), b"RIFF"), webp),
    ]
    return tf.ensure_shape(tf.case(kinds, default=other), (None, None, 3))


def _check_sides(sides: Any) -> list[Any]:
    """Errors, for what depends on them, for more pixels, or a longer strip, than data.decode takes."""
    sides = tf.cast(sides[:2], tf.int64)
    return [
        tf.debugging.assert_less_equal(tf.reduce_prod(sides), tf.constant(MAX_PIXELS, tf.int64)),
        tf.debugging.assert_less_equal(tf.reduce_max(sides), MAX_ASPECT_RATIO * tf.reduce_min(sides)),
    ]


def composite_over_white(pixels: Any) -> Any:
    """Gray or RGB, with or without alpha, (H, W, 1 to 4), as RGB over white, as Pillow's alpha_composite rounds it."""
    x = tf.cast(pixels, tf.int32)
    count = tf.shape(x)[2]
    colour = tf.cond(count < 3, lambda: tf.repeat(x[..., :1], 3, axis=2), lambda: x[..., :3])
    opacity = tf.cond(tf.equal(count % 2, 0), lambda: x[..., -1:], lambda: tf.fill(tf.shape(x[..., :1]), 255))
    total = 128 * (colour * opacity + WHITE * (255 - opacity) + 128)
    return tf.cast((total // 256 + total) // 256 // 128, tf.uint8)


def apply_orientation(pixels: Any, turned: Any) -> Any:
    """Pixels (H, W, C) as an EXIF orientation of 1 to 8 says."""
    pixels = tf.cond(turned > 4, lambda: tf.transpose(pixels, (1, 0, 2)), lambda: pixels)
    for axis, orientations in ((0, (3, 4, 7, 8)), (1, (2, 3, 6, 7))):
        mirrored = tf.reduce_any(tf.equal(turned, orientations))
        pixels = tf.cond(mirrored, lambda x=pixels, a=axis: tf.reverse(x, [a]), lambda x=pixels: x)
    return pixels


class _FileBytes:
    """Numbers in the bytes of a file; 0 past its end."""

    def __init__(self, content: Any) -> None:
        self.values = tf.io.decode_raw(content, tf.uint8)
        self.length = tf.cast(tf.size(self.values), tf.int64)

    def at(self, positions: Any) -> Any:
        """The bytes at int64 positions."""
        positions = tf.cast(positions, tf.int64)
        inside = (positions >= 0) & (positions < self.length)
        values = tf.gather(self.values, tf.where(inside, positions, tf.zeros_like(positions)))
        return tf.where(inside, tf.cast(values, tf.int64), tf.zeros_like(positions))

    def number(self, positions: Any, size: int, little: Any) -> Any:
        """Whole numbers of `size` bytes that begin at positions."""
        positions = tf.cast(positions, tf.int64)
        each = [self.at(positions + i) for i in range(size)]
        ascending = sum(value * 256**i for i, value in enumerate(each))
        descending = sum(value * 256**i for i, value in enumerate(reversed(each)))
        return tf.where(little, ascending, descending)

    def says(self, position: Any, word: bytes) -> Any:
        """Whether a word begins at a position."""
        return tf.reduce_all(tf.equal(self.at(position + tf.range(len(word), dtype=tf.int64)), list(word)))


def read_exif_orientation(content: Any) -> Any:
    """The EXIF orientation in the bytes of a JPEG, PNG or WebP file, 1 where there is none."""
    file = _FileBytes(content)

    def jpeg(p: Any) -> tuple[Any, Any, Any]:  # a segment: whether one is there, where its EXIF begins, and its end
        there = tf.equal(file.at(p), 0xFF) & tf.not_equal(file.at(p + 1), 0xDA)
        return (
            there,
            tf.equal(file.at(p + 1), 0xE1) & file.says(p + 4, EXIF_HEADER),
            p + 2 + file.number(p + 2, 2, False),
        )

    def png(p: Any) -> tuple[Any, Any, Any]:
        return tf.constant(True), file.says(p + 4, b"eXIf"), p + 12 + file.number(p, 4, False)

    def webp(p: Any) -> tuple[Any, Any, Any]:
        size = file.number(p + 4, 4, True)
        return tf.constant(True), file.says(p, b"EXIF"), p + 8 + size + size % 2

    def search(begin: int, part: Any, skip: int) -> Any:
        def more(p: Any, found: Any) -> Any:
            return (found < 0) & (p < file.length) & part(p)[0]

        def step(p: Any, found: Any) -> tuple[Any, Any]:
            _, here, end = part(p)
            return tf.maximum(end, p + 2), tf.where(here, p + skip, found)

        return tf.while_loop(more, step, (tf.constant(begin, tf.int64), tf.constant(-1, tf.int64)))[1]

    found = tf.case(
        [
            (file.says(tf.constant(0, tf.int64), b"\xff\xd8"), lambda: search(2, jpeg, 4 + len(EXIF_HEADER))),
            (file.says(tf.constant(0, tf.int64), b"\x89PNG"), lambda: search(8, png, 8)),
            (file.says(tf.constant(8, tf.int64), b"WEBP"), lambda: search(12, webp, 8)),
        ],
        default=lambda: tf.constant(-1, tf.int64),
    )
    begin = tf.where(file.says(found, EXIF_HEADER), found + len(EXIF_HEADER), found)  # some WebP files repeat the word
    return tf.cond(found < 0, lambda: tf.constant(1, tf.int64), lambda: _read_tiff_orientation(file, begin))


EXIF_HEADER = b"Exif\0\0"


def _read_tiff_orientation(file: _FileBytes, begin: Any) -> Any:
    """The orientation in the TIFF structure that begins at a position: its first directory's entry."""
    little = tf.equal(file.at(begin), ord("I"))
    directory = begin + file.number(begin + 4, 4, little)
    count = tf.minimum(file.number(directory, 2, little), MAX_EXIF_ENTRIES)
    entries = directory + 2 + 12 * tf.range(count)
    short = tf.equal(file.number(entries + 2, 2, little), SHORT_TYPE)
    values = tf.where(short, file.number(entries + 8, 2, little), file.number(entries + 8, 4, little))
    values = tf.where(tf.equal(file.number(entries, 2, little), ORIENTATION_TAG), values, tf.zeros_like(values))
    value = tf.reduce_max(tf.concat([[tf.constant(0, tf.int64)], values], 0))
    return tf.where((value >= 1) & (value <= 8), value, tf.ones_like(value))
