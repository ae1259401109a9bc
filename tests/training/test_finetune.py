"""fine_tune: the probe is the convex optimum, the network goes on from it, and never ends worse on validation."""

from dataclasses import replace

import keras
import numpy as np
import pytest
from helpers.images import make_blobs
from helpers.training import RECIPE, fit
from scipy.special import log_softmax
from sklearn.datasets import load_digits

import cnnzoo
from cnnzoo.evaluation import calibration
from cnnzoo.surgery.features import find_head_layer, group_layers_by_stage
from cnnzoo.surgery.head import replace_head as new_head
from cnnzoo.training import probe, recipes

GENTLE = replace(recipes.resolve_recipe("finetune"), epochs=3, batch_size=12, learning_rate=0.01, precision="float32")


def tune(model, data, **options):
    return cnnzoo.fine_tune(model, data, **{"recipe": GENTLE, "verbose": False, **options})


def noisy(**options):
    """Every fourth label is wrong, so that no network is right on all of validation."""
    images, labels = make_blobs(120, **options)
    labels[::4] = (labels[::4] + 1) % 3
    return cnnzoo.load_data((images, labels), splits=(0.6, 0.2, 0.2))


@pytest.fixture(scope="module")
def hard():
    return noisy()


def pretrained():
    return cnnzoo.get("lenet5", weights="mnist")


@pytest.mark.parametrize("classes", [2, 4])
def test_the_probe_is_the_optimum_of_its_criterion(classes):
    """At scikit-learn's C, of standardised features: no step in any direction lowers penalty plus C times the loss."""
    draw = np.random.default_rng(0)
    labels = draw.integers(0, classes, 120)
    features = draw.normal(5, 3, (120, 6)) + labels[:, None] * draw.normal(size=6)
    strength, kernel, bias = probe.fit_logistic_regression(features, labels, seed=0)
    scale = features.std(axis=0)[:, None]

    def criterion(kernel, bias):
        loss = -log_softmax(features @ kernel + bias, axis=1)[np.arange(120), labels].sum()
        weights = kernel * scale
        weights = weights if classes > 2 else (weights[:, 1:] - weights[:, :1])  # of two classes, of the difference
        return strength * loss + (weights**2).sum() / 2

    best = criterion(kernel, bias)
    for _ in range(50):
        other = criterion(kernel + draw.normal(0, 0.02, kernel.shape) / scale, bias + draw.normal(0, 0.02, bias.shape))
        assert best <= other + 1e-3 * abs(other)
    assert probe.fit_logistic_regression(features, labels, seed=0)[1].tolist() == kernel.tolist()


def test_images_of_weight_zero_do_not_affect_the_probe():
    draw = np.random.default_rng(0)
    labels = np.arange(90) % 3
    features = draw.normal(size=(90, 5)) + labels[:, None]
    wrong, weights = labels.copy(), np.ones(90, "float32")
    wrong[:30], weights[:30] = (labels[:30] + 1) % 3, 0
    _, kernel, bias = probe.fit_logistic_regression(features, wrong, 0, sample_weight=weights)
    assert ((features @ kernel + bias).argmax(1) == labels).mean() > 0.6
    _, kernel, bias = probe.fit_logistic_regression(features, wrong, 0)
    assert ((features @ kernel + bias).argmax(1) == labels).mean() < 0.6


def test_few_images_and_rare_classes_have_a_probe_too():
    features, labels = np.random.default_rng(0).normal(size=(9, 4)), np.array([0, 0, 0, 0, 1, 1, 1, 1, 2])
    strength, kernel, _ = probe.fit_logistic_regression(features, labels, seed=0)
    assert strength == 1, "a class of one image cannot be in two folds"
    assert kernel.shape == (4, 3)


@pytest.mark.parametrize("activation", [None, "softmax"])
def test_a_new_head_replaces_the_old_one(activation):
    model = cnnzoo.get("resnet20", classifier_activation=activation)
    before = {v.path: v.numpy() for v in model.variables}
    images = np.random.default_rng(0).integers(0, 256, (2, 32, 32, 3))
    model.predict(images, verbose=0)
    new_head(model, ["ant", "bee", "cow"])
    assert model.output_shape == (None, 3)
    assert model.predict(images, verbose=0).shape == (2, 3)
    assert cnnzoo.card(model).classes == ("ant", "bee", "cow")
    after = {v.path: v.numpy() for v in model.variables}
    assert before.keys() == after.keys(), "names are API, and no variable of the old head is left"
    same = {path for path in before if np.array_equal(before[path], after[path])}
    assert {path for path in before if not path.startswith("fc")} <= same
    assert before["fc/kernel"].shape != after["fc/kernel"].shape


def test_auxiliary_heads_are_replaced_too():
    model = cnnzoo.get("googlenet_2014", aux=True, input_shape=(224, 224, 3))
    new_head(model, ["a", "b"])
    assert {name: x.shape[-1] for name, x in model.output.items()} == {"logits": 2, "aux1": 2, "aux2": 2}


def test_a_head_that_is_not_a_dense_layer_is_refused():
    model = cnnzoo.get("lenet5_1998")
    with pytest.raises(cnnzoo.InputError, match="ends in output, a RadialBasis"):
        new_head(model, ["a", "b"])


def test_a_model_of_other_classes_is_fine_tuned(hard, tmp_path):
    model, data = pretrained(), hard
    report = tune(model, data, run_dir=tmp_path / "a")
    assert report.accuracy > 0.6
    assert len(report.history["loss"]) == 3
    assert report.classes == cnnzoo.card(model).classes == ("0", "1", "2")
    note = "The model got a new head for the classes of the data; its old head was for 10 classes."
    assert note in report.notes
    assert report.probe["C"] in probe.C_VALUES
    assert "linear probe before fine-tuning" in str(report)
    assert "linear probe before fine-tuning" in (tmp_path / "a" / "report.html").read_text()
    best = max([report.probe["validation_accuracy"], *report.history["val_accuracy"]])
    validated = cnnzoo.evaluate(model, data, split="validation")
    assert validated.accuracy == pytest.approx(best)
    loaded = cnnzoo.load(tmp_path / "a", "keras")
    expected = calibration.apply_temperature(report.probabilities, loaded.card.temperature)
    np.testing.assert_allclose(loaded.probabilities(data.test.images), expected, atol=1e-5)
    assert keras.models.load_model(tmp_path / "a" / "model.keras").output_shape == (None, 3)


def test_a_perfect_probe_is_kept(tmp_path):
    """Zeros and ones, which a network of MNIST tells apart."""
    digits = load_digits()
    chosen = digits.target < 2
    data = cnnzoo.load_data((digits.images[chosen] * 15.9, digits.target[chosen]), splits=(0.6, 0.2, 0.2))
    model = pretrained()
    report = tune(model, data, run_dir=tmp_path / "a")
    assert report.probe["validation_accuracy"] == 1
    assert report.history == {}
    assert report.best_epoch == 0
    assert report.accuracy == report.probe["accuracy"]
    assert "it makes no mistake on validation, so no epoch was trained" in str(report)
    assert "it makes no mistake on validation, so no epoch was trained" in (tmp_path / "a" / "report.html").read_text()
    assert tune(model, data, run_dir=tmp_path / "a", resume=True).to_json() == report.to_json()


@pytest.mark.parametrize("ema", [0.0, 0.99])
def test_weights_that_are_worse_than_the_probe_are_not_kept(hard, ema):
    """At a rate that wrecks the network, its head alone stays: every weight but the head's is as it was."""
    model = pretrained()
    before = [v.numpy() for layer in model.layers if layer is not find_head_layer(model) for v in layer.variables]
    report = tune(model, hard, recipe=replace(GENTLE, learning_rate=30.0, optimizer="adamw", ema=ema))
    assert report.best_epoch == 0
    assert report.accuracy == report.probe["accuracy"]
    after = [v.numpy() for layer in model.layers if layer is not find_head_layer(model) for v in layer.variables]
    for a, b in zip(before, after, strict=True):
        np.testing.assert_array_equal(a, b)
    assert "no epoch was better on validation by more than a standard error" in str(report)


def test_the_head_is_kept_if_the_classes_are_the_same(data):
    model = cnnzoo.get("lenet5", classes=3)
    fit(model, data, recipe=replace(RECIPE, epochs=1))
    report = tune(model, data)
    assert not any("new head" in note for note in report.notes)


def test_a_refused_run_folder_leaves_the_head_unchanged(data, tmp_path):
    tune(pretrained(), data, run_dir=tmp_path / "a")
    model = pretrained()
    with pytest.raises(cnnzoo.InputError, match="already holds a run"):
        tune(model, data, run_dir=tmp_path / "a")
    assert model.output_shape == (None, 10)


def test_a_crashed_fine_tuning_can_be_resumed(hard, tmp_path):
    data = hard

    class Crash(keras.callbacks.Callback):
        def on_epoch_begin(self, epoch, logs=None):
            if epoch == 1:
                raise RuntimeError

    tune(pretrained(), data, run_dir=tmp_path / "whole")
    crashed = pretrained()
    with pytest.raises(RuntimeError):
        tune(crashed, data, run_dir=tmp_path / "torn", callbacks=[Crash()])
    tune(crashed, data, run_dir=tmp_path / "torn")  # which has its new head already
    assert (tmp_path / "whole" / "report.json").read_bytes() == (tmp_path / "torn" / "report.json").read_bytes()
    with pytest.raises(cnnzoo.InputError, match="holds a different run.*how: 'fine_tune' before"):
        fit(pretrained_for(data), data, run_dir=tmp_path / "torn", resume=True)


def pretrained_for(data):
    return cnnzoo.get("lenet5", weights="mnist", classes=list(data.classes))


@pytest.mark.parametrize("bn", ["frozen", "train"])
def test_batch_norms_are_frozen_or_trained(bn):
    data = noisy(size=32)
    keras.utils.set_random_seed(0)
    model = cnnzoo.get("resnet20", classes=3)
    norms = [layer for layer in model.layers if isinstance(layer, keras.layers.BatchNormalization)]
    before, after = [v.numpy() for layer in norms for v in layer.variables], []

    class Look(keras.callbacks.Callback):
        def on_epoch_end(self, epoch, logs=None):
            after.extend(v.numpy() for layer in norms for v in layer.variables)

    tune(model, data, recipe=replace(GENTLE, epochs=1, bn=bn), callbacks=[Look()])
    moved = [not np.array_equal(a, b) for a, b in zip(before, after, strict=True)]
    assert any(moved) == (bn == "train")


def test_the_stages_of_a_network_are_its_strides():
    groups = [[layer.name for layer in group] for group in group_layers_by_stage(cnnzoo.get("resnet18"))]
    assert [group[0] for group in groups] == [
        "conv1",
        "layer1_0_conv1",
        "layer2_0_conv1",
        "layer3_0_conv1",
        "layer4_0_conv1",
        "fc",
    ]
    assert groups[-1] == ["fc"]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"recipe": "fintune"}, "Did you mean finetune"),
        ({"sample_weight": [1.0]}, "one number of at least 0 for each of the 36 training images"),
        ({"checkpoint_every": -1}, "checkpoint_every must be a number of seconds"),
        ({"tensorboard": True}, "tensorboard=True writes into the run_dir"),
    ],
)
def test_wrong_options_are_named(data, options, message):
    with pytest.raises(cnnzoo.InputError, match=message):
        tune(pretrained(), data, **options)


def test_missing_data_and_empty_splits_are_refused(data):
    with pytest.raises(cnnzoo.InputError, match=r"must come from cnnzoo\.load_data"):
        tune(pretrained(), "digits")
    empty = replace(data, validation=data.validation.take(np.array([], int)))
    for trainer in (tune, fit):
        with pytest.raises(cnnzoo.InputError, match=r"The validation split of arrays is empty\. Received: 36 train, 0"):
            trainer(cnnzoo.get("lenet5", classes=3), empty)
