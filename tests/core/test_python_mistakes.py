"""Typical mistakes in Python: each is answered by what to write instead."""

import dataclasses

import numpy as np
import pytest

import cnnzoo


@pytest.fixture(scope="module")
def names():
    """The names that the mistakes use."""
    data = cnnzoo.load_data("digits")
    model = cnnzoo.get("lenet5", weights="mnist")
    classifier = cnnzoo.Classifier.of(model, "keras")
    return {
        "cnnzoo": cnnzoo,
        "data": data,
        "model": model,
        "report": cnnzoo.evaluate(model, data),
        "classifier": classifier,
        "predictions": classifier.predict(data.test.images[:2]),
    }


MISTAKES = {
    "data['train']": "Write .train instead",
    "data['val']": "Write .validation instead",
    "data[0]": r"splits are .train, .validation and .test",
    "list(data)": r'batches\("train"\) yields batches',
    "data.train[0]": r"Write .images\[i\] and .labels\[i\]",
    "list(data.train)": r"Write .images\[i\]",
    "data.train.x": "Did you mean .images",
    "report['accuracy']": "Write .accuracy instead",
    "report['acc']": "Write .accuracy instead",
    "report.f1": r'Did you mean .metrics\["macro_f1"\]',
    "report.metrics['acc']": "Did you mean 'accuracy'",
    "report.history['loss']": "There is no 'loss'",
    "report.save()": "needs folder",
    "classifier(data.test.images)": r"classifier.predict\(images\)",
    "classifier.predict(data)": "such as data.test.images",
    "classifier.predict(data.test)": "such as data.test.images",
    "predictions.label": r"predictions\[0\].label",
    "predictions[0]['label']": "Write .label instead",
    "predictions[0][0]": "The likeliest class is .label",
    "cnnzoo.Classifier(model)": r"Classifier.of\(model\)",
    "cnnzoo.load(model)": r"Classifier.of\(model\)",
    "cnnzoo.export('out', model)": "The model comes before the path",
    "cnnzoo.save('model.keras', model)": "The model comes before the path",
    "cnnzoo.card(model)['classes']": "Write .classes instead",
    "cnnzoo.card(model).labels": "Did you mean .classes",
    "cnnzoo.info('lenet5')['params']": r"Write .row.params instead",
    "cnnzoo.info('lenet5').params": r"Did you mean .row.params",
    "cnnzoo.list_models(5)": "pattern must be text",
    "cnnzoo.register(5)": "takes the name",
    "cnnzoo.recipe(epochs=1)": "recipe needs name",
    "setattr(cnnzoo.recipe('sgd'), 'epochs', 3)": r"cnnzoo.recipe\(recipe, epochs=...\)",
    "cnnzoo.models.resnet18": r"cnnzoo.get\('resnet18'\)",
    "cnnzoo.resnet18()": r"cnnzoo.get\('resnet18'\)",
    "cnnzoo.Transform('big')": "must be a whole number",
}


@pytest.mark.parametrize("code", MISTAKES)
def test_a_mistake_is_answered_by_what_to_write(names, code):
    errors = (cnnzoo.InputError, AttributeError, KeyError)  # never a bare TypeError
    with pytest.raises(errors, match=MISTAKES[code]) as caught:
        eval(code, names)
    assert not isinstance(caught.value, TypeError) or isinstance(caught.value, cnnzoo.InputError)
    assert len(str(caught.value)) < 700


def test_objects_that_explain_themselves_behave_as_before(names):
    """Metrics stay a dict, one side is a square, and fields that are set inside a class still are."""
    report = names["report"]
    assert {**report.metrics} == report.metrics
    assert isinstance(report.metrics, dict)
    assert report.metrics.get("acc") is None
    assert cnnzoo.Transform(24).size == (24, 24)
    changed = dataclasses.replace(cnnzoo.recipe("sgd"), epochs=3)
    assert changed.epochs == 3
    assert np.array([names["data"], report], dtype=object).shape == (2,)
