"""Files of torch.save, read without torch: the zip format and the one before torch 1.6."""

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
MAX_BROADCAST_BYTES = 2**20  # bytes of a tensor that is larger than its storage


@dataclass(frozen=True)
class Storage:
    """Where bytes of tensors will be found."""

    key: str
    dtype: str
    count: int

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
        return math.prod(self.shape) * (4 if self.dtype == "bfloat16" else _numpy_dtype(self.dtype).itemsize)

    def array(self, data: memoryview) -> np.ndarray:
        """The tensor as a view of its storage's bytes, bfloat16 as new float32; checks that it lies within."""
        dtype = _numpy_dtype(self.dtype)
        if not all(self.shape):
            return np.zeros(self.shape, np.float32 if self.dtype == "bfloat16" else dtype)
        steps = [stride if n > 1 else 0 for n, stride in zip(self.shape, self.strides, strict=True)]
        reach = self.offset + 1 + sum((n - 1) * step for n, step in zip(self.shape, steps, strict=True))
        if math.prod(self.shape) * dtype.itemsize > max(len(data), MAX_BROADCAST_BYTES):  # by a stride of zero
            raise InputError(f"a tensor of shape {self.shape} has a storage of {len(data)} bytes only")
        if reach * dtype.itemsize > len(data):
            raise InputError(f"a tensor of shape {self.shape} reaches beyond its storage of {len(data)} bytes")
        strides = [step * dtype.itemsize for step in steps]
        array: np.ndarray = np.ndarray(self.shape, dtype, data, self.offset * dtype.itemsize, strides)
        return bfloat16_to_float32(array) if self.dtype == "bfloat16" else array


def bfloat16_to_float32(bits: np.ndarray) -> np.ndarray:
    """bfloat16, given as its bits in uint16, in float32."""
    wide = bits.astype(np.uint32)
    wide <<= 16
    return wide.view(np.float32)


def read_torch_file(content: bytes) -> dict[str, np.ndarray]:
    """The tensors of the state_dict in a file of torch.save, as views of its bytes; raises what `pickles.load` does."""
    root, storages = _read_zip(content) if content.startswith(b"PK") else _read_legacy(content)
    tensors = {str(name): value for name, value in _find_state_dict(root).items() if type(value) is Tensor}
    check_unpacked_size(sum(tensor.bytes for tensor in tensors.values()), len(content))
    arrays = {}
    for name, tensor in tensors.items():
        data = memoryview(storages(tensor.storage))
        if len(data) != tensor.storage.bytes:
            raise InputError(f"the storage of {name:.200} has {len(data)} bytes, and {tensor.storage.bytes} are due")
        arrays[name] = tensor.array(data)
    return arrays


def _read_zip(content: bytes) -> tuple[Any, Callable[[Storage], bytes | memoryview]]:
    archive = Archive(content)
    roots = [name for name in archive.names() if name.count("/") == 1 and name.endswith("/data.pkl")]
    if len(roots) != 1:
        raise InputError("it is a zip archive without one data.pkl in one folder")
    folder = roots[0].removesuffix("data.pkl")
    if f"{folder}byteorder" in archive.names() and bytes(archive.member(f"{folder}byteorder")) != b"little":
        raise InputError("its byte order is not little")
    members: dict[str, bytes | memoryview] = {}

    def find(storage: Storage) -> bytes | memoryview:
        if storage.key not in members:
            members[storage.key] = archive.member(f"{folder}data/{storage.key}")
        return members[storage.key]

    return _load_tensor_pickle(io.BytesIO(archive.member(roots[0])), {}), find


def _read_legacy(content: bytes) -> tuple[Any, Callable[[Storage], bytes | memoryview]]:
    stream = io.BytesIO(content)  # shares the bytes
    if _load_plain_pickle(stream) != MAGIC:
        raise InputError("its first pickle is not torch's magic number")
    protocol, system = _load_plain_pickle(stream), _load_plain_pickle(stream)
    if protocol != PROTOCOL or type(system) is not dict or system.get("little_endian") is not True:
        raise InputError(f"it is not of protocol {PROTOCOL} in little byte order")
    seen: dict[str, Storage] = {}
    root = _load_tensor_pickle(stream, seen)
    keys = _load_plain_pickle(stream)
    if type(keys) is not list or not all(type(key) is str and key in seen for key in keys):
        raise InputError("its list of storages names one that no tensor has")
    at, data = stream.tell(), {}
    for key in keys:
        count, start = int.from_bytes(content[at : at + 8], "little"), at + 8
        if count != seen[key].count:
            raise InputError(f"a storage has {count} elements, and its tensors want {seen[key].count}")
        at = start + seen[key].bytes
        data[key] = memoryview(content)[start:at]
    if missing := seen.keys() - data.keys():
        raise InputError(f"{len(missing)} of its storages are not listed")
    return root, lambda storage: data[storage.key]


def _load_plain_pickle(stream: io.BytesIO) -> Any:
    return pickles.load_pickle(stream, {}, _refuse_global, _refuse_storage)


def _load_tensor_pickle(stream: io.BytesIO, seen: dict[str, Storage]) -> Any:
    """The object of a pickle with its tensors as Tensor; `seen` gets its storages."""

    def persistent(value: Any) -> Storage:
        if (
            type(value) is not tuple
            or len(value) < 5
            or value[0] != "storage"
            or type(value[1]) is not pickles.GlobalName
        ):
            raise InputError("it refers to something outside the pickle that is no storage")
        if len(value) > 5 and value[5] is not None:
            raise InputError("its storages are views of others, as torch before 0.4 wrote them")
        if type(value[2]) is not str or value[1].name not in STORAGE_DTYPES:
            raise InputError("it has a storage without a name or a type")
        storage = Storage(value[2], STORAGE_DTYPES[value[1].name], _check_sizes(value[4:5])[0])
        if seen.setdefault(storage.key, storage) != storage:
            raise InputError(f"its storage {storage.key:.200} has two types")
        return storage

    return pickles.load_pickle(stream, ALLOWED_GLOBALS, _refuse_global, persistent)


def _refuse_storage(_: Any) -> Any:
    raise InputError("its first pickles refer to a storage")


def _refuse_global(name: str) -> InputError:
    if name.startswith(("torch.nn.", "torchvision.models.", "__torch__.")):
        return InputError(f"it holds a whole pickled module ({name:.200}); save its state_dict()")
    return InputError(
        f"it refers to {name!r:.200}, and only tensors in plain containers are read; "
        "where it holds a whole pickled module, save its state_dict()"
    )


def _find_state_dict(root: Any) -> dict[Any, Any]:
    """The first dict with tensors: among the wrappers, else the root."""
    if type(root) is not dict:
        raise InputError(f"it holds a {type(root).__name__}, and a state_dict is wanted")
    for found in [*(root.get(key) for key in STATE_DICT_KEYS), root]:
        if type(found) is dict and any(type(value) is Tensor for value in found.values()):
            return found
    keys = ", ".join(str(key)[:50] for key in list(root)[:20])
    raise InputError(f"it has no dict of tensors; its keys are: {keys or 'none'}")


def _numpy_dtype(dtype: str) -> np.dtype:
    return np.dtype("<u2" if dtype == "bfloat16" else dtype)


def _check_sizes(values: Any) -> tuple[int, ...]:
    """Whole numbers that are not negative, at most 32 of them."""
    if type(values) is not tuple or len(values) > 32 or not all(type(v) is int and 0 <= v < 2**62 for v in values):
        raise InputError("it has a tensor whose size, stride or offset is no tuple of whole numbers")
    return values


def _rebuild_tensor(storage: Any, offset: Any, shape: Any, strides: Any, dtype: str | None = None) -> Tensor:
    if type(storage) is not Storage or len(_check_sizes(shape)) != len(_check_sizes(strides)):
        raise InputError("it has a tensor without a storage, or with as many strides as it has not dimensions")
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
