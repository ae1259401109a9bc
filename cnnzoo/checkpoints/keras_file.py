"""Weights in the files of Keras 3: .weights.h5, and .keras with its configuration.

Keras 3 stores weights by the class of their layer and a number, and, in releases since 2024, the layer's own name
beside them. Older files need the configuration of the model, which only a .keras file has.
"""

import io
import json
import re
import struct
from collections import Counter
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import numpy as np

from cnnzoo.checkpoints import hdf5
from cnnzoo.checkpoints.hdf5_text import check_local_heaps, read_attribute_strings
from cnnzoo.core.archives import MAX_TEXT_BYTES, Archive, check_unpacked_size
from cnnzoo.core.errors import InputError
from cnnzoo.core.lazy import Lazy

if TYPE_CHECKING:
    import h5py
else:
    h5py = Lazy("h5py")

# The variables of a layer in the order in which Keras stores them, by the class; those of other classes get numbers.
VARIABLES = {
    "separable_conv2d": ("depthwise_kernel", "pointwise_kernel", "bias"),
    "batch_normalization": ("gamma", "beta", "moving_mean", "moving_variance"),
    "radial_basis": ("centres",),
}
KERNEL_AND_BIAS = ("kernel", "bias")
# The classes that are looked for in a file without a configuration. Listing a group is not safe: the HDF5 library walks
# through a damaged one for ever.
KINDS = (
    *("functional", "sequential", "model", "conv2d", "depthwise_conv2d", "separable_conv2d", "batch_normalization"),
    *(
        "dense",
        "normalization",
        "layer_normalization",
        "group_normalization",
        "p_re_lu",
        "table_conv2d",
        "radial_basis",
    ),
)
WITH_KERNEL = re.compile(r"dense|(depthwise_|table_)?conv(2d|2_d)")
MAX_DEPTH = 12


def read_keras_file(content: bytes) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
    """Return the weights in a .keras file by "layer/variable", and the configuration of the model.

    The name of a nested model comes before those of its layers: "resnet50/conv1_conv/kernel".
    """
    archive = Archive(content)
    text = archive.read_member("config.json")
    if len(text) > MAX_TEXT_BYTES:
        raise InputError(f"its config.json has {len(text):,} bytes; {MAX_TEXT_BYTES:,} is the limit")
    config = json.loads(bytes(text))
    if type(config) is not dict:
        raise InputError("its config.json is not a configuration of Keras")
    return read_weights(bytes(archive.read_member("model.weights.h5")), config), config


def read_weights(content: bytes, config: dict[str, Any] | None = None) -> dict[str, np.ndarray]:
    """Return the weights of a .weights.h5 file, or of a whole model in .h5, by "layer/variable".

    Raises InputError if a file of Keras 3 names neither its layers nor has a configuration.
    """
    check_local_heaps(content)
    with h5py.File(io.BytesIO(content), "r") as file:
        if "layer_names" in file.attrs or "layer_names0" in file.attrs or not hdf5.has_child(file, "layers"):
            return hdf5.read_hdf5(content)
        names = dict(_iter_configured_names(config)) if config else {}
        kinds = dict.fromkeys([*KINDS, *(_kind_of(path) for path in names)])
        tensors: dict[str, np.ndarray] = {}
        total = 0
        for path, owner, group in _iter_layers(file, content, names, list(kinds), "", ""):
            stored = list(_iter_numbered(group, [""], h5py.Dataset))
            for variable, (_, dataset) in zip(_variable_names(_kind_of(path), len(stored)), stored, strict=True):
                total = check_unpacked_size(total + hdf5.decoded_size(dataset), len(content))
                if f"{owner}/{variable}" in tensors or len(tensors) == hdf5.MAX_NAMES:
                    raise InputError(f"it has two weights {owner}/{variable}, or more than {hdf5.MAX_NAMES} weights")
                tensors[f"{owner}/{variable}"] = hdf5.read_dataset(dataset, content)
    if not tensors:
        raise InputError(UNNAMED)
    return tensors


def read_config(content: bytes) -> dict[str, Any]:
    """Return the configuration of the model in an .h5 file, or {} if it has none, or none that can be read."""
    try:
        with h5py.File(io.BytesIO(content), "r") as file:
            text = _read_text(file, "model_config", content) if "model_config" in file.attrs else "{}"
        config = json.loads(text)
    except (InputError, ValueError, RecursionError, struct.error, OSError):  # the weights do not need it
        return {}
    return config if type(config) is dict else {}


UNNAMED = (
    "it is a .weights.h5 file of Keras 3, which does not name its weights; "
    "load it with model.load_weights and write it with cnnzoo.save_weights"
)


def _iter_layers(
    group: "h5py.Group", content: bytes, names: dict[str, str], kinds: list[str], path: str, owner: str
) -> Iterator[tuple[str, str, "h5py.Group"]]:
    """Yield the path, the name and the variables of every layer below a group; optimizers are left out."""
    if path.count("/") > 2 * MAX_DEPTH:
        raise InputError(f"its models are nested more than {MAX_DEPTH} deep")
    layers = hdf5.get_child(group, "layers", h5py.Group)
    for key, layer in _iter_numbered(layers, kinds, h5py.Group):
        inner = f"{path}layers/{key}"
        variables = hdf5.get_child(layer, "vars", h5py.Group) if hdf5.has_child(layer, "vars") else None
        name = names.get(inner) or (_read_name(variables, content) if variables is not None else "")
        full = f"{owner}/{name}" if owner and name else name
        if variables is not None and hdf5.has_child(variables, "0"):
            if not name:
                raise InputError(UNNAMED)
            yield inner, full, variables
        if hdf5.has_child(layer, "layers"):
            yield from _iter_layers(layer, content, names, kinds, f"{inner}/", full)


def _iter_numbered(group: "h5py.Group", kinds: list[str], kind: type) -> Iterator[tuple[str, Any]]:
    """Yield names and objects of a group: conv2d, conv2d_1, ..., or 0, 1, ... for the kind ""."""
    for base in kinds:
        for number in range(hdf5.MAX_NAMES):
            name = f"{base}_{number}" if base and number else base or str(number)
            if not hdf5.has_child(group, name):
                break
            yield name, hdf5.get_child(group, name, kind)


def _kind_of(path: str) -> str:
    """Return the class of a layer from where it is stored."""
    return re.sub(r"_\d+$", "", path.rpartition("/")[2])


def _iter_configured_names(config: dict[str, Any], path: str = "") -> Iterator[tuple[str, str]]:
    """Yield where each layer of a configuration is stored, and its name."""
    inner = config.get("config")
    layers = inner.get("layers") if type(inner) is dict else None
    counts: Counter[str] = Counter()
    for layer in layers if type(layers) is list and path.count("/") <= 2 * MAX_DEPTH else ():
        name = layer.get("config", {}).get("name") if type(layer) is dict else None
        if type(name) is not str or type(layer.get("class_name")) is not str:
            continue
        kind = _snake_case(layer["class_name"])
        place = f"{path}layers/{kind}_{counts[kind]}" if counts[kind] else f"{path}layers/{kind}"
        counts[kind] += 1
        yield place, name
        yield from _iter_configured_names(layer, f"{place}/")


def _snake_case(name: str) -> str:
    """Return the name of a class as Keras writes it in files: BatchNormalization as batch_normalization."""
    name = re.sub(r"(.)([A-Z][a-z0-9]+)", r"\1_\2", re.sub(r"\W+", "", name))
    return re.sub(r"([a-z])([A-Z])", r"\1_\2", name).lower()


def _variable_names(kind: str, count: int) -> list[str]:
    """Return the names of the `count` variables of a layer of some class."""
    names: tuple[str, ...] = KERNEL_AND_BIAS if WITH_KERNEL.fullmatch(kind) else VARIABLES.get(kind, ())
    if kind == "batch_normalization":
        names = {4: names, 3: names[1:], 2: names[2:]}.get(count, ())  # without gamma, or without both
    return [*names[:count], *map(str, range(len(names[:count]), count))]


def _read_name(variables: "h5py.Group", content: bytes) -> str:
    """Return the name of a layer in the attribute `name` of its variables, or ""."""
    name = _read_text(variables, "name", content) if "name" in variables.attrs else ""
    if "/" in name or len(name) > hdf5.MAX_NAME_LENGTH:
        raise InputError(f"it has a layer of the name {name!r:.100}")
    return name


def _read_text(group: "h5py.Group", attribute: str, content: bytes) -> str:
    """Return an attribute that is one text, or "" if it is something else."""
    stored = group.attrs.get_id(attribute)
    if stored.shape != ():
        return ""
    if stored.dtype.kind == "S" and stored.dtype.itemsize <= MAX_TEXT_BYTES:
        return bytes(group.attrs[attribute]).decode()
    sizes = group.file.id.get_create_plist().get_sizes()
    if not h5py.check_string_dtype(stored.dtype) or sizes != (8, 8):
        return ""
    (text,) = read_attribute_strings(content, hdf5.object_address(group, content), attribute, 1)
    return text
