"""The tensors of a model by their names, and reading, writing and assigning them."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Set
from pathlib import Path
from typing import TYPE_CHECKING

from cnnzoo.cards import Card, Receipt, card
from cnnzoo.checkpoints.readers import Checkpoint, read_checkpoint
from cnnzoo.checkpoints.weight_files import check_not_shard, read_file_bytes, read_shards
from cnnzoo.core.arguments import check_arguments
from cnnzoo.core.errors import InputError
from cnnzoo.core.files import atomic_write
from cnnzoo.core.lazy import Lazy
from cnnzoo.core.paths import check_path

if TYPE_CHECKING:
    import keras
    import numpy as np
else:
    keras = Lazy("keras")
    np = Lazy("numpy")


def named_variables(model: keras.Model) -> dict[str, keras.Variable]:
    """Return the variables of a model by "layer.variable", in the order of the graph."""
    return {f"{layer.name}.{variable.name}": variable for layer in model.layers for variable in layer.weights}


@check_arguments()
def save_weights(model: keras.Model, path: str | os.PathLike[str]) -> Path:
    """Write the weights of a model, and its card, to a .safetensors file.

    Tensors are called "layer.variable", such as `conv1.kernel`; layer names are stable. A file that exists is replaced
    once the new one is complete. Load it with `cnnzoo.get(name, weights=path)`.

    Args:
        model: a Keras model, such as one from `cnnzoo.get`.
        path: the file to write; its suffix is `.safetensors`.

    Returns:
        The path of the file.

    Raises:
        InputError: if the suffix is another, if the file cannot be written, or if a weight is NaN or infinite, which
            `get` would refuse.

    Example:
        >>> model = cnnzoo.get("lenet5", weights="mnist")
        >>> path = cnnzoo.save_weights(model, "lenet5.safetensors")
        >>> copy = cnnzoo.get("lenet5", weights=path)
        >>> print(cnnzoo.card(copy).receipt)
        10 loaded
    """
    from safetensors.numpy import save as serialize

    path = check_path(path)
    if path.suffix != ".safetensors":
        raise InputError(f"The file of saved weights must end in .safetensors. Received: {str(path)!r}")
    arrays = {name: keras.ops.convert_to_numpy(variable) for name, variable in named_variables(model).items()}
    floats = {name: array for name, array in arrays.items() if array.dtype.kind == "f"}
    if unusable := [name for name, array in floats.items() if not has_valid_values(name, array)]:
        raise InputError(
            f"The weights of {model.name} are not saved, because they could not be loaded: NaN, infinite or negative "
            f"values in {list_first_names(unusable)}. Go back to weights from before the training failed"
        )
    with atomic_write(path) as new:
        new.write_bytes(serialize(arrays, {"cnnzoo": card(model).to_json()}))
    return path


def read_weights_file(path: Path, sha256: str | None = None) -> tuple[Checkpoint, Card | None]:
    """Return the contents of a checkpoint, and the card if cnnzoo wrote the file.

    Args:
        path: the file.
        sha256: its expected hash in hex digits, checked on the very bytes that are then parsed.

    Raises:
        InputError: if the file cannot be read, has another hash, or is not a valid checkpoint.
    """
    check_not_shard(path)
    content = read_file_bytes(path)
    if sha256 and (actual := hashlib.sha256(content).hexdigest()) != sha256:
        raise InputError(f"{path.name} is not the published file. Expected: sha256 {sha256}. Received: {actual}")
    is_index = path.suffix.lower() == ".json"
    checkpoint = read_shards(path, content) if is_index else read_checkpoint(content, path.name)
    if not checkpoint.tensors:
        raise InputError(f"{path.name} holds no tensors")

    card_text = (checkpoint.metadata or {}).get("cnnzoo")
    try:
        file_card = Card.from_json(card_text) if card_text else None
    except InputError as error:
        raise InputError(f"{path.name}: {error}") from None
    if file_card and file_card.classes:
        count = len(file_card.classes)
        if not any(count in array.shape for array in checkpoint.tensors.values()):
            raise InputError(f"{path.name} names {count} classes, but none of its tensors has that many")
    return checkpoint, file_card


def assign_tensors(
    model: keras.Model, tensors: dict[str, np.ndarray], source: str, droppable: Set[str] = frozenset()
) -> Receipt:
    """Assign every tensor to the variable of its name, strictly: either all of them fit, or nothing is assigned.

    If the images of the model have another number of channels than those of the checkpoint, the first convolution is
    adapted.

    Args:
        model: the model to load into.
        tensors: the tensors by our names, "layer.variable".
        source: the name of the checkpoint, for messages.
        droppable: names that need not match: such variables keep their fresh values, such tensors are not used.

    Returns:
        A receipt that says how every tensor was treated.

    Raises:
        InputError: that lists missing, unexpected, wrongly shaped and unusable tensors.
    """
    variables = named_variables(model)
    required = [name for name in variables if name not in droppable]

    # Adapt the first convolution to the channels of the images.
    first_kernel = next((name for name in variables if name.endswith("kernel")), "")
    adapted: tuple[str, ...] = ()
    if first_kernel in tensors and first_kernel in required:
        kernel = adapt_first_kernel(tensors[first_kernel], tuple(variables[first_kernel].shape))
        if kernel is not tensors[first_kernel]:
            tensors = tensors | {first_kernel: kernel}
            adapted = (first_kernel,)

    # Check everything before anything is assigned.
    present = [name for name in required if name in tensors]
    problems = {
        "missing": [name for name in required if name not in tensors],
        "unexpected": [name for name in tensors if name not in variables and name not in droppable],
        "wrong shape": [
            f"{name} {tuple(tensors[name].shape)} instead of {tuple(variables[name].shape)}"
            for name in present
            if tuple(tensors[name].shape) != tuple(variables[name].shape)
        ],
        "unusable values": [name for name in present if not has_valid_values(name, tensors[name])],
    }
    if any(problems.values()):
        text = "; ".join(f"{kind}: {list_first_names(names)}" for kind, names in problems.items() if names)
        raise InputError(f"{source} does not fit {model.name}: {text}")

    for name in required:
        variables[name].assign(tensors[name])
    initialized, dropped = variables.keys() & droppable, tensors.keys() & droppable
    return Receipt(tuple(required), tuple(sorted(initialized)), tuple(sorted(dropped)), adapted)


def has_valid_values(name: str, values: np.ndarray) -> bool:
    """Return whether all values are floats that float32 can hold, and variances are not negative."""
    with np.errstate(over="ignore"):  # values beyond float32 become infinite
        is_finite = values.dtype.kind == "f" and np.isfinite(values.astype("float32", copy=False)).all()
    return bool(is_finite and (not name.endswith("moving_variance") or (values >= 0).all()))


def adapt_first_kernel(kernel: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    """Return the first kernel for images with another number of channels, if that is all that differs.

    For gray images, the kernel is summed over its channels, so that a gray image gives the same result as its RGB copy
    (apart from the mean that normalization subtracts, which is one number for all channels). For any other number, the
    channels are repeated in turn and scaled to keep their sum.

    Args:
        kernel: the kernel of the checkpoint (height, width, channels, filters).
        shape: the shape that the model needs.
    """
    if kernel.ndim != 4 or len(shape) != 4 or (*kernel.shape[:2], kernel.shape[3]) != (*shape[:2], shape[3]):
        return kernel
    channels, wanted_channels = kernel.shape[2], shape[2]
    if channels == wanted_channels:
        return kernel
    if wanted_channels == 1:
        gray: np.ndarray = kernel.sum(axis=2, keepdims=True)
        return gray
    repeated = np.take(kernel, [i % channels for i in range(wanted_channels)], axis=2)
    return repeated * np.float32(channels / wanted_channels)


def list_first_names(names: list[str], most: int = 8) -> str:
    """Return the first names of a list, and how many more there are."""
    rest = f" and {len(names) - most} more" if len(names) > most else ""
    return ", ".join(names[:most]) + rest
