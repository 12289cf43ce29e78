"""Properties of the machine: devices, memory, and the heap of the C library."""

from samtune.system.device import choose_device
from samtune.system.heap import trim
from samtune.system.memory import MEMORY_SHARE, available_bytes, held_bytes, peak_bytes

__all__ = ["MEMORY_SHARE", "available_bytes", "choose_device", "held_bytes", "peak_bytes", "trim"]
