"""The page of a comparison stands alone, says the numbers as text, and takes names as text."""

from __future__ import annotations

import re
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from samtune.metrics import Regression
from samtune.report import ComparedRow, ComparisonPage, CurveFit, GroupRow, Suggested, write_comparison
from samtune.report.comparison_figures import short, spread
from tests.report.test_page import EVIL, Page, example

SHOTS = (4, 8, 16)


def row(label: str, level: float, trainable: int, *, baseline: bool = False, **fields: Any) -> ComparedRow:
    scores = tuple(tuple(level - 0.05 * (2 - n) + 0.01 * seed for seed in range(3)) for n in range(3))
    return ComparedRow(
        label, f"what {label} is", baseline, (4.0, 8.0, 16.0), scores, trainable, 61.0, 1_200_000_000, **fields
    )


def comparison_page() -> ComparisonPage:
    """Eight rows, groups, a curve, suggestions, examples, a failure and notes."""
    return ComparisonPage(
        title=f"Polyps {EVIL}",
        sentences=("Keep ptsam. With 16 labelled images it reaches an IoU of 0.612.", f"Another sentence {EVIL}."),
        facts={"Base model": "nano", "Test images": 100, "Commit": "0123456789ab"},
        shots=SHOTS,
        rows=[
            row("ptsam", 0.6, 2048, is_kept=True, against_best="best"),
            row("decoder_only", 0.59, 3_505_536, against_best="−0.010 (95 %: −0.040 to +0.020), not distinguishable"),
            row("lora", 0.52, 3_616_128, against_best="−0.080 (95 %: −0.110 to −0.050), worse", num_failed=1),
            row(EVIL, 0.51, 75_776),
            ComparedRow("Stock SAM", "untouched", True, (), (), 0, None, 10**9, "worse", level=0.021),
            row("Probe", 0.4, 257, baseline=True),
            row("Blurred colour", 0.31, 25, baseline=True),
            row("U-Net", 0.45, 921_921, baseline=True),
        ],
        groups=[
            GroupRow("smallest objects (1 to 3 % of the image)", 33, 0.02, 0.41, "+0.390 (…)", "better"),
            GroupRow(EVIL, 33, 0.5, 0.49, "−0.010 (…)", "not distinguishable"),
        ],
        group_sentences=("Tuning beat stock SAM on smallest objects.", "The data names no groups of images."),
        regressions=[
            Regression(f"image{EVIL}", "stock_sam", "iou", 0.123, 0.777, 0.654),
            Regression("b", "probe", "iou", 0.2, 0.21, 0.01),
        ],
        regression_sentence="ptsam is worse than stock SAM or the probe on 2 of 100 test images.",
        curve_sentences=("Labelling more is likely to pay.",),
        fit=CurveFit((4, 8, 16, 32), (0.51, 0.56, 0.61, 0.65), 0.04, 0.02, 0.06),
        kept="ptsam",
        suggestions=[
            Suggested(1, f"new{EVIL}.png", 0.75, 1.0, np.full((40, 60, 3), 90, np.uint8)),
            Suggested(2, "large.png", 0.5, 0.4, np.full((2000, 1400, 3), 120, np.uint8)),
            Suggested(3, "unseen.png", 0.25, 0.2),
        ],
        suggestion_sentences=("Of 40 unlabelled images these 3.",),
        examples=[example(EVIL), example("tall", (900, 300), standing="worst")],
        failures=[{"cell": "lora-16-2", "why": f"ChildDied {EVIL}"}],
        notes=[f"note {EVIL}"],
    )


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_comparison(tmp_path_factory.mktemp("c0"), comparison_page()).parent


@pytest.fixture(scope="module")
def html(folder: Path) -> str:
    return (folder / "report.html").read_text(encoding="utf-8")


def test_the_page_needs_nothing_beside_it(html: str) -> None:
    page = Page(html)
    for tag, key, value in page.attributes:
        if key in ("src", "srcset", "data", "action"):
            assert value.startswith("data:image/jpeg;base64,"), (tag, key)
        if key.endswith("href"):
            assert value.startswith("#"), (tag, key, value)
    assert not {"script", "link", "iframe", "object", "embed"} & set(page.tags)
    for outside in ("http:", "https:", "@import", "file:"):
        assert outside not in html


def test_it_is_made_for_phones_print_and_the_dark(html: str) -> None:
    assert 'name="viewport" content="width=device-width' in html
    for rule in ("@media print", "prefers-color-scheme: dark", "overflow-x: auto"):
        assert rule in html
    assert "#010203" not in html
    assert html.count("<svg") == 3


def test_names_are_text_and_numbers_are_told(html: str) -> None:
    page = Page(html)
    assert page.tags.count("b") == 1
    assert page.text.count(EVIL) >= 9
    for words in ("0.610", "0.510", "± 0.010", "(3)", "3,505,536", "1 min 1 s", "1.2 GB", "1 failed", "keep"):
        assert words in page.text, words
    lines = ("Should I label more?", "Images worth labelling next", "lora-16-2", "0.75", "0.021")
    for words in (*lines, "Where did tuning hurt?", "0.123", "0.777", "0.654"):
        assert words in page.text, words
    assert not re.search(r"\b(nan|none|inf)\b", page.text, re.IGNORECASE)


def test_overlays_open_on_click_and_close_again(html: str) -> None:
    attributes = Page(html).attributes
    ids = [value for _, key, value in attributes if key == "id"]
    assert len(ids) == len(set(ids))
    links = {value[1:] for tag, key, value in attributes if (tag, key) == ("a", "href")}
    assert {"next-1", "next-2", "example-best-1", "example-worst-1"} <= links
    assert links - {"closed"} <= set(ids)
    assert all(value for tag, key, value in attributes if (tag, key) == ("img", "alt"))
    widths = [int(value) for tag, key, value in attributes if (tag, key) == ("img", "width")]
    assert max(widths) <= 1024


def test_figures_are_files_too_and_go_when_there_is_nothing_to_draw(folder: Path, tmp_path: Path) -> None:
    names = sorted(file.name for file in (folder / "figures").iterdir())
    assert names == ["costs.svg", "quality_by_images.svg", "quality_by_trained.svg"]
    assert "ptsam" in (folder / "figures" / "quality_by_images.svg").read_text(encoding="utf-8")
    write_comparison(tmp_path, comparison_page())
    (tmp_path / "figures" / "costs.svg").write_text("drawn by a user")
    bare = ComparisonPage("Nothing", ("No method has finished yet.",), {}, (4,), [row("lora", 0.5, 10)][:0])
    page = Page(write_comparison(tmp_path, bare).read_text(encoding="utf-8"))
    assert [file.read_text() for file in (tmp_path / "figures").iterdir()] == ["drawn by a user"]
    assert "Examples" not in page.text
    assert "Cells that failed" not in page.text


def test_the_same_page_is_the_same_file(html: str, tmp_path: Path) -> None:
    assert write_comparison(tmp_path, comparison_page()).read_text(encoding="utf-8") == html


def test_labels_move_apart_and_counts_are_short() -> None:
    moved = spread([0.5, 0.5, 0.51, 0.9], 0.05)
    ordered = sorted(moved)
    assert all(b - a >= 0.05 - 1e-3 for a, b in pairwise(ordered))
    assert moved[3] == pytest.approx(0.9, abs=0.02)
    assert spread([], 0.1) == []
    assert [short(n) for n in (0, 257, 2048, 921_921, 3_505_536, 1e6, 2.5e9)] == [
        "0", "257", "2.0k", "922k", "3.5M", "1M", "2.5G",
    ]  # fmt: skip
