"""Find and read the weights that a user asked for: none, a tag of the manifest, or a file."""

from __future__ import annotations

from dataclasses import dataclass, field
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cnnzoo.cards import Card
from cnnzoo.checkpoints import manifest, tensors, translate
from cnnzoo.core.errors import InputError

if TYPE_CHECKING:
    import numpy as np

CHECKPOINT_SUFFIXES = (".safetensors", ".pth", ".pt", ".th", ".h5", ".npz", ".zip")  # these tell a path from a tag


@dataclass(frozen=True, kw_only=True)
class WeightsSource:
    """The tensors of a checkpoint and what is known about them; empty if fresh weights are wanted."""

    name: str = ""  # for messages
    tensors: dict[str, np.ndarray] = field(default_factory=dict)  # by their names in the file
    classes: tuple[str, ...] = ()  # () if the file does not name them
    ids: tuple[str, ...] = ()  # WordNet ids of the classes, if they have some
    preprocessing: Any = None  # the statistics that the weights were trained with; None if not known
    pad: int = 0  # black pixels around the resized image
    transform: dict[str, Any] | None = None  # crop and interpolation that the accuracy was measured with
    provenance: dict[str, Any] = field(default_factory=dict)
    training: dict[str, Any] = field(default_factory=dict)
    ours: bool = False  # whether `save_weights` wrote the file, with our names of the tensors

    @classmethod
    def from_file(cls, path: Path, license: str | None) -> WeightsSource:
        """Read a user's own file; a card of cnnzoo in it restores the classes and the preprocessing."""
        arrays, card = tensors.read_weights_file(path)
        if card is None:
            layout = translate.recognize_layout(arrays)
            preprocessing = layout.preprocessing if layout else None
            return cls(name=path.name, tensors=arrays, preprocessing=preprocessing, provenance={"file": path.name})
        return cls._from_card(path, arrays, card, license)

    @classmethod
    def _from_card(cls, path: Path, arrays: dict[str, np.ndarray], card: Card, license: str | None) -> WeightsSource:
        # A copy of published weights stays under their license.
        stated = {key: value for key, value in (card.weights or {}).items() if key == "license"}
        _check_license(path.name, stated.get("license"), license)
        return cls(
            name=path.name,
            tensors=arrays,
            classes=card.classes,
            ids=card.ids,
            preprocessing=card.preprocessing,
            pad=card.pad,
            transform=card.transform,
            provenance={"file": path.name, **stated},
            training=card.training,
            ours=True,
        )

    @classmethod
    def from_row(cls, row: manifest.PublishedWeights) -> WeightsSource:
        """Read the file of a row of the manifest: downloaded and verified, or shipped with the package."""
        if row.url:
            from cnnzoo.checkpoints.download import fetch

            path, sha256 = fetch(row.url, row.file, row.hash, row.bytes)
            arrays, card = tensors.read_weights_file(path, sha256)
        else:
            with resources.as_file(row.path) as path:
                arrays, card = tensors.read_weights_file(path, row.sha256)
        return cls(
            name=f"{row.file} ({row.tag})",
            tensors=arrays,
            classes=row.class_names,
            ids=row.class_ids,
            preprocessing=row.preprocessing,
            pad=row.pad,
            transform=row.transform,
            provenance=row.provenance,
            training=card.training if card else {},
            ours=card is not None,
        )


def resolve_weights(title: str, weights: str | Path | None, license: str | None = None) -> WeightsSource:
    """Read what `weights` refers to, for the model called `title`.

    Args:
        title: the name of the model.
        weights: a tag of the manifest, the path of a checkpoint, or None for fresh weights.
        license: "commercial" to refuse weights whose license forbids commercial use or is not stated. A user's own
            files have no license unless they are copies of published weights.

    Raises:
        InputError: if there are no such weights, if they cannot be read, or if their license is refused.
    """
    if weights is None:
        return WeightsSource()
    if not isinstance(weights, str | Path):
        raise InputError(f"weights must be a tag, the path of a file, or None. Received: {weights!r}")
    if isinstance(weights, Path) or Path(weights).suffix.lower() in CHECKPOINT_SUFFIXES:
        return WeightsSource.from_file(Path(weights), license)
    if Path(weights).is_file():
        raise InputError(
            f"The suffix of a checkpoint must be one of {', '.join(CHECKPOINT_SUFFIXES)}. Received: {weights!r}"
        )
    row = manifest.find_weights(title, weights)
    _check_license(f"{weights!r} of {title}", row.license, license)
    return WeightsSource.from_row(row)


def _check_license(what: str, stated: str | None, required: str | None) -> None:
    """Raise InputError if commercial use is required and the stated license does not allow it.

    `stated` is "" if the publisher states no license, and None for a user's own file.
    """
    if required and stated is not None and stated not in manifest.COMMERCIAL_LICENSES:
        reason = f"their license is {stated}" if stated else "their publisher states no license"
        raise InputError(f"The weights {what} may not be used commercially: {reason}")
