"""Fixtures of all tests: real data, a small trained run, the command line."""

import gc
from collections import Counter
from types import SimpleNamespace

import numpy as np
import pytest
from helpers.commands import run_command
from helpers.images import make_blobs
from helpers.paths import ROOT, TEST_DATA

import cnnzoo

gc.disable()  # until all is imported, see `pytest_collection`

LONGEST = ("tuning", "export", "cli", "docs", "training", "runtimes", "inference")  # folders, the slowest first
WITHOUT_SHARED_FIXTURES = ("test_golden.py", "test_build.py")  # files whose tests may run on any worker


@pytest.hookimpl(tryfirst=True)  # pytest-xdist reads the groups in the same hook
def pytest_collection_modifyitems(config, items):
    """Keep the tests of a file on one worker of pytest-xdist, and run the longest first and the shortest last.

    Tests of a file share trained models and exports, which two workers would each make. Small groups and then single
    tests at the end fill the time until the last worker is done.
    """
    if not config.pluginmanager.hasplugin("xdist"):
        return

    def group_size(item):
        marker = item.get_closest_marker("xdist_group")
        return groups[marker.args] if marker else 0

    def order(item):
        folder, _, _ = item.path.relative_to(ROOT / "tests").as_posix().rpartition("/")
        shares = item.path.name not in WITHOUT_SHARED_FIXTURES
        return not shares, 0 if shares else -group_size(item), (*LONGEST, folder).index(folder)

    groups = Counter(marker.args for item in items if (marker := item.get_closest_marker("xdist_group")))
    items.sort(key=order)
    for item in items:
        if item.path.name not in WITHOUT_SHARED_FIXTURES:
            item.add_marker(pytest.mark.xdist_group(item.path.relative_to(ROOT).as_posix()))


@pytest.hookimpl(wrapper=True)
def pytest_collection():
    """Exempt what is imported from garbage collection, which would look at a million objects again and again."""
    try:
        return (yield)
    finally:
        gc.freeze()
        gc.enable()


@pytest.fixture(scope="session")
def test_data():
    """A function that returns the path of real data by name, and skips the test if it is missing."""

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
def few_digits(monkeypatch):
    """A third of scikit-learn's digits instead of all."""
    import sklearn.datasets
    from sklearn.utils import Bunch

    digits = sklearn.datasets.load_digits()
    some = Bunch(images=digits.images[:600], target=digits.target[:600])
    monkeypatch.setattr(sklearn.datasets, "load_digits", lambda: some)


@pytest.fixture
def free_memory():
    """Free the models of each test after it: those of the whole registry do not fit into memory together."""
    yield
    gc.collect()


@pytest.fixture
def fast_variables():
    """Build and load networks in half the time; what is built within the test has values only there."""
    from helpers.building import values_beside_variables

    with values_beside_variables():
        yield


@pytest.fixture(scope="session")
def cli():
    """Run the command line in this process: cli("list", "lenet*") gives code, out and err."""
    return run_command


@pytest.fixture(scope="session")
def data():
    return cnnzoo.load_data(make_blobs(), splits=(0.6, 0.2, 0.2))


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
