"""On mosaics of photos of different classes, the map of a class lies on the photo of that class."""

import csv

import numpy as np
import pytest
from PIL import Image

import cnnzoo

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("free_memory")]
MOSAICS, SIDE = 4, 224


def make_mosaics(folder):
    """Return mosaics (N, 448, 448, 3) of four photos each, and the classes (N, 4) of these."""
    with (folder / "labels.csv").open(encoding="utf-8") as file:
        rows = list({row["imagenet_class"]: row for row in csv.DictReader(file)}.values())[: 4 * MOSAICS]
    pictures = []
    for row in rows:
        with Image.open(folder / row["file"]) as picture:
            pictures.append(np.asarray(picture.convert("RGB").resize((SIDE, SIDE))))
    quarters = np.stack(pictures).reshape(MOSAICS, 2, 2, SIDE, SIDE, 3)
    mosaics = quarters.transpose(0, 1, 3, 2, 4, 5).reshape(MOSAICS, 2 * SIDE, 2 * SIDE, 3)
    return mosaics, np.array([int(row["imagenet_class"]) for row in rows]).reshape(MOSAICS, 4)


def measure_shares(model, mosaics, classes):
    """Return the share of the map in the right quarter, of those maps that have any evidence."""
    shares = []
    for mosaic, targets in zip(mosaics, classes, strict=True):
        explanations = cnnzoo.explain(model, np.stack([mosaic] * 4), target=targets.tolist())
        for i, explanation in enumerate(explanations):
            top, left = i // 2 * SIDE, i % 2 * SIDE
            if explanation.evidence:
                quarter = explanation.map[top : top + SIDE, left : left + SIDE]
                shares.append(quarter.sum() / explanation.map.sum())
    return shares


def test_the_map_of_a_class_lies_on_its_photo(test_data):
    mosaics, classes = make_mosaics(test_data("imagenet_100"))
    weights = test_data("checkpoints/googlenet_bvlc.npz")
    trained = measure_shares(cnnzoo.get("googlenet_2014", weights=weights), mosaics, classes)
    fresh = measure_shares(cnnzoo.get("googlenet_2014"), mosaics, classes)
    assert len(trained) == 4 * MOSAICS
    assert np.mean(trained) > 0.55
    assert np.mean(fresh) < 0.35
