"""The plan of a run: how much work, at which sizes, at which learning rate. It follows work done, not the clock.

One unit of work is one image of 256 x 256 pixels through the model; smaller ones count by their area.
"""

from __future__ import annotations

import dataclasses
import json
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from numpy.random import Generator

SIDES = (128, 192, 256)
SCENES = (4, 2, 1)  # a part of a step: about four units of work at each size
STABLE, TAIL = (0.3, 0.3, 0.4), (0.05, 0.15, 0.8)


@dataclass(frozen=True)
class Plan:
    """What is fixed when a run is created.

    Attributes:
        seed: of scenes, views and prompts.
        work: units at which the run ends.
        start: units at which it started: what weights it began with had behind them.
        fall: share of the work over which the learning rate falls linearly to 2 % at the end.
        lr: peak learning rate, of both optimisers.
        warm_up: steps over which the learning rate rises.
        parts: parts of a step whose gradients are added up.
        slots: scenes kept for use with other views.
        scale: factor on the scenes of a part, for a GPU.
        keep: largest decay of the average of the weights.
        border: see `objective.mask_loss`.
        clicks: share of the parts with corrective clicks.
    """

    seed: int = 0
    work: float = 400_000
    start: float = 0
    fall: float = 0.25
    lr: float = 8e-4
    warm_up: int = 200
    parts: int = 2
    slots: int = 300
    scale: int = 1
    keep: float = 0.9995
    border: float = 4.0
    clicks: float = 0.4

    def rate(self, work: float, step: int) -> float:
        """The learning rate after some work and steps: rise, hold, fall."""
        left = (self.work - work) / max(self.work * self.fall, 1e-9)
        return self.lr * min(1.0, (step + 1) / self.warm_up) * min(1.0, max(0.02, left))

    def draw_part(self, rng: Generator, work: float) -> tuple[int, int, int, float]:
        """Draw a part of a step: pixels, scenes, new scenes, chance of padding; more at 256 as the rate falls."""
        shares = TAIL if work > self.work * (1 - self.fall) else STABLE
        k = int(rng.choice(3, p=shares))
        return SIDES[k], SCENES[k] * self.scale, max(1, self.scale // 4), 0.4 if SIDES[k] == 256 else 0.1

    def save(self, path: Path) -> None:
        """Write it as JSON."""
        path.write_text(json.dumps(dataclasses.asdict(self), indent=1) + "\n")


def load_plan(path: Path) -> Plan:
    """Read a plan."""
    return Plan(**json.loads(path.read_text()))
