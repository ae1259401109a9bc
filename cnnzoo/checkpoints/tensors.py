"""Tensors of a model by name, and safetensors files of them."""

import hashlib
from collections.abc import Set
from pathlib import Path
from typing import Any

from cnnzoo.cards import Card, Receipt, card
from cnnzoo.core.errors import InputError
from cnnzoo.core.files import atomic_write
from cnnzoo.core.lazy import Lazy

keras = Lazy("keras")
MAX_FILE_BYTES = 4 * 2**30  # bytes of a checkpoint


def named_variables(model: Any) -> dict[str, Any]:
    """The model's variables as "layer.variable", in the order of the graph."""
    return {f"{layer.name}.{v.name}": v for layer in model.layers for v in layer.weights}


def save_weights(model: Any, path: Any) -> Path:
    """Write all variables, keyed by layer name, and the card to a .safetensors file; returns the path."""
    from safetensors.numpy import save as serialise

    path = Path(path)
    if path.suffix != ".safetensors":
        raise InputError(f"Weights are saved to a .safetensors file. Received: {str(path)!r}")
    tensors = {name: keras.ops.convert_to_numpy(variable) for name, variable in named_variables(model).items()}
    with atomic_write(path) as new:
        new.write_bytes(serialise(tensors, {"cnnzoo": card(model).to_json()}))
    return path


def read_weights_file(path: Path, sha256: str | None = None) -> tuple[dict[str, Any], Card | None]:
    """The tensors of a checkpoint, by the names they have there, and the card of one that cnnzoo wrote.

    A hash, where one is known, is checked on the very bytes that are then read. Raises InputError.
    """
    from cnnzoo.checkpoints import readers

    try:
        if path.exists() and not path.is_file():
            raise InputError(f"Cannot read the weights {str(path)!r}: it is no file")
        if path.stat().st_size > MAX_FILE_BYTES:
            raise InputError(
                f"Cannot read the weights {str(path)!r}: {path.stat().st_size:,} bytes, over {MAX_FILE_BYTES:,}"
            )
        content = path.read_bytes()
    except OSError as error:
        raise InputError(f"Cannot read the weights {str(path)!r}: {error.strerror}") from None
    except ValueError as error:  # a null byte or a lone surrogate in the path
        raise InputError(f"Cannot read the weights {str(path)!r:.200}: {error}") from None
    if sha256 and (found := hashlib.sha256(content).hexdigest()) != sha256:
        raise InputError(f"{path.name} is not the published file: sha256 {sha256} expected, {found} found")
    checkpoint = readers.read_checkpoint(content, path.name)
    if not checkpoint.tensors:
        raise InputError(f"{path.name} holds no tensors")
    text = (checkpoint.metadata or {}).get("cnnzoo")
    try:
        card = Card.from_json(text) if text else None
    except InputError as error:
        raise InputError(f"{path.name}: {error}") from None
    if card and card.classes and not any(len(card.classes) in value.shape for value in checkpoint.tensors.values()):
        raise InputError(f"{path.name} names {len(card.classes)} classes, and none of its tensors has as many")
    return checkpoint.tensors, card


def assign_tensors(model: Any, tensors: dict[str, Any], source: str, droppable: Set[str] = frozenset()) -> Receipt:
    """Assign every tensor to the variable of its name, strictly; returns the receipt.

    Variables in `droppable` keep their fresh values, and such tensors of the checkpoint are dropped. The first
    convolution is adapted where the model's images have other channels than the checkpoint's.
    Raises InputError, before anything is assigned, that lists what is missing, left over or misshapen.
    """
    variables = named_variables(model)
    wanted = [name for name in variables if name not in droppable]
    first = next((name for name in variables if name.endswith("kernel")), "")
    adapted: tuple[str, ...] = ()
    if first in tensors and first in wanted:
        kernel = adapt_first_kernel(tensors[first], tuple(variables[first].shape))
        if kernel is not tensors[first]:
            tensors = tensors | {first: kernel}
            adapted = (first,)
    problems = {
        "missing": [name for name in wanted if name not in tensors],
        "left over": [name for name in tensors if name not in variables and name not in droppable],
        "misshapen": [
            f"{name} {tuple(tensors[name].shape)} for {tuple(variables[name].shape)}"
            for name in wanted
            if name in tensors and tuple(tensors[name].shape) != tuple(variables[name].shape)
        ],
        "not fit to compute with": [
            name for name in wanted if name in tensors and not has_valid_values(name, tensors[name])
        ],
    }
    if any(problems.values()):
        what = "; ".join(f"{kind}: {list_first_names(names)}" for kind, names in problems.items() if names)
        raise InputError(f"{source} does not fit {model.name}: {what}")
    for name in wanted:
        variables[name].assign(tensors[name])
    fresh, unused = variables.keys() & droppable, tensors.keys() & droppable
    return Receipt(tuple(wanted), tuple(sorted(fresh)), tuple(sorted(unused)), adapted)


def has_valid_values(name: str, values: Any) -> bool:
    """Are these finite fractions, and variances not negative?"""
    import numpy as np

    with np.errstate(over="ignore"):  # what float32 cannot hold becomes infinite
        fits = values.dtype.kind == "f" and np.isfinite(values.astype("float32", copy=False)).all()
    return bool(fits and (not name.endswith("moving_variance") or (values >= 0).all()))


def adapt_first_kernel(kernel: Any, shape: tuple[int, ...]) -> Any:
    """The first kernel (h, w, channels, filters) for another number of channels, where that is all that differs.

    Summed over the colours for gray images, so that gray gives what its copy in every colour gave, but for the mean
    that normalisation subtracts, which is one for all; else repeated in turn, scaled to keep the sum.
    """
    import numpy as np

    if kernel.ndim != 4 or len(shape) != 4 or (*kernel.shape[:2], kernel.shape[3]) != (*shape[:2], shape[3]):
        return kernel
    theirs, ours = kernel.shape[2], shape[2]
    if theirs == ours:
        return kernel
    if ours == 1:
        return kernel.sum(axis=2, keepdims=True)
    return np.take(kernel, [i % theirs for i in range(ours)], axis=2) * np.float32(theirs / ours)


def list_first_names(names: list[str], most: int = 8) -> str:
    """The first names of a list, and how many there are."""
    rest = f" and {len(names) - most} more" if len(names) > most else ""
    return ", ".join(names[:most]) + rest
