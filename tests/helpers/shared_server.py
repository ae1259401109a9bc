"""One trial server for several searches, as each server imports TensorFlow."""

from functools import partial
from unittest import mock

from cnnzoo.tuning import tune as tune_module
from cnnzoo.tuning.server import Limits, TrialServer


def run_job_of_any_search(job):
    """The task of the shared server: a job is a search's own task and its job."""
    task, job_of_search = job
    return task(job_of_search)


class ServerOfOneSearch:
    """Stands in for the server of a search: runs its jobs on the shared server, and leaves that running."""

    def __init__(self, shared_server, task, limits):
        self.shared_server, self.task = shared_server, task

    def __enter__(self):
        return self

    def __exit__(self, *_):
        pass

    def run(self, job):
        return self.shared_server.run((self.task, job))

    def stop(self):
        self.shared_server.stop()


def start_shared_server():
    """Start a server for the searches inside of `use_server`; a context manager."""
    return TrialServer(run_job_of_any_search, Limits(memory=4e9, timeout=600))


def use_server(server):
    """Make searches use a running server; a context manager."""
    return mock.patch.object(tune_module, "TrialServer", partial(ServerOfOneSearch, server))
