"""Damaged files and failed runs: what comes from them is never given as an answer."""

import json
import math
import os
import shutil
import warnings
from dataclasses import replace
from xml.etree import ElementTree

import keras
import numpy as np
import pytest
from helpers.cases import Case, parametrize_cases
from helpers.training import RECIPE, CrashAt, CrashError, fit, new_lenet

import cnnzoo
from cnnzoo import InputError
from cnnzoo.core.gallery import Gallery, draw_gallery
from cnnzoo.core.matrix_chart import matrix_chart
from cnnzoo.core.tiles import Tile
from cnnzoo.inference.exported import ExportInfo, write_export_info
from cnnzoo.inference.scores import check_scores, find_bad_scores
from cnnzoo.training.run import Run
from cnnzoo.training.state import find_latest_state, read_state
from cnnzoo.tuning import distributed
from cnnzoo.tuning.trial import read_outcome, write_outcome
from cnnzoo.tuning.trial_result import read_trials, remove_broken_outcomes

IMAGE = np.zeros((1, 32, 32, 1), "uint8")


def edit_json(path, **changes):
    """Change fields of a JSON file, as by hand."""
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))
    return path


def flip_bit(path, offset):
    """Flip one bit of a file."""
    content = bytearray(path.read_bytes())
    content[offset] ^= 4
    path.write_bytes(bytes(content))
    return path


# Runs that failed


class BreakAWeight(keras.callbacks.Callback):
    def on_epoch_end(self, epoch, logs=None):
        if epoch == 1:
            self.model.layers[2].kernel.assign(np.full((5, 5, 1, 6), np.nan))


@pytest.fixture(scope="module")
def failed(data, tmp_path_factory):
    """A run whose loss became NaN at once, and one that had a best epoch by then."""
    folder = tmp_path_factory.mktemp("failed")
    with pytest.raises(cnnzoo.TrainingError, match="the initial weights are kept"):
        fit(new_lenet(), data, recipe=replace(RECIPE, learning_rate=1e30), run_dir=folder / "start")
    with pytest.raises(cnnzoo.TrainingError, match="the weights of epoch [12] are kept"):
        fit(new_lenet(), data, run_dir=folder / "epoch", callbacks=[BreakAWeight()])
    return folder


@pytest.fixture
def runs(failed, tmp_path):
    return shutil.copytree(failed, tmp_path / "runs")


def move_model(run, folder):
    """Copy the model of a run, with its card, away from its run.json."""
    folder.mkdir()
    for name in ("model.keras", "model.card.json"):
        if (run / name).exists():
            shutil.copy(run / name, folder / name)
    return folder / "model.keras"


def as_earlier_version(run):
    """Make a failed run look as versions before 0.8 left it."""
    record = json.loads((run / "run.json").read_text())
    del record["failure"]
    (run / "run.json").write_text(json.dumps(record))
    return run


def remove_model(run):
    (run / "model.keras").unlink()
    return run


FAILED = (
    r"start failed \(The (validation )?loss became (nan|inf) at step \d+.*the weights of the start.*allow_failed=True"
)


@parametrize_cases(
    [
        Case("folder", "attack 2.4", lambda runs: runs / "start", FAILED),
        Case("file", "attack 2.4", lambda runs: runs / "start" / "model.keras", "failed .*weights of the start"),
        Case("moved file", "attack 2.4", lambda runs: move_model(runs / "start", runs / "b"), "weights of the start"),
        Case("epoch", "attack 2.4", lambda runs: runs / "epoch", r"weights of epoch [12] of 4.* path .*model\.keras"),
        Case("0.6", "attack 2.4", lambda runs: as_earlier_version(runs / "start"), "may be those of the start"),
        Case("no model", "attack 2.4", lambda runs: remove_model(runs / "start"), "failed and left no model.*--resume"),
    ]
)
def test_a_failed_run_is_not_used_by_default(case, runs, cli, tmp_path):
    path = case.make(runs)
    for use in (cnnzoo.load, lambda model: cnnzoo.export(model, tmp_path / "out", "onnx")):
        with pytest.raises(InputError, match=case.expected):
            use(path)
    answer = cli("predict", path, tmp_path / "x.png")
    assert answer.code == 2
    assert "failed" in answer.err
    assert not answer.out


def test_weights_of_a_failed_run_can_be_used_on_purpose(runs, data, cli):
    with pytest.warns(UserWarning, match=r"run that failed .*weights of epoch [12] of 4"):
        classifier = cnnzoo.load(runs / "epoch" / "model.keras", "keras")
    assert classifier.predict(data.test.images)[0].probabilities[0] > 0
    moved = move_model(runs / "start", runs / "moved")
    with pytest.warns(UserWarning, match="weights of the start"):
        assert cnnzoo.load(moved, "keras", allow_failed=True)
    assert cnnzoo.load(runs / "start", "keras", allow_failed=True).predict(IMAGE)
    answer = cli("predict", runs / "start", runs / "none.png", "--allow-failed", "--runtime", "keras")
    assert "there is no such file" in answer.err


@pytest.mark.slow
def test_a_failed_run_that_is_resumed_to_its_end_is_used_without_a_word(runs, data):
    fit(new_lenet(), data, run_dir=runs / "epoch")
    record = json.loads((runs / "epoch" / "run.json").read_text())
    assert record["status"] == "done"
    assert "failure" not in record
    with warnings.catch_warnings():
        warnings.simplefilter("error", UserWarning)
        classifier = cnnzoo.load(runs / "epoch", "keras")
    assert "failure" not in classifier.card.training


def test_a_run_that_was_killed_before_its_report_is_used_with_a_warning(trained, tmp_path):
    run = shutil.copytree(trained.folder, tmp_path / "run")
    edit_json(run / "run.json", status="running")
    with pytest.warns(UserWarning, match="has not ended: its report is missing; --resume"):
        cnnzoo.load(run, "keras")
    (run / "run.json").write_text("[" * 100_000)
    with pytest.warns(UserWarning, match="cannot be read: it is nested .*Whether the run has failed is unknown"):
        cnnzoo.load(run, "keras")


# Weights that are no numbers


def break_weight(value, layer="c1", name="kernel"):
    """Return a function that saves a model with a wrong weight."""

    def make(folder):
        model = cnnzoo.get("lenet5", weights="digits")
        variable = next(v for v in model.weights if f"{layer}/{name}" in v.path)
        values = np.array(variable)
        values.flat[3] = value
        variable.assign(values)
        model.save(folder / "m.keras")
        return folder / "m.keras"

    return make


def break_statistics(folder):
    """A model whose batch norm has a variance that is NaN."""
    inputs = keras.Input((8, 8, 1))
    norm = keras.layers.BatchNormalization()
    model = keras.Model(inputs, keras.layers.Dense(3)(keras.layers.Flatten()(norm(inputs))))
    norm.moving_variance.assign([np.nan])
    model.save(folder / "m.keras")
    return folder / "m.keras"


def erase_weights(folder):
    """A model of zeros, as a file with holes holds."""
    model = cnnzoo.get("lenet5", weights="digits")
    model.set_weights([np.zeros_like(value) for value in model.get_weights()])
    model.save(folder / "m.keras")
    return folder / "m.keras"


def half_weights(folder):
    """A model in bfloat16 with an infinite weight."""
    inputs = keras.Input((8, 8, 1))
    dense = keras.layers.Dense(3, dtype="bfloat16")
    model = keras.Model(inputs, dense(keras.layers.Flatten()(inputs)))
    dense.kernel.assign(np.full((64, 3), np.inf))
    model.save(folder / "m.keras")
    return folder / "m.keras"


BROKEN_WEIGHTS = [
    Case("nan", "attack 4.7", break_weight(np.nan), r"no numbers: c1/kernel \(1 NaN of"),
    Case("inf", "attack 4.7", break_weight(np.inf), r"c1/kernel \(1 infinite of"),
    Case("-inf", "attack 4.7", break_weight(-np.inf, "c3", "bias"), r"c3/bias \(1 infinite of"),
    Case("statistics", "attack 4.7", break_statistics, r"moving_variance \(1 NaN of 1\)"),
    Case("bfloat16", "attack 4.7", half_weights, r"kernel \(192 infinite of 192\)"),
    Case("zeros", "attack 4.7", erase_weights, "each of its weights is 0"),
]


@parametrize_cases(BROKEN_WEIGHTS)
def test_weights_that_are_no_numbers_are_refused_with_every_runtime(case, tmp_path):
    path = case.make(tmp_path)
    for runtime in ("keras", "auto", "onnxruntime"):
        with pytest.raises(InputError, match=case.expected):
            cnnzoo.load(path, runtime)


def test_weights_that_are_replaced_after_loading_give_no_answer(tmp_path, data):
    model = cnnzoo.get("lenet5", weights="digits")
    classifier = cnnzoo.Classifier.of(model, "keras")
    assert classifier.predict(IMAGE)[0].label
    model.set_weights([np.full_like(value, np.nan) for value in model.get_weights()])
    with pytest.warns(UserWarning, match="10 of the 10 scores are NaN"):
        answers = classifier.predict(np.repeat(IMAGE, 2, 0))
    assert [answer.label for answer in answers if not answer.error] == []
    with pytest.raises(InputError, match="1 of 1 images have no answer. Image 0: .*NaN"):
        classifier.probabilities(IMAGE)


@parametrize_cases(
    [
        Case("nan", "attack 4.7", lambda _: [np.nan, 0.5, 0.5], "1 of the 3 scores are NaN or infinite"),
        Case("inf", "attack 4.7", lambda _: [np.inf, 0, 0], "1 of the 3 scores are NaN or infinite"),
        Case("logits", "a head without a softmax", lambda _: [3.0, -2.0, 0.0], "between -2 and 3"),
        Case("sigmoids", "keras#sigmoid", lambda _: [0.9, 0.8, 0.1], "add up to 1.8 instead of 1"),
        Case("zeros", "a damaged graph", lambda _: [0.0, 0.0, 0.0], "add up to 0 instead of 1"),
    ]
)
def test_scores_that_are_no_probabilities_are_found(case, tmp_path):
    scores = np.array([[0.2, 0.3, 0.5], case.make(tmp_path)], "float32")
    assert list(find_bad_scores(scores, "float32")) == [1]
    with pytest.raises(InputError, match=f"m: 1 of 2 images have no answer. Image 1: .*{case.expected}"):
        check_scores(scores, "float32", "m")


def test_rounded_probabilities_are_probabilities():
    logits = np.random.default_rng(0).normal(size=(20, 1000)).astype("float32")
    exact = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
    assert not find_bad_scores(exact, "float32")
    assert not find_bad_scores(exact.astype("float16").astype("float32"), "bfloat16")
    assert not find_bad_scores(np.round(exact * 256) / 256, "int8")


# Exports


@pytest.fixture(scope="module")
def good_export(tmp_path_factory):
    path = tmp_path_factory.mktemp("export") / "onnx"
    cnnzoo.export(cnnzoo.get("lenet5", weights="digits"), path, "onnx")
    return path


@pytest.fixture
def exported(good_export, tmp_path):
    return shutil.copytree(good_export, tmp_path / "export")


def change_class(folder):
    file = folder / "cnnzoo.json"
    return file.write_text(file.read_text().replace('"3"', '"8"').replace('"8"', '"3"', 1))


DAMAGED = r"model\.onnx is damaged or was replaced: "


@parametrize_cases(
    [
        Case("bit", "attack 4.4", lambda f: flip_bit(f / "model.onnx", -5000), DAMAGED + "its SHA-256"),
        Case("first bit", "attack 4.4", lambda f: flip_bit(f / "model.onnx", 0), DAMAGED + "its SHA-256"),
        Case("torn", "attack 4.4", lambda f: (f / "model.onnx").write_bytes(b"torn"), DAMAGED + "4 bytes instead"),
        Case("missing", "attack 4.4", lambda f: (f / "model.onnx").unlink(), "model.onnx cannot be read: No such"),
        Case("class", "attack 4.4", change_class, "checksum.*if you changed it on purpose, remove the line sha256"),
        Case("digest", "attack 4.4", lambda f: edit_json(f / "cnnzoo.json", files={}), "does not match its checksum"),
        Case("types", "attack 4.5", lambda f: edit_json(f / "cnnzoo.json", files={"a": 5}), "'files'.* an object"),
        Case("shape", "attack 4.5", lambda f: edit_json(f / "cnnzoo.json", shape=[32.9, 32, 1]), "whole number"),
        Case("deep", "attack 2.2", lambda f: (f / "cnnzoo.json").write_text("[" * 10**6), "nested more than 100"),
        Case("long", "attack 1.2", lambda f: os.truncate(f / "cnnzoo.json", 2**27), "bytes are too many"),
    ]
)
def test_a_damaged_export_is_refused_at_load(case, exported):
    case.make(exported)
    with pytest.raises(InputError, match=case.expected):
        cnnzoo.load(exported)


def test_what_may_change_in_an_export(exported):
    """Its description and files beside it; and a cnnzoo.json that was edited on purpose, or has no digests."""
    (exported / "model_card.md").write_text("My own words")
    (exported / "notes.txt").write_text("mine")
    content = json.loads((exported / "cnnzoo.json").read_text())
    del content["sha256"]
    content["card"]["classes"][3] = "three"
    (exported / "cnnzoo.json").write_text(json.dumps(content))
    assert cnnzoo.load(exported).classes[3] == "three"
    del content["files"]
    (exported / "cnnzoo.json").write_text(json.dumps(content))
    assert cnnzoo.load(exported).predict(IMAGE)


def test_every_file_of_an_export_has_a_digest(tmp_path, trained):
    for name in ("saved_model.pb", "variables/variables.index", "assets/a", "model_card.md"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(name)
    write_export_info(tmp_path, ExportInfo(cnnzoo.card(trained.model), "saved_model", "float32", (32, 32, 1)))
    files = json.loads((tmp_path / "cnnzoo.json").read_text())["files"]
    assert set(files) == {"saved_model.pb", "variables/variables.index", "assets/a"}
    edit_json(tmp_path / "cnnzoo.json", files={"../x": files["assets/a"]})
    with pytest.raises(InputError, match="checksum"):
        cnnzoo.load(tmp_path)


# States of a training


@pytest.fixture(scope="module")
def crashed(data, tmp_path_factory):
    """A run that ended in the middle of its second epoch."""
    folder = tmp_path_factory.mktemp("crashed") / "run"
    with pytest.raises(CrashError):
        fit(new_lenet(), data, run_dir=folder, callbacks=[CrashAt(1, 1)], checkpoint_every=0)
    return folder


@pytest.fixture
def run(crashed, tmp_path):
    return shutil.copytree(crashed, tmp_path / "run")


def edit_state(unsealed=False, **changes):
    """Return a function that changes fields of a state, with its checksum or as of a version without."""

    def make(state):
        edit_json(state / "state.json", **changes)
        if unsealed:
            content = json.loads((state / "state.json").read_text())
            content = {key: value for key, value in content.items() if key not in ("sha256", "files")}
            (state / "state.json").write_text(json.dumps(content))

    return make


def odd_history(key, value):
    """Return a function that changes one series of the history."""

    def make(state):
        history = json.loads((state / "state.json").read_text())["history"]
        edit_state(True, history=history | {key: value})(state)

    return make


@parametrize_cases(
    [
        Case("step + 3", "attack 2.5", edit_state(step=4), "does not match its checksum"),
        Case("stopped", "attack 2.5", edit_state(stopped=True), "does not match its checksum"),
        Case("step -5", "attack 2.5", edit_state(True, step=-5), "out of range: .*'step': -5"),
        Case("step 10**9", "attack 2.5", edit_state(True, step=10**9), "a run of 4 epochs of 3 steps"),
        Case("step text", "attack 2.5", edit_state(True, step="3"), "the field 'step' must be a whole number"),
        Case("step 2.5", "attack 2.5", edit_state(True, step=2.5), "the field 'step' must be a whole number"),
        Case("step true", "attack 2.5", edit_state(True, step=True), "the field 'step' must be a whole number"),
        Case("best text", "attack 2.5", edit_state(True, best=["a", "b"]), "'best' must be a finite number"),
        Case("best NaN", "attack 2.5", edit_state(True, best=[float("nan"), 0]), "'best' must be a finite number"),
        Case("best of 3", "attack 2.5", edit_state(True, best=[1, 2, 3]), "'best' must be a list of 2 items"),
        Case("best epoch", "attack 2.5", edit_state(True, best_epoch=7), "out of range: .*'best_epoch': 7"),
        Case("probe 5", "attack 2.5", edit_state(True, probe=5), "'probe' must be an object or null"),
        Case("probe", "attack 2.5", edit_state(True, probe={"accuracy": 1}), "the probe lacks"),
        Case("stopped text", "attack 2.5", edit_state(True, stopped="yes"), "'stopped' must be true or false"),
        Case("rate text", "attack 2.5", edit_state(True, learning_rate="x"), "'learning_rate' must be a finite number"),
        Case("rate -1", "attack 2.5", edit_state(True, learning_rate=-1), "the learning rate -1"),
        Case("history", "attack 2.5", odd_history("loss", ["a"]), "'loss', must be a number"),
        Case("history key", "attack 2.5", edit_state(True, history={"odd": [1]}), "the history lacks"),
        Case("unknown", "attack 2.5", edit_state(True, more=1), r"unknown fields \['more'\]"),
        Case("deep", "attack 2.2", lambda s: (s / "state.json").write_text('{"a":' * 10**5), "nested more than 100"),
        Case("number", "attack 2.2", lambda s: (s / "state.json").write_text("9" * 5000), "digits"),
        Case("folder", "attack 2.2", lambda s: [(s / "state.json").unlink(), (s / "state.json").mkdir()], "directory"),
        Case("best bit", "attack 2.5", lambda s: flip_bit(s / "best.npz", 5000), "best.npz is damaged"),
        Case("last bit", "attack 2.5", lambda s: flip_bit(s / "last.npz", 5000), "last.npz is damaged"),
        Case("torn best", "attack 2.5", lambda s: (s / "best.npz").write_bytes(b"x"), "best.npz is damaged"),
        Case("no best", "attack 2.5", lambda s: (s / "best.npz").unlink(), "best.npz cannot be read"),
    ]
)
def test_a_damaged_state_is_refused(case, run, data):
    case.make(find_latest_state(run / "state"))
    with pytest.raises(InputError, match=f"cannot be read: .*{case.expected}.*--overwrite"):
        fit(new_lenet(), data, run_dir=run)


def test_no_mutation_of_a_state_is_read_as_another_one(run):
    state = find_latest_state(run / "state")
    file, good = state / "state.json", read_state(state)
    content, draw = file.read_bytes(), np.random.default_rng(0)
    for _ in range(300):
        changed = bytearray(content)
        for position in draw.integers(0, len(content), draw.integers(1, 4)):
            changed[position] ^= 1 << draw.integers(0, 8)
        file.write_bytes(changed)
        try:
            assert read_state(state, check_arrays=False) == good
        except InputError:
            continue


def test_older_states_are_removed(run):
    """A kill between the writing of a state and the deletion of the one before leaves both."""
    latest = find_latest_state(run / "state")
    for older in ("step-000000000", "step-000000001"):
        shutil.copytree(latest, run / "state" / older)
    with Run(run, json.loads((run / "run.json").read_text())["plan"]) as reopened:
        assert reopened.state.step == 2
    assert list((run / "state").iterdir()) == [latest]


# Records of runs, searches and predictions

BROKEN_JSON = [
    Case("empty", "attack 2.2", lambda path: path.write_bytes(b""), "cannot be read"),
    Case("torn", "attack 3.1", lambda path: path.write_bytes(path.read_bytes()[:-9]), "cannot be read"),
    Case("list", "attack 3.1", lambda path: path.write_text("[1]"), "must be an object"),
    Case("null", "attack 3.1", lambda path: path.write_text("null"), "must be an object"),
    Case("no fields", "attack 3.1", lambda path: path.write_text("{}"), "is missing"),
    Case("deep", "attack 2.2", lambda path: path.write_text("[" * 10**5), "nested more than 100"),
    Case("bytes", "attack 2.2", lambda path: path.write_bytes(b"\xff\xfe{"), "cannot be read"),
    Case("digits", "attack 2.2", lambda path: path.write_text('{"a": ' + "1" * 5000 + "}"), "cannot be read"),
]


@parametrize_cases(BROKEN_JSON)
def test_a_broken_run_json_is_one_error(case, run, data, cli):
    case.make(run / "run.json")
    with pytest.raises(InputError, match=f"{case.expected}.*--overwrite"):
        fit(new_lenet(), data, run_dir=run, resume=True)
    assert cli("rerun", run).code == 2


@parametrize_cases(BROKEN_JSON)
def test_a_worker_of_a_search_with_a_broken_record_says_so(case, tmp_path):
    (tmp_path / "run.json").write_text('{"status": "running", "plan": {}}')
    case.make(tmp_path / "run.json")
    with pytest.raises(InputError, match=f"{case.expected}.*the chief's search"):
        distributed.wait_for_chief(tmp_path, {})


@parametrize_cases(BROKEN_JSON)
def test_a_broken_outcome_costs_its_trial_only(case, tmp_path):
    success = {"score": 0.5, "seconds": 1, "training": 1, "epochs": 2, "hopeless": False, "history": {"loss": [1]}}
    for number in ("0", "1", "2"):
        (tmp_path / "trials" / number).mkdir(parents=True)
        write_outcome(tmp_path / "trials" / number, {"chosen": {"augment": "none"}, **success})
    case.make(tmp_path / "trials" / "1" / "outcome.json")
    trials = read_trials(tmp_path)
    assert [trial.status for trial in trials] == ["completed", "failed", "completed"]
    assert case.expected in trials[1].reason
    with pytest.warns(UserWarning, match="Trial 1 is evaluated again; the others are kept"):
        assert remove_broken_outcomes(tmp_path) == [1]
    assert [trial.number for trial in read_trials(tmp_path)] == [0, 2]
    assert read_outcome(tmp_path / "trials" / "0")["score"] == 0.5


@parametrize_cases(BROKEN_JSON)
def test_a_broken_record_of_predictions_is_one_error(case, tmp_path, trained, photos_of_digits):
    out = tmp_path / "out.csv"
    classifier = cnnzoo.Classifier.of(trained.model, "keras")
    classifier.predict_to(out, photos_of_digits, verbose=False)
    record = tmp_path / ".out.csv.progress.json"
    if not record.exists():  # of a file that is complete
        record.write_text('{"plan": {}}')
    case.make(record)
    with pytest.raises(InputError, match="overwrite"):
        classifier.predict_to(out, photos_of_digits, verbose=False)
    assert classifier.predict_to(out, photos_of_digits, verbose=False, overwrite=True).images == 3


@pytest.fixture(scope="module")
def photos_of_digits(data, tmp_path_factory):
    from PIL import Image

    folder = tmp_path_factory.mktemp("photos")
    for i in range(3):
        Image.fromarray(data.test.images[i, ..., 0]).save(folder / f"{i}.png")
    return folder


# Numbers without a bound


HUGE = {"10**400": 10**400, "10**5000": 10**5000, "-10**400": -(10**400), "1e308": 1e308, "inf": math.inf}
HUGE["nan"] = math.nan


@pytest.mark.parametrize("number", HUGE)
@pytest.mark.parametrize("field", ["learning_rate", "weight_decay", "clip", "rubbish", "unfreeze_epochs", "aux_weight"])
def test_numbers_of_recipes_have_bounds(field, number):
    with pytest.raises(InputError, match=f"The recipe field {field} must be "):
        cnnzoo.recipe("sgd", **{field: HUGE[number]})


@pytest.mark.parametrize("field", ["epochs", "batch_size", "stages", "patience", "momentum", "drop", "warmup_epochs"])
def test_no_field_of_a_recipe_takes_a_huge_number(field):
    for value in (10**400, 10**5000):
        with pytest.raises(InputError, match=f"The recipe field {field} must be "):
            cnnzoo.recipe("sgd", **{field: value})


def test_huge_numbers_on_the_command_line_are_one_error(cli):
    for setting in ("learning_rate=" + "9" * 400, "unfreeze_epochs=1e308", "clip=" + "9" * 5000, "drops=(0.5, 1e400)"):
        answer = cli("train", "lenet5", "digits", "--set", setting)
        assert answer.code == 2
        assert "The recipe field" in answer.err
        assert len(answer.err) < 1000


def test_large_numbers_that_a_network_can_compute_with_are_taken(data):
    recipe = replace(RECIPE, epochs=1, weight_decay=10**30, clip=10**30, rubbish=10**30, unfreeze_epochs=1_000_000)
    with pytest.raises(cnnzoo.TrainingError, match="became (nan|inf)"):
        fit(new_lenet(), data, recipe=recipe)


def test_huge_options_are_one_error(data):
    for options in ({"seed": 10**400}, {"seed": 10**5000}, {"checkpoint_every": -(10**5000)}):
        with pytest.raises(InputError, match="seed must be|checkpoint_every must be"):
            fit(new_lenet(), data, **options)
    for options in ({"high": 10**400}, {"low": 10**5000}, {"steps": 10**5000}):
        with pytest.raises(InputError, match="Rates must rise|steps must be"):
            cnnzoo.lr_find(new_lenet(), data, **options)


# Names in pictures


@pytest.mark.parametrize(
    "name",
    [
        "W" * 5000,
        "a\nb" * 500,
        "$x_$ and $\\frac{" * 50,
        "\x1b[2J\x07\0",
        "\N{HEBREW LETTER SHIN}\N{HEBREW LETTER LAMED}" * 50,
        "\N{ROCKET}\N{ZERO WIDTH JOINER}" * 50,
        "\u202etxt.exe",
        "e" + "\N{COMBINING ACUTE ACCENT}" * 5000,
        "\\$",
        " ",
    ],
    ids=lambda name: ascii(name)[:12],
)
def test_any_name_can_be_drawn(name):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        chart = ElementTree.fromstring(matrix_chart(np.eye(2, dtype=int), [name, "b"]))
        png = draw_gallery(Gallery(name, (Tile(np.zeros((8, 8, 1)), (f"{name}\n{name}", name)),)))
    assert max(float(chart.get("width")), float(chart.get("height"))) < 1000
    assert max(int.from_bytes(png[16:20]), int.from_bytes(png[20:24])) < 2000, "pixels across and down"


def test_a_report_with_long_names_is_written(data, tmp_path, trained):
    names = ["W" * 5000, "a\nb" * 100, "$c$"]
    images = cnnzoo.load_data((data.train.images, data.train.labels), classes=names, splits=(0.4, 0.2, 0.4))
    cnnzoo.evaluate(new_lenet(seed=3), images).save(tmp_path)
    assert (tmp_path / "report.html").stat().st_size < 3_000_000


@pytest.mark.slow
def test_exports_replace_each_other_at_once(good_export, tmp_path):
    """tests/core/test_files.py kills processes while they replace a folder."""
    path = shutil.copytree(good_export, tmp_path / "out")
    (path / "model_card.md").write_text("old")
    cnnzoo.export(cnnzoo.get("lenet5", weights="mnist"), path, "onnx", overwrite=True)
    assert cnnzoo.load(path).card.weights["tag"] == "mnist"
    assert [p.name for p in tmp_path.iterdir()] == ["out"]
