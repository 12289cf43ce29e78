from __future__ import annotations

import mmap
from pathlib import Path

import pytest
import torch

from samtune.system import memory
from samtune.system.memory import MEMORY_SHARE, available_bytes, held_bytes, peak_bytes

CPU = torch.device("cpu")


def test_the_limit_of_a_control_group(tmp_path: Path) -> None:
    assert memory.group_bytes(tmp_path) is None
    (tmp_path / "memory.max").write_text("max\n")
    (tmp_path / "memory.current").write_text("600\n")
    (tmp_path / "memory.stat").write_text("anon 1\ninactive_file 100\n")
    assert memory.group_bytes(tmp_path) is None
    (tmp_path / "memory.max").write_text("1000\n")
    assert memory.group_bytes(tmp_path) == 500


def test_the_smaller_of_system_and_group_is_available_and_processes_share_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(MEMORY_SHARE, raising=False)
    monkeypatch.setattr(memory, "group_bytes", lambda: None)
    monkeypatch.setattr(memory, "system_bytes", lambda: 1000)
    assert available_bytes(CPU) == 1000
    monkeypatch.setenv(MEMORY_SHARE, "0.5")
    assert available_bytes(CPU) == 500
    monkeypatch.setattr(memory, "group_bytes", lambda: 600)
    assert available_bytes(CPU) == 300


def test_what_is_held_and_was_held_at_most() -> None:
    before = held_bytes(CPU)
    with mmap.mmap(-1, 50_000_000) as block:  # pages of its own, which an allocator could have kept from earlier tests
        block.write(b"1" * 50_000_000)
        assert held_bytes(CPU) - before > 40_000_000
        assert peak_bytes(CPU) >= held_bytes(CPU) - 1_000_000
    assert peak_bytes(CPU) - before > 40_000_000


def test_without_proc_there_is_no_peak_of_linux(tmp_path: Path) -> None:
    assert memory.linux_peak_bytes(tmp_path / "status") is None
    (tmp_path / "status").write_text("Name:\tpython\nVmHWM:\t    2048 kB\n")
    assert memory.linux_peak_bytes(tmp_path / "status") == 2048 * 1024
