"""An independent recount of what the rows claim."""

import math

import cnnzoo.layers as ours


def count_multiply_adds(model):
    """Multiply-adds of one image: per output value, one for each weight that it is multiplied by."""
    total = 0
    for layer in model.layers:
        if not layer.weights:
            continue
        kernels = [v for v in layer.weights if v.name.endswith("kernel") or v.name == "centres"]
        if not kernels:
            continue  # batch norm folds into the convolution before it
        weights = sum(math.prod(kernel.shape) for kernel in kernels)
        if isinstance(layer, ours.RadialBasis):
            total += weights
        else:
            total += weights * math.prod(layer.output.shape[1:-1])
    return total
