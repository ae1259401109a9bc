"""Read checkpoints of any supported format, without executing anything that is in them."""

import io
import json
import math
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import PurePath

import numpy as np
from numpy.lib import format as npy

from cnnzoo.checkpoints import hdf5, torch_file
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
    b"version https://git-lfs": "a pointer of Git LFS",
}


@dataclass(frozen=True)
class Checkpoint:
    """Tensors by their names in the file, in the order of the file, and the file's metadata."""

    tensors: dict[str, np.ndarray]
    metadata: dict[str, str] = field(default_factory=dict)  # only safetensors files have some


@dataclass(frozen=True)
class Format:
    """A format of checkpoints: how to recognize it and how to read it."""

    title: str
    signatures: tuple[bytes, ...]  # one of these is found at `signature_offset`
    read: Callable[[bytes], Checkpoint]
    signature_offset: int = 0


def read_checkpoint(content: bytes, name: str) -> Checkpoint:
    """Return the tensors of a whole file, as views of its bytes wherever possible.

    Args:
        content: the bytes of the file.
        name: the name of the file. Its suffix determines the format: .safetensors, .pth, .pt or .th, .h5, .npz, or
            .zip with one .h5 file in it.

    Raises:
        InputError: if the file cannot be read, whatever the reason; no other error is raised.
    """
    suffix = PurePath(name).suffix.lower()
    if suffix not in FORMATS:
        raise InputError(f"The suffix of a checkpoint must be one of {', '.join(FORMATS)}. Received: {name!r:.200}")
    file_format = FORMATS[suffix]
    title = file_format.title
    if not content.startswith(file_format.signatures, file_format.signature_offset):
        signature = max((known for known in KNOWN_SIGNATURES if content.startswith(known)), key=len)
        start = content[:8].hex(" ") if content and not signature else KNOWN_SIGNATURES[signature]
        raise InputError(f"Cannot read {name} as {title}: it has {len(content)} bytes and starts like {start}")
    try:
        checkpoint = file_format.read(content)
        for tensor_name in checkpoint.tensors:
            if len(tensor_name) > MAX_NAME_LENGTH or not tensor_name.isprintable():
                raise InputError(f"a tensor is named {tensor_name[:100]!r}..., {len(tensor_name)} characters")
        return checkpoint
    except Exception as error:  # a malicious file can make the parsers raise any error
        reason = " ".join(str(error).split()) or type(error).__name__
        raise InputError(f"Cannot read {name} as {title}: {reason:.500}") from error


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
    return Checkpoint(tensors, header.get("__metadata__") or {})


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
    return Checkpoint(tensors)


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
    return Checkpoint(hdf5.read_hdf5(bytes(archive.read_member(members[0]))))


_TORCH_FORMAT = Format(
    "a checkpoint of PyTorch", (ZIP_MAGIC, b"\x80"), lambda content: Checkpoint(torch_file.read_torch_file(content))
)
FORMATS = {
    ".safetensors": Format("safetensors", (b"{",), _read_safetensors, signature_offset=8),
    ".pth": _TORCH_FORMAT,
    ".pt": _TORCH_FORMAT,
    ".th": _TORCH_FORMAT,
    ".h5": Format("HDF5", (hdf5.MAGIC,), lambda content: Checkpoint(hdf5.read_hdf5(content))),
    ".npz": Format("npz", (ZIP_MAGIC,), _read_npz),
    ".zip": Format("a zip archive of a .h5 file", (ZIP_MAGIC,), _read_zipped_h5),
}
