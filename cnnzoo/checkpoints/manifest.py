"""The manifest: a row for every checkpoint, with its evidence; and the lists of classes. Imports no Keras."""

import csv
import tomllib
from dataclasses import dataclass
from functools import cache
from importlib import resources
from importlib.resources.abc import Traversable
from pathlib import Path
from typing import Any

from cnnzoo.core.errors import unknown_name

COMMERCIAL_LICENSES = ("Apache-2.0", "BSD-2-Clause", "BSD-3-Clause", "MIT")  # licences that allow commercial use


@dataclass(frozen=True, kw_only=True)
class PublishedWeights:
    """One checkpoint: where it is, how to know it, what it gives."""

    model: str
    tag: str  # data set, dot, publisher; no dot in those trained here
    url: str = ""  # none where the file is shipped beside the manifest
    file: str  # its name there, or in the cache
    hash: str  # "sha256:", "sha256-prefix:", "sha1:" or "md5:" and hex digits, or ""; of a .zip that of the .h5 inside
    bytes: int | None = None
    classes: str | tuple[str, ...]  # a name for `classes`, or the names themselves; () without a head
    include_top: bool = True
    preprocessing: Any
    input_size: int  # side that the accuracy was measured at
    resize: int  # of the shorter side, before the centre is cropped; if input_size, the whole image is squashed
    interpolation: str = "bilinear"
    pad: int = 0
    data: str  # that the accuracy was measured on
    top1: float | None = None  # per cent; of those trained here measured, else published
    top5: float | None = None
    license: str  # SPDX, "" where nobody states one
    license_from: str  # who states it: "weights" (the publisher, for these) or "repository" (for the code only)
    source: str
    verified: bool = False  # was this very file loaded and checked here
    recipe: str = ""
    seed: int | None = None
    test_images: int | None = None

    def __str__(self) -> str:
        known = [f"{self.tag}:"]
        known.append(
            "no head," if not self.include_top else f"{self.top1:.2f} %" if self.top1 else "accuracy not stated"
        )
        known.append(f"on {self.data};" if self.include_top else "")
        known.append(f"{self.bytes:,} bytes," if self.bytes else "")
        known.append(self.license or "no licence stated")
        known.append("" if self.commercial or not self.license else "(not commercial)")
        return " ".join(filter(None, known))

    @property
    def accuracy(self) -> float | None:
        return self.top1

    @property
    def commercial(self) -> bool:
        return self.license in COMMERCIAL_LICENSES

    @property
    def class_names(self) -> tuple[str, ...]:
        return load_class_names(self.classes) if isinstance(self.classes, str) else self.classes

    @property
    def class_ids(self) -> tuple[str, ...]:
        """WordNet's, of ImageNet's classes."""
        return load_wordnet_ids() if self.classes == "imagenet" else ()

    @property
    def sha256(self) -> str:
        """All 64 digits, or "" where they are not known."""
        return self.hash.removeprefix("sha256:") if self.hash.startswith("sha256:") else ""

    @property
    def transform(self) -> dict[str, Any]:
        """What the card keeps of the evaluation transform."""
        side = self.input_size - 2 * self.pad
        crop = None if self.resize == side else side / self.resize
        return {"crop": crop, "interpolation": self.interpolation}

    @property
    def path(self) -> Traversable:
        """Of what is shipped."""
        return weights_folder() / self.file

    @property
    def provenance(self) -> dict[str, Any]:
        """What the card keeps of the row."""
        keys = "tag file url hash data accuracy top1 top5 licence licence_from source verified recipe seed"
        # The spelling "licence" is part of the file format of cards.
        return {key: getattr(self, key.replace("licence", "license")) for key in keys.split()}


def weights_folder() -> Traversable:
    """The shipped weights: installed as the package cnnzoo.weights, in a checkout the folder beside the package."""
    checkout = Path(__file__).parents[2] / "weights"
    return checkout if (checkout / "manifest.toml").exists() else resources.files("cnnzoo.weights")


@cache
def load_rows() -> tuple[PublishedWeights, ...]:
    """Every row of weights/manifest.toml."""
    table = tomllib.loads((weights_folder() / "manifest.toml").read_text(encoding="utf-8"))
    found = []
    for publisher in table["publisher"]:
        lines = publisher.pop("weights")
        found += [table["data"][line["tag"].partition(".")[0]] | publisher | line for line in lines]
    return tuple(map(_make_row, found + table["weights"]))


def _make_row(fields: dict[str, Any]) -> PublishedWeights:
    """A row of what its line, its publisher and its data set say."""
    key = fields.pop("id", "")
    url = fields.get("url", "").format(id=key)
    file = fields.get("file", url.rpartition("/")[2]).format(id=key)
    names = fields["classes"]
    return PublishedWeights(
        **fields | {"url": url, "file": file, "classes": names if isinstance(names, str) else tuple(names)}
    )


def list_tags(model: str) -> list[str]:
    """The tags under which weights of `model` are published."""
    return [row.tag for row in load_rows() if row.model == model]


def find_weights(model: str, tag: str) -> PublishedWeights:
    """The row of a tag, or a data set's default; raises InputError that names the nearest tags.

    The default is the most accurate one with a head among those that may be used commercially; where there are none,
    among those whose licence is stated, then among all. Within a tenth of a per cent, a published hash decides.
    """
    mine = {row.tag: row for row in load_rows() if row.model == model}
    if tag in mine:
        return mine[tag]
    heads = [row for row in mine.values() if row.include_top and row.tag.startswith(f"{tag}.")]
    if not heads:
        raise unknown_name(f"weights of {model}", tag, {*mine, *(name.partition(".")[0] for name in mine)})
    return max(
        heads, key=lambda row: (row.commercial, bool(row.license), round(row.top1 or 0, 1), bool(row.hash), row.top1)
    )


@cache
def load_class_names(name: str) -> tuple[str, ...]:
    """A list of classes, in the order of the logits; raises InputError for an unknown name."""
    return _load_column(name, "name")


@cache
def load_wordnet_ids() -> tuple[str, ...]:
    """The WordNet ids of ImageNet's classes, in the order of the logits."""
    return _load_column("imagenet", "wnid")


def _load_column(name: str, column: str) -> tuple[str, ...]:
    """A column of the table weights/`name`.csv."""
    lists = {path.name.removesuffix(".csv"): path for path in weights_folder().iterdir() if path.name.endswith(".csv")}
    if name not in lists:
        raise unknown_name("list of classes", name, lists)
    lines = lists[name].read_text(encoding="utf-8").splitlines()
    return tuple(row[column] for row in csv.DictReader(lines))
