"""Residual networks (He, Zhang, Ren, Sun 2015)."""

from dataclasses import dataclass

from cnnzoo.lazy import Lazy
from cnnzoo.models.variant import Variant

keras = Lazy("keras")
layers = Lazy("cnnzoo.layers")


@dataclass(frozen=True, kw_only=True)
class ResNet(Variant):
    """A stem, stages of residual blocks that halve the maps, a pooled head."""

    depths: tuple[int, ...]  # residual blocks in each stage
    width: int = 16  # filters of the stem and of the first stage; each later stage doubles them

    input_shape: tuple[int, int, int] = (32, 32, 3)
    classes: int = 10
    min_size: int = 4
    paper: str = "He et al. 2015, Deep residual learning for image recognition, arXiv:1512.03385"

    def features(self, x):
        """Images (B, H, W, C) to maps (B, ceil(H/4), ceil(W/4), 64): section 4.2's networks for CIFAR."""
        x = layers.conv_bn(x, self.width, 3, name="conv1", bn="bn1")
        for stage, depth in enumerate(self.depths):
            for i in range(depth):
                strides = 2 if stage > 0 and i == 0 else 1
                x = self.block(x, self.width * 2**stage, strides, f"layer{stage + 1}_{i}")
        return x

    def block(self, x, filters, strides, name):
        """Two 3x3 convolutions around the shortcut."""
        y = layers.conv_bn(x, filters, 3, strides, name=f"{name}_conv1", bn=f"{name}_bn1")
        y = layers.conv_bn(y, filters, 3, name=f"{name}_conv2", bn=f"{name}_bn2", activation=None)
        y = keras.layers.Add(name=f"{name}_add")([y, self.shortcut(x, filters, strides, name)])
        return keras.layers.Activation("relu", name=f"{name}_relu")(y)

    def shortcut(self, x, filters, strides, name):
        """The identity; where the shape changes, every second pixel between zero maps (option A, no parameters)."""
        if x.shape[-1] == filters:
            return x
        x = keras.layers.AveragePooling2D(1, strides, name=f"{name}_shortcut")(x)
        # Told that channels come first, the layer pads the last axis: channels here, split evenly on both sides.
        zeros = (filters - x.shape[-1]) // 2
        pad = keras.layers.ZeroPadding2D(
            ((0, 0), (zeros, zeros)), data_format="channels_first", name=f"{name}_shortcut_pad"
        )
        return pad(x)

    def head(self, x, classes):
        """Maps (B, H, W, 64) to logits (B, classes)."""
        x = keras.layers.GlobalAveragePooling2D(name="avgpool")(x)
        return keras.layers.Dense(classes, name="fc")(x)


VARIANTS = {
    "resnet20": ResNet(depths=(3, 3, 3), params=269_722, macs=40_551_040),
}
