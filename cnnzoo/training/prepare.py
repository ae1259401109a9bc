"""Prepare a model for training by a recipe, and compile it for saving afterwards."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import keras

from cnnzoo.surgery.features import group_layers_by_stage
from cnnzoo.surgery.outputs import has_softmax_output, without_aux_heads
from cnnzoo.surgery.walk import all_layers
from cnnzoo.training.distribution import is_mirrored
from cnnzoo.training.optimizer import make_optimizer
from cnnzoo.training.recipe import Recipe


def make_reproducible(seed: int, deterministic: bool = True) -> None:
    """Seed Python, NumPy and Keras, and make TensorFlow use deterministic operations.

    Deterministic operations, also those of tf.data, compute the same bits each time. The choice cannot be undone
    within the process.

    Args:
        seed: the seed, from 0 on.
        deterministic: whether to use deterministic operations; it has an effect on TensorFlow only.

    Example:
        >>> from cnnzoo.training.prepare import make_reproducible
        >>> make_reproducible(0)
        >>> model = cnnzoo.get("lenet5")  # its initial weights depend on the seed
    """
    keras.utils.set_random_seed(seed)
    if deterministic and keras.backend.backend() == "tensorflow":
        import tensorflow as tf

        tf.config.experimental.enable_op_determinism()


def compile_for_training(model: keras.Model, recipe: Recipe, steps_per_epoch: int) -> None:
    """Compile `model` with the recipe's optimizer and loss; auxiliary heads count by `aux_weight`."""
    optimizer, loss = make_optimizer(model, recipe, steps_per_epoch), _make_loss(model, recipe)
    accuracy = [UnweightedAccuracy(name="accuracy")]
    jit = False if is_mirrored(model) else "auto"  # XLA would compile all replicas for one device
    if not isinstance(model.output, dict):
        model.compile(optimizer, loss, weighted_metrics=accuracy, jit_compile=jit)
        return
    loss_weights = {name: 1.0 if name == "logits" else float(recipe.aux_weight) for name in model.output}
    losses = dict.fromkeys(loss_weights, loss)
    metrics = {"logits": accuracy}
    model.compile(optimizer, losses, loss_weights=loss_weights, weighted_metrics=metrics, jit_compile=jit)


class UnweightedAccuracy(keras.metrics.CategoricalAccuracy):
    """The share of images whose likeliest class is right; images of weight 0 do not count, all others count the same.

    The last batch of an evaluation is completed with black images of weight 0, so that all batches have one shape.
    """

    def update_state(self, y_true: Any, y_pred: Any, sample_weight: Any = None) -> None:
        """Count the images of a batch: one-hot labels and outputs (B, classes), and weights (B,)."""
        if sample_weight is not None:
            sample_weight = keras.ops.cast(keras.ops.greater(sample_weight, 0), self.dtype)
        super().update_state(y_true, y_pred, sample_weight)


def _make_loss(model: keras.Model, recipe: Recipe) -> Any:
    """Return the recipe's loss of one-hot labels and outputs, both (B, classes)."""
    cross_entropy = keras.losses.CategoricalCrossentropy(
        from_logits=not has_softmax_output(model), label_smoothing=recipe.label_smoothing
    )
    if recipe.rubbish is None:
        return cross_entropy
    rubbish_logit = -float(recipe.rubbish)

    def with_rubbish_class(y_true: Any, logits: Any) -> Any:
        """Equation 9 of LeCun et al. 1998: cross-entropy with one class more, whose logit is constant."""
        ops = keras.ops
        never, constant = ops.zeros_like(logits[:, :1]), ops.full_like(logits[:, :1], rubbish_logit)
        return cross_entropy(ops.concatenate([y_true, never], axis=-1), ops.concatenate([logits, constant], axis=-1))

    return with_rubbish_class


def recompile_for_saving(model: keras.Model) -> None:
    """Compile `model` with Keras' own optimizer, loss and metrics, so that its file loads without cnnzoo."""
    cross_entropy = keras.losses.CategoricalCrossentropy(from_logits=not has_softmax_output(model))
    if isinstance(model.output, dict):
        losses = dict.fromkeys(model.output, cross_entropy)
        model.compile("sgd", losses, metrics={"logits": ["accuracy"]})
    else:
        model.compile("sgd", cross_entropy, metrics=["accuracy"])


def strip_for_saving(model: keras.Model) -> keras.Model:
    """Return the model as it is saved: without auxiliary heads, compiled with Keras' own parts."""
    stripped = without_aux_heads(model)
    if stripped is not model:
        recompile_for_saving(stripped)
    return stripped


@contextmanager
def frozen_layers(model: keras.Model, recipe: Recipe) -> Iterator[None]:
    """Freeze the layers that the recipe does not train within the block: early stages, frozen batch norms."""
    stages = group_layers_by_stage(model)
    early_stages = [] if recipe.stages is None else stages[: max(len(stages) - 1 - recipe.stages, 0)]
    frozen = [layer for stage in early_stages for layer in stage]
    if recipe.bn == "frozen":
        frozen += [layer for layer in all_layers(model) if isinstance(layer, keras.layers.BatchNormalization)]
    before = [(layer, layer.trainable) for layer in frozen]
    try:
        for layer in frozen:
            layer.trainable = False
        yield
    finally:
        for layer, trainable in before:
            layer.trainable = trainable


@contextmanager
def batch_norm_momentum(model: keras.Model, momentum: float | None) -> Iterator[None]:
    """Give the batch norms of `model` another momentum of their statistics within the block; None changes nothing."""
    layers = [layer for layer in all_layers(model) if isinstance(layer, keras.layers.BatchNormalization)]
    before = [layer.momentum for layer in layers]
    try:
        for layer in layers:
            layer.momentum = layer.momentum if momentum is None else momentum
        yield
    finally:
        for layer, old_momentum in zip(layers, before, strict=True):
            layer.momentum = old_momentum
