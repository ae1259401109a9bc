"""Gradients on every backend of Keras, which has no function of its own for them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from cnnzoo.core.lazy import Lazy

if TYPE_CHECKING:
    import keras
else:
    keras = Lazy("keras")

# From a point and other tensors to the value to differentiate, a number, and to other results
Function = Callable[..., tuple[Any, Sequence[Any]]]
Differentiator = Callable[..., tuple[np.ndarray, list[np.ndarray]]]


def make_forward(function: Callable[..., Any], model: keras.Model) -> Callable[[np.ndarray], list[np.ndarray]]:
    """Return a compiled function from an array to arrays, for a function of tensors that needs no derivative.

    Args:
        function: takes a tensor; returns several.
        model: the model whose variables it uses.
    """
    backend = keras.backend.backend()
    if backend == "jax":
        import jax

        variables = model.variables

        def evaluate(values: Any, images: Any) -> Any:
            with keras.StatelessScope(state_mapping=list(zip(variables, values, strict=True))):
                return function(images)

        jitted = jax.jit(evaluate)
        return lambda array: list(map(np.asarray, jitted([variable.value for variable in variables], array)))
    if backend == "torch":
        import torch

        def run(array: np.ndarray) -> list[np.ndarray]:
            with torch.no_grad():
                return [keras.ops.convert_to_numpy(x) for x in function(keras.ops.convert_to_tensor(array))]

        return run
    import tensorflow as tf

    program = tf.function(function, autograph=False, reduce_retracing=True)
    return lambda array: [tensor.numpy() for tensor in program(tf.convert_to_tensor(array))]


def make_differentiator(function: Function, model: keras.Model, compiled: bool = True) -> Differentiator:
    """Return a function of arrays that computes the derivative of `function` by its first argument.

    The function takes the same arguments as `function`, as arrays, and returns the derivative and the other results.

    Args:
        function: takes a point and other tensors; returns a number, and other results.
        model: the model whose variables `function` uses.
        compiled: compile on TensorFlow, which takes seconds. Without that, a convolution between the point and the
            value also computes the gradient of its kernel, which takes long, and has crashed in oneDNN.
    """
    if keras.backend.backend() == "jax":
        return _with_jax(function, model)
    return _with_torch(function, model) if keras.backend.backend() == "torch" else _with_tensorflow(function, compiled)


def _with_tensorflow(function: Function, compiled: bool) -> Differentiator:
    import tensorflow as tf

    def evaluate(point: Any, *tensors: Any) -> tuple[Any, Sequence[Any]]:
        # Only what follows from the point is recorded, so the layers before it cost a forward pass and no memory
        with tf.GradientTape(watch_accessed_variables=False) as tape:
            tape.watch(point)
            value, results = function(point, *tensors)
        return tape.gradient(value, point, unconnected_gradients=tf.UnconnectedGradients.ZERO), results

    program = tf.function(evaluate, autograph=False, reduce_retracing=True) if compiled else evaluate

    def differentiate(*arrays: np.ndarray) -> tuple[np.ndarray, list[np.ndarray]]:
        gradient, results = program(*map(tf.convert_to_tensor, arrays))
        return gradient.numpy(), [result.numpy() for result in results]

    return differentiate


def _with_jax(function: Function, model: keras.Model) -> Differentiator:
    import jax

    variables = model.variables

    def evaluate(point: Any, values: Any, *arrays: Any) -> Any:
        with keras.StatelessScope(state_mapping=list(zip(variables, values, strict=True))):
            return function(point, *arrays)

    program = jax.jit(jax.value_and_grad(evaluate, has_aux=True))

    def differentiate(point: np.ndarray, *arrays: np.ndarray) -> tuple[np.ndarray, list[np.ndarray]]:
        (_, results), gradient = program(point, [variable.value for variable in variables], *arrays)
        return np.asarray(gradient), [np.asarray(result) for result in results]

    return differentiate


def _with_torch(function: Function, model: keras.Model) -> Differentiator:
    import torch

    variables = model.variables

    def differentiate(point: np.ndarray, *arrays: np.ndarray) -> tuple[np.ndarray, list[np.ndarray]]:
        tensor = keras.ops.convert_to_tensor(point).requires_grad_(True)
        others = map(keras.ops.convert_to_tensor, arrays)
        # Detached weights, so that torch records only what follows from the point
        weights = [(variable, variable.value.detach()) for variable in variables]
        with torch.enable_grad(), keras.StatelessScope(state_mapping=weights):
            value, results = function(tensor, *others)
            # A value that does not depend on the point has no gradient: it is zero, as on the other backends
            gradient = torch.autograd.grad(value, tensor, allow_unused=True)[0] if value.requires_grad else None
        gradient = torch.zeros_like(tensor) if gradient is None else gradient
        return keras.ops.convert_to_numpy(gradient), [keras.ops.convert_to_numpy(result) for result in results]

    return differentiate
