"""Make the golden files: the logits of reference implementations for generated weights and images.

    python tests/golden/make.py [NAME...]

makes the missing files, or those named. It needs torch, torchvision, timm, pytorchcv, keras and jax. "make.py tf2cv"
makes those of tf2cv, and needs tensorflow, tf_keras, tf2cv and cnnzoo. Each file holds the names and shapes of a
checkpoint's tensors, and every fifteenth logit of two images at each size. draw.py generates weights and images, and
tests/test_golden.py compares the logits.
"""

import os
import sys
import tempfile
from pathlib import Path

os.environ.setdefault("KERAS_BACKEND", "jax")

import h5py
import numpy as np
from draw import images, weights

HERE = Path(__file__).parent
TORCHVISION = """
alexnet vgg11 vgg11_bn vgg13 vgg13_bn vgg16 vgg16_bn vgg19 vgg19_bn resnet18 resnet34 resnet50
resnet101 resnet152 resnext50_32x4d resnext101_32x8d resnext101_64x4d wide_resnet50_2
wide_resnet101_2 googlenet inception_v3
"""
TIMM = """
vgg11 vgg11_bn vgg16 vgg19_bn resnet18 resnet50 resnet200 resnet18d resnet34d resnet50d resnet101d
resnet152d resnet200d resnext50_32x4d resnext101_32x4d wide_resnet50_2 inception_v3 inception_v4
inception_resnet_v2 xception_timm=legacy_xception
"""
PYTORCHCV = """
resnet18 resnet50=resnet50b resnet50_v1=resnet50 resnet200=resnet200b preresnet18 preresnet34
preresnet50=preresnet50b preresnet101=preresnet101b preresnet152=preresnet152b
preresnet200=preresnet200b resnet20_b=resnet20_cifar10 resnet56_b=resnet56_cifar10
resnet110_b=resnet110_cifar10 preresnet164=preresnet164bn_cifar10
preresnet1001=preresnet1001_cifar10 wrn16_10=wrn16_10_cifar10 wrn28_10=wrn28_10_cifar10
wrn40_8=wrn40_8_cifar10 inception_v2=bninception inception_resnet_v1=inceptionresnetv1
"""
KERAS = """
vgg16=VGG16 vgg19=VGG19 resnet50_v1=ResNet50 resnet101_v1=ResNet101 resnet152_v1=ResNet152
resnet50_v2=ResNet50V2 resnet101_v2=ResNet101V2 resnet152_v2=ResNet152V2
inception_v3_keras=InceptionV3 inception_resnet_v2=InceptionResNetV2 xception=Xception
"""
TF2CV = """
resnet20_b=resnet_cifar.resnet20_cifar10 preresnet164=preresnet_cifar.preresnet164bn_cifar10
preresnet18=preresnet.preresnet18 preresnet50=preresnet.preresnet50b
inception_v2=bninception.bninception inception_resnet_v1=inceptionresnetv1.inceptionresnetv1
"""
SMALL = ("resnet20", "resnet56", "resnet110", "preresnet164", "preresnet1001", "wrn")  # of CIFAR, 32x32
LARGE = ("inception_v3", "inception_v4", "inception_resnet", "xception")  # 299x299
FLAT = ("alexnet", "vgg")  # heads that flatten
GAIN = {"preresnet1001": 0.5, "resnet110_b": 0.5}


def sizes(name, publisher):
    """Return the native size and an odd one, or the native size alone if the publisher's graph takes no other."""
    if name.startswith(SMALL) and not name.startswith("resnet200"):
        return [32] if publisher == "tf2cv" else [32, 45]
    native = 299 if name.startswith(LARGE) else 224
    fixed = publisher == "tf2cv" or (publisher == "keras" and name.startswith(FLAT))
    odd = 193 if name == "inception_v2" else {224: 181, 299: 203}[native]  # it takes only sizes that halve evenly
    return [native] if fixed else [native, odd]


def torch_reference(net, name, publisher):
    """Return names, shapes and the logits of a torch module with generated weights, auxiliary heads included."""
    import torch

    net.eval()
    state = net.state_dict()
    shapes = [tuple(value.shape) for value in state.values()]
    drawn = weights(state, shapes, GAIN.get(name, 1.0))
    net.load_state_dict({key: torch.from_numpy(np.asarray(value)) for key, value in drawn.items()})
    if hasattr(net, "transform_input"):
        net.transform_input = False
    taps = {"googlenet": {"inception4a": "aux1", "inception4d": "aux2"}, "inception_v3": {"Mixed_6e": "AuxLogits"}}
    seen = {}
    if publisher == "torchvision":
        for tap in taps.get(name, {}):
            getattr(net, tap).register_forward_hook(lambda module, args, output, tap=tap: seen.update({tap: output}))
    logits = {}
    with torch.no_grad():
        for size in sizes(name, publisher):
            x = torch.from_numpy(images(size, size).transpose(0, 3, 1, 2).copy())
            logits[str(size)] = net(x).numpy()
            if seen and size == sizes(name, publisher)[0]:
                for i, (tap, head) in enumerate(taps[name].items(), 1):
                    logits[f"{size}_aux{i}"] = getattr(net, head)(seen[tap]).numpy()
    return list(state), shapes, logits


def write_h5(path, names, drawn):
    """Write the layout that Keras 2 published: one group for each layer, with the names of its weights."""
    layers = {}
    for name in names:
        layers.setdefault(name.split("/")[0], []).append(name)
    with h5py.File(path, "w") as file:
        file.attrs["layer_names"] = [layer.encode() for layer in layers]
        for layer, own in layers.items():
            group = file.create_group(layer)
            group.attrs["weight_names"] = [f"{name}:0".encode() for name in own]
            for name in own:
                group[f"{name}:0"] = drawn[name]


def keras_reference(model_name, name):
    """Return names, shapes and the logits of keras.applications, which reads the weights from a published layout."""
    import keras

    keras.backend.clear_session()
    build = getattr(keras.applications, model_name)
    net = build(weights=None, classifier_activation=None)
    # Numbered layers were published as conv2d_1, conv2d_2, ...; a fresh session counts from conv2d
    names, shapes = [], []
    for layer in net.layers:
        number = layer.name.rpartition("_")[2]
        title = layer.name
        for kind in ("conv2d", "batch_normalization"):
            if title == kind or (title.startswith(f"{kind}_") and number.isdigit()):
                title = f"{kind}_{int(number) + 1 if number.isdigit() else 1}"
        # the order of the published files: trained variables first
        for v in layer.trainable_weights + layer.non_trainable_weights:
            names.append(f"{title}/{v.name}")
            shapes.append(tuple(v.shape))
    drawn = weights(names, shapes, GAIN.get(name, 1.0))
    logits = {}
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "published.h5"
        write_h5(path, names, drawn)
        for size in sizes(name, "keras"):
            x = images(size, size)
            if size == sizes(name, "keras")[0]:
                net.load_weights(path)
                top = net.layers[-1]
                logits[str(size)] = net.predict(x, verbose=0)
            else:  # the graph without its top takes other sizes, and reads a file without it
                bottom = build(weights=None, include_top=False, pooling="avg", input_shape=(size, size, 3))
                bottom.set_weights(net.get_weights()[: len(bottom.get_weights())])
                kernel, bias = (np.asarray(v) for v in top.weights)
                logits[str(size)] = bottom.predict(x, verbose=0) @ kernel + bias
    return names, shapes, logits


def tf2cv_reference(path, name):
    """Return names, shapes and the logits of tf2cv on Keras 2, read from a file of its own layout."""
    os.environ["TF_USE_LEGACY_KERAS"] = "1"
    import importlib

    import tensorflow as tf
    from tf2cv.models import common

    def end_padded(self, x):
        # tf2cv pads both sides for a ceil mode, and so shifts its windows by a pixel against the networks of Gluon and
        # torch that these weights were trained in (4 % of the largest logit); we follow the latter
        return self.pool(tf.pad(x, [[0, 0], [0, 1], [0, 1], [0, 0]]) if self.ceil_mode else plain(self, x))

    def plain(self, x):
        return tf.pad(x, self.paddings_tf) if self.use_pad else x

    common.MaxPool2d.call = end_padded
    module, function = path.split(".")
    net = getattr(importlib.import_module(f"tf2cv.models.{module}"), function)()
    (size,) = sizes(name, "tf2cv")
    x = images(size, size)
    net(tf.zeros_like(x))
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "published.h5"
        net.save_weights(str(file))
        names, shapes = [], []
        from cnnzoo.checkpoints.readers import read_checkpoint

        for key, value in read_checkpoint(file.read_bytes(), file.name).tensors.items():
            names.append(key)
            shapes.append(value.shape)
        drawn = weights(names, shapes, GAIN.get(name, 1.0))
        with h5py.File(file, "r+") as f:
            for key in names:  # the reader puts the layer before names that lack it
                layer, _, rest = key.partition("/")
                f[layer][f"{rest}:0"][...] = drawn[key]
        net.load_weights(str(file))
    return names, shapes, {str(size): net(x, training=False).numpy()}


def reference(publisher, theirs, name):
    """Return names, shapes and logits of the publisher's own implementation."""
    if publisher == "keras":
        return keras_reference(theirs, name)
    if publisher == "tf2cv":
        return tf2cv_reference(theirs, name)
    if publisher == "torchvision":
        from torchvision import models

        heads = {"init_weights": True, "aux_logits": True} if theirs in ("googlenet", "inception_v3") else {}
        net = models.get_model(theirs, weights=None, **heads)
    elif publisher == "timm":
        import timm

        net = timm.create_model(theirs)
    else:
        import torch
        from pytorchcv.model_provider import get_model

        net = get_model(theirs, pretrained=False)
        net.features.final_pool = torch.nn.AdaptiveAvgPool2d(1)  # the same at the native size, and open to others
    return torch_reference(net, name, publisher)


def save(file, names, shapes, logits):
    """Write a few kilobytes: names, shapes, every fifteenth logit, and the largest logit of each image."""
    text = "\n".join(f"{n} {','.join(map(str, shape))}" for n, shape in zip(names, shapes, strict=True))
    every_fifteenth = {key: value[:, ::15] if value.shape[1] > 100 else value for key, value in logits.items()}
    largest = {f"{key}_largest": np.abs(value).max(axis=1) for key, value in logits.items()}
    gain = GAIN.get(file.stem.rpartition("-")[0], 1.0)
    file.parent.mkdir(exist_ok=True)
    np.savez_compressed(file, tensors=np.frombuffer(text.encode(), "uint8"), gain=gain, **every_fifteenth, **largest)
    a, b = next(iter(logits.values()))
    differ = np.abs(a - b).max() / np.abs(a).max()
    print(f"{file.name}: {len(names)} tensors, images differ by {differ:.0%}, {file.stat().st_size} bytes", flush=True)


def main(arguments):
    legacy = arguments == ["tf2cv"]
    tables = {"torchvision": TORCHVISION, "timm": TIMM, "pytorchcv": PYTORCHCV, "keras": KERAS}
    for publisher, table in ({"tf2cv": TF2CV} if legacy else tables).items():
        for entry in table.split():
            name, _, theirs = entry.partition("=")
            file = HERE / "logits" / f"{name}-{publisher}.npz"
            if name in arguments or (not file.exists() and (legacy or not arguments)):
                save(file, *reference(publisher, theirs or name, name))


if __name__ == "__main__":
    main(sys.argv[1:])
