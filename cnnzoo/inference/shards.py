"""Shards: how images are divided among processes and hosts that predict independently of each other.

The shard of an image follows from a hash of its name alone. So all hosts agree without a word, and a file that is added
to a folder or removed from it changes one shard only.
"""

from __future__ import annotations

import hashlib
import os
import re
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from cnnzoo.core.errors import InputError, shorten_repr
from cnnzoo.core.progress import show_progress

if TYPE_CHECKING:
    from cnnzoo.inference.inputs import NamedImage

MAX_SHARDS = 1_000  # to merge them, a batch of rows of each is held in memory
HASH_BYTES = 8
HASH_RANGE = 2 ** (8 * HASH_BYTES)
FORMS = 'NUMBER/COUNT, counted from 1, as in "3/16"; "auto"; or "auto/16" for a system that tells its index alone'


@dataclass(frozen=True)
class Scheduler:
    """The variables by which a system tells each of its processes which one of how many it is.

    Attributes:
        name: the name of the system.
        index: the variable of the process's index.
        count: the variable of the number of processes; "" if the system does not tell.
        first: the variable of the first index, which is 0 if it is "".
        step: the variable of the distance between two indices, which is 1 if it is "".
    """

    name: str
    index: str
    count: str
    first: str = ""
    step: str = ""


SLURM_ARRAY = Scheduler(
    "Slurm's arrays",
    "SLURM_ARRAY_TASK_ID",
    "SLURM_ARRAY_TASK_COUNT",
    "SLURM_ARRAY_TASK_MIN",
    "SLURM_ARRAY_TASK_STEP",
)
SLURM_TASKS = Scheduler("Slurm's tasks", "SLURM_PROCID", "SLURM_NTASKS")
# In this order: the first whose variables are set is taken.
SCHEDULERS = (
    Scheduler("Open MPI", "OMPI_COMM_WORLD_RANK", "OMPI_COMM_WORLD_SIZE"),
    SLURM_ARRAY,
    SLURM_TASKS,
    Scheduler("Kubernetes", "JOB_COMPLETION_INDEX", ""),
    Scheduler("AWS Batch", "AWS_BATCH_JOB_ARRAY_INDEX", "AWS_BATCH_JOB_ARRAY_SIZE"),
    Scheduler("Google Batch", "BATCH_TASK_INDEX", "BATCH_TASK_COUNT"),
    Scheduler("Cloud Run", "CLOUD_RUN_TASK_INDEX", "CLOUD_RUN_TASK_COUNT"),
)


@dataclass(frozen=True, order=True)
class Shard:
    """One of `count` shares of the images.

    Attributes:
        number: the number of the shard, from 1 to `count`.
        count: the number of shards.
        origin: the variables that the numbers come from; "" if they were given.
    """

    number: int
    count: int
    origin: str = field(default="", compare=False)

    def __str__(self) -> str:
        return f"{self.number}/{self.count}"

    def describe(self) -> str:
        """Return the numbers, and where they come from."""
        return f"shard {self}, from {self.origin}" if self.origin else f"shard {self}"


def hash_name(name: str) -> int:
    """Return the hash of an image's name, which is the same on every machine and in every version."""
    digest = hashlib.blake2b(name.encode("utf-8", "surrogatepass"), digest_size=HASH_BYTES).digest()
    return int.from_bytes(digest, "little")


def parse_shard(value: object, environment: Mapping[str, str] = os.environ) -> Shard:
    """Return the shard that a user has named.

    Args:
        value: "3/16" or (3, 16); "auto", for the variables of Slurm, Open MPI and others; "auto/16".
        environment: the variables of the environment.

    Raises:
        InputError: if it is anything else, or the variables are missing or contradict each other.
    """
    if isinstance(value, Shard):
        return value
    text = value if isinstance(value, str) else "/".join(map(str, value)) if isinstance(value, tuple | list) else ""
    match = re.fullmatch(r"\s*(?:(auto)|(\d{1,9}))(?:\s*/\s*(\d{1,9}))?\s*", text, re.ASCII)
    if not match or (match[2] and not match[3]):
        raise InputError(f"shard (--shard) must be {FORMS}. Received: {shorten_repr(value)}")
    count = int(match[3]) if match[3] else None
    if match[1]:
        return _find_shard(count, environment)
    return _check_shard(Shard(int(match[2]), count or 0), shorten_repr(value))


def _check_shard(shard: Shard, received: str) -> Shard:
    """Return the shard; raise InputError if there is no such one."""
    if not 1 <= shard.count <= MAX_SHARDS:
        raise InputError(f"The number of shards must be from 1 to {MAX_SHARDS:,}. Received: {received}")
    if not 1 <= shard.number <= shard.count:
        raise InputError(
            f"Shards are counted from 1: with {shard.count} of them, from 1/{shard.count} to {shard.count}/"
            f"{shard.count}. Received: {received}"
        )
    return shard


def _find_shard(count: int | None, environment: Mapping[str, str]) -> Shard:
    """Return the shard that the environment tells; `count` stands for the number if the system does not tell."""
    scheduler = next((row for row in SCHEDULERS if environment.get(row.index, "") != ""), None)
    if scheduler is None:
        names = ", ".join(row.index for row in SCHEDULERS)
        raise InputError(
            f"shard='auto' (--shard auto) takes the shard from the environment, and none of these variables is set: "
            f"{names}. Name the shard itself, as in 3/16"
        )
    index, told_count, origin = _read_index(scheduler, environment)

    # Each element of an array may be a job of several tasks.
    if scheduler is SLURM_ARRAY and environment.get(SLURM_TASKS.count, "1") not in ("", "1"):
        task, tasks, task_origin = _read_index(SLURM_TASKS, environment)
        if told_count is not None and tasks is not None:
            index, told_count, origin = index * tasks + task, told_count * tasks, f"{origin}, {task_origin}"

    if told_count is None and count is None:
        raise InputError(
            f"The variables of {scheduler.name} tell the index of this process ({origin}), but not how many there are. "
            f"Add their number, as in shard='auto/16' (--shard auto/16)"
        )
    if told_count is not None and count is not None and told_count != count:
        raise InputError(
            f"shard='auto/{count}' (--shard auto/{count}) contradicts {origin}: these are {told_count} processes"
        )
    shard = Shard(index + 1, told_count if told_count is not None else count or 0, origin)
    return _check_shard(shard, origin if told_count is not None else f"auto/{count} with {origin}")


def _read_index(scheduler: Scheduler, environment: Mapping[str, str]) -> tuple[int, int | None, str]:
    """Return the index of this process from 0, the number of processes if it is told, and the variables as text."""
    names = [name for name in (scheduler.index, scheduler.count, scheduler.first, scheduler.step) if name]
    values = {name: environment[name] for name in names if environment.get(name, "") != ""}
    origin = ", ".join(f"{name}={value}" for name, value in values.items())
    for name, value in values.items():
        if not re.fullmatch(r"\d{1,9}", value, re.ASCII):
            raise InputError(f"The variable {name} must be a whole number. Received: {value!r:.100}")
    if scheduler.count and scheduler.index not in values:
        raise InputError(f"The variable {scheduler.index} is not set, but {scheduler.count} is: {origin}")
    index = int(values[scheduler.index]) - int(values.get(scheduler.first, 0))
    step = int(values.get(scheduler.step, 1)) or 1
    if index % step:
        raise InputError(f"The array of {scheduler.name} has gaps ({origin}); name the shard itself, as in 3/16")
    count = values.get(scheduler.count)
    return index // step, None if count is None else int(count), origin


class NameSet:
    """How many names were added, and a sum of their hashes: what two sets of names share if they are the same."""

    def __init__(self, count: int = 0, total: int = 0) -> None:
        self.count, self.total = count, total

    @classmethod
    def from_json(cls, count: int, total: str) -> NameSet:
        """Return the set that `to_json` has described."""
        return cls(count, int(total, 16))

    def add(self, hashed: int) -> None:
        """Add a name by its hash."""
        self.count, self.total = self.count + 1, (self.total + hashed) % HASH_RANGE

    def to_json(self) -> list[Any]:
        """Return both as JSON values."""
        return [self.count, f"{self.total:0{2 * HASH_BYTES}x}"]


class ShardedImages:
    """The images of one shard, and what the listing of all images says about the other shards.

    Attributes:
        shard: the shard.
        listed: the names of each shard, after all images were listed.
    """

    def __init__(self, list_images: Callable[[], Iterator[NamedImage]], shard: Shard) -> None:
        """Divide the images.

        Args:
            list_images: returns an iterator over all images, each time it is called.
            shard: the shard to take.
        """
        self.shard, self._list_images = shard, list_images
        self.listed = list[NameSet]()
        self._indices = deque[int]()  # of the images that were yielded, in the listing of all

    def iter_images(self) -> Iterator[NamedImage]:
        """Yield the images of the shard, in the order of the listing."""
        self._indices.clear()
        for index, image in self._iter_own():
            self._indices.append(index)
            yield image

    def take_index(self) -> int:
        """Return the number, in the listing of all images, of the first image yielded whose number was not taken."""
        return self._indices.popleft()

    def drop_indices(self) -> None:
        """Take the numbers of all images yielded so far."""
        self._indices.clear()

    def count_images(self, verbose: bool) -> int:
        """Return the number of images in the shard; list all images for it.

        Raises:
            InputError: if there are none in any shard.
        """
        with show_progress("Counting the images", unit="images", verbose=verbose) as progress:
            count = sum(1 for _ in progress.track(self._iter_own()))
        if not any(names.count for names in self.listed):
            raise InputError("No images were given")
        return count

    def _iter_own(self) -> Iterator[tuple[int, NamedImage]]:
        count, own = self.shard.count, self.shard.number - 1
        self.listed = [NameSet() for _ in range(count)]
        for index, image in enumerate(self._list_images()):
            hashed = hash_name(image[0])
            self.listed[hashed % count].add(hashed)
            if hashed % count == own:
                yield index, image
