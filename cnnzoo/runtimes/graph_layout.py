"""Find out the size, the orientation and the layout of an image file in a TensorFlow graph, without decoding it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from cnnzoo.core.lazy import Lazy
from cnnzoo.data import repair
from cnnzoo.runtimes.graph_bytes import EXIF_HEADER, FileBytes, choose, read_orientation

if TYPE_CHECKING:
    import tensorflow as tf
else:
    tf = Lazy("tensorflow")

XMP_HEADER = b"http://ns.adobe.com/xap/1.0/\0"
SIZE_FRAMES = [0xC0, 0xC1, 0xC2, 0xC3, 0xC5, 0xC6, 0xC7, 0xC9, 0xCA, 0xCB, 0xCD, 0xCE, 0xCF]  # segments with the size


class Layout(NamedTuple):
    """What the headers of an image file say; all fields are scalar tensors.

    Attributes:
        height: of the stored image, which may have to be turned.
        width: of the stored image.
        components: numbers per pixel.
        bits: bits per component.
        scans: passes that the decoder needs: the scans of a progressive JPEG, else 1.
        orientation: EXIF orientation, 1 to 8.
        has_alpha: whether pixels may be transparent.
        is_complete: whether the end of the image is there.
        is_turned: whether the image has to be turned upright, or may have to.
        problem: why the file cannot be decoded, or "".
    """

    height: Any
    width: Any
    components: Any
    bits: Any
    scans: Any
    orientation: Any
    has_alpha: Any
    is_complete: Any
    is_turned: Any
    problem: Any


def make_layout(height: Any, width: Any, **fields: Any) -> Layout:
    """Return a layout of int64 numbers, with the usual values for the fields that are not given."""
    numbers = {"components": 3, "bits": 8, "scans": 1, "orientation": 1} | {
        name: fields.pop(name) for name in ("components", "bits", "scans", "orientation") if name in fields
    }
    rest = {"has_alpha": False, "is_complete": True, "is_turned": tf.not_equal(numbers["orientation"], 1)} | fields
    rest = {name: tf.convert_to_tensor(value, tf.bool) for name, value in rest.items() if name != "problem"}
    numbers = {name: tf.cast(value, tf.int64) for name, value in (numbers | {"height": height, "width": width}).items()}
    return Layout(**numbers, **rest, problem=tf.convert_to_tensor(fields.get("problem", ""), tf.string))


def read_jpeg_layout(file: FileBytes) -> Layout:
    """Walk through the segments of a JPEG file, as `data.repair.read_jpeg_layout` does."""
    # All markers; what lies between them is skipped at once
    content = tf.io.decode_raw(file.content, tf.uint8)
    following = content[1:]
    is_stuffing = tf.equal(following, 0) | tf.equal(following, 255) | ((following >= 208) & (following <= 215))
    markers = tf.where(tf.equal(content[:-1], 255) & ~is_stuffing)[:, 0]
    markers = tf.concat([markers, [file.length]], 0)

    zero, none = tf.constant(0, tf.int64), tf.constant(-1, tf.int64)
    # position, segments, scans, progressive frames, end, junk, frame, EXIF, XMP, length of XMP
    start = (zero + 2, zero, zero, zero, zero, zero, none, none, none, zero)

    def is_unfinished(position: Any, segments: Any, scans: Any, progressive: Any, end: Any, junk: Any, *_: Any) -> Any:
        is_bounded = (segments < repair.MAX_JPEG_SEGMENTS) & (junk <= repair.MAX_JPEG_JUNK)
        return tf.equal(end, 0) & is_bounded

    def read_segment(
        position: Any,
        segments: Any,
        scans: Any,
        progressive: Any,
        end: Any,
        junk: Any,
        frame: Any,
        exif: Any,
        xmp: Any,
        xmp_length: Any,
    ) -> tuple[Any, ...]:
        marker = markers[tf.searchsorted(markers[:-1], [tf.minimum(position, file.length)])[0]]
        values = file.values(marker, 4)
        kind, size = values[1], tf.maximum(256 * values[2] + values[3], 2)
        is_last = marker >= file.length
        is_header = tf.equal(scans, 0) & ~is_last
        junk += choose(tf.equal(scans, 0), marker - position, 0)
        is_app1 = is_header & tf.equal(kind, 0xE1)
        is_exif = is_app1 & tf.equal(file.text(marker + 4, len(EXIF_HEADER)), EXIF_HEADER)
        is_xmp = is_app1 & tf.equal(file.text(marker + 4, len(XMP_HEADER)), XMP_HEADER)
        is_frame = is_header & tf.reduce_any(tf.equal(kind, SIZE_FRAMES))
        is_progressive = tf.reduce_any(tf.equal(kind, repair.PROGRESSIVE_FRAMES)) & ~is_last
        has_no_size = tf.reduce_any(tf.equal(kind, repair.WITHOUT_LENGTH))
        end = choose(is_last, 2, choose(tf.equal(kind, repair.END_OF_IMAGE), 1, zero))
        return (
            marker + choose(has_no_size, 2, 2 + size),
            segments + 1,
            scans + tf.cast(tf.equal(kind, repair.START_OF_SCAN) & ~is_last, tf.int64),
            progressive + tf.cast(is_progressive, tf.int64),
            end,
            junk,
            choose(is_frame, marker, frame),
            choose(is_exif & (exif < 0), marker + 4, exif),
            choose(is_xmp, marker + 4, xmp),
            choose(is_xmp, size - 2, xmp_length),
        )

    _, _, scans, progressive, end, junk, frame, exif, xmp, xmp_length = tf.while_loop(
        is_unfinished, read_segment, start, parallel_iterations=1
    )
    problem = tf.where(
        junk > repair.MAX_JPEG_JUNK, repair.JPEG_JUNK_PROBLEM, tf.where(tf.equal(end, 0), repair.SEGMENTS_PROBLEM, "")
    )
    header = file.values(frame + 4, 6)  # bits, height, width, components
    return make_layout(
        256 * header[1] + header[2],
        256 * header[3] + header[4],
        components=header[5],
        bits=header[0],
        scans=choose((progressive > 0) | (scans > 1), scans, 1),
        orientation=read_orientation(file, exif, xmp, xmp_length),
        is_complete=tf.equal(end, 1),
        problem=problem,
    )


def read_png_layout(file: FileBytes) -> Layout:
    """Walk through the chunks of a PNG file."""
    zero, none = tf.constant(0, tf.int64), tf.constant(-1, tf.int64)
    allowed = repair.MAX_CHUNKS + file.length // repair.BYTES_PER_CHUNK

    # position, chunks, whether pixels came, transparency, EXIF, XMP, length of XMP
    def is_unfinished(position: Any, chunks: Any, *_: Any) -> Any:
        return (position < file.length) & (chunks < allowed)

    def read_chunk(
        position: Any, chunks: Any, pixels: Any, alpha: Any, exif: Any, xmp: Any, xmp_length: Any
    ) -> tuple[Any, ...]:
        values, kind = file.values(position, 4), file.text(position + 4, 4)
        size = tf.reduce_sum(values * np.array([2**24, 2**16, 2**8, 1], "int64"))
        is_kind = tf.equal(kind, [b"IDAT", b"tRNS", b"eXIf", b"iTXt", b"fcTL", b"IEND", b"tEXt"])
        is_xmp = (is_kind[3] | is_kind[6]) & tf.equal(
            file.text(position + 8, len(repair.XMP_KEYWORD)), repair.XMP_KEYWORD
        )
        is_end = is_kind[5] | (is_kind[4] & (pixels > 0))  # after it comes the next frame of an animation
        return (
            choose(is_end, file.length, position + 12 + size),
            chunks + 1,
            choose(is_kind[0], 1, pixels),
            choose(is_kind[1], 1, alpha),
            choose(is_kind[2], position + 8, exif),
            choose(is_xmp, position + 8, xmp),
            choose(is_xmp, size, xmp_length),
        )

    start = (zero + 8, zero, zero, zero, none, none, zero)
    end, chunks, _, alpha, exif, xmp, xmp_length = tf.while_loop(
        is_unfinished, read_chunk, start, parallel_iterations=1
    )
    is_too_long = (end < file.length) & (chunks >= allowed)
    header = file.values(16, 10)  # width, height, bits, color type
    color = header[9]
    return make_layout(
        tf.reduce_sum(header[4:8] * np.array([2**24, 2**16, 2**8, 1], "int64")),
        tf.reduce_sum(header[:4] * np.array([2**24, 2**16, 2**8, 1], "int64")),
        components=tf.gather(np.array([1, 1, 3, 1, 2, 1, 4], "int64"), tf.minimum(color, 6)),
        bits=header[8],
        orientation=read_orientation(file, exif, xmp, xmp_length),
        is_turned=(exif >= 0) | (xmp >= 0),
        has_alpha=(alpha > 0) | tf.equal(color, 4) | tf.equal(color, 6),
        problem=tf.where(is_too_long, _explain_chunks(file, allowed), ""),
    )


def read_webp_layout(file: FileBytes) -> Layout:
    """Walk through the chunks of a WebP file."""
    zero, none = tf.constant(0, tf.int64), tf.constant(-1, tf.int64)
    allowed = repair.MAX_CHUNKS + file.length // repair.BYTES_PER_CHUNK

    def is_unfinished(position: Any, chunks: Any, *_: Any) -> Any:
        return (position < file.length) & (chunks < allowed)

    def read_chunk(position: Any, chunks: Any, exif: Any, xmp: Any, xmp_length: Any) -> tuple[Any, ...]:
        values, kind = file.values(position + 4, 4), file.text(position, 4)
        size = tf.reduce_sum(values * np.array([1, 2**8, 2**16, 2**24], "int64"))
        is_kind = tf.equal(kind, [b"EXIF", b"XMP "])
        return (
            position + 8 + size + size % 2,
            chunks + 1,
            choose(is_kind[0] & (exif < 0), position + 8, exif),
            choose(is_kind[1] & (xmp < 0), position + 8, xmp),
            choose(is_kind[1] & (xmp < 0), size, xmp_length),
        )

    end, chunks, exif, xmp, xmp_length = tf.while_loop(
        is_unfinished, read_chunk, (zero + 12, zero, none, none, zero), parallel_iterations=1
    )
    is_too_long = (end < file.length) & (chunks >= allowed)

    # The size of the canvas, of a lossless or of a lossy image
    kind = file.text(12, 4)
    is_extended, is_lossless = tf.equal(kind, b"VP8X"), tf.equal(kind, b"VP8L")
    lossless_bits = file.integer(21, 4, True)
    sizes = choose(
        is_extended,
        1 + tf.stack([file.integer(24, 3, True), file.integer(27, 3, True)]),
        choose(
            is_lossless,
            1 + tf.stack([lossless_bits % 2**14, lossless_bits // 2**14 % 2**14]),
            tf.stack([file.integer(26, 2, True) % 2**14, file.integer(28, 2, True) % 2**14]),
        ),
    )
    has_alpha = choose(is_extended, file.integer(20, 1, True) // 16 % 2, lossless_bits // 2**28 % 2) > 0
    return make_layout(
        sizes[1],
        sizes[0],
        components=4,
        orientation=read_orientation(file, exif, xmp, xmp_length),
        has_alpha=has_alpha & (is_extended | is_lossless),
        problem=tf.where(is_too_long, _explain_chunks(file, allowed), ""),
    )


def _explain_chunks(file: FileBytes, allowed: Any) -> tf.Tensor:
    return tf.strings.join([tf.as_string(file.length), " bytes in over ", tf.as_string(allowed), " chunks"])
