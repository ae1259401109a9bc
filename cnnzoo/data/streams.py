"""Data sets of others, TensorFlow Datasets, tf.data and PyDataset, read once into records, then taken in any order."""

import io
import os
import sys
import tempfile
import weakref
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from cnnzoo.core.errors import InputError
from cnnzoo.core.files import cache_dir
from cnnzoo.data.arrays import check_images
from cnnzoo.data.listing import SPLIT_NAMES, ListedImage

Listing = tuple[list[ListedImage], list[tuple[str, str]]]


@dataclass(frozen=True)
class SpooledImage:
    """The bytes of one image in a spool."""

    spool: "Spool"
    start: int
    length: int

    def read(self) -> bytes:
        return os.pread(self.spool.file.fileno(), self.length, self.start)


class Spool:
    """A file without a name that holds images one after the other; gone with the last of its records."""

    def __init__(self) -> None:
        try:
            cache_dir().mkdir(parents=True, exist_ok=True)
            self.file = tempfile.TemporaryFile(dir=cache_dir())  # noqa: SIM115  # open as long as there are records
        except OSError as error:
            raise InputError(f"Cannot use the cache {str(cache_dir())!r}: {error.strerror}; see CNNZOO_HOME") from None
        self.end = 0
        weakref.finalize(self, self.file.close)

    def __getstate__(self) -> bytes:
        """The images themselves, for another process."""
        return os.pread(self.file.fileno(), self.end, 0)

    def __setstate__(self, content: bytes) -> None:
        Spool.__init__(self)
        self.add(content)

    def add(self, content: bytes) -> SpooledImage:
        self.file.write(content)
        self.file.flush()
        record = SpooledImage(self, self.end, len(content))
        self.end += len(content)
        return record


def is_tfds_folder(path: Path) -> bool:
    """Whether a folder is one that TensorFlow Datasets prepared."""
    return any((path / name).is_file() for name in ("dataset_info.json", "features.json"))


def read_tfds(name: str) -> Listing:
    """The images of a TensorFlow Datasets builder: by name, or the folder that it prepared."""
    try:
        import tensorflow_datasets
    except ImportError:
        raise ImportError("tfds: is TensorFlow Datasets: pip install 'cnnzoo[tfds]'") from None
    there = Path(name).is_dir()
    try:
        builder = tensorflow_datasets.builder_from_directory(name) if there else tensorflow_datasets.builder(name)
        if not there:
            builder.download_and_prepare()
    except Exception as error:  # whatever a name, a network or a builder's code raises
        raise InputError(f"TensorFlow Datasets cannot give {name!r}: {' '.join(str(error).split())[:300]}") from None
    kinds = builder.info.features or {}
    features = tensorflow_datasets.features
    image = next((key for key, kind in kinds.items() if isinstance(kind, features.Image)), None)
    label = next((key for key, kind in kinds.items() if isinstance(kind, features.ClassLabel)), None)
    if image is None or label is None:
        raise InputError(f"{name} has no image and class label. Its features: {', '.join(kinds)}")
    spool, items, told = Spool(), list[ListedImage](), set(builder.info.splits)
    given = {split: SPLIT_NAMES.get(split.casefold(), "") for split in told}
    if not any(given.values()) and len(told) > 1:
        raise InputError(f"{name} has none of the splits train, validation, test. Received: {', '.join(sorted(told))}")
    for split in sorted(split for split in told if given[split] or len(told) == 1):
        decoders = {image: tensorflow_datasets.decode.SkipDecoding()}
        rows = builder.as_dataset(split=split, decoders=decoders, shuffle_files=False).as_numpy_iterator()
        for i, row in enumerate(rows):
            text = kinds[label].int2str(int(row[label]))
            items.append(ListedImage(spool.add(row[image]), f"{split}[{i}]", text, given[split]))
    return items, []


def read_streams(source: Any) -> Listing | None:
    """The images of a tf.data.Dataset or a keras.utils.PyDataset, or of a dict of such by split; else None."""
    if isinstance(source, dict):
        if unknown := [key for key in source if str(key).casefold() not in SPLIT_NAMES]:
            raise InputError(f"A dict of data sets has the keys train, validation, test. Received: {unknown[0]!r}")
        parts = {SPLIT_NAMES[str(key).casefold()]: part for key, part in source.items()}
        if len(parts) < len(source):
            raise InputError(f"A dict of data sets has one for each split. Received: {', '.join(map(str, source))}")
    else:
        parts = {"": source}
    if not parts or not all(map(_is_stream, parts.values())):
        return None
    spool, items = Spool(), list[ListedImage]()
    for split, part in parts.items():
        for i, (image, label) in enumerate(_iter_pairs(part)):
            items.append(ListedImage(spool.add(_encode_png(image)), f"{split or 'stream'}[{i}]", label, split))
    return items, []


def _is_stream(source: Any) -> bool:
    tensorflow, keras = sys.modules.get("tensorflow"), sys.modules.get("keras")
    return bool(
        (tensorflow and isinstance(source, tensorflow.data.Dataset))
        or (keras and isinstance(source, keras.utils.PyDataset))
    )


def _iter_pairs(source: Any) -> Iterator[tuple[np.ndarray, str]]:
    """Every image (H, W, C), uint8, with its label, whether they come in batches or alone."""
    names = getattr(source, "class_names", None)  # as image_dataset_from_directory leaves them
    for element in _iter_elements(source):
        if not isinstance(element, tuple) or len(element) < 2:
            raise InputError(f"A data set gives pairs (image, label). Received: {type(element).__name__}")
        images, labels = np.asarray(element[0]), np.asarray(element[1])
        if images.ndim == 3:
            images, labels = images[None], labels[None]
        if images.dtype.kind == "f" and images.size and images.max() <= 1:
            raise InputError("A data set gives images of 0 to 255. Received: floats up to 1; multiply them by 255")
        images = check_images(images)
        texts = _labels_as_text(labels, names)
        if len(texts) != len(images):
            raise InputError(f"A batch has a label for each image. Received: {len(images)} images, {len(texts)} labels")
        for image, label in zip(images, texts, strict=True):
            yield np.clip(np.rint(image), 0, 255).astype("uint8"), label


def _labels_as_text(labels: np.ndarray, names: Any) -> list[str]:
    """Labels as text: names, or what `names` call the indices; raises InputError for any other kind."""
    if labels.ndim == 2 and labels.shape[1] > 1:
        if not ((labels == 0) | (labels == 1)).all() or not (labels.sum(axis=1) == 1).all():
            raise InputError("Labels with several numbers are one-hot: a single 1 in each row")
        labels = labels.argmax(axis=1)
    labels = labels.ravel()
    if labels.dtype.kind in "SO" and all(isinstance(label, bytes | str) for label in labels):
        return [label.decode("utf-8", "backslashreplace") if isinstance(label, bytes) else label for label in labels]
    if labels.dtype.kind == "U":
        return labels.tolist()
    if labels.dtype.kind not in "buif" or not np.isfinite(labels).all() or (labels != np.floor(labels)).any():
        raise InputError(f"Labels are class indices, names or one-hot. Received: {labels.dtype} {labels[:3]}")
    if names and (labels.min() < 0 or labels.max() >= len(names)):
        raise InputError(f"The data set names {len(names)} classes. Received: the label {labels.max()}")
    return [str(names[int(label)]) if names else str(int(label)) for label in labels]


def _iter_elements(source: Any) -> Iterable[Any]:
    if hasattr(source, "as_numpy_iterator"):
        if int(source.cardinality()) == -1:
            raise InputError("The data set never ends; dataset.take(n) makes an end")
        return source.as_numpy_iterator()
    if source.num_batches is None:
        raise InputError("The PyDataset never ends: its length is not defined")
    return (source[i] for i in range(source.num_batches))


def _encode_png(image: np.ndarray) -> bytes:
    """A lossless file of gray or RGB pixels."""
    from PIL import Image

    if image.shape[2] not in (1, 3):
        raise InputError(f"Streams give gray or RGB images. Received: {image.shape[2]} channels")
    out = io.BytesIO()
    Image.fromarray(image[..., 0] if image.shape[2] == 1 else image).save(out, "PNG", compress_level=1)
    return out.getvalue()
