"""The manifest: one row per published checkpoint, with its evidence, and the lists of class names.

This module imports neither Keras nor NumPy.
"""

from __future__ import annotations

import csv
import tomllib
from dataclasses import dataclass
from functools import cache
from importlib import resources
from importlib.resources.abc import Traversable
from pathlib import Path
from typing import Any

from cnnzoo.core.errors import InputError, unknown_name

COMMERCIAL_LICENSES = ("Apache-2.0", "BSD-2-Clause", "BSD-3-Clause", "MIT")  # those that allow commercial use


@dataclass(frozen=True, kw_only=True)
class PublishedWeights:
    """One published checkpoint: where it is, how to verify it, and what accuracy it reaches."""

    model: str
    tag: str  # data set, dot, publisher; weights trained here have no dot
    url: str = ""  # empty if the file is shipped beside the manifest
    file: str  # file name there, or in the cache
    # "sha256:", "sha256-prefix:", "sha1:" or "md5:" and hex digits, or ""; for a .zip, the hash of the .h5 in it
    hash: str
    bytes: int | None = None
    classes: str | tuple[str, ...]  # name of a list for `load_class_names`, or the class names; () without a head
    include_top: bool = True
    preprocessing: Any  # a name in preprocessing.STATISTICS, or a pair (mean, std)
    input_size: int  # side in pixels of the images that the accuracy was measured on
    resize: int  # shorter side before the center crop; if equal to input_size, images are resized without a crop
    interpolation: str = "bilinear"
    pad: int = 0  # black pixels around the resized image, included in input_size
    data: str  # the images that the accuracy was measured on
    top1: float | None = None  # percent: measured if trained here, else as published
    top5: float | None = None
    license: str  # SPDX identifier; "" if not stated
    license_from: str  # who states it: "weights" (the publisher, for these weights) or "repository" (for the code only)
    source: str
    verified: bool = False  # whether this very file was loaded and checked here
    recipe: str = ""
    seed: int | None = None
    test_images: int | None = None

    def __str__(self) -> str:
        accuracy = f"{self.top1:.2f} %" if self.top1 else "accuracy not stated"
        parts = [
            f"{self.tag}:",
            f"{accuracy} on {self.data};" if self.include_top else "no head,",
            f"{self.bytes:,} bytes," if self.bytes else "",
            self.license or "no license stated",
            "" if self.commercial or not self.license else "(not commercial)",
        ]
        return " ".join(filter(None, parts))

    @property
    def accuracy(self) -> float | None:
        """Top-1 accuracy in percent, or None if it is not stated."""
        return self.top1

    @property
    def commercial(self) -> bool:
        """True if the license is stated and allows commercial use."""
        return self.license in COMMERCIAL_LICENSES

    @property
    def class_names(self) -> tuple[str, ...]:
        """Names of the classes, in the order of the logits."""
        return load_class_names(self.classes) if isinstance(self.classes, str) else self.classes

    @property
    def class_ids(self) -> tuple[str, ...]:
        """WordNet ids of the classes, for ImageNet only."""
        return load_wordnet_ids() if self.classes == "imagenet" else ()

    @property
    def sha256(self) -> str:
        """All 64 digits of the SHA-256, or "" if they are not published."""
        return self.hash.removeprefix("sha256:") if self.hash.startswith("sha256:") else ""

    @property
    def transform(self) -> dict[str, Any]:
        """The evaluation transform as the model card keeps it: share of the side to crop, and interpolation."""
        side = self.input_size - 2 * self.pad
        crop = None if self.resize == side else side / self.resize
        return {"crop": crop, "interpolation": self.interpolation}

    @property
    def path(self) -> Traversable:
        """Path of shipped weights."""
        return weights_folder() / self.file

    @property
    def provenance(self) -> dict[str, Any]:
        """The part of this row that the model card keeps."""
        keys = "tag file url hash data accuracy top1 top5 license license_from source verified recipe seed"
        return {key: getattr(self, key) for key in keys.split()}


def weights_folder() -> Traversable:
    """Return the folder of the shipped weights: `weights` in a checkout, else the installed package cnnzoo.weights."""
    checkout = Path(__file__).parents[2] / "weights"
    return checkout if (checkout / "manifest.toml").exists() else resources.files("cnnzoo.weights")


@cache
def load_published_weights() -> tuple[PublishedWeights, ...]:
    """Return every row of weights/manifest.toml."""
    table = tomllib.loads((weights_folder() / "manifest.toml").read_text(encoding="utf-8"))
    rows = []
    for publisher in table["publisher"]:
        lines = publisher.pop("weights")
        # A line overrides its publisher, which overrides the data set.
        rows += [table["data"][line["tag"].partition(".")[0]] | publisher | line for line in lines]
    return tuple(map(_make_row, rows + table["weights"]))


def _make_row(fields: dict[str, Any]) -> PublishedWeights:
    """Return a row from the merged fields of its line, its publisher and its data set."""
    line_id = fields.pop("id", "")
    url = fields.get("url", "").format(id=line_id)
    file = fields.get("file", url.rpartition("/")[2]).format(id=line_id)
    classes = fields["classes"]
    classes = classes if isinstance(classes, str) else tuple(classes)
    return PublishedWeights(**fields | {"url": url, "file": file, "classes": classes})


def list_tags(model: str) -> list[str]:
    """Return the tags under which weights of `model` are published."""
    return [row.tag for row in load_published_weights() if row.model == model]


def find_weights(model: str, tag: str) -> PublishedWeights:
    """Return the row of a tag, or the default row of a data set.

    The default is the most accurate checkpoint with a head among those whose license allows commercial use. If there
    are none, it is taken from those with any stated license, then from all. If accuracies differ by less than a tenth
    of a percent, a published hash decides.

    Args:
        model: the name of a model.
        tag: a tag such as "imagenet.tv_v1", or the name of a data set such as "imagenet".

    Raises:
        InputError: if there is no such tag; the message lists the nearest ones.
    """
    rows = {row.tag: row for row in load_published_weights() if row.model == model}
    if tag in rows:
        return rows[tag]
    candidates = [row for row in rows.values() if row.include_top and row.tag.startswith(f"{tag}.")]
    if not rows:
        raise InputError(_explain_unpublished(model, tag))
    if not candidates:
        names = {*rows, *(name.partition(".")[0] for name in rows)}
        raise unknown_name(f"weights of {model}", tag, names, f"cnnzoo info {model}")
    return max(candidates, key=_default_rank)


def _explain_unpublished(model: str, tag: str) -> str:
    """Return that no weights of `model` are published, which similar model has some, and that a file can be used."""
    published = load_published_weights()
    stem = model.partition("_")[0]
    similar = [row for row in published if row.include_top and row.model.partition("_")[0] == stem]
    same_data = [row for row in similar if row.tag.partition(".")[0] == tag.partition(".")[0]]
    hint = ""
    if similar:
        row = min(same_data or similar, key=lambda row: len(row.model))
        hint = f"{row.model}:{row.tag.partition('.')[0]} is published, of a similar network. "
    return (
        f"No weights of {model} are published. {hint}To load a checkpoint of your own, give its file: {model}:FILE, or "
        f"weights=FILE (--weights FILE). Received: {tag!r:.200}"
    )


def _default_rank(row: PublishedWeights) -> tuple[Any, ...]:
    """Return the key by which the default of a data set is the largest."""
    return row.commercial, bool(row.license), round(row.top1 or 0, 1), bool(row.hash), row.top1


@cache
def load_class_names(name: str) -> tuple[str, ...]:
    """Return a list of classes, such as "imagenet", in the order of the logits.

    Raises InputError if there is no list of that name.
    """
    return _load_column(name, "name")


@cache
def load_wordnet_ids() -> tuple[str, ...]:
    """Return the WordNet ids of the ImageNet classes, in the order of the logits."""
    return _load_column("imagenet", "wnid")


def list_class_lists() -> list[str]:
    """Return the names of the lists of classes, for `load_class_names`."""
    return sorted(_find_tables())


def _find_tables() -> dict[str, Traversable]:
    """Return the tables of classes beside the manifest, by name."""
    return {path.name.removesuffix(".csv"): path for path in weights_folder().iterdir() if path.name.endswith(".csv")}


def _load_column(name: str, column: str) -> tuple[str, ...]:
    """Return a column of the table weights/`name`.csv."""
    tables = _find_tables()
    if name not in tables:
        raise unknown_name("list of classes", name, tables)
    lines = tables[name].read_text(encoding="utf-8").splitlines()
    return tuple(row[column] for row in csv.DictReader(lines))
