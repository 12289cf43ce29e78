"""Facts about the processor from a written /proc/cpuinfo."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from samtune.system import cpu


@pytest.fixture(autouse=True)
def fresh() -> Iterator[None]:
    """Forget the facts of this machine before a test, and those of the test after it."""
    cpu.processor.cache_clear()
    yield
    cpu.processor.cache_clear()


def write(monkeypatch: pytest.MonkeyPatch, text: str | None) -> None:
    def read_text(self: Path, encoding: str | None = None) -> str:
        assert str(self) == "/proc/cpuinfo"
        if text is None:
            raise FileNotFoundError(str(self))
        return text

    monkeypatch.setattr(Path, "read_text", read_text)


def test_it_reads_the_first_processor(monkeypatch: pytest.MonkeyPatch) -> None:
    write(monkeypatch, "vendor_id\t: Maker\nmodel name : A: 9\nflags : sse avx\n\nvendor_id : Other\n")
    assert cpu.processor() == {"vendor_id": "Maker", "model name": "A: 9", "flags": "sse avx"}


@pytest.mark.parametrize(
    ("text", "fast"),
    [
        ("vendor_id : GenuineIntel\nflags : avx512_bf16 amx_bf16", True),
        ("vendor_id : GenuineIntel\nflags : avx512_bf16", False),
        ("vendor_id : AuthenticAMD\nflags : avx512_bf16", True),
        ("vendor_id : AuthenticAMD\nflags : avx2", False),
        ("", False),
        (None, False),
    ],
)
def test_bfloat16_is_fast_where_its_instructions_are(
    monkeypatch: pytest.MonkeyPatch, text: str | None, fast: bool
) -> None:
    write(monkeypatch, text)
    assert cpu.has_fast_bf16() is fast
