"""Weights in HDF5 files of Keras 1 and 2.

h5py reads only the structure of the file. The numbers are taken from its bytes here, where every bound is checked.
"""

import io
import math
import zlib
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import numpy as np

from cnnzoo.checkpoints.hdf5_text import read_attribute_strings
from cnnzoo.core.archives import check_unpacked_size
from cnnzoo.core.errors import InputError
from cnnzoo.core.lazy import Lazy

if TYPE_CHECKING:
    import h5py
else:
    h5py = Lazy("h5py")

MAGIC = b"\x89HDF\r\n\x1a\n"
MAX_NAMES = 100_000
MAX_NAME_LENGTH = 1024
MIN_CHUNK_BYTES = 4096  # each chunk counts for at least this much


def read_hdf5(content: bytes) -> dict[str, np.ndarray]:
    """Return the weights of an HDF5 file by their names, in the order of the file.

    A name is that of the weight without ":0", prefixed by the name of its layer: "conv1/kernel". If a weight's own name
    does not start with its layer's, the layer's is prepended: the weight "net/conv1/kernel:0" of the layer "conv1"
    becomes "conv1/net/conv1/kernel".

    Raises InputError, or whatever h5py raises for a damaged file.
    """
    tensors: dict[str, np.ndarray] = {}
    total = 0
    with h5py.File(io.BytesIO(content), "r") as file:
        root = _find_layers_group(file)
        for layer in _read_names(root, "layer_names", content):
            group = get_child(root, layer, h5py.Group)
            for weight in _read_names(group, "weight_names", content):
                key = weight.removesuffix(":0")
                key = key if key.startswith(f"{layer}/") else f"{layer}/{key}"
                dataset = get_child(group, weight, h5py.Dataset)
                total = check_unpacked_size(total + decoded_size(dataset), len(content))
                if key in tensors or len(tensors) == MAX_NAMES:
                    raise InputError(f"it has two weights {key}, or more than {MAX_NAMES} weights")
                tensors[key] = read_dataset(dataset, content)
    return tensors


def _find_layers_group(file: "h5py.File") -> "h5py.Group":
    """Return the group with the names of the layers: the root, or `model_weights` in a file of a whole model."""
    whole_model = "layer_names" not in file.attrs and "layer_names0" not in file.attrs
    root = get_child(file, "model_weights", h5py.Group) if whole_model and "model_weights" in file else file
    if "layer_names" in root.attrs or "layer_names0" in root.attrs:
        return root
    if any(has_child(file, name) for name in ("layers", "_layer_checkpoint_dependencies", "vars")):
        raise InputError(
            "it is a .weights.h5 file of Keras 3, which does not name its weights; "
            "load it with model.load_weights and write it with cnnzoo.save_weights"
        )
    raise InputError("it has no layer_names, which Keras writes")


def _read_names(group: "h5py.Group", attribute: str, content: bytes) -> list[str]:
    """Return the names in an attribute, or in its pieces `layer_names0`, `layer_names1`, ..."""
    pieces = [attribute] if attribute in group.attrs else list(_iter_attribute_pieces(group, attribute))
    if not pieces:
        raise InputError(f"its group {group.name:.200} has no {attribute}")
    names: list[str] = []
    sizes = group.file.id.get_create_plist().get_sizes()  # of addresses and lengths, in bytes
    for piece in pieces:
        stored = group.attrs.get_id(piece)
        count = math.prod(stored.shape)
        if not count:  # an empty list has a numeric type
            continue
        if count > MAX_NAMES - len(names):
            raise InputError(f"it has more than {MAX_NAMES} names")
        if stored.dtype.kind == "S":
            check_unpacked_size(count * stored.dtype.itemsize, len(content))
            names += [name.decode() for name in np.ravel(group.attrs[piece]).tolist()]
        elif h5py.check_string_dtype(stored.dtype) and sizes == (8, 8):
            names += read_attribute_strings(content, object_address(group, content), piece, count)
        else:
            raise InputError(f"its {piece} are not names")
    if any(len(name) > MAX_NAME_LENGTH for name in names):
        raise InputError(f"it has a name of more than {MAX_NAME_LENGTH} letters")
    return names


def _iter_attribute_pieces(group: "h5py.Group", attribute: str) -> Iterator[str]:
    """Yield the names of the numbered attributes into which Keras splits a list that is too long for one."""
    number = 0
    while (piece := f"{attribute}{number}") in group.attrs:
        yield piece
        number += 1


def has_child(group: "h5py.Group", name: str) -> bool:
    """Return whether a group has a link of that name. Nothing is opened, as the `in` of h5py would."""
    return bool(group.id.links.exists(name.encode()))


def get_child(group: "h5py.Group", path: str, kind: type) -> Any:
    """Return the object at `path`, following hard links only, so that no other file or place is ever reached."""
    child = group
    for part in path.split("/"):
        name = part.encode()
        if not isinstance(child, h5py.Group) or not part or "\0" in part or not child.id.links.exists(name):
            raise InputError(f"it refers to {path!r:.200}, which does not exist")
        if child.id.links.get_info(name).type != h5py.h5l.TYPE_HARD:
            raise InputError(f"its {path!r:.200} is a link to another place")
        child = child[part]
    if not isinstance(child, kind):
        raise InputError(f"its {path!r:.200} is not a {kind.__name__.lower()}")
    return child


def object_address(group: "h5py.Group", content: bytes) -> int:
    """Return where the header of a group begins.

    It is taken from the link to the group: the HDF5 library, asked about the group itself, walks through all that is
    in it, and a damaged one makes it allocate without end.
    """
    parent, _, name = group.name.rpartition("/")
    if name:
        owner = group.file[parent or "/"].id  # must live while its links are asked
        return int(owner.links.get_info(name.encode()).u)
    if content[8] != 0:  # other versions of the superblock begin otherwise
        raise InputError("its names have variable length, and it is not of the oldest version; use h5py's defaults")
    return int.from_bytes(content[64:72], "little")


def decoded_size(dataset: "h5py.Dataset") -> int:
    """Return how many bytes reading a dataset takes; chunks count in full."""
    if dataset.shape is None or dataset.dtype.kind not in "iuf":
        raise InputError(f"its {dataset.name:.200} does not consist of numbers")
    if not h5py.h5t.py_create(dataset.dtype).equal(dataset.id.get_type()):
        raise InputError(f"its {dataset.name:.200} has a number type that NumPy does not have")
    size = dataset.size * dataset.dtype.itemsize
    if dataset.chunks:
        size = _count_chunks(dataset) * max(MIN_CHUNK_BYTES, math.prod(dataset.chunks) * dataset.dtype.itemsize)
    return int(size)


def _count_chunks(dataset: "h5py.Dataset") -> int:
    """Return the number of chunks that cover the shape of a dataset."""
    return math.prod(-(-n // chunk) for n, chunk in zip(dataset.shape, dataset.chunks, strict=True))


def read_dataset(dataset: "h5py.Dataset", content: bytes) -> np.ndarray:
    """Return a dataset as an array: a view of the file if it is stored in one piece."""
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


def _read_chunked_dataset(dataset: "h5py.Dataset", created: Any, content: memoryview) -> np.ndarray:
    """Return a dataset that is stored in chunks; `created` is its creation property list."""
    filters = [created.get_filter(index)[0] for index in range(created.get_nfilters())]
    chunks: list[Any] = []
    dataset.id.chunk_iter(chunks.append)
    if len({chunk.chunk_offset for chunk in chunks}) != _count_chunks(dataset):
        raise InputError(f"its {dataset.name:.200} declares more than is stored")
    array = np.zeros(dataset.shape, dataset.dtype)
    for chunk in chunks:
        data = content[chunk.byte_offset : chunk.byte_offset + chunk.size]
        # Bit i of the mask says that filter i was skipped for this chunk.
        applied = [code for index, code in enumerate(filters) if not chunk.filter_mask >> index & 1]
        decoded = _undo_filters(data, applied, dataset.dtype.itemsize, math.prod(dataset.chunks))
        block = np.frombuffer(decoded, dataset.dtype).reshape(dataset.chunks)
        corner = zip(chunk.chunk_offset, dataset.chunks, strict=True)
        target = array[tuple(slice(start, start + n) for start, n in corner)]
        target[...] = block[tuple(slice(n) for n in target.shape)]  # chunks at the border are cut off
    return array


def _undo_filters(data: bytes | memoryview, filters: list[int], itemsize: int, count: int) -> bytes | memoryview:
    """Return the bytes of a chunk as they were before its filters were applied.

    The HDF5 library would inflate without limit; here `itemsize * count` bytes and a checksum of 4 are the limit.
    Checksums are compared: Fletcher-32 where it is used, and Adler-32 in data compressed by gzip.
    """
    for code in reversed(filters):
        if code == h5py.h5z.FILTER_DEFLATE:
            stream = zlib.decompressobj()
            # One byte more than the limit, because zlib compares its checksum only after all bytes were asked for.
            data = stream.decompress(data, itemsize * count + 5)
            if not stream.eof:
                raise InputError("one of its compressed chunks is damaged: it is cut off, or too long")
        elif code == h5py.h5z.FILTER_SHUFFLE:
            data = np.frombuffer(data, np.uint8).reshape(itemsize, -1).T.tobytes()
        elif code == h5py.h5z.FILTER_FLETCHER32:
            data, stored = data[:-4], data[-4:]
            if int.from_bytes(stored, "little") not in fletcher_32(data):
                raise InputError("one of its chunks is damaged: its Fletcher-32 checksum is wrong")
        else:
            raise InputError(f"it is compressed with filter {code}; only gzip is supported")
    return data


def fletcher_32(data: bytes | memoryview) -> tuple[int, int]:
    """Return the Fletcher-32 checksum of some bytes as HDF5 stores it, and as releases before 1.6.3 did.

    The two sums of 16-bit words are taken modulo 65,535, where HDF5 writes 65,535 for a zero unless all words are 0.
    The old releases swapped the bytes within each of the two halves.
    """
    first = second = 0
    has_words = False
    padded = memoryview(bytes(data) + b"\0" if len(data) % 2 else data)
    for start in range(0, len(padded), 2**20):
        words = np.frombuffer(padded[start : start + 2**20], ">u2").astype(np.uint64)
        ahead = np.arange(len(words), 0, -1, dtype=np.uint64)
        second = (second + len(words) * first + int((ahead * words).sum())) % 65535
        first = (first + int(words.sum())) % 65535
        has_words = has_words or bool(words.any())
    first, second = (total or 65535 * has_words for total in (first, second))
    swapped = (((half & 255) << 8) | (half >> 8) for half in (second, first))
    return second << 16 | first, int.from_bytes(b"".join(half.to_bytes(2, "big") for half in swapped), "big")
