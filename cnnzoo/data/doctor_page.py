"""The page of the doctor: a verdict, ready commands, the findings with their pictures, and an overview of the data."""

import itertools
import os
import random
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np

from cnnzoo.core.charts import bar_chart, shorten_label
from cnnzoo.core.numbers import format_share
from cnnzoo.core.pages import file_address, render_page
from cnnzoo.core.progress import show_progress
from cnnzoo.core.text import format_count
from cnnzoo.core.threads import thread_pool
from cnnzoo.data.bit_depth import Levels
from cnnzoo.data.doctor_steps import suggest_steps
from cnnzoo.data.findings import FINDING_KINDS, Finding
from cnnzoo.data.listing import ListedImage
from cnnzoo.data.split_names import SPLIT_NAMES
from cnnzoo.data.thumbnails import Thumbnail, make_thumbnail, shrink_thumbnails

SHOWN_PER_KIND = 12  # findings of each kind on the page
PICTURES_PER_FINDING = 4
MAX_SAMPLE_CLASSES = 60  # of which sample images are shown
SAMPLES_PER_CLASS = (2, 6)  # least and most
SAMPLE_PICTURES = 120  # of all classes
SAMPLE_SEED = 0
MAX_BARS = 40  # classes in a chart
MAX_CLASSES = 1000  # in the table of classes
# A page has at most 5 MB, whatever the images (tests/data/test_doctor_size.py)
MAX_FINDING_BYTES, MAX_SAMPLE_BYTES = 2_500_000, 1_500_000  # of the pictures of findings, and of samples
MAX_CAPTION = 60  # letters of a name
SIDE_LIMITS = (32, 64, 128, 224, 512, 1024, 2048)  # pixels
RATIO_NAMES = {
    1 / 3: "higher than 3:1",
    2 / 3: "high, to 3:2",
    0.95: "slightly high",
    1.05: "square",
    1.5: "slightly wide",
    3: "wide, to 3:1",
    float("inf"): "wider than 3:1",
}


SECTIONS = {"next": "What next", "findings": "Findings", "classes": "Classes and sizes", "samples": "Samples"}


class Picture(NamedTuple):
    """A picture on the page with what is said about it."""

    name: str
    label: str
    split: str
    address: str | None
    thumbnail: Thumbnail


class ShownKind(NamedTuple):
    """The findings of one kind, as the page shows them: what they mean, how many there are, and the first of them."""

    name: str
    meaning: str
    why: str
    remedy: str
    state: str  # set aside, to decide, or kept
    number: int
    findings: list[tuple[Finding, list[Picture]]]
    is_gallery: bool  # whether each finding has one picture, so that they are shown beside each other


@dataclass(frozen=True)
class DoctorPage:
    """What the page shows; see `Diagnosis`, which makes it.

    Attributes:
        source: name of the source.
        verdict: whether the data can be used, in one sentence.
        files: how many files there are, and how many were left out.
        counts: number of images that are used, by class.
        findings: everything that was observed.
        listed: all images by name, and the files that are no images of a class.
        sizes: (height, width) of each image that is used, by name.
        splits: the split of each image that is used, by name; empty if the source has none.
        levels: the levels that the user names, if any.
        location: the source as the user wrote it, for commands; empty if it is not a path.
        notes: how the source was read, in sentences.
        fix_list: the file of the fix list that was applied, as the user wrote it; empty without one.
        new_list: the file that a fix list of the findings was written to; empty without one.
        folder: where the page will lie, for its links; None for absolute links.
    """

    source: str
    verdict: str
    files: str
    counts: Mapping[str, int]
    findings: Sequence[Finding]
    listed: Mapping[str, ListedImage] = field(repr=False)
    sizes: Mapping[str, tuple[int, int]] = field(repr=False)
    splits: Mapping[str, str] = field(repr=False)
    levels: Levels | None
    location: str
    notes: Sequence[str]
    fix_list: str
    new_list: str
    folder: str | os.PathLike[str] | None

    def render(self) -> str:
        """Return the page as HTML."""
        verdict, _, kinds = self.verdict.removesuffix(".").partition(": ")
        used = format_count(sum(self.counts.values()), "image")
        classes = format_count(len(self.counts), "class", "classes")
        return render_page(
            "cnnzoo.data",
            "doctor.html",
            source=self.source,
            headline=verdict,
            lines=[*([kinds] if kinds else []), f"{used} in {classes} can be used; {self.files}"],
            notes=self.notes,
            facts=self._facts(),
            steps=suggest_steps(self),
            kinds=self._shown_kinds(),
            splits=self._split_names,
            classes=self._class_rows(),
            sections=[(name, title) for name, title in SECTIONS.items() if name != "findings" or self.findings],
            charts=self._charts(),
            samples=self._samples(),
            class_title=self._describe_rows(),
            is_folded=len(self.counts) > MAX_BARS,
            more_classes=max(len(self.counts) - MAX_SAMPLE_CLASSES, 0),
        )

    # Figures

    @cached_property
    def _split_names(self) -> list[str]:
        present = set(self.splits.values())
        return [split for split in dict.fromkeys(SPLIT_NAMES.values()) if split in present]

    def _facts(self) -> list[tuple[str, str, str]]:
        """Return the figures in the boxes: (name, value, remark)."""
        counts = list(self.counts.values())
        facts = [("images", f"{sum(counts):,}", ""), ("classes", f"{len(counts):,}", "")]
        if counts:
            smallest, largest = min(self.counts, key=self.counts.__getitem__), max(counts)
            if min(counts) == largest:
                facts.append(("images of each class", f"{largest:,}", ""))
            else:
                facts.append(
                    ("smallest class", f"{min(counts):,}", f"{shorten_label(smallest)}; the largest has {largest:,}")
                )
        if self.sizes:
            sides = np.array(list(self.sizes.values()))
            height, width = np.median(sides, axis=0)
            low, high = sides.min(), sides.max()
            if (sides == sides[0]).all():
                facts.append(("size", f"{width:.0f}x{height:.0f}", "width x height, all images"))
            else:
                remark = f"width x height; sides from {low:,} to {high:,}"
                facts.append(("median size", f"{width:.0f}x{height:.0f}", remark))
        in_splits = Counter(self.splits.values())
        facts += [(f"{split} images", f"{in_splits[split]:,}", "") for split in self._split_names]
        return facts

    def _class_rows(self) -> list[tuple[str, int, str, list[int]]]:
        """Return the rows of the table of classes: name, number and share of images, and number in each split.

        Of more classes than the page has room for, it has the smallest.
        """
        total = sum(self.counts.values())
        in_split = Counter((self.listed[name].label, split) for name, split in self.splits.items())
        labels = list(self.counts)
        if len(labels) > MAX_CLASSES:
            labels = sorted(labels, key=self.counts.__getitem__)[:MAX_CLASSES]
        return [
            (
                shorten_label(label, MAX_CAPTION),
                self.counts[label],
                format_share(self.counts[label] / total, total),
                [in_split[label, split] for split in self._split_names],
            )
            for label in labels
        ]

    def _describe_rows(self) -> str:
        if len(self.counts) <= MAX_CLASSES:
            return "Images of each class"
        return f"The {MAX_CLASSES:,} of {len(self.counts):,} classes with the fewest images"

    def _charts(self) -> list[tuple[Any, str]]:
        """Return charts of the classes, the sizes and the aspect ratios, each with its caption."""
        if not self.sizes:
            return []
        charts = []
        if len(self.counts) <= MAX_BARS:
            charts.append((bar_chart(self.counts, "Classes", "images"), "Images that are used, by class."))
        sides = np.array(list(self.sizes.values()))
        charts.append(
            (
                bar_chart(_count_sides(sides.min(axis=1)), "Shorter side in pixels", "images"),
                "Sizes of the files. Smaller images than the input of a model are enlarged.",
            )
        )
        charts.append(
            (
                bar_chart(_count_ratios(sides[:, 1] / sides[:, 0]), "Aspect ratio", "images"),
                "Shapes of the files. By default, a model takes the middle: what is beyond is cropped.",
            )
        )
        return charts

    # Pictures

    def _shown_kinds(self) -> list[ShownKind]:
        """Return the findings by kind, the first of each kind with their pictures."""
        by_kind = {kind: [finding for finding in self.findings if finding.kind == kind] for kind in FINDING_KINDS}
        shown = [finding for same in by_kind.values() for finding in same[:SHOWN_PER_KIND]]
        uses = Counter(name for finding in shown for name in self._pictured(finding))
        pictures = self._make_pictures(uses, MAX_FINDING_BYTES)
        kinds = []
        for name, same in by_kind.items():
            if not same:
                continue
            kind = FINDING_KINDS[name]
            rows = [(f, [pictures[image] for image in self._pictured(f)]) for f in same[:SHOWN_PER_KIND]]
            is_gallery = name != "note" and all(len(finding.images) == 1 for finding, _ in rows)
            kinds.append(
                ShownKind(name, kind.meaning, kind.why, kind.remedy, same[0].state, len(same), rows, is_gallery)
            )
        return kinds

    def _pictured(self, finding: Finding) -> list[str]:
        return [] if finding.kind == "note" else list(finding.images[:PICTURES_PER_FINDING])

    def _samples(self) -> list[tuple[str, int, list[Picture]]]:
        """Return some images of each class, drawn at random, but the same each time: (class, images, pictures)."""
        classes = list(self.counts)[:MAX_SAMPLE_CLASSES]
        names_of: dict[str, list[str]] = {label: [] for label in classes}
        for name in sorted(self.sizes):
            if (label := self.listed[name].label) in names_of:
                names_of[label].append(name)
        least, most = SAMPLES_PER_CLASS
        count = min(max(SAMPLE_PICTURES // max(len(classes), 1), least), most)
        drawn = {
            label: random.Random(f"{SAMPLE_SEED} {label}").sample(names, min(count, len(names)))
            for label, names in names_of.items()
        }
        pictures = self._make_pictures(Counter(name for names in drawn.values() for name in names), MAX_SAMPLE_BYTES)
        return [
            (shorten_label(label, MAX_CAPTION), self.counts[label], [pictures[name] for name in names])
            for label, names in drawn.items()
        ]

    def _make_pictures(self, uses: Mapping[str, int], max_bytes: int) -> dict[str, Picture]:
        """Return the pictures of images by name; they are decoded in parallel.

        Args:
            uses: how often the page shows each image, by name.
            max_bytes: the size of all of them on the page.
        """
        sources = [self.listed[name].source if name in self.listed else None for name in uses]
        with show_progress("Drawing the doctor's page", total=len(uses), unit="pictures") as progress:
            thumbnails = list(progress.track(thread_pool().map(self._make_thumbnail, sources)))
        thumbnails = shrink_thumbnails(thumbnails, [*uses.values()], max_bytes)
        return {
            name: Picture(
                shorten_label(name, MAX_CAPTION),
                shorten_label(self._label(name), MAX_CAPTION),
                self.splits.get(name, ""),
                self._address(source),
                thumbnail,
            )
            for name, source, thumbnail in zip(uses, sources, thumbnails, strict=True)
        }

    def _make_thumbnail(self, source: Any) -> Thumbnail:
        if source is None:
            return Thumbnail("", "no picture")
        return make_thumbnail(source, self.levels)

    def _label(self, name: str) -> str:
        return self.listed[name].label if name in self.listed else ""

    def _address(self, source: Any) -> str | None:
        is_path = isinstance(source, str | os.PathLike)
        return file_address(source, self.folder) if is_path else None


def _count_sides(sides: np.ndarray) -> dict[str, int]:
    """Return the number of images by the length of a side in pixels, without empty ranges at both ends.

    If all are of one length, that is the only range.
    """
    if (sides == sides[0]).all():
        return {f"{sides[0]:,}": len(sides)}
    names = [f"under {SIDE_LIMITS[0]}"]
    names += [f"{low:,} to {high - 1:,}" for low, high in itertools.pairwise(SIDE_LIMITS)]
    names.append(f"{SIDE_LIMITS[-1]:,} or more")
    counts = np.bincount(np.searchsorted(SIDE_LIMITS, sides, side="right"), minlength=len(names))
    filled = np.flatnonzero(counts)
    return {names[i]: int(counts[i]) for i in range(filled[0], filled[-1] + 1)}


def _count_ratios(ratios: np.ndarray) -> dict[str, int]:
    """Return the number of images by width divided by height, without empty ranges at both ends."""
    names = list(RATIO_NAMES.values())
    counts = np.bincount(np.searchsorted(list(RATIO_NAMES), ratios), minlength=len(names))
    filled = np.flatnonzero(counts)
    return {names[i]: int(counts[i]) for i in range(filled[0], filled[-1] + 1)}
