"""A Keras model as a program for the default device: uint8 in, computed in the background, few shapes to compile."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from typing import TYPE_CHECKING, Any

import numpy as np

from cnnzoo.core.compilation import use_compilation_cache
from cnnzoo.core.lazy import Lazy
from cnnzoo.runtimes.network import make_probability_function
from cnnzoo.surgery.accelerator import device_batch_size, has_accelerator

if TYPE_CHECKING:
    import keras

    from cnnzoo.runtimes.base import RunFunction
else:
    keras = Lazy("keras")

PADDING_LIMIT = 8  # a batch is completed to a size that is compiled already, unless that is so many times larger


class ModelProgram:
    """A function from images (N, height, width, channels) to float32 probabilities (N, classes).

    Uint8 images are transferred as they are and converted on the device. A program is compiled for each type of images
    and, on JAX, for each size of batches.

    Attributes:
        batch_size: the size of batches that suits the accelerator; None on a processor, which takes any size.
    """

    def __init__(self, model: keras.Model, precision: str = "float32") -> None:
        """Prepare a model; nothing is compiled yet.

        Args:
            model: a Keras classifier with an input of a fixed size.
            precision: "float32", or "bfloat16" or "float16" for mixed precision: layers compute in 16 bits, and the
                weights, the pixels and the logits stay float32.
        """
        use_compilation_cache()
        self.model, self.precision = model, precision
        self.is_on_accelerator = has_accelerator()
        self.batch_size = device_batch_size(model, precision)
        self.on_jax = keras.backend.backend() == "jax"
        self.programs: dict[tuple[int | None, str], Callable[[np.ndarray], Any]] = {}

    def __call__(self, images: np.ndarray) -> np.ndarray:
        """Return the probabilities of images; on an accelerator, in batches of `batch_size`."""
        size = self.batch_size or len(images)
        if len(images) <= size:
            return self.start(images)()
        finishes = [self.start(images[i : i + size], size) for i in range(0, len(images), size)]
        return np.concatenate([finish() for finish in finishes])

    def start(self, images: np.ndarray, size: int | None = None) -> Callable[[], np.ndarray]:
        """Begin to compute; return a function that waits for the probabilities and returns them.

        Args:
            images: a batch. It must not change until the result has been returned.
            size: the size of the batches before this one, to which it is completed.
        """
        count, dtype = len(images), "uint8" if images.dtype == np.uint8 else "float32"
        images = images.astype(dtype, copy=False)
        padding = self._padded_size(count, dtype, size) - count
        if padding:
            images = np.concatenate([images, np.zeros((padding, *images.shape[1:]), dtype)])
        key = len(images) if self.on_jax or self.is_on_accelerator else None, dtype
        if key not in self.programs:
            with self._precision_of_layers():
                self.programs[key] = self._compile(images)
        scores = self.programs[key](images)
        return lambda: np.asarray(scores)[:count]

    def _padded_size(self, count: int, dtype: str, size: int | None) -> int:
        """Return the size to which a batch of `count` images is completed with black ones."""
        if not (self.on_jax or self.is_on_accelerator):  # a program takes any size
            return count
        if size is not None:
            return max(size, count)
        if not self.is_on_accelerator:  # computing for nothing takes time there
            return count
        compiled = [n for n, kind in self.programs if n and kind == dtype and count <= n <= PADDING_LIMIT * count]
        return min(compiled, default=1 << (count - 1).bit_length())

    def _precision_of_layers(self) -> AbstractContextManager[None]:
        """Return a context in which the model's layers are traced in the precision of the program."""
        from cnnzoo.surgery.precision import mixed_precision

        return nullcontext() if self.precision == "float32" else mixed_precision(self.model, self.precision)

    def _compile(self, images: np.ndarray) -> Callable[[np.ndarray], Any]:
        """Return the model compiled for images of this type and, on JAX, of this shape."""
        network = make_probability_function(self.model)
        if self.on_jax:
            return self._compile_for_jax(network, images)
        import tensorflow as tf

        spec = tf.TensorSpec((None, *images.shape[1:]), images.dtype)
        graph: Callable[[np.ndarray], Any] = tf.function(network, input_signature=[spec]).get_concrete_function()
        return lambda images: graph(tf.convert_to_tensor(images))

    def _compile_for_jax(self, network: Callable[[Any], Any], images: np.ndarray) -> Callable[[np.ndarray], Any]:
        import jax

        variables = self.model.variables

        def classify(values: list[Any], images: Any) -> Any:
            with keras.StatelessScope(state_mapping=list(zip(variables, values, strict=True))):
                return network(images)

        def current_values() -> list[Any]:
            return [variable.value for variable in variables]

        program = jax.jit(classify).lower(current_values(), images).compile()
        return lambda images: program(current_values(), jax.device_put(images))


def start(run: RunFunction, images: np.ndarray, size: int | None = None) -> Callable[[], np.ndarray]:
    """Begin to compute a batch; return a function that returns its probabilities. See `ModelProgram.start`.

    Runtimes other than Keras compute at once.
    """
    if isinstance(run, ModelProgram):
        return run.start(images, size)
    scores = run(images)
    return lambda: scores
