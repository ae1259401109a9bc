"""The groups of runs of a leaderboard: those that were evaluated on the same images."""

from __future__ import annotations

import math
import shlex
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, replace
from statistics import NormalDist
from typing import Any

from cnnzoo.core.numbers import format_share, format_share_interval
from cnnzoo.core.text import choose_form, format_count, format_duration
from cnnzoo.evaluation.board_runs import BoardRun

PREDICTIONS_FILE = "predictions.csv"
# What evaluations.jsonl calls them, and what the leaderboard does
EVALUATION_KINDS = {
    "training": "at the end of a training",
    "linear probe": "for a linear probe",
    "evaluate": "by evaluate or benchmark",
}
NO_VALUE = "-"  # for a setting that a run does not state, as it has its default value


@dataclass(frozen=True)
class BoardGroup:
    """Runs that were evaluated on the same images, the best first, then those without a result.

    Attributes:
        runs: the runs.
        evaluations: how often these images were evaluated, as far as the folders of all runs tell.
        is_lower_bound: whether there may have been more, as versions before 0.12 did not count them.
        kinds: what for and how often, in words.
    """

    runs: tuple[BoardRun, ...]
    evaluations: int
    is_lower_bound: bool
    kinds: tuple[tuple[str, int], ...] = ()

    @property
    def scored(self) -> list[BoardRun]:
        """The runs that have an accuracy."""
        return [run for run in self.runs if run.accuracy is not None]

    @property
    def title(self) -> str:
        """The data and the images that the accuracies are from."""
        sources = list(dict.fromkeys(run.source for run in self.runs))
        named = ", ".join(sources[:3]) + (", ..." if len(sources) > 3 else "")
        first = self.runs[0]
        return f"{named}: {self.counted_images}, {format_count(first.classes or 0, 'class', 'classes')}"

    @property
    def counted_images(self) -> str:
        """The number of images with their split, as in "180 test images"."""
        first = self.runs[0]
        return format_count(first.images or 0, f"{first.split} image")

    @property
    def fingerprint(self) -> str:
        """The first digits of the fingerprint of the images."""
        return min(key for run in self.runs for key in run.keys)[:8]

    @property
    def settings(self) -> list[str]:
        """The names of the settings in which the runs differ."""
        names = dict.fromkeys(name for run in self.runs for name in run.settings)
        return [name for name in names if len({self.format_setting(run, name) for run in self.runs}) > 1]

    def format_setting(self, run: BoardRun, name: str) -> str:
        """Return a setting of a run as text; one that the run does not state has its default value."""
        value = run.settings.get(name)
        if value is None or value is False or value == []:
            return NO_VALUE
        return (
            ", ".join(map(str, value)) if isinstance(value, list) else f"{value:g}" if _is_float(value) else str(value)
        )

    @property
    def accuracy_range(self) -> tuple[float, float]:
        """The range of accuracies in which all curves of the group are drawn; the lowest tenth is cut off."""
        curves = [run.history.get(name, ()) for run in self.runs for name in ("accuracy", "val_accuracy")]
        values = sorted(value for curve in curves for value in curve if math.isfinite(value))
        return (values[len(values) // 10], values[-1]) if values else (0.0, 1.0)

    def describe_evaluations(self) -> list[str]:
        """Return sentences on how often the images were evaluated, and what that means for the best accuracy."""
        scored = self.scored
        if not scored:
            return []
        at_least = "at least " if self.is_lower_bound else ""
        times = "once" if self.evaluations == 1 else f"{self.evaluations:,} times"
        verb = choose_form(self.runs[0].images or 0, "was", "were")
        parts = [f"{'once' if count == 1 else f'{count:,} times'} {kind}" for kind, count in self.kinds]
        split_up = f": {', '.join(parts)}" if len(parts) > 1 else ""
        lines = [f"The {self.counted_images} {verb} evaluated {at_least}{times}{split_up}."]
        if len(scored) > 1:
            lines.append(
                f"The best of {len(scored)} accuracies is chosen because it is high, so it is too high by chance: if "
                f"all were equally good, by up to {self._expected_luck(scored):.1f} points."
            )
            lines.append(
                "Choose a run by its accuracy on validation, and report its accuracy on test."
                if scored[0].split == "test"
                else "Trials never see the test images: the accuracy of the best on them is in the table of the test "
                "split."
            )
        return lines

    def compare_command(self) -> str:
        """Return the command that tells whether the best run is better than the second; "" for less than two runs.

        Trials have no command of their own, as the search compares the best of them with the default.
        """
        compared = [run for run in self.scored if (run.folder / PREDICTIONS_FILE).is_file()][:2]
        folders = [str(run.folder) for run in compared]
        if len(compared) < 2 or compared[0].split != "test" or not all(map(str.isprintable, folders)):
            return ""
        return f"cnnzoo compare {shlex.quote(folders[1])} {shlex.quote(folders[0])}"

    @staticmethod
    def _expected_luck(scored: Sequence[BoardRun]) -> float:
        """Return by how many points the best of equally good, independent runs exceeds their true accuracy."""
        best, images = scored[0].accuracy or 0.0, max(scored[0].images or 1, 1)
        # With two more right and two more wrong images (Agresti, Coull 1998), as all of few may be right by chance
        share = (best * images + 2) / (images + 4)
        error = math.sqrt(share * (1 - share) / images)
        # The expected maximum of so many draws from a normal distribution (Blom 1958).
        return 100 * error * NormalDist().inv_cdf((len(scored) - 0.375) / (len(scored) + 0.25))


def _is_float(value: Any) -> bool:
    return isinstance(value, float)


def group_runs(runs: Sequence[BoardRun]) -> list[BoardGroup]:
    """Return the runs in groups that were evaluated on the same images; those on test images and large ones first."""
    groups: list[tuple[set[str], list[BoardRun]]] = []
    for run in runs:
        joined = [group for group in groups if group[0] & run.keys]
        keys = set(run.keys).union(*(group[0] for group in joined))
        members = [member for group in joined for member in group[1]]
        groups = [group for group in groups if group not in joined]
        groups.append((keys, [*members, run]))
    lines = [line for run in runs for line in run.evaluations]
    built = [_make_group(keys, members, lines) for keys, members in groups]
    return sorted(built, key=lambda group: (group.runs[0].split != "test", -len(group.runs), group.title))


def _make_group(keys: set[str], runs: Sequence[BoardRun], lines: Iterable[dict[str, Any]]) -> BoardGroup:
    """Return a group, with its runs in order and its evaluations counted."""
    whats = [line.get("what") for line in lines if line["fingerprint"] in keys]
    uncounted = [run for run in runs if run.accuracy is not None and not _counts_its_training(run)]
    loaded = {run.trained_on[0]: run.trained_on[1] for run in runs if run.trained_on[1]}
    runs = [_add_training_images(run, loaded.get(run.trained_on[0]) or run.trained_on[0]) for run in runs]
    order = sorted(runs, key=lambda run: (_rank(run.accuracy), _rank(run.validation_accuracy), run.name))
    whats += ["training"] * len(uncounted)
    kinds = Counter(EVALUATION_KINDS.get(str(what), "otherwise") for what in whats)
    in_order = [(kind, kinds[kind]) for kind in (*EVALUATION_KINDS.values(), "otherwise") if kinds[kind]]
    return BoardGroup(tuple(order), len(whats), bool(uncounted), tuple(in_order))


def _rank(accuracy: float | None) -> float:
    """Return a number that is the smaller, the higher an accuracy is; the largest for a run without one."""
    return 1.0 if accuracy is None else -accuracy


def _add_training_images(run: BoardRun, fingerprint: str) -> BoardRun:
    """Return a run whose settings tell the training images by their number and a fingerprint."""
    images = f"{run.settings['training images']} ({fingerprint[:8]})"
    return replace(run, settings=run.settings | {"training images": images})


def _counts_its_training(run: BoardRun) -> bool:
    """Return whether a run has recorded the evaluation at the end of its training."""
    return any(line["fingerprint"] in run.keys for line in run.evaluations)


def title_setting(name: str) -> str:
    """Return the name of a setting as tables show it."""
    return name.removeprefix("recipe.")


def run_to_dict(run: BoardRun, group: BoardGroup) -> dict[str, Any]:
    """Return a run as plain values for a table, the same for each run of a leaderboard."""
    values = asdict(run)
    low, high = run.interval or (None, None)
    names = ("accuracy", "images", "classes", "validation_accuracy", "parameters", "seconds", "epochs", "best_epoch")
    return {
        "run": run.name,
        "table": group.fingerprint,
        "state": run.state,
        "note": run.note,
        "source": run.source,
        "split": run.split,
        **{name: values[name] for name in names[:1]},
        "accuracy_low": low,
        "accuracy_high": high,
        **{name: values[name] for name in names[1:]},
        "evaluations": sum(line["fingerprint"] in run.keys for line in run.evaluations),
        "started": run.started,
        "settings": run.settings,
    }


def format_figures(run: BoardRun) -> list[str]:
    """Return accuracy (or the state), interval, validation accuracy, parameters and time of a run as text."""
    validation = run.validation_accuracy
    return [
        run.state if run.accuracy is None else format_share(run.accuracy, run.images),
        "" if run.interval is None else format_share_interval(run.interval, run.images),
        "" if validation is None else format_share(validation),
        "" if run.parameters is None else f"{run.parameters:,}",
        "" if run.seconds is None else format_duration(run.seconds),
    ]
