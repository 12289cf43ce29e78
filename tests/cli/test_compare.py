"""`samtune compare` through the command line: the table, the JSON, the refusals."""

from __future__ import annotations

from pathlib import Path

import pytest

from samtune.compare import here
from tests.cli.conftest import Answer, Run

QUICK = ("--methods", "ptsam", "--updates", 2, "--test", 2, "--device", "cpu", "--set", "views=0", "--set",
         "evaluations=1")  # fmt: skip


@pytest.fixture
def in_this_process(monkeypatch: pytest.MonkeyPatch) -> None:
    """Cells in this process: starting a server that imports torch takes longer than all of them."""
    monkeypatch.setattr("samtune.compare.run.compare.__kwdefaults__", {"run": here})
    monkeypatch.setattr("samtune.pages.comparison.write_comparison_page.__kwdefaults__", {
        "run": here, "suggestions": None, "committee": None,
    })  # fmt: skip


def compare(run: Run, data: Path, base: Path, out: Path, *more: object) -> Answer:
    return run("compare", data / "images", data / "masks", "--base", base, "--out", out, *QUICK, *more)


@pytest.mark.usefixtures("in_this_process")
def test_compare_twice_and_suggest(run: Run, data: Path, base: Path, samples: Path, tmp_path: Path) -> None:
    out = tmp_path / "c0"
    shots = ("--shots", "2,4", "--seeds", 2, "--set", "ptsam.num_tokens=4")
    first = compare(run, data, base, out, *shots, "--json")
    assert first.code == 0, first.err
    told = first.json
    assert told["num_cells"] == told["num_new"] == 1 + 2 * 2 * 4
    assert told["num_test"] == 2
    rows = {(row["row"], row["images"]): row for row in told["rows"]}
    assert rows["ptsam", 4]["trainable"] == 4 * 16
    assert rows["stock_sam", None]["num_seeds"] == 1
    assert Path(told["report"]).read_text(encoding="utf-8").startswith("<!doctype html>")
    assert Path(told["csv"]).is_file()
    assert told["suggestions"] is None
    assert told["keep"] in ("ptsam", "probe")
    assert all(0 < row["loss"] == row["value"] - row["specialist"] for row in told["regressions"])
    assert "Where did tuning hurt?" in Path(told["report"]).read_text(encoding="utf-8")

    suggesting = ("--suggest", 2, "--unlabelled", samples / "images")
    again = compare(run, data, base, out, *shots, *suggesting)
    assert again.code == 0, again.err
    assert "17 of 17 cells are finished already" in again.err
    assert "Stock SAM" in again.out
    assert "± " in again.out
    assert f"Keep {told['keep']}." in again.out
    assert len((out / "suggestions.csv").read_text().splitlines()) == 3
    assert "Images worth labelling next" in (out / "report.html").read_text(encoding="utf-8")


def test_what_cannot_be_asked_for_is_refused(run: Run, data: Path, base: Path, tmp_path: Path) -> None:
    for more, words in (
        (("--shots", "four"), "numbers of images as --shots"),
        (("--shots", ""), "numbers of images as --shots"),
        (("--methods", "lroa"), "did you mean 'lora'"),
        (("--set", "lora.rank=2"), "of the compared methods only"),
        (("--suggest", 2), "--suggest N and --unlabelled DIR together"),
        (("--suggest", 2, "--unlabelled", tmp_path / "none"), "a folder of images as --unlabelled"),
        (("--suggest", 2, "--unlabelled", tmp_path, "--seeds", 1), "--seeds >= 2"),
        (("--jobs", 0), "--jobs"),
        (("--shots", 8), "use fewer shots"),
    ):
        answer = compare(run, data, base, tmp_path / "c0", *more)
        assert (answer.code, answer.out) == (2, ""), answer.err
        assert words in answer.err
        assert "Traceback" not in answer.err
        assert not (tmp_path / "c0").exists()
