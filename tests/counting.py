"""An independent recount of what the rows claim."""

import math

import cnnzoo.layers as ours


def multiply_adds(model):
    """Multiply-adds of one image: per output value, one for each weight that it is multiplied by."""
    total = 0
    for layer in model.layers:
        if not layer.weights:
            continue
        kernel = [v for v in layer.weights if v.name in ("kernel", "centres")]
        if not kernel:
            continue  # batch norm folds into the convolution before it
        weights = math.prod(kernel[0].shape)
        if isinstance(layer, ours.RadialBasis):
            total += weights
        else:
            total += weights * math.prod(layer.output.shape[1:-1])
    return total
