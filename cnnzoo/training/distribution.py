"""Train one model on several devices: each processes its share of every batch, and all get the same results.

The numbers are those of one device, up to rounding: batch norms normalize by the statistics of the whole batch, dropout
draws one mask for it, and gradients are summed before they are clipped.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import keras
import numpy as np

from cnnzoo.core.errors import ConnectionLostError, InputError
from cnnzoo.core.processes import count_processes, share_arrays
from cnnzoo.surgery.walk import all_layers
from cnnzoo.training.devices import resolve_devices


@contextmanager
def replicate(model: keras.Model, devices: str | Sequence[str] | None) -> Iterator[keras.Model]:
    """Yield the model to train within the block: `model` itself, or a copy that is mirrored on several devices.

    The copy's variables are transferred to `model` when the block ends. On JAX, everything that Keras creates within
    the block belongs to these devices; afterwards, new objects have the distribution of before.

    Args:
        model: a functional model.
        devices: None, "auto" for all local devices, or their names; see `resolve_devices`.

    Raises:
        InputError: if a device does not exist, or if the backend is neither TensorFlow nor JAX.
    """
    names = resolve_devices(devices)
    if not names:
        yield model
        return
    with _enter_devices(names):
        copy = keras.models.clone_model(model, clone_function=_clone_layer, recursive=True)
        _copy_variables(model, copy)
        for layer, original in zip(all_layers(copy), all_layers(model), strict=True):
            if not isinstance(layer, keras.Model):  # its layers follow
                layer.trainable = original.trainable
        try:
            yield copy
        except ConnectionLostError:
            raise  # the variables may never be computed
        except BaseException:
            _transfer(copy, model)
            raise
        _transfer(copy, model)


def _transfer(copy: keras.Model, model: keras.Model) -> None:
    """Give `model` the variables of its copy, which has been trained."""
    if hasattr(copy, "jax_state_sync"):
        copy.jax_state_sync()
    _copy_variables(copy, model)


def _enter_devices(names: Sequence[str]) -> Any:
    """Return the context manager in which Keras creates the variables of a model on several devices."""
    if keras.backend.backend() == "jax":
        devices = [name.lower() for name in names]
        return keras.distribution.DataParallel(devices=devices, auto_shard_dataset=False).scope()
    import tensorflow as tf

    if names[0].startswith("CPU"):
        # The default, collective operations, ends in an error if a process trains on two devices and then on four.
        return tf.distribute.MirroredStrategy(list(names), tf.distribute.ReductionToOneDevice()).scope()
    return tf.distribute.MirroredStrategy(list(names)).scope()


def check_distribution() -> None:
    """Raise InputError if the caller has set a distribution of Keras, under which not every batch can be shared."""
    if keras.backend.backend() == "jax" and keras.distribution.distribution() is not None:
        raise InputError(
            "A distribution is set with keras.distribution.set_distribution. Remove it before the model is built, "
            'keras.distribution.set_distribution(None), and pass devices="auto" or their names'
        )


def _clone_layer(layer: keras.Layer) -> keras.Layer:
    """Return a new layer like `layer` that computes over the whole batch, also where each device has a share of it.

    JAX does so in any case; with TensorFlow, every replica runs a program of its own.
    """
    config, kind = layer.get_config(), type(layer)
    if keras.backend.backend() == "tensorflow":
        if isinstance(layer, keras.layers.BatchNormalization):
            config["synchronized"] = True
        if kind is keras.layers.Dropout and layer.noise_shape is None:
            kind = SharedDropout
    return kind.from_config(config)


class SharedDropout(keras.layers.Dropout):
    """Dropout that draws one mask for the whole batch, of which each replica of TensorFlow takes its rows.

    Keras' own would draw the same mask on every replica. All replicas must have equally many rows.
    """

    def call(self, inputs: Any, training: bool = False) -> Any:
        """Set a share `rate` of the inputs to 0 and scale up the others; see Keras."""
        import tensorflow as tf

        replica = tf.distribute.get_replica_context()
        if not training or self.rate == 0 or replica is None or replica.num_replicas_in_sync == 1:
            return super().call(inputs, training=training)
        rows = tf.shape(inputs)[0]
        ones = tf.ones((replica.num_replicas_in_sync * rows, *inputs.shape[1:]), inputs.dtype)
        mask = keras.random.dropout(ones, self.rate, seed=self.seed_generator)
        first = replica.replica_id_in_sync_group * rows
        return inputs * mask[first : first + rows]


def _copy_variables(source: keras.Model, target: keras.Model) -> None:
    """Give `target` the weights of `source`, and the states of its random generators."""
    for variable, value in zip(_list_variables(target), _list_variables(source), strict=True):
        assign_value(variable, keras.ops.convert_to_numpy(value))


def assign_value(variable: Any, value: np.ndarray) -> None:
    """Give a variable a value, which is the same in all processes, whether all of them do so or this one alone.

    Keras' own `assign` of an array lets JAX compare it among the processes: a collective operation for each variable.
    """
    sharding = getattr(variable.value, "sharding", None)
    if sharding is None or sharding.is_fully_addressable:
        variable.assign(value)
        return
    import jax

    value = np.asarray(value, variable.value.dtype)
    variable.assign(jax.make_array_from_callback(value.shape, sharding, lambda index: value[index]))


def assign_weights(model: keras.Model, weights: Sequence[np.ndarray]) -> None:
    """Give a model its weights, in the order of `model.weights`, as `assign_value` does."""
    for variable, value in zip(model.weights, weights, strict=True):
        assign_value(variable, value)


def share_weights(model: keras.Model) -> None:
    """Give the model of all processes the variables of rank 0."""
    if count_processes() > 1:
        variables = _list_variables(model)
        values = [keras.ops.convert_to_numpy(variable) for variable in variables]
        for variable, value in zip(variables, share_arrays(values), strict=True):
            variable.assign(value)


def _list_variables(model: keras.Model) -> list[Any]:
    """Return the variables of all layers: weights and states of random generators."""
    variables = {id(v): v for layer in all_layers(model) for v in layer.variables}
    return list(variables.values())


def is_mirrored(model: keras.Model) -> bool:
    """Return whether the model is one of TensorFlow on several devices."""
    strategy = getattr(model, "distribute_strategy", None)
    return strategy is not None and strategy.num_replicas_in_sync > 1


def share_of_batch(model: keras.Model, batch: Any) -> Any:
    """Return what `model.train_on_batch` has to be given for `batch` to be processed once.

    Keras gives a single batch to every replica of TensorFlow, instead of a share of it.
    """
    if not is_mirrored(model):
        return batch
    count = model.distribute_strategy.num_replicas_in_sync
    return keras.tree.map_structure(lambda values: values[: max(len(values) // count, 1)], batch)


# Metrics: with TensorFlow every replica has values of its own, whose sum is the metric


def read_metric(variable: keras.Variable) -> np.ndarray:
    """Return the value of a metric's variable; with one more axis for the replicas, if there are several."""
    parts = _list_replicas(variable)
    return np.asarray(variable) if len(parts) == 1 else np.stack([part.numpy() for part in parts])


def restore_metric(variable: keras.Variable, value: np.ndarray) -> None:
    """Give a metric's variable the value that `read_metric` has returned, perhaps for another number of devices."""
    if value.ndim == len(variable.shape):
        assign_value(variable, value)
        return
    parts = _list_replicas(variable)
    if len(parts) != len(value):
        assign_value(variable, value.sum(axis=0))
        return
    for part, own in zip(parts, value, strict=True):
        part.assign(own)


def _list_replicas(variable: keras.Variable) -> Sequence[Any]:
    """Return the variables of the replicas that `variable` consists of; itself if there is one device."""
    strategy = getattr(variable.value, "distribute_strategy", None)
    results: Sequence[Any] = (variable,) if strategy is None else strategy.experimental_local_results(variable.value)
    return results
