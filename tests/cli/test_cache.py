"""`samtune cache` shows the cache of features, and `clean` removes what the user agrees to."""

from __future__ import annotations

import io
import os
import sys
import time
from datetime import datetime
from pathlib import Path

import numpy as np
import pytest

from samtune.array_store import ArrayStore
from tests.cli.conftest import Run


@pytest.fixture
def store(run: Run) -> ArrayStore:
    """Two entries in the cache of `run`: one written 40 days ago, one now."""
    store = ArrayStore.default()
    for number in (1, 2):
        store.put(ArrayStore.key(number), np.zeros(1000, np.uint8))
    before = time.time() - 40 * 24 * 3600
    os.utime(store.file(ArrayStore.key(1)), (before, before))
    return store


class Terminal(io.StringIO):
    """A user who has typed an answer."""

    def isatty(self) -> bool:
        return True


def test_the_cache_is_shown(run: Run, store: ArrayStore) -> None:
    answer = run("cache", "--json")
    sizes = [entry.num_bytes for entry in store.entries()]
    content = answer.json
    assert (content["folder"], content["num_entries"], content["num_bytes"]) == (str(store.folder), 2, sum(sizes))
    oldest, newest = (datetime.fromisoformat(content[key]) for key in ("oldest", "newest"))
    assert oldest.tzinfo is not None
    assert 39 < (newest - oldest).total_seconds() / 86400 < 41
    text = run("cache").out
    assert str(store.folder) in text
    assert "2 entries, 2.3 kB" in text
    assert content["oldest"] in text
    assert "samtune cache clean" in text


def test_an_empty_cache_is_shown_and_cleaned(run: Run, tmp_path: Path) -> None:
    assert run("cache", "--json").json == {
        "folder": str(tmp_path / "cache"), "num_entries": 0, "num_bytes": 0, "oldest": None, "newest": None,
    }  # fmt: skip
    assert "0 entries" in run("cache").out
    assert run("cache", "clean").code == 0
    assert not (tmp_path / "cache").exists()


@pytest.mark.parametrize(
    ("words", "left"),
    [(("--older-than", 30), [2]), (("--older-than", 50), [1, 2]), ((), []), (("--older-than", 0), [])],
)
def test_cleaning_removes_what_is_old_enough(
    run: Run, store: ArrayStore, words: tuple[object, ...], left: list[int]
) -> None:
    before = sum(entry.num_bytes for entry in store.entries())
    answer = run("cache", "clean", *words, "--yes", "--json")
    assert answer.code == 0
    assert [number for number in (1, 2) if store.has(ArrayStore.key(number))] == left
    freed = before - sum(entry.num_bytes for entry in store.entries())
    assert answer.json == {
        "folder": str(store.folder), "num_entries": 2 - len(left), "num_bytes": freed, "num_failed": 0,
    }  # fmt: skip
    assert run("cache", "--json", "clean", "--yes").json["num_entries"] == len(left)


@pytest.mark.parametrize(("typed", "left"), [("y\n", 0), ("n\n", 2), ("\n", 2)])
def test_the_user_is_asked(run: Run, store: ArrayStore, monkeypatch: pytest.MonkeyPatch, typed: str, left: int) -> None:
    monkeypatch.setattr(sys, "stdin", Terminal(typed))
    answer = run("cache", "clean")
    assert answer.code == 0
    assert f"Remove 2 entries, 2.3 kB from {store.folder}?" in answer.err
    assert len(store.entries()) == left
    assert ("Nothing was removed" if left else "Removed 2 entries, 2.3 kB") in answer.out


@pytest.mark.parametrize("words", [(), ("--json",)])
def test_without_a_user_nothing_is_removed(
    run: Run, store: ArrayStore, monkeypatch: pytest.MonkeyPatch, words: tuple[object, ...]
) -> None:
    monkeypatch.setattr(sys, "stdin", Terminal("y\n") if words else io.StringIO("y\n"))
    answer = run("cache", "clean", *words)
    assert answer.code == 2
    assert "--yes" in answer.err
    assert answer.out == ""
    assert len(store.entries()) == 2


def test_entries_in_use_are_named(run: Run, store: ArrayStore, monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(self: Path, missing_ok: bool = False) -> None:
        raise PermissionError(13, "Permission denied", str(self))

    monkeypatch.setattr(Path, "unlink", refused)
    answer = run("cache", "clean", "--yes", "--json")
    assert answer.code == 2
    assert answer.json["num_failed"] == 2
    assert "2 entries could not be removed, such as" in answer.err
    assert "Permission denied" in answer.err


def test_a_cache_that_is_a_file_is_an_error(run: Run, tmp_path: Path) -> None:
    (tmp_path / "cache").write_text("not a folder")
    answer = run("cache")
    assert answer.code == 2
    assert "a part of the path is a file" in answer.err
