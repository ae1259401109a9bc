"""Errors on the command line name its options, not the arguments of Python."""

import pytest

from cnnzoo.cli.messages import prefer_options


@pytest.mark.parametrize(
    ("message", "expected"),
    [
        ("a.csv exists; overwrite=True (--overwrite) replaces it", "a.csv exists; --overwrite replaces it"),
        ("class_folders='outer' (--class-folders outer). Or", "--class-folders outer. Or"),
        ("split_column='' (--split-column '') reads no splits", "--split-column '' reads no splits"),
        ("such as splits=(0.8, 0.1, 0.1) (--splits 0.8,0.1,0.1)", "such as --splits 0.8,0.1,0.1"),
        ("Pass load_data(..., classes=[...]) (--classes) with all", "Pass --classes with all"),
        ("or use cnnzoo.fine_tune (cnnzoo fine-tune), which", "or use cnnzoo fine-tune, which"),
        ("int8 requires data (--data): images", "int8 requires --data: images"),
        ("image_dir (--image-dir) names the folder", "--image-dir names the folder"),
        ("split_folders (--split-folder) states", "--split-folder states"),
        ("'species' (--label-column) names the right one", "'species' (--label-column) names the right one"),
        ("Give a number (--min-probability 0.8), or", "Give a number (--min-probability 0.8), or"),
        ("Use cnnzoo.get('googlenet_2014', weights='a.npz') (googlenet_2014:a.npz)", "Use googlenet_2014:a.npz"),
        ("give googlenet_2014:FILE, or weights=FILE (--weights FILE)", "give googlenet_2014:FILE, or --weights FILE"),
        ("say so: weights='a.npz#lenet5' (lenet5:a.npz#lenet5)", "say so: lenet5:a.npz#lenet5"),
    ],
)
def test_options_take_the_place_of_arguments(message, expected):
    assert prefer_options(message) == expected
