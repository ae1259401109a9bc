"""Values for Keras' callbacks that stay on the device until one of them is read.

Keras converts the loss and the metrics of every step to Python numbers before it calls any callback. An accelerator
then waits after every step, until the processor has received the numbers and sent the next step.
"""

from __future__ import annotations

from collections.abc import Callable, ItemsView, Iterator, Mapping, ValuesView
from typing import Any

import keras


class LazyLogs(dict[str, Any]):
    """The `logs` of a callback: a dict whose values are read from the device when one of them is first used.

    Its length, its keys and `in` read nothing.

    Attributes:
        unread: the values as Keras' step has returned them.
        is_read: whether the values have been read.

    Example:
        >>> from cnnzoo.surgery.lazy_logs import LazyLogs
        >>> logs = LazyLogs({"loss": keras.ops.convert_to_tensor(0.5)})
        >>> len(logs), logs.is_read
        (1, False)
        >>> logs["loss"], logs.is_read
        (0.5, True)
    """

    def __init__(self, values: Mapping[str, Any] | None = None) -> None:
        self.unread = _flatten(values or {})
        super().__init__(self.unread)
        self.is_read = False

    def _read(self) -> dict[str, Any]:
        """Read the values, once, as Keras does; return this dict."""
        if not self.is_read:
            self.is_read = True
            super().update((name, _to_number(value)) for name, value in self.unread.items())
        return self

    def __getitem__(self, name: str) -> Any:
        return dict.__getitem__(self._read(), name)

    def get(self, name: str, default: Any = None) -> Any:
        return dict.get(self._read(), name, default)

    def items(self) -> ItemsView[str, Any]:  # type: ignore[override]  # any view of these items
        return dict.items(self._read())

    def values(self) -> ValuesView[Any]:  # type: ignore[override]
        return dict.values(self._read())

    def __iter__(self) -> Iterator[str]:
        # dict(logs) and {**logs} take the values past our methods unless this one is ours.
        return super().__iter__()

    def copy(self) -> dict[str, Any]:
        return dict(self.items())

    def pop(self, *args: Any) -> Any:
        return dict.pop(self._read(), *args)

    def __or__(self, other: Any) -> Any:
        return self.copy() | other

    def __ror__(self, other: Any) -> Any:
        return other | self.copy()

    def __eq__(self, other: object) -> bool:
        return self.copy() == other

    def __repr__(self) -> str:
        return repr(self.copy())


def _flatten(values: Mapping[str, Any]) -> dict[str, Any]:
    """Return the values of nested dicts in one, in the order of their names, as Keras does."""
    flat: dict[str, Any] = {}
    for name, value in sorted(values.items()):
        flat |= _flatten(value) if isinstance(value, dict) else {name: value}
    return flat


def _to_number(value: Any) -> Any:
    """Return a tensor with one value as a float, a larger one as an array, and anything else unchanged."""
    if isinstance(value, float | int | str | list | tuple) or value is None:
        return value
    array = keras.ops.convert_to_numpy(value)
    return float(array) if array.ndim == 0 else array


class LazyCallbackList(keras.callbacks.CallbackList):
    """Calls callbacks after each batch without reading its values from the device: they get `LazyLogs`."""

    def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
        self._call(lambda callback: callback.on_train_batch_end, batch, logs)

    def on_test_batch_end(self, batch: int, logs: Any = None) -> None:
        self._call(lambda callback: callback.on_test_batch_end, batch, logs)

    def on_predict_batch_end(self, batch: int, logs: Any = None) -> None:
        self._call(lambda callback: callback.on_predict_batch_end, batch, logs)

    def _call(self, method: Callable[[Any], Any], batch: int, logs: Any) -> None:
        lazy_logs = LazyLogs(logs)
        for callback in self.callbacks:
            method(callback)(batch, logs=lazy_logs)
