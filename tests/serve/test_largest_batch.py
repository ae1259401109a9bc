"""How many images a server predicts at a time."""

import pytest

from cnnzoo.cards import Card
from cnnzoo.inference.classifier import Classifier
from cnnzoo.serve.served_model import find_largest_batch

CARD = Card(name="any", classes=("a", "b"))


def make_classifier(*shape):
    """A classifier that is never used."""
    return Classifier(CARD, shape, lambda: pytest.fail("the network was opened"), "openvino", "float32")


@pytest.mark.parametrize(
    ("shape", "size"), [((224, 224, 3), 6), ((299, 299, 3), 3), ((1000, 1000, 3), 1), ((28, 28, 1), 64)]
)
def test_batches_on_a_processor_are_small(shape, size):
    assert find_largest_batch(make_classifier(*shape)) == size


def test_another_size_can_be_set():
    assert find_largest_batch(make_classifier(224, 224, 3), 48) == 48


def test_batches_on_an_accelerator_are_those_of_predict(monkeypatch):
    monkeypatch.setattr(Classifier, "device_batch_size", 128)
    assert find_largest_batch(make_classifier(224, 224, 3)) == 128
