"""Exports that several tests share."""

import functools
import importlib
from pathlib import Path

import pytest

import cnnzoo


@pytest.fixture(scope="session")
def export_once(trained, data, tmp_path_factory):
    """A function that exports the trained run in a format and a precision, with a crop, and only once for each."""
    folder, exports = tmp_path_factory.mktemp("exports"), {}

    def export(format, precision="float32"):
        if (format, precision) not in exports:
            exports[format, precision] = cnnzoo.export(
                trained.folder,
                folder / f"{format}-{precision}",
                format,
                precision=precision,
                data=data,
                max_drop=0.1,
                crop=export.crop,
            )
        return exports[format, precision]

    export.crop = 0.875
    return export


@pytest.fixture(scope="session")
def load_once(export_once):
    """A function that loads the export of a format and a precision, and only once for each."""
    return functools.cache(lambda *format: cnnzoo.load(export_once(*format).path))


@pytest.fixture(scope="session")
def original(trained, export_once):
    """The trained run that is exported, run by Keras."""
    return cnnzoo.load(trained.folder, "keras", crop=export_once.crop)


@pytest.fixture
def saved_models_once(monkeypatch):
    """Let TensorFlow load equal SavedModels once, wherever they lie: each takes seconds."""
    saved_model = importlib.import_module("tensorflow.saved_model")  # replaces `tf.saved_model`, as an export does
    load = saved_model.load

    def load_once(path):
        contents = tuple(file.read_bytes() for file in sorted(Path(path).rglob("*")) if file.is_file())
        if contents not in LOADED_SAVED_MODELS:
            LOADED_SAVED_MODELS[contents] = load(path)
        return LOADED_SAVED_MODELS[contents]

    monkeypatch.setattr(saved_model, "load", load_once)


LOADED_SAVED_MODELS = {}
