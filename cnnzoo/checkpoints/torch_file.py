"""Read files of torch.save without PyTorch: the zip format, and the one used before PyTorch 1.6."""

import io
import re
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from cnnzoo.checkpoints import pickles
from cnnzoo.checkpoints.numpy_pickles import decode_numpy_array, is_matrix, is_numpy_array
from cnnzoo.checkpoints.torch_tensors import ALLOWED_GLOBALS, STORAGE_DTYPES, Storage, Tensor, check_sizes
from cnnzoo.core.archives import Archive, check_unpacked_size
from cnnzoo.core.errors import InputError

MAGIC = 0x1950A86A20F9469CFC6C
PROTOCOL = 1001
# Where training scripts put the weights of a network, the usual names first.
STATE_DICT_KEYS = (
    "state_dict",
    "model",
    "model_state_dict",
    "net",
    "network",
    "params",
    "weights",
    "student",
    "online",
)
# Copies of them, averaged over the training or trained by no gradient: these are taken only if there is nothing else.
AVERAGED_KEY = re.compile(r"(^|_)(ema|swa|avg|averaged?|teacher|target|momentum|key|k)(_|$)|ema", re.IGNORECASE)
# What training scripts store beside the weights.
TRAINING_STATE_KEY = re.compile(
    r"optim|^opt$|sched|scaler|^amp$|rng|callbacks|^loops$|hyper_param|hparams", re.IGNORECASE
)
MAX_DEPTH = 6
ReadStorage = Callable[[Storage], bytes | memoryview]


class TorchFile:
    """A file of torch.save: its object, and the dicts of tensors in it.

    Attributes:
        root: the object; the names of its classes are `Opaque`.
        sets: the tensors of each dict that holds weights, by the keys that lead to it ("model.state_dict"), and those
            that the network trained on before averaged ones.
    """

    def __init__(self, content: bytes) -> None:
        is_zip = content.startswith(b"PK")
        self.root, self._read_storage = _read_zip(content) if is_zip else _read_legacy(content)
        self._size = len(content)
        self.sets = find_tensor_dicts(self.root)
        if not self.sets:
            raise explain_missing_tensors(self.root)

    def read_set(self, name: str) -> dict[str, np.ndarray]:
        """Return the tensors of one dict as views of the bytes of the file."""
        check_unpacked_size(sum(t.bytes for t in self.sets[name].values() if type(t) is Tensor), self._size)
        arrays: dict[str, np.ndarray] = {}
        for key, tensor in self.sets[name].items():
            if isinstance(tensor, pickles.Opaque):
                if not is_numpy_array(tensor):
                    raise InputError(f"its {key:.200} is made by {tensor.name:.200}, which is not read")
                arrays[key] = decode_numpy_array(tensor)
                continue
            data = memoryview(self._read_storage(tensor.storage))
            if len(data) != tensor.storage.bytes:
                raise InputError(f"the storage of {key:.200} has {len(data)} bytes instead of {tensor.storage.bytes}")
            arrays[key] = tensor.to_array(data)
        return arrays


def _read_zip(content: bytes) -> tuple[Any, ReadStorage]:
    """Return the object in a file of the zip format, and a function that reads a storage."""
    archive = Archive(content)
    names = archive.member_names()
    roots = [name for name in names if name.count("/") == 1 and name.endswith("/data.pkl")]
    if len(roots) != 1:
        raise InputError("it is a zip archive without exactly one data.pkl in one folder")
    folder = roots[0].removesuffix("data.pkl")
    if f"{folder}byteorder" in names and bytes(archive.read_member(f"{folder}byteorder")) != b"little":
        raise InputError("its byte order is not little-endian")
    storages: dict[str, bytes | memoryview] = {}

    def read_storage(storage: Storage) -> bytes | memoryview:
        if storage.key not in storages:
            storages[storage.key] = archive.read_member(f"{folder}data/{storage.key}")
        return storages[storage.key]

    return _load_tensor_pickle(io.BytesIO(archive.read_member(roots[0])), {}), read_storage


def _read_legacy(content: bytes) -> tuple[Any, ReadStorage]:
    """Return the object in a file of the old format, and a function that reads a storage.

    The file is a sequence of pickles: magic number, protocol, system, the object, the keys of the storages. Then come
    the storages in that order, each with its number of elements.
    """
    stream = io.BytesIO(content)  # shares the bytes, does not copy them
    first = _load_plain_pickle(stream)
    if type(first) is dict:  # a pickle of NumPy arrays
        return first, lambda storage: b""
    if first != MAGIC:
        raise InputError("its first pickle is not the magic number of PyTorch")
    protocol, system = _load_plain_pickle(stream), _load_plain_pickle(stream)
    if protocol != PROTOCOL or type(system) is not dict or system.get("little_endian") is not True:
        raise InputError(f"it does not have protocol {PROTOCOL} and little-endian byte order")
    declared: dict[str, Storage] = {}
    root = _load_tensor_pickle(stream, declared)
    keys = _load_plain_pickle(stream)
    if type(keys) is not list or not all(type(key) is str and key in declared for key in keys):
        raise InputError("its list of storages contains one that no tensor uses")
    position = stream.tell()
    storages = {}
    for key in keys:
        count, start = int.from_bytes(content[position : position + 8], "little"), position + 8
        if count != declared[key].count:
            raise InputError(f"a storage has {count} elements, and its tensors need {declared[key].count}")
        position = start + declared[key].bytes
        storages[key] = memoryview(content)[start:position]
    if missing := declared.keys() - storages.keys():
        raise InputError(f"{len(missing)} of its storages are not listed")
    return root, lambda storage: storages[storage.key]


def _load_plain_pickle(stream: io.BytesIO) -> Any:
    """Return the object of a pickle that contains no tensors."""
    return pickles.load_pickle(stream, ALLOWED_GLOBALS, _refuse_storage)


def _load_tensor_pickle(stream: io.BytesIO, declared: dict[str, Storage]) -> Any:
    """Return the object of a pickle with its tensors as `Tensor`; its storages are added to `declared`."""

    def load_storage(value: Any) -> Any:
        # value: ("storage", type, key, device, number of elements), and in old files a view; or a whole module's class
        if type(value) is tuple and len(value) == 4 and value[0] == "module" and type(value[1]) is pickles.GlobalName:
            return value[1]
        is_storage = type(value) is tuple and len(value) >= 5 and value[0] == "storage"
        if not is_storage or type(value[1]) is not pickles.GlobalName:
            raise InputError("it refers to something outside the pickle that is not a storage")
        if len(value) > 5 and value[5] is not None:
            raise InputError("its storages are views of others, as PyTorch before 0.4 wrote them")
        if type(value[2]) is not str or value[1].name not in STORAGE_DTYPES:
            raise InputError("it has a storage without a name or a type")
        storage = Storage(value[2], STORAGE_DTYPES[value[1].name], check_sizes(value[4:5])[0])
        if declared.setdefault(storage.key, storage) != storage:
            raise InputError(f"its storage {storage.key:.200} has two types")
        return storage

    return pickles.load_pickle(stream, ALLOWED_GLOBALS, load_storage)


def _refuse_storage(_: Any) -> Any:
    raise InputError("its first pickles refer to a storage")


def find_tensor_dicts(root: Any) -> dict[str, dict[str, Tensor | pickles.Opaque]]:
    """Return the dicts of tensors in a checkpoint by the keys that lead to them, the most likely weights first.

    Dicts with kernels count; only if there is none, so does any dict that has a tensor.
    """

    def has_kernel(tensors: dict[str, Tensor | pickles.Opaque]) -> bool:
        return any(len(t.shape) > 1 if isinstance(t, Tensor) else is_matrix(t) for t in tensors.values())

    candidates = {".".join(path): tensors for path, tensors in _iter_tensor_dicts(root)}
    kernels = {name: tensors for name, tensors in candidates.items() if has_kernel(tensors)}
    return dict(sorted((kernels or candidates).items(), key=lambda item: rank_set_name(item[0])))


def rank_set_name(name: str) -> tuple[bool, int]:
    """Return the key that sorts sets of weights: trained before averaged ones, usual names before others."""
    parts = re.split(r"[./]", name)
    usual = [STATE_DICT_KEYS.index(part) for part in parts if part in STATE_DICT_KEYS]
    return any(AVERAGED_KEY.search(part) for part in parts), min(usual, default=len(STATE_DICT_KEYS))


def _iter_tensor_dicts(root: Any) -> Iterator[tuple[tuple[str, ...], dict[str, Tensor | pickles.Opaque]]]:
    """Yield each dict that has tensors, with the keys that lead to it; training states are left out."""
    waiting: list[tuple[tuple[str, ...], Any]] = [((), root)]
    seen = {id(root)}
    while waiting:
        path, value = waiting.pop(0)
        items = value.items if type(value) is pickles.Opaque else value
        if type(items) is not dict:
            continue
        texts = {key: item for key, item in items.items() if type(key) is str}
        tensors = {key: item for key, item in texts.items() if type(item) is Tensor or _is_unread_tensor(key, item)}
        if any(type(item) is Tensor or is_numpy_array(item) for item in tensors.values()):
            yield path, tensors
        for key, item in texts.items():
            if id(item) not in seen and len(path) < MAX_DEPTH and not TRAINING_STATE_KEY.search(key):
                seen.add(id(item))
                waiting.append(((*path, key), item))


def _is_unread_tensor(name: str, value: Any) -> bool:
    """Return whether a value is an array of NumPy, or a weight that is not read, such as a quantized or sparse one."""
    return is_numpy_array(value) or (type(value) is pickles.Opaque and value.name.startswith("torch._") and "." in name)


def explain_missing_tensors(root: Any) -> InputError:
    """Return the error for a checkpoint without a dict of tensors."""
    if type(root) is pickles.Opaque:
        if root.name.startswith(("torch.nn.", "torchvision.models.", "__torch__.")):
            return InputError(f"it holds a whole pickled module ({root.name:.200}); save its state_dict()")
        return _refuse_global(root.name)
    if type(root) is not dict:
        return InputError(f"it holds a {type(root).__name__}; a state_dict is expected")
    for key in (*STATE_DICT_KEYS, *root):
        if type(value := root.get(key)) is pickles.Opaque and not (type(key) is str and TRAINING_STATE_KEY.search(key)):
            return _refuse_global(value.name)
    keys = ", ".join(str(key)[:50] for key in list(root)[:20])
    return InputError(f"it has no dict of tensors; its keys are: {keys or 'none'}")


def _refuse_global(name: str) -> InputError:
    """Return the error for a checkpoint whose weights would be made by a global that is not read."""
    return InputError(
        f"it refers to {name!r:.200}, and only tensors in plain containers are read; "
        "if it holds a whole pickled module, save its state_dict()"
    )
