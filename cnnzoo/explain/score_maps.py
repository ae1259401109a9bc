"""Maps without gradients: what happens to the scores of images that are partly covered."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np

from cnnzoo.explain.placement import Placement

OCCLUSION_CELLS = 14  # of a side; the square that covers the image is two cells wide: 32 pixels of 224
Score = Callable[[np.ndarray], np.ndarray]  # from images (N, height, width, C) to one score for each


def occlude(
    pixels: np.ndarray, fill: np.ndarray, score: Callable[[np.ndarray], np.ndarray], batch_size: int, side: int = 0
) -> np.ndarray:
    """Return how much a score falls where a square covers an image (Zeiler, Fergus 2013, arXiv:1311.2901).

    The squares overlap by half their width, so each cell of the map is the mean of the four that cover it.

    Args:
        pixels: one image (height, width, C).
        fill: the pixel (C,) of the square.
        score: returns a score of each image of a batch.
        batch_size: images of a batch.
        side: cells of a side; by default 14, fewer for images that have not as many pixels.

    Returns:
        The map (h, w).
    """
    height, width = pixels.shape[:2]
    rows, columns = (min(side or OCCLUSION_CELLS, length) for length in (height, width))
    row_edges = np.rint(np.linspace(0, height, rows + 1)).astype(int)
    column_edges = np.rint(np.linspace(0, width, columns + 1)).astype(int)
    places = [(i, j) for i in range(rows + 1) for j in range(columns + 1)]

    def covered() -> Iterator[np.ndarray]:
        for i, j in places:
            image = pixels.copy()
            top, bottom = row_edges[max(i - 1, 0)], row_edges[min(i + 1, rows)]
            left, right = column_edges[max(j - 1, 0)], column_edges[min(j + 1, columns)]
            image[top:bottom, left:right] = np.rint(fill)
            yield image

    before = float(score(pixels[None])[0])
    drops = before - _score_in_batches(covered(), score, batch_size).reshape(rows + 1, columns + 1)
    return ((drops[:-1, :-1] + drops[1:, :-1] + drops[:-1, 1:] + drops[1:, 1:]) / 4).astype("float32")


def weigh_by_scores(
    pixels: np.ndarray, maps: np.ndarray, fill: np.ndarray, placement: Placement, score: Score, batch_size: int
) -> np.ndarray:
    """Return feature maps weighted by the score of the image that each of them masks (Wang et al. 2019).

    The weights are the softmax of the scores over the channels (arXiv:1910.01279).

    Args:
        pixels: one image (height, width, C).
        maps: its feature maps (h, w, channels).
        fill: the pixel (C,) of what is masked.
        placement: where the cells lie in the image.
        score: returns a logit of each image of a batch.
        batch_size: images of a batch.

    Returns:
        The map (h, w).
    """
    image = pixels.astype("float32") - fill

    def masked() -> Iterator[np.ndarray]:
        for channel in range(maps.shape[2]):
            mask = placement.resample(maps[..., channel])
            low, high = mask.min(), mask.max()
            mask = (mask - low) / (high - low) if high > low else np.zeros_like(mask)
            yield fill + image * mask[..., None]

    scores = _score_in_batches(masked(), score, batch_size)
    weights = np.exp(scores - scores.max())
    return np.asarray((maps * (weights / weights.sum())).sum(axis=2), "float32")


def _score_in_batches(images: Iterator[np.ndarray], score: Score, batch_size: int) -> np.ndarray:
    """Return the scores of images, of which a batch is in memory at a time."""
    scores, batch = [], []
    for image in images:
        batch.append(image)
        if len(batch) == batch_size:
            scores.append(score(np.stack(batch)))
            batch = []
    if batch:
        scores.append(score(np.stack(batch)))
    return np.concatenate(scores).astype("float64")
