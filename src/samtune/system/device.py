"""Choice of the compute device by name."""

from __future__ import annotations

import torch

from samtune.errors import ConfigError
from samtune.printable import shown


def choose_device(device: str | None) -> torch.device:
    """Return the device with this name; without a name CUDA if there is a GPU, else the CPU.

    Args:
        device: "cpu", "cuda", "cuda:0" or "mps"; None to choose automatically.

    Raises:
        ConfigError: the name is unknown, or this machine has no such device.
    """
    if device is None:
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    available = {
        "cpu": True,
        "cuda": torch.cuda.is_available(),
        "mps": torch.backends.mps.is_available(),
    }
    kind, colon, number = device.partition(":")
    count = torch.cuda.device_count() if kind == "cuda" else 1
    if not available.get(kind, False) or (colon and number not in map(str, range(count))):
        names = ", ".join(name for name, is_available in available.items() if is_available)
        raise ConfigError(f"Expected a device of this machine ({names}), got {shown(device)}.")
    return torch.device(device)
