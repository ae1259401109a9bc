"""Calls with wrong arguments: one line with the nearest name and what to write instead."""

import copy
import inspect
import pickle

import numpy as np
import pytest

import cnnzoo
from cnnzoo.core.attributes import SuggestsAttributes
from cnnzoo.core.warn import warn_caller

SLIPS = {
    "get-clases": (lambda: cnnzoo.get("resnet18", clases=3), "get has no argument 'clases'. Did you mean classes=3?"),
    "get-timm": (lambda: cnnzoo.get("resnet18", num_classes=3), "Did you mean classes=3?"),
    "get-pretrained": (lambda: cnnzoo.get("vgg16", pretrained=True), 'weights="imagenet" loads pretrained weights; '),
    "get-position": (lambda: cnnzoo.get("vgg16", "imagenet"), "name the others, such as weights='imagenet'"),
    "get-nothing": (lambda: cnnzoo.get(), "get needs model. Received: no arguments"),
    "load_data-batchsize": (
        lambda: cnnzoo.load_data("digits", batchsize=32),
        'Batches are made later: recipe=cnnzoo.recipe("sgd", batch_size=32) for a training, or data.batches(',
    ),
    "load_data-img_size": (lambda: cnnzoo.load_data("photos", img_size=224), "Did you mean image_size=224?"),
    "load_data-position": (lambda: cnnzoo.load_data("photos", 224), "such as image_size=224"),
    "load_data-keras": (lambda: cnnzoo.load_data("photos", validation_split=0.2), "splits=(0.8, 0.1, 0.1)"),
    "fit-epoch": (
        lambda: cnnzoo.fit_and_evaluate(1, 2, epoch=3),
        "fit_and_evaluate has no argument 'epoch'. epochs is a field of the recipe: "
        'recipe=cnnzoo.recipe("sgd", epochs=3)',
    ),
    "fit-recipe": (lambda: cnnzoo.fit_and_evaluate(1, 2, recipe="mnist", lr=1), 'cnnzoo.recipe("mnist", learning_rate'),
    "fit-workers": (lambda: cnnzoo.fit_and_evaluate(1, 2, workers=4), "load_data(..., workers=4) takes it"),
    "fit-num_workers": (lambda: cnnzoo.fit_and_evaluate(1, 2, num_workers=4), "load_data(..., workers=4) sets the"),
    "load_data-num_workers": (lambda: cnnzoo.load_data("photos", num_workers=4), "Did you mean workers=4?"),
    "fit-image_size": (lambda: cnnzoo.fit_and_evaluate(1, 2, image_size=64), "load_data(..., image_size=64) takes it"),
    "fit-position": (lambda: cnnzoo.fit_and_evaluate(1, 2, "sgd"), "takes only model, data by position; name the"),
    "fine_tune-bs": (lambda: cnnzoo.fine_tune(1, 2, bs=8), 'recipe=cnnzoo.recipe("finetune", batch_size=8)'),
    "fine_tune-data": (lambda: cnnzoo.fine_tune(1), "fine_tune needs data. Received: model"),
    "lr_find-step": (lambda: cnnzoo.lr_find(1, 2, step=8), "Did you mean steps=8?"),
    "tune-optuna": (lambda: cnnzoo.tune("lenet5", 2, n_trials=8), "Did you mean trials=8?"),
    "tune-epochs": (lambda: cnnzoo.tune("lenet5", 2, epochs=8), "recipe=cnnzoo.recipe(RECIPE, epochs=8)"),
    "evaluate-position": (lambda: cnnzoo.evaluate(1, 2, "test"), "such as split='test'"),
    "Recipe-lr": (lambda: cnnzoo.Recipe(lr=0.1), "Did you mean learning_rate=0.1? cnnzoo.recipe("),
    "Recipe-missing": (lambda: cnnzoo.Recipe(epochs=3), "Recipe needs batch_size and learning_rate. Received: epochs."),
    "Transform": (lambda: cnnzoo.Transform((8, 8), crp=1), "Transform has no argument 'crp'. Did you mean crop=1?"),
    "load-fmt": (lambda: cnnzoo.load("a", foo=3), "load has no argument 'foo'. Allowed: path, runtime, "),
    "Classifier": (lambda: cnnzoo.Classifier.of(1, runtim="x"), "Classifier.of has no argument 'runtim'. Did you"),
    "predict": (lambda: cnnzoo.Classifier.predict(1, "a.jpg", topk=3), "Classifier.predict has no argument 'topk'."),
    "list_models": (lambda: cnnzoo.list_models(famly="vgg"), "Did you mean family='vgg'?"),
}
MISSING_NAMES = {
    "loaddata": "cnnzoo has no 'loaddata'. Did you mean cnnzoo.load_data?",
    "finetune": "Did you mean cnnzoo.fine_tune?",
    "fitAndEvaluate": "Did you mean cnnzoo.fit_and_evaluate?",
    "create_model": "Did you mean cnnzoo.get?",
    "train": "Did you mean cnnzoo.fit_and_evaluate?",
    "xyz": "It has Benchmark, Board, Card, ",
}


@pytest.mark.parametrize("slip", SLIPS)
def test_a_wrong_argument_gets_one_line_with_the_right_one(slip):
    call, message = SLIPS[slip]
    with pytest.raises(cnnzoo.InputError) as error:
        call()
    assert message in str(error.value)
    assert "\n" not in str(error.value)
    assert len(str(error.value)) < 300
    assert isinstance(error.value, TypeError), "what Python raises, and callers may expect"


def test_a_wrong_recipe_field_names_the_right_one():
    with pytest.raises(cnnzoo.InputError, match="Did you mean learning_rate"):
        cnnzoo.recipe("sgd", lr=0.1)


def public_functions():
    """Every public function, and the methods of public classes that take options."""
    classes = (cnnzoo.Classifier, cnnzoo.ImageData)
    functions = [function for name in cnnzoo.__all__ if inspect.isfunction(function := getattr(cnnzoo, name))]
    for kind in classes:
        for name, method in inspect.getmembers(kind, callable):
            takes_options = not name.startswith("_") and len(inspect.signature(method).parameters) > 3
            functions += [method] if takes_options else []
    return [function for function in functions if function.__name__ not in ("recipe", "resize_to")]


@pytest.mark.parametrize("function", public_functions(), ids=lambda function: function.__qualname__)
def test_every_public_function_says_which_arguments_it_has(function):
    with pytest.raises(cnnzoo.InputError, match=f"{function.__qualname__} has no argument 'qqqqqqq'. Allowed: "):
        function(qqqqqqq=1)


def test_signatures_stay_visible():
    assert list(inspect.signature(cnnzoo.get).parameters)[:3] == ["model", "weights", "classes"]
    assert list(inspect.signature(cnnzoo.Recipe).parameters)[:3] == ["epochs", "batch_size", "learning_rate"]
    assert inspect.getdoc(cnnzoo.fine_tune).startswith("Adapt a pretrained")
    assert pickle.loads(pickle.dumps(cnnzoo.fine_tune)) is cnnzoo.fine_tune


@pytest.mark.parametrize("name", MISSING_NAMES)
def test_a_missing_name_suggests_the_nearest(name):
    with pytest.raises(AttributeError) as error:
        getattr(cnnzoo, name)
    assert MISSING_NAMES[name] in str(error.value)


def test_other_names_lead_somewhere():
    from cnnzoo.core.names import OTHER_NAMES

    for target in OTHER_NAMES.values():
        assert target.partition("(")[0] in cnnzoo.__all__


def test_dunder_names_and_modules_are_missing_as_usual():
    assert not hasattr(cnnzoo, "__wrapped__")
    from cnnzoo import core

    assert core.__name__ == "cnnzoo.core"


def test_the_model_and_the_data_are_told_apart(data):
    model = cnnzoo.get("lenet5")
    with pytest.raises(cnnzoo.InputError, match=r"write cnnzoo\.load_data\('digits'\)"):
        cnnzoo.fine_tune(model, "digits")
    with pytest.raises(cnnzoo.InputError, match="the model comes first, then the data"):
        cnnzoo.evaluate(data, model)
    with pytest.raises(cnnzoo.InputError, match=r"write cnnzoo\.get\('resnet18', \.\.\.\)"):
        cnnzoo.fine_tune("resnet18", data)
    with pytest.raises(cnnzoo.InputError, match="cnnzoo.get builds a network by its name"):
        cnnzoo.load("lenet5")


def test_a_warning_names_the_line_that_called_the_package():
    with pytest.warns(UserWarning, match="rescaled already") as caught:
        cnnzoo.load_data((np.random.default_rng(0).uniform(0, 2, (30, 4, 4)), ["a", "b", "c"] * 10))
    assert {warning.filename for warning in caught} == {__file__}
    with pytest.warns(UserWarning, match="direct") as caught:
        warn_caller("direct")
    assert caught[0].filename == __file__


def test_a_missing_attribute_suggests_the_nearest(data, trained):
    classifier = cnnzoo.Classifier.of(trained.model, runtime="keras")
    slips = [
        (data, "class_names", ".classes?"),
        (data, "val", ".validation?"),
        (data, "x_train", ".train.images?"),
        (data, "show_batch", ".show?"),
        (data.train, "lables", ".labels?"),
        (trained.report, "acc", ".accuracy?"),
        (trained.report, "top_losses", ".show_mistakes?"),
        (trained.recipe, "lr", ".learning_rate?"),
        (classifier, "predict_proba", ".probabilities?"),
        (cnnzoo.Prediction(("cat",), (1.0,)), "confidence", ".probabilities?"),
    ]
    for thing, name, suggestion in slips:
        with pytest.raises(AttributeError, match=f"{type(thing).__name__} has no attribute '{name}'") as error:
            getattr(thing, name)
        assert str(error.value).endswith(f"Did you mean {suggestion}")
    with pytest.raises(AttributeError, match="ImageData has no attribute 'qqqqqqq'$"):
        data.qqqqqqq  # noqa: B018
    assert not hasattr(data, "_repr_mimebundle_")
    assert copy.deepcopy(trained.recipe) == pickle.loads(pickle.dumps(trained.recipe)) == trained.recipe


def test_an_error_inside_a_property_keeps_its_message():
    class Broken(SuggestsAttributes):
        @property
        def size(self):
            return [].shape

    with pytest.raises(AttributeError, match="'list' object has no attribute 'shape'"):
        _ = Broken().size
