"""fit_and_evaluate: it learns, repeats its numbers, keeps the best epoch, and says clearly why it cannot continue."""

import json
import zipfile
from dataclasses import replace

import keras
import numpy as np
import pytest
from helpers.images import make_blobs
from helpers.training import RECIPE, assert_same_weights, fit, new_lenet, read_report

import cnnzoo
from cnnzoo.training import prepare
from cnnzoo.training.plan import resolve_sample_weight

SHORT = replace(RECIPE, epochs=1)


# Results of a training


def test_it_learns_and_keeps_the_best_epoch(data):
    model, epochs = new_lenet(), {}

    class CopyWeights(keras.callbacks.Callback):
        def on_epoch_end(self, epoch, logs=None):
            epochs[epoch + 1] = (logs["val_accuracy"], -logs["val_loss"], self.model.get_weights())

    report = fit(model, data, recipe=replace(RECIPE, epochs=12), callbacks=[CopyWeights()])
    assert report.accuracy > 0.8
    assert len(report.history["loss"]) == 12
    assert report.history["loss"][-1] < report.history["loss"][0]
    best = max(epochs, key=lambda epoch: epochs[epoch][:2])
    assert report.best_epoch == best
    assert_same_weights(model.get_weights(), epochs[best][2])


def test_the_same_seed_gives_the_same_numbers(data, uninterrupted, tmp_path):
    fit(new_lenet(), data, run_dir=tmp_path / "again")
    assert read_report(tmp_path / "again") == read_report(uninterrupted.folder)
    assert fit(new_lenet(), data, seed=1).history != uninterrupted.report.history


def test_the_saved_model_is_the_reported_one(trained, data):
    classifier = cnnzoo.load(trained.folder)
    assert classifier.classes == trained.report.classes == ("0", "1", "2")
    np.testing.assert_allclose(classifier.probabilities(data.test.images), trained.report.probabilities, atol=1e-6)
    card = cnnzoo.card(classifier.model)
    assert card.training["recipe"]["epochs"] == 3


def test_a_trained_model_is_compiled_with_parts_of_keras(data, tmp_path):
    model = new_lenet()
    recipe = replace(SHORT, rubbish=1.0, stage_decay=0.5, ema=0.5)
    fit(model, data, recipe=recipe, run_dir=tmp_path / "run")
    resized = data.resize_to((32, 32, 1), 0)
    metrics = model.evaluate(resized.test.images, np.eye(3)[resized.test.labels], verbose=0, return_dict=True)
    assert metrics.keys() == {"loss", "accuracy"}
    with zipfile.ZipFile(tmp_path / "run" / "model.keras") as file:
        config = file.read("config.json")
    assert b"compile_config" in config
    assert b"cnnzoo" not in config, "the file loads without cnnzoo"


# Models of all kinds


def test_the_model_gets_the_class_names_of_the_data():
    data = cnnzoo.load_data(make_blobs(), splits=(0.6, 0.2, 0.2), classes=["ant", "bee", "cow"])
    model = new_lenet()
    fit(model, data, recipe=SHORT)
    assert cnnzoo.card(model).classes == ("ant", "bee", "cow")


def test_gray_images_train_a_model_of_three_channels(data):
    keras.utils.set_random_seed(0)
    inputs = keras.Input((16, 16, 3))
    model = keras.Model(inputs, keras.layers.Dense(3)(keras.layers.Flatten()(inputs)))
    report = fit(model, data, recipe=SHORT)
    assert report.notes == ("Images of 12x12x1 resized while loading (bilinear, antialiased) to 16x16x3.",)


@pytest.mark.slow
def test_a_model_with_probabilities_trains_as_one_with_logits(data, uninterrupted):
    keras.utils.set_random_seed(0)
    report = fit(cnnzoo.get("lenet5", classes=3, classifier_activation="softmax"), data)
    assert report.metrics["log_loss"] == pytest.approx(uninterrupted.report.metrics["log_loss"], rel=0.05)


@pytest.mark.slow
def test_a_sequential_model_trains_too(data, tmp_path):
    keras.utils.set_random_seed(0)
    layers = [keras.layers.Rescaling(1 / 255), keras.layers.Flatten(), keras.layers.Dense(3)]
    model = keras.Sequential([keras.Input((12, 12, 1)), *layers])
    report = fit(model, data, recipe=replace(RECIPE, epochs=8), run_dir=tmp_path / "run")
    assert report.accuracy > 0.8
    assert cnnzoo.card(model).classes == ("0", "1", "2")
    np.testing.assert_array_equal(cnnzoo.evaluate(model, data).probabilities, report.probabilities)
    assert cnnzoo.export(model, tmp_path / "export", "litert").difference < 1e-5


def new_network_with_auxiliary_head():
    keras.utils.set_random_seed(0)
    inputs = keras.Input((12, 12, 1))
    x = keras.layers.Conv2D(6, 3, activation="relu", name="conv")(keras.layers.Rescaling(1 / 255)(inputs))
    aux = keras.layers.Dense(3, name="aux1_fc")(keras.layers.GlobalAveragePooling2D()(x))
    logits = keras.layers.Dense(3, name="fc")(keras.layers.Flatten()(x))
    return keras.Model(inputs, {"logits": logits, "aux1": aux}, name="aux")


@pytest.mark.slow
def test_auxiliary_heads_are_trained_and_not_saved(data, tmp_path):
    model = new_network_with_auxiliary_head()
    recipe = replace(RECIPE, epochs=8, weight_decay=0.0, aux_weight=0.3)
    report = fit(model, data, recipe=recipe, run_dir=tmp_path / "run")
    assert report.accuracy > 0.8
    assert report.history.keys() >= {"loss", "accuracy", "val_accuracy", "aux1_loss"}
    untrained_kernel = new_network_with_auxiliary_head().get_layer("aux1_fc").kernel
    assert not np.array_equal(untrained_kernel, model.get_layer("aux1_fc").kernel)
    classifier = cnnzoo.load(tmp_path / "run")
    assert classifier.model.output_shape == (None, 3)
    np.testing.assert_allclose(classifier.probabilities(data.test.images), report.probabilities, atol=1e-6)
    assert cnnzoo.export(model, tmp_path / "export", "litert").difference < 1e-5


def test_auxiliary_heads_of_weight_0_are_not_trained(data):
    model = new_network_with_auxiliary_head()
    before = model.get_layer("aux1_fc").kernel.numpy()
    fit(model, data, recipe=replace(SHORT, weight_decay=0.0, aux_weight=0.0))
    np.testing.assert_array_equal(model.get_layer("aux1_fc").kernel, before)


# Losses and weights of images


def test_weight_decay_is_for_kernels_only():
    model = cnnzoo.get("resnet20")
    prepare.compile_for_training(model, replace(RECIPE, weight_decay=0.1), 10)
    decays = {v.path: decay for v, decay in zip(model.trainable_variables, model.optimizer.decays, strict=True)}
    assert all((decay == 0.1) == path.endswith("kernel") for path, decay in decays.items())


def test_the_loss_of_1998_by_hand():
    """Equation 9: the penalty of the right class, plus log(exp(-j) + sum exp(-penalty))."""
    model = new_lenet()
    prepare.compile_for_training(model, replace(RECIPE, rubbish=2.0), 10)
    logits = -np.random.default_rng(0).uniform(0, 8, (5, 3)).astype("float32")
    one_hot = np.eye(3, dtype="float32")[[0, 1, 2, 1, 0]]
    penalties = -logits.astype("float64")
    expected = np.mean((penalties * one_hot).sum(1) + np.log(np.exp(-2.0) + np.exp(-penalties).sum(1)))
    assert float(model.loss(one_hot, logits)) == pytest.approx(expected, rel=1e-5)


@pytest.mark.slow
@pytest.mark.parametrize("balance", ["none", "weights"])
def test_images_of_weight_0_are_not_learned(data, balance):
    """Class 2 has a weight of 0 and is never predicted; balanced classes do not change that."""
    sample_weight = (data.train.labels != 2).astype("float32")
    recipe = replace(RECIPE, epochs=8, balance=balance, augment="none")
    report = fit(new_lenet(), data, recipe=recipe, sample_weight=sample_weight)
    assert not (report.predicted == 2).any()


@pytest.mark.slow
def test_balanced_classes_find_rare_images():
    images, labels = make_blobs(600)
    rng = np.random.default_rng(0)
    kept = (labels > 0) | (rng.random(600) < 0.06)
    noise = rng.integers(0, 90, images.shape)
    images = np.clip(images + noise, 0, 255).astype("uint8")
    data = cnnzoo.load_data((images[kept], labels[kept]), splits=(0.5, 0.2, 0.3))
    recalls = {}
    for balance in ("none", "weights", "sampling"):
        recipe = replace(RECIPE, epochs=2, balance=balance, learning_rate=0.01)
        recalls[balance] = fit(new_lenet(), data, recipe=recipe).metrics["per_class"]["0"]["recall"]
    assert recalls["none"] < min(recalls["weights"], recalls["sampling"]), recalls


# Errors


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"seed": -1}, "seed must be a whole number"),
        ({"seed": 1.5}, "seed must be a whole number"),
        ({"recipe": None}, r"recipe must be a name .* or a Recipe\. Received: None"),
        ({"resume": True}, "resume=True needs the run_dir"),
    ],
)
def test_invalid_options_raise_an_error(data, options, message):
    with pytest.raises(cnnzoo.InputError, match=message):
        fit(new_lenet(), data, **options)


@pytest.mark.parametrize("weights", [[1.0], "heavy", [-1.0] * 36, [0.0] * 36, [np.nan] * 36])
def test_invalid_sample_weights_raise_an_error(data, weights):
    with pytest.raises(cnnzoo.InputError, match="sample_weight must"):
        fit(new_lenet(), data, sample_weight=weights)


def test_the_weights_of_the_data_are_the_sample_weights():
    images, labels = make_blobs(60)
    data = cnnzoo.load_data((images, labels, np.arange(60)))
    weights = resolve_sample_weight(None, data)
    assert weights.tolist() == [int(name[7:-1]) for name in data.train.names]
    with pytest.raises(cnnzoo.InputError, match="has sample weights already, and sample_weight gives others"):
        fit(new_lenet(), data, sample_weight=weights)


def test_a_model_of_other_outputs_raises_an_error(data):
    with pytest.raises(cnnzoo.InputError, match=r"the data has 3 classes \(0, 1, 2\)\. Build the model with classes=3"):
        fit(cnnzoo.get("lenet5"), data)
    with pytest.raises(cnnzoo.InputError, match="outputs of shape"):
        fit(cnnzoo.get("lenet5", include_top=False), data)


@pytest.mark.parametrize("names", [["bee", "ant", "cow"], ["x", "y", "z"]])
def test_a_model_of_other_class_names_raises_an_error(data, names):
    arrays = data.train.images, data.train.labels
    named = cnnzoo.load_data(arrays, classes=["ant", "bee", "cow"], splits=(0.4, 0.3, 0.3))
    model = cnnzoo.get("lenet5", classes=names)
    with pytest.raises(cnnzoo.InputError, match=r"The model's classes are .*cnnzoo\.fine_tune .*, which"):
        fit(model, named)
    assert cnnzoo.card(model).classes == tuple(names)


def test_an_infinite_loss_stops_training_and_saves_the_weights_of_the_start(data, tmp_path):
    message = r"loss became (nan|inf) at step \d+ \(epoch \d+\); the initial weights .*lower learning_rate.*saved as"
    with pytest.raises(cnnzoo.TrainingError, match=message):
        fit(new_lenet(), data, recipe=replace(RECIPE, learning_rate=1e30, ema=0.9), run_dir=tmp_path / "run")
    assert json.loads((tmp_path / "run" / "run.json").read_text())["status"] == "failed"
    saved = keras.models.load_model(tmp_path / "run" / "model.keras")
    assert_same_weights(saved.get_weights(), new_lenet().get_weights())
    with pytest.raises(cnnzoo.InputError, match="failed .*the weights of the start"):
        cnnzoo.load(tmp_path / "run")


def test_an_infinite_loss_restores_the_best_weights(data):
    model, epochs = new_lenet(), []

    class BreakAWeight(keras.callbacks.Callback):
        def on_epoch_end(self, epoch, logs=None):
            epochs.append((logs["val_accuracy"], -logs["val_loss"], self.model.get_weights()))
            if epoch == 1:
                self.model.layers[2].kernel.assign(np.full((5, 5, 1, 6), np.nan))

    with pytest.raises(cnnzoo.TrainingError, match=r"step 7 \(epoch 3\); the weights of epoch [12] are kept"):
        fit(model, data, callbacks=[BreakAWeight()])
    assert_same_weights(model.get_weights(), max(epochs, key=lambda epoch: epoch[:2])[2])


def test_too_few_validation_images_for_the_target_are_told_before_the_training(data):
    with pytest.warns(UserWarning, match="There will be no min_probability for an accuracy of 99.9 %: .* are needed"):
        report = fit(new_lenet(), data, recipe=replace(RECIPE, epochs=1), target_accuracy=0.999)
    assert "are needed" in report.answers_summary
