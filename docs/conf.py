"""Settings of the documentation site, which `make docs` builds without a network."""

import os
import re
import sys
from pathlib import Path

from docutils import nodes

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT))
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import cnnzoo  # noqa: E402
from cnnzoo.cli.startup import import_keras_quietly  # noqa: E402

import_keras_quietly()

project = "cnnzoo"
author = "the cnnzoo contributors"
project_copyright = "the cnnzoo contributors; Apache-2.0"
release = version = cnnzoo.__version__

extensions = [
    "myst_parser",
    "sphinx.ext.autodoc",
    "sphinx.ext.napoleon",
    "sphinx_click",
    "sphinx_copybutton",
]
exclude_patterns = ["_build"]

# References to public names must resolve. Other types are plain text: nothing is downloaded.
nitpicky = True
nitpick_ignore_regex = [("py:.*", r"(?!cnnzoo\.\w+$).*")]

# Markdown pages
myst_enable_extensions = ["colon_fence", "deflist"]
myst_heading_anchors = 3
smartquotes = False  # options start with two dashes

# API reference. Docstrings use single backticks for code, as those of Keras do.
default_role = "code"
autodoc_typehints = "description"
autodoc_typehints_description_target = "documented_params"
autodoc_member_order = "bysource"
autodoc_preserve_defaults = True
napoleon_google_docstring = True
napoleon_numpy_docstring = False
napoleon_use_rtype = False
add_module_names = False
python_maximum_signature_line_length = 88

# Appearance. Furo uses the system's fonts and loads nothing from other servers.
html_theme = "furo"
html_title = f"cnnzoo {release}"
html_static_path = ["_static"]
html_css_files = ["cnnzoo.css"]
html_copy_source = False
html_show_sourcelink = False
html_theme_options = {
    "top_of_page_buttons": [],
    "light_css_variables": {"color-brand-primary": "#1d4ed8", "color-brand-content": "#1d4ed8"},
    "dark_css_variables": {"color-brand-primary": "#93c5fd", "color-brand-content": "#93c5fd"},
}
copybutton_exclude = ".linenos, .gp, .go"
copybutton_prompt_text = r">>> |\.\.\. |\$ "
copybutton_prompt_is_regexp = True

CODE_SPAN = re.compile(r"(``[^`]+``|:\w+:`[^`]+`|`[^`\n]+`)")
MARKUP = re.compile(r"(?<!\\)([*|]|(?<=\S)_(?!\w))")


def escape_docstring(app, what, name, obj, options, lines):
    """Escape the characters that are markup in reStructuredText, but plain text in our docstrings.

    Only backticks are markup in a docstring. Doctest blocks are left alone.
    """
    if what in ("property", "attribute", "data"):
        lines.insert(0, "")  # or napoleon takes the words before a colon for a type
    in_doctest = False
    for i, line in enumerate(lines):
        in_doctest = line.lstrip().startswith(">>>") or (in_doctest and bool(line.strip()))
        if in_doctest or line.lstrip().startswith((":", "..")):
            continue
        bullet = re.match(r"\s*\* ", line)
        start = bullet.end() if bullet else 0
        parts = CODE_SPAN.split(line[start:])
        parts[::2] = [MARKUP.sub(r"\\\1", part) for part in parts[::2]]
        # A letter may follow a code span directly, as in the plural of a name.
        for at in range(1, len(parts), 2):
            if re.match(r"\w", parts[at + 1]):
                parts[at] += "\\ "
        lines[i] = line[:start] + "".join(parts)


def show_examples_as_code(app, ctx, lines):
    """Show the preformatted lines of a command's help, after its \\b, as a block of code."""
    result, inside = [], False
    for line in lines:
        preformatted = line.startswith("| ")
        if preformatted and not inside:
            result += ["", ".. code-block:: text", ""]
        result.append("   " + line[2:] if preformatted else line)
        inside = preformatted
    lines[:] = result


def show_paths_as_text(app, ctx, lines):
    """Show a default that is a path as its text."""
    lines[:] = [re.sub(r"\w*Path\('([^']*)'\)", r"'\1'", line) for line in lines]


def skip_tuple_fields(app, what, name, obj, skip, options):
    """Skip the fields of named tuples that have no description of their own."""
    return True if str(getattr(obj, "__doc__", "")).startswith("Alias for field number") else None


def improve_typography(app, doctree, docname):
    """Keep a number and its percent sign on one line; write dashes as dashes."""
    for text in list(doctree.findall(nodes.Text)):
        if isinstance(text.parent, nodes.literal | nodes.literal_block):
            continue
        improved = re.sub(r"(?<=\d) %", "\u00a0%", text).replace(" -- ", " \u2013 ")
        if improved != text:
            text.parent.replace(text, nodes.Text(improved))


def setup(app):
    """Connect the functions above; the first one runs before napoleon."""
    app.connect("autodoc-process-docstring", escape_docstring, priority=100)
    app.connect("sphinx-click-process-description", show_examples_as_code)
    app.connect("sphinx-click-process-options", show_paths_as_text)
    app.connect("autodoc-skip-member", skip_tuple_fields)
    app.connect("doctree-resolved", improve_typography)
