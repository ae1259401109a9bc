"""Read streams of images and labels once: tf.data, PyDataset, data loaders, generators and lists of pairs."""

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import numpy as np

from cnnzoo.core.errors import InputError
from cnnzoo.core.progress import show_progress
from cnnzoo.core.text import choose_form, format_count
from cnnzoo.data.labels import read_labels
from cnnzoo.data.listing import ListedImage, Listing
from cnnzoo.data.pixel_range import PixelRange
from cnnzoo.data.spool import Spool, encode_png
from cnnzoo.data.stream_elements import find_class_names, split_element

ENDLESS_AFTER = 10_000  # images of a stream without a length, of which most were seen before


def read_streams(parts: Mapping[str, Any]) -> Listing:
    """Read streams, given by split ('' for none), into a listing of stored images."""
    spool, images, notes = Spool(), list[ListedImage](), list[str]()
    for split, stream in parts.items():
        pixels, part_notes = PixelRange(), dict[str, None]()
        with show_progress(f"Reading the {split} stream".replace("  ", " "), unit="images") as progress:
            for i, (image, label, weight) in enumerate(progress.track(_iter_images(stream, pixels, part_notes))):
                name = f"{split or 'stream'}[{i}]"
                images.append(ListedImage(spool.add(encode_png(image)), name, label, split, weight=weight))
        pixels.check()
        notes += [f"{split or 'stream'}: {note}" for note in part_notes]
    if not images:
        raise InputError("The data set has no images: it yields nothing")
    weighted = sum(image.weight is not None for image in images)
    if weighted:
        have = f"{format_count(weighted, 'image')} {choose_form(weighted, 'has', 'have')}"
        notes.append(f"{have} a sample weight; training uses those of its images in the loss.")
    return Listing(images, [], tuple(notes))


def _iter_images(
    stream: Any, pixels: PixelRange, notes: dict[str, None]
) -> Iterator[tuple[np.ndarray, str, float | None]]:
    """Yield every image (H, W, C), uint8, with its label and weight, whether they come in batches or alone.

    `pixels` collects their range, and `notes` what is not used.
    """
    class_names = find_class_names(stream)
    for element in _iter_elements(stream):
        images, labels, weights, unused = split_element(element)
        notes.update(dict.fromkeys(unused))
        images = pixels.add(images)
        texts = read_labels(labels, class_names)
        if len(texts) != len(images):
            raise InputError(
                f"A batch must have a label for each image. Received: {len(images)} images, {len(texts)} labels"
            )
        numbers = [None] * len(images) if weights is None else weights.tolist()
        for image, text, weight in zip(images, texts, numbers, strict=True):
            yield np.clip(np.rint(image), 0, 255).astype("uint8"), text, weight


def _iter_elements(stream: Any) -> Iterable[Any]:
    """Return the elements of a data set that has an end."""
    if hasattr(stream, "as_numpy_iterator"):  # tf.data
        if int(stream.cardinality()) == -1:
            raise InputError("The data set is infinite; limit it with dataset.take(n)")
        return stream.as_numpy_iterator()
    if hasattr(stream, "num_batches"):  # PyDataset
        if stream.num_batches is None:
            raise InputError("The PyDataset is infinite: it has no length")
        return (stream[i] for i in range(stream.num_batches))
    if hasattr(stream, "__getitem__") and hasattr(stream, "__len__"):  # lists, and data sets of torch
        return (stream[i] for i in range(len(stream)))
    return stream if hasattr(stream, "__len__") else _until_repeated(stream)


def _until_repeated(stream: Iterable[Any]) -> Iterator[Any]:
    """Yield the elements of a generator; raise InputError if it repeats its images without an end."""
    seen, count = set[int](), 0
    for element in stream:
        for image in split_element(element)[0]:
            count += 1
            seen.add(hash(np.ascontiguousarray(image).tobytes()))
        if count > ENDLESS_AFTER and count > 3 * len(seen):
            raise InputError(
                f"The generator seems to be infinite: of its first {count:,} images only {len(seen):,} differ. Limit "
                "it with itertools.islice(generator, n)"
            )
        yield element
