"""A Keras Tuner HyperModel of a model and a recipe, for those who use Keras Tuner directly."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import keras
import keras_tuner

from cnnzoo.build import get
from cnnzoo.core.arguments import check_arguments
from cnnzoo.core.errors import InputError
from cnnzoo.data.batches import Batches, balanced_batch_size, evaluation_batch_size, loading_errors
from cnnzoo.data.images import ImageData
from cnnzoo.evaluation.compatibility import bind_to_model, check_output_matches
from cnnzoo.models import Variant
from cnnzoo.training import recipes
from cnnzoo.training.options import check_callbacks
from cnnzoo.training.prepare import compile_for_training, frozen_layers
from cnnzoo.training.recipe import OF_RECIPE, Recipe
from cnnzoo.tuning.space import Space, make_space


class ZooHyperModel(keras_tuner.HyperModel):
    """Builds the model that a set of values describes, and trains it by their recipe; `hypermodel` makes it."""

    def __init__(self, space: Space, options: Mapping[str, Any]) -> None:
        """Vary the fields of `space`; `options` are arguments of `get`."""
        super().__init__(name=space.model if isinstance(space.model, str) else None)
        self.space, self.options = space, options

    def build(self, hp: keras_tuner.HyperParameters) -> keras.Model:
        """Return the model of `hp`, compiled by its recipe."""
        model_or_row, recipe = self.apply(hp)
        model = get(model_or_row, **self.options)
        compile_for_training(model, recipe, 1)  # `fit` compiles again, once the number of steps is known
        return model

    def fit(
        self, hp: keras_tuner.HyperParameters, model: keras.Model, data: ImageData, *, seed: int = 0, **options: Any
    ) -> keras.callbacks.History:
        """Train on the training split of `data` and validate after each epoch.

        Args:
            hp: the values of the trial.
            model: the model that `build` returned.
            data: images, from `load_data`.
            seed: the seed of the order and the augmentation of the images.
            **options: arguments of `keras.Model.fit`, which Keras Tuner passes.

        Raises:
            InputError: if `data` does not come from `load_data` or does not fit the model.
        """
        if not isinstance(data, ImageData):
            raise InputError(
                "search takes what cnnzoo.load_data returns, such as load_data((images, labels)). "
                f"Received: {type(data).__name__}"
            )
        _, recipe = self.apply(hp)
        recipe = replace(recipe, epochs=options.get("epochs", recipe.epochs))
        check_output_matches(model, data.classes)
        data = bind_to_model(model, data)
        classes = len(data.classes)
        batches = Batches(data.train, classes, recipe.batch_size, seed, recipe.augment, balance=recipe.balance)
        new_order = keras.callbacks.LambdaCallback(on_epoch_begin=lambda epoch, logs: batches.set_epoch(epoch))
        check_callbacks(options.get("callbacks", ()))
        callbacks = [new_order, *options.get("callbacks", ())]
        size = balanced_batch_size(len(data.validation), evaluation_batch_size(data.validation.images.shape))
        validation_batches = Batches(data.validation, classes, size, pad=1)
        with frozen_layers(model, recipe), loading_errors(batches, validation_batches):
            compile_for_training(model, recipe, len(batches))
            return model.fit(
                batches,
                validation_data=validation_batches,
                shuffle=False,
                **{"verbose": 0, **options, "epochs": recipe.epochs, "callbacks": callbacks},
            )

    def apply(self, hp: keras_tuner.HyperParameters) -> tuple[str | Variant, Recipe]:
        """Register the varied fields with `hp`; return the model and the recipe of the values that it holds."""
        values = {dimension.field: dimension.declare(hp) for dimension in self.space.dimensions}
        return self.space.apply(self.space.decode(values))


@check_arguments(OF_RECIPE)
def hypermodel(
    model: str | Variant,
    *,
    space: Mapping[str, Any] | str | Path | None = None,
    recipe: str | Recipe = "sgd",
    classes: int | Sequence[str] | None = None,
    weights: str | Path | None = None,
    image_size: int | Sequence[int] | None = None,
    input_shape: Sequence[int | None] | None = None,
) -> ZooHyperModel:
    """Return a `keras_tuner.HyperModel` of a model and a recipe, over a search space as in `tune`.

    Use it with Keras Tuner's own tuners. `tune` does more: it runs each trial in a process of its own, resumes, and
    compares the best recipe with the default.

    Args:
        model: a name of `list_models`, or a row (`Variant`).
        space: the fields that vary and their values, as in `tune`.
        recipe: the default recipe: a name, a TOML file or a `Recipe`.
        classes: the number of classes, or their names, as in `get`.
        weights: as in `get`.
        image_size: one number, or height and width, as in `get`.
        input_shape: Keras' triple (height, width, channels), as in `get`; instead of `image_size`.

    Returns:
        The hypermodel, whose tuners take data from `load_data`: `tuner.search(data)`.

    Raises:
        InputError: if a name is unknown, or a field or value of the space is invalid.

    Example:
        >>> import keras_tuner
        >>> space = {"learning_rate": {"low": 0.01, "high": 0.1, "log": True}, "augment": ["none", "shift"]}
        >>> lenets = cnnzoo.hypermodel("lenet5", classes=10, space=space)
        >>> model = lenets.build(keras_tuner.HyperParameters())
        >>> model.output_shape
        (None, 10)
        >>> tuner = keras_tuner.RandomSearch(lenets, "val_accuracy", max_trials=2, directory="search")
        >>> tuner.search(cnnzoo.load_data("digits"))  # doctest: +SKIP
    """
    search_space = make_space(model, recipes.resolve_recipe(recipe), space, bool(weights))
    options = {"classes": classes, "weights": weights, "image_size": image_size, "input_shape": input_shape}
    return ZooHyperModel(search_space, options)
