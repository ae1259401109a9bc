"""Read TensorFlow Datasets, tf.data and PyDataset once, storing their images so that they can be split and shuffled."""

import io
import os
import sys
import tempfile
import weakref
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from cnnzoo.core.errors import InputError
from cnnzoo.core.files import cache_dir
from cnnzoo.data.checks import check_images
from cnnzoo.data.listing import SPLIT_NAMES, ListedImage, Listing


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
        self.file.write(content)
        self.file.flush()
        image = SpooledImage(self, self.end, len(content))
        self.end += len(content)
        return image


# TensorFlow Datasets


def is_tfds_folder(path: Path) -> bool:
    """Return whether TensorFlow Datasets prepared this folder."""
    return any((path / name).is_file() for name in ("dataset_info.json", "features.json"))


def read_tfds(name: str) -> Listing:
    """Read a TensorFlow Datasets builder, given by its name or by the folder that it prepared."""
    try:
        import tensorflow_datasets
    except ImportError:
        raise ImportError("tfds: needs TensorFlow Datasets: pip install 'cnnzoo[tfds]'") from None

    # Open or download
    is_folder = Path(name).is_dir()
    try:
        builder = tensorflow_datasets.builder_from_directory(name) if is_folder else tensorflow_datasets.builder(name)
        if not is_folder:
            builder.download_and_prepare()
    except Exception as error:  # names, networks and the builders' own code raise many types
        raise InputError(f"TensorFlow Datasets cannot load {name!r}: {' '.join(str(error).split())[:300]}") from None

    # Find the columns and the splits
    feature_types = builder.info.features or {}
    features = tensorflow_datasets.features
    image_key = next((key for key, kind in feature_types.items() if isinstance(kind, features.Image)), None)
    label_key = next((key for key, kind in feature_types.items() if isinstance(kind, features.ClassLabel)), None)
    if image_key is None or label_key is None:
        raise InputError(f"{name} has no image and class label. Its features: {', '.join(feature_types)}")
    names = set(builder.info.splits)
    splits = {split: SPLIT_NAMES.get(split.casefold(), "") for split in names}
    if not any(splits.values()) and len(names) > 1:
        raise InputError(f"{name} has none of the splits train, validation, test. Received: {', '.join(sorted(names))}")

    # Store the encoded images
    spool, images = Spool(), list[ListedImage]()
    for split in sorted(split for split in names if splits[split] or len(names) == 1):
        decoders = {image_key: tensorflow_datasets.decode.SkipDecoding()}
        rows = builder.as_dataset(split=split, decoders=decoders, shuffle_files=False).as_numpy_iterator()
        for i, row in enumerate(rows):
            label = feature_types[label_key].int2str(int(row[label_key]))
            images.append(ListedImage(spool.add(row[image_key]), f"{split}[{i}]", label, splits[split]))
    return Listing(images, [])


# tf.data and PyDataset


def read_streams(source: Any) -> Listing | None:
    """Read a tf.data.Dataset or a keras.utils.PyDataset, or a dict of them by split; return None for anything else."""
    if isinstance(source, dict):
        if unknown_keys := [key for key in source if str(key).casefold() not in SPLIT_NAMES]:
            raise InputError(
                f"The keys of a dict of data sets must be train, validation or test. Received: {unknown_keys[0]!r}"
            )
        streams = {SPLIT_NAMES[str(key).casefold()]: stream for key, stream in source.items()}
        if len(streams) < len(source):
            raise InputError(
                f"A dict of data sets must have one key per split. Received: {', '.join(map(str, source))}"
            )
    else:
        streams = {"": source}
    if not streams or not all(map(_is_stream, streams.values())):
        return None
    spool, images = Spool(), list[ListedImage]()
    for split, stream in streams.items():
        for i, (image, label) in enumerate(_iter_pairs(stream)):
            images.append(ListedImage(spool.add(_encode_png(image)), f"{split or 'stream'}[{i}]", label, split))
    return Listing(images, [])


def _is_stream(source: Any) -> bool:
    """Return whether `source` is a tf.data.Dataset or a PyDataset, without importing TensorFlow or Keras."""
    # An object of such a class exists only if its library was imported
    tensorflow, keras = sys.modules.get("tensorflow"), sys.modules.get("keras")
    return bool(
        (tensorflow and isinstance(source, tensorflow.data.Dataset))
        or (keras and isinstance(source, keras.utils.PyDataset))
    )


def _iter_pairs(stream: Any) -> Iterator[tuple[np.ndarray, str]]:
    """Yield every image (H, W, C), uint8, with its label, whether they come in batches or alone."""
    class_names = getattr(stream, "class_names", None)  # set by image_dataset_from_directory
    for element in _iter_elements(stream):
        if not isinstance(element, tuple) or len(element) < 2:
            raise InputError(f"A data set must yield pairs (image, label). Received: {type(element).__name__}")
        images, labels = np.asarray(element[0]), np.asarray(element[1])
        if images.ndim == 3:
            images, labels = images[None], labels[None]
        if images.dtype.kind == "f" and images.size and images.max() <= 1:
            raise InputError("A data set must yield images of 0 to 255. Received: floats up to 1; multiply them by 255")
        images = check_images(images)
        texts = _labels_as_text(labels, class_names)
        if len(texts) != len(images):
            raise InputError(
                f"A batch must have a label for each image. Received: {len(images)} images, {len(texts)} labels"
            )
        for image, text in zip(images, texts, strict=True):
            yield np.clip(np.rint(image), 0, 255).astype("uint8"), text


def _iter_elements(stream: Any) -> Iterable[Any]:
    """Return the elements of a data set that has an end."""
    if hasattr(stream, "as_numpy_iterator"):
        if int(stream.cardinality()) == -1:
            raise InputError("The data set is infinite; limit it with dataset.take(n)")
        return stream.as_numpy_iterator()
    if stream.num_batches is None:
        raise InputError("The PyDataset is infinite: it has no length")
    return (stream[i] for i in range(stream.num_batches))


def _labels_as_text(labels: np.ndarray, class_names: Sequence[str] | None) -> list[str]:
    """Return labels as text: names as they are, indices by `class_names`, one-hot rows as indices."""
    if labels.ndim == 2 and labels.shape[1] > 1:
        if not ((labels == 0) | (labels == 1)).all() or not (labels.sum(axis=1) == 1).all():
            raise InputError("Labels with several numbers must be one-hot: a single 1 in each row")
        labels = labels.argmax(axis=1)
    labels = labels.ravel()
    if labels.dtype.kind in "SO" and all(isinstance(label, bytes | str) for label in labels):
        return [label.decode("utf-8", "backslashreplace") if isinstance(label, bytes) else label for label in labels]
    if labels.dtype.kind == "U":
        return labels.tolist()
    if labels.dtype.kind not in "buif" or not np.isfinite(labels).all() or (labels != np.floor(labels)).any():
        raise InputError(f"Labels must be class indices, names or one-hot. Received: {labels.dtype} {labels[:3]}")
    if class_names and (labels.min() < 0 or labels.max() >= len(class_names)):
        raise InputError(f"The data set has names for {len(class_names)} classes. Received: the label {labels.max()}")
    return [str(class_names[int(label)]) if class_names else str(int(label)) for label in labels]


def _encode_png(image: np.ndarray) -> bytes:
    """Encode gray or RGB pixels (H, W, C) without loss."""
    from PIL import Image

    if image.shape[2] not in (1, 3):
        raise InputError(f"Data sets must yield gray or RGB images. Received: {image.shape[2]} channels")
    out = io.BytesIO()
    Image.fromarray(image[..., 0] if image.shape[2] == 1 else image).save(out, "PNG", compress_level=1)
    return out.getvalue()
