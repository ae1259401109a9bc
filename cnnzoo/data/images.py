"""ImageData: images with their labels, in three splits."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from cnnzoo.core.arguments import check_arguments
from cnnzoo.core.attributes import SuggestsAttributes
from cnnzoo.core.errors import InputError, check_integer, unknown_name
from cnnzoo.core.gallery import MAX_TILES, Gallery
from cnnzoo.core.tables import format_table
from cnnzoo.core.text import escape_controls, format_count
from cnnzoo.data import samples
from cnnzoo.data.apply_fixes import AppliedFixes
from cnnzoo.data.bit_depth import Levels
from cnnzoo.data.cache import CROPPED_MODES
from cnnzoo.data.diagnosis import Diagnosis
from cnnzoo.data.loader import Loader
from cnnzoo.data.photos import Photos
from cnnzoo.data.policies import parse_policy
from cnnzoo.data.splits import Split
from cnnzoo.data.transform import Transform

if TYPE_CHECKING:
    import os

    import tensorflow as tf

    from cnnzoo.data.batches import Batches

MAX_ROWS = 20  # classes in the table that a data set prints


@dataclass(frozen=True)
class Sizing:
    """The user's options for resizing images to a model's input; `resolve` makes a transform of them.

    Args:
        crop: share of the resized image's side, or None for the whole image; "auto" takes the crop
            that the model's weights were evaluated with.
        default_crop: the crop for "auto" if the weights specify none.
        pad: black pixels around the resized image; None takes the model's.
        cache: the cache for resized photos; see `cnnzoo.data.cache.open_cache`.
        levels: the levels of images of more than 8 bits that become black and white; None takes the model's.
    """

    crop: float | str | None = "auto"
    default_crop: float | None = None
    pad: int | None = None
    cache: str = "auto"
    levels: Levels | None = None

    def resolve(self, shape: Sequence[int], pad: int, evaluation: Mapping[str, Any]) -> Transform:
        """Return the transform to a model's input.

        Args:
            shape: the model's (height, width, channels).
            pad: the model's border, used unless the user asked for another.
            evaluation: crop and interpolation of the model's weights, as far as they specify them.
        """
        options = {"crop": self.default_crop, **evaluation}
        if self.crop != "auto":
            options["crop"] = self.crop
        if self.levels is not None:
            options["levels"] = self.levels
        pad = pad if self.pad is None else self.pad
        return Transform((shape[0], shape[1]), shape[2], **options, pad=pad)


@dataclass(frozen=True, repr=False)
class ImageData(SuggestsAttributes):
    """A data set in three splits, as `load_data` returns it. Printing it shows a table of the classes.

    Attributes:
        train: the training split, with `images`, `labels` and `names`.
        validation: the validation split.
        test: the test split.
        classes: the class names, in the order of the label indices.
        source: name of the source.
        notes: decisions made while loading that a reader should know of.
        split_options: the shares and the seed of the splits, as `load_data` received them.
        diagnosis: the findings of the doctor, for image files.
        fix_list: what the fix list changed that `load_data` received; None without one.
        transform: the transform that resizes images to `image_size`; None as long as they have their original sizes.
        location: the source as it was given, by which `load_data` finds it again; "" if it is no path and no name.

    Example:
        >>> data = cnnzoo.load_data("digits")
        >>> data
        <ImageData digits: 10 classes, 1,437 train, 180 validation, 180 test>
        >>> data.test.images.shape
        (180, 8, 8, 1)
        >>> data.classes[:3]
        ('0', '1', '2')
        >>> images, labels = data.batches("train", batch_size=32, seed=0)[0]
        >>> images.shape, labels.shape
        ((32, 8, 8, 1), (32, 10))
    """

    train: Split
    validation: Split
    test: Split
    classes: tuple[str, ...]
    source: str
    sizing: Sizing = Sizing()
    transform: Transform | None = None
    original_shape: tuple[int | None, ...] = ()  # (height, width, channels) before `transform`
    notes: tuple[str, ...] = ()
    split_options: tuple[tuple[float, float, float], int] | None = None
    diagnosis: Diagnosis | None = field(default=None, repr=False)
    fix_list: AppliedFixes | None = None
    location: str = field(default="", repr=False)
    _instead_of_items = (
        'The splits are .train, .validation and .test, with images, labels and names, or .splits["train"]; '
        '.batches("train") yields batches'
    )

    @property
    def splits(self) -> dict[str, Split]:
        """The splits by name, in the order train, validation, test."""
        return {"train": self.train, "validation": self.validation, "test": self.test}

    @property
    def is_for_evaluation(self) -> bool:
        """True if there are only test images, as after `load_data(..., split="test")`."""
        return not len(self.train) and not len(self.validation)

    @property
    def has_photos(self) -> bool:
        """True if the images are files, which are decoded when they are needed."""
        return isinstance(self.train.images, Photos)

    @property
    def crops_resized_images(self) -> bool:
        """True if training takes its random crops from resized images in the cache, not from the original files."""
        return self.has_photos and self.sizing.cache in CROPPED_MODES

    @property
    def image_size(self) -> tuple[int, int] | None:
        """(height, width) of all images, or None as long as they have their original sizes."""
        return self.transform.size if self.transform else None

    @property
    def workers(self) -> int | str:
        """The number of processes that load the images, or "auto", as `load_data` received it."""
        return self.train.loader.workers

    @cached_property
    def fingerprints(self) -> dict[str, str]:
        """SHA-256 of each split, over its images and labels in order and the class names."""
        return {name: split.fingerprint(self.classes) for name, split in self.splits.items()}

    @cached_property
    def content_fingerprints(self) -> dict[str, str]:
        """SHA-256 of the images and class names of each split, whatever their order and the size of the model."""
        return {name: split.content_fingerprint(self.classes) for name, split in self.splits.items()}

    def resize_to(self, shape: Sequence[int], pad: int, evaluation: Mapping[str, Any] | None = None) -> "ImageData":
        """Return the same data with every image brought to a model's input.

        What the user asked for (`sizing`) takes precedence over the model's own `pad` and `evaluation`. If neither
        specifies a crop, photos are center-cropped and arrays are resized without keeping their aspect ratio.

        Args:
            shape: the model's (height, width, channels).
            pad: black pixels of the model around the resized image.
            evaluation: crop and interpolation that the model's weights were evaluated with, if any.

        Raises:
            InputError: if the images have been resized to another size already.
        """
        current_shape = self.train.images.shape[1:]
        if self.transform is not None and current_shape != tuple(shape):
            raise InputError(f"The data was resized to {current_shape} already; the model takes {tuple(shape)}")
        if self.transform is not None and not self.has_photos:
            return self
        transform = self.sizing.resolve(shape, pad, evaluation or {})
        if transform == self.transform:
            return self
        train, validation, test = (
            split.with_transform(transform, self.sizing.cache, training=name == "train")
            for name, split in self.splits.items()
        )
        return replace(
            self,
            train=train,
            validation=validation,
            test=test,
            sizing=replace(self.sizing, pad=transform.pad),
            transform=transform,
            original_shape=self.original_shape or current_shape,
        )

    def with_loader(self, loader: Loader) -> "ImageData":
        """Return the same data, with another loader that all splits share."""
        train, validation, test = (replace(split, loader=loader) for split in self.splits.values())
        return replace(self, train=train, validation=validation, test=test)

    @check_arguments()
    def batches(
        self, split: str = "train", batch_size: int = 32, seed: int | None = None, augment: str = "none"
    ) -> "Batches":
        """Return the batches of a split, for Keras' `fit` or a loop of your own.

        With a `seed`, images are shuffled and augmented, differently in every epoch; equal seeds give equal batches.

        Args:
            split: "train", "validation" or "test".
            batch_size: images per batch.
            seed: seed of shuffling and augmentation; None keeps the order.
            augment: a policy such as "basic" or "rand+mixup"; see `cnnzoo.data.policies`.

        Returns:
            A `keras.utils.PyDataset` of images (B, H, W, C), 0 to 255, and one-hot labels (B, classes).

        Raises:
            InputError: if an argument is wrong, or the images have no common size: `load_data(..., image_size=...)`.

        Example:
            >>> data = cnnzoo.load_data("digits", image_size=32)
            >>> batches = data.batches("train", batch_size=64, seed=0, augment="shift")
            >>> len(batches)
            23
            >>> images, labels = batches[0]
            >>> images.shape, labels.shape
            ((64, 32, 32, 1), (64, 10))
        """
        from cnnzoo.data.batches import Batches  # imports Keras, which takes seconds

        self._check_split(split)
        if self.transform is None and self.has_photos:
            raise InputError("Photos need a common size for batches: load_data(..., image_size=(height, width))")
        seed = None if seed is None else check_integer("seed", seed, 0)
        if seed is None and augment != "none":
            raise InputError(f"Augmentation is drawn from a seed: batches(..., seed=0, augment={augment!r})")
        size = check_integer("batch_size", batch_size, 1, 1_000_000)
        batches = Batches(self.splits[split], len(self.classes), size, seed, augment)
        batches.advance = True
        return batches

    @check_arguments()
    def dataset(
        self, split: str = "train", batch_size: int = 32, seed: int | None = None, augment: str = "none"
    ) -> "tf.data.Dataset":
        """Return the batches of a split as a `tf.data.Dataset`, prefetched.

        Args:
            split: "train", "validation" or "test".
            batch_size: images per batch.
            seed: seed of shuffling and augmentation; None keeps the order. Every pass over the data set is another
                epoch.
            augment: a policy such as "basic" or "rand+mixup".

        Returns:
            A `tf.data.Dataset` of images (B, H, W, C), 0 to 255, and one-hot labels (B, classes).

        Raises:
            InputError: as `batches`.

        Example:
            >>> dataset = cnnzoo.load_data("digits", image_size=32).dataset("test", batch_size=60)
            >>> len(dataset)
            3
        """
        from cnnzoo.data.batches import to_tf_dataset

        return to_tf_dataset(self.batches(split, batch_size, seed, augment))

    @check_arguments()
    def show(
        self,
        split: str | None = None,
        count: int = 16,
        *,
        augment: str = "none",
        seed: int = 0,
        path: "str | os.PathLike[str] | None" = None,
    ) -> Gallery:
        """Show random images with their labels: in a notebook, or in a file.

        Args:
            split: "train", "validation" or "test". By default train, or the first that has images.
            count: number of images; of more than 100, the first are shown.
            augment: a policy such as "basic" or "rand+mixup": the images as a training with it sees them.
            seed: which images are drawn, and how they are augmented.
            path: a .png file to write the images to.

        Returns:
            The images as a `Gallery`, which a notebook shows as the result of a cell, and which has `save(path)`.

        Raises:
            InputError: if an argument is wrong, if the split is empty, or if the file cannot be written.

        Example:
            >>> data = cnnzoo.load_data("digits")
            >>> data.show(count=8, augment="shift", path="augmented.png")
            <8 images of digits, train, augmented with shift: in a notebook they are shown, and ... writes them>
        """
        split = next((name for name in self.splits if len(self.splits[name])), "train") if split is None else split
        self._check_split(split)
        count = min(check_integer("count", count, 1), MAX_TILES, len(self.splits[split]))
        check_integer("seed", seed, 0)
        parse_policy(augment)
        title = f"{count} images of {self.source}, {split}"
        if augment == "none":
            gallery = Gallery(title, tuple(samples.sample_tiles(self, split, count, seed)))
        else:
            tiles = samples.augmented_tiles(self, split, count, seed, augment)
            gallery = Gallery(f"{title}, augmented with {augment}", tuple(tiles))
        if path is not None:
            gallery.save(path)
        return gallery

    def _check_split(self, split: str) -> None:
        """Raise InputError unless there is a split of this name that has images."""
        if not isinstance(split, str) or split not in self.splits:
            raise unknown_name("split", split, self.splits)
        if not len(self.splits[split]):
            raise InputError(f"The {split} split of {self.source} is empty")

    def describe_transform(self) -> str:
        """Return a sentence about how images are resized.

        Example:
            >>> cnnzoo.load_data("digits", image_size=32).describe_transform()
            'Images of 8x8x1 resized while loading (bilinear, antialiased) to 32x32x1.'
        """
        if self.transform is None:
            return "Images as they are."
        before, after = ("x".join(map(str, shape)) for shape in (self.original_shape, self.transform.shape))
        levels = ""
        if self.transform.levels:
            low, high = self.transform.levels
            levels = f" Levels {low:,g} to {high:,g} of images with more than 8 bits become black to white."
        if before == after and not self.transform.pad:
            return f"Images of {before}, as they are.{levels}"
        what = "Photos" if None in self.original_shape else f"Images of {before}"
        how = f"resized while loading ({self.transform.interpolation}, antialiased)"
        crop, border = "", f", within a black border of {self.transform.pad}" if self.transform.pad else ""
        if self.transform.crop is not None:
            crop = f", center-cropped to {100 * self.transform.crop:.4g} % of each side,"
        return f"{what} {how}{crop} to {after}{border}.{levels}"

    def __repr__(self) -> str:
        sizes = ", ".join(f"{len(split):,} {name}" for name, split in self.splits.items())
        return f"<ImageData {self.source}: {len(self.classes)} classes, {sizes}>"

    def _repr_html_(self) -> str:
        """Return a summary for a notebook: the numbers of images, and some of them."""
        from cnnzoo.core.notebook import NotebookTable, render_notebook

        rows = [["all", *(f"{len(split):,}" for split in self.splits.values())], *self._count_classes()]
        table = NotebookTable("Images of each class", ["class", *self.splits], rows)
        return render_notebook(self._describe(), tables=[table], tiles=samples.sample_classes(self), notes=self.notes)

    def _count_classes(self) -> list[list[str]]:
        """Return rows of a class name and the numbers of its images in each split."""
        counts = [np.bincount(split.labels, minlength=len(self.classes)) for split in self.splits.values()]
        return [[label, *(f"{count[i]:,}" for count in counts)] for i, label in enumerate(self.classes)]

    def _describe(self) -> str:
        """Return source, size of the images and number of classes in one line."""
        shape = self.train.images.shape[1:]
        count = sum(map(len, self.splits.values()))
        images = format_count(count, "image file")
        if None not in shape:
            images = f"{format_count(count, 'image')} of {'x'.join(map(str, shape))}"
        return f"{self.source}: {images} in {format_count(len(self.classes), 'class', 'classes')}"

    def __str__(self) -> str:
        rows = self._count_classes()
        rows = rows if len(rows) <= MAX_ROWS else [*rows[:MAX_ROWS], [f"and {len(rows) - MAX_ROWS:,} more", "", "", ""]]
        total = ["all", *(f"{len(split):,}" for split in self.splits.values())]

        # Lines above and below the table
        head = escape_controls(self._describe())
        photos = [split.images for split in self.splits.values() if isinstance(split.images, Photos)]
        cached = [part.cache.bytes for part in photos if part.cache]
        size = [f"Resized images take {sum(cached) / 2**20:,.1f} MiB ({self.sizing.cache})."] if cached else []
        return "\n".join([head, format_table(["class", *self.splits], [*rows, total]), *self.notes, *size])
