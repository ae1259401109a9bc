"""A run of several processes: rank 0 has its folder, and tells the others how far it is."""

from __future__ import annotations

from collections.abc import Sequence
from os import PathLike
from typing import Any

from cnnzoo.core.connection import watch_processes
from cnnzoo.core.processes import check_same, count_processes, run_on_main
from cnnzoo.training.run import Run, flatten_dict, installed_versions
from cnnzoo.training.state import TrainingState


class FollowingRun(Run):
    """The run as all processes but rank 0 see it: they know its progress, and write nothing."""

    def __init__(self, plan: dict[str, Any], facts: dict[str, Any]) -> None:
        """Take over the `facts` that `open_run` has got from rank 0."""
        super().__init__(None, plan)
        self.has_begun = bool(facts["is_begun"])
        self.state = TrainingState(**facts["state"] | {"best": tuple(facts["state"]["best"])})
        self.record |= facts["record"]

    def describe_kept_state(self) -> str:
        """Return who keeps the progress of an interrupted run."""
        return "and kept by process 0, if it has a run_dir: the same call or command resumes the run"

    @property
    def is_begun(self) -> bool:
        """Whether rank 0 has a part of the training in its folder."""
        return self.has_begun


def open_run(
    folder: str | PathLike[str] | None, plan: dict[str, Any], notes: Sequence[str], resume: bool | None, overwrite: bool
) -> Run:
    """Return the run of `plan`, whose folder rank 0 alone opens; see `Run`.

    Raises:
        InputError: on all processes, if it cannot be opened.
    """
    runs: list[Run] = []

    def open_folder() -> dict[str, Any]:
        run = Run(folder, plan, notes, resume=resume, overwrite=overwrite)
        runs.append(run)
        return {"is_begun": run.is_begun, "state": vars(run.state), "record": {"notes": run.record["notes"]}}

    facts = run_on_main(open_folder)
    return runs[0] if runs else FollowingRun(plan, facts)


def check_processes_agree(plan: dict[str, Any], **options: Any) -> None:
    """Raise InputError on all processes unless all have the same plan, options, versions and number of devices.

    Args:
        plan: the plan of the run, which has the fingerprints of the data.
        options: more that must be the same, by name.
    """
    if count_processes() == 1:
        return
    watch_processes()
    import jax

    versions = {name: version for name, version in installed_versions().items() if name != "machine"}
    devices = [device.device_kind for device in jax.local_devices()]
    facts = {**plan, "versions": {"jax": jax.__version__, **versions}, "devices": devices, **options}
    check_same(flatten_dict(facts))
