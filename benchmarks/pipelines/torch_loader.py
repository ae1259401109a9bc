"""torch's DataLoader with torchvision's transforms on Pillow images."""

import os
import warnings
from collections.abc import Iterator

import torch
from common import CENTER, CROP_AREA, Options, SkippedError
from torchvision import datasets, transforms

BILINEAR = transforms.InterpolationMode.BILINEAR
GRAY = [128, 128, 128]


def list_transforms(options: Options) -> list[object]:
    """Return the transforms of a policy, in the order of torchvision's training references."""
    if options.policy == "none":
        return [transforms.Resize(round(options.size / CENTER)), transforms.CenterCrop(options.size)]
    crop = [transforms.RandomResizedCrop(options.size, scale=CROP_AREA), transforms.RandomHorizontalFlip()]
    if options.policy == "basic":
        return crop
    if options.policy == "trivial":
        return [*crop, transforms.TrivialAugmentWide(interpolation=BILINEAR, fill=GRAY)]
    if options.policy == "rand":
        return [*crop, transforms.RandAugment(2, 9, interpolation=BILINEAR, fill=GRAY)]
    raise SkippedError("it has no policy of this name")


def iter_batches(options: Options) -> Iterator[int]:
    """Yield the number of images of each batch, without end."""
    warnings.filterwarnings("ignore")  # of more workers than cores
    workers = len(os.sched_getaffinity(0)) if options.workers < 0 else options.workers
    steps = [*list_transforms(options), transforms.PILToTensor()]
    loader = torch.utils.data.DataLoader(
        datasets.ImageFolder(options.folder, transforms.Compose(steps)),
        options.batch_size,
        shuffle=True,
        num_workers=workers,
        persistent_workers=workers > 0,
    )
    while True:
        yield from (len(images) for images, _ in loader)
