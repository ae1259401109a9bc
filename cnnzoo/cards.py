"""The model card: the classes of a model, its preprocessing, and the origin of its weights."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cnnzoo import card_storage
from cnnzoo.core.arguments import check_arguments
from cnnzoo.core.attributes import SuggestsAttributes
from cnnzoo.core.card_fields import check_card_fields, check_crop, check_interpolation
from cnnzoo.core.card_summary import summarize_card
from cnnzoo.core.errors import InputError, check_class_names, check_integer, check_levels
from cnnzoo.core.files import atomic_write, read_bounded
from cnnzoo.core.json_files import JSON_ERRORS, MAX_JSON_BYTES, parse_json
from cnnzoo.core.lazy import Lazy
from cnnzoo.core.notebook import render_notebook
from cnnzoo.core.tables import align_columns
from cnnzoo.core.text import escape_controls
from cnnzoo.core.types import Preprocessing
from cnnzoo.core.warn import warn_caller

if TYPE_CHECKING:
    import keras
else:
    keras = Lazy("keras")

# The share of a photo's side that is kept if the weights specify no crop: 224 of 256, as since AlexNet.
DEFAULT_CROP = 0.875
# How Keras' own loaders feed a model: the whole image, resized without keeping its aspect ratio.
KERAS_TRANSFORM = {"crop": None, "interpolation": "bilinear"}


@dataclass(frozen=True, repr=False)
class Receipt:
    """The result of loading weights, tensor by tensor."""

    loaded: tuple[str, ...] = ()  # variables of the model that took a tensor
    initialized: tuple[str, ...] = ()  # variables that kept their fresh values, such as a new head's
    dropped: tuple[str, ...] = ()  # tensors of the checkpoint that the network does not need
    adapted: tuple[str, ...] = ()  # the first kernel, if the model's images have other channels
    notes: tuple[str, ...] = ()  # decisions that were taken, and what the checkpoint could not tell

    def __repr__(self) -> str:
        return f"<Receipt: {self}>"

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


@dataclass(frozen=True, repr=False)
class Card(SuggestsAttributes):
    """The description of a model: classes, preprocessing, origin of the weights. Stored as JSON.

    `cnnzoo.card(model)` returns it. Every way of saving or exporting a model writes it too. Printing it shows the main
    lines; `to_json` returns all of them.

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
        min_probability: the least probability of an answer, chosen on validation images; less probable ones are
            unsure. None if none was chosen.
        calibration: how `temperature` and `min_probability` were chosen, or why they were not.

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
    min_probability: float | None = None
    calibration: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if len(self.ids) != len(self.classes):  # they belong to other classes
            object.__setattr__(self, "ids", ())
        if not isinstance(self.preprocessing, str | None):
            # JSON and TOML give lists, NumPy its own numbers. Equal cards must compare equal and be valid JSON.
            mean, std = (tuple(map(float, values)) for values in self.preprocessing)
            object.__setattr__(self, "preprocessing", (mean, std))

    def __repr__(self) -> str:
        trained = "trained with cnnzoo" if self.training else "none"
        weights = (self.weights or {}).get("tag") or (self.weights or {}).get("file") or trained
        return escape_controls(f"<Card of {self.name}: {len(self.classes):,} classes, weights: {str(weights)[:200]}>")

    def __str__(self) -> str:
        rows = [(f"  {name}", escape_controls(text[:200])) for name, text in summarize_card(self).items() if text]
        return "\n".join([escape_controls(self.name), align_columns(rows)])

    def _repr_html_(self) -> str:
        """Return the main lines of the card for a notebook."""
        return render_notebook(f"Card of {self.name}", facts=summarize_card(self))

    @property
    def evaluation_transform(self) -> dict[str, Any]:
        """Crop and interpolation for evaluation: those of the weights, or what is usual for photos."""
        return {"crop": DEFAULT_CROP, "interpolation": "bilinear"} | (self.transform or {})

    def to_json(self) -> str:
        """Return the card as indented JSON."""
        values = dataclasses.asdict(self)
        values["receipt"] = self.receipt and self.receipt.to_dict()
        for key in ("min_probability", "calibration"):
            if values[key] in (None, {}):
                del values[key]  # unknown to versions before 0.9
        return json.dumps(values, indent=1, ensure_ascii=False) + "\n"

    @classmethod
    def from_json(cls, text: str | bytes) -> Card:
        """Read a card from JSON; raise InputError if the text is not a valid card."""
        try:
            values = parse_json(text, "the text")
            receipt = values.pop("receipt", None)
            check_card_fields(values)
            for key in ("classes", "ids"):
                values[key] = tuple(map(str, values.get(key, ())))
            # Cards of versions before 0.7 spell these two keys the British way.
            for old, new in (("licence", "license"), ("licence_from", "license_from")):
                if isinstance(values.get("weights"), dict) and old in values["weights"]:
                    values["weights"].setdefault(new, values["weights"].pop(old))
            return cls(**values, receipt=receipt and Receipt.from_dict(receipt))
        except JSON_ERRORS as error:
            raise InputError(f"This is not a model card of cnnzoo: {error}") from None

    @classmethod
    def from_file(cls, path: Path) -> Card:
        """Read a card from a file; raise InputError, with the path, if that fails."""
        try:
            return cls.from_json(read_bounded(path, MAX_JSON_BYTES))
        except (OSError, InputError) as error:
            raise InputError(f"Cannot read the card {str(path)!r}: {error}") from None


@check_arguments()
def card(model: keras.Model) -> Card:
    """Return the card of a model: its classes, preprocessing, provenance and loading receipt.

    Args:
        model: a Keras model. One that does not come from cnnzoo gets a card with numbers for class names.

    Returns:
        The `Card` of the model.

    Raises:
        InputError: if `model` is no Keras model with a graph of layers, or if the card in it is damaged.

    Example:
        >>> model = cnnzoo.get("lenet5", weights="mnist")
        >>> cnnzoo.card(model).weights["tag"]
        'mnist'
        >>> print(cnnzoo.card(model).receipt)
        10 loaded
    """
    card_storage.check_has_graph(model)
    override: Card | None = getattr(model, "_cnnzoo_card", None)
    if override is not None:
        return override
    texts = card_storage.read_texts(model)
    head, count = card_storage.head_name(model), card_storage.count_classes(model)
    embedded = Card.from_json(texts[head]) if head in texts else None
    if embedded and (not embedded.classes or len(embedded.classes) == count):
        return embedded
    # Whoever built another head on our layers trained it with Keras, as other people's models are.
    transform = None if card_storage.is_built_by_cnnzoo(model) and not texts else KERAS_TRANSFORM
    return Card(model.name, default_class_names(count), transform=transform)


def warn_if_card_is_missing(model: keras.Model) -> None:
    """Warn of a model that `get` built and that has lost its card."""
    if (
        card_storage.is_built_by_cnnzoo(model)
        and not card_storage.read_texts(model)
        and not hasattr(model, "_cnnzoo_card")
    ):
        warn_caller(
            f"{model.name} was built by cnnzoo but has lost its card, so its class names, border, crop and temperature "
            f"are unknown. Assumed: numbers for names, no border, {100 * DEFAULT_CROP:g} % of photos. Load it from a "
            "file with its .card.json beside it, or pass classes=, pad= and crop=",
        )


def has_card(model: keras.Model) -> bool:
    """Return whether the model has a card of its own, so that `card` need not assume anything."""
    if hasattr(model, "_cnnzoo_card"):
        return True
    if not getattr(model, "inputs", None):  # it has no graph
        return False
    return card_storage.head_name(model) in card_storage.read_texts(model)


def find_card(config: object, name: str) -> Card | None:
    """Return the card of the network `name` in the configuration of a model, as a .keras file holds it."""
    cards = [Card.from_json(text) for text in card_storage.find_texts(config)]
    return next((card for card in cards if card.name == name), None)


def find_networks(config: object) -> list[str]:
    """Return the names of the networks whose cards are in the configuration of a model."""
    return list(dict.fromkeys(Card.from_json(text).name for text in card_storage.find_texts(config)))


def default_class_names(count: int) -> tuple[str, ...]:
    """Return "0", "1", ...: the names of `count` classes that have no other names."""
    return tuple(map(str, range(count)))


def replace_classes(card: Card, classes: Sequence[str]) -> Card:
    """Return the card of a model whose head was replaced by one for other classes."""
    return replace(without_calibration(card), classes=tuple(classes), ids=())


def without_calibration(card: Card) -> Card:
    """Return the card of a model whose weights change: what was chosen for its probabilities is not known any more."""
    return replace(card, temperature=None, min_probability=None, calibration={})


def change_card(
    card: Card,
    classes: Sequence[str] | None = None,
    crop: float | str | None = "auto",
    interpolation: str = "auto",
    pad: int | None = None,
    levels: float | Sequence[float] | None = None,
) -> Card:
    """Return a card with other class names, or with another transform; "auto" and None keep what the card says.

    Raises:
        InputError: if a value is not allowed, or if there are more or fewer names than classes.
    """
    changes: dict[str, Any] = {}
    if classes is not None:
        if not isinstance(classes, list | tuple):
            raise InputError(f"classes must be a list of names. Received: {classes!r:.100}")
        changes["classes"] = check_class_names(classes)
        if card.classes and len(classes) != len(card.classes):
            raise InputError(f"{card.name} has {len(card.classes)} classes. Received: {len(classes)} names")
        changes["ids"] = card.ids if changes["classes"] == card.classes else ()
    check_crop(crop, allow_auto=True)
    transform: dict[str, Any] = {} if isinstance(crop, str) else {"crop": crop}
    if interpolation != "auto":
        check_interpolation(interpolation)
        transform["interpolation"] = interpolation
    if (limits := check_levels(levels)) is not None:
        transform["levels"] = list(limits)
    if transform:
        changes["transform"] = card.evaluation_transform | transform
    if pad is not None:
        changes["pad"] = check_integer("pad", pad, 0, 10_000)
    return replace(card, **changes) if changes else card


def attach_card(model: keras.Model, card: Card) -> keras.Model:
    """Give `model` its card, and return the model.

    The card is stored in the layers, so that copies, files and other models of the same layers and head have it too.
    """
    vars(model).pop("_cnnzoo_card", None)
    if not card_storage.write_text(model, card_storage.head_name(model), card.to_json()):
        _set_override(model, card)
    return model


def with_card(model: keras.Model, card: Card) -> keras.Model:
    """Return a model of the same layers that has another card, which stays out of the layers."""
    view = keras.Model(model.inputs[0], model.output, name=model.name)
    _set_override(view, card)
    return view


def share_card(model: keras.Model, other: keras.Model) -> keras.Model:
    """Give `other`, a model of the layers of `model`, the same card if that stays out of the layers; return `other`."""
    override = getattr(model, "_cnnzoo_card", None)
    if override is not None:
        _set_override(other, override)
    return other


def _set_override(model: keras.Model, card: Card) -> None:
    object.__setattr__(model, "_cnnzoo_card", card)  # bypasses Keras' attribute tracking, which is for layers


@contextmanager
def _embedded_override(model: keras.Model) -> Iterator[None]:
    """Store a card that stays out of the layers in them, within the block."""
    override: Card | None = getattr(model, "_cnnzoo_card", None)
    head = card_storage.head_name(model)
    before = card_storage.read_texts(model).get(head)
    if override is None or not card_storage.write_text(model, head, override.to_json()):
        yield
        return
    try:
        yield
    finally:
        card_storage.write_text(model, head, before)


def card_path(path: Path) -> Path:
    """Return where the card of the model file `path` is stored."""
    return path.with_suffix(".card.json")


def write_model_file(model: keras.Model, path: Path) -> Path:
    """Write a model with its card inside, and a copy of the card beside it; return the path.

    The file appears complete, with the model and its own card. The copy is for people and for older versions; what it
    says is used only for a file without a card.
    """
    text = card(model).to_json()
    with atomic_write(path) as new, _embedded_override(model):
        model.save(new)
    with atomic_write(card_path(path)) as new:
        new.write_text(text, encoding="utf-8")
    return path
