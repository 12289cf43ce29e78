"""Training, the same for all methods: settings, plan, cached features, loop, checkpoints and estimates."""

from samtune.run_folder import RunFolder
from samtune.training.divergence import Diverged
from samtune.training.estimate import Estimate, estimate_run
from samtune.training.interruption import interruptible
from samtune.training.lock import locked
from samtune.training.plan import Facts, Plan, resolve
from samtune.training.result import TrainResult, finished_result, read_result
from samtune.training.run import train
from samtune.training.settings import TrainSettings

__all__ = [
    "Diverged",
    "Estimate",
    "Facts",
    "Plan",
    "RunFolder",
    "TrainResult",
    "TrainSettings",
    "estimate_run",
    "finished_result",
    "interruptible",
    "locked",
    "read_result",
    "resolve",
    "train",
]
