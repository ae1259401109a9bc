"""The options of a training beside its recipe: output files, resuming, progress and the transform of the images."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from importlib.util import find_spec
from os import PathLike
from pathlib import Path
from typing import Any

import keras
from numpy.typing import ArrayLike

from cnnzoo.core.card_fields import check_target_accuracy
from cnnzoo.core.errors import InputError, check_integer, shorten_repr
from cnnzoo.core.extras import install_command
from cnnzoo.core.processes import is_main_process
from cnnzoo.training.devices import resolve_devices
from cnnzoo.training.recipe import Recipe
from cnnzoo.training.trackers import check_tracker

MAX_MINUTES = 1_000_000
# Callbacks of Keras that set the learning rate, and what the recipe has in their place.
RATE_CALLBACKS = {
    "ReduceLROnPlateau": 'Leave it out, and choose cnnzoo.recipe(..., schedule="cosine") or "linear", '
    "or patience=5 to stop when validation no longer improves (--set schedule=cosine --set patience=5)",
    "LearningRateScheduler": 'Leave it out, and choose cnnzoo.recipe(..., schedule="cosine", "linear", "step" with '
    'drops, or "constant") and warmup_epochs (--set schedule=step)',
}


@dataclass(frozen=True, kw_only=True)
class TrainerOptions:
    """The keyword arguments that `fit_and_evaluate` and `fine_tune` share; see there for what each one means."""

    run_dir: str | PathLike[str] | None
    seed: int
    resume: bool | None
    overwrite: bool
    sample_weight: ArrayLike | None
    callbacks: Sequence[keras.callbacks.Callback]
    tensorboard: bool
    devices: str | Sequence[str] | None
    deterministic: bool
    checkpoint_every: float
    verbose: bool
    crop: float | str | None = "auto"
    interpolation: str = "auto"
    pad: int | None = None
    target_accuracy: float | None = None
    minutes: float | None = None
    track: str | None = None

    def __post_init__(self) -> None:
        """Raise `InputError` if an option is invalid, or useless without another one."""
        check_integer("seed", self.seed, 0)
        if not isinstance(self.run_dir, str | Path | None):
            raise InputError(f"run_dir must be the path of a folder. Received: {self.run_dir!r}")
        if not isinstance(self.callbacks, list | tuple) or not all(map(_is_callback, self.callbacks)):
            raise InputError(f"callbacks must be a list of keras.callbacks.Callback. Received: {self.callbacks!r:.200}")
        check_callbacks(self.callbacks)
        if self.resume and self.run_dir is None:
            raise InputError("resume=True needs the run_dir of the run to resume. Received: run_dir=None")
        if not isinstance(self.checkpoint_every, int | float) or not self.checkpoint_every >= 0:
            raise InputError(
                f"checkpoint_every must be a number of seconds. Received: {shorten_repr(self.checkpoint_every)}"
            )
        if self.minutes is not None and not (_is_number(self.minutes) and 0 < self.minutes <= MAX_MINUTES):
            raise InputError(
                f"minutes must be a time budget above 0 and of at most {MAX_MINUTES:,} minutes, or None for none. "
                f"Received: {shorten_repr(self.minutes)}"
            )
        if self.tensorboard and self.run_dir is None:
            raise InputError("tensorboard=True writes into the run_dir. Received: run_dir=None")
        if self.tensorboard and not find_spec("tensorboard"):  # Keras' callback imports it
            raise InputError(f"Writing event files needs tensorboard: {install_command('tensorboard')}")
        if is_main_process():  # the others do not track
            check_tracker(self.track, self.run_dir)
        resolve_devices(self.devices)
        if self.target_accuracy is not None:
            check_target_accuracy(self.target_accuracy)

    @property
    def transform(self) -> dict[str, Any]:
        """The transform that the user asked for, as arguments of `bind_to_model`."""
        return {"crop": self.crop, "interpolation": self.interpolation, "pad": self.pad}


def adapt_to_no_validation(recipe: Recipe, options: TrainerOptions, source: str) -> Recipe:
    """Return the recipe for data without validation images: the last epoch is kept.

    Raises:
        InputError: if recipe or options need validation images.
    """
    needs = {
        "patience": (recipe.patience, "ends a training by the validation accuracy"),
        "target_accuracy": (options.target_accuracy, "is reached by a min_probability, which is chosen on validation"),
    }
    for name, (value, why) in needs.items():
        if value is not None:
            raise InputError(
                f"{name}={value} {why}, and {source} is loaded without validation images. Leave it out, or load the "
                "data with a share for validation, such as splits=(0.8, 0.1, 0.1) (--splits 0.8,0.1,0.1)"
            )
    return replace(recipe, keep="last")


def check_callbacks(callbacks: Iterable[keras.callbacks.Callback]) -> None:
    """Raise InputError for a callback that sets the learning rate, which the recipe does."""
    for callback in callbacks:
        if isinstance(callback, keras.callbacks.CallbackList):
            check_callbacks(callback.callbacks)
        for kind, remedy in RATE_CALLBACKS.items():
            if isinstance(callback, getattr(keras.callbacks, kind)):
                name = type(callback).__name__
                raise InputError(
                    f"{name}{'' if name == kind else f' (a {kind})'} sets the learning rate, but the recipe does that, "
                    f"with its schedule. {remedy}"
                )


def _is_number(value: Any) -> bool:
    """Return whether `value` is a number, and no bool."""
    return isinstance(value, int | float) and not isinstance(value, bool)


def _is_callback(value: Any) -> bool:
    """Return whether `value` is a Keras callback."""
    return isinstance(value, keras.callbacks.Callback)
