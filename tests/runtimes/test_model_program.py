"""Keras models as programs: precisions, shapes, and batches that are handed over ahead. JAX: `test_jax_programs.py`.

Where a test needs an accelerator, this processor is taken for one: what is computed and in which order is the same.
"""

import keras
import numpy as np
import pytest

import cnnzoo
from cnnzoo.inference.scores import find_best_classes
from cnnzoo.runtimes import choose, model_program
from cnnzoo.runtimes.choose import choose_runtime_for_model
from cnnzoo.runtimes.model_program import ModelProgram
from cnnzoo.surgery import accelerator
from cnnzoo.surgery.accelerator import device_batch_size
from cnnzoo.surgery.walk import all_layers

IMAGES = np.random.default_rng(0).integers(0, 256, (21, 32, 32, 1), "uint8")


@pytest.fixture(scope="module")
def model():
    keras.utils.set_random_seed(0)
    return cnnzoo.get("lenet5")


def take_for_accelerator(monkeypatch, value):
    """Take this processor for an accelerator, or not."""
    for module in (accelerator, choose, model_program):
        monkeypatch.setattr(module, "has_accelerator", lambda: value)


@pytest.fixture
def on_accelerator(monkeypatch):
    """This processor, taken for an accelerator."""
    take_for_accelerator(monkeypatch, True)


@pytest.mark.parametrize("kind", ["bfloat16", "float16"])
def test_mixed_precision_is_close_and_leaves_the_model_alone(model, kind):
    policies = [layer.dtype_policy.name for layer in all_layers(model)]
    exact = ModelProgram(model)(IMAGES)
    classifier = cnnzoo.Classifier.of(model, "keras", kind)
    half = classifier.probabilities(IMAGES)
    assert (classifier.runtime, classifier.precision, half.dtype) == ("keras", kind, np.float32)
    assert 0 < np.abs(half - exact).max() < 0.05
    assert [layer.dtype_policy.name for layer in all_layers(model)] == policies
    np.testing.assert_array_equal(ModelProgram(model)(IMAGES), exact)


def test_pixels_are_converted_in_the_program(model):
    program = ModelProgram(model)
    by_type = [program(IMAGES), program(IMAGES.astype("float32")), program(IMAGES.astype("int64"))]
    assert [dtype for _, dtype in program.programs] == ["uint8", "float32"]
    for scores in by_type[1:]:
        np.testing.assert_array_equal(scores, by_type[0])


def test_the_precision_decides_who_computes(monkeypatch):
    def chosen(*arguments):
        choice = choose_runtime_for_model(*arguments)
        return choice.runtime.name, choice.precision

    assert chosen("keras", "bfloat16") == ("keras", "bfloat16")
    assert chosen("auto", "float16") == ("keras", "float16")
    assert chosen("auto", "bfloat16") == ("openvino", "bfloat16")
    monkeypatch.setattr(choose, "is_installed", lambda name: name == "keras")
    assert chosen("auto", "bfloat16") == ("keras", "bfloat16")
    with pytest.raises(cnnzoo.InputError, match=r"float16 requires Keras. Received: runtime='openvino'"):
        chosen("openvino", "float16")
    with pytest.raises(cnnzoo.InputError, match=r"bfloat16 requires OpenVINO or Keras. Received: runtime='litert'"):
        chosen("litert", "bfloat16")
    with pytest.raises(cnnzoo.InputError, match="not int8; set the precision when exporting"):
        chosen("auto", "int8")


def test_keras_is_chosen_where_there_is_an_accelerator(on_accelerator):
    assert choose_runtime_for_model().runtime.name == "keras"
    assert choose_runtime_for_model("auto", "bfloat16").runtime.name == "keras"
    assert choose_runtime_for_model("openvino").runtime.name == "openvino"


def test_on_an_accelerator_the_next_batch_is_handed_over_before_scores_are_read(model, on_accelerator, monkeypatch):
    events, original = [], ModelProgram.start

    def start(self, images, size=None):
        finish = original(self, images, size)
        number = sum(event.startswith("start") for event in events)
        events.append(f"start {number} ({len(images)} of {size})")
        return lambda: events.append(f"read {number}") or finish()

    monkeypatch.setattr(ModelProgram, "start", start)
    classifier = cnnzoo.Classifier.of(model)
    predictions = classifier.predict(IMAGES, batch_size=8, verbose=False)
    assert events == [
        "start 0 (8 of None)",
        "start 1 (8 of 8)",
        "read 0",
        "start 2 (5 of 8)",
        "read 1",
        "read 2",
    ]
    programs = classifier._network.opened.run.programs
    assert list(programs) == [(8, "uint8")], "one program, though the last batch is smaller"
    assert [len(p.classes) for p in predictions] == [5] * 21
    take_for_accelerator(monkeypatch, False)
    events.clear()
    others = cnnzoo.Classifier.of(model, "keras").predict(IMAGES, batch_size=8, verbose=False)
    assert [event.split()[0] for event in events] == ["start", "read"] * 3
    np.testing.assert_allclose(
        [p.probabilities for p in predictions], [p.probabilities for p in others], rtol=1e-5, atol=1e-7
    )


def test_few_programs_serve_batches_of_all_sizes(model, on_accelerator):
    program = ModelProgram(model)
    expected = ModelProgram(model)(IMAGES)
    for count in (1, 2, 3, 4, 5, 8, 7, 21, 20):
        np.testing.assert_allclose(program(IMAGES[:count]), expected[:count], rtol=1e-5, atol=1e-7)
    assert [size for size, _ in program.programs] == [1, 2, 4, 8, 32]
    program.batch_size = 4
    np.testing.assert_allclose(program(IMAGES), expected, rtol=1e-5, atol=1e-7)
    assert len(program.programs) == 5


def test_batches_are_sized_to_the_memory_of_the_accelerator(model, on_accelerator, monkeypatch):
    largest = 28 * 28 * 6
    for memory, kind, expected in ((2**40, "float32", 256), (largest * 4 * 70, "float32", 8), (1, "float32", 1)):
        monkeypatch.setattr(accelerator, "device_memory", lambda memory=memory: memory)
        assert device_batch_size(model, kind) == expected
    monkeypatch.setattr(accelerator, "device_memory", lambda: largest * 4 * 70)
    assert device_batch_size(model, "bfloat16") == 16


@pytest.mark.parametrize("classes", [3, 200])
def test_the_best_classes_are_those_of_a_stable_sort(classes):
    rng = np.random.default_rng(0)
    for scores in (rng.random((50, classes)), rng.integers(0, 4, (50, classes)) / 4, np.zeros((2, classes))):
        scores = scores.astype("float32")
        for top in (1, 2, 3):
            expected = np.argsort(-scores, axis=1, kind="stable")[:, :top]
            np.testing.assert_array_equal(find_best_classes(scores, top), expected)
    broken = rng.random((4, classes))
    broken[1, 0] = np.nan
    np.testing.assert_array_equal(
        find_best_classes(broken, 1), np.argsort(-broken, axis=1, kind="stable")[:, :1], "a NaN changes no other row"
    )
