"""Text for terminals and spreadsheets: durations, and names of files and classes, on which neither may act."""

import math
import os
import re
import shutil
import textwrap
import unicodedata
from typing import TextIO

# A spreadsheet takes a cell that begins with one of these for a formula, or skips the character before the formula.
FORMULA_STARTS = "=+\\-@\t\r\n\uff1d\uff0b\uff0d\uff20"
FORMULA = re.compile(f"'*[{FORMULA_STARTS}]")
NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)(e[+-]?\d+)?", re.ASCII | re.IGNORECASE)


def escape_controls(text: str, keep: str = "") -> str:
    r"""Return `text` with every character that acts on a terminal written as in Python: ESC becomes \x1b.

    These are control characters, line ends, characters that change the direction of writing, and lone surrogates.

    Args:
        text: a name, or a line that contains names.
        keep: characters that stay as they are, such as "\n" for a text of several lines.
    """
    if text.isascii() and text.isprintable():
        return text
    return "".join(_escape(c) if _acts(c) and c not in keep else c for c in text)


def _acts(character: str) -> bool:
    # Cc: control characters. Cf: invisible ones, of which joiners belong to emoji and to several scripts.
    # Cs: surrogates. Zl and Zp: ends of lines and paragraphs.
    category = unicodedata.category(character)
    return category in ("Cc", "Cs", "Zl", "Zp") or (category == "Cf" and character not in "\u200c\u200d")


def _escape(character: str) -> str:
    return character.encode("unicode_escape").decode("ascii")


def wrap_for_terminal(text: str, stream: TextIO | None) -> str:
    """Return `text` with its long lines wrapped at words, if `stream` is a terminal; unchanged for logs and files.

    Lines with columns, that is with several spaces in a row, and JSON stay as they are.
    """
    if stream is None or stream.closed or not stream.isatty():
        return text
    width = _measure_width(stream)
    return "\n".join(_wrap_line(line, width) for line in text.split("\n"))


def _measure_width(stream: TextIO) -> int:
    """Return the columns of a terminal."""
    if "COLUMNS" not in os.environ:
        try:
            columns = os.get_terminal_size(stream.fileno()).columns
        except (OSError, ValueError):
            columns = 0
        if columns:
            return columns
    return shutil.get_terminal_size().columns


def _wrap_line(line: str, width: int) -> str:
    prose = line.lstrip(" ")
    if len(line) <= width or "  " in prose or "\t" in line or prose.startswith(("{", "[")):
        return line
    indent = line[: len(line) - len(prose)]
    return textwrap.fill(
        prose,
        width,
        initial_indent=indent,
        subsequent_indent=indent,
        break_long_words=False,
        break_on_hyphens=False,
    )


def printable_name(name: str) -> str:
    r"""Return a file name as text that can be written as UTF-8: bytes that are not UTF-8 become \xNN."""
    try:
        encoded = name.encode("utf-8", "surrogateescape")
    except UnicodeEncodeError:  # a surrogate that stands for no byte, so that no file can have this name
        encoded = name.encode("utf-8", "backslashreplace")
    return encoded.decode("utf-8", "backslashreplace")


def escape_cell(text: str) -> str:
    """Return `text` for a cell of a CSV file, so that no spreadsheet takes it for a formula.

    What could be one gets an apostrophe in front, which `unescape_cell` removes again. Numbers stay as they are.

    Example:
        >>> escape_cell("=1+1"), escape_cell("-1"), unescape_cell("'=1+1")
        ("'=1+1", '-1', '=1+1')
    """
    return f"'{text}" if FORMULA.match(text) and not NUMBER.fullmatch(text) else text


def unescape_cell(cell: str) -> str:
    """Return the text of which `escape_cell` made `cell`."""
    return cell[1:] if cell.startswith("'") and FORMULA.match(cell) else cell


def format_duration(seconds: float) -> str:
    """Return a duration as a person would say it.

    Example:
        >>> format_duration(3.2), format_duration(100), format_duration(7400)
        ('3 s', '2 min', '2 h 3 min')
    """
    if seconds < 90:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 90 else f"{minutes // 60} h {minutes % 60} min"


def format_milliseconds(milliseconds: float) -> str:
    """Return a duration that may be far below a second, with two digits or all before the decimal point.

    Example:
        >>> [format_milliseconds(value) for value in (0.0567, 3.14, 178.2, 12345)]
        ['0.057 ms', '3.1 ms', '180 ms', '12 s']
    """
    if not 0 < milliseconds < math.inf:
        return "0 ms"
    rounded = round(milliseconds, 1 - math.floor(math.log10(milliseconds)))
    if rounded < 1000:
        decimals = max(0, 1 - math.floor(math.log10(rounded)))
        return f"{rounded:.{decimals}f} ms"
    return f"{rounded / 1000:.{int(rounded < 10_000)}f} s" if rounded < 90_000 else format_duration(rounded / 1000)


def format_count(count: int, noun: str, plural: str = "") -> str:
    """Return a number with its noun in the singular or the plural, for messages.

    Args:
        count: the number.
        noun: the noun in the singular.
        plural: its plural, if that is not the singular and an s.

    Example:
        >>> format_count(1, "image"), format_count(2000, "image"), format_count(0, "class", "classes")
        ('1 image', '2,000 images', '0 classes')
    """
    return f"{count:,} {noun if count == 1 else plural or noun + 's'}"


def choose_form(count: int, singular: str, plural: str) -> str:
    """Return the form of a word that agrees with a number, such as "has" or "have".

    Example:
        >>> f"{format_count(1, 'image')} {choose_form(1, 'has', 'have')} no label"
        '1 image has no label'
    """
    return singular if count == 1 else plural
