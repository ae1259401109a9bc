"""A classifier and image files that several tests share."""

import numpy as np
import pytest
from PIL import Image

import cnnzoo

UNREADABLE = "7 über.jpg"


@pytest.fixture(scope="session")
def classifier(trained):
    return cnnzoo.load(trained.folder)


@pytest.fixture(scope="session")
def photos(data, tmp_path_factory):
    """A folder with 31 files in two folders below, one of them not an image, and a hidden file."""
    folder = tmp_path_factory.mktemp("photos")
    for i, image in enumerate(np.concatenate([data.train.images, data.test.images])[:30]):
        path = folder / ("a" if i % 2 else "b") / f"{i}.png"
        path.parent.mkdir(exist_ok=True)
        Image.fromarray(image[..., 0]).save(path)
    (folder / "b" / UNREADABLE).write_bytes(b"no image")
    (folder / ".DS_Store").write_bytes(b"hidden")
    return folder
