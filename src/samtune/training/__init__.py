"""One loop for all methods: settings, the schedule of batches, cached features, checkpoints, the run folder."""

from samtune.training.run import TrainResult, finished_result, read_result, train
from samtune.training.run_folder import RunFolder
from samtune.training.settings import Plan, TrainSettings, plan_run

__all__ = ["Plan", "RunFolder", "TrainResult", "TrainSettings", "finished_result", "plan_run", "read_result", "train"]
