"""Small pictures of image files for pages: upright, in 8 bits, and bright enough to be looked at."""

import base64
import io
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from cnnzoo.core.errors import InputError
from cnnzoo.data.bit_depth import FULL_RANGE, Levels, guess_bit_depth, has_deep_levels, read_levels
from cnnzoo.data.decode import open_image, to_upright

if TYPE_CHECKING:
    from PIL.Image import Image as PillowImage

THUMBNAIL_SIDE = 320  # pixels
MAX_RATIO = 4  # of the sides of a thumbnail; of a longer image, the middle is shown
SHRUNK_SIDES = (240, 160, 112, 80, 56)  # pixels; the largest with which all thumbnails of a page keep within its bytes
SMALL_SIDE = 64  # pixels; smaller images are enlarged without blur
MAX_FAINT_LEVEL = 8  # of 255; a picture that has no more is stretched


class Thumbnail(NamedTuple):
    """A small picture of an image file, or the reason why there is none.

    Attributes:
        uri: the picture as a data URI; empty if there is none.
        remark: how it differs from the file, or why there is no picture; often empty.
        pixelated: whether it is so small that its pixels should be seen.
    """

    uri: str
    remark: str = ""
    pixelated: bool = False


def make_thumbnail(source: Any, levels: Levels | None = None) -> Thumbnail:
    """Return a small picture of an image file.

    Args:
        source: its path, or an object with `read() -> bytes`.
        levels: the levels of images of more than 8 bits that become black and white. By default, images that use few
            of their levels are brightened.
    """
    remarks = []
    try:
        content = source.read() if hasattr(source, "read") else source
        if levels is None:
            levels = _find_levels(content)
            remarks += ["brightened"] if levels else []
        with open_image(content, levels) as image:
            image.draft("RGB", (2 * THUMBNAIL_SIDE, 2 * THUMBNAIL_SIDE))
            picture = to_upright(image, levels=levels)
    except InputError as error:
        return Thumbnail("", str(error))
    middle = _crop_to_ratio(picture)
    remarks += ["middle part"] if middle is not picture else []
    highest = max(high for _, high in middle.getextrema())  # type: ignore[misc]
    if 0 < highest <= MAX_FAINT_LEVEL:
        middle = middle.point(lambda level: level * (255 // highest))
        remarks += ["brightened"]
    is_small = max(middle.size) <= SMALL_SIDE
    middle.thumbnail((THUMBNAIL_SIDE, THUMBNAIL_SIDE))
    uri = _encode(middle, is_small)
    return Thumbnail(uri, ", ".join(dict.fromkeys(remarks)), is_small)


def shrink_thumbnails(thumbnails: Sequence[Thumbnail], uses: Sequence[int], max_bytes: int) -> list[Thumbnail]:
    """Return thumbnails that take at most `max_bytes` on a page, all with sides of the same length.

    Args:
        thumbnails: the thumbnails.
        uses: how often the page shows each of them.
        max_bytes: the size of all of them on the page.
    """
    shrunk = list(thumbnails)
    for side in SHRUNK_SIDES:
        if sum(len(thumbnail.uri) * count for thumbnail, count in zip(shrunk, uses, strict=True)) <= max_bytes:
            break
        shrunk = [_shrink(thumbnail, side) for thumbnail in thumbnails]
    return shrunk


def _shrink(thumbnail: Thumbnail, side: int) -> Thumbnail:
    """Return a thumbnail whose sides are no longer than `side` pixels."""
    from PIL import Image

    if not thumbnail.uri or thumbnail.pixelated:
        return thumbnail
    with Image.open(io.BytesIO(base64.b64decode(thumbnail.uri.partition(",")[2]))) as picture:
        picture.thumbnail((side, side))
        return thumbnail._replace(uri=_encode(picture, is_small=False))


def _encode(picture: "PillowImage", is_small: bool) -> str:
    """Return a picture as a data URI: PNG if it is small, else JPEG."""
    out = io.BytesIO()
    picture.save(out, "PNG" if is_small else "JPEG", quality=82)
    return f"data:image/{'png' if is_small else 'jpeg'};base64,{base64.b64encode(out.getvalue()).decode()}"


def _find_levels(source: Any) -> Levels | None:
    """Return the levels to look at an image of more than 8 bits with, or None if it uses all of them."""
    with open_image(source) as image:
        if not has_deep_levels(image):
            return None
        pixels = read_levels(image)
    finite = pixels[np.isfinite(pixels)] if pixels.dtype.kind == "f" else pixels
    if not finite.size:
        return None
    low, high = finite.min().item(), finite.max().item()
    if pixels.dtype.kind == "f" or low < 0 or high > FULL_RANGE:
        return low, high if low < high else low + 1
    bits = guess_bit_depth(high)
    return (0, 2**bits - 1) if bits else None


def _crop_to_ratio(picture: "PillowImage") -> "PillowImage":
    """Return the middle of a picture that is very wide or very high, else the picture."""
    width, height = picture.size
    if max(width, height) <= MAX_RATIO * min(width, height):
        return picture
    side = MAX_RATIO * min(width, height)
    left, top = max(width - side, 0) // 2, max(height - side, 0) // 2
    return picture.crop((left, top, left + min(width, side), top + min(height, side)))
