"""Tensors of a model by name, and safetensors files of them."""

import hashlib
import json
from collections.abc import Set
from pathlib import Path
from typing import Any

from cnnzoo.cards import Card, Receipt, card
from cnnzoo.errors import InputError
from cnnzoo.files import atomic
from cnnzoo.lazy import Lazy

keras = Lazy("keras")


def named(model: Any) -> dict[str, Any]:
    """The model's variables as "layer.variable", in the order of the graph."""
    return {f"{layer.name}.{v.name}": v for layer in model.layers for v in layer.weights}


def save_weights(model: Any, path: Any) -> Path:
    """Write all variables, keyed by layer name, and the card to a .safetensors file; returns the path."""
    from safetensors.numpy import save as serialise

    path = Path(path)
    if path.suffix != ".safetensors":
        raise InputError(f"Weights are saved to a .safetensors file. Received: {str(path)!r}")
    tensors = {name: keras.ops.convert_to_numpy(variable) for name, variable in named(model).items()}
    with atomic(path) as new:
        new.write_bytes(serialise(tensors, {"cnnzoo": card(model).to_json()}))
    return path


def read(path: Path, sha256: str | None = None) -> tuple[dict[str, Any], Card]:
    """The tensors and the card of a .safetensors file, whose hash is checked first where one is known."""
    from safetensors import SafetensorError
    from safetensors.numpy import load

    if path.suffix != ".safetensors":
        raise InputError(f"Weights are read from .safetensors files. Received: {str(path)!r}")
    try:
        content = path.read_bytes()
    except OSError as error:
        raise InputError(f"Cannot read the weights {str(path)!r}: {error.strerror}") from None
    if sha256 and (found := hashlib.sha256(content).hexdigest()) != sha256:
        raise InputError(f"{path.name} is not the published file: sha256 {sha256} expected, {found} found")
    try:
        tensors = load(content)
    except (SafetensorError, KeyError, TypeError, ValueError) as error:  # the last three for types that numpy lacks
        raise InputError(f"{path.name} is no intact safetensors file: {error}") from None
    header = json.loads(content[8 : 8 + int.from_bytes(content[:8], "little")])
    text = header.get("__metadata__", {}).get("cnnzoo")
    return tensors, Card.from_json(text) if text else Card(path.stem)


def load(model: Any, tensors: dict[str, Any], source: str, droppable: Set[str] = frozenset()) -> Receipt:
    """Assign every tensor to the variable of its name, strictly; returns the receipt.

    Variables in `droppable` keep their fresh values, and such tensors of the checkpoint are dropped.
    Raises InputError, before anything is assigned, that lists what is missing, left over or misshapen.
    """
    variables = named(model)
    wanted = [name for name in variables if name not in droppable]
    problems = {
        "missing": [name for name in wanted if name not in tensors],
        "left over": [name for name in tensors if name not in variables and name not in droppable],
        "misshapen": [
            f"{name} {tuple(tensors[name].shape)} for {tuple(variables[name].shape)}"
            for name in wanted
            if name in tensors and tuple(tensors[name].shape) != tuple(variables[name].shape)
        ],
    }
    if any(problems.values()):
        what = "; ".join(f"{kind}: {', '.join(names)}" for kind, names in problems.items() if names)
        raise InputError(f"{source} does not fit {model.name}: {what}")
    for name in wanted:
        variables[name].assign(tensors[name])
    return Receipt(
        tuple(wanted), tuple(sorted(variables.keys() & droppable)), tuple(sorted(tensors.keys() & droppable))
    )
