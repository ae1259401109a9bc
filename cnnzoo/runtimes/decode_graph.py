"""Decode image files in a TensorFlow graph, with the same pixels as `data.decode`.

JPEG, PNG, GIF, BMP and WebP files are decoded, turned upright by their EXIF orientation, and laid over white where
they are transparent. No file takes more time or memory than `data.image_limits` allows.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache, partial
from typing import TYPE_CHECKING, Any, NamedTuple

from cnnzoo.core.file_signatures import FILE_KINDS, HEAD_BYTES, TEXT_KINDS
from cnnzoo.core.lazy import Lazy
from cnnzoo.data import image_limits, repair
from cnnzoo.data.bit_depth import Levels
from cnnzoo.data.transform import Transform
from cnnzoo.runtimes import graph_layout, graph_pixels
from cnnzoo.runtimes.graph_bytes import FileBytes, choose, cut, find_first, match_file_kinds, match_text_kinds
from cnnzoo.runtimes.graph_layout import Layout
from cnnzoo.runtimes.resize_graph import convert_channels, resize_strips

if TYPE_CHECKING:
    import tensorflow as tf
else:
    tf = Lazy("tensorflow")

PARALLEL_FILES = 4  # each may take as much memory as `data.image_limits` allows
FORMATS = ("a JPEG image", "a PNG image", "a GIF image", "a BMP image", "a WebP image")
NOT_AN_IMAGE = "not a JPEG, PNG, GIF, BMP or WebP image that TensorFlow can decode"
CONVERT = "convert it to JPEG or PNG"  # images that only Pillow can decode


class Decoded(NamedTuple):
    """The pixels of a file as they are stored, and what `resize_upright` needs to know of them."""

    pixels: Any  # uint8 (H, W, 3, 4 or `graph_pixels.DEEP_CHANNELS`)
    orientation: Any
    problem: Any  # why there are none, or ""


def decode_files(contents: tf.Tensor, transform: Transform) -> tuple[tf.Tensor, tf.Tensor]:
    """Decode and transform a batch of image files.

    Args:
        contents: string (N,), the contents of the files.
        transform: the transform that resizes and crops each image.

    Returns:
        uint8 images (N, height, width, channels), black where a file is no image, and string (N,), why it is none, or
        "".
    """
    count, decode = tf.size(contents, tf.int64), trace_decoding(transform)

    # Decode in a data set, the only part of a graph that continues after an error.
    files = tf.data.Dataset.from_tensor_slices((tf.range(count), contents))
    decoded = files.map(lambda i, content: (i, *decode(content)), PARALLEL_FILES).ignore_errors()

    # A blank image goes last, so that the batch is not empty when no file can be decoded.
    blank = tf.data.Dataset.from_tensors((count, tf.zeros((*transform.size, transform.channels), tf.uint8), ""))
    indices, pixels, problems = decoded.concatenate(blank).batch(count + 1).get_single_element()

    # Put each image in its place; the others stay black.
    shape = tf.concat([[count + 1], tf.shape(pixels, tf.int64)[1:]], 0)
    damaged = tf.fill([count + 1], NOT_AN_IMAGE)
    problems = tf.tensor_scatter_nd_update(damaged, indices[:, None], problems)
    return tf.scatter_nd(indices[:, None], pixels, shape)[:-1], problems[:-1]


@lru_cache(maxsize=4)
def trace_decoding(transform: Transform) -> Callable[[tf.Tensor], tuple[tf.Tensor, tf.Tensor]]:
    """Return `decode_file` for a transform as a graph, which takes seconds to trace, and is the same in each export."""
    with tf.init_scope():  # so that it belongs to no other graph
        function = tf.function(lambda content: decode_file(content, transform), autograph=False)
        traced: Callable[[tf.Tensor], tuple[tf.Tensor, tf.Tensor]] = function.get_concrete_function(
            tf.TensorSpec((), tf.string)
        )
    return traced


def decode_file(content: tf.Tensor, transform: Transform) -> tuple[tf.Tensor, tf.Tensor]:
    """Return the transformed image (height, width, channels) of a file, and why it cannot be decoded, or "".

    Files that turn out to be damaged only while they are decoded raise an error.
    """
    file, kind, problem = identify_file(content)
    decode = partial(_decode, file, transform.levels)
    readers: list[Callable[[], Decoded]] = [
        partial(decode, "JPEG", graph_layout.read_jpeg_layout, graph_pixels.decode_jpeg),
        partial(decode, "PNG", graph_layout.read_png_layout, partial(graph_pixels.decode_png, levels=transform.levels)),
        partial(_decode_gif, file, transform.levels),
        partial(decode, "BMP", graph_pixels.read_bmp_layout, graph_pixels.decode_bmp),
        partial(decode, "WEBP", graph_layout.read_webp_layout, graph_pixels.decode_webp),
    ]
    one = tf.constant(1, tf.int64)
    other = Decoded(tf.zeros((1, 1, 3), tf.uint8), one, problem)
    decoded = Decoded(*tf.switch_case(kind, [*readers, lambda: other]))
    return resize_upright(decoded, transform), decoded.problem


def identify_file(content: tf.Tensor) -> tuple[FileBytes, tf.Tensor, tf.Tensor]:
    """Skip bytes before an image, as `data.repair` does, and find out what kind of file it is.

    Returns:
        The file, the index of its format in `FORMATS` or their number for other files, and what such a file is.
    """
    file = FileBytes(content)
    head = file.values(0, HEAD_BYTES)
    kind, text_kind = match_file_kinds(head), match_text_kinds(file.text(0, tf.minimum(file.length, HEAD_BYTES)))
    start = find_first(head, repair.IMAGE_STARTS, repair.MAX_LEADING_BYTES)
    is_skipped = (kind < 0) & (text_kind < 0) & (start > 0)
    start = choose(is_skipped, start, 0)
    file = FileBytes(cut(content, start))
    kind = tf.cond(is_skipped, lambda: match_file_kinds(file.values(0, HEAD_BYTES)), lambda: kind)

    # What it is, in words
    reasons = [_describe(kind.name, kind.remedy or CONVERT) for kind in FILE_KINDS]
    text_reasons = [_describe(name, remedy) for _, name, remedy in TEXT_KINDS]
    unknown = tf.where(file.length > 0, NOT_AN_IMAGE, _describe("an empty file", ""))
    problem = tf.where(
        kind >= 0,
        tf.gather(reasons, tf.maximum(kind, 0)),
        tf.where(text_kind >= 0, tf.gather(text_reasons, tf.maximum(text_kind, 0)), unknown),
    )
    formats = [FORMATS.index(kind.name) if kind.name in FORMATS else len(FORMATS) for kind in FILE_KINDS]
    known_format = tf.gather(formats, tf.maximum(kind, 0))
    return file, tf.where(kind >= 0, known_format, len(FORMATS)), problem


def _describe(name: str, remedy: str) -> str:
    return f"{NOT_AN_IMAGE}, but {name}" + (f"; {remedy}" if remedy else "")


def _decode_gif(file: FileBytes, levels: Levels | None) -> Decoded:
    layout, frame = graph_pixels.read_gif(file)
    return _decode(file, levels, "GIF", lambda _: layout, partial(graph_pixels.decode_gif, frame=frame))


def _decode(
    file: FileBytes,
    levels: Levels | None,
    image_format: str,
    read_layout: Callable[[FileBytes], Layout],
    decode: Callable[[FileBytes, Layout], tf.Tensor],
) -> Decoded:
    """Decode a file unless its headers tell that it is too large or broken."""
    layout = read_layout(file)
    problem = tf.where(tf.equal(layout.problem, ""), check_size(file, layout, image_format, levels), layout.problem)
    pixels = tf.cond(
        tf.equal(problem, ""), lambda: decode(file, layout), lambda: tf.zeros(tf.stack([1, 1, 3]), tf.uint8)
    )
    return Decoded(pixels, layout.orientation, problem)


def check_size(file: FileBytes, layout: Layout, image_format: str, levels: Levels | None) -> tf.Tensor:
    """Return why an image is too large, in the words of `data.decode`, or ""."""
    counts = tf.cast(layout.scans > 1, tf.int64) * layout.components
    memory = image_limits.BASE_MEMORY[image_format] + image_limits.SCAN_MEMORY * counts
    is_deep = tf.equal(layout.bits, 16) & (image_format == "PNG")
    is_gray = tf.equal(layout.components, 1)
    is_deep_color = is_deep & ~is_gray
    needs_all_bits = is_deep_color & (tf.equal(layout.components, 3) & layout.has_alpha | (levels is not None))
    for condition, addition in (
        (layout.is_turned, image_limits.TURNED_MEMORY),
        (layout.has_alpha, image_limits.ALPHA_MEMORY),
        (tf.equal(layout.components, 4) & (image_format == "JPEG"), image_limits.CMYK_MEMORY),
        (is_deep & is_gray, image_limits.DEEP_GRAY_MEMORY),
        (is_deep_color, image_limits.DEEP_COLOR_MEMORY),
        (needs_all_bits, image_limits.ALL_BITS_MEMORY),
    ):
        memory += choose(condition, addition, 0)
    allowed = image_limits.largest_image(memory, layout.scans, file.length, tf.maximum, tf.minimum)

    pixels = layout.width * layout.height
    is_far_too_large = pixels > image_limits.MAX_PIXELS
    sides = tf.strings.join([tf.as_string(layout.width), "x", tf.as_string(layout.height)])
    size = tf.where(is_far_too_large, tf.as_string(pixels), sides)
    larger, smaller = tf.maximum(layout.width, layout.height), tf.minimum(layout.width, layout.height)
    reason = tf.where(
        is_far_too_large,
        image_limits.FAR_TOO_LARGE,
        tf.where(
            larger > image_limits.MAX_ASPECT_RATIO * smaller,
            image_limits.TOO_LONG,
            tf.strings.join([image_limits.TOO_LARGE, tf.as_string(allowed), image_limits.ALLOWED]),
        ),
    )
    is_wrong = (pixels > allowed) | (larger > image_limits.MAX_ASPECT_RATIO * smaller)
    return tf.where(is_wrong, tf.strings.join([size, reason]), "")


def resize_upright(decoded: Decoded, transform: Transform) -> tf.Tensor:
    """Turn decoded pixels upright, make RGB or gray of them, and resize them, strip by strip to save memory."""
    pixels, orientation = decoded.pixels, decoded.orientation
    is_turned = orientation > 4
    height, width = (tf.cast(side, tf.int32) for side in tf.unstack(tf.shape(pixels)[:2]))
    upright_sides = tf.where(is_turned, width, height), tf.where(is_turned, height, width)
    is_mirrored = [tf.reduce_any(tf.equal(orientation, values)) for values in ((3, 4, 7, 8), (2, 3, 6, 7))]

    def read_strip(axis: int, begin: Any, end: Any) -> tf.Tensor:
        side = upright_sides[axis]
        begin, end = (
            tf.where(is_mirrored[axis], side - end, begin),
            tf.where(is_mirrored[axis], side - begin, end),
        )
        is_rows = tf.not_equal(is_turned, axis == 0)
        part = tf.cond(is_rows, lambda: pixels[begin:end], lambda: pixels[:, begin:end])
        part = graph_pixels.to_rgb(part, transform.levels)
        part = graph_pixels.apply_orientation(part, orientation)
        part = convert_channels(tf.ensure_shape(part, (None, None, 3)), transform.channels)
        return part if axis == 0 else tf.transpose(part, (1, 0, 2))

    resized = resize_strips(read_strip, *upright_sides, transform.channels, transform)
    border = ((transform.pad,) * 2, (transform.pad,) * 2, (0, 0))
    return tf.pad(resized, border) if transform.pad else resized
