"""Messages about the layout of a folder: both readings of one that is not clear, and the argument that chooses."""

import shlex
from collections.abc import Iterable, Mapping, Sequence

from cnnzoo.data.folder_tree import Folder
from cnnzoo.data.split_names import SPLIT_NAMES, guess_split

SHOWN_NAMES = 6  # in a note or a message


def describe_lone_split(top: Folder, folder: Folder, outer: Sequence[str]) -> str:
    """Return both readings of a folder that is called like a split, beside folders that are not."""
    split = guess_split(folder.name).split
    choice = {folder.name: split if split in SPLIT_NAMES.values() else "test"}
    return (
        f"{str(top.path)!r} can be read in two ways. Either the classes are its folders, {list_names(outer)}: "
        f"class_folders='outer' (--class-folders outer). Or {folder.name} is a split with the classes "
        f"{list_names(f.name for f in folder.image_folders)}: {describe_choice(choice)}; add other folders that are "
        "splits"
    )


def describe_two_readings(top: Folder, outer: Sequence[str], inner: Sequence[str]) -> str:
    """Return both readings of folders that hold folders of the same names."""
    choice = dict(zip(outer, ("train", "test", "validation"), strict=False))
    return (
        f"{str(top.path)!r} can be read in two ways, because its folders hold folders of the same names. Either the "
        f"classes are {list_names(outer)}: class_folders='outer' (--class-folders outer). Or they are "
        f"{list_names(inner)}: class_folders='inner' (--class-folders inner). If {list_names(outer)} are splits, state "
        f"which, for example {describe_choice(choice)}. To use one of them alone, load it: {str(top.path / outer[0])!r}"
    )


def describe_choice(splits: Mapping[str, str]) -> str:
    """Return the argument that states the splits of folders, for Python and for the command line."""
    options = " ".join(f"--split-folder {shlex.quote(f'{name}={split}')}" for name, split in splits.items())
    return f"split_folders={dict(splits)} ({options})"


def list_names(names: Iterable[str], count: int = SHOWN_NAMES) -> str:
    """Return the first names, and how many more there are."""
    names = list(names)
    return ", ".join(names[:count]) + (f" and {len(names) - count:,} more" if len(names) > count else "")


def join_names(way: Sequence[Folder]) -> str:
    """Return the relative path of the last of some folders in each other."""
    path = "/".join(folder.name for folder in way)
    return path if len(path) <= 100 else f"{path[:50]}...{path[-40:]}"
