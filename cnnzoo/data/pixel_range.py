"""The range of the pixels of a stream, judged over all of its images."""

from typing import Any

import numpy as np

from cnnzoo.core.errors import InputError
from cnnzoo.core.text import choose_form
from cnnzoo.core.warn import warn_caller
from cnnzoo.data.checks import check_image_shape, check_pixel_limits, warn_of_rescaled

JUDGED_AFTER = 1_000  # images that are not black, of which none has a value above 1, are rescaled


class PixelRange:
    """Collects the lowest and highest values of images that come in pieces.

    One dark image has no value above 1, and one image in ten may; only the whole stream tells how pixels are scaled.
    """

    def __init__(self) -> None:
        self.low, self.high, self.dtype = np.inf, -np.inf, np.dtype("uint8")
        self.images, self.small = 0, 0  # images that are not constant, and those of them up to 1

    def add(self, images: Any) -> np.ndarray:
        """Return images as (N, H, W, C) of 0 to 255, after adding them to the range.

        Raises InputError if shape, type or a single value is wrong by itself.
        """
        pixels = check_image_shape(images)
        if pixels.dtype == np.uint8:
            return pixels
        low, high = check_pixel_limits(pixels)
        self.low, self.high, self.dtype = min(self.low, low), max(self.high, high), pixels.dtype
        rows = pixels.reshape(len(pixels), -1)
        varied = rows.max(1) > rows.min(1)
        self.images += int(varied.sum())
        self.small += int((varied & (rows.max(1) <= 1)).sum())
        if self.images == self.small >= JUDGED_AFTER:
            self.check()
        return pixels

    def check(self) -> None:
        """Raise InputError if all images end at 1, and warn if some do, or if their range is another odd one."""
        if self.dtype == np.uint8:
            return
        if self.dtype.kind == "f" and self.images == self.small and self.high <= 1 and self.images:
            remedy = "multiply them by 255" if self.low >= 0 else "scale them back by (images + 1) * 127.5"
            raise InputError(
                f"A data set must yield images of 0 to 255. Received: floats from {self.low:.3g} up to 1; {remedy}"
            )
        if self.dtype.kind == "f" and self.small and self.high > 32:
            have = choose_form(self.small, "has", "have")
            warn_caller(
                f"{self.small:,} of {self.images:,} images {have} no value above 1, and others go up to {self.high:g}; "
                "if some of them were divided by 255, multiply those by 255",
            )
        elif self.images and (self.low < 0 or self.high <= 32):
            warn_of_rescaled(self.dtype, self.low, self.high)
