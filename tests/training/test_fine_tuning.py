"""fine_tune: the probe is the convex optimum, training starts from it, and the end is never worse on validation."""

import shutil
from dataclasses import replace
from types import SimpleNamespace
from unittest.mock import Mock

import keras
import numpy as np
import pytest
from helpers.images import make_blobs
from helpers.training import RECIPE, CrashAt, CrashError, assert_same_weights, fit, read_report
from scipy.special import log_softmax
from sklearn.datasets import load_digits
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV, StratifiedKFold
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

import cnnzoo
from cnnzoo.surgery.features import find_head_layer, group_layers_by_stage
from cnnzoo.training import probe
from cnnzoo.training.fine_tuning import FineTuner
from cnnzoo.training.state import TrainingState

CHANGED = {"epochs": 3, "batch_size": 12, "learning_rate": 0.01, "precision": "float32"}
GENTLE = cnnzoo.recipe("finetune", **CHANGED)


def fine_tune(model, data, **options):
    return cnnzoo.fine_tune(model, data, **{"recipe": GENTLE, "verbose": False, **options})


def pretrained(**options):
    return cnnzoo.get("lenet5", weights="mnist", **options)


@pytest.fixture(scope="module")
def hard():
    """Images with every fourth label wrong, so that no model is right on all of validation."""
    images, labels = make_blobs(120)
    labels[::4] = (labels[::4] + 1) % 3
    return cnnzoo.load_data((images, labels), splits=(0.6, 0.2, 0.2))


@pytest.fixture(scope="module")
def tuned(hard, tmp_path_factory):
    """A model of ten classes, fine-tuned for three: model, report and folder; tests do not change it."""
    model, folder = pretrained(), tmp_path_factory.mktemp("tuned") / "run"
    report = fine_tune(model, hard, run_dir=folder)
    return SimpleNamespace(model=model, report=report, folder=folder)


def test_the_report_names_the_recipe_and_what_was_changed_in_it(tuned):
    record = tuned.report.record
    changed = {name: value for name, value in record.items() if name.startswith("recipe")}
    assert changed == {"recipe": "finetune", **{f"recipe.{name}": value for name, value in CHANGED.items()}}
    assert tuned.report.defaults["optimizer"] == "adamw", "a value of finetune, though not of recipes in general"
    assert cnnzoo.card(tuned.model).training["recipe_name"] == "finetune"


# The linear probe


@pytest.mark.slow
@pytest.mark.parametrize("classes", [2, 4])
def test_the_probe_is_the_optimum_of_its_criterion(classes):
    """No step in any direction lowers the penalty of standardized weights plus C times the loss."""
    rng = np.random.default_rng(0)
    labels = rng.integers(0, classes, 120)
    features = rng.normal(5, 3, (120, 6)) + labels[:, None] * rng.normal(size=6)
    c, kernel, bias = probe.fit_logistic_regression(features, labels, seed=0)
    scale = features.std(axis=0)[:, None]

    def criterion(kernel, bias):
        loss = -log_softmax(features @ kernel + bias, axis=1)[np.arange(120), labels].sum()
        weights = kernel * scale
        weights = weights if classes > 2 else (weights[:, 1:] - weights[:, :1])  # two classes: of the difference
        return c * loss + (weights**2).sum() / 2

    best = criterion(kernel, bias)
    for _ in range(50):
        step = rng.normal(0, 0.02, kernel.shape) / scale, rng.normal(0, 0.02, bias.shape)
        other = criterion(kernel + step[0], bias + step[1])
        assert best <= other + 1e-3 * abs(other)
    assert probe.fit_logistic_regression(features, labels, seed=0)[1].tolist() == kernel.tolist()


@pytest.mark.slow
def test_images_of_weight_0_do_not_count_in_the_probe():
    rng = np.random.default_rng(0)
    labels = np.arange(90) % 3
    features = rng.normal(size=(90, 5)) + labels[:, None]
    wrong_labels, weights = labels.copy(), np.ones(90, "float32")
    wrong_labels[:30], weights[:30] = (labels[:30] + 1) % 3, 0
    for sample_weight, learns_right_labels in ((weights, True), (None, False)):
        _, kernel, bias = probe.fit_logistic_regression(features, wrong_labels, 0, sample_weight=sample_weight)
        accuracy = ((features @ kernel + bias).argmax(1) == labels).mean()
        assert (accuracy > 0.6) == learns_right_labels


def test_the_penalty_is_that_of_a_grid_search():
    """Also where the features are rotated, because there are more of them than images."""
    rng = np.random.default_rng(0)
    labels = np.arange(60) % 3
    for width in (4, 80):
        features = rng.normal(size=(60, width)) + labels[:, None] * rng.normal(size=width) / 2
        pipeline = make_pipeline(StandardScaler(), LogisticRegression(max_iter=500))
        folds = StratifiedKFold(5, shuffle=True, random_state=0)
        grid = {"logisticregression__C": probe.C_VALUES}
        search = GridSearchCV(pipeline, grid, scoring="neg_log_loss", cv=folds).fit(features, labels)
        assert (
            probe.fit_logistic_regression(features, labels, seed=0)[0] == search.best_params_["logisticregression__C"]
        )


def test_a_class_of_one_image_has_a_probe_too():
    features, labels = np.random.default_rng(0).normal(size=(9, 4)), np.array([0, 0, 0, 0, 1, 1, 1, 1, 2])
    c, kernel, _ = probe.fit_logistic_regression(features, labels, seed=0)
    assert c == 1, "a class of one image cannot be in two folds"
    assert kernel.shape == (4, 3)


# Fine-tuning


def test_a_model_of_other_classes_is_fine_tuned(tuned, hard):
    report = tuned.report
    assert report.accuracy > 0.6
    assert len(report.history["loss"]) == 3
    assert report.classes == cnnzoo.card(tuned.model).classes == ("0", "1", "2")
    assert "The model got a new head for the classes of the data; its old head was for 10 classes." in report.notes
    assert report.probe["C"] in probe.C_VALUES
    assert "linear probe before fine-tuning" in str(report)
    assert "linear probe before fine-tuning" in (tuned.folder / "report.html").read_text()
    probe_figures, tuned_figures = (
        [report.probe[f"{prefix}validation_{name}"] for name in ("accuracy", "log_loss")] for prefix in ("", "tuned_")
    )
    gain = probe_figures[1] - tuned_figures[1]
    is_better = tuned_figures[0] >= probe_figures[0] and gain > report.probe["standard_error"] > 0
    assert report.best_epoch == (3 if is_better else 0)
    kept = tuned_figures if is_better else probe_figures
    assert cnnzoo.evaluate(tuned.model, hard, split="validation").accuracy == pytest.approx(kept[0])


def test_the_saved_model_is_the_fine_tuned_one(tuned, hard):
    classifier = cnnzoo.load(tuned.folder, "keras")
    np.testing.assert_allclose(classifier.probabilities(hard.test.images), tuned.report.probabilities, atol=1e-5)
    assert keras.models.load_model(tuned.folder / "model.keras").output_shape == (None, 3)


@pytest.mark.slow
def test_a_probe_without_mistakes_is_kept(tmp_path):
    """Zeros and ones, which a network trained on MNIST tells apart."""
    digits = load_digits()
    zeros_and_ones = digits.target < 2
    images, labels = digits.images[zeros_and_ones] * 15.9, digits.target[zeros_and_ones]
    data = cnnzoo.load_data((images, labels), splits=(0.6, 0.2, 0.2))
    model = pretrained()
    report = fine_tune(model, data, run_dir=tmp_path / "run")
    assert report.probe["validation_accuracy"] == 1
    assert report.history == {}
    assert report.best_epoch == 0
    assert report.accuracy == report.probe["accuracy"]
    reason = "it makes no mistake on validation, so no epoch was trained"
    assert reason in str(report)
    assert reason in (tmp_path / "run" / "report.html").read_text()
    assert fine_tune(model, data, run_dir=tmp_path / "run", resume=True).to_json() == report.to_json()


@pytest.mark.slow
@pytest.mark.parametrize("ema", [0.0, 0.99])
def test_epochs_worse_than_the_probe_are_not_kept(hard, ema):
    """At a learning rate that wrecks the network, every weight but the head's stays as it was."""
    model = pretrained()

    def weights_below_head():
        head = find_head_layer(model)
        return [v.numpy() for layer in model.layers if layer is not head for v in layer.variables]

    before = weights_below_head()
    report = fine_tune(model, hard, recipe=replace(GENTLE, learning_rate=30.0, optimizer="adamw", ema=ema))
    assert report.best_epoch == 0
    assert report.accuracy == report.probe["accuracy"]
    assert_same_weights(before, weights_below_head())
    last_line = str(report).splitlines()[-1]
    assert "The probe was kept, because the tuned weights have " in last_line
    assert "Epoch 3 has" in last_line
    assert "if their accuracy is at least as high and their log loss lower by more than a standard error" in last_line


@pytest.mark.parametrize(
    ("accuracy", "losses", "is_kept"),
    [
        (0.8, [0.4, 0.4, 0.3], True),
        (0.9, [0.5, 0.6, 0.6], False),
        (0.79, [0.1, 0.1, 0.1], False),
        (0.8, [0.7, 0.6, 0.1], False),  # on average lower, but not by a standard error
    ],
)
def test_tuned_weights_replace_the_probe_if_accuracy_and_log_loss_are_better(accuracy, losses, is_kept):
    state = TrainingState(best_epoch=4, probe={"validation_accuracy": 0.8, "validation_log_loss": 0.5})
    model = Mock()
    tuner = Mock(
        model=model,
        run=Mock(state=state),
        checkpoint=Mock(start=["probe"]),
        _measure_on_validation=lambda: (accuracy, np.array(losses)),
        _probe_losses=np.array([0.5, 0.5, 0.5]),
    )
    FineTuner._choose_weights(tuner)
    assert state.best_epoch == (4 if is_kept else 0)
    assert model.set_weights.called != is_kept
    assert state.probe["tuned_epoch"] == 4


@pytest.mark.slow
def test_patience_ends_it_and_the_best_epoch_is_compared(hard, tmp_path):
    recipe = replace(GENTLE, epochs=9, patience=2, learning_rate=1e-9, schedule="constant", warmup_epochs=0.0)
    report = fine_tune(pretrained(), hard, recipe=recipe, run_dir=tmp_path / "run")
    assert len(report.history["loss"]) == 3, "the probe does not count, so the first epoch is the best one"
    assert report.probe["tuned_epoch"] == 1
    assert report.ending == (
        "Training ended after 3 of 9 epochs: none of the last 2 epochs was the best on validation so far (patience=2)."
    )
    assert report.ending in str(report)


@pytest.mark.slow
def test_a_model_of_the_same_classes_keeps_its_head(data):
    report = fine_tune(cnnzoo.get("lenet5", classes=3), data, recipe=replace(GENTLE, epochs=1))
    assert not any("new head" in note for note in report.notes)


def test_the_head_is_kept_if_the_folder_holds_a_finished_run(tuned, hard):
    model = pretrained()
    with pytest.raises(cnnzoo.InputError, match="already holds a run"):
        fine_tune(model, hard, run_dir=tuned.folder)
    assert model.output_shape == (None, 10)


def test_the_head_is_restored_if_nothing_could_be_trained(tuned, hard, tmp_path):
    shutil.copytree(tuned.folder, tmp_path / "run")
    model = pretrained()
    with pytest.raises(cnnzoo.InputError, match="different run.*seed: 0 before, 1 now"):
        fine_tune(model, hard, run_dir=tmp_path / "run", seed=1, resume=True)
    assert model.output_shape == (None, 10)
    assert len(cnnzoo.card(model).classes) == 10


@pytest.mark.slow
def test_it_resumes_after_a_crash(tuned, hard, tmp_path):
    folder, model = tmp_path / "torn", pretrained()
    with pytest.raises(CrashError):
        fine_tune(model, hard, run_dir=folder, callbacks=[CrashAt(1, 0)])
    fine_tune(model, hard, run_dir=folder)  # the model has its new head already
    assert read_report(folder) == read_report(tuned.folder)
    with pytest.raises(cnnzoo.InputError, match="different run.*how: 'fine_tune' before"):
        fit(pretrained(classes=list(hard.classes)), hard, run_dir=folder, resume=True)


@pytest.mark.slow
@pytest.mark.parametrize("bn", ["frozen", "train"])
def test_batch_norms_are_frozen_or_trained(hard, bn):
    keras.utils.set_random_seed(0)
    norm = keras.layers.BatchNormalization()
    inputs = keras.Input((12, 12, 1))
    x = norm(keras.layers.Conv2D(4, 3, strides=2)(inputs))
    model = keras.Model(inputs, keras.layers.Dense(3)(keras.layers.GlobalAveragePooling2D()(x)))
    before, after = [v.numpy() for v in norm.variables], []
    look = keras.callbacks.LambdaCallback(on_epoch_end=lambda *_: after.extend(v.numpy() for v in norm.variables))
    fine_tune(model, hard, recipe=replace(GENTLE, epochs=1, bn=bn), callbacks=[look])
    changed = [not np.array_equal(a, b) for a, b in zip(before, after, strict=True)]
    assert any(changed) == (bn == "train")


def test_the_stages_of_a_network_are_its_strides():
    stages = [[layer.name for layer in stage] for stage in group_layers_by_stage(cnnzoo.get("resnet18"))]
    firsts = ["conv1", *(f"layer{i}_0_conv1" for i in (1, 2, 3, 4)), "fc"]
    assert [stage[0] for stage in stages] == firsts
    assert stages[-1] == ["fc"]


# Errors


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"recipe": "fintune"}, "Did you mean finetune"),
        ({"sample_weight": [1.0]}, "one number of at least 0 for each of the 36 training images"),
        ({"minutes": 0}, "minutes must be a time budget above 0"),
        ({"minutes": "10"}, "minutes must be a time budget above 0"),
        ({"checkpoint_every": -1}, "checkpoint_every must be a number of seconds"),
        ({"tensorboard": True}, "tensorboard=True writes into the run_dir"),
        ({"run_dir": 5}, "run_dir must be the path of a folder"),
        ({"callbacks": ["early"]}, r"callbacks must be a list of keras\.callbacks\.Callback"),
    ],
)
def test_invalid_options_raise_an_error(data, options, message):
    model = pretrained()
    with pytest.raises(cnnzoo.InputError, match=message):
        fine_tune(model, data, **options)
    assert model.output_shape == (None, 10), "the head is kept"


@pytest.mark.parametrize("train", [fine_tune, fit])
def test_data_that_is_not_ours_or_lacks_a_split_raises_an_error(data, train):
    with pytest.raises(cnnzoo.InputError, match=r"must come from cnnzoo\.load_data"):
        train(pretrained(), "digits")
    empty = replace(data, test=data.test.take(np.array([], int)))
    with pytest.raises(
        cnnzoo.InputError, match=r"The test split of arrays is empty\. Received: 36 train, 12 .* 0 test"
    ):
        train(cnnzoo.get("lenet5", classes=3), empty, recipe=RECIPE)


def test_random_weights_are_named_before_the_training(data, monkeypatch):
    monkeypatch.setattr(FineTuner, "fit_and_evaluate", lambda self: self.data.notes)
    notes = fine_tune(cnnzoo.get("lenet5", classes=data.classes), data)
    assert "random ones" in notes[-1]
    assert 'cnnzoo.get("lenet5", weights=...)' in notes[-1]
    assert not any("random" in note for note in fine_tune(pretrained(), data))
