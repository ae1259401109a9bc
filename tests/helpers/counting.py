"""An independent count of the multiply-adds that the rows state."""

import math

import cnnzoo.layers as ours


def count_multiply_adds(model):
    """Return the multiply-adds for one image: per output value, one for each weight that it depends on."""
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
