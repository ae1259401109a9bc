"""Files as torch.save writes them, made without PyTorch: the zip format, and the one before PyTorch 1.6."""

import io
import pickle
import zipfile
from collections import OrderedDict
from dataclasses import dataclass, field
from typing import Any

import numpy as np

MAGIC = 0x1950A86A20F9469CFC6C
STORAGES = {"f2": "HalfStorage", "f4": "FloatStorage", "f8": "DoubleStorage", "i8": "LongStorage", "u1": "ByteStorage"}


@dataclass(frozen=True)
class Global:
    """A class or function, by its dotted name, of a library that need not be installed."""

    name: str

    def __call__(self, *_: Any) -> None:
        raise AssertionError(f"{self.name} was called")


@dataclass(frozen=True)
class Foreign:
    """An object of another library: what pickle would call, and what it would fill in.

    `new` makes it with the opcode for objects (`cls.__new__(cls)`), as pickle does for plain classes; else by a call.
    """

    name: str
    args: tuple[Any, ...] = ()
    state: Any = None
    items: dict[Any, Any] = field(default_factory=dict)
    new: bool = False


@dataclass(frozen=True)
class Storage:
    """The bytes of a tensor."""

    key: str
    array: np.ndarray


class TorchPickler(pickle._Pickler):
    """A pickler that writes arrays as tensors of PyTorch, and `Foreign` as objects of other libraries."""

    dispatch = dict(pickle._Pickler.dispatch)  # noqa: RUF012

    def __init__(self, stream: io.BytesIO, protocol: int = 2) -> None:
        super().__init__(stream, protocol)
        self.storages: list[Storage] = []

    def persistent_id(self, obj: Any) -> Any:
        if type(obj) is not Storage:
            return None
        kind = Global(f"torch.{STORAGES[obj.array.dtype.str[1:]]}")
        return "storage", kind, obj.key, "cpu", obj.array.size

    def save_global_name(self, obj: Global) -> None:
        module, _, name = obj.name.rpartition(".")
        self.write(pickle.GLOBAL + f"{module}\n{name}\n".encode())

    def save_foreign(self, obj: Foreign) -> None:
        self.save(Global(obj.name))
        self.save(obj.args)
        self.write(pickle.NEWOBJ if obj.new else pickle.REDUCE)
        if obj.items:
            self._batch_setitems(obj.items.items())
        if obj.state is not None:
            self.save(obj.state)
            self.write(pickle.BUILD)

    def save_array(self, array: np.ndarray) -> None:
        storage = Storage(str(len(self.storages)), np.array(array, order="C"))
        self.storages.append(storage)
        strides = tuple(step // array.itemsize for step in storage.array.strides)
        self.save(Global("torch._utils._rebuild_tensor_v2"))
        self.save((storage, 0, array.shape, strides, False, OrderedDict()))
        self.write(pickle.REDUCE)

    dispatch[Global] = save_global_name
    dispatch[Foreign] = save_foreign
    dispatch[np.ndarray] = save_array


@dataclass(frozen=True)
class RealArray:
    """A NumPy array that stays one, beside the tensors."""

    array: np.ndarray

    def __reduce__(self) -> Any:
        return self.array.__reduce__()


def dump_torch(obj: Any, legacy: bool = False, protocol: int = 2) -> bytes:
    """Return the bytes of torch.save for an object in which NumPy arrays stand for tensors."""
    stream = io.BytesIO()
    pickler = TorchPickler(stream, protocol)
    pickler.dump(obj)
    content = io.BytesIO()
    if legacy:
        for head in (MAGIC, 1001, {"protocol_version": 1001, "little_endian": True}):
            content.write(pickle.dumps(head, 2))
        content.write(stream.getvalue())
        content.write(pickle.dumps([storage.key for storage in pickler.storages], 2))
        for storage in pickler.storages:
            content.write(storage.array.size.to_bytes(8, "little") + storage.array.tobytes())
        return content.getvalue()
    with zipfile.ZipFile(content, "w") as archive:
        archive.writestr("archive/data.pkl", stream.getvalue())
        for storage in pickler.storages:
            archive.writestr(f"archive/data/{storage.key}", storage.array.tobytes())
    return content.getvalue()
