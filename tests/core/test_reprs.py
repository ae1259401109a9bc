"""What public objects print and show: a line or a short table, never everything they hold."""

import pickle

import numpy as np
import pytest
from helpers.notebooks import HOSTILE, check_summary
from PIL import Image

import cnnzoo
from cnnzoo.data.diagnosis import Diagnosis
from cnnzoo.data.findings import Finding
from cnnzoo.data.listing import ListedImage
from cnnzoo.inference.prediction import Predictions


@pytest.fixture(scope="module")
def classifier():
    return cnnzoo.Classifier.of(cnnzoo.get("lenet5", weights="digits"), runtime="keras")


@pytest.fixture(scope="module")
def digits():
    return cnnzoo.load_data("digits").test.images[:30]


def hostile_card():
    weights = {"tag": HOSTILE, "license": HOSTILE, "source": HOSTILE * 1000}
    return cnnzoo.Card(HOSTILE, tuple(f"{HOSTILE}{i}" for i in range(1000)), weights=weights)


OBJECTS = {
    "card": lambda: cnnzoo.card(cnnzoo.get("lenet5", weights="mnist", classes=100)),
    "hostile card": hostile_card,
    "info": lambda: cnnzoo.info("resnet50"),
    "info without weights": lambda: cnnzoo.info("resnet20"),
    "recipe": lambda: cnnzoo.recipe("finetune", bn="train"),
    "rate test": lambda: cnnzoo.RateTest(tuple(np.logspace(-6, 0, 100)), tuple(np.linspace(3, 30, 100)), 0.01),
    "prediction": lambda: cnnzoo.Prediction((HOSTILE, "dog"), (0.9, 0.1), source=HOSTILE),
    "error": lambda: cnnzoo.Prediction((), (), source="a.jpg", error=HOSTILE),
    "predictions": lambda: Predictions([cnnzoo.Prediction((HOSTILE,) * 5, (0.2,) * 5)] * 500),
    "no predictions": Predictions,
}


@pytest.mark.parametrize("name", OBJECTS)
def test_objects_are_short_in_notebooks_and_in_terminals(name):
    thing = OBJECTS[name]()
    page = check_summary(thing._repr_html_())
    assert page.text
    assert len(repr(thing)) < 8_000 if isinstance(thing, list) else 500
    assert "\x1b" not in repr(thing) + str(thing)
    assert len(str(thing)) < 8_000


def test_a_recipe_prints_what_makes_it(trained):
    recipe = cnnzoo.recipe("digits", epochs=3)
    assert repr(recipe) == ("Recipe(epochs=3, batch_size=32, learning_rate=0.05, label_smoothing=0.1, augment='shift')")
    assert eval(repr(recipe), {"Recipe": cnnzoo.Recipe}).changed_fields() == recipe.changed_fields()


def test_a_card_prints_its_main_lines():
    text = str(cnnzoo.card(cnnzoo.get("lenet5", weights="mnist")))
    assert "classes     10: 0, 1, 2" in text
    assert "license     Apache-2.0" in text
    assert len(text.splitlines()) < 12


def test_predictions_keep_the_first_images_as_the_network_got_them(classifier, digits):
    predictions = classifier.predict(digits)
    assert [prediction.tile().pixels is not None for prediction in predictions] == [True] * 12 + [False] * 18
    assert (predictions[3].tile().pixels == classifier.transform(digits[3])).all()
    page = check_summary(predictions._repr_html_())
    assert len(page.all("img")) == 12
    assert "18 more predictions" in page.text
    assert "30 images" in page.text
    check_summary(predictions[0]._repr_html_())
    assert isinstance(predictions[:2], list)
    assert predictions[:2] == list(predictions)[:2]
    assert pickle.loads(pickle.dumps(predictions)) == predictions
    assert all(prediction.tile().pixels is None for prediction in classifier.stream(digits[:2]))


def test_images_are_shown_with_their_classes(classifier, digits, tmp_path):
    gallery = classifier.show(digits[:3], top=2, path=tmp_path / "a.png")
    assert (tmp_path / "a.png").stat().st_size > 1000
    assert gallery.title == "3 images classified by lenet5"
    assert [len(tile.shares) for tile in gallery.tiles] == [2, 2, 2]
    check_summary(gallery._repr_html_())
    assert classifier.show(tmp_path / "a.png").title == "1 image classified by lenet5"
    with pytest.raises(cnnzoo.InputError):
        classifier.show(tmp_path / "gone.png")


def test_many_images_are_not_all_classified_to_be_shown(classifier):
    asked = []

    def images():
        for i in range(10_000):
            asked.append(i)
            yield np.zeros((8, 8), "uint8")

    assert len(classifier.show(images())) == 100
    assert len(asked) < 1000


def test_a_classifier_describes_itself(classifier):
    page = check_summary(classifier._repr_html_())
    assert "32x32x1, values 0 to 255" in page.text
    assert "keras, float32" in page.text


def test_a_diagnosis_shows_its_findings_and_their_pictures(tmp_path):
    Image.fromarray(np.zeros((900, 600, 3), "uint8")).save(tmp_path / "a.jpg")
    (tmp_path / "b.jpg").write_text("no image")
    listed = {name: ListedImage(tmp_path / name, name, HOSTILE) for name in ("a.jpg", "b.jpg")}
    kinds = {"a.jpg": "constant", "b.jpg": "unreadable", "c.jpg": "stray"}
    findings = tuple(Finding(kind, (name,), HOSTILE, kind == "unreadable") for name, kind in kinds.items())
    diagnosis = Diagnosis(HOSTILE, 2, {HOSTILE: 1}, findings * 100, listed)
    page = check_summary(diagnosis._repr_html_())
    assert "unreadable 100 set aside" in page.text
    assert page.all("img")
    assert len(repr(diagnosis)) < 300


def test_splits_and_reports_print_a_line(trained, data):
    assert repr(data.train) == f"<Split of {len(data.train)} images, {data.train.images.shape}>"
    assert repr(trained.report).startswith("<Report of lenet5 on arrays: ")
    assert len(repr(trained.report)) < 100
