"""Which of several hosts this is: from options, or from the variables that Slurm, Open MPI and Kubernetes set."""

from __future__ import annotations

import itertools
import os
import re
import socket
from collections.abc import Sequence
from typing import NamedTuple

from cnnzoo.core.connection import MAX_PROCESSES, check_address
from cnnzoo.core.errors import InputError, shorten_repr
from cnnzoo.core.host_address import find_free_address, is_this_host

PORT = 7654  # where rank 0 listens, if no other port is given
JOB_PORTS = range(61440, 65536)  # of batch systems: each job has one of these
LOCAL = f"127.0.0.1:{PORT}"


class HostPlace(NamedTuple):
    """Which host (or task of a batch system) this is, their number, and the host:port where all processes meet."""

    rank: int
    number: int
    address: str


def find_place(hosts: str | None, rank: int | None, address: str | None) -> HostPlace:
    """Return the place of this host.

    Args:
        hosts: the names or addresses of all hosts, separated by commas, or their number; None asks the batch system.
        rank: the number of this host, from 0 on; None looks for this host among `hosts`, or asks the batch system.
        address: the host:port of the first host; None uses the first of `hosts`, or asks the batch system.

    Raises:
        InputError: if the place is not known, or the options contradict each other.

    Example:
        >>> from cnnzoo.core.cluster import find_place
        >>> find_place("10.0.0.1,10.0.0.2", 1, None)
        HostPlace(rank=1, number=2, address='10.0.0.1:7654')
    """
    if address is not None:
        check_address(address)
    if hosts is not None:
        return _place_among(hosts, rank, address)
    if rank is not None:
        raise InputError(f"--rank needs --hosts, the number of all hosts or their names. Received: --rank {rank}")
    # Under Slurm, mpirun starts a helper on each host, whose variables of Slurm all of its processes inherit.
    place = _open_mpi_place(address) or _slurm_place(address)
    if place is None:
        _check_kubernetes()
    return place or HostPlace(0, 1, address or find_free_address())


def _place_among(hosts: str, rank: int | None, address: str | None) -> HostPlace:
    """Return the place of this host among `hosts`: names, or their number."""
    names = [] if hosts.strip().isdecimal() else [name.strip() for name in hosts.split(",")]
    count = len(names) or int(hosts)
    if not all(names) or len(set(names)) < len(names) or not 1 <= count <= MAX_PROCESSES:
        raise InputError(
            "--hosts must be different names or addresses, such as 10.0.0.1,10.0.0.2, or the number of hosts. "
            f"Received: {shorten_repr(hosts)}"
        )
    if address is None and names:
        address = names[0] if re.search(r":\d+$", names[0]) else f"{names[0]}:{PORT}"
    if rank is None and "JOB_COMPLETION_INDEX" in os.environ and not names:
        rank = _read_number("JOB_COMPLETION_INDEX")
    if rank is None:
        own = [i for i, name in enumerate(names) if is_this_host(name.partition(":")[0])]
        if len(own) != 1:
            reason = "none of them" if not own else "several of them"
            raise InputError(
                f"This host ({socket.gethostname()}) is {reason if names else 'not named'} in --hosts {hosts}. Give "
                "its number with --rank, from 0 on"
            )
        rank = own[0]
    if not 0 <= rank < count:
        raise InputError(f"--rank must be from 0 to {count - 1}, as there are {count} hosts. Received: {rank}")
    if address is None:
        if count > 1:
            raise InputError(f"--hosts {hosts} needs the address of the first host: --address HOST:{PORT}")
        address = find_free_address()
    return HostPlace(rank, count, check_address(address))


def _slurm_place(address: str | None) -> HostPlace | None:
    """Return the place of this task of `srun`; None outside of it."""
    nodes = os.environ.get("SLURM_STEP_NODELIST")
    if not nodes or "SLURM_PROCID" not in os.environ:
        return None
    count = _read_number("SLURM_STEP_NUM_TASKS" if "SLURM_STEP_NUM_TASKS" in os.environ else "SLURM_NTASKS")
    rank = _read_number("SLURM_PROCID")
    _check_told_rank(rank, count, "SLURM_PROCID")
    return HostPlace(rank, count, address or f"{first_slurm_host(nodes)}:{_job_port('SLURM_JOB_ID')}")


def first_slurm_host(nodes: str) -> str:
    """Return the first host of a list as Slurm writes it.

    Example:
        >>> from cnnzoo.core.cluster import first_slurm_host
        >>> first_slurm_host("node[007-009,012],login1")
        'node007'
    """
    match = re.match(r"([^,\[]+)(?:\[([^\]\-,]+))?", nodes)
    if not match:
        raise InputError(f"SLURM_STEP_NODELIST has no host. Received: {shorten_repr(nodes)}. Give it with --address")
    return match[1] + (match[2] or "")


def _open_mpi_place(address: str | None) -> HostPlace | None:
    """Return the place of this process of `mpirun` of Open MPI; None outside of it."""
    if "OMPI_COMM_WORLD_SIZE" not in os.environ:
        return None
    count, rank = _read_number("OMPI_COMM_WORLD_SIZE"), _read_number("OMPI_COMM_WORLD_RANK")
    _check_told_rank(rank, count, "OMPI_COMM_WORLD_RANK")
    if address is None and os.environ.get("OMPI_COMM_WORLD_LOCAL_SIZE") == str(count):
        address = LOCAL
    if address is None:
        raise InputError(
            f"Open MPI does not say where its first process runs. Give its host with --address HOST:{PORT}, and let "
            "mpirun start the first process there"
        )
    return HostPlace(rank, count, address)


def _check_kubernetes() -> None:
    """Raise InputError within an indexed job of Kubernetes, which does not tell how many pods there are."""
    if "JOB_COMPLETION_INDEX" in os.environ:
        raise InputError(
            "This is a pod of an indexed job (JOB_COMPLETION_INDEX is set). Give the number of pods with --hosts, and "
            f"the first one's address with --address JOB-0.SERVICE:{PORT}; --hosts 1 trains in this pod alone"
        )


def _job_port(variable: str) -> int:
    """Return the port of the job whose number a variable holds."""
    return JOB_PORTS[_read_number(variable) % len(JOB_PORTS)]


def _check_told_rank(rank: int, count: int, variable: str) -> None:
    """Raise InputError unless the variables of a batch system name one of its processes."""
    if not 0 <= rank < count <= MAX_PROCESSES:
        raise InputError(
            f"{variable} says that this is process {rank}, from 0 on, but there are {count} of them. Name the hosts "
            "with --hosts, and this one with --rank"
        )


def _read_number(variable: str) -> int:
    """Return the number that a variable holds; raise InputError if it is none."""
    text = os.environ.get(variable, "")
    if not text.isdecimal() or len(text) > 9:
        raise InputError(f"{variable} must be a number. Received: {text!r:.50}")
    return int(text)


def split_evenly(items: Sequence[int], parts: int) -> list[list[int]]:
    """Return the items in as many lists of consecutive ones, of about equal length.

    Example:
        >>> from cnnzoo.core.cluster import split_evenly
        >>> split_evenly([0, 1, 2, 3, 4], 2)
        [[0, 1], [2, 3, 4]]
    """
    bounds = [len(items) * i // parts for i in range(parts + 1)]
    return [list(items[start:end]) for start, end in itertools.pairwise(bounds)]
