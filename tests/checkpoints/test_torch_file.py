"""Files of torch.save, valid and malicious."""

import io
import os
import pickle
import zipfile
from pathlib import Path

import numpy as np
import pytest

from cnnzoo.checkpoints import readers, torch_file
from cnnzoo.core.errors import InputError

FILES = Path(__file__).parent / "files"


def read_tensors(path):
    return readers.read_checkpoint(path.read_bytes(), path.name).tensors


@pytest.mark.parametrize("name", ["plain_zip.pth", "plain_legacy.th", "wrapped_zip.pth", "wrapped_legacy.th"])
def test_every_kind_of_tensor_is_read(name):
    tensors = read_tensors(FILES / name)
    with np.load(FILES / "expected.npz") as expected:
        assert list(tensors) == expected.files
        for key in tensors:
            np.testing.assert_array_equal(tensors[key], expected[key])
            assert tensors[key].dtype == expected[key].dtype
    assert np.shares_memory(tensors["float32"], tensors["shared"])
    assert not tensors["float32"].flags.writeable


def test_types_without_a_storage_type_are_read():
    np.testing.assert_array_equal(read_tensors(FILES / "uint16_zip.pth")["x"], np.array([1, 2, 40000], "uint16"))


def test_published_checkpoints_are_read(test_data):
    for depth, name in {20: "resnet20-12fca82f.th", 56: "resnet56-4bfd9763.th"}.items():
        tensors = read_tensors(test_data(f"checkpoints/{name}"))
        assert tensors["module.conv1.weight"].shape == (16, 3, 3, 3)
        assert sum(key.endswith("weight") and value.ndim == 4 for key, value in tensors.items()) == depth - 1


@pytest.mark.parametrize("name", ["module_zip.pth", "module_legacy.th"])
def test_whole_modules_are_refused(name):
    with pytest.raises(InputError, match=f"{name} .*a whole pickled module .*Linear.*save its state_dict"):
        read_tensors(FILES / name)


class Call:
    def __init__(self, function, *args):
        self.pair = function, args

    def __reduce__(self):
        return self.pair


def in_zip_format(data, **members):
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w") as archive:
        archive.writestr("archive/data.pkl", data)
        for name, member in members.items():
            archive.writestr(f"archive/{name}", member)
    return content.getvalue()


def in_legacy_format(data, *keys):
    heads = (torch_file.MAGIC, torch_file.PROTOCOL, {"little_endian": True})
    return (
        b"".join(pickle.dumps(head, 2) for head in heads)
        + data
        + pickle.dumps(list(keys), 2)
        + b"\2"
        + bytes(15) * bool(keys)
    )


@pytest.mark.parametrize("wrap", [in_zip_format, in_legacy_format])
@pytest.mark.parametrize("protocol", [0, 2, 4])
def test_code_is_refused_and_never_run(wrap, protocol, tmp_path):
    trap = tmp_path / "trap"
    payloads = {
        r"\w+.system": Call(os.system, f"touch {trap}"),
        r"\w*builtin\w*.eval": Call(eval, f"open({str(trap)!r}, 'w')"),
        r"\w+.open": Call(open, str(trap), "w"),
        r"\w*builtin\w*.getattr": Call(getattr, "", "format"),
    }
    for name, payload in payloads.items():
        content = wrap(pickle.dumps({"state_dict": payload}, protocol))
        with pytest.raises(InputError, match=rf"x.pth .*it refers to '{name}', and only tensors"):
            readers.read_checkpoint(content, "x.pth")
    assert not trap.exists()


@pytest.mark.parametrize("wrap", [in_zip_format, in_legacy_format])
def test_pickle_opcodes_that_no_state_dict_has_are_refused(wrap):
    storage = b"(X\x07\0\0\0storagectorch\nFloatStorage\nX\x01\0\0\0aX\x03\0\0\0cpuK\x02tQ"
    bytes_needed = b"\x8a\x07" + (2**50).to_bytes(7, "little")
    tensor = b"ctorch._utils\n_rebuild_tensor\n("
    cases = {
        "opcode INST": b"(ios\nsystem\n.",
        "opcode OBJ": b"(]o.",
        "opcode NEWOBJ": b"ccollections\nOrderedDict\n)\x81.",
        "opcode EXT1": b"\x82\1.",
        "opcode PERSID": b"Psomething\n.",
        "outside the pickle": b"(X\x06\0\0\0moduleX\1\0\0\0atQ.",
        "something outside": b"K\1Q.",
        "fills a tuple": b")}b.",
        "as the number of an object": b"Nr\xff\xff\xff\x7f.",
        "a key of type tuple": b"})Ns.",
        "a key of type int": b"}" + b"\x8a\x09" + b"\xff" * 8 + b"\x7f" + b"Ns.",
        "calls something that is not a function": b"ctorch\nFloatStorage\n)R.",
        "index out of range": b"]a.",
        "a storage without": b"(X\x07\0\0\0storagectorch\nfloat32\nX\x01\0\0\0aX\x03\0\0\0cpuK\x02tQ.",
        "is not a tuple of non-negative": b"}X\1\0\0\0x" + tensor + storage + b"J\xff\xff\xff\xff))tRs.",
        "without a storage": b"}X\1\0\0\0x" + tensor + b"NK\0))tRs.",
        "of non-negative": b"}X\1\0\0\0x" + tensor + storage + b"K\0X\1\0\0\0a)tRs.",
        "would unpack to": b"}X\1\0\0\0x" + tensor + storage + b"K\0" + bytes_needed + b"\x85K\0\x85tRs.",
    }
    for message, data in cases.items():
        keys = ["a"] if wrap is in_legacy_format and message == "would unpack to" else []
        with pytest.raises(InputError, match=rf"Cannot read x.pth as a checkpoint of PyTorch: .*({message})"):
            readers.read_checkpoint(wrap(b"\x80\2" + data, *keys), "x.pth")


def test_tensors_must_lie_within_their_storage():
    for offset, stride in ((1, 1), (0, 2)):
        storage = b"(X\x07\0\0\0storagectorch\nFloatStorage\nX\x01\0\0\0aX\x03\0\0\0cpuK\x02tQ"
        data = b"\x80\2}X\1\0\0\0xctorch._utils\n_rebuild_tensor\n(" + storage
        data += b"K%cK\2\x85K%c\x85tRs." % (offset, stride)
        with pytest.raises(InputError, match="extends beyond its storage of 8 bytes"):
            readers.read_checkpoint(in_zip_format(data, **{"data/a": b"12345678"}), "x.pth")
        with pytest.raises(InputError, match="has 4 bytes instead of 8"):
            readers.read_checkpoint(in_zip_format(data, **{"data/a": b"1234"}), "x.pth")
    with pytest.raises(InputError, match="byte order"):
        readers.read_checkpoint(in_zip_format(data, byteorder=b"big"), "x.pth")


def test_a_pickle_cannot_choose_the_type_of_a_tensor():
    """NumPy would take the bytes of an array of objects for addresses."""
    storage = b"(X\x07\0\0\0storagectorch\nFloatStorage\nX\x01\0\0\0aX\x03\0\0\0cpuK\x02tQ"
    data = b"\x80\2}X\1\0\0\0xctorch._utils\n_rebuild_tensor\n(" + storage + b"K\0K\1\x85K\1\x85X\1\0\0\0OtRs."
    tensors = readers.read_checkpoint(in_zip_format(data, **{"data/a": b"12345678"}), "x.pth").tensors
    assert tensors["x"].dtype == np.float32


def test_a_pickle_that_is_too_long_is_refused():
    with pytest.raises(InputError, match="more than 1048576 steps"):
        readers.read_checkpoint(in_zip_format(b"\x80\2" + b"N" * 2**21), "x.pth")
