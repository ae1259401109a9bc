"""HDF5 files of Keras 1 and 2, valid and malicious."""

import contextlib
import io

import h5py
import numpy as np
import pytest
from helpers.hdf5 import KERNEL, add_layers, fixed_length, write_hdf5

from cnnzoo.checkpoints import hdf5, readers
from cnnzoo.core.errors import InputError


def read_tensors(content):
    return readers.read_checkpoint(content, "w.h5").tensors


def check_refused(fill, message):
    def filled(root):
        add_layers(root)
        fill(root)

    with pytest.raises(InputError, match=f"Cannot read w.h5 as HDF5: .*{message}"):
        read_tensors(write_hdf5(filled))


@pytest.mark.parametrize("where", [None, "model_weights"])
@pytest.mark.parametrize("written", [fixed_length, list], ids=["fixed", "variable"])
@pytest.mark.parametrize(
    "options", [{}, {"chunks": (2, 5), "compression": "gzip", "shuffle": True, "fletcher32": True}]
)
def test_weights_are_read_in_order(where, written, options):
    tensors = read_tensors(write_hdf5(lambda root: add_layers(root, written=written, **options), where))
    assert list(tensors) == ["conv/kernel", "conv/net/bias", "bn/kernel", "bn/net/bias"]
    np.testing.assert_array_equal(tensors["conv/kernel"], KERNEL)
    np.testing.assert_array_equal(tensors["bn/net/bias"], np.ones(3))


def test_names_can_be_split_over_attributes():
    def fill(root):
        add_layers(root)
        del root.attrs["layer_names"]
        root.attrs["layer_names0"], root.attrs["layer_names1"] = np.array(["bn"], "S"), np.array(["conv"], "S")

    assert list(read_tensors(write_hdf5(fill)))[::2] == ["bn/kernel", "conv/kernel"]


def test_code_of_a_lambda_layer_is_ignored():
    def fill(root):
        add_layers(root)
        root.parent.attrs["model_config"] = (
            '{"class_name": "Lambda", "config": {"function": ["gASV", null, null]}} torn'
        )

    assert len(read_tensors(write_hdf5(fill, "model_weights"))) == 4


def test_a_published_file_is_read(test_data):
    tensors = read_tensors(test_data("checkpoints/lenet5_tanh_mnist.h5").read_bytes())
    assert tensors["conv2d_1/kernel"].shape == (5, 5, 1, 6)
    assert len(tensors) == 10


def test_files_of_keras_3_are_refused_with_a_remedy():
    with pytest.raises(InputError, match=r"model\.load_weights and write it with cnnzoo\.save_weights"):
        readers.read_checkpoint(write_hdf5(lambda root: root.create_group("layers/conv/vars")), "m.weights.h5")
    with pytest.raises(InputError, match="no layer_names"):
        read_tensors(write_hdf5(lambda root: root.create_group("x")))


def replace_kernel(make):
    def fill(root):
        del root["conv/conv/kernel:0"]
        make(root["conv/conv"], "kernel:0")

    return fill


def declare_kernel(shape, **options):
    return replace_kernel(lambda group, name: group.create_dataset(name, shape, "float32", **options))


def link_kernel(link):
    return replace_kernel(lambda group, name: group.__setitem__(name, link))


def test_links_and_external_storage_are_refused(tmp_path):
    secret = tmp_path / "secret.bin"
    secret.write_bytes(bytes(64))
    virtual = h5py.VirtualLayout((3,), "float32")
    check_refused(link_kernel(h5py.SoftLink("/bn/bn/kernel:0")), "is a link")
    check_refused(link_kernel(h5py.ExternalLink(str(secret), "/x")), "is a link")
    check_refused(declare_kernel((4,), external=[(str(secret), 0, 16)]), "another file")
    check_refused(
        replace_kernel(lambda group, name: group.create_virtual_dataset(name, virtual)),
        "(virtual|declares more than is stored)",
    )


def test_declared_sizes_are_checked_against_the_file():
    check_refused(declare_kernel((2**20,)), "declares more than is stored")
    check_refused(declare_kernel((2**40,)), "would unpack to")
    check_refused(declare_kernel((2**40,), chunks=(2**20,), compression="gzip"), "would unpack to")
    check_refused(declare_kernel((2**16,), chunks=(2**14,)), "declares more than is stored")


def test_other_types_and_broken_names_are_refused():
    check_refused(link_kernel("text"), "does not consist of numbers")
    check_refused(link_kernel(h5py.Empty("f4")), "does not consist of numbers")
    check_refused(link_kernel(np.zeros(3, [("a", "f4")])), "does not consist of numbers")
    check_refused(lambda root: root["conv"].attrs.__delitem__("weight_names"), "no weight_names")
    check_refused(lambda root: root.attrs.__setitem__("layer_names", np.array(["none"], "S")), "which does not exist")
    check_refused(
        lambda root: root.attrs.__setitem__("layer_names", np.array(["conv"] * 2, "S")), "two weights conv/kernel"
    )
    check_refused(lambda root: root.attrs.__setitem__("layer_names", np.arange(3)), "are not names")
    check_refused(
        lambda root: root.attrs.__setitem__("layer_names", np.array(["x" * 2000], "S")), "more than 1024 letters"
    )


def test_an_endless_heap_is_refused():
    content = write_hdf5(lambda root: add_layers(root, written=list))
    start = content.index(b"GCOL\1") + 16
    for size in (2**64 - 16, 2**20):
        with pytest.raises(InputError, match="heap of names is damaged"):
            read_tensors(content[: start + 8] + size.to_bytes(8, "little") + content[start + 16 :])


@pytest.mark.parametrize("count", [1, 2, 999, 70_001, 2**20 + 3])
def test_fletcher_sums_equal_those_of_the_hdf5_library(count):
    random = np.random.default_rng(count).integers(0, 256, count).astype("uint8")
    for array in (random, np.zeros(count, "uint8"), np.full(count, 255, "uint8")):
        content = io.BytesIO()
        with h5py.File(content, "w") as file:
            dataset = file.create_dataset("x", data=array, chunks=(count,), fletcher32=True)
            stored = dataset.id.read_direct_chunk((0,))[1]
        assert int.from_bytes(stored[-4:], "little") == hdf5.fletcher_32(stored[:-4])[0]


@pytest.mark.parametrize(
    "options",
    [{"fletcher32": True}, {"compression": "gzip"}, {"fletcher32": True, "compression": "gzip", "shuffle": True}],
    ids=["fletcher", "gzip", "both"],
)
def test_every_changed_byte_of_a_chunk_is_noticed(options):
    content = bytearray(write_hdf5(lambda root: add_layers(root, chunks=(5, 12), **options)))
    expected = read_tensors(bytes(content))["bn/kernel"]
    with h5py.File(io.BytesIO(content)) as file:
        chunk = file["bn/bn/kernel:0"].id.get_chunk_info(0)
    for offset in range(chunk.byte_offset, chunk.byte_offset + chunk.size):
        content[offset] ^= 1
        with contextlib.suppress(InputError):
            np.testing.assert_array_equal(read_tensors(bytes(content))["bn/kernel"], expected)
        content[offset] ^= 1


@pytest.mark.parametrize(
    ("offset", "value", "message"), [(8, 2**40, "damaged"), (16, 2**40, "damaged"), (16, None, "has a loop")]
)
def test_a_damaged_heap_of_link_names_is_refused(offset, value, message):
    """The HDF5 library would allocate without end."""
    content = bytearray(write_hdf5(add_layers))
    start = content.index(b"HEAP\0\0\0\0")
    size, free, address = (int.from_bytes(content[start + at : start + at + 8], "little") for at in (8, 16, 24))
    if value is None:  # the first free block follows itself
        free = size - 16
        content[start + 16 : start + 24] = free.to_bytes(8, "little")
        content[address + free : address + free + 8] = free.to_bytes(8, "little")
    else:
        content[start + offset : start + offset + 8] = value.to_bytes(8, "little")
    with pytest.raises(InputError, match=message):
        read_tensors(bytes(content))
