"""Declare the options of commands as fields of dataclasses.

A field becomes an option of the command line: `label_column` becomes `--label-column`. `take_options` adds the options
of such classes to a command, which then receives one object for each class:

    @dataclass(frozen=True)
    class DataOptions:
        label_column: str | None = field(metadata=option(help="Column that holds the labels."))

    @command()
    @argument("data", help="Folder of images.")
    @take_options(data_options=DataOptions)
    def show(data: str, data_options: DataOptions) -> None: ...
"""

import dataclasses
import functools
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from cnnzoo.cli.commands import Option, join_numbers
from cnnzoo.core.errors import InputError
from cnnzoo.core.paths import check_path, nearest_path

Callback = Callable[..., None]


class CheckedPath(click.Path):
    """The type of options and arguments that are paths; what cannot be one is refused, such as an empty value."""

    def __init__(self, **settings: Any) -> None:
        super().__init__(path_type=Path, **settings)

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """Return the value as a Path."""
        name = "the path"
        if param is not None:
            name = param.opts[0] if param.opts[0].startswith("-") else param.human_readable_name
        path = check_path(value, name)
        if self.exists and not path.exists():
            near = nearest_path(path)
            hint = f". Did you mean {near}?" if near else ""
            raise InputError(f"{name} must exist; there is nothing at {str(path)!r}{hint}")
        return super().convert(path, param, ctx)


def option(*flags: str, **settings: Any) -> dict[str, Any]:
    """Return the metadata of a dataclass field that is an option; by default its flag is the name of the field.

    Args:
        flags: flags in the place of the name.
        settings: arguments of `commands.Option`, such as its group.
    """
    return {"flags": flags, "settings": settings}


def take_options(**classes: type) -> Callable[[Callback], Callback]:
    """Add the options of dataclasses to a command, which gets an object of each class under the keyword given here."""

    names = [name for options_class in classes.values() for name in _declarations(options_class)]
    if len(set(names)) < len(names):
        raise ValueError(f"Options are declared twice: {sorted({name for name in names if names.count(name) > 1})}")

    def decorate(command: Callback) -> Callback:
        @functools.wraps(command)
        def run_command(**values: Any) -> None:
            objects = {
                keyword: options_class(**{name: values.pop(name) for name in _declarations(options_class)})
                for keyword, options_class in classes.items()
            }
            command(**values, **objects)

        # Decorators apply from the bottom up, so the last option is added first.
        decorated: Callback = run_command
        for options_class in reversed(classes.values()):
            for flags, settings in reversed(_declarations(options_class).values()):
                decorated = click.option(*flags, cls=Option, **settings)(decorated)
        return decorated

    return decorate


def remove_options(arguments: list[str], options_class: type) -> list[str]:
    """Return the words of a command line without the options of `options_class` and their values."""
    options = [Option(flags, **settings) for flags, settings in _declarations(options_class).values()]
    option_of_flag = {flag: each for each in options for flag in (*each.opts, *each.secondary_opts)}
    remaining = []
    words = iter(join_numbers(arguments, options))
    for word in words:
        flag, has_value, _ = word.partition("=")
        if flag not in option_of_flag:
            remaining.append(word)
        elif not option_of_flag[flag].is_flag:
            # Values are words of their own, except for one that is joined by "=".
            for _ in range(option_of_flag[flag].nargs - bool(has_value)):
                next(words, None)
    return remaining


def take_values(arguments: list[str], flag: str) -> tuple[list[str], list[str]]:
    """Return the values of an option that may be repeated, and the words of a command line without them.

    Example:
        >>> take_values(["train", "--fix-list", "a.csv", "lenet5", "--fix-list=b.csv"], "--fix-list")
        (['a.csv', 'b.csv'], ['train', 'lenet5'])
    """
    values, remaining, words = [], [], iter(arguments)
    for word in words:
        name, has_value, value = word.partition("=")
        if name != flag:
            remaining.append(word)
        elif has_value:
            values.append(value)
        else:
            values.extend(next(([value] for value in words), []))
    return values, remaining


def _declarations(options_class: type) -> dict[str, tuple[list[str], dict[str, Any]]]:
    """Return the arguments of `click.option` for each field: its flags followed by its name, and its settings."""
    declarations = {}
    for declared in dataclasses.fields(options_class):
        flags = declared.metadata["flags"] or (f"--{declared.name.replace('_', '-')}",)
        declarations[declared.name] = ([*flags, declared.name], declared.metadata["settings"])
    return declarations
