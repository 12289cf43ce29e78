"""Properties of the machine: devices, memory, the heap of the C library, and a record of a session."""

from samtune.system.device import choose_device
from samtune.system.heap import trim
from samtune.system.memory import MEMORY_SHARE, available_bytes, held_bytes, peak_bytes
from samtune.system.session import command_line, session_record, versions

__all__ = [
    "MEMORY_SHARE",
    "available_bytes",
    "choose_device",
    "command_line",
    "held_bytes",
    "peak_bytes",
    "session_record",
    "trim",
    "versions",
]
