"""The manifest: a row for every checkpoint, with its evidence. Imports no Keras."""

import tomllib
from dataclasses import dataclass
from functools import cache
from importlib import resources
from importlib.resources.abc import Traversable
from pathlib import Path
from typing import Any

from cnnzoo.errors import unknown

COMMERCIAL = ("Apache-2.0", "BSD-3-Clause", "MIT")  # licences that allow commercial use


@dataclass(frozen=True, kw_only=True)
class Weights:
    """One checkpoint: where it is, how to know it, what it gives."""

    model: str
    tag: str
    file: str  # shipped beside the manifest
    sha256: str
    bytes: int
    classes: tuple[str, ...]
    preprocessing: Any
    pad: int = 0
    data: str
    recipe: str
    seed: int
    accuracy: float  # per cent of the test split, measured here
    test_images: int
    licence: str
    source: str
    verified: bool  # was this very file loaded and its accuracy measured

    @property
    def provenance(self) -> dict[str, Any]:
        """What the card keeps of the row."""
        keys = ("tag", "file", "sha256", "data", "recipe", "seed", "accuracy", "licence", "source", "verified")
        return {key: getattr(self, key) for key in keys}

    @property
    def path(self) -> Traversable:
        return folder() / self.file


def folder() -> Traversable:
    """The shipped weights: installed as the package cnnzoo.weights, in a checkout the folder beside the package."""
    checkout = Path(__file__).parents[2] / "weights"
    return checkout if (checkout / "manifest.toml").exists() else resources.files("cnnzoo.weights")


@cache
def rows() -> tuple[Weights, ...]:
    """Every row of weights/manifest.toml."""
    table = tomllib.loads((folder() / "manifest.toml").read_text(encoding="utf-8"))
    return tuple(Weights(**row | {"classes": tuple(row["classes"])}) for row in table.get("weights", ()))


def tags(model: str) -> list[str]:
    """The tags under which weights of `model` are published."""
    return [row.tag for row in rows() if row.model == model]


def find(model: str, tag: str) -> Weights:
    """The row of one checkpoint; raises InputError that names the nearest tags."""
    for row in rows():
        if (row.model, row.tag) == (model, tag):
            return row
    raise unknown(f"weights of {model}", tag, tags(model))
