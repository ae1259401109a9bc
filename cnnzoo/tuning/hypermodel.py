"""A plain HyperModel over the zoo, for people who drive Keras Tuner themselves."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import keras
import keras_tuner

from cnnzoo.build import get
from cnnzoo.core.errors import InputError
from cnnzoo.data.batches import Batches
from cnnzoo.data.images import ImageData
from cnnzoo.evaluation.compatibility import bind_to_model, check_output_matches
from cnnzoo.evaluation.evaluate import EVALUATION_BATCH_SIZE
from cnnzoo.models import Variant
from cnnzoo.training import recipes
from cnnzoo.training.prepare import compile_for_training, frozen_layers
from cnnzoo.training.recipe import Recipe
from cnnzoo.tuning import space as spaces


class ZooHyperModel(keras_tuner.HyperModel):
    """Builds a row by the values of a space, and trains it by the recipe of them; made by `hypermodel`."""

    def __init__(self, space: spaces.Space, options: Mapping[str, Any]) -> None:
        super().__init__(name=space.model if isinstance(space.model, str) else None)
        self.space, self.options = space, options

    def build(self, hp: Any) -> Any:
        """A model of `hp`'s row, compiled by `hp`'s recipe."""
        row, recipe = self.chosen(hp)
        model = get(row, **self.options)
        compile_for_training(model, recipe, 1)  # `fit` does it again, once it knows how many steps there are
        return model

    def fit(self, hp: Any, model: Any, data: ImageData, *, seed: int = 0, **options: Any) -> Any:
        """Train on the training split of `data`, from `load_data`; returns Keras' History, with validation."""
        if not isinstance(data, ImageData):
            raise InputError(
                "search takes what cnnzoo.load_data returns, such as load_data((images, labels)). "
                f"Received: {type(data).__name__}"
            )
        recipe = replace(self.chosen(hp)[1], epochs=options.get("epochs", self.chosen(hp)[1].epochs))
        check_output_matches(model, data.classes)
        data = bind_to_model(model, data)
        classes = len(data.classes)
        batches = Batches(data.train, classes, recipe.batch_size, seed, recipe.augment, balance=recipe.balance)
        order = keras.callbacks.LambdaCallback(on_epoch_begin=lambda epoch, logs: batches.set_epoch(epoch))
        with frozen_layers(model, recipe):
            compile_for_training(model, recipe, len(batches))
            return model.fit(
                batches,
                validation_data=Batches(data.validation, classes, EVALUATION_BATCH_SIZE),
                shuffle=False,
                **{
                    "verbose": 0,
                    **options,
                    "epochs": recipe.epochs,
                    "callbacks": [order, *options.get("callbacks", ())],
                },
            )

    def chosen(self, hp: Any) -> tuple[str | Variant, Recipe]:
        """The row and the recipe of `hp`, where what varies is registered."""
        return self.space.apply(self.space.decode({d.field: d.declare(hp) for d in self.space.dimensions}))


def hypermodel(
    model: str | Variant,
    *,
    space: Mapping[str, Any] | str | Path | None = None,
    recipe: str | Recipe = "sgd",
    classes: int | Sequence[str] | None = None,
    weights: Any = None,
    input_shape: Sequence[int | None] | None = None,
    image_size: int | Sequence[int] | None = None,
) -> ZooHyperModel:
    """A `keras_tuner.HyperModel` of a row and a recipe, over a space as in `tune`.

    Use it as `keras_tuner.RandomSearch(cnnzoo.hypermodel("lenet5"), "val_accuracy").search(data)`, with data from
    `load_data`. `tune` does more: trials in processes of their own, resume, and a comparison.

    Args:
        model, space, recipe: as in `tune`.
        classes, weights, input_shape, image_size: as in `get`.

    Raises:
        InputError: for what is unknown or does not fit.
    """
    made = spaces.make_space(model, recipes.resolve_recipe(recipe), space, bool(weights))
    size = {"input_shape": input_shape, "image_size": image_size}
    return ZooHyperModel(made, {"classes": classes, "weights": weights, **size})
