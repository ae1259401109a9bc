"""Folders that are splits: above the classes, as in train/cat, or below them, as in cat/train."""

from collections import Counter
from collections.abc import Mapping

from cnnzoo.core.errors import InputError, unknown_name
from cnnzoo.data.class_folders import ClassFolder, Layout
from cnnzoo.data.folder_tree import Folder
from cnnzoo.data.layout_messages import describe_choice, join_names
from cnnzoo.data.split_names import SPLIT_NAMES, guess_split, resolve_evaluation

SPLIT_ORDER = ("train", "validation", "test")


# Splits above the classes, as in train/cat


def check_split_folders(top: Folder, split_folders: Mapping[str, str]) -> dict[str, str]:
    """Return the splits by folder name that the user gave, after checking that there are such folders."""
    names = {folder.name for folder in top.folders}
    splits = {}
    for name, split in split_folders.items():
        if name not in names:
            raise unknown_name(f"folder of {top.name} in split_folders", name, names)
        splits[name] = SPLIT_NAMES[split.casefold()]
    return splits


def find_splits(top: Folder) -> dict[str, str]:
    """Return the split of each folder that is one by its name; empty if the folders are not splits.

    Folders are splits if all of them have such names, or if there are a training and another split. So a folder "train"
    beside other classes is a class.
    """
    folders = [f for f in top.folders if f.holds_images or guess_split(f.name).is_certain]
    guesses = {f.name: guess.split for f in folders if (guess := guess_split(f.name)).split}
    labeled = {name: split for name, split in guesses.items() if split != "unlabeled"}
    exact = {name: split for name, split in labeled.items() if name.casefold() in SPLIT_NAMES}
    if exact and (len(exact) == len(folders) or {"train"} < set(exact.values())):
        # Names like dev_set add only the splits that are missing
        others = resolve_evaluation(labeled, exact.values())
        splits = exact | {name: split for name, split in others.items() if split not in exact.values()}
    elif labeled and (len(guesses) == len(folders) or {"train"} < set(labeled.values())):
        splits = resolve_evaluation(labeled)
        # Classes such as bullet_train and crash_test hold images themselves
        training = [f for f in folders if splits.get(f.name) == "train"] or [f for f in folders if f.name in splits]
        if not any(folder.holds_only_folders for folder in training):
            return {}
    else:
        return {}

    splits = _order_splits(splits)
    counts = Counter(splits.values())
    if twice := [name for name, split in splits.items() if counts[split] > 1]:
        same = [name for name in twice if splits[name] == splits[twice[0]]]
        raise InputError(
            f"{str(top.path)!r} has two folders for the {splits[twice[0]]} split: {', '.join(same)}. State the split "
            f"of each folder to use: {describe_choice(splits)}"
        )
    return splits


def _order_splits(splits: Mapping[str, str]) -> dict[str, str]:
    """Return splits by folder name, train first."""
    return dict(sorted(splits.items(), key=lambda item: (SPLIT_ORDER.index(item[1]), item[0])))


def add_splits(layout: Layout, top: Folder, splits: Mapping[str, str]) -> None:
    """Add the classes in the folders of the splits."""
    layout.notes.append(f"Splits: {', '.join(f'{split} from {name!r}' for name, split in splits.items())}.")
    by_name = {folder.name: folder for folder in top.folders}
    hint = "split_folders (--split-folder) states the split of each folder to use"
    layout.left_out += [
        (folder, f"a folder beside train, validation and test; {hint}")
        for folder in top.folders
        if folder.name not in splits
    ]

    # A folder within a split that holds all of its classes is looked through, unless another split has it as a class
    counts = Counter(inner.name for name in splits for inner in by_name[name].folders)
    ways = {
        name: by_name[name].unwrap(lambda f: counts[f.name] > 1 and not guess_split(f.name).split) for name in splits
    }
    trained = {f.name for name, split in splits.items() if split == "train" for f in ways[name][-1].folders}
    for name, split in splits.items():
        way, folders = ways[name], ways[name][-1].folders
        layout.passed += way
        if not way[0].holds_images:
            layout.notes.append(f"The folder {name} has no images.")
        if len(way) > 1:
            layout.notes.append(f"The classes of {name} are in {join_names(way)!r}.")
        if split != "train" and trained and len(folders) == 1 and folders[0].name not in trained:
            layout.left_out.append((folders[0], "the only folder of its split, and not a class of the training images"))
        else:
            layout.add_classes(folders, split)


# Splits below the classes, as in cat/train


def find_splits_in_classes(top: Folder) -> dict[str, str]:
    """Return the splits by name if every folder holds folders of splits; else an empty dict."""
    folders = top.image_folders
    names = {inner.name for folder in folders for inner in folder.image_folders}
    guesses = {name: guess.split for name in names if (guess := guess_split(name)).is_certain}
    labeled = {name: split for name, split in guesses.items() if split != "unlabeled"}
    splits = _order_splits(resolve_evaluation(labeled))
    is_clear = len(set(splits.values())) == len(splits) > 1 and "train" in splits.values()
    if len(folders) < 2 or not is_clear:
        return {}
    have_splits = (f.holds_only_folders and splits.keys() & {inner.name for inner in f.folders} for f in folders)
    return splits if all(have_splits) else {}


def add_splits_of_classes(layout: Layout, top: Folder, splits: Mapping[str, str]) -> None:
    """Add the splits in the folders of the classes."""
    layout.notes.append(
        f"Splits in each class: {', '.join(f'{split} from {name!r}' for name, split in splits.items())}."
    )
    for folder in top.folders:
        if not folder.holds_images:
            layout.add_classes([folder])
            continue
        layout.passed.append(folder)
        for inner in folder.folders:
            if inner.name in splits:
                layout.classes.append(ClassFolder(inner, folder.name, splits[inner.name]))
            else:
                layout.left_out.append((inner, "a folder beside the splits of its class"))
