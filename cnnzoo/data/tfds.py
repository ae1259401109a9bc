"""Read data sets of TensorFlow Datasets once, storing their encoded images."""

import os
from importlib.util import find_spec
from pathlib import Path

from cnnzoo.core.errors import InputError
from cnnzoo.core.extras import install_command
from cnnzoo.core.progress import show_progress
from cnnzoo.data.listing import ListedImage, Listing
from cnnzoo.data.split_names import SPLIT_NAMES
from cnnzoo.data.spool import Spool


def is_tfds_folder(path: Path) -> bool:
    """Return whether TensorFlow Datasets prepared this folder."""
    return any((path / name).is_file() for name in ("dataset_info.json", "features.json"))


def check_tfds() -> None:
    """Raise ImportError if TensorFlow Datasets is not installed."""
    if find_spec("tensorflow_datasets") is None:
        raise ImportError(f"tfds: needs TensorFlow Datasets: {install_command('tfds')}")


def read_tfds(name: str) -> Listing:
    """Read a TensorFlow Datasets builder, given by its name or by the folder that it prepared."""
    check_tfds()
    import tensorflow_datasets

    # Open or download
    is_folder = os.path.isdir(name)  # noqa: PTH112  # takes any text
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
        total = builder.info.splits[split].num_examples
        with show_progress(f"Reading the {split} split of {name}", total, "images") as progress:
            for i, row in enumerate(progress.track(rows)):
                label = feature_types[label_key].int2str(int(row[label_key]))
                images.append(ListedImage(spool.add(row[image_key]), f"{split}[{i}]", label, splits[split]))
    return Listing(images, [])
