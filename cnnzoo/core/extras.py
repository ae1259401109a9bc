"""How to install an optional part of the package, for messages about what is missing."""

import json
import os
import shlex
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path
from urllib.parse import unquote, urlsplit

PACKAGE = "cnnzoo"
CLONE = Path(__file__).resolve().parents[2]


def install_command(extra: str) -> str:
    """Return the command that installs an extra of this package from where the package itself came.

    The package may run from a clone, or may have been installed from one, from a repository, or from an index.

    Args:
        extra: the name of an extra, such as "export".

    Example:
        >>> from cnnzoo.core.extras import install_command
        >>> install_command("export")
        "pip install -e '...[export]'"
    """
    if (CLONE / "pyproject.toml").is_file():
        return f"pip install -e {_quote(CLONE, extra)}"
    url = _installed_from()
    path = Path(unquote(urlsplit(url).path)) if url.startswith("file:") else None
    if path and (path / "pyproject.toml").is_file():
        return f"pip install {_quote(path, extra)}"
    if path:  # the clone was moved or deleted, or a wheel was installed
        return f"pip install '.[{extra}]' in a clone of the repository"
    requirement = f"{PACKAGE}[{extra}]" + (f" @ {url}" if url else "")
    return f"pip install {shlex.quote(requirement)}"


def _quote(folder: Path, extra: str) -> str:
    """Return a folder with an extra, quoted for a shell; "." stands for the current folder."""
    try:
        is_current = folder.samefile(os.curdir)
    except OSError:  # the current folder was deleted
        is_current = False
    return shlex.quote(f"{'.' if is_current else folder}[{extra}]")


def _installed_from() -> str:
    """Return the address that the package was installed from, or "" for an index of packages."""
    try:
        origin = json.loads(distribution(PACKAGE).read_text("direct_url.json") or "{}")
        url = str(origin.get("url", ""))
    except (PackageNotFoundError, ValueError, AttributeError):
        return ""
    vcs = origin.get("vcs_info", {}).get("vcs", "")
    return f"{vcs}+{url}" if url and vcs else url
