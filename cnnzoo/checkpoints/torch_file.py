"""Read files of torch.save without PyTorch: the zip format, and the one used before PyTorch 1.6."""

import io
import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from cnnzoo.checkpoints import pickles
from cnnzoo.checkpoints.archives import Archive, check_unpacked_size
from cnnzoo.core.errors import InputError

MAGIC = 0x1950A86A20F9469CFC6C
PROTOCOL = 1001
STATE_DICT_KEYS = ("state_dict", "model", "model_state_dict", "net", "params", "state_dict_ema", "model_ema")
TORCH_DTYPES = {
    **{"torch.float16": "<f2", "torch.float32": "<f4", "torch.float64": "<f8", "torch.bfloat16": "bfloat16"},
    **{"torch.int8": "<i1", "torch.int16": "<i2", "torch.int32": "<i4", "torch.int64": "<i8"},
    **{"torch.uint8": "<u1", "torch.uint16": "<u2", "torch.uint32": "<u4", "torch.uint64": "<u8", "torch.bool": "?"},
}
STORAGE_DTYPES = {
    **{"torch.HalfStorage": "<f2", "torch.FloatStorage": "<f4", "torch.DoubleStorage": "<f8"},
    **{"torch.CharStorage": "<i1", "torch.ShortStorage": "<i2", "torch.IntStorage": "<i4", "torch.LongStorage": "<i8"},
    **{"torch.ByteStorage": "<u1", "torch.BoolStorage": "?", "torch.BFloat16Storage": "bfloat16"},
    **{"torch.storage.UntypedStorage": "<u1", "torch.UntypedStorage": "<u1"},
}
MAX_BROADCAST_BYTES = 2**20  # of a tensor that is larger than its storage, because it has strides of zero


@dataclass(frozen=True)
class Storage:
    """The place where the bytes of tensors will be found."""

    key: str
    dtype: str
    count: int  # of elements

    @property
    def bytes(self) -> int:
        return self.count * _numpy_dtype(self.dtype).itemsize


@dataclass(frozen=True)
class Tensor:
    """A tensor before its bytes are known; offset and strides count elements."""

    storage: Storage
    dtype: str
    offset: int
    shape: tuple[int, ...]
    strides: tuple[int, ...]

    @property
    def bytes(self) -> int:
        """Bytes of the array; bfloat16 takes 4 per element, because it becomes float32."""
        return math.prod(self.shape) * (4 if self.dtype == "bfloat16" else _numpy_dtype(self.dtype).itemsize)

    def to_array(self, data: memoryview) -> np.ndarray:
        """Return the tensor as a view of `data`, the bytes of its storage; bfloat16 becomes a new float32 array.

        Raises InputError if the tensor does not lie within its storage.
        """
        dtype = _numpy_dtype(self.dtype)
        if not all(self.shape):
            return np.zeros(self.shape, np.float32 if self.dtype == "bfloat16" else dtype)
        steps = [stride if n > 1 else 0 for n, stride in zip(self.shape, self.strides, strict=True)]
        reach = self.offset + 1 + sum((n - 1) * step for n, step in zip(self.shape, steps, strict=True))
        # Strides of zero repeat elements, so a tensor can be larger than its storage.
        if math.prod(self.shape) * dtype.itemsize > max(len(data), MAX_BROADCAST_BYTES):
            raise InputError(f"a tensor of shape {self.shape} has a storage of {len(data)} bytes only")
        if reach * dtype.itemsize > len(data):
            raise InputError(f"a tensor of shape {self.shape} extends beyond its storage of {len(data)} bytes")
        strides = [step * dtype.itemsize for step in steps]
        array: np.ndarray = np.ndarray(self.shape, dtype, data, self.offset * dtype.itemsize, strides)
        return bfloat16_to_float32(array) if self.dtype == "bfloat16" else array


ReadStorage = Callable[[Storage], bytes | memoryview]


def bfloat16_to_float32(bits: np.ndarray) -> np.ndarray:
    """Return bfloat16 numbers, given as their bits in uint16, as float32."""
    wide = bits.astype(np.uint32)
    wide <<= 16
    return wide.view(np.float32)


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


# ---------------------------------------------------------------- the two formats


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


# ---------------------------------------------------------------- pickles


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
        storage = Storage(value[2], STORAGE_DTYPES[value[1].name], _check_sizes(value[4:5])[0])
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


# ---------------------------------------------------------------- what the pickles may call


def _numpy_dtype(dtype: str) -> np.dtype:
    """Return the type in which numbers are stored; bfloat16, which NumPy does not have, as its bits."""
    return np.dtype("<u2" if dtype == "bfloat16" else dtype)


def _check_sizes(values: Any) -> tuple[int, ...]:
    """Return a tuple of at most 32 non-negative integers, or raise InputError."""
    if type(values) is not tuple or len(values) > 32 or not all(type(v) is int and 0 <= v < 2**62 for v in values):
        raise InputError("it has a tensor whose size, stride or offset is not a tuple of non-negative integers")
    return values


def _rebuild_tensor(storage: Any, offset: Any, shape: Any, strides: Any, dtype: str | None = None) -> Tensor:
    if type(storage) is not Storage or len(_check_sizes(shape)) != len(_check_sizes(strides)):
        raise InputError("it has a tensor without a storage, or with different numbers of strides and dimensions")
    return Tensor(storage, dtype or storage.dtype, _check_sizes((offset,))[0], shape, strides)


def _rebuild_tensor_v2(storage: Any, offset: Any, shape: Any, strides: Any, *_: Any) -> Tensor:
    return _rebuild_tensor(storage, offset, shape, strides)


def _rebuild_tensor_v3(storage: Any, offset: Any, shape: Any, strides: Any, *rest: Any) -> Tensor:
    dtype = rest[2]  # after requires_grad and the hooks
    if type(dtype) is not pickles.GlobalName or dtype.name not in TORCH_DTYPES:
        raise InputError("it has a tensor without a type")
    return _rebuild_tensor(storage, offset, shape, strides, TORCH_DTYPES[dtype.name])


def _rebuild_ordered_dict(items: Any = ()) -> dict[Any, Any]:
    return pickles.make_dict([key for key, _ in items], [value for _, value in items])


ALLOWED_GLOBALS: dict[str, Callable[..., Any] | None] = {
    **dict.fromkeys([*TORCH_DTYPES, *STORAGE_DTYPES]),
    "collections.OrderedDict": _rebuild_ordered_dict,
    "torch.Size": lambda sizes: sizes,
    "torch._utils._rebuild_tensor": _rebuild_tensor,
    "torch._utils._rebuild_tensor_v2": _rebuild_tensor_v2,
    "torch._utils._rebuild_tensor_v3": _rebuild_tensor_v3,
    "torch._utils._rebuild_parameter": lambda data, *_: data,
    "torch._utils._rebuild_parameter_with_state": lambda data, *_: data,
}
