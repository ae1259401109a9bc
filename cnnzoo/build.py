"""`get`: build a network by its name, and load weights into it."""

from __future__ import annotations

import logging
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cnnzoo.cards import Card, attach_card, default_class_names
from cnnzoo.checkpoints import manifest
from cnnzoo.checkpoints.match import choose_class_names, load_matched, match_tensors
from cnnzoo.checkpoints.source import resolve_weights
from cnnzoo.checkpoints.variant_check import check_variant
from cnnzoo.core.arguments import OF_WEIGHTS, check_arguments
from cnnzoo.core.errors import InputError, check_class_names, check_image_size, check_integer, unknown_name
from cnnzoo.core.lazy import Lazy
from cnnzoo.core.progress import show_progress
from cnnzoo.core.types import Preprocessing, Shape
from cnnzoo.models import Variant
from cnnzoo.preprocessing import normalize, resolve_statistics
from cnnzoo.registry import info, list_models
from cnnzoo.surgery import walk

if TYPE_CHECKING:
    import keras
else:
    keras = Lazy("keras")

log = logging.getLogger(__name__)


@check_arguments(OF_WEIGHTS)
def get(
    model: str | Variant,
    *,
    weights: str | Path | None = None,
    classes: int | Sequence[str] | None = None,
    image_size: int | Sequence[int] | None = None,
    input_shape: Sequence[int | None] | None = None,
    include_top: bool = True,
    preprocessing: Preprocessing = "auto",
    pooling: str | None = None,
    classifier_activation: str | None = None,
    aux: bool = False,
    license: str | None = None,
    licence: str | None = None,
) -> keras.Model:
    """Build a network, with fresh or with pretrained weights.

    The model takes images (B, height, width, channels) of 0 to 255, RGB or gray, and returns logits (B, classes).
    Its first layer normalizes the images. The graph is flat, and the names of its layers are stable.

    Args:
        model: a name from `list_models`, or a row of your own (a `cnnzoo.models.Variant`).
        weights: `None` for fresh weights; a tag, such as `"imagenet"` for the default weights of a data set or
            `"imagenet.tv_v1"` for particular ones; or the path of a checkpoint of PyTorch, Keras, Caffe or cnnzoo,
            whose layout (torchvision, timm, Keras, ...) is recognized from the tensor names. After a `#`, a path may
            name one of several sets of weights in the file (`"last.pth#state_dict_ema"`), or, for weights that are
            taken for another variant's, this network.
        classes: the number of classes, their names, or the name of a list (`"imagenet"`, `"cifar10"`). By default the
            classes of the weights. Other classes than those get a new head with fresh weights; for a checkpoint of
            another program, as many names as it has classes keep its head.
        image_size: one number or (height, width), in pixels. By default the size of the row.
        input_shape: (height, width, channels) in place of `image_size`, as in `keras.applications`; a height or width
            of `None` leaves that side open, and (height, width) keeps the channels of the row.
        include_top: whether the model has its head. Without it, the model returns feature maps (B, h, w, c).
        preprocessing: `"auto"` for the normalization that the weights were trained with, a name from
            `cnnzoo.preprocessing.STATISTICS`, or a pair (mean, std) for pixels scaled to 0..1.
        pooling: without the head, `"avg"` or `"max"` pools the feature maps to (B, c).
        classifier_activation: `None` for logits, `"softmax"` for probabilities.
        aux: whether to build the auxiliary heads, for networks that have them. The model then returns a dictionary
            `{"logits": ..., "aux1": ..., ...}`.
        license: `"commercial"` refuses published weights whose license forbids commercial use or is not stated.
        licence: another spelling of `license`.

    Returns:
        A functional `keras.Model`. `cnnzoo.card(model)` holds its class names, its preprocessing, where its weights
        come from, and a receipt that says how every tensor was treated.

    Raises:
        InputError: if a name or an option is unknown, if options contradict each other, or if the weights do not fit.

    Example:
        >>> model = cnnzoo.get("resnet20", classes=["cat", "dog"], image_size=64)
        >>> model.input_shape, model.output_shape
        ((None, 64, 64, 3), (None, 2))
        >>> digits = cnnzoo.get("lenet5", weights="mnist")
        >>> digits.predict(np.zeros((1, 32, 32, 1)), verbose=0).shape
        (1, 10)
    """
    # Check what does not depend on the weights.
    row = model if isinstance(model, Variant) else info(model).row
    name = "model" if isinstance(model, Variant) else model
    if aux and not (row.aux_taps and include_top):
        top = "" if include_top else " without its top"
        raise InputError(f"{name} has no auxiliary heads{top}. Received: aux=True")
    if pooling not in (None, "avg", "max"):
        raise unknown_name("pooling", pooling, ["avg", "max"])
    if None not in (license, licence) and license != licence:
        raise InputError(f"licence is another spelling of license; give one. Received: {license!r} and {licence!r}")
    license = license if licence is None else licence
    if license not in (None, "commercial"):
        raise unknown_name("license", license, ["commercial"])
    shape = _resolve_input_shape(name, row, image_size, input_shape)

    # Read the weights. Their values take precedence over the defaults of the row.
    with show_progress(f"Reading the weights of {name}"):
        source = resolve_weights(name, weights, license)
        source = check_variant(source, name, row, lambda: {other: info(other).row for other in list_models()})
    class_names = _resolve_class_names(classes, source.classes or default_class_names(row.classes))
    if isinstance(preprocessing, str) and preprocessing == "auto":
        preprocessing = row.preprocessing if source.preprocessing is None else source.preprocessing
    resolve_statistics(preprocessing)

    # Build the graph. Strict loading needs the heads even if the model is returned without them.
    with show_progress(f"Building {name}"):
        network = Network(name, row, shape, preprocessing, aux)
        if include_top or source.sets:
            network.add_heads(len(class_names))
        matched = match_tensors(source, network.complete, network.head_layers["logits"]) if source.sets else None
        if matched:
            head_size = len(class_names)
            class_names, matched = choose_class_names(source, matched, classes, class_names)
            if len(class_names) != head_size:
                network.add_heads(len(class_names))
        built = network.model(include_top, classifier_activation, pooling)

    # Load the weights, and describe the model in its card.
    card = Card(
        name=name,
        classes=class_names if include_top else (),
        preprocessing=preprocessing,
        pad=source.pad,
        weights=source.provenance or None,
        training=source.training,
        ids=source.ids if include_top and class_names == source.classes else (),
        transform=source.transform,
    )
    if matched:
        if source.classes:
            new_head = class_names != source.classes
        else:
            new_head = len(class_names) != (matched.classes or row.classes)
            new_head |= bool(matched.custom_head) and classes is not None
        replaced = set(network.head_layers.values()) if new_head else set()
        has_aux = aux if row.aux_taps else None
        with show_progress(f"Loading the weights of {name}"):
            receipt = load_matched(built, network.complete, matched, source.name, replaced, has_aux)
        card = replace(card, receipt=receipt)
        log.info("%s, weights %s: %s", name, weights, receipt)
    return attach_card(built, card)


class Network:
    """The connected layers of one row: from images to feature maps and, once added, to the logits of every head.

    `model` returns the part that is asked for as a Keras model; all models of one network share their layers.
    """

    def __init__(self, name: str, row: Variant, shape: Shape, preprocessing: Preprocessing, aux: bool = False) -> None:
        self.name, self.row, self.shape, self.aux = name, row, shape, aux
        with self._explain_errors(input_shape=shape, aux=aux):
            self.inputs = keras.Input(shape, name="images")
            self.features = row.features(normalize(self.inputs, preprocessing))
        self.heads: dict[str, keras.KerasTensor] = {}  # the logits (B, classes) of each

    def add_heads(self, classes: int) -> None:
        """Add the head, and the auxiliary ones if they are wanted; heads that were there before are replaced."""
        taps = self.row.aux_taps if self.aux else ()
        with self._explain_errors(input_shape=self.shape, aux=self.aux):
            self.heads = {"logits": self.row.head(self.features, classes)}
            layers = {layer.name: layer for layer in keras.Model(self.inputs, self.features).layers} if taps else {}
            for i, tap in enumerate(taps, 1):
                self.heads[f"aux{i}"] = self.row.aux(layers[tap].output, classes, f"aux{i}")
        vars(self).pop("complete", None)

    @cached_property
    def complete(self) -> keras.Model:
        """The model that returns the logits of all heads."""
        return keras.Model(self.inputs, _single_or_all(self.heads), name=self.name)

    @property
    def head_layers(self) -> dict[str, str]:
        """The name of the layer that computes the logits of each head."""
        return {head: walk.producing_layer(logits).name for head, logits in self.heads.items()}

    def model(self, include_top: bool, activation: str | None, pooling: str | None) -> keras.Model:
        """Return a model up to the heads, with `activation`, or up to the feature maps, with `pooling`."""
        if not include_top:
            return keras.Model(self.inputs, pool_features(self.features, pooling), name=self.name)
        if activation is None:
            return self.complete
        with self._explain_errors(classifier_activation=activation):
            outputs = {head: activate(head, logits, activation) for head, logits in self.heads.items()}
        return keras.Model(self.inputs, _single_or_all(outputs), name=self.name)

    @contextmanager
    def _explain_errors(self, **options: object) -> Iterator[None]:
        """Turn Keras' error for a graph that cannot be built into an InputError that names the options."""
        try:
            yield
        except ValueError as error:
            reason = re.sub(r"\x1b\[\d*m", "", str(error)).strip().split("\n")[0]  # Keras uses bold and many lines
            given = " and ".join(f"{option}={value!r}" for option, value in options.items())
            raise InputError(f"{self.name} cannot be built with {given}: {reason}") from error


def activate(head: str, logits: keras.KerasTensor, activation: str) -> keras.KerasTensor:
    """Return the activated logits (B, classes) of a head, in float32 under every dtype policy."""
    name = "predictions" if head == "logits" else f"{head}_predictions"
    return keras.layers.Activation(activation, dtype="float32", name=name)(logits)


def pool_features(features: keras.KerasTensor, pooling: str | None) -> keras.KerasTensor:
    """Return the feature maps (B, h, w, c), or pooled to (B, c)."""
    if pooling == "avg":
        return keras.layers.GlobalAveragePooling2D(name="pooling")(features)
    return keras.layers.GlobalMaxPooling2D(name="pooling")(features) if pooling == "max" else features


def _single_or_all(heads: dict[str, Any]) -> Any:
    """Return the logits alone, or the dictionary of all heads if there are auxiliary ones."""
    return heads if len(heads) > 1 else heads["logits"]


def _resolve_class_names(classes: int | Sequence[str] | None, default: tuple[str, ...]) -> tuple[str, ...]:
    """Return class names from a number, a list, or the name of a list; `default` also serves an equal number."""
    if classes is None:
        return default
    if isinstance(classes, str):
        return manifest.load_class_names(classes)
    if isinstance(classes, list | tuple):
        return check_class_names(classes)
    number = check_integer("classes (if it is not a list of names)", classes, 1, 1_000_000)
    return default if number == len(default) else default_class_names(number)


def _resolve_input_shape(
    name: str, row: Variant, image_size: int | Sequence[int] | None, input_shape: Sequence[int | None] | None
) -> Shape:
    """Return (height, width, channels), checked: as given, or the row's own where nothing is given."""
    if image_size is not None:
        if input_shape is not None:
            raise InputError(f"Pass image_size or input_shape, not both. Received: {image_size!r} and {input_shape!r}")
        input_shape = check_image_size(image_size)
    if input_shape is None:
        return row.input_shape

    # Channels come last, and may be left out.
    sides = tuple(input_shape) if isinstance(input_shape, list | tuple) else ()
    full = (*sides, row.input_shape[-1]) if len(sides) == 2 else sides
    if len(full) != 3 or full[2] is None:
        raise InputError(f"input_shape must be (height, width, channels). Received: {input_shape!r}")
    if full[0] in (1, 3) and full[2] >= 16:
        raise InputError(
            f"input_shape must be (height, width, channels): channels come last. Received: {input_shape!r}"
        )

    height, width = (
        side if side is None else check_integer("a side of input_shape", side, 1, 65_535) for side in full[:2]
    )
    channels = check_integer("the channels of input_shape", full[2], 1, 1024)
    if any(side is not None and side < row.min_size for side in (height, width)):
        raise InputError(f"{name} takes images of at least {row.min_size}x{row.min_size}. Received: {input_shape}")
    return height, width, channels
