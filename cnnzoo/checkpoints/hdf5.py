"""Weights in HDF5 as Keras 1 and 2 wrote them.

The library reads the file's structure only; the numbers are taken from the bytes here, where every bound is checked.
"""

import io
import math
import zlib
from collections.abc import Iterator
from typing import Any

import numpy as np

from cnnzoo.checkpoints.archives import check_unpacked_size
from cnnzoo.checkpoints.hdf5_text import read_attribute_strings
from cnnzoo.core.errors import InputError
from cnnzoo.core.lazy import Lazy

h5py = Lazy("h5py")

MAGIC = b"\x89HDF\r\n\x1a\n"
MAX_NAMES = 100_000
MAX_NAME_LENGTH = 1024  # of a name
MIN_CHUNK_BYTES = 4096  # bytes that a chunk counts for at least


def read_hdf5(content: bytes) -> dict[str, np.ndarray]:
    """The weights by the names in the file, in its order; raises InputError, or what h5py raises where it is damaged.

    A name is the weight's without ":0", under its layer's: "conv1/kernel". The layer's is put before it where it is not
    there, so that the weight "net/conv1/kernel:0" of the layer "conv1" is "conv1/net/conv1/kernel".
    """
    tensors: dict[str, np.ndarray] = {}
    total = 0
    with h5py.File(io.BytesIO(content), "r") as file:
        root = _find_layers_group(file)
        for layer in _read_names(root, "layer_names", content):
            group = _get_child(root, layer, h5py.Group)
            for weight in _read_names(group, "weight_names", content):
                key = weight.removesuffix(":0")
                key = key if key.startswith(f"{layer}/") else f"{layer}/{key}"
                dataset = _get_child(group, weight, h5py.Dataset)
                total = check_unpacked_size(total + _decoded_size(dataset), len(content))
                if key in tensors or len(tensors) == MAX_NAMES:
                    raise InputError(f"it has two weights {key}, or more than {MAX_NAMES}")
                tensors[key] = _read_dataset(dataset, content)
    return tensors


def _find_layers_group(file: Any) -> Any:
    """The group that has the layers' names: the root, or `model_weights` where a whole model was saved."""
    whole = "layer_names" not in file.attrs and "layer_names0" not in file.attrs
    root = _get_child(file, "model_weights", h5py.Group) if whole and "model_weights" in file else file
    if "layer_names" in root.attrs or "layer_names0" in root.attrs:
        return root
    if {"layers", "_layer_checkpoint_dependencies", "vars"} & set(file):
        raise InputError(
            "it is a .weights.h5 file of Keras 3, which has no names of weights; "
            "load it with model.load_weights and write it with cnnzoo.save_weights"
        )
    raise InputError("it has no layer_names, which Keras writes")


def _read_names(group: Any, attribute: str, content: bytes) -> list[str]:
    """The names in an attribute, or in its pieces `layer_names0`, `layer_names1` and on."""
    pieces = [attribute] if attribute in group.attrs else list(_iter_attribute_pieces(group, attribute))
    if not pieces:
        raise InputError(f"its group {group.name:.200} has no {attribute}")
    names: list[str] = []
    sizes = group.file.id.get_create_plist().get_sizes()  # of addresses and lengths
    for piece in pieces:
        found = group.attrs.get_id(piece)
        count = math.prod(found.shape)
        if not count:  # an empty list has the type of numbers
            continue
        if count > MAX_NAMES - len(names):
            raise InputError(f"it has more than {MAX_NAMES} names")
        if found.dtype.kind == "S":
            check_unpacked_size(count * found.dtype.itemsize, len(content))
            names += [name.decode() for name in np.ravel(group.attrs[piece]).tolist()]
        elif h5py.check_string_dtype(found.dtype) and sizes == (8, 8):
            names += read_attribute_strings(content, h5py.h5o.get_info(group.id).addr, piece, count)
        else:
            raise InputError(f"its {piece} are not names")
    if any(len(name) > MAX_NAME_LENGTH for name in names):
        raise InputError(f"it has a name of more than {MAX_NAME_LENGTH} letters")
    return names


def _iter_attribute_pieces(group: Any, attribute: str) -> Iterator[str]:
    number = 0
    while (piece := f"{attribute}{number}") in group.attrs:
        yield piece
        number += 1


def _get_child(group: Any, path: str, kind: Any) -> Any:
    """What is at the path by hard links only, so that no other file and no other place is ever reached."""
    found = group
    for part in path.split("/"):
        name = part.encode()
        if not isinstance(found, h5py.Group) or not part or "\0" in part or not found.id.links.exists(name):
            raise InputError(f"it names {path!r:.200}, which is not there")
        if found.id.links.get_info(name).type != h5py.h5l.TYPE_HARD:
            raise InputError(f"its {path!r:.200} is a link to another place")
        found = found[part]
    if not isinstance(found, kind):
        raise InputError(f"its {path!r:.200} is no {kind.__name__.lower()}")
    return found


def _decoded_size(dataset: Any) -> int:
    """The bytes that reading a dataset takes; chunks count whole."""
    if dataset.shape is None or dataset.dtype.kind not in "iuf":
        raise InputError(f"its {dataset.name:.200} is not made of numbers")
    if not h5py.h5t.py_create(dataset.dtype).equal(dataset.id.get_type()):
        raise InputError(f"its {dataset.name:.200} has numbers that numpy lacks")
    size = dataset.size * dataset.dtype.itemsize
    if dataset.chunks:
        size = _count_chunks(dataset) * max(MIN_CHUNK_BYTES, math.prod(dataset.chunks) * dataset.dtype.itemsize)
    return size


def _count_chunks(dataset: Any) -> int:
    return math.prod(-(-n // chunk) for n, chunk in zip(dataset.shape, dataset.chunks, strict=True))


def _read_dataset(dataset: Any, content: bytes) -> np.ndarray:
    """The dataset, as a view of the file where it lies in one piece."""
    created = dataset.id.get_create_plist()
    if not dataset.size:
        return np.zeros(dataset.shape, dataset.dtype)
    if created.get_layout() == h5py.h5d.CHUNKED:
        return _read_chunked_dataset(dataset, created, memoryview(content))
    if created.get_layout() != h5py.h5d.CONTIGUOUS or created.get_external_count():
        raise InputError(f"its {dataset.name:.200} is virtual, compact or in another file")
    start = dataset.id.get_offset()
    if start is None or start + dataset.size * dataset.dtype.itemsize > len(content):
        raise InputError(f"its {dataset.name:.200} declares more than is stored")
    return np.ndarray(dataset.shape, dataset.dtype, content, start)


def _read_chunked_dataset(dataset: Any, created: Any, content: memoryview) -> np.ndarray:
    filters = [created.get_filter(index)[0] for index in range(created.get_nfilters())]
    chunks: list[Any] = []
    dataset.id.chunk_iter(chunks.append)
    if len({chunk.chunk_offset for chunk in chunks}) != _count_chunks(dataset):
        raise InputError(f"its {dataset.name:.200} declares more than is stored")
    array = np.zeros(dataset.shape, dataset.dtype)
    for chunk in chunks:
        data = content[chunk.byte_offset : chunk.byte_offset + chunk.size]
        kept = [code for index, code in enumerate(filters) if not chunk.filter_mask >> index & 1]
        block = _undo_filters(data, kept, dataset.dtype.itemsize, math.prod(dataset.chunks))
        target = array[tuple(slice(at, at + n) for at, n in zip(chunk.chunk_offset, dataset.chunks, strict=True))]
        whole = np.frombuffer(block, dataset.dtype).reshape(dataset.chunks)
        target[...] = whole[tuple(slice(n) for n in target.shape)]
    return array


def _undo_filters(data: Any, filters: list[int], item: int, count: int) -> Any:
    """A chunk's bytes before its filters, which are undone here as the library would inflate without end."""
    for code in reversed(filters):
        if code == h5py.h5z.FILTER_DEFLATE:
            data = zlib.decompressobj().decompress(data, item * count + 4)
        elif code == h5py.h5z.FILTER_SHUFFLE:
            data = np.frombuffer(data, np.uint8).reshape(item, -1).T.tobytes()
        elif code == h5py.h5z.FILTER_FLETCHER32:
            data = data[:-4]
        else:
            raise InputError(f"it is compressed by filter {code}, and only gzip is read")
    return data
