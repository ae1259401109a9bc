"""Keras Tuner's loop over trials, each of which the search's server runs."""

import json
import time
from typing import Any

import grpc
from keras_tuner.engine.base_tuner import BaseTuner
from keras_tuner.errors import FailedTrialError, FatalError
from keras_tuner.src import config, protos

from cnnzoo.tuning import oracles
from cnnzoo.tuning.search import Search
from cnnzoo.tuning.server import SERVER_ENDED
from cnnzoo.tuning.trial import write_outcome

config.DEBUG = False  # which prints a traceback of every trial that fails
RETRY_POLICY = {  # gRPC's retries, for a chief that is started again in the middle of a call
    "maxAttempts": 5,
    "initialBackoff": "1s",
    "maxBackoff": "10s",
    "backoffMultiplier": 2,
    "retryableStatusCodes": ["UNAVAILABLE"],
}


class SearchTuner(BaseTuner):
    """One worker of a search; where Keras Tuner's variables say so its oracle is the chief's, elsewhere."""

    def __init__(self, search: Search, name: str) -> None:
        self.mine, self.idle = search, False
        super().__init__(search.oracle, directory=str(search.folder.parent), project_name=search.folder.name)
        self.tuner_id = name
        if search.worker:
            service = json.dumps({"methodConfig": [{"name": [{}], "retryPolicy": RETRY_POLICY}]})
            channel = grpc.insecure_channel(search.address, options=[("grpc.service_config", service)])
            self.oracle.stub = protos.get_service_grpc().OracleStub(channel)

    def _get_tuner_fname(self):
        return str(self.mine.folder / oracles.ORACLE_FILE)  # a tuner knows nothing that its oracle does not

    def save(self):
        """Nothing: the oracle saves itself."""

    def reload(self):
        if not self._is_worker():
            self.oracle.reload()

    def pre_create_trial(self):
        if self.mine.over.is_set():
            raise FatalError(SERVER_ENDED)
        if self.idle:
            time.sleep(0.2)  # while others run what the next trial depends on
        self.idle = True

    def on_trial_begin(self, trial):
        self.idle = False
        self.mine.board.begin(trial)

    def run_trial(self, trial: Any) -> dict[str, float]:
        try:
            job = self.mine.job(trial, self.oracle)
            status, outcome = self.mine.server.run(job)
            if status == "failed":
                write_outcome(job.folder, {"chosen": job.chosen, "reason": outcome})
        except Exception as error:  # of the search, not of the trial, which is to be run again
            raise FatalError(str(error)) from error
        if status == "failed":
            raise FailedTrialError(outcome)
        return {self.mine.setting.objective: outcome["score"]}

    def on_trial_end(self, trial):
        super().on_trial_end(trial)
        self.mine.board.end(trial)
