"""Loops and sentences reach the renderer in order; the terminal's stays silent where there is none."""

from __future__ import annotations

import io
import logging
import sys

import pytest

from samtune.progress import Progress, TerminalProgress, reporting_to, say, track


class Recorder:
    def __init__(self) -> None:
        self.calls: list[tuple[object, ...]] = []

    def started(self, description: str, total: int | None) -> None:
        self.calls.append(("started", description, total))

    def advanced(self) -> None:
        self.calls.append(("advanced",))

    def said(self, sentence: str) -> None:
        self.calls.append(("said", sentence))

    def finished(self) -> None:
        self.calls.append(("finished",))


def test_a_loop_reports_its_items_and_its_end() -> None:
    recorder = Recorder()
    progress: Progress = recorder
    with reporting_to(progress):
        for item in track([1, 2], "Counting"):
            say(f"item {item}")
        for _ in track(iter("ab"), "Spelling", total=2):
            pass
    assert recorder.calls == [
        ("started", "Counting", 2), ("said", "item 1"), ("advanced",), ("said", "item 2"), ("advanced",), ("finished",),
        ("started", "Spelling", 2), ("advanced",), ("advanced",), ("finished",),
    ]  # fmt: skip


def test_an_error_ends_the_loop_and_the_renderer_before_is_back() -> None:
    recorder = Recorder()

    def fail() -> None:
        for _ in track([1], "Failing"):
            raise ValueError("an item")

    with pytest.raises(ValueError, match="an item"), reporting_to(recorder):
        fail()
    assert recorder.calls == [("started", "Failing", 1), ("finished",)]
    list(track([1], "Elsewhere"))
    assert len(recorder.calls) == 2


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_a_bar_is_drawn_on_a_terminal_alone(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    for stream, drawn in ((Terminal(), True), (io.StringIO(), False)):
        monkeypatch.setattr(sys, "stderr", stream)
        with reporting_to(TerminalProgress()), caplog.at_level(logging.INFO, "samtune"):
            assert list(track(range(3), "Drawing")) == [0, 1, 2]
            assert list(track(track([1], "Inside"), "Outside")) == [1]
            say("one\nline")
        assert ("Drawing" in stream.getvalue()) == drawn
    assert [record.message for record in caplog.records] == [r"one\nline"] * 2
