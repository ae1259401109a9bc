"""Completion of words on the command line by the shell, and the command that prints its script."""

from __future__ import annotations

from collections.abc import Iterable

import click
from click.shell_completion import CompletionItem, get_completion_class

from cnnzoo.checkpoints import manifest
from cnnzoo.cli.commands import Choice, argument, command
from cnnzoo.cli.output import echo
from cnnzoo.registry import list_models

Items = list[CompletionItem]
SHELLS = ("bash", "zsh", "fish")


def complete_models(context: click.Context, parameter: click.Parameter, incomplete: str) -> Items:
    """Return the names of models that begin with a word."""
    return _items(list_models(), incomplete)


def complete_trained_models(context: click.Context, parameter: click.Parameter, incomplete: str) -> Items:
    """Return NAME:TAG of all weights that begin with a word, or let the shell complete a path."""
    name, colon, _ = incomplete.partition(":")
    if colon and (tags := manifest.list_tags(name)):
        return _items([f"{name}:{tag}" for tag in tags], incomplete)
    names = _items(list_models(weights=True), incomplete) if incomplete else []
    return [*names, CompletionItem(incomplete, type="file")]


def complete_files(context: click.Context, parameter: click.Parameter, incomplete: str) -> Items:
    """Let the shell complete a path."""
    return [CompletionItem(incomplete, type="file")]


def complete_weights(context: click.Context, parameter: click.Parameter, incomplete: str) -> Items:
    """Return the tags of the model that begin with a word, or let the shell complete a path."""
    model = context.params.get("model") or next(iter(context.args), "")  # not parsed yet after an option without value
    tags = manifest.list_tags(model.partition(":")[0])
    return [*_items(tags, incomplete), CompletionItem(incomplete, type="file")]


def complete_recipes(context: click.Context, parameter: click.Parameter, incomplete: str) -> Items:
    """Return the names of recipes that begin with a word, or let the shell complete a path."""
    from cnnzoo.training.recipes import RECIPES

    return [*_items(RECIPES, incomplete), CompletionItem(incomplete, type="file")]


def complete_classes(context: click.Context, parameter: click.Parameter, incomplete: str) -> Items:
    """Return the names of lists of classes that begin with a word, or let the shell complete a path."""
    return [*_items(manifest.list_class_lists(), incomplete), CompletionItem(incomplete, type="file")]


def _items(names: Iterable[str], incomplete: str) -> Items:
    """Return completions for the names that begin with a word."""
    return [CompletionItem(name) for name in names if name.startswith(incomplete)]


@command()
@argument("shell", type=Choice(SHELLS, "shell"), help="The shell that you use: bash, zsh or fish.")
def completion(shell: str) -> None:
    """Print the script for completion in bash, zsh or fish.

    \b
    bash:  echo 'eval "$(cnnzoo completion bash)"' >> ~/.bashrc
    zsh:   echo 'eval "$(cnnzoo completion zsh)"' >> ~/.zshrc
    fish:  cnnzoo completion fish > ~/.config/fish/completions/cnnzoo.fish

    Then start a new shell.
    """
    completion_class = get_completion_class(shell)
    assert completion_class
    root = click.get_current_context().find_root().command
    echo(completion_class(root, {}, "cnnzoo", "_CNNZOO_COMPLETE").source())


COMMANDS = (completion,)
