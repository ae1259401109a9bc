"""How large an image may be, so that a small file can neither fill the memory nor stop a server.

The same limits hold for Pillow and for the TensorFlow graph of `runtimes.decode_graph`.
"""

from typing import Any

MAX_PIXELS = 89_000_000  # larger images are refused before decoding; Pillow warns of decompression bombs from here on
MAX_ASPECT_RATIO = 200  # longer strips cannot be cropped or resized to anything recognizable
# Decoding may take this much memory, in bytes. Files of more than 10 MB may take more, in proportion to their size.
MAX_MEMORY = 450_000_000
MEMORY_PER_BYTE = 45
# All scans of a JPEG file together may pass over this many pixels, which takes about a second; larger files over more.
MAX_SCANNED_PIXELS = 800_000_000
SCANNED_PIXELS_PER_BYTE = 80
# Formats that Pillow decodes in Python, slowly, and the largest files of them
MAX_SLOW_BYTES = 3_000_000

# Memory that decoding takes for each pixel, in bytes: the larger of Pillow's and TensorFlow's, measured. It is higher
# for kinds of images that are slow to decode, so that they take no more than two seconds either.
BASE_MEMORY = {"JPEG": 5, "MPO": 5, "PNG": 5, "GIF": 5, "BMP": 5, "WEBP": 17, "AVIF": 12, "JPEG2000": 18}
OTHER_MEMORY = 5
TURNED_MEMORY = 4  # in addition, for images that have to be turned upright,
ALPHA_MEMORY = 6  # transparent ones,
CMYK_MEMORY = 4  # those of four inks,
DEEP_GRAY_MEMORY = 12  # 16 bits,
DEEP_COLOR_MEMORY = 9  # colors of 16 bits,
ALL_BITS_MEMORY = 15  # such of which all bits matter,
SCAN_MEMORY = 2  # and, for each component, JPEG files with several scans


def largest_image(memory: Any, scans: Any, file_size: Any, maximum: Any = max, minimum: Any = min) -> Any:
    """Return how many pixels an image may have.

    Args:
        memory: bytes that decoding takes for each pixel.
        scans: number of scans of a JPEG file, else 1.
        file_size: bytes of the file.
        maximum: the function that returns the larger of two numbers or tensors.
        minimum: the function that returns the smaller one.
    """
    by_memory = maximum(MEMORY_PER_BYTE * file_size, MAX_MEMORY) // memory
    by_time = maximum(SCANNED_PIXELS_PER_BYTE * file_size, MAX_SCANNED_PIXELS) // maximum(scans, 1)
    return minimum(minimum(by_memory, by_time), MAX_PIXELS)


# What a message says between the size of an image and the number of pixels that it may have, and after that
TOO_LARGE = " pixels, more than the "
ALLOWED = " allowed for a file of its kind and size; make it smaller first, as with `magick IN -resize 4000x4000 OUT`"
FAR_TOO_LARGE = f" pixels, more than the {MAX_PIXELS:,} allowed"
TOO_LONG = f" pixels: one side is over {MAX_ASPECT_RATIO} times the other"
