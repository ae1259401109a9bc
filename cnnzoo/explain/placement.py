"""Geometry of maps: from the cells of a feature map to the pixels of the original photo."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Placement:
    """Where the cells of a map lie in a photo.

    Attributes:
        size: (height, width) of the upright photo.
        box: top, left, bottom and right of the part that the network saw, in pixels of the photo.
        origin: top and left of the first cell, in pixels of the photo; cells may begin outside.
        cell: height and width of a cell, in pixels of the photo.
    """

    size: tuple[int, int]
    box: tuple[float, float, float, float]
    origin: tuple[float, float]
    cell: tuple[float, float]

    def resample(self, cells: np.ndarray) -> np.ndarray:
        """Return a map (h, w) in the pixels of the photo (H, W), zero where the network saw nothing.

        Cells are interpolated linearly between their centers, and averaged where they are smaller than a pixel, as
        Pillow's bilinear filter does. Half-pixel centers keep the map in its place.
        """
        rows, columns = (self._weights(axis, cells.shape[axis]) for axis in (0, 1))
        return np.asarray(rows @ cells.astype("float32") @ columns.T)

    def _weights(self, axis: int, count: int) -> np.ndarray:
        """Return the share (pixels, cells) of each cell in each pixel along an axis."""
        centers = np.arange(self.size[axis], dtype="float64") + 0.5
        positions = (centers - self.origin[axis]) / self.cell[axis] - 0.5
        support = max(1.0, 1 / self.cell[axis])
        # Beyond the centers of the outer cells, their values continue
        positions = positions.clip(0, count - 1)
        weights = np.maximum(0, 1 - np.abs(positions[:, None] - np.arange(count)) / support)
        weights /= weights.sum(axis=1, keepdims=True)
        begin, end = self.box[axis], self.box[axis + 2]
        covered = np.clip(np.minimum(centers + 0.5, end) - np.maximum(centers - 0.5, begin), 0, 1)
        return (weights * covered[:, None]).astype("float32")


def place_map(
    size: tuple[int, int],
    box: tuple[float, float, float, float],
    input_size: tuple[int, int],
    pad: int,
    cells: tuple[int, int],
    strides: tuple[float, float] | None,
) -> Placement:
    """Return where the cells of a map lie in a photo.

    Convolutions without padding lose as much on either side, so the cells lie around the center of the network's
    input, `strides` pixels apart; without strides they fill it.

    Args:
        size: (height, width) of the photo.
        box: the part of the photo that fills the network's input inside its border.
        input_size: (height, width) of the network's input.
        pad: pixels of the border.
        cells: (height, width) of the map.
        strides: vertical and horizontal distance of neighboring cells in pixels of the input; None if not known.
    """
    origin, cell = [], []
    for axis in (0, 1):
        side, count = input_size[axis], cells[axis]
        step = side / count if strides is None else strides[axis]
        scale = (box[axis + 2] - box[axis]) / (side - 2 * pad)  # pixels of the photo for each of the input
        begin = (side - count * step) / 2
        origin.append(box[axis] + (begin - pad) * scale)
        cell.append(step * scale)
    return Placement(size, box, (origin[0], origin[1]), (cell[0], cell[1]))
