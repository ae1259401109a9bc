"""Checkpoints as other tools write them, and files that were damaged or made to harm."""

import io
import json
import tracemalloc
import zipfile
from pathlib import Path

import h5py
import pytest
from helpers.cases import Case, parametrize_cases
from helpers.hdf5 import add_layers, write_hdf5

import cnnzoo
from cnnzoo.checkpoints import readers

# ---------------------------------------------------------------- damaged and hostile files


def write_h5_with_a_changed_bit(folder: Path, **options) -> Path:
    """Write weights in one chunk, with a checksum, and change one bit of the numbers."""
    content = bytearray(write_hdf5(lambda root: add_layers(root, chunks=(5, 12), **options)))
    with h5py.File(io.BytesIO(content)) as file:
        chunk = file["conv/conv/kernel:0"].id.get_chunk_info(0)
    content[chunk.byte_offset + chunk.size // 2] ^= 1
    (folder / "w.h5").write_bytes(content)
    return folder / "w.h5"


DAMAGED = [
    Case("fletcher", "attack 1.1", lambda folder: write_h5_with_a_changed_bit(folder, fletcher32=True), "Fletcher-32"),
    Case(
        "fletcher after shuffle",
        "sibling",
        lambda folder: write_h5_with_a_changed_bit(folder, fletcher32=True, shuffle=True),
        "Fletcher-32",
    ),
    Case("gzip", "sibling", lambda folder: write_h5_with_a_changed_bit(folder, compression="gzip"), "Cannot read w.h5"),
    Case(
        "fletcher of gzip",
        "sibling",
        lambda folder: write_h5_with_a_changed_bit(folder, compression="gzip", fletcher32=True),
        "Cannot read w.h5",
    ),
]


@parametrize_cases(DAMAGED)
def test_checksums_of_the_format_are_compared(case, tmp_path):
    path = case.make(tmp_path)
    with pytest.raises(cnnzoo.InputError, match=case.expected):
        readers.read_checkpoint(path.read_bytes(), path.name)


def write_keras_archive(folder: Path, **texts: str) -> Path:
    with zipfile.ZipFile(folder / "m.keras", "w", zipfile.ZIP_DEFLATED) as archive:
        for name in ("metadata", "config"):
            archive.writestr(f"{name}.json", texts.get(name, "{}"))
        archive.writestr("model.weights.h5", write_hdf5(lambda root: root.create_group("layers")))
    return folder / "m.keras"


BOMBS = [
    Case(
        "one long string",
        "attack 1.2",
        lambda folder: write_keras_archive(folder, config='{"a": "' + "x" * 20_000_000 + '"}'),
        "would unpack to",
    ),
    Case(
        "metadata",
        "sibling",
        lambda folder: write_keras_archive(folder, metadata=" " * 20_000_000),
        "would unpack to",
    ),
    Case(
        "a message as long as the configuration",
        "sibling",
        lambda folder: write_keras_archive(folder, config=json.dumps({"class_name": "x" * 100_000, "config": {}})),
        "Cannot load",
    ),
    Case("nested lists", "sibling", lambda folder: write_keras_archive(folder, config="[" * 100_000), "Cannot load"),
]


@parametrize_cases(BOMBS)
def test_the_configuration_of_a_model_file_is_bounded(case, tmp_path):
    path = case.make(tmp_path)
    tracemalloc.start()
    with pytest.raises(cnnzoo.InputError, match=case.expected) as caught:
        cnnzoo.load(path)
    assert len(str(caught.value)) < 3000
    assert tracemalloc.get_traced_memory()[1] < 50_000_000
    tracemalloc.stop()
