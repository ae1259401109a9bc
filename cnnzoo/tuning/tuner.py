"""Keras Tuner's loop over trials, each of which the search's server runs."""

import time
from typing import Any

from keras_tuner.engine.base_tuner import BaseTuner
from keras_tuner.errors import FailedTrialError, FatalError

from cnnzoo.errors import TrainingError
from cnnzoo.tuning import oracles
from cnnzoo.tuning.search import Search
from cnnzoo.tuning.trial import record


class Tuner(BaseTuner):
    """One worker of a search; where Keras Tuner's variables say so its oracle is the chief's, elsewhere."""

    def __init__(self, search: Search, name: str) -> None:
        self.mine, self.idle = search, False
        super().__init__(search.oracle, directory=str(search.folder.parent), project_name=search.folder.name)
        self.tuner_id = name

    def _get_tuner_fname(self):
        return str(self.mine.folder / oracles.FILE)  # a tuner knows nothing that its oracle does not

    def save(self):
        """Nothing: the oracle saves itself."""

    def reload(self):
        if not self._is_worker():
            self.oracle.reload()

    def pre_create_trial(self):
        if self.idle:
            time.sleep(0.2)  # while others run what the next trial depends on
        self.idle = True

    def on_trial_begin(self, trial):
        self.idle = False
        self.mine.board.begin(trial)

    def run_trial(self, trial: Any) -> dict[str, float]:
        job = self.mine.job(trial, self.oracle)
        try:
            status, outcome = self.mine.server.run(job)
        except TrainingError as error:
            raise FatalError(str(error)) from None
        if status == "failed":
            record(job.folder, {"chosen": job.chosen, "reason": outcome})
            raise FailedTrialError(outcome)
        return {self.mine.setting.objective: outcome["score"]}

    def on_trial_end(self, trial):
        super().on_trial_end(trial)
        self.mine.board.end(trial)
