"""Names of classes, folders and files in Markdown, in Python and in a shell: as text that none of them acts on."""

import os
import re
import shlex

from cnnzoo.core.text import escape_controls

HTML = {"&": "&amp;", "<": "&lt;", ">": "&gt;"}


def markdown_text(text: object) -> str:
    r"""Return a name as Markdown that shows it as it is: no HTML, no links, no emphasis, no cells of a table.

    Example:
        >>> from cnnzoo.export.quoting import markdown_text
        >>> print(markdown_text("<b>a|b</b>"), markdown_text("golden_retriever"))
        &lt;b&gt;a\|b&lt;/b&gt; golden_retriever
    """
    escaped = re.sub(r"[\\`*\[\]|~!#$]", r"\\\g<0>", str(text))
    escaped = re.sub(r"(?<!\w)_|_(?!\w)", r"\\_", escaped)  # within a word it is no emphasis
    escaped = re.sub("[&<>]", lambda match: HTML[match[0]], escaped)
    return re.sub("^(?=[-+=])", r"\\", escape_controls(escaped))


def python_text(text: str) -> str:
    r"""Return a name for a Python text in double quotes, within a block of code in Markdown."""
    escaped = text.replace("\\", r"\\").replace('"', r"\"").replace("`", r"\x60")
    return escape_controls(escaped)


def shell_word(text: str) -> str:
    r"""Return a name as one word of a shell, within a block of code in Markdown."""
    if escape_controls(text) == text and "`" not in text:
        return f"./{text}" if text.startswith("-") and shlex.quote(text) == text else shlex.quote(text)
    # $'...' is the only form that writes control characters as printable ones.
    escaped = "".join(chr(byte) if _is_plain(byte) else f"\\x{byte:02x}" for byte in os.fsencode(text))
    return f"$'{escaped}'"


def _is_plain(byte: int) -> bool:
    return 0x20 <= byte < 0x7F and chr(byte) not in "\\'`"
