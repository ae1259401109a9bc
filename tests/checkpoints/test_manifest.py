"""Every row of the manifest, every field: true, and measured again where the data is here."""

import hashlib

import numpy as np
import pytest

import cnnzoo
from cnnzoo.checkpoints import manifest
from cnnzoo.training import recipes

ROWS = manifest.rows()
each = pytest.mark.parametrize("row", ROWS, ids=lambda row: f"{row.model}-{row.tag}")


def test_the_shipped_weights():
    assert {(row.model, row.tag) for row in ROWS} == {
        ("lenet5", "digits"),
        ("lenet5", "mnist"),
        ("lenet5_1998", "mnist"),
    }


@each
def test_the_file_is_the_one_that_the_row_names(row):
    content = row.path.read_bytes()
    assert hashlib.sha256(content).hexdigest() == row.sha256
    assert len(content) == row.bytes
    assert row.sha256[:8] in row.file


@each
def test_the_fields_make_sense(row):
    info = cnnzoo.info(row.model)
    assert len(row.classes) == info.row.classes
    assert row.licence in manifest.COMMERCIAL
    assert row.recipe.split(",")[0] in recipes.RECIPES
    assert row.verified
    assert "/" not in row.file
    assert b"/" not in row.path.read_bytes()[:2000].split(b'"source": "')[-1].split(b'"')[0], "a path of some machine"


@each
def test_the_weights_load_and_say_where_they_come_from(row):
    model = cnnzoo.get(row.model, weights=row.tag, licence="commercial")
    card = cnnzoo.card(model)
    assert card.classes == row.classes
    assert card.pad == row.pad
    assert card.weights["sha256"] == row.sha256
    assert card.weights["accuracy"] == row.accuracy
    assert len(card.receipt.loaded) == len(model.weights)


@each
def test_the_accuracy_is_measured_again(row, request):
    if row.tag == "digits":
        data = cnnzoo.load_data("digits", split=(0.7, 0.1, 0.2), seed=row.seed)
    else:
        m = request.getfixturevalue("mnist")
        data = cnnzoo.load_data(((m["x_train"], m["y_train"]), (m["x_test"], m["y_test"])))
    report = cnnzoo.evaluate(cnnzoo.get(row.model, weights=row.tag), data)
    assert len(report.labels) == row.test_images
    assert 100 * report.accuracy == pytest.approx(row.accuracy, abs=0.005 + 100 * 1.01 / row.test_images)
    bar = {"digits": 98.5, "mnist": 99.05 if row.model == "lenet5_1998" else 99.0}
    assert row.accuracy >= bar[row.tag]


def test_raw_mnist_images_need_no_preparation(mnist):
    """28x28 goes in; the card knows the border that the weights were trained with."""
    model = cnnzoo.get("lenet5", weights="mnist")
    from cnnzoo.export.classifier import Classifier

    guesses = Classifier.of(model).predict(mnist["x_test"][:500], top=1)
    assert np.mean([int(g.label) == label for g, label in zip(guesses, mnist["y_test"], strict=False)]) > 0.97


def test_a_swapped_file_is_caught(monkeypatch, tmp_path):
    row = manifest.find("lenet5", "digits")
    content = bytearray(row.path.read_bytes())
    content[-5] ^= 1
    (tmp_path / row.file).write_bytes(content)
    monkeypatch.setattr(manifest, "folder", lambda: tmp_path)
    with pytest.raises(cnnzoo.InputError, match="is not the published file"):
        cnnzoo.get("lenet5", weights="digits")


def test_licences_can_be_demanded(monkeypatch):
    from dataclasses import replace

    rows = tuple(replace(row, licence="CC-BY-NC-4.0") for row in ROWS)
    monkeypatch.setattr(manifest, "rows", lambda: rows)
    cnnzoo.get("lenet5", weights="digits")
    with pytest.raises(cnnzoo.InputError, match="not licensed for commercial use: CC-BY-NC"):
        cnnzoo.get("lenet5", weights="digits", licence="commercial")
