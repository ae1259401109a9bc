"""Check that the weights of a model are numbers that a network can compute with."""

from __future__ import annotations

import hashlib
import math
from typing import TYPE_CHECKING

import numpy as np

from cnnzoo.core.errors import InputError
from cnnzoo.core.lazy import Lazy

if TYPE_CHECKING:
    import keras
else:
    keras = Lazy("keras")

MAX_SHOWN = 5  # names of variables in a message
STATISTICS = ("moving_mean", "moving_variance")  # of batch norms, which are no parameters


def count_model_parameters(model: keras.Model) -> int:
    """Return the number of parameters of a model, also of frozen layers, as papers count them.

    Example:
        >>> from cnnzoo.surgery.weights import count_model_parameters
        >>> count_model_parameters(cnnzoo.get("lenet5"))
        61706
    """
    counted = (weight for weight in model.weights if weight.name not in STATISTICS)
    return sum(math.prod(weight.shape) for weight in counted)


def hash_weights(model: keras.Model) -> str:
    """Return the SHA-256 of all weights of a model, in their order."""
    digest = hashlib.sha256()
    for weight in model.get_weights():
        digest.update(np.ascontiguousarray(weight).data)
    return digest.hexdigest()


def check_weights(model: keras.Model, name: str, remedy: str) -> None:
    """Check that all weights of a model are finite, and that not all of them are zero.

    Args:
        model: a Keras model.
        name: what the model is for the message of an error, such as the path of its file.
        remedy: what to do about it, which ends the message.

    Raises:
        InputError: if a weight is NaN or infinite, or if every weight is zero.
    """
    unusable, any_nonzero, any_kernel = list[str](), False, False
    for variable in model.weights:
        values = np.asarray(keras.ops.convert_to_numpy(variable))
        if values.dtype.kind in "iub":  # counters, and the seeds of random layers
            continue
        if values.dtype.itemsize < 4:  # float16, and bfloat16, which is no type of NumPy's own
            values = values.astype("float32")
        if not np.isfinite(values).all():
            counts = {"NaN": np.isnan(values).sum(), "infinite": np.isinf(values).sum()}
            kinds = " and ".join(f"{count:,} {kind}" for kind, count in counts.items() if count)
            unusable.append(f"{variable.path} ({kinds} of {values.size:,})")
        any_kernel |= values.ndim > 1
        any_nonzero = any_nonzero or bool(values.any())
    if unusable:
        more = f" and {len(unusable) - MAX_SHOWN:,} more" if len(unusable) > MAX_SHOWN else ""
        raise InputError(f"{name} has weights that are no numbers: {', '.join(unusable[:MAX_SHOWN])}{more}; {remedy}")
    if any_kernel and not any_nonzero:
        raise InputError(f"{name} is damaged: each of its weights is 0; {remedy}")
