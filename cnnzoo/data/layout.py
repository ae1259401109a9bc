"""Layout of a folder of images: which folders are classes, which are splits, and which only wrap them.

Names and structure decide together; what was decided is returned as notes. A folder that can be read in two ways raises
an error with both readings and the argument that chooses.
"""

import re
from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from cnnzoo.core.errors import InputError, unknown_name
from cnnzoo.data.folder_options import FolderOptions
from cnnzoo.data.folder_tree import Folder
from cnnzoo.data.layout_messages import (
    describe_choice,
    describe_lone_split,
    describe_two_readings,
    join_names,
    list_names,
)
from cnnzoo.data.listing import REPEATED_FOLDER, natural_sort_key
from cnnzoo.data.litter import NOTE_FOLDERS
from cnnzoo.data.split_names import SPLIT_NAMES, guess_split, resolve_evaluation

SPLIT_ORDER = ("train", "validation", "test")
IMAGES_NAME = re.compile(r"images?|imgs?|photos?|pictures?|pics?|files|data|jpe?gs?|pngs?|raw|originals?")
# Names that number or date a part of the data, or say nothing: not classes, where there is another reading
PART_NAME = re.compile(
    r"(album|batch|camera|cam|clip|day|disc|fold|frame|group|page|part|patient|person|roll|scene|seq|sequence|session"
    r"|set|shot|subject|take|user|video|view)s?[ _-]?\d+"
    r"|(19|20)\d\d([ _-]?(0\d|1[0-2])([ _-]?([0-2]\d|3[01]))?)?"  # a year, perhaps with month and day
    rf"|{IMAGES_NAME.pattern}"
)


@dataclass(frozen=True)
class ClassFolder:
    """A folder whose images, at any depth, have one class and one split."""

    folder: Folder
    label: str
    split: str = ""


@dataclass
class Layout:
    """The class folders of a source, and how they were found.

    Attributes:
        classes: the class folders.
        passed: the folders above them, whose own files belong to no class.
        left_out: folders that are not used, and why.
        notes: sentences about what was decided.
    """

    classes: list[ClassFolder] = field(default_factory=list)
    passed: list[Folder] = field(default_factory=list)
    left_out: list[tuple[Folder, str]] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    def add_classes(self, folders: Sequence[Folder], split: str = "") -> None:
        """Add folders as classes; the listing finds out which of them have no images."""
        self.classes += [ClassFolder(folder, folder.name, split) for folder in folders if not folder.leads_back]
        self.left_out += [(folder, REPEATED_FOLDER) for folder in folders if folder.leads_back]


def find_layout(root: Path, options: FolderOptions) -> Layout:
    """Return the layout of a folder.

    Raises:
        InputError: if an option is wrong, or the layout can be read in two ways.
    """
    options.check()
    known_classes = set(map(str, options.known_classes or ()))
    split_folders = options.split_folders
    outer_are_classes = options.class_folders == "outer" or (split_folders is not None and not split_folders)
    layout = Layout()

    # A folder that only wraps the others is looked through
    names = known_classes | set(split_folders or ())
    way = [Folder(root)]
    if not outer_are_classes:
        way = way[0].unwrap(lambda f: f.name in names or guess_split(f.name).split not in ("", "unlabeled"))
    if not outer_are_classes and (images := _find_images_beside_notes(way[-1])):
        layout.left_out += [
            (folder, f"a folder beside {images.name}") for folder in way[-1].folders if folder is not images
        ]
        way.append(images)
    layout.passed += way
    top = way[-1]
    if len(way) > 1:
        layout.notes.append(f"Everything is in {join_names(way[1:])!r}, so the folders in it are read.")

    # What the user says decides first, then the names, then the structure
    if split_folders:
        _add_splits(layout, top, _check_split_folders(top, split_folders))
    elif outer_are_classes or _have_known_names(top, known_classes):
        _add_outer(layout, top)
    elif splits := _find_splits(top):
        _add_splits(layout, top, splits)
    elif options.class_folders == "inner":
        _add_inner(layout, top)
    elif splits := _find_splits_in_classes(top):
        _add_splits_of_classes(layout, top, splits)
    elif _inner_are_classes(top, known_classes):
        _add_inner(layout, top)
    else:
        _add_outer(layout, top)
    return layout


def _find_images_beside_notes(top: Folder) -> Folder | None:
    """Return the folder of the images beside folders such as masks and labels, which may hold images too."""
    folders = top.image_folders
    images = [folder for folder in folders if IMAGES_NAME.fullmatch(folder.name.casefold())]
    others_are_notes = all(f.name.casefold() in NOTE_FOLDERS for f in folders if f not in images)
    return images[0] if len(images) == 1 < len(folders) and others_are_notes and images[0].holds_only_folders else None


# Splits above the classes, as in train/cat


def _check_split_folders(top: Folder, split_folders: Mapping[str, str]) -> dict[str, str]:
    """Return the splits by folder name that the user gave, after checking that there are such folders."""
    names = {folder.name for folder in top.folders}
    splits = {}
    for name, split in split_folders.items():
        if name not in names:
            raise unknown_name(f"folder of {top.name} in split_folders", name, names)
        splits[name] = SPLIT_NAMES[split.casefold()]
    return splits


def _find_splits(top: Folder) -> dict[str, str]:
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


def _add_splits(layout: Layout, top: Folder, splits: Mapping[str, str]) -> None:
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


def _find_splits_in_classes(top: Folder) -> dict[str, str]:
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


def _add_splits_of_classes(layout: Layout, top: Folder, splits: Mapping[str, str]) -> None:
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


# Classes without splits


def _add_outer(layout: Layout, top: Folder) -> None:
    """Add the folders in `top` as classes."""
    layout.add_classes(top.folders)
    for folder in top.image_folders if len(top.image_folders) > 1 else ():
        if guess_split(folder.name).is_certain and folder.has_files:
            layout.notes.append(
                f"{folder.name} is taken as a class, as its images lie directly in it, beside other classes. If they "
                "are not labeled, move the folder elsewhere."
            )
    nested = [f"{folder.name}/{inner.name}" for folder in top.folders for inner in folder.image_folders]
    if nested:
        layout.notes.append(f"Folders inside those of the classes belong to these: {list_names(nested, 3)}.")


def _add_inner(layout: Layout, top: Folder) -> None:
    """Add the folders inside the folders of `top` as classes."""
    layout.notes.append(
        f"The folders {list_names(f.name for f in top.image_folders)} hold the classes; their images are pooled."
    )
    layout.add_classes([folder for folder in top.folders if not folder.holds_images])
    for way in _unwrap_each(top):
        layout.passed += way
        layout.add_classes(way[-1].folders)


def _unwrap_each(top: Folder) -> list[list[Folder]]:
    """Return the way to the inner folders of each folder; see `Folder.unwrap`."""
    folders = top.image_folders
    counts = Counter(inner.name for folder in folders for inner in folder.folders)
    all_wrapped = all(len(folder.image_folders) == 1 for folder in folders)  # as in camera1/images, camera2/images
    return [folder.unwrap(lambda f: counts[f.name] > 1 and not all_wrapped) for folder in folders]


def _have_known_names(top: Folder, known_classes: Collection[str]) -> bool:
    """Return whether folders have names of known classes, and the folders inside them do not."""
    inner = {inner.name for folder in top.folders for inner in folder.folders}
    return any(folder.name in known_classes for folder in top.folders) and not inner & {*known_classes}


def _inner_are_classes(top: Folder, known_classes: Collection[str]) -> bool:
    """Return whether the classes are the folders inside the folders of `top`.

    Raises:
        InputError: if the classes can be either.
    """
    folders, ways = top.image_folders, _unwrap_each(top)
    outer = [folder.name for folder in folders]
    inner = [{f.name for f in way[-1].image_folders} for way in ways]
    names = sorted(set().union(*inner), key=natural_sort_key)
    if {*names} & {*known_classes} and not {*outer} & {*known_classes}:
        return True
    if len(folders) < 2:
        return False

    # A folder called train whose images lie in several folders is hardly a class
    for folder in folders:
        guess = guess_split(folder.name)
        if guess.is_certain and folder.holds_only_folders and len(folder.image_folders) > 1:
            raise InputError(describe_lone_split(top, folder, outer))

    # Folders that hold folders of the same names
    if not all(folder.holds_only_folders for folder in folders):
        return False
    counts = Counter(name for each in inner for name in each)
    shared = {name for name, count in counts.items() if count > 1}
    if len(shared) < 2 or any(2 * len(each & shared) < len(each) for each in inner) or _are_parts(shared):
        return False
    if _are_parts(outer):
        return True
    raise InputError(describe_two_readings(top, outer, names))


def _are_parts(names: Iterable[str]) -> bool:
    """Return whether all names number or date a part of the data, so that they are no classes."""
    return all(PART_NAME.fullmatch(name.casefold()) for name in names)
