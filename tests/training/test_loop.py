"""fit_and_evaluate: it learns, the same numbers twice, the best epoch, and clear words when it cannot go on."""

import json
import subprocess
import sys
from dataclasses import replace

import keras
import numpy as np
import pytest
from helpers.training import RECIPE, fit, new_lenet, read_report

import cnnzoo
from cnnzoo.training import prepare


def test_the_saved_model_is_the_reported_one(trained, data):
    classifier = cnnzoo.load(trained.folder)
    assert classifier.classes == trained.report.classes == ("0", "1", "2")
    np.testing.assert_allclose(classifier.probabilities(data.test.images), trained.report.probabilities, atol=1e-6)
    card = cnnzoo.card(classifier.model)
    assert card.training["recipe"]["epochs"] == 3


def test_training_improves_the_accuracy(data):
    report = fit(new_lenet(), data, recipe=replace(RECIPE, epochs=12))
    assert report.accuracy > 0.8
    assert len(report.history["loss"]) == 12
    assert report.history["loss"][-1] < report.history["loss"][0]


def test_the_best_epoch_is_kept(data):
    model = new_lenet()
    epochs = {}

    class Copy(keras.callbacks.Callback):
        def on_epoch_end(self, epoch, logs=None):
            epochs[epoch + 1] = (logs["val_accuracy"], -logs["val_loss"], self.model.get_weights())

    report = fit(model, data, callbacks=[Copy()])
    best = max(epochs, key=lambda epoch: epochs[epoch][:2])
    assert report.best_epoch == best
    for a, b in zip(model.get_weights(), epochs[best][2], strict=True):
        np.testing.assert_array_equal(a, b)


def test_two_runs_with_one_seed_are_identical(data, tmp_path):
    for name, seed in (("a", 0), ("b", 0), ("c", 1)):
        fit(new_lenet(), data, run_dir=tmp_path / name, seed=seed)
    assert read_report(tmp_path / "a") == read_report(tmp_path / "b")
    assert read_report(tmp_path / "a") != read_report(tmp_path / "c")


@pytest.mark.slow
def test_two_commands_with_one_seed_are_identical(tmp_path):
    """On digits, by the command line, each in a process of its own."""
    for name in "ab":
        command = [sys.executable, "-m", "cnnzoo", "train", "lenet5", "digits", "--recipe", "digits"]
        command += ["--set", "epochs=3", "--run-dir", str(tmp_path / name), "--seed", "7"]
        subprocess.run(command, check=True, capture_output=True)
    assert read_report(tmp_path / "a") == read_report(tmp_path / "b")
    predictions = [(tmp_path / name / "predictions.csv").read_bytes() for name in "ab"]
    assert predictions[0] == predictions[1]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"seed": -1}, "seed must be a whole number"),
        ({"seed": 1.5}, "seed must be a whole number"),
        ({"recipe": None}, "a name .* or a Recipe"),
    ],
)
def test_wrong_options_are_named(data, options, message):
    with pytest.raises(cnnzoo.InputError, match=message):
        fit(new_lenet(), data, **options)
    with pytest.raises(cnnzoo.InputError, match=r"must come from cnnzoo\.load_data"):
        fit(new_lenet(), "digits")


def test_a_nan_loss_stops_training(data, tmp_path):
    with pytest.raises(
        cnnzoo.TrainingError, match=r"loss became (nan|inf) at step \d+ \(epoch \d+\).*lower learning_rate"
    ):
        fit(new_lenet(), data, recipe=replace(RECIPE, learning_rate=1e30, warmup_epochs=1.0), run_dir=tmp_path / "a")
    assert json.loads((tmp_path / "a" / "run.json").read_text())["status"] == "failed"
    assert all(np.isfinite(w).all() for w in cnnzoo.load(tmp_path / "a").model.get_weights())


def test_weights_from_before_a_nan_loss_are_kept(data):
    model, good = new_lenet(), []

    class Poison(keras.callbacks.Callback):
        def on_epoch_end(self, epoch, logs=None):
            good.append((logs["val_accuracy"], -logs["val_loss"], self.model.get_weights()))
            if epoch == 1:
                self.model.layers[2].kernel.assign(np.full((5, 5, 1, 6), np.nan))

    with pytest.raises(cnnzoo.TrainingError, match=r"step 7 \(epoch 3\); the weights of epoch [12] are kept"):
        fit(model, data, callbacks=[Poison()])
    best = max(good, key=lambda entry: entry[:2])[2]
    for a, b in zip(model.get_weights(), best, strict=True):
        np.testing.assert_array_equal(a, b)


def test_model_and_data_must_fit_together(data):
    with pytest.raises(cnnzoo.InputError, match=r"the data has 3 classes \(0, 1, 2\)\. Build the model with classes=3"):
        fit(cnnzoo.get("lenet5"), data)
    with pytest.raises(cnnzoo.InputError, match="outputs of shape"):
        fit(cnnzoo.get("lenet5", include_top=False), data)


def test_the_model_takes_the_names_of_the_datas_classes():
    from helpers.images import make_blobs

    x, y = make_blobs()
    named = cnnzoo.load_data((x, y), splits=(0.6, 0.2, 0.2), classes=["ant", "bee", "cow"])
    model = new_lenet()
    fit(model, named, recipe=replace(RECIPE, epochs=1))
    assert cnnzoo.card(model).classes == ("ant", "bee", "cow")


def test_gray_images_meet_a_network_of_three_channels(data):
    model = cnnzoo.get("resnet20", classes=3)
    report = fit(model, data, recipe=replace(RECIPE, epochs=1))
    assert report.notes == ("Images of 12x12x1 resized by the pipeline (bilinear, antialiased) to 32x32x3.",)


def test_a_model_with_probabilities_trains_too(data):
    keras.utils.set_random_seed(0)
    softmax = fit(cnnzoo.get("lenet5", classes=3, classifier_activation="softmax"), data)
    logits = fit(new_lenet(), data)
    assert softmax.metrics["log_loss"] == pytest.approx(logits.metrics["log_loss"], rel=0.05)


def test_biases_and_norms_do_not_decay():
    model = cnnzoo.get("resnet20")
    prepare.compile_for_training(model, replace(RECIPE, weight_decay=0.1), 10)
    decays = {v.path: decay for v, decay in zip(model.trainable_variables, model.optimizer.decays, strict=True)}
    assert all((decay == 0.1) == path.endswith("kernel") for path, decay in decays.items())


def test_the_schedule_warms_up_and_ends_at_zero():
    model = new_lenet()
    prepare.compile_for_training(model, replace(RECIPE, epochs=10, warmup_epochs=2.0, learning_rate=0.1), 5)
    rate = model.optimizer._learning_rate
    rates = [float(rate(step)) for step in range(51)]
    assert rates[0] == 0
    assert rates[5] == pytest.approx(0.05)
    assert rates[10] == pytest.approx(0.1)
    assert rates[30] == pytest.approx(0.05)
    assert rates[50] == pytest.approx(0, abs=1e-8)
    prepare.compile_for_training(model, replace(RECIPE, epochs=1, warmup_epochs=0.0, learning_rate=0.1), 5)
    assert float(model.optimizer._learning_rate(0)) == pytest.approx(0.1)


def test_the_criterion_of_1998_by_hand():
    """Equation 9: the penalty of the right class, plus log(exp(-j) + sum exp(-penalty))."""
    model = new_lenet()
    prepare.compile_for_training(model, replace(RECIPE, rubbish=2.0), 10)
    logits = -np.random.default_rng(0).uniform(0, 8, (5, 3)).astype("float32")
    one_hot = np.eye(3, dtype="float32")[[0, 1, 2, 1, 0]]
    penalties = -logits.astype("float64")
    expected = np.mean((penalties * one_hot).sum(1) + np.log(np.exp(-2.0) + np.exp(-penalties).sum(1)))
    assert float(model.loss(one_hot, logits)) == pytest.approx(expected, rel=1e-5)


def with_auxiliary_head():
    keras.utils.set_random_seed(0)
    inputs = keras.Input((12, 12, 1))
    x = keras.layers.Conv2D(6, 3, activation="relu", name="conv")(keras.layers.Rescaling(1 / 255)(inputs))
    aux = keras.layers.Dense(3, name="aux1_fc")(keras.layers.GlobalAveragePooling2D()(x))
    logits = keras.layers.Dense(3, name="fc")(keras.layers.Flatten()(x))
    return keras.Model(inputs, {"logits": logits, "aux1": aux}, name="aux")


def test_auxiliary_heads_train_by_their_weight_and_are_left_out_of_what_is_saved(data, tmp_path):
    heads = {}
    for weight in (0.0, 0.3):
        model = with_auxiliary_head()
        before = model.get_layer("aux1_fc").kernel.numpy()
        recipe = replace(RECIPE, epochs=8, weight_decay=0.0, aux_weight=weight)
        report = fit(model, data, recipe=recipe, run_dir=tmp_path / str(weight))
        assert report.accuracy > 0.8
        assert report.history.keys() >= {"loss", "accuracy", "val_accuracy", "aux1_loss"}
        heads[weight] = not np.array_equal(before, model.get_layer("aux1_fc").kernel.numpy())
    assert heads == {0.0: False, 0.3: True}
    loaded = cnnzoo.load(tmp_path / "0.3")
    assert loaded.model.output_shape == (None, 3)
    np.testing.assert_allclose(loaded.probabilities(data.test.images), report.probabilities, atol=1e-6)
    exported = cnnzoo.export(model, tmp_path / "exported")
    assert exported.difference < 1e-5


def test_different_class_names_are_refused(data):
    named = cnnzoo.load_data(
        (data.train.images, data.train.labels), classes=["ant", "bee", "cow"], splits=(0.4, 0.3, 0.3)
    )
    for names in (["bee", "ant", "cow"], ["x", "y", "z"]):
        model = cnnzoo.get("lenet5", classes=names)
        with pytest.raises(cnnzoo.InputError, match=r"The model's classes are .*cnnzoo\.fine_tune, which"):
            fit(model, named)
        assert cnnzoo.card(model).classes == tuple(names)


def test_images_of_weight_zero_do_not_affect_training(data):
    """Class 2 with a weight of 0 is never predicted; balanced by weights, sample weights still hold."""
    weights = (data.train.labels != 2).astype("float32")
    for balance in ("none", "weights"):
        recipe = replace(RECIPE, epochs=8, balance=balance, augment="none")
        report = fit(new_lenet(), data, recipe=recipe, sample_weight=weights)
        assert not (report.predicted == 2).any()


def test_rare_classes_are_reported_unless_balanced():
    from helpers.images import make_blobs

    images, labels = make_blobs(600)
    draw = np.random.default_rng(0)
    keep = (labels > 0) | (draw.random(600) < 0.06)
    noise = draw.integers(0, 90, images.shape)
    images = np.clip(images + noise, 0, 255).astype("uint8")
    uneven = cnnzoo.load_data((images[keep], labels[keep]), splits=(0.5, 0.2, 0.3))
    recalls = {}
    for balance in ("none", "weights", "sampling"):
        recipe = replace(RECIPE, epochs=2, balance=balance, learning_rate=0.01)
        recalls[balance] = fit(new_lenet(), uneven, recipe=recipe).metrics["per_class"]["0"]["recall"]
    assert recalls["none"] < min(recalls["weights"], recalls["sampling"]), recalls


@pytest.mark.parametrize("weights", [[1.0], "heavy", [-1.0] * 36, [0.0] * 36, [np.nan] * 36])
def test_invalid_sample_weights_are_named(data, weights):
    with pytest.raises(cnnzoo.InputError, match="sample_weight must"):
        fit(new_lenet(), data, sample_weight=weights)


def test_a_trained_model_is_compiled_with_stock_keras_objects(data, tmp_path):
    model = new_lenet()
    fit(model, data, recipe=replace(RECIPE, rubbish=1.0, stage_decay=0.5, ema=0.5), run_dir=tmp_path / "a")
    bound = data.resize_to((32, 32, 1), 0)
    metrics = model.evaluate(bound.test.images, np.eye(3)[bound.test.labels], verbose=0, return_dict=True)
    assert metrics.keys() == {"loss", "accuracy"}
    code = "import sys, keras; keras.models.load_model(sys.argv[1]); assert 'cnnzoo' not in sys.modules"
    command = [sys.executable, "-c", code, str(tmp_path / "a" / "model.keras")]
    subprocess.run(command, check=True, capture_output=True)


def test_a_sequential_model_trains_too(data, tmp_path):
    keras.utils.set_random_seed(0)
    layers = [keras.layers.Rescaling(1 / 255), keras.layers.Flatten(), keras.layers.Dense(3)]
    model = keras.Sequential([keras.Input((12, 12, 1)), *layers])
    report = fit(model, data, recipe=replace(RECIPE, epochs=8), run_dir=tmp_path / "a")
    assert report.accuracy > 0.8
    assert cnnzoo.card(model).classes == ("0", "1", "2")
    np.testing.assert_array_equal(cnnzoo.evaluate(model, data).probabilities, report.probabilities)
    assert cnnzoo.export(model, tmp_path / "out").difference < 1e-5


def test_the_model_of_a_failed_run_loads_in_keras(data, tmp_path):
    with pytest.raises(cnnzoo.TrainingError, match="of the start are kept"):
        fit(new_lenet(), data, recipe=replace(RECIPE, learning_rate=1e30, ema=0.9), run_dir=tmp_path / "a")
    loaded = keras.models.load_model(tmp_path / "a" / "model.keras")
    for a, b in zip(loaded.get_weights(), new_lenet().get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)
