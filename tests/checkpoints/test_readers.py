"""Every file gives either tensors or an InputError."""

import io
import json
import pickle
import subprocess
import sys
import tracemalloc
import zipfile
from pathlib import Path

import numpy as np
import pytest
from helpers.hdf5 import add_layers, write_hdf5
from safetensors.numpy import save

from cnnzoo.checkpoints import readers
from cnnzoo.core.errors import InputError

FILES = Path(__file__).parent / "files"
ARRAYS = {"b": np.arange(6.0).reshape(2, 3), "a": np.asfortranarray(np.ones((3, 2), "float32")), "n": np.array(7)}


def write_npz(savez=np.savez, **arrays):
    content = io.BytesIO()
    savez(content, **arrays)
    return content.getvalue()


def write_zip(*members, how=zipfile.ZIP_DEFLATED):
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w", how) as new:
        for name, data in members:
            new.writestr(name, data)
    return content.getvalue()


def write_keras():
    def fill(root):
        for name in ("conv2d", "dense"):
            group = root.create_group(f"layers/{name}/vars")
            group.attrs["name"] = f"my_{name}"
            group["0"], group["1"] = np.ones((2, 3)), np.ones(3)

    return write_zip(("config.json", json.dumps({"config": {"layers": []}})), ("model.weights.h5", write_hdf5(fill)))


@pytest.fixture(scope="module")
def samples():
    """A small file of every format."""
    weights = write_hdf5(add_layers)
    return {
        "w.safetensors": save({name: np.ascontiguousarray(array) for name, array in ARRAYS.items()}, {"who": "me"}),
        "stored.npz": write_npz(**ARRAYS),
        "deflated.npz": write_npz(np.savez_compressed, **ARRAYS),
        "w.h5": weights,
        "variable.h5": write_hdf5(lambda root: add_layers(root, written=list)),
        "w.h5.zip": write_zip(("w.h5", weights)),
        "w.keras": write_keras(),
        "w.pkl": pickle.dumps({"model": {"conv1.weight": np.ones((2, 3), "float32")}}, 4),
        **{name: (FILES / name).read_bytes() for name in ("plain_zip.pth", "wrapped_legacy.th")},
    }


@pytest.mark.parametrize("name", ["w.safetensors", "stored.npz", "deflated.npz"])
def test_arrays_come_back(samples, name):
    checkpoint = readers.read_checkpoint(samples[name], name)
    assert checkpoint.tensors.keys() == ARRAYS.keys()
    for key, array in ARRAYS.items():
        np.testing.assert_array_equal(checkpoint.tensors[key], array)
        assert checkpoint.tensors[key].dtype == array.dtype
    assert checkpoint.metadata == ({"who": "me"} if name == "w.safetensors" else {})


def test_a_zipped_h5_is_read(samples):
    assert next(iter(readers.read_checkpoint(samples["w.h5.zip"], "w.tf2.h5.zip").tensors)) == "conv/kernel"
    for members in ((), (("a.h5", b""), ("b.h5", b""))):
        with pytest.raises(InputError, match=f"it has {len(members)} members with the suffix .h5"):
            readers.read_checkpoint(write_zip(("x", b""), *members), "w.zip")


def test_bfloat16_becomes_float32():
    header = b'{"x":{"dtype":"BF16","shape":[2],"data_offsets":[0,4]}}'
    content = len(header).to_bytes(8, "little") + header + bytes.fromhex("803f40c0")
    array = readers.read_checkpoint(content, "w.safetensors").tensors["x"]
    assert array.dtype == np.float32
    np.testing.assert_array_equal(array, [1, -3])


def test_the_content_decides_the_format_and_not_the_suffix(samples):
    for name, content in samples.items():
        expected = readers.read_checkpoint(content, name).tensors
        for other in ("x.safetensors", "x.pth", "x.ckpt", "x.pth.tar", "x.bin", "x.pkl", "x.h5", "x.npz", "x.zip", "x"):
            tensors = readers.read_checkpoint(content, other).tensors
            assert list(tensors) == list(expected)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "nothing known"),
        (b"<!doctype html>", "a web page"),
        (b"version https://git-lfs.github.com/spec", "Git LFS.*git lfs pull"),
        (b"\x1f\x8b\x08", "a gzip archive; unpack it"),
        (bytes(257) + b"ustar" + bytes(250), "a tar archive; unpack it"),
        (b"\x1c\0\0\0TFL3", "a LiteRT"),
        (b"\x08\x09onnx", "08 09"),
    ],
)
def test_other_files_are_told_by_what_they_are(content, message):
    for name in ("w.pth", "w.ckpt", "w.h5", "w.safetensors"):
        with pytest.raises(InputError, match=f"Cannot read {name} as .*: it has .*{message}"):
            readers.read_checkpoint(content, name)
    with pytest.raises(InputError, match=f"Cannot read weights as a checkpoint: it has .*{message}"):
        readers.read_checkpoint(content, "weights")


def test_bombs_are_refused_before_they_are_unpacked(samples):
    cases = {
        "bomb.npz": (write_zip(("a.npy", bytes(2**25))), "would unpack to"),
        "bomb.zip": (write_zip(("a.h5", bytes(2**25))), "would unpack to"),
        "bomb.pth": (write_zip(("a/data.pkl", bytes(2**25))), "would unpack to"),
        "huge.npz": (write_zip(("a.npy", npy_header("<f4", (2**50,))), how=zipfile.ZIP_STORED), "would unpack to"),
        "object.npz": (write_zip(("a.npy", npy_header("|O", (1,)))), "only numbers are read"),
        "twice.npz": (zip_with_a_member_twice(), "lists a member twice"),
    }
    for name, (content, message) in cases.items():
        tracemalloc.start()
        with pytest.raises(InputError, match=f"Cannot read {name} .*{message}"):
            readers.read_checkpoint(content, name)
        assert tracemalloc.get_traced_memory()[1] < 2**22, name
        tracemalloc.stop()


def npy_header(dtype, shape):
    content = io.BytesIO()
    np.lib.format.write_array_header_1_0(content, {"descr": dtype, "fortran_order": False, "shape": shape})
    return content.getvalue()


def zip_with_a_member_twice():
    return write_zip(("a.npy", b""), ("b.npy", b"")).replace(b"b.npy", b"a.npy")


@pytest.mark.parametrize(
    "name",
    [
        "w.safetensors",
        "stored.npz",
        "plain_zip.pth",
        "wrapped_legacy.th",
        "w.h5",
        "variable.h5",
        "w.h5.zip",
        "w.keras",
        "w.pkl",
    ],
)
def test_damaged_files_raise_only_input_errors(samples, name):
    draw = np.random.default_rng(0)
    for round in range(300):
        broken = bytearray(samples[name])
        if round % 3:
            for at in draw.integers(len(broken), size=round % 3):
                broken[at] ^= draw.integers(1, 256)
        else:
            del broken[draw.integers(len(broken)) :]
        try:
            readers.read_checkpoint(bytes(broken), name)
        except InputError as error:
            assert name in str(error)
            assert "\n" not in str(error)


def test_big_files_are_not_copied():
    big = np.ones(2**22)
    for name, content in {"w.safetensors": save({"x": big}), "w.npz": write_npz(x=big)}.items():
        tracemalloc.start()
        assert readers.read_checkpoint(content, name).tensors["x"].size == big.size
        assert tracemalloc.get_traced_memory()[1] < 1.2 * big.nbytes
        tracemalloc.stop()


def test_module_imports_nothing_heavy():
    code = "import sys, cnnzoo.checkpoints.readers; assert not {'keras', 'h5py', 'safetensors'} & set(sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)
