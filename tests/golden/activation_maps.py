"""Make the golden class activation maps: those of pytorch-grad-cam for generated weights and images.

    python tests/golden/activation_maps.py

Needs torch, torchvision and grad-cam. Each file holds the names and shapes of the weights, and the raw maps of two
images by method, before they are cut at zero and scaled. draw.py generates weights and images, and
tests/explain/test_golden_maps.py compares the maps. VGG-11 has narrow dense layers, so that it loads fast.
"""

from pathlib import Path

import numpy as np
import torch
from draw import images, weights
from pytorch_grad_cam import GradCAM, GradCAMPlusPlus, HiResCAM, LayerCAM
from torchvision import models

FOLDER = Path(__file__).parent / "activation_maps"
METHODS = {"gradcam": GradCAM, "gradcam++": GradCAMPlusPlus, "hirescam": HiResCAM, "layercam": LayerCAM}
# The last layer before pooling: of each network the one that cnnzoo chooses.
LAYERS = {
    "resnet18": lambda net: net.layer4[-1],
    "vgg11": lambda net: net.features[19],
    "googlenet": lambda net: net.inception5b,
}
NARROW, TARGETS = 64, (3, 42)
MEAN, STD = np.float32([0.485, 0.456, 0.406]), np.float32([0.229, 0.224, 0.225])


def build(name):
    """Return a network with generated weights, and their names and shapes."""
    if name == "googlenet":
        net = models.googlenet(weights=None, init_weights=False, aux_logits=False)
        net.transform_input = False
    else:
        net = models.get_model(name, weights=None)
    if name == "vgg11":
        for i, (inputs, outputs) in {0: (25088, NARROW), 3: (NARROW, NARROW), 6: (NARROW, NARROW)}.items():
            net.classifier[i] = torch.nn.Linear(inputs, outputs)
    state = net.state_dict()
    shapes = [tuple(value.shape) for value in state.values()]
    net.load_state_dict({key: torch.from_numpy(np.asarray(v)) for key, v in weights(state, shapes, 1.0).items()})
    return net.eval(), list(state), shapes


def photos():
    """Return two images (2, 224, 224, 3), uint8."""
    drawn = images(224, 224)
    scale = np.abs(drawn).max(axis=(1, 2, 3), keepdims=True)
    return np.rint(127.5 + 127.5 * drawn / scale).astype("uint8")


class Difference:
    """The logit of the first class minus that of the second."""

    def __call__(self, logits):
        return logits[TARGETS[0]] - logits[TARGETS[1]]


class Logit:
    """The logit of a class."""

    def __init__(self, index):
        self.index = index

    def __call__(self, logits):
        return logits[self.index]


def compute_maps(net, layer, method, targets):
    """Return the raw maps (2, h, w) of pytorch-grad-cam."""
    x = torch.from_numpy(((photos() / np.float32(255) - MEAN) / STD).transpose(0, 3, 1, 2).copy())
    cam = METHODS[method](net, [layer])
    outputs = cam.activations_and_grads(x)
    net.zero_grad()
    sum(target(output) for target, output in zip(targets, outputs, strict=True)).backward()
    maps = cam.activations_and_grads.activations[0].numpy()
    gradients = cam.activations_and_grads.gradients[0].numpy()
    raw = cam.get_cam_image(x, layer, targets, maps, gradients, False)
    cam.activations_and_grads.release()
    return raw


def main():
    FOLDER.mkdir(exist_ok=True)
    for name, find_layer in LAYERS.items():
        net, names, shapes = build(name)
        targets = [Logit(index) for index in TARGETS]
        maps = {method: compute_maps(net, find_layer(net), method, targets) for method in METHODS}
        maps["contrast"] = compute_maps(net, find_layer(net), "gradcam", [Difference(), Difference()])
        text = "\n".join(f"{n} {','.join(map(str, shape))}" for n, shape in zip(names, shapes, strict=True))
        file = FOLDER / f"{name}-torchvision.npz"
        np.savez_compressed(file, tensors=np.frombuffer(text.encode(), "uint8"), gain=1.0, **maps)
        print(f"{file.name}: {file.stat().st_size} bytes", {key: value.shape for key, value in maps.items()})


if __name__ == "__main__":
    main()
