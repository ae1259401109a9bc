"""The search spaces that are used if none is given: by family, and for fine-tuning."""

from typing import Any


def _log_range(low: float, high: float) -> dict[str, Any]:
    return {"low": low, "high": high, "log": True}


COMMON_RANGES = {"weight_decay": _log_range(1e-5, 0.1), "label_smoothing": {"low": 0.0, "high": 0.2}}
PHOTO_RANGES = COMMON_RANGES | {"batch_size": [16, 32, 64], "augment": ["none", "gentle", "basic"]}
# By family, for training from scratch. Without batch norm, high learning rates end in NaN losses.
DEFAULT_SPACES: dict[str, dict[str, Any]] = {
    "lenet": {
        "learning_rate": _log_range(3e-3, 0.3),
        "momentum": {"low": 0.8, "high": 0.97},
        "batch_size": [16, 32, 64, 128],
        "augment": ["none", "shift"],
    }
    | COMMON_RANGES,
    "alexnet": {"learning_rate": _log_range(1e-3, 0.05), "clip": [None, 1.0]} | PHOTO_RANGES,
    "vgg": {"learning_rate": _log_range(1e-3, 0.05), "clip": [None, 1.0]} | PHOTO_RANGES,
    "resnet": {"learning_rate": _log_range(0.01, 0.5)} | PHOTO_RANGES,
    "inception": {"learning_rate": _log_range(3e-3, 0.2)} | PHOTO_RANGES,
}
# For pretrained weights. Fine-tuning solves the head first, so these rates are for the layers below it.
FINE_TUNING_SPACE: dict[str, Any] = {
    "learning_rate": _log_range(3e-5, 3e-3),
    "stage_decay": {"low": 0.2, "high": 1.0},
    "unfreeze_epochs": [0.0, 1.0, 2.0],
    "bn": ["frozen", "train"],
    "augment": ["none", "gentle"],
} | COMMON_RANGES
