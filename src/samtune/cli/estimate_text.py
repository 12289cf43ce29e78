"""Text of the estimate of `samtune train --dry-run`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from samtune.text import duration, size

if TYPE_CHECKING:
    from samtune.training import Estimate

PHASES = {
    "load": "loading the base", "features": "computing features", "start": "the probe and first values",
    "training": "training", "validation": "validation",
}  # fmt: skip
"""Names of the phases of `Estimate.seconds`."""


def estimate_text(estimate: Estimate) -> str:
    """Return the plan, its memory, disk space and time, and whether it fits, one a line."""
    plan, features = estimate.plan, estimate.features
    parts = "at once" if plan["accumulate"] == 1 else f"in {plan['accumulate']} parts"
    lines = [
        f"{estimate.method} on {estimate.base} at {estimate.side} pixels, on {estimate.device}: "
        f"{estimate.num_train} images to train on, {estimate.num_val} to validate on.",
        f"Trained:  {estimate.trainable:,} numbers",
        f"Plan:     {plan['updates']} updates of {plan['batch_size']} images, each {parts}",
        f"Features: {features['to_compute']} to compute, {size(features['bytes'])} in {features['folder']} "
        f"({size(features['free_bytes'])} free)",
        f"Memory:   {_memory(estimate)}",
        f"Time:     {_time(estimate)}",
        {
            True: "It fits.",
            False: "It does not fit: take a smaller --side, --set recompute=true, a smaller base or another method.",
            None: "Whether it fits is unknown: this system does not report its free memory.",
        }[estimate.fits],
    ]
    return "\n".join(lines)


def _memory(estimate: Estimate) -> str:
    peak, limit = estimate.memory["peak_bytes"], estimate.memory["limit_bytes"]
    text = f"{size(peak or 0)} at most"
    return text if limit is None else f"{text}, of {size(limit)} available to this process"


def _time(estimate: Estimate) -> str:
    if not estimate.seconds:
        return "not measured, since the run may not fit into memory"
    phases = [
        f"{name} {duration(estimate.seconds[key])}" for key, name in PHASES.items() if estimate.seconds[key] >= 0.5
    ]
    return f"{duration(estimate.seconds['total'])} at most ({', '.join(phases)})"
