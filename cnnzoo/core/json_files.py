"""Read and write JSON: one place with bounds, one list of errors, types of fields, and a checksum for our own files."""

from __future__ import annotations

import hashlib
import json
import math
import types
import typing
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from cnnzoo.core.errors import InputError, shorten_repr
from cnnzoo.core.files import atomic_write, read_bounded

MAX_JSON_BYTES = 2**26  # larger files are a mistake or an attack
MAX_JSON_DEPTH = 100  # of nested objects and lists
SUM_FIELD = "sha256"  # holds the checksum of the other fields

# What `json` and the checks below raise: bad syntax, bad UTF-8, numbers of too many digits, deep nesting, wrong types
JSON_ERRORS = (ValueError, LookupError, TypeError, AttributeError, RecursionError, OverflowError, MemoryError)


class Finite(float):
    """The type, in a table of fields, of a number that is neither NaN nor infinite."""


def parse_json(text: str | bytes, name: str, remedy: str = "") -> Any:
    """Return the value of a JSON text.

    Args:
        text: the text, or its bytes in UTF-8.
        name: what the text is, for the message of an error, such as the path of its file.
        remedy: what to do about broken text, added to the message.

    Raises:
        InputError: if the text is too long, is not JSON, or is nested too deeply.
    """
    try:
        if len(text) > MAX_JSON_BYTES:
            raise ValueError(f"{len(text):,} bytes are too many; at most {MAX_JSON_BYTES:,} are read")
        value = json.loads(text)
        _check_depth(value)
    except JSON_ERRORS as error:
        raise broken_file(name, error, remedy) from None
    return value


def read_json(
    path: Path, fields: Mapping[str, Any], optional: Mapping[str, Any] | None = None, *, remedy: str = ""
) -> dict[str, Any]:
    """Read a JSON object from a file, and check its checksum, if it has one, and the types of its fields.

    Args:
        path: the file.
        fields: the type of each field that must be there, such as `int`, `Finite`, `str | None`, `list[str]`,
            `dict[str, Any]` or `tuple[float, float]`. Lists become tuples where the type says so, integers become
            floats. `bool` is no number.
        optional: the same for fields that may be absent.
        remedy: what to do about a broken file, added to the message.

    Returns:
        All fields of the object, including those that the tables do not name.

    Raises:
        InputError: if the file cannot be read, is damaged, or has a field of another type; it names file and field.
    """
    values = read_json_value(path, remedy)
    checked = check_fields(values, path, fields, optional, remedy=remedy)
    check_sum(values, path, remedy=remedy)
    checked.pop(SUM_FIELD, None)
    return checked


def read_json_value(path: Path, remedy: str = "") -> Any:
    """Return whatever value a JSON file holds; raise InputError, with `remedy`, if it cannot be read."""
    try:
        text = read_bounded(path, MAX_JSON_BYTES)
    except (OSError, ValueError) as error:  # ValueError: a NUL in the path
        raise broken_file(path, error, remedy) from None
    return parse_json(text, str(path), remedy)


def check_fields(
    values: Any,
    name: str | Path,
    fields: Mapping[str, Any],
    optional: Mapping[str, Any] | None = None,
    *,
    remedy: str = "",
) -> dict[str, Any]:
    """Return the fields of an object that was read from JSON, with the types that `read_json` describes.

    Raises:
        InputError: if `values` is no object, or a field is missing or of another type; it names `name` and the field.
    """
    try:
        checked: dict[str, Any] = dict(_check_type(values, dict[str, Any], "the file"))
        for field, expected in {**fields, **(optional or {})}.items():
            if field in checked:
                checked[field] = _check_type(checked[field], expected, f"the field {field!r}")
            elif field in fields:
                raise TypeError(f"the field {field!r} is missing")
    except JSON_ERRORS as error:
        raise broken_file(name, error, remedy) from None
    return checked


def check_sum(values: Mapping[str, Any], name: str | Path, *, remedy: str = "") -> None:
    """Check the checksum that `write_json` added to an object; one without it, as of earlier versions, passes.

    Raises:
        InputError: if the fields are not those that were written.
    """
    fields = {name: value for name, value in values.items() if name != SUM_FIELD}
    if SUM_FIELD in values and values[SUM_FIELD] != checksum(fields):
        problem = f"its content does not match its checksum, {SUM_FIELD}, so it was damaged or changed by hand"
        raise broken_file(name, ValueError(problem), remedy)


def write_json(path: Path, values: Mapping[str, Any], *, indent: int | None = None, add_sum: bool = False) -> None:
    """Write an object to a file as JSON, completely or not at all.

    Args:
        path: the file.
        values: the object.
        indent: the indentation; None writes a single line.
        add_sum: add a checksum of all fields, which `read_json` verifies.

    Raises:
        InputError: if the folder cannot be written to.
    """
    with atomic_write(path) as new_path:
        new_path.write_text(dump_json(values, indent=indent, add_sum=add_sum), encoding="utf-8")


def dump_json(values: Mapping[str, Any], *, indent: int | None = None, add_sum: bool = False) -> str:
    """Return what `write_json` writes."""
    if add_sum:
        values = {**values, SUM_FIELD: checksum(values)}
    # Names of files that are not UTF-8 hold surrogates, which only escapes can express.
    text = json.dumps(values, indent=indent, ensure_ascii=False)
    if not text.isascii() and text.encode(errors="replace").decode() != text:
        text = json.dumps(values, indent=indent)
    return text + "\n"


def checksum(values: Mapping[str, Any]) -> str:
    """Return the SHA-256 of the content of an object, whatever the order of its fields and the layout of its text."""
    canonical = json.dumps(json.loads(json.dumps(values)), sort_keys=True)
    return hashlib.sha256(canonical.encode()).hexdigest()


def broken_file(name: str | Path, error: Exception, remedy: str = "") -> InputError:
    """Return the error for a file that cannot be read because of `error`."""
    reason = getattr(error, "strerror", None) or str(error) or type(error).__name__
    if isinstance(error, RecursionError):
        reason = f"it is nested more than {MAX_JSON_DEPTH} levels deep"
    elif isinstance(error, MemoryError):
        reason = "it does not fit into memory"
    return InputError(f"{name} cannot be read: {reason:.500}{f'; {remedy}' if remedy else ''}")


def _check_depth(value: Any) -> None:
    """Raise RecursionError if a value is nested too deeply for whatever processes it next."""
    level, depth = [value], 0
    while level := [item for item in level if isinstance(item, dict | list)]:
        depth += 1
        if depth > MAX_JSON_DEPTH:
            raise RecursionError
        level = [child for item in level for child in (item.values() if isinstance(item, dict) else item)]


def _check_type(value: Any, expected: Any, where: str) -> Any:
    """Return `value` as the type `expected`; raise TypeError if it is something else."""
    origin, arguments = typing.get_origin(expected), typing.get_args(expected)
    if expected is Any:
        return value
    if origin in (types.UnionType, typing.Union):
        for alternative in arguments:
            try:
                return _check_type(value, alternative, where)
            except TypeError:
                continue
    elif origin is dict:
        if isinstance(value, dict):
            return {key: _check_type(item, arguments[1], f"{where}, {key!r},") for key, item in value.items()}
    elif origin is list:
        if isinstance(value, list):
            return [_check_type(item, arguments[0], f"an item of {where}") for item in value]
    elif origin is tuple:
        if isinstance(value, list) and arguments[-1] is Ellipsis:
            return tuple(_check_type(item, arguments[0], f"an item of {where}") for item in value)
        if isinstance(value, list) and len(value) == len(arguments):
            return tuple(_check_type(v, each, f"an item of {where}") for v, each in zip(value, arguments, strict=True))
    elif expected in (float, Finite):
        if isinstance(value, int | float) and not isinstance(value, bool):
            number = float(value)  # raises OverflowError for integers beyond its range
            if expected is float or math.isfinite(number):
                return number
    elif expected is None or expected is types.NoneType:
        if value is None:
            return None
    elif isinstance(value, expected) and (expected is bool or not isinstance(value, bool)):
        return value
    raise TypeError(f"{where} must be {_describe_type(expected)}. Received: {shorten_repr(value)}")


def _describe_type(expected: Any) -> str:
    """Return a type in the words of JSON."""
    origin, arguments = typing.get_origin(expected), typing.get_args(expected)
    if origin in (types.UnionType, typing.Union):
        return " or ".join(map(_describe_type, arguments))
    if origin is tuple and arguments[-1] is not Ellipsis:
        return f"a list of {len(arguments)} items"
    names = {
        dict: "an object",
        list: "a list",
        tuple: "a list",
        str: "a text",
        int: "a whole number",
        float: "a number",
        Finite: "a finite number",
        bool: "true or false",
        types.NoneType: "null",
    }
    return names.get(origin or expected, str(expected))
