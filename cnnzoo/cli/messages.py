"""Errors and warnings as the command line words them: with options in place of Python's arguments."""

import re

# Messages of the package name both, as in "overwrite=True (--overwrite) replaces it": Python first, then in parentheses
# what it is on the command line: an option, a command, or a model with the file of its weights.
VALUE = r"""(?:'[^']*'|"[^"]*"|\([^()]*\)|\[[^\]]*\]|[\w.]+)"""
CALL = r"[\w.]+\([^()]*(?:\([^()]*\)[^()]*)*\)"
ASSIGNMENT = rf"\w+={VALUE}"
BOTH = re.compile(rf"(?<!\w)(?P<python>{CALL}|{ASSIGNMENT}) \((?P<words>(?:--[a-z]|cnnzoo |\w+:\S)[^()]*)\)")
FUNCTION = re.compile(r"\bcnnzoo\.\w+ \((?P<words>cnnzoo [^()]*)\)")
NAME = re.compile(r"\b(?P<name>[a-z_]+) \((?P<words>--(?P<flag>[a-z-]+))\)")


def prefer_options(message: str) -> str:
    """Return a message with the words of the command line in place of those of Python, where it has both.

    Example:
        >>> from cnnzoo.cli.messages import prefer_options
        >>> prefer_options("a.csv already exists; overwrite=True (--overwrite) replaces it")
        'a.csv already exists; --overwrite replaces it'
    """
    message = FUNCTION.sub(r"\g<words>", BOTH.sub(r"\g<words>", message))
    return NAME.sub(_prefer_flag, message)


def _prefer_flag(match: re.Match[str]) -> str:
    """Return the flag for an argument of the same name, as in "image_dir (--image-dir)"; else both."""
    is_same = match["name"].replace("_", "-").startswith(match["flag"])
    return match["words"] if is_same else match[0]
