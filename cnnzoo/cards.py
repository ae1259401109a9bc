"""The model card: what a model is, which classes it tells apart, and where its weights come from."""

import dataclasses
import json
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from cnnzoo.core.errors import InputError, check_class_names, check_integer
from cnnzoo.core.files import atomic_write

DEFAULT_CROP = 0.875  # of the side of a photo, where weights state nothing: 224 of 256, as since AlexNet


@dataclass(frozen=True)
class Receipt:
    """What became of every tensor when weights were loaded."""

    loaded: tuple[str, ...] = ()  # names of the model's variables
    initialised: tuple[str, ...] = ()  # variables left at their fresh values, a new head's for one
    dropped: tuple[str, ...] = ()  # tensors of the checkpoint that the design permits to leave out
    adapted: tuple[str, ...] = ()  # the first kernel, where the images have other channels

    def __str__(self) -> str:
        counters = [name for name in self.dropped if name.endswith("num_batches_tracked")]
        dropped = tuple(name for name in self.dropped if name not in counters)
        names = {"initialised": self.initialised, "dropped": dropped, "adapted": self.adapted}
        parts = [f"{len(self.loaded)} loaded"]
        for key, value in names.items():
            if value:
                parts.append(f"{len(value)} {key} ({', '.join(value[:4])}{', ...' if len(value) > 4 else ''})")
        if counters:
            parts.append(f"{len(counters)} of torch's counters left out")
        return ", ".join(parts)


@dataclass(frozen=True)
class Card:
    """What travels with a model beside its graph; JSON in files."""

    name: str
    classes: tuple[str, ...] = ()  # in the order of the logits; empty without a head
    preprocessing: Any = None  # a name of preprocessing.STATISTICS or a pair (mean, std)
    pad: int = 0  # black pixels around the resized image, as the weights were trained
    weights: dict[str, Any] | None = None  # provenance: tag or file, sha256, licence, source
    receipt: Receipt | None = None
    training: dict[str, Any] = field(default_factory=dict)  # recipe, seed, data, if trained here
    ids: tuple[str, ...] = ()  # of the classes, where they have some: WordNet's
    temperature: float | None = None  # by which the logits are divided for probabilities that mean what they say
    transform: dict[str, Any] | None = None  # crop and interpolation of the evaluation, as data.transform has them

    def __post_init__(self) -> None:
        if len(self.ids) != len(self.classes):  # of other classes
            object.__setattr__(self, "ids", ())
        if not isinstance(self.preprocessing, str | None):  # JSON and TOML give lists; equal cards compare equal
            pair = tuple(tuple(map(float, side)) for side in self.preprocessing)  # numpy's numbers are no JSON
            object.__setattr__(self, "preprocessing", pair)

    @property
    def evaluation(self) -> dict[str, Any]:
        """Crop and interpolation: the weights' own, or what is usual for photos."""
        return {"crop": DEFAULT_CROP, "interpolation": "bilinear"} | (self.transform or {})

    def to_json(self) -> str:
        return json.dumps(dataclasses.asdict(self), indent=1, ensure_ascii=False) + "\n"

    @classmethod
    def from_json(cls, text: str | bytes) -> "Card":
        """Raises InputError where the text is no card."""
        try:
            values = json.loads(text)
            receipt = values.pop("receipt", None)
            for key in ("classes", "ids"):
                values[key] = tuple(map(str, values.get(key, ())))
            found = cls(**values, receipt=receipt and Receipt(**{k: tuple(v) for k, v in receipt.items()}))
            if not isinstance(found.training, dict) or not isinstance(found.weights, dict | None):
                raise TypeError("training and weights are objects")
            if found.transform is not None and not set(found.transform) <= {"crop", "interpolation"}:
                raise TypeError("transform has a crop and an interpolation")
            check_integer("pad", found.pad, 0, 10_000)
            if found.temperature is not None and not 0 < found.temperature < 1000:
                raise TypeError("temperature is a positive number")
            if found.classes:
                check_class_names(found.classes)
        except (TypeError, ValueError, AttributeError, RecursionError) as error:
            raise InputError(f"This is no model card of cnnzoo: {error}") from None
        return found

    @classmethod
    def read(cls, path: Path) -> "Card":
        """The card in a file; raises InputError that names it."""
        try:
            return cls.from_json(path.read_bytes())
        except (OSError, InputError) as error:
            raise InputError(f"Cannot read the card {str(path)!r}: {error}") from None


def card(model: Any) -> Card:
    """The card of a model from `get` or `load`; for any other Keras model one with numbers for class names."""
    known = getattr(model, "_cnnzoo_card", None)
    if known is not None:
        return known
    output = getattr(model, "output", None)  # a Sequential has none
    heads = output if isinstance(output, dict) else {}  # auxiliary ones beside the logits
    shape = tuple(heads["logits"].shape) if "logits" in heads else model.output_shape
    classes = shape[-1] if isinstance(shape, tuple) and len(shape) == 2 else 0
    return Card(model.name, tuple(map(str, range(classes or 0))))


def replace_classes(card: Card, classes: Sequence[str]) -> Card:
    """The card of a model whose head is new, for other classes."""
    return replace(card, classes=tuple(classes), ids=(), temperature=None)


def attach_card(model: Any, card: Card) -> Any:
    """Give `model` its card; returns the model."""
    object.__setattr__(model, "_cnnzoo_card", card)  # past Keras' tracking, which is for layers
    return model


def card_path(path: Path) -> Path:
    """Where the card of the model file `path` lies."""
    return path.with_suffix(".card.json")


def save(model: Any, path: Any) -> Path:
    """Write the model to `path` (.keras) and its card beside it (.card.json); returns the path.

    A file that was there before stays whole until the new one is complete.
    """
    path = Path(path)
    if path.suffix != ".keras":
        raise InputError(f"A model is saved to a .keras file. Received: {str(path)!r}")
    with atomic_write(path) as new:
        model.save(new)
    with atomic_write(card_path(path)) as new:
        new.write_text(card(model).to_json(), encoding="utf-8")
    return path
