"""Which images a run has seen, and what is said of them."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from samtune.errors import ConfigError, DataError
from samtune.predict.seen import find_seen, seen_notes
from samtune.run_folder import RunFolder


def test_a_run_knows_what_it_saw(tmp_path: Path) -> None:
    run = RunFolder(tmp_path)
    run.specialist.mkdir()
    run.split.write_text(json.dumps({"train": [{"content_id": "x"}], "val": [{"content_id": "y"}]}))
    notes: list[str] = []
    assert find_seen(tmp_path, unseen=True, notes=notes) == {"x", "y"}
    assert find_seen(run.specialist, unseen=False, notes=notes) == {"x", "y"}
    assert notes == []
    run.split.write_text("{")
    with pytest.raises(DataError, match="is damaged"):
        find_seen(tmp_path, unseen=True, notes=notes)


def test_a_specialist_alone_does_not(tmp_path: Path) -> None:
    notes: list[str] = []
    assert find_seen(tmp_path, unseen=False, notes=notes) == frozenset()
    assert "is not known" in notes[0]
    with pytest.raises(ConfigError, match="Expected a run folder for --unseen"):
        find_seen(tmp_path, unseen=True, notes=notes)


def test_scores_on_seen_images_are_marked() -> None:
    assert seen_notes(0, 5, unseen=False) == []
    assert "3 images that the run trained or validated on were left out" in seen_notes(3, 5, unseen=True)[0]
    assert seen_notes(3, 5, unseen=False)[0].startswith("WARNING: the run trained or validated on 3 of these 5 images")
