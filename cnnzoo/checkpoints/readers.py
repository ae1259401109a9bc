"""Checkpoints of other libraries, told by their suffix and read without running anything that is in them."""

import io
import json
import math
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import PurePath

import numpy as np
from numpy.lib import format as npy

from cnnzoo.checkpoints import hdf5, torch_file
from cnnzoo.checkpoints.archives import Archive, check_unpacked_size
from cnnzoo.checkpoints.torch_file import bfloat16_to_float32
from cnnzoo.core.errors import InputError

SAFETENSORS_DTYPES = {
    **{"F64": "<f8", "F32": "<f4", "F16": "<f2", "BF16": "<u2", "I64": "<i8", "I32": "<i4", "I16": "<i2", "I8": "<i1"},
    **{"U64": "<u8", "U32": "<u4", "U16": "<u2", "U8": "<u1", "BOOL": "?"},
}
ZIP_MAGIC = b"PK\3\4"
MAX_NAME_LENGTH = 1024  # characters of a tensor's name
NPY_HEADER_BYTES = 2**16  # bytes of a .npy file that its header lies within
KNOWN_SIGNATURES = {
    b"": "nothing known",
    ZIP_MAGIC: "a zip archive",
    hdf5.MAGIC: "an HDF5 file",
    b"\x80": "a pickle",
    b"<": "a web page",
    b"version https://git-lfs": "a pointer of Git LFS",
}


@dataclass(frozen=True)
class Checkpoint:
    """Tensors by the names they have in the file, in the file's order, and the file's own metadata."""

    tensors: dict[str, np.ndarray]
    metadata: dict[str, str] = field(default_factory=dict)  # of safetensors


def read_checkpoint(content: bytes, name: str) -> Checkpoint:
    """The tensors of a whole file, as views of it where they can be; raises no other error than an InputError.

    The suffix of `name` tells the format: .safetensors, .pth, .pt or .th, .h5, .npz, or .zip with one .h5 in it.
    """
    suffix = PurePath(name).suffix.lower()
    if suffix not in FORMATS:
        raise InputError(f"Checkpoints are files of {', '.join(FORMATS)}. Received: {name!r:.200}")
    kind, at, signs, reader = FORMATS[suffix]
    if not content.startswith(signs, at):
        begun = max((sign for sign in KNOWN_SIGNATURES if content.startswith(sign)), key=len)
        begin = content[:8].hex(" ") if content and not begun else KNOWN_SIGNATURES[begun]
        raise InputError(f"Cannot read {name} as {kind}: it is {len(content)} bytes that begin as {begin}")
    try:
        found = reader(content)
        for title in found.tensors:
            if len(title) > MAX_NAME_LENGTH or not title.isprintable():
                raise InputError(f"a tensor is named {title[:100]!r}..., {len(title)} characters")
        return found
    except Exception as error:  # a hostile file makes the parsers beneath raise anything
        why = " ".join(str(error).split()) or type(error).__name__
        raise InputError(f"Cannot read {name} as {kind}: {why:.500}") from error


def _read_safetensors(content: bytes) -> Checkpoint:
    from safetensors import deserialize

    tensors = {}
    header = json.loads(content[8 : 8 + int.from_bytes(content[:8], "little")])
    unordered = dict(deserialize(content))  # another order each time
    for name, found in ((name, unordered[name]) for name in header if name in unordered):
        if (dtype := SAFETENSORS_DTYPES.get(found["dtype"])) is None:
            raise InputError(f"its {name:.200} is {found['dtype']}, which is none of {', '.join(SAFETENSORS_DTYPES)}")
        array: np.ndarray = np.ndarray(found["shape"], dtype, found["data"])
        tensors[name] = bfloat16_to_float32(array) if found["dtype"] == "BF16" else array
    return Checkpoint(tensors, header.get("__metadata__") or {})


def _read_npz(content: bytes) -> Checkpoint:
    archive = Archive(content)
    total = 0
    tensors = {}
    for member in archive.names():
        data = archive.member(member)
        shape, fortran, dtype, start = _read_npy_header(io.BytesIO(data[:NPY_HEADER_BYTES]))
        if dtype.kind not in "biuf":
            raise InputError(f"its {member!r:.200} is of type {dtype}, and only numbers are read")
        total = check_unpacked_size(total + math.prod(shape) * dtype.itemsize, len(content))
        array: np.ndarray = np.ndarray(shape, dtype, data, start, order="F" if fortran else "C")
        tensors[member.removesuffix(".npy")] = array
    return Checkpoint(tensors)


def _read_npy_header(stream: io.BytesIO) -> tuple[tuple[int, ...], bool, np.dtype, int]:
    """What the header of a .npy file declares, and where it ends."""
    version = npy.read_magic(stream)
    if version not in ((1, 0), (2, 0)):
        raise InputError(f"it has an array in version {version} of npy, whose fields are not numbers")
    parse = npy.read_array_header_1_0 if version == (1, 0) else npy.read_array_header_2_0
    return *parse(stream), stream.tell()


def _read_zipped_h5(content: bytes) -> Checkpoint:
    archive = Archive(content)
    members = [member for member in archive.names() if member.endswith(".h5")]
    if len(members) != 1:
        raise InputError(f"it has {len(members)} members of the suffix .h5, and one is wanted")
    return Checkpoint(hdf5.read_hdf5(bytes(archive.member(members[0]))))


_TORCH_FORMAT = (
    "a checkpoint of torch",
    0,
    (ZIP_MAGIC, b"\x80"),
    lambda content: Checkpoint(torch_file.read_torch_file(content)),
)
FORMATS: dict[str, tuple[str, int, tuple[bytes, ...], Callable[[bytes], Checkpoint]]] = {
    ".safetensors": ("safetensors", 8, (b"{",), _read_safetensors),
    ".pth": _TORCH_FORMAT,
    ".pt": _TORCH_FORMAT,
    ".th": _TORCH_FORMAT,
    ".h5": ("HDF5", 0, (hdf5.MAGIC,), lambda content: Checkpoint(hdf5.read_hdf5(content))),
    ".npz": ("npz", 0, (ZIP_MAGIC,), _read_npz),
    ".zip": ("a zip archive of a .h5 file", 0, (ZIP_MAGIC,), _read_zipped_h5),
}
