"""Export folders that are broken."""

import json

import numpy as np
import pytest

import cnnzoo
from cnnzoo.inference.exported import ExportInfo, read_export, write_export_info
from cnnzoo.runtimes.choose import FORMATS


@pytest.fixture
def folder(tmp_path, trained):
    """An export folder without its model."""
    write_export_info(tmp_path, ExportInfo(cnnzoo.card(trained.model), "onnx", "float32", (32, 32, 1)))
    return tmp_path


@pytest.mark.parametrize("format", FORMATS)
def test_a_broken_model_file_is_named(format, folder, trained):
    write_export_info(folder, ExportInfo(cnnzoo.card(trained.model), format, "float32", (32, 32, 1)))
    (folder / FORMATS[format].files[-1]).write_bytes(b"broken")
    with pytest.raises(cnnzoo.InputError, match=f"Cannot run the export '{folder}'"):
        cnnzoo.load(folder).predict(np.zeros((1, 12, 12, 1), "uint8"))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"format": "onxn"}, "Unknown format of an export. Did you mean onnx"),
        ({"precision": "int4"}, "Cannot read .*invalid precision 'int4'"),
        ({"shape": [32, 32]}, "Cannot read "),
        ({"shape": [32, -32, 1]}, r"Cannot read .*invalid shape \(32, -32, 1\)"),
        ({"shape": [2**20, 2**20, 1]}, "Cannot read .*invalid shape"),
        ({"card": {}}, "Cannot read "),
    ],
)
def test_a_wrong_export_file_is_named(folder, change, message):
    file = folder / "cnnzoo.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | change))
    with pytest.raises(cnnzoo.InputError, match=message):
        cnnzoo.load(folder)


def test_a_torn_export_file_is_named(folder):
    (folder / "cnnzoo.json").write_text("{")
    with pytest.raises(cnnzoo.InputError, match="Cannot read"):
        read_export(folder)
