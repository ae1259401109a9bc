"""Names of splits: which of train, validation and test a folder or a value is called after."""

import re
from collections.abc import Iterable, Mapping
from typing import NamedTuple

SPLIT_NAMES = {
    "train": "train",
    "training": "train",
    "val": "validation",
    "valid": "validation",
    "validation": "validation",
    "test": "test",
    "testing": "test",
}
# Words within longer names, as in training_set, seg_train, "Test Images" and TrainSet
SPLIT_WORDS = SPLIT_NAMES | {
    "trn": "train",
    "validate": "validation",
    "dev": "validation",
    "development": "validation",
    "tst": "test",
    "holdout": "test",
    "heldout": "test",
    "unseen": "test",
    "eval": "evaluation",  # validation if there is a test split, else test
    "evaluation": "evaluation",
    "evaluate": "evaluation",
    "pred": "unlabeled",
    "predict": "unlabeled",
    "prediction": "unlabeled",
    "unlabeled": "unlabeled",
    "unlabelled": "unlabeled",
    "submission": "unlabeled",
}
# Words that say nothing beside such a word
# fmt: off
FILLER_WORDS = {
    "set", "sets", "data", "dataset", "images", "image", "imgs", "img", "pics", "pictures", "photos", "folder",
    "dir", "split", "part",
}
# fmt: on
_COMPOUND = re.compile(f"({'|'.join(SPLIT_WORDS)})({'|'.join(FILLER_WORDS)})")


class SplitName(NamedTuple):
    """The split that a name speaks of.

    Attributes:
        split: train, validation, test, evaluation (either of the two), unlabeled, or "" if the name is none of a split.
        is_certain: whether the name says nothing else, so that it is hardly the name of a class.
    """

    split: str
    is_certain: bool


def guess_split(name: str) -> SplitName:
    """Return the split that a name speaks of.

    Example:
        >>> from cnnzoo.data.split_names import guess_split
        >>> guess_split("training_set")
        SplitName(split='train', is_certain=True)
        >>> guess_split("seg_test")
        SplitName(split='test', is_certain=False)
        >>> guess_split("cat").split
        ''
    """
    if name.casefold() in SPLIT_NAMES:
        return SplitName(SPLIT_NAMES[name.casefold()], True)
    spaced = re.sub("(?<=[a-z])(?=[A-Z])", " ", name).casefold()
    spaced = re.sub("(hold|held)[ _-]out", r"\1out", spaced)
    words = [part for word in re.findall("[^\\W\\d_]+", spaced) for part in _split_compound(word)]
    splits = {SPLIT_WORDS[word] for word in words if word in SPLIT_WORDS}
    if len(splits) != 1:
        return SplitName("", False)
    return SplitName(splits.pop(), all(word in SPLIT_WORDS or word in FILLER_WORDS for word in words))


def _split_compound(word: str) -> tuple[str, ...]:
    """Return the two words of names like trainset."""
    match = _COMPOUND.fullmatch(word)
    return match.groups() if match else (word,)


def resolve_evaluation(splits: Mapping[str, str], given: Iterable[str] = ()) -> dict[str, str]:
    """Return splits by name, with "evaluation" replaced: validation beside a test split, else test."""
    role = "validation" if "test" in {*splits.values(), *given} else "test"
    return {name: role if split == "evaluation" else split for name, split in splits.items()}
