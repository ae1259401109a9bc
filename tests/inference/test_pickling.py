"""Classifiers in pickles, copies and other processes."""

import copy
import multiprocessing
import os
import pickle
import shutil

import numpy as np
import pytest

import cnnzoo
from cnnzoo.inference.inputs import prefetch


@pytest.fixture(scope="module")
def image(data):
    return data.test.images[:2]


@pytest.fixture(scope="module")
def in_memory(trained):
    return cnnzoo.Classifier.of(cnnzoo.load(trained.folder).model, "keras")


@pytest.fixture(scope="module")
def exported(trained, tmp_path_factory):
    folder = tmp_path_factory.mktemp("exports") / "onnx"
    cnnzoo.export(trained.folder, folder, "onnx")
    return folder


@pytest.mark.parametrize("duplicate", [lambda x: pickle.loads(pickle.dumps(x)), copy.deepcopy, copy.copy])
@pytest.mark.parametrize("kind", ["run", "export", "model"])
def test_a_copy_gives_the_same_answers(trained, in_memory, exported, image, kind, duplicate):
    original = {"run": lambda: cnnzoo.load(trained.folder, "keras"), "export": lambda: cnnzoo.load(exported)}.get(
        kind, lambda: in_memory
    )()
    duplicated = duplicate(original)
    assert duplicated is not original
    assert (duplicated.card, duplicated.shape, duplicated.transform) == (
        original.card,
        original.shape,
        original.transform,
    )
    np.testing.assert_allclose(duplicated.probabilities(image), original.probabilities(image), atol=1e-6)
    assert duplicated.runtime == original.runtime


def test_a_classifier_that_was_loaded_is_pickled_by_its_path(trained, monkeypatch, tmp_path):
    monkeypatch.chdir(trained.folder.parent)
    pickled = pickle.dumps(cnnzoo.load(trained.folder.name, "keras"))
    assert len(pickled) < 1000
    monkeypatch.chdir(tmp_path)  # a process may work elsewhere
    assert pickle.loads(pickled).runtime == "keras"


def test_what_was_given_to_the_classifier_is_kept(in_memory, tmp_path):
    path = cnnzoo.save(in_memory.model, tmp_path / "m.keras")
    for original in (
        cnnzoo.Classifier.of(in_memory.model, "keras", crop=0.5, classes=["x", "y", "z"]),
        cnnzoo.load(path, "keras", crop=0.5, classes=["x", "y", "z"]),
    ):
        duplicate = pickle.loads(pickle.dumps(original))
        assert duplicate.transform == original.transform
        assert duplicate.transform.crop == 0.5
        assert duplicate.classes == ("x", "y", "z")


def test_another_model_at_the_path_is_noticed(trained, in_memory, tmp_path):
    path = cnnzoo.save(in_memory.model, tmp_path / "m.keras")
    pickled = pickle.dumps(cnnzoo.load(path, "keras"))
    cnnzoo.save(cnnzoo.get("lenet5", classes=in_memory.classes), path)
    with pytest.raises(cnnzoo.InputError, match="pickled by the path '.*m.keras', which holds another model now"):
        pickle.loads(pickled)
    path.unlink()
    with pytest.raises(cnnzoo.InputError, match="which must exist here too: .*is pickled with its weights"):
        pickle.loads(pickled)


def test_weights_that_were_changed_in_memory_are_noticed(in_memory, tmp_path):
    classifier = cnnzoo.load(cnnzoo.save(in_memory.model, tmp_path / "m.keras"), "keras")
    classifier.model.weights[0].assign_add(classifier.model.weights[0] * 0 + 1)
    with pytest.raises(cnnzoo.InputError, match="changed in memory before"):
        copy.deepcopy(classifier)


@pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")
@pytest.mark.filterwarnings("ignore:.*fork:RuntimeWarning")
def call_in_fork(function):
    """Return the text of what `function` returns or raises in a forked process, or "hangs"."""
    reader, writer = multiprocessing.Pipe(duplex=False)
    pid = os.fork()
    if not pid:
        try:
            writer.send(repr(function()))
        except BaseException as error:
            writer.send(f"{type(error).__name__}: {error}")
        os._exit(0)
    answer = reader.recv() if reader.poll(60) else "hangs"
    os.kill(pid, 9)
    os.waitpid(pid, 0)
    return answer


@pytest.mark.filterwarnings("ignore:.*fork")
def test_a_fork_is_told_what_to_do(trained, in_memory, exported, image):
    """Instead of waiting forever, as TensorFlow does: keras#9964."""
    in_memory.predict(image)
    answer = call_in_fork(lambda: in_memory.predict(image))
    assert answer.startswith("InputError: This classifier was first used in process")
    assert "Load the model in each worker process" in answer
    opened = cnnzoo.load(exported)
    opened.predict(image)
    assert "first used in process" in call_in_fork(lambda: opened.predict(image))
    for use in (
        lambda: cnnzoo.load(trained.folder),
        lambda: pickle.loads(pickle.dumps(in_memory)),
        lambda: cnnzoo.Classifier.of(in_memory.model, "keras").predict(image),
    ):
        assert call_in_fork(use).startswith("InputError: TensorFlow was started in process")


@pytest.mark.filterwarnings("ignore:.*fork")
def test_a_fork_has_threads_of_its_own_to_decode_images():
    assert list(prefetch(str, range(3), 2)) == ["0", "1", "2"]
    assert call_in_fork(lambda: list(prefetch(str, range(3), 2))) == "['0', '1', '2']"


def test_a_pickle_survives_a_move_of_the_working_folder(trained, tmp_path):
    moved = tmp_path / "moved"
    shutil.copytree(trained.folder, moved)
    first = pickle.dumps(cnnzoo.load(trained.folder, "keras"))
    second = pickle.dumps(cnnzoo.load(moved, "keras"))
    assert pickle.loads(first).content_identity() == pickle.loads(second).content_identity()


def test_functions_that_use_the_package_are_pickled():
    """As Spark, Ray and Beam send them to their workers."""
    assert pickle.loads(pickle.dumps(cnnzoo)) is cnnzoo
    cloudpickle = pytest.importorskip("cloudpickle")
    source = "def list_names(pattern):\n    return cnnzoo.list_models(pattern)"
    namespace = {"cnnzoo": cnnzoo, "__name__": "__main__"}
    exec(source, namespace)
    assert pickle.loads(cloudpickle.dumps(namespace["list_names"]))("lenet5") == ["lenet5"]
