"""The comparison of an export with its model."""

import numpy as np
import pytest
from helpers.images import make_blobs

import cnnzoo
from cnnzoo.export.check import compare_outputs, sample_inputs
from cnnzoo.runtimes.choose import OpenRuntime


def test_a_wrong_graph_is_noticed(trained):
    model = cnnzoo.Classifier.of(trained.model, "keras")
    negative = OpenRuntime("keras", "float32", lambda images: model.scores(255 - images))
    export = cnnzoo.Classifier(model.card, model.shape, lambda: negative, "keras", "float32")
    with pytest.raises(cnnzoo.InputError, match="differ from the model's by"):
        compare_outputs(model, export, sample_inputs(model, None), "float32", 0.01)


def test_the_data_may_have_some_of_the_models_classes():
    classifier = cnnzoo.Classifier.of(cnnzoo.get("lenet5", weights="mnist"), "keras")
    images, labels = make_blobs(classes=2)

    def load(*names):
        return cnnzoo.load_data((images, np.array(names)[labels]), splits=(0.6, 0.2, 0.2))

    assert set(sample_inputs(classifier, load("7", "3")).validation.labels) == {3, 7}
    with pytest.raises(cnnzoo.InputError, match="classes that the model lacks: cat. The model's are 0, 1"):
        sample_inputs(classifier, load("cat", "3"))
