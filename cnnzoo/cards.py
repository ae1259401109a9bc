"""The model card: the classes of a model, its preprocessing, and the origin of its weights."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cnnzoo.core.errors import InputError, check_class_names, check_integer
from cnnzoo.core.files import atomic_write, read_bounded
from cnnzoo.core.json_files import JSON_ERRORS, MAX_JSON_BYTES, parse_json
from cnnzoo.core.paths import check_path
from cnnzoo.core.types import Preprocessing

if TYPE_CHECKING:
    import keras

# The share of a photo's side that is kept if the weights specify no crop: 224 of 256, as since AlexNet.
DEFAULT_CROP = 0.875


@dataclass(frozen=True)
class Receipt:
    """The result of loading weights, tensor by tensor."""

    loaded: tuple[str, ...] = ()  # variables of the model that took a tensor
    initialized: tuple[str, ...] = ()  # variables that kept their fresh values, such as a new head's
    dropped: tuple[str, ...] = ()  # tensors of the checkpoint that the network does not need
    adapted: tuple[str, ...] = ()  # the first kernel, if the model's images have other channels
    notes: tuple[str, ...] = ()  # decisions that were taken, and what the checkpoint could not tell

    def __str__(self) -> str:
        counters = [name for name in self.dropped if name.endswith("num_batches_tracked")]
        dropped = tuple(name for name in self.dropped if name not in counters)
        groups = {"initialized": self.initialized, "dropped": dropped, "adapted": self.adapted}
        parts = [f"{len(self.loaded)} loaded"]
        for kind, names in groups.items():
            if names:
                parts.append(f"{len(names)} {kind} ({', '.join(names[:4])}{', ...' if len(names) > 4 else ''})")
        if counters:
            parts.append(f"{len(counters)} batch counters of torch dropped")
        return "; ".join([", ".join(parts), *self.notes])

    def to_dict(self) -> dict[str, Any]:
        """Return the fields under the keys of the file format, which says "initialised"."""
        names = dataclasses.asdict(self)
        if not self.notes:
            del names["notes"]  # unknown to older versions
        return {"loaded": names.pop("loaded"), "initialised": names.pop("initialized"), **names}

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> Receipt:
        """Build a receipt from the keys of the file format; raise TypeError for an unknown key."""
        names = {key: tuple(value) for key, value in values.items()}
        return cls(**{"initialized" if key == "initialised" else key: value for key, value in names.items()})


@dataclass(frozen=True)
class Card:
    """The description of a model: classes, preprocessing, origin of the weights. Stored as JSON.

    `cnnzoo.card(model)` returns it. Every way of saving or exporting a model writes it too.

    Attributes:
        name: the name of the network.
        classes: class names in the order of the logits; empty without a head.
        preprocessing: a name from `cnnzoo.preprocessing.STATISTICS`, or a pair (mean, std) for pixels scaled to 0..1.
        pad: black pixels around the resized image, as the weights were trained.
        weights: the origin of the weights: tag or file, SHA-256, license, source.
        receipt: the receipt of loading the weights: every tensor and how it was treated.
        training: recipe, seed and data, if the model was trained with cnnzoo.
        ids: identifiers of the classes, such as WordNet's for ImageNet; empty if they have none.
        temperature: the number by which the logits are divided to get calibrated probabilities.
        transform: crop and interpolation of the evaluation, or `None` if the weights specify none. `levels`, if the
            images have more than 8 bits: the levels that become black and white.

    Example:
        >>> card = cnnzoo.card(cnnzoo.get("lenet5", classes=["cat", "dog"]))
        >>> card.classes
        ('cat', 'dog')
        >>> card.preprocessing
        'unit'
    """

    name: str
    classes: tuple[str, ...] = ()
    preprocessing: Preprocessing | None = None
    pad: int = 0
    weights: dict[str, Any] | None = None
    receipt: Receipt | None = None
    training: dict[str, Any] = field(default_factory=dict)
    ids: tuple[str, ...] = ()
    temperature: float | None = None
    transform: dict[str, Any] | None = None

    def __post_init__(self) -> None:
        if len(self.ids) != len(self.classes):  # they belong to other classes
            object.__setattr__(self, "ids", ())
        if not isinstance(self.preprocessing, str | None):
            # JSON and TOML give lists, NumPy its own numbers. Equal cards must compare equal and be valid JSON.
            mean, std = (tuple(map(float, values)) for values in self.preprocessing)
            object.__setattr__(self, "preprocessing", (mean, std))

    @property
    def evaluation_transform(self) -> dict[str, Any]:
        """Crop and interpolation for evaluation: those of the weights, or what is usual for photos."""
        return {"crop": DEFAULT_CROP, "interpolation": "bilinear"} | (self.transform or {})

    def to_json(self) -> str:
        """Return the card as indented JSON."""
        values = dataclasses.asdict(self)
        values["receipt"] = self.receipt and self.receipt.to_dict()
        return json.dumps(values, indent=1, ensure_ascii=False) + "\n"

    @classmethod
    def from_json(cls, text: str | bytes) -> Card:
        """Read a card from JSON; raise InputError if the text is not a valid card."""
        try:
            values = parse_json(text, "the text")
            receipt = values.pop("receipt", None)
            for key in ("classes", "ids"):
                values[key] = tuple(map(str, values.get(key, ())))
            # Cards of versions before 0.7 spell these two keys the British way.
            for old, new in (("licence", "license"), ("licence_from", "license_from")):
                if isinstance(values.get("weights"), dict) and old in values["weights"]:
                    values["weights"].setdefault(new, values["weights"].pop(old))
            card = cls(**values, receipt=receipt and Receipt.from_dict(receipt))
            card._check()
        except JSON_ERRORS as error:
            raise InputError(f"This is not a model card of cnnzoo: {error}") from None
        return card

    @classmethod
    def from_file(cls, path: Path) -> Card:
        """Read a card from a file; raise InputError, with the path, if that fails."""
        try:
            return cls.from_json(read_bounded(path, MAX_JSON_BYTES))
        except (OSError, InputError) as error:
            raise InputError(f"Cannot read the card {str(path)!r}: {error}") from None

    def _check(self) -> None:
        """Raise TypeError or ValueError for a field with an invalid value."""
        if not isinstance(self.training, dict) or not isinstance(self.weights, dict | None):
            raise TypeError("training and weights must be objects")
        if self.transform is not None and not set(self.transform) <= {"crop", "interpolation", "levels"}:
            raise TypeError("transform must hold a crop, an interpolation and perhaps levels")
        check_integer("pad", self.pad, 0, 10_000)
        if self.temperature is not None and not 0 < self.temperature < 1000:
            raise TypeError("temperature must be a positive number")
        if self.classes:
            check_class_names(self.classes)


def card(model: keras.Model) -> Card:
    """Return the card of a model: its classes, preprocessing, provenance and loading receipt.

    Args:
        model: a Keras model. One that does not come from cnnzoo gets a card with numbers for class names.

    Returns:
        The `Card` of the model.

    Example:
        >>> model = cnnzoo.get("lenet5", weights="mnist")
        >>> cnnzoo.card(model).weights["tag"]
        'mnist'
        >>> print(cnnzoo.card(model).receipt)
        10 loaded
    """
    attached: Card | None = getattr(model, "_cnnzoo_card", None)
    if attached is not None:
        return attached
    output = getattr(model, "output", None)  # a Sequential has none
    heads = output if isinstance(output, dict) else {}  # auxiliary ones beside the logits
    shape = tuple(heads["logits"].shape) if "logits" in heads else model.output_shape
    classes = shape[-1] if isinstance(shape, tuple) and len(shape) == 2 else 0
    return Card(model.name, default_class_names(classes or 0))


def default_class_names(count: int) -> tuple[str, ...]:
    """Return "0", "1", ...: the names of `count` classes that have no other names."""
    return tuple(map(str, range(count)))


def replace_classes(card: Card, classes: Sequence[str]) -> Card:
    """Return the card of a model whose head was replaced by one for other classes."""
    return replace(card, classes=tuple(classes), ids=(), temperature=None)


def attach_card(model: keras.Model, card: Card) -> keras.Model:
    """Give `model` its card, and return the model."""
    object.__setattr__(model, "_cnnzoo_card", card)  # bypasses Keras' attribute tracking, which is for layers
    return model


def card_path(path: Path) -> Path:
    """Return where the card of the model file `path` is stored."""
    return path.with_suffix(".card.json")


def save(model: keras.Model, path: str | Path) -> Path:
    """Write a model to a .keras file, and its card beside it (.card.json).

    An existing file stays intact until the new one is complete. `cnnzoo.load` reads both back; a model made of stock
    Keras layers can also be loaded with `keras.saving.load_model`, without cnnzoo.

    Args:
        model: a Keras model.
        path: the file to write; its suffix must be .keras.

    Returns:
        The path of the model file.

    Raises:
        InputError: if the suffix is another one, or if the folder cannot be written to.

    Example:
        >>> path = cnnzoo.save(cnnzoo.get("lenet5"), "lenet5.keras")
        >>> cnnzoo.load(path).model.name
        'lenet5'
    """
    path = check_path(path)
    if path.suffix != ".keras":
        raise InputError(f"The file name of a saved model must end in .keras. Received: {str(path)!r}")
    with atomic_write(path) as new:
        model.save(new)
    with atomic_write(card_path(path)) as new:
        new.write_text(card(model).to_json(), encoding="utf-8")
    return path
