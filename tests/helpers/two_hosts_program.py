"""What `test_two_hosts.py` runs on two hosts at once: python -m helpers.two_hosts_program PART, in a folder.

Part `cut` trains undisturbed, and again until the link is cut. Part `continue` completes that training, and lets
process 0 train alone.
"""

import hashlib
import json
import os
import subprocess
import sys
from pathlib import Path

import keras

import cnnzoo
from cnnzoo.cli.main import main
from cnnzoo.core.processes import gather_values, process_rank
from helpers.commands import QUICK
from helpers.training import CrashAt
from helpers.two_hosts import LINK_DOWN

DATA = "images.npz"
OPTIONS = {"recipe": cnnzoo.recipe("sgd", epochs=2, batch_size=12), "checkpoint_every": 0, "verbose": False}


class CutLinkAt(CrashAt):
    """Cuts the link between the hosts after one batch of one epoch, in process 1."""

    def on_train_batch_end(self, batch, logs=None):
        if (self.epoch, batch) == self.where and process_rank() == 1:
            subprocess.run(LINK_DOWN, check=True)


def train(folder, **options):
    """Train a new model as the command `train` does; return the hash of its weights."""
    keras.utils.set_random_seed(0)
    data = cnnzoo.load_data(DATA, splits=(0.6, 0.2, 0.2))
    model = cnnzoo.get("lenet5", classes=data.classes)
    cnnzoo.fit_and_evaluate(model, data, run_dir=folder, **OPTIONS, **options)
    return hashlib.sha256(b"".join(weight.tobytes() for weight in model.get_weights())).hexdigest()


def train_until_cut():
    """Train undisturbed, and again until the link is cut."""
    cnnzoo.connect_processes()
    hashes = gather_values(train("whole"))
    if process_rank() == 0:
        Path("hashes.json").write_text(json.dumps(hashes))
    train("torn", callbacks=[CutLinkAt(1, 1)])


def continue_training():
    """Complete the training that was cut, by the command line; let process 0 train alone."""
    main(["train", "lenet5", DATA, *QUICK, "--run-dir", "torn"])
    if os.environ.pop("KERAS_DISTRIBUTION_PROCESS_ID") == "0":
        del os.environ["KERAS_DISTRIBUTION_NUM_PROCESSES"]
        main(["train", "lenet5", DATA, *QUICK, "--run-dir", "one"])


if __name__ == "__main__":
    {"cut": train_until_cut, "continue": continue_training}[sys.argv[1]]()
