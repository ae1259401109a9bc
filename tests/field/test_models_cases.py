"""Models as users of Keras bring them, and models of ours copied in every way that Keras has."""

import contextlib
import copy
import json
import logging
import os
import pickle
import shutil
import subprocess
import sys
from dataclasses import replace

import keras
import numpy as np
import pytest
from helpers.cases import Case, parametrize_cases
from helpers.images import make_blobs
from PIL import Image

import cnnzoo
from cnnzoo import cards

L = keras.layers
QUICK = cnnzoo.recipe("finetune", epochs=1)
NAMES = ("bird", "cat", "dog", "eel", "fox", "gnu", "hen", "ibex", "jay", "kiwi")


# ---------------------------------------------------------------- the card stays with the model


@pytest.fixture(scope="module")
def model():
    """LeNet-5 with a card that no default could give."""
    model = cnnzoo.get("lenet5", weights="mnist")
    card = replace(cnnzoo.card(model), classes=NAMES, temperature=1.5, pad=3, transform={"crop": 0.9})
    return cards.attach_card(model, card)


def save_and_load(model, path):
    model.save(path)
    return keras.saving.load_model(path)


def copy_file(model, folder):
    """Save with the card, copy the model's file alone, and load the copy."""
    cnnzoo.save(model, folder / "m.keras")
    (folder / "elsewhere").mkdir()
    shutil.copy(folder / "m.keras", folder / "elsewhere" / "other.keras")
    return cnnzoo.load(folder / "elsewhere" / "other.keras", runtime="keras").model


def wrap(model, *layers):
    return keras.Sequential([keras.Input(model.input_shape[1:]), model, *layers])


COPIES = [
    Case("file alone", "keras#9985", lambda model, folder: copy_file(model, folder), True),
    Case("model.save", "keras#6075", lambda model, folder: save_and_load(model, folder / "m.keras"), True),
    Case("h5 of Keras 2", "sibling", lambda model, folder: save_and_load(model, folder / "m.h5"), True),
    Case("deepcopy", "autokeras#1482", lambda model, folder: copy.deepcopy(model), True),
    Case("pickle", "keras#6075", lambda model, folder: pickle.loads(pickle.dumps(model)), True),
    Case("clone_model", "field R32", lambda model, folder: keras.models.clone_model(model), True),
    Case("same layers", "field R32", lambda model, folder: keras.Model(model.input, model.output), True),
    Case("config", "sibling", lambda model, folder: keras.Model.from_config(model.get_config()), True),
    Case("JSON", "sibling", lambda model, folder: keras.models.model_from_json(model.to_json()), True),
    Case(
        "softmax on top", "field R32", lambda model, folder: keras.Model(model.input, L.Softmax()(model.output)), True
    ),
    Case("nested, softmax", "sibling", lambda model, folder: wrap(model, L.Softmax()), True),
    Case("layers in a row", "sibling", lambda model, folder: keras.Sequential(model.layers), True),
    Case("copy of a copy", "sibling", lambda model, folder: copy.deepcopy(keras.models.clone_model(model)), True),
    Case("frozen", "sibling", lambda model, folder: save_and_load(freeze(model), folder / "m.keras"), True),
    Case("other head", "sibling", lambda model, folder: new_head(model, 3), False),
    Case("other head, as many classes", "sibling", lambda model, folder: new_head(model, 10), False),
    Case("features", "sibling", lambda model, folder: keras.Model(model.input, model.layers[-2].output), False),
]


def freeze(model):
    frozen = keras.models.clone_model(model)
    frozen.trainable = False
    return frozen


def new_head(model, classes):
    return keras.Model(model.input, L.Dense(classes)(model.layers[-2].output))


@parametrize_cases(COPIES)
def test_the_card_goes_with_every_copy_of_the_model(case, model, tmp_path):
    copied = case.make(model, tmp_path)
    if case.expected:
        assert cnnzoo.card(copied) == cnnzoo.card(model)
    else:  # the names of another head would be wrong, and whoever made that head trained it with Keras
        assert not set(cnnzoo.card(copied).classes) & set(NAMES)
        assert cnnzoo.card(copied).evaluation_transform["crop"] is None
    assert cnnzoo.card(model).classes == NAMES, "the original keeps its card"


def test_a_copied_file_answers_as_the_original(model, tmp_path):
    digits = np.random.default_rng(0).integers(0, 255, (5, 28, 28), "uint8")[..., None]
    expected = cnnzoo.Classifier.of(model, "keras").probabilities(digits)
    cnnzoo.save(model, tmp_path / "m.keras")
    (tmp_path / "m.card.json").unlink()
    np.testing.assert_array_equal(cnnzoo.load(tmp_path / "m.keras", "keras").probabilities(digits), expected)


@pytest.mark.slow
def test_plain_keras_keeps_the_card_without_cnnzoo(model, tmp_path):
    """Another program loads the file, freezes the model and saves it."""
    cnnzoo.save(model, tmp_path / "m.keras")
    code = f"""
import sys; sys.modules["cnnzoo"] = None
import keras
model = keras.saving.load_model("{tmp_path}/m.keras")
model.trainable = False
model.save("{tmp_path}/n.keras")
"""
    subprocess.run([sys.executable, "-c", code], check=True, capture_output=True)
    assert cnnzoo.load(tmp_path / "n.keras", "keras").card == cnnzoo.card(model)


@pytest.mark.parametrize("classes", [["a", "b", "c"], None])
def test_weights_in_a_file_of_ours_come_with_its_card(classes, tmp_path):
    model = cnnzoo.get("lenet5", classes=["a", "b", "c"], preprocessing="tf")
    cards.attach_card(model, replace(cnnzoo.card(model), pad=2))
    loaded = cnnzoo.get("lenet5", weights=cnnzoo.save(model, tmp_path / "m.keras"), classes=classes)
    card = cnnzoo.card(loaded)
    assert (card.classes, card.preprocessing, card.pad) == (("a", "b", "c"), "tf", 2)
    for loaded_values, values in zip(loaded.get_weights(), model.get_weights(), strict=True):
        np.testing.assert_array_equal(loaded_values, values)


@pytest.mark.filterwarnings("default")
def test_a_kill_between_model_and_card_leaves_the_new_card_in_force(model, tmp_path, monkeypatch):
    """attack 1.3, 2.6"""
    path = cnnzoo.save(cnnzoo.get("lenet5", classes=NAMES[::-1]), tmp_path / "m.keras")
    rename = os.replace

    def stop_at_the_card(source, target):
        if str(target).endswith(".card.json"):
            raise KeyboardInterrupt
        rename(source, target)

    monkeypatch.setattr(os, "replace", stop_at_the_card)
    with pytest.raises(KeyboardInterrupt):
        cnnzoo.save(model, path)
    with pytest.warns(UserWarning, match="says something else than the card inside the model, and is not used"):
        assert cnnzoo.load(path, "keras").card == cnnzoo.card(model)


def test_a_file_of_an_older_version_gets_the_card_beside_it(model, tmp_path):
    card = cnnzoo.card(model)
    strip_card(model).save(tmp_path / "m.keras")
    (tmp_path / "m.card.json").write_text(card.to_json())
    loaded = cnnzoo.load(tmp_path / "m.keras", "keras").model
    assert cnnzoo.card(loaded) == cnnzoo.card(copy.deepcopy(loaded)) == card


def strip_card(model):
    """Return a copy of the model as versions before 0.8 saved it."""
    config = json.loads(json.dumps(model.get_config()))
    for layer in config["layers"]:
        if "DTypePolicyMap" in str(layer["config"].get("dtype")):
            layer["config"]["dtype"] = "float32"
    stripped = keras.Model.from_config(config)
    stripped.set_weights(model.get_weights())
    return stripped


@pytest.mark.parametrize("use", ["load", "evaluate", "export", "fine_tune"])
def test_a_model_of_ours_without_its_card_warns(use, model, tmp_path):
    lost = strip_card(model)
    lost.save(tmp_path / "m.keras")
    small = cnnzoo.load_data(make_blobs(), image_size=20)  # refused, after the warning
    uses = {
        "load": lambda: cnnzoo.load(tmp_path / "m.keras", "keras"),
        "evaluate": lambda: cnnzoo.evaluate(lost, small),
        "export": lambda: cnnzoo.Classifier.of(lost, "keras"),
        "fine_tune": lambda: cnnzoo.fine_tune(lost, small),
    }
    lost_card = pytest.warns(UserWarning, match=r"lost its card.* pass classes=, pad= and crop=")
    with lost_card, contextlib.suppress(cnnzoo.InputError):
        uses[use]()


# ---------------------------------------------------------------- models without a card of ours


def write_framed_photos(folder):
    """Write photos of two classes that differ in their outermost pixels only."""
    draw = np.random.default_rng(0)
    for name in ("framed", "plain"):
        (folder / "photos" / name).mkdir(parents=True)
        for i in range(10):
            pixels = draw.integers(100, 200, (96, 96, 3), "uint8")
            if name == "framed":
                pixels[:4] = pixels[-4:] = 0
                pixels[:, :4] = pixels[:, -4:] = 0
            Image.fromarray(pixels).save(folder / "photos" / name / f"{i}.png")
    return folder / "photos"


def frame_detector(side=24):
    """Return a plain Keras model that looks at the outermost pixels, which a center crop cuts off."""
    inputs = keras.Input((side, side, 3))
    outputs = L.Dense(2, name="answer")(L.Flatten()(inputs))
    model = keras.Model(inputs, outputs)
    border = np.ones((side, side, 3))
    border[1:-1, 1:-1] = 0
    kernel = np.stack([np.zeros(border.size), border.ravel() / border.sum()], axis=1)
    model.get_layer("answer").set_weights([kernel, np.array([75.0, 0.0])])
    return model


@pytest.fixture(scope="module")
def framed(tmp_path_factory):
    folder = tmp_path_factory.mktemp("framed")
    path, model = write_framed_photos(folder), frame_detector()
    model.save(folder / "m.keras")
    return folder, model, cnnzoo.load_data(path, splits=(0.4, 0.2, 0.4), doctor=False)


def test_a_model_of_others_sees_whole_images(framed, caplog, monkeypatch):
    """NVIDIA/DIGITS#62, teachablemachine-community#61"""
    logger = logging.getLogger("cnnzoo.inference.classifier")
    monkeypatch.setattr(logger, "disabled", False)  # libraries of other tests change the loggers of a process
    caplog.set_level(logging.WARNING, logger.name)
    folder, model, data = framed
    report = cnnzoo.evaluate(model, data)
    assert report.accuracy == 1
    assert "resized while loading (bilinear, antialiased) to 24x24x3" in report.notes[0]
    classifier = cnnzoo.load(folder / "m.keras", "keras", classes=["framed", "plain"])
    answers = classifier.predict(folder / "photos")
    assert [answer.label for answer in answers] == [answer.source.split("/")[-2] for answer in answers]
    assert "the whole image is resized to 24x24" in caplog.text


def test_the_transform_is_an_argument(framed):
    folder, model, data = framed
    assert cnnzoo.evaluate(model, data, crop=0.875).accuracy == 0.5
    assert "center-cropped to 87.5 %" in cnnzoo.evaluate(model, data, crop=0.875).notes[0]
    classifier = cnnzoo.load(folder / "m.keras", "keras", crop=0.5, interpolation="bicubic", pad=2, levels=4095)
    transform = classifier.transform
    assert (transform.crop, transform.interpolation, transform.pad) == (0.5, "bicubic", 2)
    assert transform.levels == (0, 4095)
    assert cnnzoo.card(model).transform == {"crop": None, "interpolation": "bilinear"}, "the model keeps its own"
    transform = cnnzoo.load(folder / "m.keras", "keras", interpolation="nearest").transform
    assert (transform.crop, transform.interpolation) == (None, "nearest")


def test_training_takes_a_transform_and_states_it_in_the_card(framed, tmp_path):
    _, _, data = framed
    model, recipe = frame_detector(), cnnzoo.recipe("sgd", epochs=1, augment="none")
    options = {"crop": 0.5, "interpolation": "nearest", "pad": 2}
    report = cnnzoo.fit_and_evaluate(model, data, recipe=recipe, run_dir=tmp_path / "run", verbose=False, **options)
    assert "(nearest" in report.notes[0] and "50 %" in report.notes[0] and "border of 2" in report.notes[0]
    card = cnnzoo.load(tmp_path / "run", "keras").card
    assert (card.transform, card.pad) == ({"crop": 0.5, "interpolation": "nearest"}, 2)
    assert card.classes == ("framed", "plain")


def test_two_transforms_are_refused(framed):
    _, model, _ = framed
    data = cnnzoo.load_data(make_blobs(classes=2), crop=0.5)
    with pytest.raises(cnnzoo.InputError, match=r"load_data was given crop=0\.5, and now crop=None is asked for"):
        cnnzoo.evaluate(model, data, crop=None)
    data = cnnzoo.load_data(make_blobs(classes=2), image_size=24)
    with pytest.raises(cnnzoo.InputError, match="resized when they were loaded, so pad cannot change"):
        cnnzoo.evaluate(model, data, pad=1)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"crop": 1.5}, "crop must be 'auto', None, or a share"),
        ({"crop": "center"}, "crop must be 'auto', None, or a share"),
        ({"crop": True}, "crop must be 'auto', None, or a share"),
        ({"interpolation": "cubic"}, "Unknown interpolation. Did you mean bicubic"),
        ({"pad": -1}, "pad must be a whole number"),
        ({"levels": (5, 1)}, "levels must be the level that becomes white"),
        ({"classes": ["one"]}, "has 2 classes. Received: 1 names"),
        ({"classes": "ab"}, "classes must be a list of names"),
    ],
)
def test_wrong_transforms_are_refused(framed, tmp_path, options, message):
    folder, model, _ = framed
    with pytest.raises(cnnzoo.InputError, match=message):
        cnnzoo.load(folder / "m.keras", "keras", **options)
    with pytest.raises(cnnzoo.InputError, match=message):
        cnnzoo.export(model, tmp_path / "out", **options)


def test_an_export_states_its_transform(framed, tmp_path):
    _, model, _ = framed
    exported = cnnzoo.export(model, tmp_path / "out", "litert", crop=0.75, classes=["framed", "plain"])
    words = "center-cropped to 75 % of each side and resized to 24x24 (bilinear, antialiased)"
    assert exported.transform == words
    assert words in (tmp_path / "out" / "model_card.md").read_text()
    card = json.loads((tmp_path / "out" / "cnnzoo.json").read_text())["card"]
    assert card["transform"] == {"crop": 0.75, "interpolation": "bilinear"}
    assert card["classes"] == ["framed", "plain"]
    assert cnnzoo.load(tmp_path / "out").transform.crop == 0.75


# ---------------------------------------------------------------- models that cannot classify


class Subclassed(keras.Model):
    def __init__(self):
        super().__init__()
        self.flatten, self.dense = L.Flatten(), L.Dense(3)

    def call(self, x):
        return self.dense(self.flatten(x))


def ending(*layers, inputs=(12, 12, 1)):
    return keras.Sequential([keras.Input(inputs), L.Flatten(), *layers])


def functional(build):
    inputs = keras.Input((12, 12, 1))
    return keras.Model(inputs, build(L.Flatten()(inputs)))


def built(model):
    model(np.zeros((2, 12, 12, 1), "float32"))
    return model


SIGMOID = r"outputs \(None, 3\) from (hard_)?sigmoid, which are not probabilities.*keras\.layers\.Dense\(3\)"
SINGLE = r"outputs \(None, 1\) from .*two classes need two outputs.*keras\.layers\.Dense\(2\)"
REFUSED = [
    Case("sigmoid", "vision#372", lambda _: ending(L.Dense(3, activation="sigmoid")), SIGMOID),
    Case("sigmoid layer", "sibling", lambda _: ending(L.Dense(3), L.Activation("sigmoid")), SIGMOID),
    Case("sigmoid operation", "sibling", lambda _: functional(lambda x: keras.ops.sigmoid(L.Dense(3)(x))), SIGMOID),
    Case("hard sigmoid", "sibling", lambda _: ending(L.Dense(3, activation="hard_sigmoid")), SIGMOID),
    Case(
        "sigmoid, then a type",
        "sibling",
        lambda _: ending(L.Dense(3, activation="sigmoid"), L.Activation("linear", dtype="float32")),
        SIGMOID,
    ),
    Case(
        "sigmoid, then a shape",
        "sibling",
        lambda _: ending(L.Dense(3, activation="sigmoid"), L.Reshape((3,)), L.Dropout(0.5)),
        SIGMOID,
    ),
    Case("nested sigmoid", "sibling", lambda _: wrap(ending(L.Dense(3, activation="sigmoid"))), SIGMOID),
    Case("one logit", "tensorflow/models#5126", lambda _: ending(L.Dense(1)), SINGLE),
    Case("one sigmoid", "tensorflow/models#5126", lambda _: ending(L.Dense(1, activation="sigmoid")), SINGLE),
    Case("not built", "keras#19486", lambda _: keras.Sequential([L.Flatten(), L.Dense(3)]), r"model\.build\(\(None"),
    Case("empty", "sibling", lambda _: keras.Sequential(), r"model\.build\(\(None"),
    Case("subclassed", "keras#19486", lambda _: Subclassed(), r"keras\.Model\(inputs, model\.call\(inputs\)\)"),
    Case("subclassed, built", "sibling", lambda _: built(Subclassed()), r"keras\.Model\(inputs, model\.call"),
    Case("no model", "sibling", lambda _: {"a": 1}, "must be a Keras model"),
    Case("a class", "sibling", lambda _: keras.Model, "must be a Keras model"),
]
NO_CLASSIFIER = [
    Case(
        "two outputs",
        "sibling",
        lambda _: functional(lambda x: [L.Dense(3)(x), L.Dense(3)(x)]),
        r"has 2 outputs \(0, 1\).*keras\.Model\(model\.inputs, model\.outputs\[0\]\)",
    ),
    Case(
        "named outputs",
        "sibling",
        lambda _: functional(lambda x: {"kind": L.Dense(3)(x), "age": L.Dense(3)(x)}),
        r"has 2 outputs \(kind, age\)",
    ),
    Case("flat pixels", "sibling", lambda _: ending(L.Dense(3), inputs=(144,)), "one input of shape"),
    Case("two inputs", "sibling", lambda _: two_inputs(), "one input of shape"),
]


def two_inputs():
    inputs = [keras.Input((12, 12, 1)), keras.Input((12, 12, 1))]
    return keras.Model(inputs, L.Dense(3)(L.Flatten()(L.Add()(inputs))))


@pytest.fixture(scope="module")
def blobs():
    return cnnzoo.load_data(make_blobs())


USES = {
    "evaluate": lambda model, data, folder: cnnzoo.evaluate(model, data),
    "fit": lambda model, data, folder: cnnzoo.fit_and_evaluate(model, data, run_dir=folder / "run"),
    "fine_tune": lambda model, data, folder: cnnzoo.fine_tune(model, data, run_dir=folder / "run"),
    "lr_find": lambda model, data, folder: cnnzoo.lr_find(model, data),
    "export": lambda model, data, folder: cnnzoo.export(model, folder / "out"),
    "Classifier": lambda model, data, folder: cnnzoo.Classifier.of(model),
    "save": lambda model, data, folder: cnnzoo.save(model, folder / "m.keras"),
}


@parametrize_cases(REFUSED)
def test_a_model_that_cannot_classify_is_refused_everywhere_before_any_work(case, blobs, tmp_path):
    model = case.make(tmp_path)
    for use in USES.values():
        with pytest.raises(cnnzoo.InputError, match=case.expected):
            use(model, blobs, tmp_path)
    assert not list(tmp_path.iterdir())


@parametrize_cases(NO_CLASSIFIER)
def test_a_model_of_other_inputs_or_outputs_is_refused_before_any_work(case, blobs, tmp_path):
    model = case.make(tmp_path)
    for name, use in USES.items():
        if name != "save":  # which also saves feature maps at several strides
            with pytest.raises(cnnzoo.InputError, match=case.expected):
                use(model, blobs, tmp_path)


def test_a_file_with_a_sigmoid_is_refused(tmp_path):
    ending(L.Dense(3, activation="sigmoid")).save(tmp_path / "m.keras")
    with pytest.raises(cnnzoo.InputError, match=SIGMOID):
        cnnzoo.load(tmp_path / "m.keras")


def test_the_remedies_work(blobs, tmp_path):
    unbuilt = keras.Sequential([L.Flatten(), L.Dense(3)])
    unbuilt.build((None, 12, 12, 1))
    inputs, subclassed = keras.Input((12, 12, 1)), Subclassed()
    pair = functional(lambda x: [L.Dense(3)(x), L.Dense(3)(x)])
    sigmoid = ending(L.Dense(3, activation="sigmoid"))
    for model in (
        unbuilt,
        keras.Model(inputs, subclassed.call(inputs)),
        keras.Model(pair.inputs, pair.outputs[0]),
        keras.Model(sigmoid.inputs, L.Dense(3)(sigmoid.layers[-2].output)),
        functional(lambda x: [L.Dense(3)(x)]),  # one output in a list needs no remedy
        functional(lambda x: {"kind": L.Dense(3)(x)}),
    ):
        assert len(cnnzoo.evaluate(model, blobs, split="validation").labels) == 6
        cnnzoo.save(model, tmp_path / "m.keras")


# ---------------------------------------------------------------- heads and callbacks


def test_a_sequential_model_gets_a_new_head(blobs, tmp_path):
    """keras#9214, keras#5777, keras#8443"""
    base = keras.Sequential([keras.Input((12, 12, 1)), L.Rescaling(1 / 255), L.Conv2D(4, 3), L.ReLU()], name="base")
    model = keras.Sequential([base, L.Flatten(), L.Dropout(0.1), L.Dense(10, activation="softmax")])
    layers = model.layers[:3]
    report = cnnzoo.fine_tune(model, blobs, recipe=QUICK, run_dir=tmp_path / "run", verbose=False)
    assert "got a new head" in " ".join(report.notes)
    assert model.output_shape == (None, 3)
    assert model.layers[:3] == layers, "the layers below are the same objects"
    assert model.layers[-1].activation is keras.activations.softmax
    answers = cnnzoo.load(tmp_path / "run", "keras").probabilities(blobs.test.images)
    np.testing.assert_allclose(cnnzoo.Classifier.of(model, "keras").probabilities(blobs.test.images), answers)


class Plateau(keras.callbacks.ReduceLROnPlateau):
    pass


class SetsRate(keras.callbacks.Callback):
    def on_epoch_begin(self, epoch, logs=None):
        self.model.optimizer.learning_rate = 0.1


CALLBACKS = [
    Case("plateau", "tensorflow#36612", lambda _: keras.callbacks.ReduceLROnPlateau(patience=0), "patience=5"),
    Case(
        "scheduler",
        "tensorflow#36612",
        lambda _: keras.callbacks.LearningRateScheduler(lambda epoch: 0.1),
        "LearningRateScheduler sets the learning rate",
    ),
    Case("subclass", "sibling", lambda _: Plateau(), r"Plateau \(a ReduceLROnPlateau\) sets the learning rate"),
    Case("in a list", "sibling", lambda _: keras.callbacks.CallbackList([Plateau()]), "Plateau .* sets"),
    Case("own callback", "sibling", lambda _: SetsRate(), "A callback sets the learning rate"),
    Case(
        "lambda",
        "sibling",
        lambda _: keras.callbacks.LambdaCallback(on_epoch_begin=lambda epoch, logs: SetsRate),
        None,
    ),
]


@parametrize_cases(CALLBACKS)
def test_callbacks_that_set_the_learning_rate_are_refused(case, blobs):
    model, recipe = ending(L.Dense(3)), cnnzoo.recipe("sgd", epochs=1)
    options = {"recipe": recipe, "callbacks": [case.make(None)], "verbose": False}
    if case.expected is None:
        assert cnnzoo.fit_and_evaluate(model, blobs, **options).best_epoch >= 0
        return
    before = model.get_weights()
    with pytest.raises(cnnzoo.InputError, match=case.expected):
        cnnzoo.fit_and_evaluate(model, blobs, **options)
    np.testing.assert_array_equal(model.get_weights()[0], before[0])


# ---------------------------------------------------------------- cards that somebody edited


WRONG_FIELDS = [
    Case("list", "attack 4.5", {"transform": ["crop"]}, "transform must be an object"),
    Case("crop as text", "attack 4.5", {"transform": {"crop": "x"}}, "crop must be None, or a share"),
    Case("crop in a list", "attack 4.5", {"transform": {"crop": [1]}}, "crop must be None, or a share"),
    Case("crop as object", "attack 4.5", {"transform": {"crop": {}}}, "crop must be None, or a share"),
    Case("crop as truth", "sibling", {"transform": {"crop": True}}, "crop must be None, or a share"),
    Case("crop huge", "sibling", {"transform": {"crop": 10**400}}, "crop must be None, or a share"),
    Case("interpolation", "attack 4.5", {"transform": {"interpolation": []}}, "Unknown interpolation"),
    Case("levels", "sibling", {"transform": {"levels": "deep"}}, "levels must be a pair"),
    Case("text as classes", "attack 4.5", {"classes": "abcdefghij"}, "classes must be a list of names"),
    Case("objects as classes", "sibling", {"classes": [{}] * 10}, "classes must be a list of names"),
    Case("one class twice", "sibling", {"classes": ["a"] * 10}, "distinct names"),
    Case("ids", "sibling", {"ids": 5}, "ids must be a list of names"),
    Case("name", "sibling", {"name": ["lenet5"]}, "name must be text"),
    Case("temperature", "sibling", {"temperature": "hot"}, "temperature must be a positive number"),
    Case("temperature as truth", "sibling", {"temperature": True}, "temperature must be a positive number"),
    Case("preprocessing", "sibling", {"preprocessing": {"mean": 0}}, "preprocessing must be a name"),
    Case("unknown preprocessing", "sibling", {"preprocessing": "torsch"}, "Unknown preprocessing"),
    Case("top1", "sibling", {"weights": {"top1": "99"}}, r"weights\.top1 must be a number"),
    Case("license", "sibling", {"weights": {"license": ["MIT"]}}, r"weights\.license must be text"),
    Case("training data", "sibling", {"training": {"data": "photos"}}, r"training\.data must be an object"),
    Case("counts", "sibling", {"training": {"data": {"images": {"train": "many"}}}}, "images has a wrong value"),
    Case("receipt", "sibling", {"receipt": "loaded"}, "not a model card"),
    Case("unknown field", "sibling", {"colour": "red"}, "not a model card"),
]


@parametrize_cases(WRONG_FIELDS)
def test_wrong_types_in_a_card_are_refused(case, model):
    values = json.loads(cnnzoo.card(model).to_json())
    with pytest.raises(cnnzoo.InputError, match=case.expected):
        cards.Card.from_json(json.dumps(values | case.make))
