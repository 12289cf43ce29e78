"""Record of where and how a computation was made: date, command line, versions, machine."""

from __future__ import annotations

import os
import platform
import shlex
import sys
from datetime import datetime
from functools import cache
from importlib.metadata import version
from typing import Any

import torch

from samtune.system.cpu import processor


def session_record(device: torch.device) -> dict[str, Any]:
    """Return a record of this process as JSON values.

    Args:
        device: device that computes.

    Returns:
        "started": the present time in ISO 8601 with time zone; "command": the command line, quoted for a shell;
        "working_directory", None where it was removed; "versions"; "machine": system, processor, device, name of the
        GPU (None on others) and number of threads.
    """
    try:
        folder = os.getcwd()
    except OSError:
        folder = None
    return {
        "started": datetime.now().astimezone().isoformat(timespec="seconds"),
        "command": command_line(),
        "working_directory": folder,
        "versions": versions(),
        "machine": {
            "system": platform.platform(),
            "processor": processor().get("model name") or platform.processor() or platform.machine(),
            "device": str(device),
            "gpu": torch.cuda.get_device_name(device) if device.type == "cuda" else None,
            "threads": torch.get_num_threads(),
        },
    }


def command_line() -> str:
    """Return the command line of this process, quoted for a shell; within a notebook, that of its kernel."""
    return shlex.join(sys.argv)


@cache
def versions() -> dict[str, str]:
    """Return the versions of Python and of the libraries that compute."""
    names = ("samtune", "torch", "transformers", "numpy")
    return {"python": platform.python_version()} | {name: version(name) for name in names}
