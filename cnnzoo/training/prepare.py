"""A model made ready for training by a recipe: what trains, by which optimizer and loss; and made plain again."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import keras

from cnnzoo.surgery import walk
from cnnzoo.surgery.features import group_layers_by_stage
from cnnzoo.surgery.outputs import has_softmax_output, without_aux_heads
from cnnzoo.training.optimizer import make_optimizer
from cnnzoo.training.recipe import Recipe


def compile_for_training(model: Any, recipe: Recipe, steps_per_epoch: int) -> None:
    """Give `model` the recipe's optimizer and loss."""
    entropy = keras.losses.CategoricalCrossentropy(
        from_logits=not has_softmax_output(model), label_smoothing=recipe.label_smoothing
    )

    def with_rubbish(y_true, logits):
        """Equation 9 of LeCun et al. 1998: cross-entropy that also competes with a constant logit -j."""
        ops = keras.ops
        none, minus_j = ops.zeros_like(logits[:, :1]), ops.full_like(logits[:, :1], -(recipe.rubbish or 0.0))
        return entropy(ops.concatenate([y_true, none], axis=-1), ops.concatenate([logits, minus_j], axis=-1))

    loss = entropy if recipe.rubbish is None else with_rubbish
    made = make_optimizer(model, recipe, steps_per_epoch)
    accuracy = [keras.metrics.CategoricalAccuracy(name="accuracy")]
    if not isinstance(model.output, dict):
        model.compile(made, loss, metrics=accuracy)
        return
    shares = {name: 1.0 if name == "logits" else recipe.aux_weight for name in model.output}
    model.compile(made, dict.fromkeys(shares, loss), loss_weights=shares, metrics={"logits": accuracy})


def recompile_for_saving(model: Any) -> None:
    """Leave `model` compiled with Keras' own, so that it can be evaluated, and saved to a file that loads anywhere."""
    entropy = keras.losses.CategoricalCrossentropy(from_logits=not has_softmax_output(model))
    if isinstance(model.output, dict):
        model.compile("sgd", dict.fromkeys(model.output, entropy), metrics={"logits": ["accuracy"]})
    else:
        model.compile("sgd", entropy, metrics=["accuracy"])


def strip_for_saving(model: Any) -> Any:
    """The model as it is saved: without auxiliary heads, compiled with Keras' own."""
    if (plain := without_aux_heads(model)) is not model:
        recompile_for_saving(plain)
    return plain


@contextmanager
def frozen_layers(model: Any, recipe: Recipe) -> Iterator[None]:
    """Layers that the recipe leaves alone do not train within the block: early stages, frozen batch norms."""
    groups = group_layers_by_stage(model)
    early = [] if recipe.stages is None else groups[: max(len(groups) - 1 - recipe.stages, 0)]
    still = [layer for group in early for layer in group]
    if recipe.bn == "frozen":
        still += [layer for layer in walk.all_layers(model) if isinstance(layer, keras.layers.BatchNormalization)]
    before = [(layer, layer.trainable) for layer in still]
    try:
        for layer in still:
            layer.trainable = False
        yield
    finally:
        for layer, trainable in before:
            layer.trainable = trainable


def make_reproducible(seed: int, deterministic: bool = True) -> None:
    """Seed Python, numpy and Keras; on TensorFlow, choose operations, tf.data's too, that give the same bits each time.

    That choice stays for the process.
    """
    keras.utils.set_random_seed(seed)
    if deterministic and keras.backend.backend() == "tensorflow":
        import tensorflow as tf

        tf.config.experimental.enable_op_determinism()
