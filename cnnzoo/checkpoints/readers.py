"""Read checkpoints of any supported format, without executing anything that is in them."""

import io
import json
import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from functools import cache, partial
from pathlib import PurePath
from typing import Any

import numpy as np
from numpy.lib import format as npy

from cnnzoo.checkpoints import hdf5, keras_file, torch_file
from cnnzoo.checkpoints.class_names import find_class_names
from cnnzoo.checkpoints.torch_tensors import bfloat16_to_float32
from cnnzoo.core.archives import Archive, check_unpacked_size
from cnnzoo.core.errors import InputError

SAFETENSORS_DTYPES = {
    **{"F64": "<f8", "F32": "<f4", "F16": "<f2", "BF16": "<u2", "I64": "<i8", "I32": "<i4", "I16": "<i2", "I8": "<i1"},
    **{"U64": "<u8", "U32": "<u4", "U16": "<u2", "U8": "<u1", "BOOL": "?"},
}
ZIP_MAGIC = b"PK\3\4"
MAX_NAME_LENGTH = 1024  # characters of a tensor's name
NPY_HEADER_BYTES = 2**16  # the header of a .npy file lies within these
KNOWN_SIGNATURES = {
    b"": "nothing known",
    ZIP_MAGIC: "a zip archive",
    hdf5.MAGIC: "an HDF5 file",
    b"\x80": "a pickle",
    b"<": "a web page",
    b"version https://git-lfs": "a pointer of Git LFS, in place of the file; run git lfs pull",
    b"\x1f\x8b": "a gzip archive; unpack it with gunzip or tar first",
    b"7z\xbc\xaf": "a 7z archive; unpack it first",
    b"GGUF": "a GGUF file of a language model",
}
TAR_MAGIC = b"ustar"  # at offset 257


@dataclass(frozen=True)
class Checkpoint:
    """The contents of a file: sets of tensors by their names there, in the order of the file.

    Most files have one set, called "". Those of training scripts may have several, such as `state_dict` and
    `state_dict_ema`; the first of `sets` is the most likely one. A set is read when it is asked for.
    """

    sets: Mapping[str, Callable[[], dict[str, np.ndarray]]]
    metadata: dict[str, str] = field(default_factory=dict)  # only safetensors files have some
    class_names: tuple[str, ...] = ()  # that the file carries beside the tensors, if any
    network: dict[str, Any] = field(default_factory=dict)  # the configuration of the Keras model in the file, if any

    @property
    def tensors(self) -> dict[str, np.ndarray]:
        """The tensors of the first set."""
        return next(iter(self.sets.values()))()


def single_set(tensors: dict[str, np.ndarray], metadata: dict[str, str] | None = None) -> Checkpoint:
    """Return a checkpoint with one set of tensors."""
    return Checkpoint({"": lambda: tensors}, metadata or {})


@dataclass(frozen=True)
class Format:
    """A format of checkpoints: what it is called and how to read it."""

    title: str
    read: Callable[[bytes], Checkpoint]


def read_checkpoint(content: bytes, name: str) -> Checkpoint:
    """Return the tensors of a whole file, as views of its bytes wherever possible.

    Args:
        content: the bytes of the file; they determine the format.
        name: the name of the file, for messages.

    Raises:
        InputError: if the file cannot be read, whatever the reason; no other error is raised.
    """
    by_suffix = SUFFIXES.get(PurePath(name).suffix.lower())
    title = by_suffix.title if by_suffix else "a checkpoint"
    try:
        file_format = detect_format(content) or by_suffix
        if file_format is None or not has_known_start(content):
            raise InputError(f"it has {len(content)} bytes and starts like {describe_start(content)}")
        title = file_format.title
        checkpoint = file_format.read(content)
        check_tensor_names(checkpoint.tensors)
        return checkpoint
    except Exception as error:  # a malicious file can make the parsers raise any error
        reason = " ".join(str(error).split()) or type(error).__name__
        raise InputError(f"Cannot read {name} as {title}: {reason:.500}") from error


def check_tensor_names(names: Iterable[str]) -> None:
    """Raise InputError for a name that is too long or cannot be printed."""
    for name in names:
        if len(name) > MAX_NAME_LENGTH or not name.isprintable():
            raise InputError(f"a tensor is named {name[:100]!r}..., {len(name)} characters")


def has_known_start(content: bytes) -> bool:
    """Return whether a file starts like one of the formats, whatever follows."""
    return content.startswith((ZIP_MAGIC, hdf5.MAGIC, b"\x80")) or content[8:9] == b"{"


def detect_format(content: bytes) -> Format | None:
    """Return the format of a file by its first bytes, and in a zip archive by its members."""
    if content.startswith(hdf5.MAGIC):
        return HDF5
    if content[8:9] == b"{" and int.from_bytes(content[:8], "little") <= len(content) - 8:
        return SAFETENSORS
    if content.startswith(b"\x80"):
        return TORCH
    if not content.startswith(ZIP_MAGIC):
        return None
    names = Archive(content).member_names()
    if any(name.endswith("data.pkl") for name in names):
        return TORCH
    if "config.json" in names and "model.weights.h5" in names:
        return KERAS
    if any(name.endswith(".npy") for name in names):
        return NPZ
    return ZIPPED_H5 if any(name.endswith(".h5") for name in names) else None


def describe_start(content: bytes) -> str:
    """Return what kind of file the first bytes are of, as far as that is known."""
    if content[257:].startswith(TAR_MAGIC):
        return "a tar archive; unpack it first"
    if content[4:].startswith(b"TFL3"):
        return "a LiteRT (TFLite) model"
    signature = max((known for known in KNOWN_SIGNATURES if content.startswith(known)), key=len)
    return content[:8].hex(" ") if content and not signature else KNOWN_SIGNATURES[signature]


def _read_safetensors(content: bytes) -> Checkpoint:
    from safetensors import deserialize

    tensors = {}
    header = json.loads(content[8 : 8 + int.from_bytes(content[:8], "little")])
    stored = dict(deserialize(content))  # in a random order, so the names are taken from the header
    for name in (name for name in header if name in stored):
        entry = stored[name]
        dtype = SAFETENSORS_DTYPES.get(entry["dtype"])
        if dtype is None:
            raise InputError(f"its {name:.200} has type {entry['dtype']}; supported: {', '.join(SAFETENSORS_DTYPES)}")
        array: np.ndarray = np.ndarray(entry["shape"], dtype, entry["data"])
        tensors[name] = bfloat16_to_float32(array) if entry["dtype"] == "BF16" else array
    return single_set(tensors, header.get("__metadata__") or {})


def _read_npz(content: bytes) -> Checkpoint:
    archive = Archive(content)
    total = 0
    tensors = {}
    for member in archive.member_names():
        data = archive.read_member(member)
        shape, fortran_order, dtype, start = _read_npy_header(io.BytesIO(data[:NPY_HEADER_BYTES]))
        if dtype.kind not in "biuf":
            raise InputError(f"its {member!r:.200} is of type {dtype}, and only numbers are read")
        total = check_unpacked_size(total + math.prod(shape) * dtype.itemsize, len(content))
        array: np.ndarray = np.ndarray(shape, dtype, data, start, order="F" if fortran_order else "C")
        tensors[member.removesuffix(".npy")] = array
    return single_set(tensors)


def _read_npy_header(stream: io.BytesIO) -> tuple[tuple[int, ...], bool, np.dtype, int]:
    """Return shape, Fortran order and type that the header of a .npy file declares, and the offset of its end."""
    version = npy.read_magic(stream)
    if version not in ((1, 0), (2, 0)):
        raise InputError(f"it has an array in version {version} of the npy format, which is not for plain numbers")
    parse = npy.read_array_header_1_0 if version == (1, 0) else npy.read_array_header_2_0
    return *parse(stream), stream.tell()


def _read_zipped_h5(content: bytes) -> Checkpoint:
    archive = Archive(content)
    members = [member for member in archive.member_names() if member.endswith(".h5")]
    if len(members) != 1:
        raise InputError(f"it has {len(members)} members with the suffix .h5; exactly one is expected")
    return single_set(keras_file.read_weights(bytes(archive.read_member(members[0]))))


def _read_torch(content: bytes) -> Checkpoint:
    file = torch_file.TorchFile(content)
    for name, tensors in file.sets.items():
        check_tensor_names([name, *tensors])
    sets = {name: cache(partial(file.read_set, name)) for name in file.sets}
    return Checkpoint(sets, class_names=find_class_names(file.root))


def _read_h5(content: bytes) -> Checkpoint:
    tensors = keras_file.read_weights(content)
    return Checkpoint({"": lambda: tensors}, network=keras_file.read_config(content))


def _read_keras(content: bytes) -> Checkpoint:
    tensors, config = keras_file.read_keras_file(content)
    return Checkpoint({"": lambda: tensors}, network=config)


SAFETENSORS = Format("safetensors", _read_safetensors)
TORCH = Format("a checkpoint of PyTorch", _read_torch)
HDF5 = Format("HDF5", _read_h5)
KERAS = Format("a .keras file", _read_keras)
NPZ = Format("npz", _read_npz)
ZIPPED_H5 = Format("a zip archive of a .h5 file", _read_zipped_h5)
# The usual suffixes, which tell a path from a tag, and what a file that cannot be recognized was meant to be.
SUFFIXES = {
    ".safetensors": SAFETENSORS,
    **dict.fromkeys((".pth", ".pt", ".th", ".ckpt", ".tar", ".bin", ".pkl", ".pickle"), TORCH),
    **dict.fromkeys((".h5", ".hdf5"), HDF5),
    ".keras": KERAS,
    ".npz": NPZ,
    ".zip": ZIPPED_H5,
}
