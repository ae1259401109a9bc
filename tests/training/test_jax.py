"""Training needs no TensorFlow: on the JAX backend, with its import blocked."""

import os
import subprocess
import sys

import pytest

CODE = """
import sys

class Blocker:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in ("tensorflow", "torch"):
            raise ImportError(f"{name} is blocked")

sys.meta_path.insert(0, Blocker())
import keras
import cnnzoo
assert keras.backend.backend() == "jax"
folder = sys.argv[1]
data = cnnzoo.load_data("digits", splits=(0.7, 0.1, 0.2))
recipe = cnnzoo.recipe("digits", epochs=4, ema=0.9, clip=5.0, precision="bfloat16", balance="weights")

class Crash(keras.callbacks.Callback):
    def on_train_batch_end(self, batch, logs=None):
        self.steps = getattr(self, "steps", 0) + 1
        if self.steps == 60:
            raise RuntimeError

def new_lenet():
    keras.utils.set_random_seed(0)
    return cnnzoo.get("lenet5", classes=data.classes)

model = new_lenet()
report = cnnzoo.fit_and_evaluate(model, data, recipe=recipe, run_dir=folder + "/whole", verbose=False)
assert report.accuracy > 0.9, report.accuracy
validated = cnnzoo.evaluate(model, data, split="validation")
assert abs(validated.accuracy - report.history["val_accuracy"][report.best_epoch - 1]) < 0.01
try:
    torn = {"recipe": recipe, "run_dir": folder + "/torn", "verbose": False}
    cnnzoo.fit_and_evaluate(new_lenet(), data, callbacks=[Crash()], checkpoint_every=0, **torn)
except RuntimeError:
    pass
cnnzoo.fit_and_evaluate(new_lenet(), data, **torn)
a, b = (open(f"{folder}/{name}/report.json", "rb").read() for name in ("whole", "torn"))
assert a == b
one_epoch = cnnzoo.recipe("finetune", epochs=1)
tuned = cnnzoo.fine_tune(cnnzoo.get("lenet5", weights="mnist"), data, recipe=one_epoch, verbose=False)
assert tuned.accuracy >= 0.9, tuned.accuracy
assert cnnzoo.lr_find(new_lenet(), data, recipe=recipe, verbose=False).suggestion > 1e-4
assert "tensorflow" not in sys.modules
print("done")
"""


@pytest.mark.slow
def test_digits_on_jax_without_tensorflow(tmp_path):
    pytest.importorskip("jax")
    env = os.environ | {"KERAS_BACKEND": "jax"}
    command = [sys.executable, "-c", CODE, str(tmp_path)]
    result = subprocess.run(command, capture_output=True, text=True, env=env, check=False)
    assert result.stdout == "done\n", result.stderr
