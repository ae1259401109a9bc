"""Read files of torch.save without PyTorch: the zip format, and the one used before PyTorch 1.6."""

import io
from collections.abc import Callable
from typing import Any

import numpy as np

from cnnzoo.checkpoints import pickles
from cnnzoo.checkpoints.torch_tensors import ALLOWED_GLOBALS, STORAGE_DTYPES, Storage, Tensor, check_sizes
from cnnzoo.core.archives import Archive, check_unpacked_size
from cnnzoo.core.errors import InputError

MAGIC = 0x1950A86A20F9469CFC6C
PROTOCOL = 1001
STATE_DICT_KEYS = ("state_dict", "model", "model_state_dict", "net", "params", "state_dict_ema", "model_ema")
ReadStorage = Callable[[Storage], bytes | memoryview]


def read_torch_file(content: bytes) -> dict[str, np.ndarray]:
    """Return the tensors of the state dict in a file of torch.save, as views of its bytes.

    Raises InputError, or whatever `load_pickle` raises for a broken pickle.
    """
    root, read_storage = _read_zip(content) if content.startswith(b"PK") else _read_legacy(content)
    tensors = {str(name): value for name, value in _find_state_dict(root).items() if type(value) is Tensor}
    check_unpacked_size(sum(tensor.bytes for tensor in tensors.values()), len(content))
    arrays = {}
    for name, tensor in tensors.items():
        data = memoryview(read_storage(tensor.storage))
        if len(data) != tensor.storage.bytes:
            raise InputError(f"the storage of {name:.200} has {len(data)} bytes instead of {tensor.storage.bytes}")
        arrays[name] = tensor.to_array(data)
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
    if _load_plain_pickle(stream) != MAGIC:
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
    return pickles.load_pickle(stream, {}, _refuse_global, _refuse_storage)


def _load_tensor_pickle(stream: io.BytesIO, declared: dict[str, Storage]) -> Any:
    """Return the object of a pickle with its tensors as `Tensor`; its storages are added to `declared`."""

    def load_storage(value: Any) -> Storage:
        # value: ("storage", type, key, device, number of elements), and in old files a view
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

    return pickles.load_pickle(stream, ALLOWED_GLOBALS, _refuse_global, load_storage)


def _refuse_storage(_: Any) -> Any:
    raise InputError("its first pickles refer to a storage")


def _refuse_global(name: str) -> InputError:
    """Return the error for a pickle that refers to a global which no state dict needs."""
    if name.startswith(("torch.nn.", "torchvision.models.", "__torch__.")):
        return InputError(f"it holds a whole pickled module ({name:.200}); save its state_dict()")
    return InputError(
        f"it refers to {name!r:.200}, and only tensors in plain containers are read; "
        "if it holds a whole pickled module, save its state_dict()"
    )


def _find_state_dict(root: Any) -> dict[Any, Any]:
    """Return the first dict that contains tensors: under one of the usual keys, or the root itself."""
    if type(root) is not dict:
        raise InputError(f"it holds a {type(root).__name__}; a state_dict is expected")
    for candidate in [*(root.get(key) for key in STATE_DICT_KEYS), root]:
        if type(candidate) is dict and any(type(value) is Tensor for value in candidate.values()):
            return candidate
    keys = ", ".join(str(key)[:50] for key in list(root)[:20])
    raise InputError(f"it has no dict of tensors; its keys are: {keys or 'none'}")
