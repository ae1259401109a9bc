"""Check and resolve the paths that users give: whatever is wrong with one is an InputError that names the remedy."""

import difflib
import errno
import itertools
import os
from pathlib import Path

from cnnzoo.core.errors import InputError

AnyPath = str | bytes | os.PathLike[str] | os.PathLike[bytes]
MAX_SHOWN = 200  # characters of a path in a message
MAX_SEARCHED = 10_000  # names in a folder, among which the nearest is looked for


def check_path(path: object, name: str = "the path") -> Path:
    """Return `path` as a Path that the system can look up, whether there is something at it or not.

    "~" and "~user" at its beginning stand for a home directory, unless there is a file or folder of that name.

    Args:
        path: text, bytes or a path-like object.
        name: what the path is for, such as "run_dir"; it begins the message.

    Raises:
        InputError: if `path` is empty, no path, too long, holds a NUL character, begins with an unknown home, leads
            through links in a circle, or is relative in a working directory that was deleted.
    """
    text = path_text(path, name)
    if not text:
        raise InputError(f"{name} is empty; write '.' for the current folder")
    if text.startswith("~") and not path_exists(text.partition("/")[0]):
        text = str(expand_home(text))
    check_working_dir(text)
    try:
        os.stat(text)  # noqa: PTH116  # unlike Path.stat, it also takes what no file can be called
    except ValueError as error:
        reason = "it holds a NUL character" if "\0" in text else f"no file can have this name: {error}"
        raise InputError(f"{name} cannot be {shorten(text)}: {reason}") from None
    except OSError as error:
        # There may be nothing yet; whether that is a fault, the caller knows.
        if error.errno == errno.ENAMETOOLONG:
            raise InputError(f"{name} cannot be {shorten(text)}: {error.strerror}") from None
        if error.errno == errno.ELOOP:
            raise InputError(f"{name} cannot be {shorten(text)}: it is a link that leads back to itself") from None
    return Path(text)


def path_text(path: object, name: str = "the path") -> str:
    """Return a path as text; raise InputError for what is no path. Nothing is looked up."""
    try:
        return os.fsdecode(path)  # type: ignore[arg-type]
    except TypeError:
        is_model = hasattr(path, "get_weights")
        hint = ". The model comes before the path; cnnzoo.Classifier.of(model) needs no path" if is_model else ""
        raise InputError(f"{name} must be a path. Received: {path!r:.200}{hint}") from None


def shorten(text: str) -> str:
    """Return a path in quotes for a message, cut in the middle if it is long."""
    half = MAX_SHOWN // 2
    return repr(text) if len(text) <= MAX_SHOWN else f"{text[:half]!r}...{text[-half:]!r} ({len(text):,} characters)"


def path_exists(path: AnyPath) -> bool:
    """Return whether there is a file, a folder or a link of this name; False for what cannot be a name.

    A link counts even if it leads nowhere.
    """
    try:
        return os.path.lexists(path)
    except ValueError:  # NUL, surrogates
        return False


def path_is_file(path: AnyPath) -> bool:
    """Return whether there is a file of this name; False for what cannot be a name, or is too long for one."""
    return os.path.isfile(path)  # noqa: PTH113  # Path.is_file raises an error for what is too long


def nearest_path(path: AnyPath) -> str:
    """Return the path with the nearest name in the same folder, or "" if none is near, for a path that does not exist.

    A folder on the way that does not exist either is replaced by the nearest one.
    """
    folder, name = os.path.split(os.fsdecode(path).rstrip("/"))
    if folder and not path_exists(folder):
        folder = nearest_path(folder)
        if not folder:
            return ""
        if path_exists(os.path.join(folder, name)):  # noqa: PTH118  # keeps "./" and "..", as the user typed them
            return os.path.join(folder, name)  # noqa: PTH118
    try:
        with os.scandir(folder or ".") as entries:
            names = [entry.name for entry in itertools.islice(entries, MAX_SEARCHED) if not entry.name.startswith(".")]
    except (OSError, ValueError):
        return ""
    by_folded_name = {entry.casefold(): entry for entry in names}
    nearest = difflib.get_close_matches(name.casefold(), by_folded_name, n=1, cutoff=0.7)
    return os.path.join(folder, by_folded_name[nearest[0]]) if nearest else ""  # noqa: PTH118


def check_working_dir(path: AnyPath) -> None:
    """Raise InputError if `path` is relative in a working directory that was deleted."""
    if os.path.isabs(path):  # noqa: PTH117  # called for millions of paths
        return
    try:
        os.getcwd()  # noqa: PTH109  # the same
    except OSError:
        raise InputError(
            f"The path {os.fsdecode(path)!r} is relative, and the working directory no longer exists; change to "
            "another directory, or give an absolute path"
        ) from None


def resolve_path(path: AnyPath) -> Path:
    """Return the absolute path with its links followed as far as possible.

    Unlike `Path.resolve` it returns a path for links in a circle and for names that are too long or hold a NUL.

    Raises:
        InputError: if `path` is relative in a working directory that was deleted.
    """
    check_working_dir(path)
    try:
        return Path(os.path.realpath(os.fsdecode(path)))
    except (ValueError, OSError):  # NUL, surrogates
        return Path(os.path.abspath(os.fsdecode(path)))  # noqa: PTH100  # Path.absolute keeps ".."


def expand_home(path: AnyPath) -> Path:
    """Return `path` with "~" or "~user" at its beginning replaced by the home directory.

    Raises:
        InputError: if the home is unknown: no such user, or neither HOME nor an entry in the list of users.
    """
    text = os.fsdecode(path)
    try:
        return Path(text).expanduser()
    except (RuntimeError, ValueError):
        user = text.partition("/")[0]
        problem = "there is no user of this name" if len(user) > 1 else "HOME is not set, and this user has no entry"
        raise InputError(
            f"The home {user!r} of {shorten(text)} is unknown: {problem}; give the whole path, or ./{user} for a "
            "folder of this name"
        ) from None


def check_picture_path(path: object) -> Path:
    """Return the path of a picture to write; raise `InputError` unless it ends in .png."""
    checked = check_path(path, "the picture")
    if checked.suffix.lower() != ".png":
        raise InputError(f"The picture must be a .png file. Received: {str(checked)!r}")
    return checked
