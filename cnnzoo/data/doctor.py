"""The doctor: finds what is wrong with a set of images, and decides which ones are set aside."""

from collections import Counter, defaultdict
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from cnnzoo.core.progress import show_progress
from cnnzoo.data.bit_depth import FULL_RANGE, Levels, guess_bit_depth
from cnnzoo.data.diagnosis import IMBALANCE_RATIO, MIN_SIDE, Diagnosis, Finding
from cnnzoo.data.listing import LeftOut, ListedImage, natural_sort_key
from cnnzoo.data.litter import is_note
from cnnzoo.data.scan import FORMAT_SUFFIXES, ImageFacts

MAX_HASH_DISTANCE = 3  # bits of 64 in which the perceptual hashes of near duplicates differ
MAX_NEAR_PAIRS = 1000  # in the list of findings
MIN_PHOTO_SHARE = 0.9  # share of images without a small palette that makes a data set one of photos


def diagnose_images(
    source: str,
    images: Sequence[ListedImage],
    facts: Sequence[ImageFacts],
    left_out: LeftOut | tuple[()] = (),
    levels: Levels | None = None,
) -> tuple[Diagnosis, np.ndarray]:
    """Return the diagnosis, and a mask (N,) of the images to use.

    Args:
        source: name of the source.
        images: all images that the source lists.
        facts: the facts of each image, from the scan.
        left_out: names and reasons of files that the source does not list.
        levels: the levels of images of more than 8 bits that become black and white, if the user names them.
    """
    # Images that are set aside
    usable = np.array([not f.problem for f in facts], bool)
    findings = [Finding("note" if is_note(name) else "stray", (name,), reason, True) for name, reason in left_out]
    findings += [
        Finding("note" if is_note(image.name) else "unreadable", (image.name,), f.problem, True)
        for image, f in zip(images, facts, strict=True)
        if f.problem
    ]
    for i in _find_placeholders(facts, usable):
        usable[i] = False
        findings.append(Finding("drawing", (images[i].name,), f"{facts[i].colors} colors, in a set of photos", True))
    for finding, dropped in _find_copies(images, facts, usable):
        findings.append(finding)
        usable[dropped] = False

    # Findings about images that are kept
    used = np.flatnonzero(usable).tolist()
    with show_progress("Comparing the images"):
        findings += _find_near_duplicates([images[i] for i in used], [facts[i] for i in used])
    findings += _inspect_levels([images[i] for i in used], [facts[i] for i in used], levels)
    findings += _inspect_faint_images([images[i] for i in used], [facts[i] for i in used])
    for i in used:
        findings += _inspect_image(images[i], facts[i])
    counts = Counter(images[i].label for i in used)
    findings += _inspect_classes([images[i] for i in used], counts)

    by_name = {image.name: image for image in images}
    ordered_counts = {label: counts[label] for label in sorted(counts, key=natural_sort_key)}
    return Diagnosis(source, len(images) + len(left_out), ordered_counts, tuple(findings), by_name), usable


def _find_placeholders(facts: Sequence[ImageFacts], usable: np.ndarray) -> list[int]:
    """Find images of a few colors where nearly all others are photos.

    Photo services send such an image in place of a photo that was deleted.
    """
    drawn = np.array([0 < f.colors <= 64 and f.mode in ("P", "PA", "1") for f in facts]) & usable
    return np.flatnonzero(drawn).tolist() if drawn.sum() <= (1 - MIN_PHOTO_SHARE) * usable.sum() else []


def _find_copies(
    images: Sequence[ListedImage], facts: Sequence[ImageFacts], usable: np.ndarray
) -> list[tuple[Finding, list[int]]]:
    """Find equal files, each with the indices to drop: copies in training of validation or test images."""
    groups = defaultdict(list)
    for i in np.flatnonzero(usable).tolist():
        groups[facts[i].digest].append(i)
    findings: list[tuple[Finding, list[int]]] = []
    precedence = {"test": 0, "validation": 1, "train": 2, "": 3}  # where a copy stays
    for copies in groups.values():
        if len(copies) < 2:
            continue
        copies.sort(key=lambda i: precedence[images[i].split])
        names = tuple(images[i].name for i in copies)
        if len({images[i].label for i in copies}) > 1:
            labels = ", ".join(images[i].label for i in copies)
            reason = f"the same file labeled {labels}; all are kept, in the same split"
            findings.append((Finding("conflict", names, reason), []))
        home = images[copies[0]].split
        elsewhere = [i for i in copies if images[i].split != home]
        for i in elsewhere:
            reason = f"the same file is in {home}: {names[0]!r}"
            findings.append((Finding("leak", (images[i].name, names[0]), reason, True), [i]))
        if len(copies) - len(elsewhere) > 1:
            reason = f"{len(copies)} times the same file; all are kept, in the same split"
            findings.append((Finding("duplicate", names, reason), []))
    return findings


def _find_near_duplicates(images: Sequence[ListedImage], facts: Sequence[ImageFacts]) -> list[Finding]:
    """Find pairs whose perceptual hashes differ in at most three bits.

    Such hashes agree in at least one of their four quarters, so only images with an equal quarter are compared.
    """
    hashes = np.array([f.phash or 0 for f in facts], "uint64")
    hashed = np.flatnonzero([f.phash is not None for f in facts])
    pairs = set[tuple[int, int]]()
    for quarter in range(4):
        bands = (hashes >> np.uint64(16 * quarter)) & np.uint64(0xFFFF)
        order = hashed[np.argsort(bands[hashed], kind="stable")]
        for same_band in np.split(order, np.flatnonzero(np.diff(bands[order])) + 1):
            for n, i in enumerate(same_band[:-1].tolist()):
                others = same_band[n + 1 :]
                near = others[np.bitwise_count(hashes[others] ^ hashes[i]) <= MAX_HASH_DISTANCE]
                for j in near.tolist():
                    if facts[i].digest != facts[j].digest and len(pairs) < MAX_NEAR_PAIRS:
                        pairs.add((min(i, j), max(i, j)))
                if len(pairs) >= MAX_NEAR_PAIRS:  # the frames of a film, for example
                    break
    findings = []
    for i, j in sorted(pairs):
        names, splits = (images[i].name, images[j].name), (images[i].split, images[j].split)
        if splits[0] != splits[1]:
            findings.append(Finding("near leak", names, f"in {splits[0]} and {splits[1]}"))
        else:
            findings.append(Finding("near duplicate", names, f"as {images[i].label} and {images[j].label}"))
    return findings


def _inspect_levels(images: Sequence[ListedImage], facts: Sequence[ImageFacts], limits: Levels | None) -> list[Finding]:
    """Find images of 16 bits that use only some of them, and levels that `limits` cuts off."""
    deep = [(image.name, f.levels) for image, f in zip(images, facts, strict=True) if f.levels is not None]
    if not deep:
        return []
    if limits is not None:
        names = tuple(name for name, (low, high) in deep if low < limits[0] or high > limits[1])
        reason = f"levels beyond {limits[0]:,g} to {limits[1]:,g} become black or white in {len(names):,} images"
        return [Finding("levels", names, reason)] if names else []

    # A single picture may be dark; that half of all images leave the upper bits empty is no chance
    dark = [(name, high) for name, (_, high) in deep if guess_bit_depth(int(high)) is not None]
    if 2 * len(dark) < len(deep):
        return []
    highest = max(int(high) for _, high in dark)
    bits = guess_bit_depth(highest)
    assert bits is not None
    reason = (
        f"levels to {highest:,} of {FULL_RANGE:,} in {len(dark):,} images: {bits} bits? "
        f"levels={2**bits - 1} makes that the range from black to white"
    )
    return [Finding("levels", tuple(name for name, _ in dark), reason)]


def _inspect_faint_images(images: Sequence[ListedImage], facts: Sequence[ImageFacts]) -> list[Finding]:
    """Find images of 8 bits that use a few levels only, if these are half of all images or more."""
    faint = [image.name for image, f in zip(images, facts, strict=True) if f.faint]
    if not faint or 2 * len(faint) < len(images):
        return []
    highest = max(f.faint for f in facts)
    reason = (
        f"levels to {highest} of 255 in {len(faint):,} images: masks, or images that were divided by 255? They are "
        f"nearly black; multiply their pixels by {255 // highest} if they are pictures"
    )
    return [Finding("levels", tuple(faint), reason)]


def _inspect_image(image: ListedImage, facts: ImageFacts) -> list[Finding]:
    """Return what is unusual about one image."""
    findings = []
    if facts.constant:
        findings.append(Finding("constant", (image.name,), "one color throughout"))
    if facts.repairs:
        findings.append(Finding("damage", (image.name,), facts.repairs))
    if min(facts.height, facts.width) < MIN_SIDE:
        findings.append(Finding("tiny", (image.name,), f"{facts.width}x{facts.height} pixels"))
    suffix = Path(image.name).suffix.casefold()
    if suffix and suffix not in FORMAT_SUFFIXES[facts.format]:
        findings.append(Finding("suffix", (image.name,), f"{facts.format} in a file called {suffix}"))
    return findings


def _inspect_classes(images: Sequence[ListedImage], counts: Counter[str]) -> list[Finding]:
    """Return what is unusual about the number of images per class and split."""
    largest = max(counts.values(), default=0)
    findings = [
        Finding("imbalance", (), f"{label}: {count:,} images, the largest class has {largest:,}")
        for label, count in counts.items()
        if IMBALANCE_RATIO * count < largest
    ]
    splits = sorted({image.split for image in images})
    if splits == [""]:
        findings += [
            Finding("few", (), f"{label}: {count} images, but three splits need at least 3")
            for label, count in counts.items()
            if count < 3
        ]
    labels_of = {split: {image.label for image in images if image.split == split} for split in splits}
    for label in counts:
        if missing := [split for split in splits if label not in labels_of[split]]:
            findings.append(Finding("one split", (), f"{label} is not in {', '.join(missing)}"))
    return findings
