"""The tensors in a pickle of torch.save before their bytes are known, and the functions that the pickle may call."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from cnnzoo.checkpoints.pickles import GlobalName, Opaque, make_dict
from cnnzoo.core.errors import InputError

TORCH_DTYPES = {
    **{"torch.float16": "<f2", "torch.float32": "<f4", "torch.float64": "<f8", "torch.bfloat16": "bfloat16"},
    **{"torch.int8": "<i1", "torch.int16": "<i2", "torch.int32": "<i4", "torch.int64": "<i8"},
    **{"torch.uint8": "<u1", "torch.uint16": "<u2", "torch.uint32": "<u4", "torch.uint64": "<u8", "torch.bool": "?"},
    **{"torch.complex64": "<c8", "torch.complex128": "<c16"},
}
STORAGE_DTYPES = {
    **{"torch.HalfStorage": "<f2", "torch.FloatStorage": "<f4", "torch.DoubleStorage": "<f8"},
    **{"torch.CharStorage": "<i1", "torch.ShortStorage": "<i2", "torch.IntStorage": "<i4", "torch.LongStorage": "<i8"},
    **{"torch.ByteStorage": "<u1", "torch.BoolStorage": "?", "torch.BFloat16Storage": "bfloat16"},
    **{"torch.ComplexFloatStorage": "<c8", "torch.ComplexDoubleStorage": "<c16"},
    **{"torch.QInt8Storage": "<i1", "torch.QUInt8Storage": "<u1", "torch.QInt32Storage": "<i4"},
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
        return self.count * numpy_dtype(self.dtype).itemsize


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
        return math.prod(self.shape) * (4 if self.dtype == "bfloat16" else numpy_dtype(self.dtype).itemsize)

    def to_array(self, data: memoryview) -> np.ndarray:
        """Return the tensor as a view of `data`, the bytes of its storage; bfloat16 becomes a new float32 array.

        Raises InputError if the tensor does not lie within its storage.
        """
        dtype = numpy_dtype(self.dtype)
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


def bfloat16_to_float32(bits: np.ndarray) -> np.ndarray:
    """Return bfloat16 numbers, given as their bits in uint16, as float32."""
    wide = bits.astype(np.uint32)
    wide <<= 16
    return wide.view(np.float32)


def numpy_dtype(dtype: str) -> np.dtype:
    """Return the type in which numbers are stored; bfloat16, which NumPy does not have, as its bits."""
    return np.dtype("<u2" if dtype == "bfloat16" else dtype)


def check_sizes(values: Any) -> tuple[int, ...]:
    """Return a tuple of at most 32 non-negative integers, or raise InputError."""
    if type(values) is not tuple or len(values) > 32 or not all(type(v) is int and 0 <= v < 2**62 for v in values):
        raise InputError("it has a tensor whose size, stride or offset is not a tuple of non-negative integers")
    return values


def _make_tensor(storage: Any, offset: Any, shape: Any, strides: Any, dtype: str | None = None) -> Tensor:
    """Return a tensor whose layout is valid; its type is that of its storage, or `dtype`."""
    if type(storage) is not Storage or len(check_sizes(shape)) != len(check_sizes(strides)):
        raise InputError("it has a tensor without a storage, or with different numbers of strides and dimensions")
    return Tensor(storage, dtype or storage.dtype, check_sizes((offset,))[0], shape, strides)


def _rebuild_tensor(storage: Any, offset: Any, shape: Any, strides: Any, *_: Any) -> Tensor:
    # The pickle must not choose the type: NumPy would take its bytes for addresses of Python objects.
    return _make_tensor(storage, offset, shape, strides)


def _rebuild_tensor_v3(storage: Any, offset: Any, shape: Any, strides: Any, *rest: Any) -> Tensor:
    dtype = rest[2]  # after requires_grad and the hooks
    if type(dtype) is not GlobalName or dtype.name not in TORCH_DTYPES:
        raise InputError("it has a tensor without a type")
    return _make_tensor(storage, offset, shape, strides, TORCH_DTYPES[dtype.name])


def _rebuild_ordered_dict(items: Any = ()) -> dict[Any, Any]:
    return make_dict([key for key, _ in items], [value for _, value in items])


def _rebuild_subclass(function: Any, kind: Any, args: Any, state: Any = None) -> Any:
    """Return a tensor of a subclass, such as fastai's, as a plain one."""
    call = ALLOWED_GLOBALS.get(function.name) if type(function) is GlobalName else None
    return call(*args) if call and type(args) is tuple else Opaque(str(kind))


def _encode(text: Any, encoding: Any) -> Any:
    """Return the bytes that pickles of protocol 2 write as text."""
    return text.encode("latin-1") if type(text) is str and encoding == "latin1" else Opaque("_codecs.encode")


ALLOWED_GLOBALS: dict[str, Callable[..., Any] | None] = {
    **dict.fromkeys([*TORCH_DTYPES, *STORAGE_DTYPES]),
    "collections.OrderedDict": _rebuild_ordered_dict,
    "torch.Size": lambda sizes: sizes,
    "torch._utils._rebuild_tensor": _rebuild_tensor,
    "torch._utils._rebuild_tensor_v2": _rebuild_tensor,
    "torch._utils._rebuild_tensor_v3": _rebuild_tensor_v3,
    "torch._tensor._rebuild_from_type_v2": _rebuild_subclass,
    "_codecs.encode": _encode,
    "torch._utils._rebuild_parameter": lambda data, *_: data,
    "torch._utils._rebuild_parameter_with_state": lambda data, *_: data,
}
