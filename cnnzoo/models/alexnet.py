"""AlexNet: the network of 2012 and its one-column descendant (Krizhevsky 2014), which torchvision publishes."""

from dataclasses import dataclass

from cnnzoo.core.lazy import Lazy
from cnnzoo.models.variant import Variant

keras = Lazy("keras")
layers = Lazy("cnnzoo.layers")


@dataclass(frozen=True, kw_only=True)
class AlexNet(Variant):
    """Five convolutions, three max-pooled, then three dense layers."""

    filters: tuple[int, ...]  # maps of conv1 to conv5
    groups: tuple[int, ...] = (1, 1, 1, 1, 1)  # the halves that two GPUs held apart, section 3.2
    padding: int = 2  # pixels around the image
    lrn: bool = False  # local response normalisation after conv1 and conv2, section 3.3
    min_size: int = 63
    paper: str = "Krizhevsky 2014, One weird trick for parallelizing convolutional neural networks, arXiv:1404.5997"

    def features(self, x):
        """Images (B, 224, 224, C) to maps (B, 6, 6, 256)."""
        if self.padding:
            x = keras.layers.ZeroPadding2D(self.padding, name="conv1_pad")(x)
        for i, (filters, groups) in enumerate(zip(self.filters, self.groups, strict=True), 1):
            kernel_size, strides, padding = ((11, 4, "valid"), (5, 1, "same"), (3, 1, "same"))[min(i, 3) - 1]
            x = layers.conv(
                x, filters, kernel_size, strides, padding=padding, groups=groups, use_bias=True, name=f"conv{i}"
            )
            x = keras.layers.Activation("relu", name=f"relu{i}")(x)
            if self.lrn and i < 3:
                x = layers.LocalResponseNorm(name=f"norm{i}")(x)
            if i in (1, 2, 5):
                x = layers.max_pool(x, name=f"pool{i}")
        return x

    def head(self, x, classes):
        """Maps to logits (B, classes): dropout before fc6 and fc7 is dropout after pool5 and fc6."""
        x = layers.flatten(x, 6, name="flatten")
        for name in ("fc6", "fc7"):
            x = keras.layers.Dropout(0.5, name=f"{name}_drop")(x)
            x = keras.layers.Dense(4096, activation="relu", kernel_initializer="he_uniform", name=name)(x)
        return keras.layers.Dense(classes, name="fc8")(x)


VARIANTS = {
    "alexnet": AlexNet(params=61_100_840, macs=714_188_480, filters=(64, 192, 384, 256, 256)),
    "alexnet_2012": AlexNet(
        params=60_965_224,
        macs=724_406_816,
        filters=(96, 256, 384, 384, 256),
        groups=(1, 2, 1, 2, 2),
        padding=0,
        lrn=True,
        input_shape=(227, 227, 3),  # the paper says 224, which its own 55x55 maps contradict
        min_size=67,
        paper="Krizhevsky, Sutskever, Hinton 2012, ImageNet classification with deep convolutional neural networks",
    ),
}
