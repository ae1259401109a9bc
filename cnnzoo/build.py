"""The parts of a model around a row's features: heads, outputs, and which tensors of a checkpoint they take."""

import re
from typing import Any

from cnnzoo.checkpoints import tensors
from cnnzoo.checkpoints.source import WeightsSource
from cnnzoo.checkpoints.translate import translate_tensors
from cnnzoo.core.lazy import Lazy
from cnnzoo.models import Variant
from cnnzoo.surgery import walk

keras = Lazy("keras")


def build_heads(row: Variant, inputs: Any, features: Any, classes: int, aux: bool) -> dict[str, Any]:
    """The logits, and those of the auxiliary heads on the layers that the row names."""
    heads = {"logits": row.head(features, classes)}
    trunk: Any = keras.Model(inputs, features) if aux else None
    for i, tap in enumerate(row.aux_taps if aux else (), 1):
        heads[f"aux{i}"] = row.aux(trunk.get_layer(tap).output, classes, f"aux{i}")
    return heads


def build_outputs(heads: dict[str, Any], activation: str | None) -> Any:
    """The logits, activated where asked for; with auxiliary heads a dict of all."""
    if activation:
        heads = {
            name: keras.layers.Activation(
                activation, dtype="float32", name="predictions" if name == "logits" else f"{name}_predictions"
            )(logits)
            for name, logits in heads.items()
        }
    return heads if len(heads) > 1 else heads["logits"]


def translate_source(
    source: WeightsSource, inputs: Any, heads: dict[str, Any]
) -> tuple[dict[str, Any], tuple[str, ...], int]:
    """The source's tensors by our names, those that no network needs, and the classes of a foreign head, else 0."""
    if not source.tensors:
        return {}, (), 0
    whole = keras.Model(inputs, heads)
    if source.ours or len(source.tensors.keys() & tensors.named_variables(whole).keys()) > len(source.tensors) / 2:
        return source.tensors, (), 0
    found = translate_tensors(source.tensors, whole, source.name)
    name = output_layer_name(heads["logits"])
    kernel: Any = found.tensors.get(f"{name}.kernel")
    bias: Any = found.tensors.get(f"{name}.bias")
    if kernel is None or bias is None:
        return found.tensors, found.dropped, 0
    # A head is built for as many classes as the file has, where the rest of its shape is the network's.
    fits = kernel.shape == (whole.get_layer(name).input.shape[-1], *bias.shape)
    return found.tensors, found.dropped, len(bias) if fits else 0


def droppable_tensors(
    row: Variant, inputs: Any, heads: dict[str, Any], model: Any, found: dict[str, Any], aux: bool, new_head: bool
) -> set[str]:
    """What loading may drop: tensors of layers that `model` goes without, a replaced head's, auxiliary heads'."""
    whole = tensors.named_variables(keras.Model(inputs, heads))
    last = {output_layer_name(logits) for logits in heads.values()}
    drop = whole.keys() - tensors.named_variables(model).keys()
    if new_head:
        drop |= {name for name in whole if name.split(".")[0] in last}
    auxiliary = {name for name in found if re.match(r"aux\d_", name)} if row.aux_taps else set()
    if not aux:
        return drop | auxiliary
    return drop if auxiliary else drop | {name for name in whole if re.match(r"aux\d_", name)}


def output_layer_name(logits: Any) -> str:
    """The name of the layer that gives these logits."""
    return walk.producing_layer(logits).name


def pool_features(features: Any, pooling: str | None) -> Any:
    """Maps (B, h, w, c), or pooled to (B, c)."""
    if pooling == "avg":
        return keras.layers.GlobalAveragePooling2D(name="pooling")(features)
    return keras.layers.GlobalMaxPooling2D(name="pooling")(features) if pooling == "max" else features
