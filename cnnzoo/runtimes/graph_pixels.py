"""Decode the pixels of one image file in a TensorFlow graph, format by format.

The pixels are returned as they are stored, with or without opacity, to save memory; `to_rgb` makes RGB of a part of
them.
"""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, Any

import numpy as np

from cnnzoo.core.lazy import Lazy
from cnnzoo.data import repair
from cnnzoo.data.bit_depth import Levels, scale_levels
from cnnzoo.runtimes.graph_bytes import FileBytes, choose, cut, to_integers
from cnnzoo.runtimes.graph_layout import Layout, make_layout

if TYPE_CHECKING:
    import tensorflow as tf
else:
    tf = Lazy("tensorflow")

WHITE = 255
DEEP_CHANNELS = 8  # four channels of two bytes each
ANIMATION_FLAG, ALPHA_FLAG = 0x02, 0x10  # of a WebP file
GRAY_RAMP = np.repeat(np.arange(256, dtype="uint8"), 3).tobytes()
LOOK_AHEAD = repair.MAX_EQUAL_BLOCKS
PLAIN, BITFIELDS = 0, 3  # ways of storing the pixels of a BMP file


def decode_jpeg(file: FileBytes, layout: Layout) -> tf.Tensor:
    """Decode a JPEG file; if its end is missing, it must be clear that no pixel is."""

    def decode(content: tf.Tensor) -> tf.Tensor:
        return tf.io.decode_jpeg(content, channels=3, dct_method="INTEGER_ACCURATE")  # the method that Pillow uses

    def decode_completed() -> tf.Tensor:
        is_half = tf.equal(file.values(file.length - 1, 1)[0], 0xFF)
        content = cut(file.content, 0, file.length - tf.cast(is_half, tf.int64))
        pixels, others = (decode(tf.strings.join([content, end])) for end in (repair.END, repair.OTHER_END))
        with tf.control_dependencies([tf.debugging.assert_equal(pixels, others)]):
            return tf.identity(pixels)

    return tf.cond(layout.is_complete, lambda: decode(file.content), decode_completed)


def decode_png(file: FileBytes, layout: Layout, levels: Levels | None) -> tf.Tensor:
    """Decode a PNG file; the result has `DEEP_CHANNELS` channels if more than the upper 8 bits matter."""
    is_deep = tf.equal(layout.bits, 16)
    if levels is None:
        is_deep &= tf.equal(layout.components, 1)  # as Pillow does, which keeps the upper bytes of colors

    def decode_deep() -> tf.Tensor:
        pixels = tf.bitcast(tf.io.decode_png(file.content, channels=4, dtype=tf.uint16), tf.uint8)
        return tf.reshape(pixels, tf.stack([*tf.unstack(tf.shape(pixels)[:2]), DEEP_CHANNELS]))

    return tf.cond(
        is_deep,
        decode_deep,
        lambda: tf.cond(
            layout.has_alpha,
            lambda: tf.io.decode_png(file.content, channels=4),
            lambda: tf.io.decode_png(file.content, channels=3),
        ),
    )


def decode_webp(file: FileBytes, layout: Layout) -> tf.Tensor:
    """Decode a WebP file; of an animation, the first frame."""
    flags = file.values(20, 1)[0]
    is_animated = tf.equal(file.text(12, 4), b"VP8X") & tf.equal(flags // ANIMATION_FLAG % 2, 1)

    def decode_animated() -> tf.Tensor:
        # TensorFlow writes four channels per pixel, but reserves three if the file states no transparency. So it must
        # never see such a file: that ends the process.
        marked = tf.gather(_all_bytes(), tf.bitwise.bitwise_or(flags, ALPHA_FLAG))
        content = tf.strings.join([file.text(0, 20), marked, cut(file.content, 21)])
        pixels = tf.io.decode_image(content, expand_animations=False)
        return tf.cond(layout.has_alpha, lambda: pixels, lambda: pixels[..., :3])

    return tf.cond(is_animated, decode_animated, lambda: tf.io.decode_image(file.content, expand_animations=False))


def _all_bytes() -> tf.Tensor:
    return tf.constant([bytes([value]) for value in range(256)])


# GIF


def read_gif(file: FileBytes) -> tuple[Layout, tuple[Any, ...]]:
    """Read the headers of a GIF file up to its first frame.

    Returns:
        The layout, and what `decode_gif` needs: the position and the end of the frame's pixels, the position and the
        number of its colors, its transparent color or -1, and its left, top, width, height and interlacing.
    """
    zero = tf.constant(0, tf.int64)
    allowed = repair.MAX_CHUNKS + file.length // repair.BYTES_PER_CHUNK
    screen = file.values(6, 5)
    width, height = to_integers(screen[:2], True), to_integers(screen[2:4], True)
    color_count = choose(screen[4] >= 128, 2 ** (screen[4] % 8 + 1), zero)

    # Walk to the first frame, over extensions and their blocks
    def is_outside(position: Any, steps: Any, in_blocks: Any, transparent: Any, frame: Any) -> Any:
        return (frame < 0) & (position < file.length) & (steps < allowed)

    def read_block(position: Any, steps: Any, in_blocks: Any, transparent: Any, frame: Any) -> tuple[Any, ...]:
        values = file.values(position, 7)
        is_block = in_blocks > 0
        is_extension, is_frame = tf.equal(values[0], ord("!")) & ~is_block, tf.equal(values[0], ord(",")) & ~is_block
        is_end = tf.equal(values[0], ord(";")) & ~is_block
        has_color = is_extension & tf.equal(values[1], 0xF9) & (values[2] >= 4) & tf.equal(values[3] % 2, 1)
        step = choose(is_extension, tf.constant(2, tf.int64), choose(is_block, values[0] + 1, 1))
        return (
            choose(is_end, file.length, position + step),
            steps + 1,
            choose(is_extension, 1, choose(is_block & tf.equal(values[0], 0), zero, in_blocks)),
            choose(has_color, values[6], transparent),
            choose(is_frame, position + 1, frame),
        )

    start = (13 + 3 * color_count, zero, zero, zero - 1, zero - 1)
    _, steps, _, transparent, frame = tf.while_loop(is_outside, read_block, start, parallel_iterations=1)

    # The frame
    header = file.values(frame, 10)
    left, top, frame_width, frame_height = (to_integers(header[i : i + 2], True) for i in (0, 2, 4, 6))
    local_count = choose(header[8] >= 128, 2 ** (header[8] % 8 + 1), zero)
    has_own_colors = local_count > 0
    colors = choose(has_own_colors, frame + 9, zero + 13)
    pixels = frame + 9 + 3 * local_count
    end, steps = _find_end_of_blocks(file, pixels + 1, steps, allowed)
    problem = tf.where(
        steps >= allowed,
        tf.strings.join([tf.as_string(file.length), " bytes in over ", tf.as_string(allowed), " blocks"]),
        tf.where(frame < 0, "a GIF image without a frame", tf.where(end > file.length, "image file is truncated", "")),
    )
    layout = make_layout(
        tf.maximum(height, top + frame_height),
        tf.maximum(width, left + frame_width),
        has_alpha=transparent >= 0,
        problem=problem,
    )
    count = choose(has_own_colors, local_count, color_count)
    return layout, (pixels, end, colors, count, transparent, left, top, frame_width, frame_height, header[8] // 64 % 2)


def _find_end_of_blocks(file: FileBytes, begin: Any, steps: Any, allowed: Any) -> tuple[Any, Any]:
    """Return where a chain of blocks ends, beyond the file if it is cut off, and the number of steps so far.

    Blocks of equal size, as nearly all are, are skipped at once.
    """

    def is_inside(position: Any, steps: Any, has_ended: Any) -> Any:
        return ~has_ended & (position < file.length) & (steps < allowed)

    def skip_blocks(position: Any, steps: Any, has_ended: Any) -> tuple[Any, ...]:
        size = file.values(position, 1)[0]
        stride = size + 1
        count = tf.minimum((file.length - position + stride - 1) // stride, LOOK_AHEAD)
        window = tf.io.decode_raw(file.text(position, tf.minimum(count * stride, file.length - position)), tf.uint8)
        sizes = tf.cast(tf.strided_slice(window, [0], [tf.size(window)], [tf.cast(stride, tf.int32)]), tf.int64)
        others = tf.concat([tf.not_equal(sizes, size), [True]], 0)
        equal = tf.argmax(tf.cast(others, tf.int64))
        is_end = tf.equal(size, 0)
        return choose(is_end, position + 1, position + equal * stride), steps + 1, is_end

    end, steps, has_ended = tf.while_loop(
        is_inside, skip_blocks, (begin, steps, tf.constant(False)), parallel_iterations=1
    )
    return choose(has_ended, end, file.length + 1), steps


def decode_gif(file: FileBytes, layout: Layout, frame: tuple[Any, ...]) -> tf.Tensor:
    """Decode the first frame of a GIF file, on its canvas.

    TensorFlow would decode all frames, and shows what is transparent in black. So it gets a new file of this frame
    alone, whose transparent color is white.
    """
    pixels, end, colors, count, transparent, left, top, width, height, interlaced = frame
    white = tf.constant(b"\xff\xff\xff")

    # 256 colors, as in Pillow: without a table they are gray, and those that a table lacks are black
    given = file.text(colors, 3 * count)
    table = tf.where(tf.equal(count, 0), GRAY_RAMP, tf.strings.join([given, cut(bytes(len(GRAY_RAMP)), 3 * count)]))
    table = tf.cond(
        transparent >= 0,
        lambda: tf.strings.join([cut(table, 0, 3 * transparent), white, cut(table, 3 * transparent + 3)]),
        lambda: table,
    )
    size = [tf.gather(_all_bytes(), part) for part in (width % 256, width // 256, height % 256, height // 256)]
    flags = tf.gather(_all_bytes(), 64 * interlaced)
    content = tf.strings.join(
        [b"GIF89a", *size, b"\xf7\0\0", table, b",\0\0\0\0", *size, flags, file.text(pixels, end - pixels), b";"]
    )
    image = tf.io.decode_image(content, channels=3, expand_animations=False)

    # What the frame leaves free is transparent, or of the first color
    def place() -> tf.Tensor:
        first = tf.io.decode_raw(cut(table, 0, 3), tf.uint8)
        fill = tf.where(transparent >= 0, tf.constant([WHITE] * 3, tf.uint8), first)
        border = [[top, layout.height - top - height], [left, layout.width - left - width]]
        planes = [tf.pad(image[..., i], border, constant_values=fill[i]) for i in range(3)]
        return tf.stack(planes, 2)

    fills_canvas = tf.equal(width, layout.width) & tf.equal(height, layout.height)
    return tf.cond(fills_canvas, lambda: image, place)


# BMP


def read_bmp_layout(file: FileBytes) -> Layout:
    """Read the header of a BMP file."""
    header = file.values(14, 56)
    size, width, height = (to_integers(header[i : i + 4], True) for i in (0, 4, 8))
    bits, compression = to_integers(header[14:16], True), to_integers(header[16:20], True)
    height = choose(height >= 2**31, 2**32 - height, height)
    masks = to_integers(tf.reshape(header[40:56], (4, 4)), True)
    has_mask = (size >= 56) & tf.equal(compression, BITFIELDS) & tf.equal(bits, 32)
    is_known = tf.reduce_any(tf.equal(size, [40, 52, 56, 64, 108, 124]))
    is_plain = tf.equal(compression, PLAIN) & tf.reduce_any(tf.equal(bits, [1, 4, 8, 16, 24, 32]))
    is_masked = tf.equal(compression, BITFIELDS) & tf.reduce_any(tf.equal(bits, [16, 32]))
    return make_layout(
        height,
        width,
        components=3,
        bits=bits,
        has_alpha=has_mask & (masks[3] > 0),
        problem=tf.where(
            is_known & (is_plain | is_masked),
            "",
            "a BMP image of a rare kind that TensorFlow cannot decode; convert it to PNG",
        ),
    )


def decode_bmp(file: FileBytes, layout: Layout) -> tf.Tensor:
    """Decode a BMP file that is not compressed."""
    header = file.values(10, 60)
    offset, header_size = to_integers(header[:4], True), to_integers(header[4:8], True)
    is_top_down = header[15] >= 128
    compression = to_integers(header[20:24], True)
    color_count = to_integers(header[36:40], True)
    color_count = choose(tf.equal(color_count, 0), 2 ** tf.minimum(layout.bits, 8), tf.minimum(color_count, 256))
    masks = to_integers(tf.reshape(header[44:60], (4, 4)), True)
    has_palette = layout.bits <= 8
    is_at_palette = tf.equal(offset, 14 + header_size) & has_palette
    offset += choose(is_at_palette, 4 * color_count, 0)

    # Rows of whole four bytes, from the bottom up
    row = (layout.width * layout.bits + 31) // 32 * 4
    is_whole = tf.debugging.assert_less_equal(offset + row * layout.height, file.length)
    with tf.control_dependencies([is_whole]):
        values = tf.io.decode_raw(cut(file.content, offset, row * layout.height), tf.uint8)
    rows = tf.reshape(values, tf.stack([layout.height, row]))
    rows = tf.cond(is_top_down, lambda: rows, lambda: tf.reverse(rows, [0]))

    def look_up() -> tf.Tensor:
        given = tf.io.decode_raw(file.text(14 + header_size, 4 * color_count), tf.uint8)
        table = tf.reverse(tf.reshape(given, (-1, 4))[:, :3], [1])
        table = tf.concat([table, tf.zeros(tf.stack([256 - tf.shape(table)[0], 3]), tf.uint8)], 0)
        shifts = tf.cast(tf.range(8 - layout.bits, -1, -layout.bits), tf.uint8)
        lowest_bits = tf.cast(2**layout.bits - 1, tf.uint8)
        parts = tf.bitwise.bitwise_and(tf.bitwise.right_shift(rows[..., None], shifts), lowest_bits)
        indices = tf.reshape(parts, tf.stack([layout.height, -1]))[:, : layout.width]
        return tf.gather(table, tf.cast(indices, tf.int32))

    def read_bytes(size: int) -> tf.Tensor:
        return tf.reshape(rows[:, : size * layout.width], tf.stack([layout.height, layout.width, size]))

    def read_16_bit() -> tf.Tensor:
        values = tf.cast(tf.bitcast(read_bytes(2), tf.uint16), tf.int32)
        has_6_bits = tf.equal(compression, BITFIELDS) & tf.equal(masks[0], 0xF800)
        green = tf.where(has_6_bits, values // 32 % 64 * 255 // 63, values // 32 % 32 * 255 // 31)
        red = tf.where(has_6_bits, values // 2048, values // 1024 % 32)
        known = tf.equal(compression, PLAIN) | tf.reduce_any(tf.equal(masks[0], [0xF800, 0x7C00]))
        with tf.control_dependencies([tf.debugging.assert_equal(known, True)]):
            return tf.cast(tf.stack([red * 255 // 31, green, values % 32 * 255 // 31], 2), tf.uint8)

    def read_32_bit() -> tf.Tensor:
        # Each mask selects one byte
        is_masked = tf.equal(compression, BITFIELDS) & tf.reduce_any(masks[:3] > 0)
        byte_masks = tf.constant([0xFF, 0xFF00, 0xFF0000, 0xFF000000], tf.int64)
        is_byte = tf.equal(masks[:, None], byte_masks)
        selected = choose(is_masked, tf.argmax(tf.cast(is_byte, tf.int64), 1), tf.constant([2, 1, 0, 3], tf.int64))
        is_known = ~is_masked | tf.reduce_all(tf.reduce_any(is_byte[:3], 1))
        with tf.control_dependencies([tf.debugging.assert_equal(is_known, True)]):
            pixels = tf.gather(read_bytes(4), selected, axis=2)
        return tf.cond(layout.has_alpha, lambda: pixels, lambda: pixels[..., :3])

    return tf.case(
        [
            (has_palette, look_up),
            (tf.equal(layout.bits, 16), read_16_bit),
            (tf.equal(layout.bits, 24), lambda: tf.reverse(read_bytes(3), [2])),
        ],
        default=read_32_bit,
    )


# Colors


def to_rgb(pixels: tf.Tensor, levels: Levels | None) -> tf.Tensor:
    """Return the RGB of pixels (H, W, 3, 4 or `DEEP_CHANNELS`), over white where they are transparent.

    Args:
        pixels: a part of what one of the decoders returned.
        levels: the levels of 16-bit images that become black and white.
    """
    channels = tf.shape(pixels)[2]

    def from_deep() -> tf.Tensor:
        values = tf.bitcast(tf.reshape(pixels, tf.stack([*tf.unstack(tf.shape(pixels)[:2]), 4, 2])), tf.uint16)
        values = tf.ensure_shape(values, (None, None, 4))
        color = tf.gather(_level_table(levels), tf.cast(values[..., :3], tf.int32))
        return composite_over_white(tf.concat([color, tf.cast(values[..., 3:] // 256, tf.uint8)], 2))

    if pixels.shape[2] == 3:
        return pixels

    def from_8_bit() -> tf.Tensor:
        return tf.cond(tf.equal(channels, 4), lambda: composite_over_white(pixels), lambda: pixels)

    return tf.ensure_shape(tf.cond(tf.equal(channels, DEEP_CHANNELS), from_deep, from_8_bit), (None, None, 3))


@cache
def _level_table(levels: Levels | None) -> np.ndarray:
    """Return the 8-bit level of each of 16 bits, as `data.bit_depth` computes it."""
    return scale_levels(np.arange(2**16, dtype="uint16"), levels)


@cache
def _white_table() -> np.ndarray:
    """Return each level over white at each opacity, at 256 times the level plus the opacity; rounds as Pillow does."""
    level, opacity = np.arange(256)[:, None], np.arange(256)
    total = 128 * (level * opacity + WHITE * (255 - opacity) + 128)
    return ((total // 256 + total) // 256 // 128).astype("uint8").ravel()


def composite_over_white(pixels: tf.Tensor) -> tf.Tensor:
    """Lay pixels (H, W, 4), RGB with opacity, over white."""
    x = tf.cast(pixels, tf.int32)
    return tf.gather(_white_table(), 256 * x[..., :3] + x[..., 3:4])


def apply_orientation(pixels: tf.Tensor, orientation: tf.Tensor) -> tf.Tensor:
    """Turn pixels (H, W, C) upright by their EXIF orientation, 1 to 8."""
    pixels = tf.cond(orientation > 4, lambda: tf.transpose(pixels, (1, 0, 2)), lambda: pixels)
    for axis, mirrored_orientations in ((0, (3, 4, 7, 8)), (1, (2, 3, 6, 7))):
        is_mirrored = tf.reduce_any(tf.equal(orientation, mirrored_orientations))
        pixels = tf.cond(is_mirrored, lambda x=pixels, a=axis: tf.reverse(x, [a]), lambda x=pixels: x)
    return pixels
