"""The classes of the commands: grouped options, described arguments, and values as people type them."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Iterable, Sequence
from typing import Any, TypeVar

import click

from cnnzoo.core.errors import InputError, unknown_name
from cnnzoo.core.paths import path_exists

# The groups of options in a help text, in this order.
COMMON = "Common options"
RECIPE = "Recipe"
SEARCH = "Search"
DATA = "Data"
TABLE = "Tables of images"
TRANSFORM = "Sizes and pixels"
RUN = "Run directory"
MACHINE = "Machine"
OTHER = "Other options"
GROUPS = (COMMON, RECIPE, SEARCH, DATA, TABLE, TRANSFORM, RUN, MACHINE, OTHER)


class Option(click.Option):
    """An option that belongs to a group of the help text, and whose value may be several numbers.

    Args:
        declarations: as in `click.Option`.
        group: the heading under which help lists the option.
        words: number of words that the value may consist of; they reach the option as one word, joined by commas.
        settings: arguments of `click.Option`.
    """

    def __init__(self, declarations: Sequence[str], *, group: str = "", words: int = 1, **settings: Any) -> None:
        number = {click.IntRange: "N", click.FloatRange: "NUMBER"}.get(type(settings.get("type")))
        if number:  # "N" where click writes "INTEGER RANGE"
            settings = {"metavar": number} | settings
        super().__init__(declarations, **settings)
        self.group, self.words = group, words

    def type_cast_value(self, ctx: click.Context, value: Any) -> Any:
        """Return the value as a number if the option takes one; raise InputError if it is no such number."""
        try:
            return super().type_cast_value(ctx, value)
        except click.BadParameter:
            allowed = _describe_number(self.type)
            if not allowed:
                raise
            raise InputError(f"{self.opts[-1]} must be {allowed}. Received: {value!r:.200}") from None


def _describe_number(kind: Any) -> str:
    """Return which numbers a type of Click allows, as in "a number above 0"; "" for a type that is no number."""
    noun = {"integer": "a whole number", "float": "a number"}.get(kind.name.removesuffix(" range"), "")
    if not noun or not isinstance(kind, click.IntRange | click.FloatRange) or kind.min is None:
        return noun
    if kind.min_open:
        return f"{noun} above {kind.min:g}"
    return f"{noun} from {kind.min} to {kind.max}" if kind.max is not None else f"{noun} of at least {kind.min}"


class Argument(click.Argument):
    """An argument with a description."""

    def __init__(self, declarations: Sequence[str], *, help: str = "", **settings: Any) -> None:
        super().__init__(declarations, **settings)
        self.help = help


class Choice(click.Choice):  # type: ignore[type-arg]  # no type argument in click 8.1
    """One of a few names. A wrong one is answered with the nearest, as everywhere in the package."""

    name = "choice"

    def __init__(self, names: Iterable[str], kind: str) -> None:
        super().__init__(list(names))
        self.kind = kind

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        """Return the name; raise InputError if it is unknown."""
        if value not in self.choices:
            raise unknown_name(self.kind, value, self.choices)
        return str(value)


class Command(click.Command):
    """A command whose help shows its arguments, then its options by group."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Parse the words of the command line."""
        return super().parse_args(ctx, join_numbers(args, self.get_params(ctx)))

    def format_arguments(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write nothing: `format_options` writes the arguments; click 8.5 would write them here."""

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the arguments and the options, each under a heading."""
        params = self.get_params(ctx)
        arguments = [(param.human_readable_name, param.help or "") for param in params if isinstance(param, Argument)]
        groups: dict[str, list[tuple[str, str]]] = {"Arguments": arguments, **{name: [] for name in GROUPS}}
        is_grouped = any(getattr(param, "group", "") for param in params)
        for param in params:
            if isinstance(param, click.Option) and (record := param.get_help_record(ctx)):
                default = OTHER if is_grouped else "Options"
                groups.setdefault(getattr(param, "group", "") or default, []).append(record)
        for heading, records in groups.items():
            if records:
                with formatter.section(heading):
                    formatter.write_dl(records)


class Group(click.Group):
    """The group of all commands: lists them with whole sentences, and suggests the nearest name."""

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Return the command that the first word names."""
        if args and not args[0].startswith("-") and self.get_command(ctx, args[0]) is None:
            name = args[0].replace("_", "-")
            if self.get_command(ctx, name) is None:
                nearest = SYNONYMS.get(name) or next(iter(difflib.get_close_matches(name, self.commands)), "")
                hint = f"Did you mean cnnzoo {nearest}? " if nearest else ""
                raise InputError(f"Unknown command {args[0]!r:.80}. {hint}Allowed: {', '.join(sorted(self.commands))}")
            args = [name, *args[1:]]
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the commands with the first sentence of their help."""
        with formatter.section("Commands"):
            formatter.write_dl([(name, self.commands[name].get_short_help_str(200)) for name in sorted(self.commands)])


# What other programs call our commands
SYNONYMS = {
    "finetune": "fine-tune",
    "fit": "train",
    "eval": "evaluate",
    "test": "evaluate",
    "classify": "predict",
    "infer": "predict",
    "search": "tune",
    "check": "doctor",
    "models": "list",
    "download": "fetch",
    "version": "--version",
}

Callback = TypeVar("Callback", bound=Callable[..., Any])


def command(name: str | None = None, **settings: Any) -> Callable[[Callable[..., Any]], Command]:
    """Return a decorator that makes a command of a function; its name is that of the function by default."""
    return click.command(name, cls=Command, **settings)


def argument(*declarations: str, **settings: Any) -> Callable[[Callback], Callback]:
    """Return a decorator that adds an argument to a command; see `Argument`."""
    return click.argument(*declarations, cls=Argument, **settings)


def option(*declarations: str, **settings: Any) -> Callable[[Callback], Callback]:
    """Return a decorator that adds an option to a command; see `Option`."""
    return click.option(*declarations, cls=Option, **settings)


def join_numbers(words: Sequence[str], params: Iterable[click.Parameter]) -> list[str]:
    """Return the words of a command line, with the numbers of an option that takes several as one word.

    `--image-size 224 160` becomes `--image-size 224,160`. A second number that is the name of a file or folder is left
    alone.
    """
    limits = {flag: param.words for param in params if isinstance(param, Option) for flag in param.opts}
    joined: list[str] = []
    rest = list(words)
    while rest:
        word = rest.pop(0)
        joined.append(word)
        if word == "--":
            return joined + rest
        flag, has_value, value = word.partition("=")
        if limits.get(flag, 1) > 1:
            values = [value] if has_value else [rest.pop(0)] if rest and not rest[0].startswith("--") else []
            while values and len(values) < limits[flag] and all(map(_is_number, values)) and rest:
                if not _is_number(rest[0]) or path_exists(rest[0]):
                    break
                values.append(rest.pop(0))
            if values:
                joined[-1:] = [flag, ",".join(values)]
    return joined


def _is_number(word: str) -> bool:
    """Return whether a word is a number that is not negative."""
    try:
        return float(word) >= 0 or word.casefold() == "nan"
    except ValueError:
        return False
