"""The doctor: finds what is wrong with a set of images, and decides which ones are set aside."""

import os
from collections import Counter, defaultdict
from collections.abc import Collection, Sequence
from pathlib import Path

import numpy as np

from cnnzoo.core.progress import show_progress
from cnnzoo.core.text import choose_form, format_count
from cnnzoo.data.bit_depth import FULL_RANGE, Levels, guess_bit_depth
from cnnzoo.data.diagnosis import Diagnosis
from cnnzoo.data.findings import IMBALANCE_RATIO, MIN_SIDE, SPLIT_COUNT, Finding
from cnnzoo.data.listing import LeftOutFile, ListedImage, natural_sort_key
from cnnzoo.data.litter import is_note, name_of_masked_image
from cnnzoo.data.scan import FORMAT_SUFFIXES, ImageFacts
from cnnzoo.data.shortcuts import find_shortcuts

MAX_HASH_DISTANCE = 3  # bits of 64 in which the perceptual hashes of near duplicates differ
MAX_NEAR_PAIRS = 1000  # in the list of findings
SPLIT_PRECEDENCE = {"test": 0, "validation": 1, "train": 2, "": 3}  # where a copy stays
MIN_DARK, MIN_DARK_SHARE = 3, 0.2  # images of 16 bits that leave the upper ones empty, if others do not
MIN_PHOTO_SHARE = 0.9  # share of images without a small palette that makes a data set one of photos


def diagnose_images(
    source: str,
    images: Sequence[ListedImage],
    facts: Sequence[ImageFacts],
    left_out: Sequence[LeftOutFile] = (),
    levels: Levels | None = None,
    *,
    kept: Collection[str] = (),
    location: str = "",
    notes: Sequence[str] = (),
) -> tuple[Diagnosis, np.ndarray]:
    """Return the diagnosis, and a mask (N,) of the images to use.

    Args:
        source: name of the source.
        images: all images that the source lists.
        facts: the facts of each image, from the scan.
        left_out: names and reasons of files that the source does not list.
        levels: the levels of images of more than 8 bits that become black and white, if the user names them.
        kept: names of images that the user wants to keep, though they may look like placeholders.
        location: the source as the user wrote it; empty if it is not a path.
        notes: how the source was read, in sentences.
    """
    # Images that are set aside
    usable = np.array([not f.problem for f in facts], bool)
    findings = [
        Finding("note" if is_note(file.name) else "stray", (file.name,), file.reason, True) for file in left_out
    ]
    findings += [
        Finding("note" if is_note(image.name) else "unreadable", (image.name,), f.problem, True)
        for image, f in zip(images, facts, strict=True)
        if f.problem
    ]
    for i in _find_placeholders(facts, usable):
        if images[i].name not in kept:
            usable[i] = False
            findings.append(
                Finding("drawing", (images[i].name,), f"{facts[i].colors} colors, in a set of photos", True)
            )
    for finding, dropped in _find_copies(images, facts, usable):
        findings.append(finding)
        usable[dropped] = False

    # Findings about images that are kept
    used = np.flatnonzero(usable).tolist()
    used_images, used_facts = [images[i] for i in used], [facts[i] for i in used]
    with show_progress("Comparing the images"):
        findings += _find_near_duplicates(used_images, used_facts)
    findings += _inspect_levels(used_images, used_facts, levels)
    findings += _inspect_faint_images(used_images, used_facts)
    findings += _find_masks(used_images)
    findings += _find_tiny_images(used_images, used_facts)
    for image, f in zip(used_images, used_facts, strict=True):
        findings += _inspect_image(image, f)
    counts = Counter(image.label for image in used_images)
    findings += _inspect_classes(used_images, counts)
    findings += find_shortcuts(used_images, used_facts)

    strays = [ListedImage(file.path, file.name, "") for file in left_out if file.path is not None]
    diagnosis = Diagnosis(
        source,
        len(images) + len(left_out),
        {label: counts[label] for label in sorted(counts, key=natural_sort_key)},
        tuple(findings),
        listed={image.name: image for image in (*strays, *images)},
        sizes={image.name: (f.height, f.width) for image, f in zip(used_images, used_facts, strict=True)},
        splits={image.name: image.split for image in used_images if image.split},
        levels=levels,
        location=location,
        notes=tuple(notes),
    )
    return diagnosis, usable


def _find_placeholders(facts: Sequence[ImageFacts], usable: np.ndarray) -> list[int]:
    """Find images of a few colors where nearly all others are photos.

    Photo services send such an image in place of a photo that was deleted.
    """
    drawn = np.array([0 < f.colors <= 64 and f.mode in ("P", "PA", "1") for f in facts]) & usable
    return np.flatnonzero(drawn).tolist() if drawn.sum() <= (1 - MIN_PHOTO_SHARE) * usable.sum() else []


def _find_copies(
    images: Sequence[ListedImage], facts: Sequence[ImageFacts], usable: np.ndarray
) -> list[tuple[Finding, list[int]]]:
    """Find equal files, each with the indices to drop: copies in training of validation or test images.

    Each file is in one finding: copies in another split are leaks, and those that are left are either a conflict or
    duplicates.
    """
    groups = defaultdict(list)
    for i in np.flatnonzero(usable).tolist():
        groups[facts[i].digest].append(i)
    findings: list[tuple[Finding, list[int]]] = []
    for copies in groups.values():
        if len(copies) < 2:
            continue
        copies.sort(key=lambda i: SPLIT_PRECEDENCE[images[i].split])
        first = images[copies[0]]
        for i in copies:
            if images[i].split != first.split:
                as_other = f", as {first.label}" if images[i].label != first.label else ""
                reason = f"the same file is in {first.split}{as_other}: {first.name!r}"
                findings.append((Finding("leak", (images[i].name, first.name), reason, True), [i]))
        at_home = [images[i] for i in copies if images[i].split == first.split]
        names, labels = tuple(image.name for image in at_home), dict.fromkeys(image.label for image in at_home)
        if len(labels) > 1:
            reason = f"the same file is labeled {' and '.join(labels)}"
            findings.append((Finding("conflict", names, reason), []))
        elif len(at_home) > 1:
            reason = f"{len(at_home)} copies of the same file"
            findings.append((Finding("duplicate", names, reason), []))
    return findings


def _find_near_duplicates(images: Sequence[ListedImage], facts: Sequence[ImageFacts]) -> list[Finding]:
    """Find pairs whose perceptual hashes differ in at most three bits.

    Such hashes agree in at least one of their four quarters, so only images with an equal quarter are compared.
    """
    first_of = {f.digest: i for i, f in reversed(list(enumerate(facts)))}  # copies are another finding
    hashes = np.array([f.phash or 0 for f in facts], "uint64")
    hashed = np.flatnonzero([f.phash is not None and first_of[f.digest] == i for i, f in enumerate(facts)])
    pairs = set[tuple[int, int]]()
    for quarter in range(4):
        bands = (hashes >> np.uint64(16 * quarter)) & np.uint64(0xFFFF)
        order = hashed[np.argsort(bands[hashed], kind="stable")]
        for same_band in np.split(order, np.flatnonzero(np.diff(bands[order])) + 1):
            for n, i in enumerate(same_band[:-1].tolist()):
                others = same_band[n + 1 :]
                near = others[np.bitwise_count(hashes[others] ^ hashes[i]) <= MAX_HASH_DISTANCE]
                for j in near.tolist():
                    if len(pairs) < MAX_NEAR_PAIRS:
                        pairs.add((min(i, j), max(i, j)))
                if len(pairs) >= MAX_NEAR_PAIRS:  # the frames of a film, for example
                    break
    findings = []
    for pair in sorted(pairs):
        # The one in training comes first, as it is the one to exclude
        one, other = sorted((images[i] for i in pair), key=lambda image: -SPLIT_PRECEDENCE[image.split])
        names = (one.name, other.name)
        labels = [f" as {image.label}" if one.label != other.label else "" for image in (one, other)]
        if one.split != other.split:
            reason = f"in {one.split or 'no split'}{labels[0]} and {other.split or 'no split'}{labels[1]}"
            findings.append(Finding("near leak", names, reason))
        elif one.label != other.label:
            findings.append(Finding("near conflict", names, f"labeled {one.label} and {other.label}"))
        else:
            findings.append(Finding("near duplicate", names, f"both labeled {one.label}"))
    return findings


def _inspect_levels(images: Sequence[ListedImage], facts: Sequence[ImageFacts], limits: Levels | None) -> list[Finding]:
    """Find images of 16 bits that use only some of them, and levels that `limits` cuts off."""
    deep = [
        (image.name, f.levels)
        for image, f in zip(images, facts, strict=True)
        if f.levels is not None and not f.constant  # that is a finding of its own
    ]
    if not deep:
        return []
    if limits is not None:
        names = tuple(name for name, (low, high) in deep if low < limits[0] or high > limits[1])
        where = format_count(len(names), "image")
        reason = f"levels beyond {limits[0]:,g} to {limits[1]:,g} become black or white in {where}"
        return [Finding("levels", names, reason)] if names else []

    # A single picture may be dark; that many images leave the upper bits empty is no chance
    dark = [(name, int(high)) for name, (_, high) in deep if guess_bit_depth(int(high)) is not None]
    if not dark or (2 * len(dark) < len(deep) and len(dark) < max(MIN_DARK, MIN_DARK_SHARE * len(deep))):
        return []
    highest = max(high for _, high in dark)
    bits = guess_bit_depth(highest)
    assert bits is not None
    reason = f"levels to {highest:,} of {FULL_RANGE:,} in {format_count(len(dark), 'image')}: {bits} bits? "
    if len(dark) < len(deep):
        others = f"{len(deep) - len(dark):,} other{'s have' if len(deep) - len(dark) > 1 else ' has'}"
        reason += (
            f"But {others} levels to {max(int(high) for _, (_, high) in deep):,}, so that no one value of levels fits "
            "all; convert the images to one range first"
        )
    else:
        reason += f"levels={2**bits - 1} (--levels {2**bits - 1}) makes that the range from black to white"
    return [Finding("levels", tuple(name for name, _ in dark), reason)]


def _inspect_faint_images(images: Sequence[ListedImage], facts: Sequence[ImageFacts]) -> list[Finding]:
    """Find images of 8 bits that use a few levels only, if these are half of all images or more."""
    faint = [image.name for image, f in zip(images, facts, strict=True) if f.faint]
    if not faint or 2 * len(faint) < len(images):
        return []
    highest = max(f.faint for f in facts)
    reason = (
        f"levels to {highest} of 255 in {format_count(len(faint), 'image')}: masks, or images that were divided by "
        f"255? They are nearly black; multiply their pixels by {255 // highest} if they are pictures"
    )
    return [Finding("levels", tuple(faint), reason)]


def _find_masks(images: Sequence[ListedImage]) -> list[Finding]:
    """Find images that are called like the mask of another one: x_mask.png beside x.png."""
    stems = [os.path.splitext(image.name)[0] for image in images]  # noqa: PTH122  # any text is a name
    by_stem = dict(zip(map(str.casefold, stems), images, strict=True))
    findings = []
    for image, stem in zip(images, stems, strict=True):
        folder, slash, name = stem.rpartition("/")
        masked = name_of_masked_image(name)
        if masked and (original := by_stem.get(f"{folder}{slash}{masked}".casefold())):
            reason = f"called like a mask of {original.name.rpartition('/')[2]}"
            findings.append(Finding("mask", (image.name, original.name), reason))
    return findings


def _find_tiny_images(images: Sequence[ListedImage], facts: Sequence[ImageFacts]) -> list[Finding]:
    """Find images with a short side; if most have one, that is a property of the data set, and one finding says so."""
    tiny = [(image, f) for image, f in zip(images, facts, strict=True) if min(f.height, f.width) < MIN_SIDE]
    if 2 * len(tiny) > len(images):
        have = choose_form(len(tiny), "has", "have")
        reason = f"{len(tiny):,} of {format_count(len(images), 'image')} {have} a side under {MIN_SIDE} pixels"
        return [Finding("tiny", (), f"{reason}: a network for small images, such as lenet5 or resnet56, suits them")]
    return [Finding("tiny", (image.name,), f"{f.width}x{f.height} pixels") for image, f in tiny]


def _inspect_image(image: ListedImage, facts: ImageFacts) -> list[Finding]:
    """Return what is unusual about one image."""
    findings = []
    if facts.constant:
        findings.append(Finding("constant", (image.name,), "one color throughout"))
    if facts.repairs:
        findings.append(Finding("damage", (image.name,), facts.repairs))
    if facts.unused:
        findings.append(Finding("pages", (image.name,), facts.unused))
    suffix = Path(image.name).suffix.casefold()
    if suffix and suffix not in FORMAT_SUFFIXES[facts.format]:
        findings.append(Finding("suffix", (image.name,), f"{facts.format} in a file called {suffix}"))
    return findings


def _inspect_classes(images: Sequence[ListedImage], counts: Counter[str]) -> list[Finding]:
    """Return what is unusual about the number of images per class and split."""
    largest = max(counts.values(), default=0)
    findings = [
        Finding("imbalance", (), f"{label}: {format_count(count, 'image')}, the largest class has {largest:,}")
        for label, count in counts.items()
        if IMBALANCE_RATIO * count < largest
    ]
    splits = sorted({image.split for image in images})
    if splits == [""]:
        findings += [
            Finding("few", (), f"{label}: {format_count(count, 'image')}, but three splits need at least {SPLIT_COUNT}")
            for label, count in counts.items()
            if count < SPLIT_COUNT
        ]
    if len(counts) == 1:
        findings.append(Finding("few", (), f"{next(iter(counts))} is the only class; a classifier needs two"))
    labels_of = {split: {image.label for image in images if image.split == split} for split in splits}
    for label in counts:
        if missing := [split for split in splits if label not in labels_of[split]]:
            findings.append(Finding("one split", (), f"{label} is not in {', '.join(missing)}"))
    return findings
