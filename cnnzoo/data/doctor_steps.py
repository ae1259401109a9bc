"""What the doctor suggests to do next: steps that its findings and the numbers of images say, with commands."""

import shlex
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np

from cnnzoo.core.charts import shorten_label
from cnnzoo.core.pages import Step
from cnnzoo.core.text import format_count
from cnnzoo.data.findings import FINDING_KINDS

DoctorPage = Any  # `data.doctor_page` imports this file, so this file cannot import its class

MAX_NAME = 60  # letters of a class
FEW_IMAGES = 0.5  # images of a rare class, as a share of those of the median class


def suggest_steps(page: DoctorPage) -> list[Step]:
    """Return what to do next: decide about the findings, add images of a rare class, train.

    Args:
        page: the page.
    """
    steps = []
    fixable = [finding.kind for finding in page.findings if FINDING_KINDS[finding.kind].fix and finding.images]
    edit, train = _make_commands(page, has_fixes=bool(fixable))
    if fixable:
        counts = ", ".join(f"{number:,} {kind}" for kind, number in Counter(fixable).items())
        evidence = f"Findings with a remedy in a fix list: {counts}. {edit.title if edit else ''}".rstrip()
        command, address = edit.command if edit else "", f"#{fixable[0].replace(' ', '-')}"
        decides = any(finding.needs_decision for finding in page.findings)
        title = "Look at the findings, and decide" if decides else "Look at the findings"
        steps.append(Step(title, evidence, command, address, "See the first"))
    steps += _find_rare_class(page)
    return [*steps, *([train] if train else [])]


def _find_rare_class(page: DoctorPage) -> list[Step]:
    """Return the step that adds images of the smallest class, if it is much smaller than the others."""
    if len(page.counts) < 2:
        return []
    smallest, median = min(page.counts, key=page.counts.__getitem__), float(np.median(list(page.counts.values())))
    if page.counts[smallest] >= FEW_IMAGES * median:
        return []
    evidence = (
        f"It has {format_count(page.counts[smallest], 'image')}; the median class has {median:,.0f}. Otherwise, "
        "--set balance=sampling draws all classes equally often."
    )
    title = f"Add images of “{shorten_label(smallest, MAX_NAME)}”"
    return [Step(title, evidence, "", "#classes", "See all classes")]


def _make_commands(page: DoctorPage, has_fixes: bool) -> tuple[Step | None, Step | None]:
    """Return the commands that change the actions of a fix list, and that train; None without a path or a need."""
    if not page.location:
        return None, None
    data = shlex.quote(page.location)
    run_dir = f"--run-dir {shlex.quote(f'runs/{Path(page.source).stem}')}"
    levels = f" --levels {','.join(f'{level:g}' for level in page.levels)}" if page.levels else ""
    train = f"cnnzoo fine-tune resnet50:imagenet {data}{levels}"
    check = f"cnnzoo doctor {data}{levels}"
    new_list = shlex.quote(page.new_list or ("more_fixes.csv" if page.fix_list else "fixes.csv"))
    if page.fix_list:
        train += f" --fix-list {shlex.quote(page.fix_list)}"
        check += f" --apply-fix-list {shlex.quote(page.fix_list)}"
    if not has_fixes:
        return None, Step("Train on the images", "", f"{train} {run_dir}")
    actions = "in a spreadsheet: keep, exclude or relabel."
    title = "Train with both lists applied" if page.fix_list else "Train with the list applied"
    train_step = Step(title, "No image file is changed.", f"{train} --fix-list {new_list} {run_dir}")
    if page.fix_list and page.new_list:  # `doctor` applies one list at a time
        return Step(f"Change the actions in {page.new_list} {actions}"), train_step
    if not page.new_list:
        edit = Step(
            f"Write a list of these images, and change its actions {actions}", "", f"{check} --fix-list {new_list}"
        )
    else:  # the command above would refuse to replace it
        edit = Step(
            f"Change the actions in {page.new_list} {actions} See what it leaves:",
            "",
            f"{check} --apply-fix-list {new_list}",
        )
    return edit, train_step
