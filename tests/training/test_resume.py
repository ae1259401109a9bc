"""A run that is killed at any moment is resumed by the same call and ends as an uninterrupted one, to the last bit."""

import random
import shutil
import signal
import time
from dataclasses import replace

import keras
import numpy as np
import pytest
from helpers.images import make_blobs
from helpers.processes import finish, run_code, start_command
from helpers.training import RECIPE, CrashAt, CrashError, fit, new_lenet, read_report

import cnnzoo
from cnnzoo.training import run

COMPARED_FILES = ("report.json", "predictions.csv")
ALL_FEATURES = replace(RECIPE, ema=0.9, balance="sampling", precision="bfloat16", clip=1.0, optimizer="muon")


def new_network():
    """A model with dropout, whose random draws have a state, and with batch norm."""
    keras.utils.set_random_seed(0)
    inputs = keras.Input((12, 12, 1))
    x = keras.layers.Conv2D(4, 3)(keras.layers.Rescaling(1 / 255)(inputs))
    x = keras.layers.Conv2D(4, 3)(keras.layers.BatchNormalization()(x))  # Muon leaves the first one to Adam
    x = keras.layers.Dropout(0.3, seed=1)(x)
    return keras.Model(inputs, keras.layers.Dense(3)(keras.layers.Flatten()(x)), name="network")


class RecordEvents(keras.callbacks.Callback):
    """Notes when a training begins and ends, and each of its epochs."""

    def __init__(self):
        super().__init__()
        self.events = []

    def on_train_begin(self, logs=None):
        self.events.append("begin")

    def on_epoch_end(self, epoch, logs=None):
        self.events.append(epoch)

    def on_train_end(self, logs=None):
        self.events.append("end")


@pytest.mark.slow
@pytest.mark.parametrize(
    ("recipe", "crashes"),
    [(RECIPE, [(0, 0), (1, 1), (2, 2)]), (ALL_FEATURES, [(2, 1)])],
    ids=["sgd", "all features"],
)
def test_a_run_resumed_after_a_crash_equals_an_uninterrupted_one(data, tmp_path, recipe, crashes):
    """The run crashes in the first step, in the middle of an epoch, and after the last step of one."""
    fit(new_network(), data, recipe=recipe, run_dir=tmp_path / "whole")
    torn = tmp_path / "torn"
    for epoch, batch in crashes:
        crash = CrashAt(epoch, batch)
        with pytest.raises(CrashError):
            fit(new_network(), data, recipe=recipe, run_dir=torn, callbacks=[crash], checkpoint_every=0)
        last_step_saved = 3 * epoch + min(batch + 1, 2)  # the last step of an epoch is saved with the epoch
        assert [state.name for state in (torn / "state").iterdir()] == [f"step-{last_step_saved:09}"]
    record = RecordEvents()
    fit(new_network(), data, recipe=recipe, run_dir=torn, callbacks=[record])
    assert record.events == ["begin", 2, 3, "end"], "a callback sees one training, though it takes two calls of fit"
    assert read_report(torn) == read_report(tmp_path / "whole")


def test_a_run_of_another_plan_is_not_resumed(data, uninterrupted, tmp_path):
    folder = tmp_path / "run"
    shutil.copytree(uninterrupted.folder, folder)
    before = {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    other_data = cnnzoo.load_data((data.train.images, data.train.labels), splits=(0.4, 0.3, 0.3))
    cases = (
        (new_lenet(), data, {"recipe": replace(RECIPE, momentum=0.5)}, r"recipe\.momentum: 0\.9 before, 0\.5 now"),
        (new_lenet(), data, {"seed": 1}, "seed: 0 before, 1 now"),
        (new_lenet(), data, {"sample_weight": [1.0] * 35 + [2.0]}, r"data\.sample_weight: None before"),
        (new_lenet(), other_data, {}, r"data\.fingerprints\.train: '\w+' before, '\w+' now"),
        (new_network(), data, {}, "model: 'lenet5' before, 'network' now"),
        (cnnzoo.get("lenet5", weights="digits", classes=3), data, {}, "weights"),
    )
    for model, its_data, options, message in cases:
        with pytest.raises(cnnzoo.InputError, match=f"different run, so it cannot be resumed: .*{message}"):
            fit(model, its_data, run_dir=folder, resume=True, **options)
    with pytest.raises(cnnzoo.InputError, match="already holds a run"):
        fit(new_lenet(), data, run_dir=folder, resume=False)
    assert {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()} == before


@pytest.mark.slow
def test_kill_9_at_random_moments(tmp_path):
    """Real processes of the command line are killed by a real signal at random moments, also while they write files."""
    arguments = ("train", "lenet5", "digits", "--set", "epochs=3", "--checkpoint-every", "0", "--run-dir")
    whole, torn = tmp_path / "whole", tmp_path / "torn"
    finish(start_command(*arguments, whole))
    seed = random.randrange(2**32)
    print(f"seed of the moments: {seed}")
    rng, kills = random.Random(seed), 0
    while kills < 2:
        process = start_command(*arguments, torn)
        states_before = set((torn / "state").glob("step-*"))
        while process.poll() is None and set((torn / "state").glob("step-*")) == states_before:
            time.sleep(0.01)  # until it has begun to train
        time.sleep(rng.uniform(0, 0.7))
        process.kill()
        _, err = process.communicate()
        assert process.returncode in (-signal.SIGKILL, 0), err
        if process.returncode == 0:
            break
        kills += 1
    assert kills, "the run was over before it was killed once"
    resumed = start_command(*arguments, torn, "--resume")
    finish(resumed)
    assert "Resuming after" in resumed.read_error()
    for name in COMPARED_FILES:
        assert (torn / name).read_bytes() == (whole / name).read_bytes()
    assert {path.name for path in torn.iterdir()} == {path.name for path in whole.iterdir()}


FULL_DISK = """
import contextlib, io, resource, sys
from cnnzoo.cli.main import main
from cnnzoo.training import state

HALF_A_STATE = 200_000
FILES = {"last.npz", "best.npz", "state.json"}

def set_largest_file(size):
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, resource.RLIM_INFINITY))

def train(run_dir):
    errors = io.StringIO()
    code = 0
    with contextlib.redirect_stderr(errors), contextlib.redirect_stdout(io.StringIO()):
        try:
            main(["train", "lenet5", sys.argv[1], "--set", "epochs=3", "--run-dir", run_dir])
        except SystemExit as end:
            code = end.code
    set_largest_file(resource.RLIM_INFINITY)
    return code, errors.getvalue()

def list_names(folder):
    import pathlib
    return {path.name for path in pathlib.Path(folder).iterdir()}

# The disk is full from the start: nothing is kept but the record
set_largest_file(HALF_A_STATE)
code, errors = train("full")
assert code == 1 and "Error: " in errors and "Traceback" not in errors, errors
assert list_names("full") <= {"run.json", "state", ".lock"}
assert not list_names("full/state")

# It fills up during the third state: the second one is kept, and with room the run is resumed
write_state, calls = state.write_state, []

def write_third_state_to_full_disk(*arguments):
    calls.append(1)
    if len(calls) == 3:
        set_largest_file(HALF_A_STATE)
    write_state(*arguments)

state.write_state = write_third_state_to_full_disk
code, errors = train("torn")
assert code == 1 and "Traceback" not in errors, errors
assert "cannot be written" in errors and "File too large; the previous state" in errors, errors
(kept,) = list_names("torn/state")
assert list_names("torn/state/" + kept) == FILES
state.write_state = write_state
assert train("torn")[0] == 0
assert train("full")[0] == 0
reports = [open(name + "/report.json", "rb").read() for name in ("torn", "full")]
assert reports[0] == reports[1]
print("done")
"""


@pytest.mark.slow
def test_a_full_disk_keeps_the_previous_state(tmp_path):
    """The error is one line; once there is space, the same command resumes the run."""
    x, y = make_blobs()
    np.savez(tmp_path / "images.npz", x=x, y=y)
    assert run_code(FULL_DISK, tmp_path / "images.npz", cwd=tmp_path) == "done\n"


def test_a_folder_that_cannot_be_written_raises_an_error(data, tmp_path, monkeypatch):
    def refuse(*_, **__):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(run.Path, "mkdir", refuse)
    with pytest.raises(cnnzoo.InputError, match=r"Cannot use the run directory .*Permission denied"):
        fit(new_network(), data, run_dir=tmp_path / "run")
