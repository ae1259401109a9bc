"""What the user says about the layout of a folder."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass

from cnnzoo.core.errors import InputError, unknown_name
from cnnzoo.data.split_names import SPLIT_NAMES

CLASS_FOLDERS = ("auto", "outer", "inner")  # allowed values of the argument


@dataclass(frozen=True)
class FolderOptions:
    """What the user says about the layout; the last two are arguments of `load_data`.

    Attributes:
        known_classes: class names that the user gave; folders with these names are classes.
        class_folders: "outer" if the folders in the source are the classes, "inner" if those inside them are, or
            "auto".
        split_folders: the split of each folder in the source that is one; empty if none is.
    """

    known_classes: Collection[str] | None = None
    class_folders: str = "auto"
    split_folders: Mapping[str, str] | None = None

    @property
    def are_given(self) -> bool:
        """Whether the user said anything about folders."""
        return self.class_folders != "auto" or self.split_folders is not None

    def check(self) -> None:
        """Raise InputError if an option is wrong."""
        if self.class_folders not in CLASS_FOLDERS:
            raise unknown_name("class_folders", self.class_folders, CLASS_FOLDERS)
        if not isinstance(self.split_folders, Mapping | None):
            raise InputError(
                "split_folders must be a dict such as {'fold1': 'train', 'fold2': 'test'}. "
                f"Received: {self.split_folders!r:.200}"
            )
        for split in (self.split_folders or {}).values():
            if str(split).casefold() not in SPLIT_NAMES:
                raise unknown_name("split in split_folders", split, SPLIT_NAMES)
