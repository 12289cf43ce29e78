"""The page stands alone, says the numbers, and takes names as text."""

from __future__ import annotations

import re
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from samtune.errors import ShapeError
from samtune.metrics import Regression, SegmentationScores, run_verdict
from samtune.report import Example, HistoryRow, ReportPage, RunFacts, write_report

VOID = {"meta", "img", "br", "link", "input", "hr", "wbr"}
EVIL = "a<b>&\"'$x$"
FACTS = RunFacts("ptsam", "nano", 2048, 125.0, {"Seed": 0, "Share of the model": 0.000123456})


class Page(HTMLParser):
    """Checks that tags balance, and keeps attributes, tags and text."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: list[str] = []
        self.attributes: list[tuple[str, str, str]] = []
        self.text = ""
        self.feed(html)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes += [(tag, key, value or "") for key, value in attrs]
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes += [(tag, key, value or "") for key, value in attrs]

    def handle_endtag(self, tag: str) -> None:
        assert self.open
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if self.open and self.open[-1] != "style":
            self.text += data


def scored(quality: float, names: tuple[str, ...], num: int = 12) -> SegmentationScores:
    rng = np.random.default_rng(0)
    scores = SegmentationScores(names)
    for index in range(num):
        target = rng.integers(0, len(names) + 1, size=(12, 16)).astype(np.uint8)
        kept = rng.random(target.shape) < quality * (0.5 + index / num / 2)
        scores.add(f"{EVIL}{index}", np.where(kept, target, 0).astype(np.uint8), target)
    return scores


def example(name: str, size_hw: tuple[int, int] = (24, 32), **kinds: Any) -> Example:
    rng = np.random.default_rng(1)
    image = rng.integers(0, 256, size=(*size_hw, 3)).astype(np.uint8)
    labels = np.zeros(size_hw, np.uint8)
    labels[size_hw[0] // 4 : size_hw[0] // 2 + 1, size_hw[1] // 4 : size_hw[1] // 2 + 1] = 1
    fields: dict[str, Any] = {"target": labels, "predicted": labels, "iou": 0.5, "standing": "best"} | kinds
    return Example(name, image, **fields)


def full_page() -> ReportPage:
    names = ("cell", f"debris {EVIL}")
    scores = {name: scored(q, names) for name, q in (("specialist", 0.9), ("stock_sam", 0.4), (EVIL, 0.5))}
    per_image = {name: {row.name: row.iou for row in each.rows()} for name, each in scores.items()}
    rows = {name: each.result().to_dict() for name, each in scores.items()}
    return ReportPage(
        title=f"Title {EVIL}",
        facts=FACTS,
        rows=rows,
        measured_on=f"the images in {EVIL}",
        summary=run_verdict(rows, per_image),
        per_image=per_image,
        regressions=[Regression(f"worse {EVIL}", "stock_sam", "iou", 0.123, 0.777, 0.654)],
        regression_sentence="The specialist is worse than stock SAM on 1 of 12 images:",
        history=[HistoryRow(step, 1 / (step + 1), 0.5 if step % 100 == 0 else None) for step in range(1000)],
        data={"Mask encoding": EVIL, "Training images": 16},
        notes=[f"note {EVIL}"],
        examples=[
            example(EVIL, target=np.full((24, 32), 255, np.uint8)),
            example("tall", (900, 1), standing="median"),
            example("large", (1200, 1500), standing="worst"),
        ],
        skipped=[{"file": EVIL, "why": f"why {EVIL}"}],
    )


@pytest.fixture(scope="module")
def html(tmp_path_factory: pytest.TempPathFactory) -> str:
    return write_report(tmp_path_factory.mktemp("run"), full_page()).read_text(encoding="utf-8")


def test_the_page_needs_nothing_beside_it(html: str) -> None:
    page = Page(html)
    for tag, key, value in page.attributes:
        if key in ("src", "srcset", "data", "action"):
            assert value.startswith("data:image/jpeg;base64,"), (tag, key)
        if key.endswith("href"):
            assert value.startswith("#"), (tag, key, value)
    for outside in ("http:", "https:", "@import", "file:", "src=//"):
        assert outside not in html
    assert html.count("url(") == html.count("url(#")
    assert not {"script", "link", "iframe", "object", "embed"} & set(page.tags)


def test_names_are_text_and_never_markup(html: str) -> None:
    page = Page(html)
    assert page.tags.count("b") == 1  # the footer's own
    assert page.text.count(EVIL) > 20
    assert any(key == "alt" and EVIL in value for _, key, value in page.attributes)


def test_the_page_says_the_numbers(html: str) -> None:
    text = Page(html).text
    given = full_page()
    specialist = given.rows["specialist"]
    for key in ("iou_per_image", "dice_per_image", "iou_pooled", "precision_pooled", "recall_pooled"):
        assert f"{specialist[key]:.3f}" in text
    for row in specialist["per_class"].values():
        assert f"{row['iou_pooled']:.3f}" in text
    for _, value in specialist["worst"]:
        assert f"{value:.3f}" in text
    for words in ("2,048", "2 min 5 s", "0.0001235", "Tuning paid", "Specialist", "Stock SAM", "thinned"):
        assert words in text
    assert "0.123" in text
    assert "0.654" in text


def test_ids_are_unique_and_links_lead_to_them(html: str) -> None:
    attributes = Page(html).attributes
    ids = [value for _, key, value in attributes if key == "id"]
    assert len(ids) == len(set(ids))
    links = {value[1:] for _, key, value in attributes if key == "href"} - {"closed"}
    assert links <= set(ids)
    assert {part.split(")")[0] for part in html.split("url(#")[1:]} <= set(ids)


def test_figures_take_the_colour_of_the_page(html: str) -> None:
    assert "currentColor" in html
    assert "#010203" not in html
    assert html.count("<svg") == 3
    assert "prefers-color-scheme: dark" in html


def test_pictures_and_figures_are_told_to_who_cannot_see_them(html: str) -> None:
    attributes = Page(html).attributes
    tags = Page(html).tags
    assert sum(tag == "img" and key == "alt" and bool(value) for tag, key, value in attributes) == 6
    assert tags.count("img") == 6
    assert sum(tag == "figure" and key == "aria-label" for tag, key, _ in attributes) == 3
    assert "training loss from 1 at step 0 to 0.001 at step 999" in html


def test_the_same_page_is_the_same_file(html: str, tmp_path: Path) -> None:
    assert write_report(tmp_path / "new" / "x.html", full_page()).read_text(encoding="utf-8") == html


def test_a_page_with_nothing_optional_is_whole(tmp_path: Path) -> None:
    empty = SegmentationScores(("cell",)).result().to_dict()
    for rows in ({}, {"specialist": empty}, {"細胞": scored(0.5, ("細胞",)).result().to_dict()}):
        file = write_report(tmp_path / "report.html", ReportPage("Cells", FACTS, rows))
        page = Page(file.read_text(encoding="utf-8"))
        assert not re.search(r"\bnan\b", page.text, re.IGNORECASE)
        assert "Examples" not in page.text
        assert "Training time" in page.text
        assert "Classes" not in page.text


def test_the_sentences_are_those_given(tmp_path: Path) -> None:
    given = ReportPage("Cells", FACTS, full_page().rows, summary=("Said otherwise.",))
    text = Page(write_report(tmp_path, given).read_text(encoding="utf-8")).text
    assert "Said otherwise." in text
    assert "Tuning paid" not in text


def test_names_that_are_not_unicode_do_not_stop_the_page(tmp_path: Path) -> None:
    per_image = {"細胞 \udcff": {"a": 0.5, "b": 0.7}}
    page = ReportPage("Cells \udcff", FACTS, {}, per_image=per_image)
    assert "Cells \\xff" in write_report(tmp_path, page).read_text(encoding="utf-8")


def test_an_example_that_does_not_fit_is_refused(tmp_path: Path) -> None:
    wrong = example("x", target=np.zeros((3, 3), np.uint8))
    with pytest.raises(ShapeError, match="truth"):
        write_report(tmp_path, ReportPage("Cells", FACTS, {}, examples=[wrong]))
