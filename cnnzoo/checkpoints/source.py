"""Find and read the weights that a user asked for: none, a tag of the manifest, or a file."""

from __future__ import annotations

import os
from dataclasses import dataclass, field, replace
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cnnzoo.cards import Card, card_path, find_card, find_networks
from cnnzoo.checkpoints import manifest, tensors
from cnnzoo.checkpoints.class_names import find_class_names
from cnnzoo.checkpoints.layouts import Layout
from cnnzoo.checkpoints.readers import SUFFIXES, Checkpoint
from cnnzoo.checkpoints.weight_files import read_neighbor_config
from cnnzoo.checkpoints.weight_sets import WeightSet, choose_weight_set, find_weight_sets
from cnnzoo.core.errors import InputError
from cnnzoo.core.paths import check_path, expand_home, nearest_path, path_exists

if TYPE_CHECKING:
    import numpy as np

CHECKPOINT_SUFFIXES = (*SUFFIXES, ".json")  # these tell a path from a tag


@dataclass(frozen=True, kw_only=True)
class WeightsSource:
    """The tensors of a checkpoint and what is known about them; empty if fresh weights are wanted."""

    name: str = ""  # for messages
    path: str = ""  # of a user's own file, as given
    sets: tuple[WeightSet, ...] = ()  # the sets of weights to choose from, the most likely first
    all_sets: tuple[WeightSet, ...] = ()  # those too that the user did not ask for
    classes: tuple[str, ...] = ()  # () if the file does not name them
    other_classes: tuple[str, ...] = ()  # names in a file of another program; they give way to the user's own
    ids: tuple[str, ...] = ()  # WordNet ids of the classes, if they have some
    preprocessing: Any = None  # the statistics that the weights were trained with; None if not known
    pad: int = 0  # black pixels around the resized image
    transform: dict[str, Any] | None = None  # crop and interpolation that the accuracy was measured with
    provenance: dict[str, Any] = field(default_factory=dict)
    training: dict[str, Any] = field(default_factory=dict)
    ours: bool = False  # whether `save_weights` wrote the file, with our names of the tensors
    network: str = ""  # the network that the file says it is of
    stated: str = ""  # the network that the user says it is of: weights="file.pth#NAME"
    published: bool = False  # whether the manifest vouches for the network
    keras_config: dict[str, Any] = field(default_factory=dict)  # the configuration of the model in the file
    notes: tuple[str, ...] = ()  # decisions that the receipt states

    @property
    def tensors(self) -> dict[str, np.ndarray]:
        """The tensors of the first set, by their names in the file."""
        return self.sets[0].tensors if self.sets else {}

    @property
    def layout(self) -> Layout | None:
        """The publisher's layout of the first set."""
        return self.sets[0].layout if self.sets else None

    @classmethod
    def from_file(cls, path: Path, wanted: str, title: str, license: str | None) -> WeightsSource:
        """Read a user's own file; a card of cnnzoo in it restores the classes and the preprocessing.

        Args:
            path: the file.
            wanted: the name of a set of weights in it, or `title` to state the network that it is of; "" otherwise.
            title: the name of the network.
            license: "commercial" if commercial use is required.
        """
        checkpoint, card = tensors.read_weights_file(path)
        all_sets = tuple(_find_sets(checkpoint, path.name))
        config = read_neighbor_config(path)
        if config.get("downsample_in_bottleneck") is True:  # a ResNet of transformers with the stride in the 1x1
            all_sets = tuple(_with_fields(weight_set, {"stride_in": "1x1"}) for weight_set in all_sets)
        sets = list(all_sets)
        is_network = wanted == title and not any(wanted in weight_set.name for weight_set in sets)
        if wanted and not is_network:
            sets = choose_weight_set(sets, wanted, path.name)
        source = cls(
            name=path.name,
            path=str(path),
            sets=tuple(sets),
            all_sets=all_sets,
            provenance={"file": path.name} | ({"set": sets[0].name} if len(all_sets) > 1 else {}),
            other_classes=checkpoint.class_names or find_class_names(config),
            keras_config=checkpoint.network,
            stated=wanted if is_network else "",
        )
        card = card or find_card(checkpoint.network, title)  # a .keras file has it in the model
        if card is None and path.suffix == ".keras" and card_path(path).exists():  # or, from older versions, beside it
            card = Card.from_file(card_path(path))
        if card is None:
            layout, networks = source.layout, find_networks(checkpoint.network)
            preprocessing = layout.preprocessing if layout else None
            return replace(source, preprocessing=preprocessing, network=networks[0] if networks else "")
        return source._with_card(path, card, license)

    def _with_card(self, path: Path, card: Card, license: str | None) -> WeightsSource:
        # A copy of published weights stays under their license.
        stated = {key: value for key, value in (card.weights or {}).items() if key == "license"}
        _check_license(path.name, stated.get("license"), license)
        return replace(
            self,
            classes=card.classes,
            ids=card.ids,
            preprocessing=card.preprocessing,
            pad=card.pad,
            transform=card.transform,
            provenance={"file": path.name, **stated},
            training=card.training,
            ours=True,
            network=card.name,
        )

    @classmethod
    def from_row(cls, row: manifest.PublishedWeights) -> WeightsSource:
        """Read the file of a row of the manifest: downloaded and verified, or shipped with the package."""
        if row.url:
            from cnnzoo.checkpoints.download import fetch

            path, sha256 = fetch(row.url, row.file, row.hash, row.bytes)
            checkpoint, card = tensors.read_weights_file(path, sha256)
        else:
            with resources.as_file(row.path) as path:
                checkpoint, card = tensors.read_weights_file(path, row.sha256)
        sets = tuple(_find_sets(checkpoint, row.file))
        return cls(
            name=f"{row.file} ({row.tag})",
            sets=sets,
            all_sets=sets,
            classes=row.class_names,
            ids=row.class_ids,
            preprocessing=row.preprocessing,
            pad=row.pad,
            transform=row.transform,
            provenance=row.provenance,
            training=card.training if card else {},
            ours=card is not None,
            published=True,
        )


def _find_sets(checkpoint: Checkpoint, name: str) -> list[WeightSet]:
    """Return the sets of weights in a file; errors name it."""
    try:
        return find_weight_sets(checkpoint.sets)
    except InputError as error:
        raise InputError(f"Cannot find a network in {name}: {error}") from None


def _with_fields(weight_set: WeightSet, fields: dict[str, Any]) -> WeightSet:
    """Return a set of weights whose layout is of rows with other fields."""
    layout = weight_set.layout
    return replace(weight_set, layout=replace(layout, fields={**layout.fields, **fields})) if layout else weight_set


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
    path, wanted = split_fragment(weights)
    if isinstance(weights, Path) or is_weights_path(weights, title):
        return WeightsSource.from_file(path, wanted, title, license)
    row = manifest.find_weights(title, weights)
    _check_license(f"{weights!r} of {title}", row.license, license)
    return WeightsSource.from_row(row)


def check_weights_exist(title: str, weights: str) -> None:
    """Check that a tag is known, or that there is a file, for the model called `title`; nothing is read or downloaded.

    Raises:
        InputError: if there are no such weights.
    """
    path, _ = split_fragment(weights)
    if not is_weights_path(weights, title):
        manifest.find_weights(title, weights)
    elif not path_exists(check_path(path, "the weights")):
        near = nearest_path(path)
        hint = f". Did you mean {near}?" if near else ""
        raise InputError(f"Cannot read the weights {str(path)!r}: there is no such file{hint}")


def is_weights_path(weights: str, title: str) -> bool:
    """Return whether `weights` is the path of a file rather than a tag, for the model called `title`."""
    return _looks_like_path(weights, title) or _looks_like_path(str(split_fragment(weights)[0]), title)


def split_fragment(weights: str | Path) -> tuple[Path, str]:
    """Return the path and the name after the last "#", unless there is a file with that character in its name.

    "~" and "~user" at the beginning stand for a home directory, as in every other path; see `check_path`.
    """
    text = os.fspath(weights)
    if text.startswith("~") and not path_exists(text.partition("/")[0]):
        text = str(expand_home(text))
    path, mark, name = text.rpartition("#")
    try:
        whole = not mark or os.path.lexists(text)
    except ValueError:  # a null byte, which reading the file reports
        whole = True
    return (Path(text), "") if whole else (Path(path), name)


def _looks_like_path(text: str, title: str) -> bool:
    """Return whether a text is a path rather than a tag: by its separators, its suffix, or because there is a file."""
    if os.sep in text or (os.altsep or os.sep) in text:
        return True
    tags = manifest.list_tags(title)
    if text in tags or any(tag.startswith(f"{text}.") for tag in tags):
        return False
    return Path(text).suffix.lower() in CHECKPOINT_SUFFIXES or _is_file(text)


def _is_file(text: str) -> bool:
    """Return whether there is a file of that name; a name that no file can have has none."""
    try:
        return Path(text).is_file()
    except (OSError, ValueError):
        return False


def _check_license(what: str, stated: str | None, required: str | None) -> None:
    """Raise InputError if commercial use is required and the stated license does not allow it.

    `stated` is "" if the publisher states no license, and None for a user's own file.
    """
    if required and stated is not None and stated not in manifest.COMMERCIAL_LICENSES:
        reason = f"their license is {stated}" if stated else "their publisher states no license"
        raise InputError(f"The weights {what} may not be used commercially: {reason}")
