"""The class names that a checkpoint carries beside its tensors, or that a configuration beside it states."""

from collections.abc import Iterator
from typing import Any

from cnnzoo.checkpoints.pickles import Opaque

# What training scripts call them: lists of names, and dicts either way.
NAME_KEYS = (
    *("class_names", "classes", "CLASSES", "label_names", "labels", "categories", "vocab"),
    *("class_to_idx", "label2id", "classname_to_id", "idx_to_class", "id2label"),
)
# Where they are: in the root, or in these dicts (or objects with such attributes) in it.
PLACES = ("meta", "dataset_meta", "hyper_parameters", "hparams", "args", "config", "cfg", "opt", "metadata", "model")
MAX_CLASSES = 100_000
MAX_DEPTH = 3
MAX_NAME_LENGTH = 500


def find_class_names(root: Any) -> tuple[str, ...]:
    """Return the class names in the object of a checkpoint, in the order of the logits, or ()."""
    waiting, seen = [(root, 0)], {id(root)}
    while waiting:
        value, depth = waiting.pop(0)
        items = _items(value)
        for key in NAME_KEYS:
            if id(items.get(key)) not in seen and (names := parse_class_names(items.get(key))):
                return names
            seen.add(id(items.get(key)))
        for place in PLACES if depth < MAX_DEPTH else ():
            if place in items and id(items[place]) not in seen:
                seen.add(id(items[place]))
                waiting.append((items[place], depth + 1))
    return ()


def parse_class_names(value: Any) -> tuple[str, ...]:
    """Return names from a list of them, or from a dict of names and numbers, or () if it is neither."""
    items = _items(value)
    if items:
        pairs = list(_iter_pairs(items))
        if len(pairs) != len(items) or sorted(index for index, _ in pairs) != list(range(len(pairs))):
            return ()
        value = [name for _, name in sorted(pairs)]
    if not isinstance(value, list | tuple) or not 2 <= len(value) <= MAX_CLASSES:
        return ()
    if not all(type(name) is str and len(name.strip()) > 0 and len(name) <= MAX_NAME_LENGTH for name in value):
        return ()
    return tuple(value) if len(set(value)) == len(value) else ()


def _iter_pairs(items: dict[Any, Any]) -> Iterator[tuple[int, str]]:
    """Yield (number, name) of a dict of either direction; JSON writes numbers as text."""
    for key, value in items.items():
        if type(value) is int and type(key) is str:
            yield value, key
        elif type(value) is str and (type(key) is int or (type(key) is str and key.isascii() and key.isdigit())):
            yield int(key), value


def _items(value: Any) -> dict[Any, Any]:
    """Return the items of a dict, or of an object whose items or attributes the pickle states."""
    if type(value) is Opaque:
        return value.items or (value.state if type(value.state) is dict else {})
    return value if type(value) is dict else {}
