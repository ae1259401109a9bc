"""What the tests share: real data, a small trained run, the command line."""

import gc
import os
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

import cnnzoo

ROOT = Path(__file__).parents[1]
TEST_DATA = Path(os.environ.get("CNNZOO_TEST_DATA", ROOT.parent / "shared" / "data"))


@pytest.fixture(scope="session")
def test_data():
    """A function from a name to a path of the real data; skips the test where it is not there."""

    def find(name):
        path = TEST_DATA / name
        if not path.exists():
            pytest.skip(f"needs {name} in the folder that CNNZOO_TEST_DATA names")
        return path

    return find


@pytest.fixture(scope="session")
def mnist(test_data):
    with np.load(test_data("mnist.npz")) as file:
        return {key: file[key] for key in file.files}


@pytest.fixture
def collected():
    """Models of a test are gone after it: those of the whole registry do not fit into memory together."""
    yield
    gc.collect()


@pytest.fixture
def cli(capsys):
    """Run the command line in this process: cli("list", "lenet*") gives code, out and err."""
    from cnnzoo.cli.main import main

    def run(*arguments):
        try:
            main([str(argument) for argument in arguments])
            code = 0
        except SystemExit as end:
            code = end.code
        printed = capsys.readouterr()
        return SimpleNamespace(code=code, out=printed.out, err=printed.err)

    return run


def blobs(count=60, size=12, classes=3, seed=0):
    """Gray images that a small network learns in an epoch or two: bright squares in different corners."""
    draw = np.random.default_rng(seed)
    labels = np.arange(count) % classes
    images = draw.integers(0, 60, (count, size, size), "uint8")
    for image, label in zip(images, labels, strict=True):
        image[label * 3 : label * 3 + 3, label * 3 : label * 3 + 3] += 180
    return images, labels


@pytest.fixture(scope="session")
def data():
    return cnnzoo.load_data(blobs(), split=(0.6, 0.2, 0.2))


@pytest.fixture(scope="session")
def trained(data, tmp_path_factory):
    """A finished run with its model, report and folder; tests leave it as it is."""
    import keras

    keras.utils.set_random_seed(0)
    model = cnnzoo.get("lenet5", classes=["a", "b", "c"])
    folder = tmp_path_factory.mktemp("run") / "a"
    recipe = cnnzoo.Recipe(epochs=3, batch_size=12, learning_rate=0.05)
    report = cnnzoo.fit_and_evaluate(model, data, recipe=recipe, run_dir=folder, verbose=False)
    return SimpleNamespace(model=model, report=report, folder=folder, recipe=recipe)
