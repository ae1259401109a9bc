"""Images that come one by one, stored in a temporary file so that they can be split and shuffled."""

import io
import os
import tempfile
import weakref
from dataclasses import dataclass

import numpy as np

from cnnzoo.core.errors import InputError
from cnnzoo.core.files import cache_dir


@dataclass(frozen=True)
class SpooledImage:
    """The bytes of one image in a spool."""

    spool: "Spool"
    start: int
    length: int

    def read(self) -> bytes:
        """Return the bytes of the image file."""
        return os.pread(self.spool.file.fileno(), self.length, self.start)


class Spool:
    """A temporary file without a name that stores images; it is deleted with the last of its images."""

    def __init__(self) -> None:
        try:
            cache_dir().mkdir(parents=True, exist_ok=True)
            self.file = tempfile.TemporaryFile(dir=cache_dir())  # noqa: SIM115  # closed by the finalizer
        except OSError as error:
            raise InputError(
                f"Cannot use the cache {str(cache_dir())!r}: {error.strerror}; set CNNZOO_HOME to another folder"
            ) from None
        self.end = 0
        weakref.finalize(self, self.file.close)

    def __getstate__(self) -> bytes:
        """Return the images themselves, for another process."""
        return os.pread(self.file.fileno(), self.end, 0)

    def __setstate__(self, content: bytes) -> None:
        Spool.__init__(self)
        self.add(content)

    def add(self, content: bytes) -> SpooledImage:
        """Store the bytes of an image."""
        try:
            self.file.write(content)
            self.file.flush()
        except OSError as error:
            raise InputError(
                f"Cannot store the images of the data set in {str(cache_dir())!r} after {self.end:,} bytes: "
                f"{error.strerror}; set CNNZOO_HOME to a folder with more space"
            ) from None
        image = SpooledImage(self, self.end, len(content))
        self.end += len(content)
        return image


def encode_png(image: np.ndarray) -> bytes:
    """Encode gray or RGB pixels (H, W, C) without loss."""
    from PIL import Image

    if image.shape[2] not in (1, 3):
        raise InputError(f"Data sets must yield gray or RGB images. Received: {image.shape[2]} channels")
    out = io.BytesIO()
    Image.fromarray(image[..., 0] if image.shape[2] == 1 else image).save(out, "PNG", compress_level=1)
    return out.getvalue()
