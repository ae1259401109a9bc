"""The golden logits: the outputs of reference implementations for generated weights and images."""

import math
from functools import lru_cache
from pathlib import Path

import h5py
import numpy as np
from golden import draw
from safetensors.numpy import save_file

GOLDEN = Path(__file__).parents[1] / "golden"
NAMES = {path.stem.rpartition("-")[0] for path in (GOLDEN / "logits").glob("*.npz")}
WITH_HEADS_FOR_ONE_SIZE = {name for name in NAMES if name.startswith(("alexnet", "vgg"))}  # they flatten their maps


@lru_cache(maxsize=2)
def draw_large_tensor(name, shape, gain):
    return draw.tensor(name, shape, gain)


def draw_tensor(name, shape, gain):
    """Draw a tensor, or return an earlier one: the VGGs have their largest, three quarters of each, in common."""
    large = math.prod(shape) > 10_000_000
    return draw_large_tensor(name, shape, gain) if large else draw.tensor(name, shape, gain)


class GoldenLogits:
    """The logits of a reference implementation, and the names and shapes of its weights."""

    def __init__(self, path):
        self.name, _, self.publisher = path.stem.rpartition("-")
        with np.load(path) as file:
            arrays = dict(file)
        lines = bytes(arrays.pop("tensors")).decode().splitlines()
        self.tensors = [line.partition(" ")[0] for line in lines]
        self.shapes = [tuple(int(n) for n in line.partition(" ")[2].split(",") if n) for line in lines]
        self.gain = float(arrays.pop("gain"))
        self.largest = {
            key.removesuffix("_largest"): arrays.pop(key) for key in list(arrays) if key.endswith("_largest")
        }
        self.logits = arrays  # by size, "224" or "224_aux1"
        self.sizes = [key for key in self.logits if key.isdigit()]

    def write(self, folder):
        """Write the generated weights as a file in the publisher's format; return its path."""
        drawn = {
            name: draw_tensor(name, shape, self.gain) for name, shape in zip(self.tensors, self.shapes, strict=True)
        }
        if self.publisher not in ("keras", "tf2cv"):
            path = folder / "drawn.safetensors"
            save_file({name: np.ascontiguousarray(value) for name, value in drawn.items()}, path)
            return path
        path, layers = folder / "drawn.h5", {}
        for name in drawn:
            layers.setdefault(name.split("/")[0], []).append(name)
        with h5py.File(path, "w") as file:
            file.attrs["layer_names"] = np.array([layer.encode() for layer in layers])
            for layer, names in layers.items():
                group = file.create_group(layer)
                for i in range(0, len(names), 400):  # Keras too cuts a list that is too long for an attribute
                    part = np.array([f"{name}:0".encode() for name in names[i : i + 400]])
                    group.attrs["weight_names" if len(names) <= 400 else f"weight_names{i // 400}"] = part
                for name in names:
                    group[f"{name}:0"] = drawn[name]
        return path

    def error(self, outputs, key):
        """Return the largest difference, relative to the largest logit of the image."""
        step = 15 if outputs.shape[1] > 100 else 1
        return (np.abs(outputs[:, ::step] - self.logits[key]).max(axis=1) / self.largest[key]).max()
