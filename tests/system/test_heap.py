from __future__ import annotations

import platform
import sys

import pytest
import torch

from samtune.system import heap
from samtune.system.memory import held_bytes

PIECE, PIECES = 100_000, 400
CPU = torch.device("cpu")


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="only glibc hands memory back when told")
def test_what_was_freed_goes_back_to_the_system() -> None:
    heap.trim()
    before = held_bytes(CPU)
    pieces = [bytearray(PIECE) for _ in range(PIECES)]
    for piece in pieces:
        piece[::4096] = b"1" * len(piece[::4096])
    last = pieces[-1]  # at the heap's top, so that nothing below it goes back by itself
    del pieces, piece
    kept = held_bytes(CPU) - before
    assert kept > PIECE * PIECES / 2
    heap.trim()
    assert held_bytes(CPU) - before < kept / 4
    assert len(last) == PIECE


def test_without_such_a_library_nothing_happens(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "platform", "darwin")
    heap._malloc_trim.cache_clear()
    try:
        heap.trim()
        assert heap._malloc_trim() is None
    finally:
        heap._malloc_trim.cache_clear()
