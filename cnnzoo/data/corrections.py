"""Correct labels of data that is divided into splits already, so that every image stays in its split."""

from dataclasses import replace

import numpy as np

from cnnzoo.core.errors import InputError
from cnnzoo.data.apply_fixes import apply_fix_list
from cnnzoo.data.fix_list import FixList
from cnnzoo.data.images import ImageData
from cnnzoo.data.listing import LeftOutFile, ListedImage, Listing
from cnnzoo.data.photos import Photos
from cnnzoo.data.splits import Split


def correct_splits(data: ImageData, fix_list: FixList) -> ImageData:
    """Return data of image files without the images that a fix list excludes, and with its new labels.

    `load_data(..., fix_list=...)` applies a list before it divides the images, so other images may be drawn for the
    test split. Here, they are divided already, as for a training that is to be measured with better labels.

    Args:
        data: the data. Images that its own fix list excludes may be named again.
        fix_list: the fixes.

    Raises:
        InputError: if the data is no image files, or a row names an unknown image or class.
    """
    images = [
        ListedImage(photo.source, photo.name, data.classes[label], name)
        for name, split in data.splits.items()
        if isinstance(split.images, Photos)
        for photo, label in zip(split.images.photos, split.labels.tolist(), strict=True)
    ]
    if not images:
        raise InputError("A fix list corrects image files. Received: data of arrays")
    own_fixes = data.fix_list.fix_list.fixes if data.fix_list else ()
    left_out = [LeftOutFile(fix.path, "excluded") for fix in own_fixes if fix.action == "exclude"]
    listing, _ = apply_fix_list(Listing(images, left_out), fix_list, data.classes)

    index = {name: i for i, name in enumerate(data.classes)}
    labels = {image.name: index[image.label] for image in listing.images}

    def correct(split: Split) -> Split:
        kept = split.take(np.flatnonzero([image in labels for image in split.names.tolist()]))
        return replace(kept, labels=np.array([labels[image] for image in kept.names.tolist()], "int64"))

    train, validation, test = map(correct, (data.train, data.validation, data.test))
    return replace(data, train=train, validation=validation, test=test, notes=(*data.notes, *listing.notes))
