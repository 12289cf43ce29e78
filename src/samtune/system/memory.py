"""Memory of this process: available, held, and at its peak.

psutil reports the machine and the process. The limit of a Linux control group and the peak of a Linux process, which it
does not report, are read here.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

import psutil
import torch

MEMORY_SHARE = "SAMTUNE_MEMORY_SHARE"
"""Environment variable with the share (0..1] of the free memory that this process may count on."""


def available_bytes(device: torch.device) -> int | None:
    """Return the bytes that this process could still allocate on a device; None where they are unknown.

    On a CPU this is the system's available memory, limited by the process's control group; on a GPU it is the free
    memory plus what torch holds in reserve. `SAMTUNE_MEMORY_SHARE` gives the share of it for this process.
    """
    share = float(os.environ.get(MEMORY_SHARE, "1"))
    if device.type == "cuda":
        free, _ = torch.cuda.mem_get_info(device)
        return int(share * free) + torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)
    if device.type != "cpu":
        return None
    available, left = system_bytes(), group_bytes()
    return int(share * (available if left is None else min(available, left)))


def held_bytes(device: torch.device) -> int:
    """Return the bytes that this process holds: tensors on a GPU, else resident memory."""
    if device.type == "cuda":
        return torch.cuda.memory_allocated(device)
    return int(psutil.Process().memory_info().rss)


def peak_bytes(device: torch.device) -> int:
    """Return the largest number of bytes that this process has held: tensors on a GPU, else resident memory."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device)
    peak = linux_peak_bytes()
    if peak is not None:
        return peak
    memory = psutil.Process().memory_info()
    if hasattr(memory, "peak_wset"):  # Windows
        return int(memory.peak_wset)
    import resource

    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024


def system_bytes() -> int:
    """Return the memory that the system can still give, in bytes."""
    return int(psutil.virtual_memory().available)


def linux_peak_bytes(file: Path = Path("/proc/self/status")) -> int | None:
    """Return the peak of this process's resident memory in bytes; None where `file` does not exist.

    `getrusage` is not used on Linux, where its peak includes that of the parent process.
    """
    try:
        lines = file.read_text(encoding="utf-8").splitlines()
    except OSError:
        return None
    return next((1024 * int(line.split()[1]) for line in lines if line.startswith("VmHWM:")), None)


def group_bytes(root: Path = Path("/sys/fs/cgroup")) -> int | None:
    """Return the bytes that the control group's limit leaves; None without a limit. Cached files count as free."""
    for limit, usage, stat in (
        ("memory.max", "memory.current", "memory.stat"),
        ("memory/memory.limit_in_bytes", "memory/memory.usage_in_bytes", "memory/memory.stat"),
    ):
        try:
            most, used = (int((root / name).read_text()) for name in (limit, usage))
            rows = dict(line.split() for line in (root / stat).read_text().splitlines())
        except (OSError, ValueError):  # no such file, or the word "max"
            continue
        return max(0, most - used + int(rows.get("inactive_file", 0)))
    return None
