"""Which images to label next."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest

from samtune.compare import (
    Committee,
    Comparison,
    here,
    suggest,
)
from samtune.compare.suggest import Candidate, disagreement, pick
from samtune.data import Dataset, make_samples
from samtune.errors import ConfigError, DataError
from samtune.pages import write_comparison_page


def test_disagreement_is_a_share_and_specks_are_none() -> None:
    empty, half = np.zeros((100, 100), np.uint8), np.zeros((100, 100), np.uint8)
    half[:50] = 1
    other = np.roll(half, 50, 0)
    speck = empty.copy()
    speck[0, 0] = 1
    assert disagreement(half, half) == disagreement(empty, empty) == 0
    assert disagreement(half, other) > 0.99
    assert disagreement(empty, speck) < 0.1
    assert disagreement(empty, half) > 0.99
    assert disagreement(half, half * np.uint8(2)) > 0.99
    shifted = np.roll(half, 5, 0)
    assert 0 < disagreement(half, shifted) == disagreement(shifted, half) < 0.2


def test_the_next_images_are_uncertain_and_different() -> None:
    def candidate(name: str, score: float, angle: float) -> Candidate:
        return Candidate(Path(name), score, np.array([np.cos(angle), np.sin(angle)], np.float32))

    pool = [
        candidate("worst", 0.9, 0.0), candidate("its copy", 0.89, 0.0), candidate("nearly it", 0.88, 0.03),
        candidate("other", 0.6, 1.0), candidate("easy", 0.05, 2.0),
    ]  # fmt: skip
    names = [item.file.name for item in pick(pool, 3)]
    assert names == ["worst", "other", "easy"]
    assert [item.file.name for item in pick(pool, 1)] == ["worst"]
    everything = [item.file.name for item in pick(pool, 10)]
    assert "its copy" not in everything
    assert len(everything) == 4
    assert pick([candidate("alone", 0.0, 0.0)], 2)[0].novelty == 1


def test_suggestions_and_the_page(comparison: Comparison, base: Path, dataset: Dataset, tmp_path: Path) -> None:
    images, _ = make_samples("cells", tmp_path / "new", num=6, seed=99, size_hw=(64, 80))
    shutil.copy(dataset.pairs[0].image, images / "known.png")
    shutil.copy(images / "cells_000.png", images / "zz_copy.png")
    (images / "broken.png").write_bytes(b"no image")
    committee = Committee(comparison.runs("ptsam", 4), str(base), "cpu")
    found = suggest(committee, dataset, images, 20)
    names = [item.file.name for item in found.images]
    assert "known.png" not in names
    assert "broken.png" not in names
    assert len({"cells_000.png", "zz_copy.png"} & set(names)) == 1
    assert len(names) == len(set(names)) == 6
    assert found.num_candidates == 7
    assert any("annotated already" in note for note in found.notes)
    assert any("Skipped" in note for note in found.notes)
    lines = found.write_csv(tmp_path / "suggestions.csv").read_text().splitlines()
    assert lines[0] == "rank,file,disagreement,novelty"
    assert len(lines) == 7
    _, page = write_comparison_page(comparison, title="Cells", suggestions=found, committee=committee, run=here)
    html = page.read_text(encoding="utf-8")
    assert "Images worth labelling next" in html
    assert f"Keep {comparison.advice.keep}." in html
    assert html.count('class="cell"') == 6 + 5
    with pytest.raises(ConfigError, match="at least two draws"):
        Committee(comparison.runs("ptsam", 4)[:1], str(base), "cpu")
    with pytest.raises(DataError, match="--unlabelled"):
        suggest(committee, dataset, tmp_path / "nowhere", 2)
