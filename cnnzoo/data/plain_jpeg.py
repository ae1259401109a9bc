"""Decode the most common photos with less overhead: small JPEG files without metadata that matter."""

import io
from typing import TYPE_CHECKING, Any

from cnnzoo.data.repair import JpegLayout

if TYPE_CHECKING:
    from PIL.Image import Image as PillowImage

MAX_PLAIN_PIXELS = 2**22  # of larger photos, the overhead is no matter
MODES = {1: "L", 3: "RGB"}  # by the number of components


class PlainJpeg:
    """A JPEG file that goes to Pillow's decoder as it is; Pillow reads and interprets its header in 60 microseconds.

    It has those attributes and methods of an opened Pillow image that decoding needs. The pixels are the same.

    Args:
        content: the file.
        layout: what its markers say; see `is_plain`.
    """

    format = "JPEG"

    def __init__(self, content: bytes, layout: JpegLayout) -> None:
        self.content = content
        self.height, self.width, self.components = layout.frame
        self.reduced: PillowImage | None = None

    def draft(self, mode: str | None, size: tuple[int, int]) -> None:
        """Decode at a half, a quarter or an eighth of the size, as `PIL.Image.Image.draft`."""
        self.reduced = self._open()
        self.reduced.draft(mode, size)

    def decode(self) -> "PillowImage":
        """Return the decoded image; Pillow raises the error of a file that cannot be decoded."""
        from PIL import Image

        if self.reduced is None:
            mode = MODES[self.components]
            try:
                return Image.frombytes(mode, (self.width, self.height), self.content, "jpeg", mode, "")
            except (ValueError, OSError):
                self.reduced = self._open()
        self.reduced.load()
        return self.reduced

    def _open(self) -> Any:
        from PIL import Image

        return Image.open(io.BytesIO(self.content), formats=("JPEG",))


def is_plain(layout: JpegLayout | None) -> bool:
    """Return whether a file is a baseline JPEG of 8 bits, gray or in color, without metadata such as an orientation."""
    if layout is None or not layout.has_end or layout.scans != 1 or layout.has_metadata or layout.progressive:
        return False
    height, width, components = layout.frame
    return components in MODES and 0 < height * width <= MAX_PLAIN_PIXELS
