"""The published tables, the plan on what data there is, and cells computed on a tiny base."""

from __future__ import annotations

import csv
import json
import re
import shutil
from pathlib import Path
from types import SimpleNamespace

import pytest

from samtune.data import make_samples
from samtune.data.public_sets import LAYOUTS
from samtune.errors import ConfigError
from samtune.methods import METHODS
from samtune.metrics import PROTOCOLS
from samtune.reproduce import COLUMNS, METHODS_OF, PAPERS, RunSettings, make_plan, read_published, run_plan, runner
from tests.cli.conftest import Run, run

__all__ = ["run"]

QUICK = {"updates": 2, "views": 0, "shots": 4}


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """Kvasir-SEG's layout with eight generated images."""
    make_samples("polyps", tmp_path / "data" / "kvasir_seg", num=8, seed=2, size_hw=(64, 80))
    return tmp_path / "data"


def test_published_numbers_are_those_of_the_tables() -> None:
    found = {(cell.method, cell.column): cell for cell in read_published("conv-lora")}
    for method, column, value, spread in (
        ("Conv-LoRA", "kvasir_S", 92.0, 0.15),
        ("Conv-LoRA", "sbu_BER", 2.54, 0.081),
        ("LoRA", "leaf_iou", 73.7, 0.20),
        ("BitFit", "road_dice", 75.2, 0.11),
        ("Domain Specific", "camo_Fbeta_w", 73.1, None),
        ("Conv-LoRA", "trans10k_miou", 67.09, None),
        ("Trans2Seg", "trans10k_miou", 72.15, None),
    ):
        assert (found[method, column].value, found[method, column].spread) == (value, spread)
    assert len(found) == 11 * 14 + 6 * 14
    adapter = {(cell.method, cell.column): cell for cell in read_published("ts-sam")}
    assert adapter["SAM-Adapter", "camo_S"].value == 0.847
    assert adapter["SAM-Adapter", "istd_BER"].value == 1.43
    assert adapter["SINet", "chameleon_MAE"].note.endswith("misprint of .044")


@pytest.mark.parametrize("paper", PAPERS)
def test_every_number_has_a_source_and_every_cell_can_be_planned(paper: str) -> None:
    cells = read_published(paper)
    assert len({(cell.method, cell.column) for cell in cells}) == len(cells)
    for cell in cells:
        assert (cell.value is None) == (cell.source == "")
        assert cell.spread is None or cell.value is not None
    assert {cell.column for cell in cells} == set(COLUMNS[paper])
    assert set(METHODS_OF[paper]) <= {cell.method for cell in cells}
    assert set(METHODS_OF[paper].values()) <= set(METHODS)
    for column in COLUMNS[paper].values():
        assert column.protocol in PROTOCOLS
        for need in column.needs:
            name, _, part = need.partition("/")
            assert part in ("", *LAYOUTS[name].part_names)
    if paper in ("ts-sam", "ptsam"):
        own = [cell for cell in cells if cell.method.startswith(("TS-SAM", "PTSAM"))]
        assert all(cell.value is None and "not available" in cell.note for cell in own)


@pytest.mark.parametrize("paper", PAPERS)
def test_a_dry_run_lists_every_cell_and_what_is_missing(run: Run, tmp_path: Path, paper: str) -> None:
    answer = run("reproduce", paper, "--data", tmp_path, "--dry-run", "--json")
    assert answer.code == 0, answer.err
    assert len(answer.json["cells"]) == len(read_published(paper)) == answer.json["num_cells"]
    assert all(cell["missing"] and not cell["runs"] for cell in answer.json["cells"])
    text = run("reproduce", paper, "--data", tmp_path, "--dry-run").out
    for cell in answer.json["cells"]:
        assert all(name in text for name in (cell["row"], cell["column"], *cell["missing"]))
        assert cell["published"] is None or f"{cell['published']:g}" in text
    refused = run("reproduce", paper, "--data", tmp_path, "--out", tmp_path / "out")
    assert refused.code == 2
    assert "data for at least one cell" in refused.err


def test_a_note_says_which_cells_it_is_about(run: Run, tmp_path: Path) -> None:
    notes = run("reproduce", "conv-lora", "--data", tmp_path, "--dry-run").out.partition("Notes:\n")[2]
    assert "trans10k_miou of TransLab, Trans2Seg: background included\n" in notes
    assert "camo_Fbeta_w: probably beta^2 = 0.3" in notes
    notes = run("reproduce", "ts-sam", "--data", tmp_path, "--dry-run").out.partition("Notes:\n")[2]
    assert re.search(r"^  \d+ columns of TS-SAM: the tables of TS-SAM", notes, re.MULTILINE)


def test_data_that_is_there_is_found(data: Path) -> None:
    plan = make_plan("ptsam", data)
    assert {cell.column.name for cell in plan.cells if cell.runs} == {"kvasir_seg_iou", "kvasir_seg_dice"}
    assert [training[0] for training in plan.trainings] == ["ptsam", "ptsam_encoder"]
    only = make_plan("ptsam", data, methods=["ptsam"])
    assert [training[0] for training in only.trainings] == ["ptsam"]
    with pytest.raises(ConfigError, match="ptsam_encoder"):
        make_plan("ptsam", data, methods=["lora"])


def test_cells_are_computed_once_and_put_beside_the_published_number(
    run: Run, base: Path, data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "out"
    words = ["reproduce", "ptsam", "--data", data, "--out", out, "--base", base, "--device", "cpu", "--seeds", 2]
    words += ["--methods", "ptsam", "--set", "updates=2", "--set", "views=0", "--set", "shots=4", "--json"]
    first = run(*words)
    assert first.code == 0, first.err
    cells = {(cell["row"], cell["column"]): cell for cell in first.json["cells"]}
    cell = cells["PTSAM", "kvasir_seg_iou"]
    assert cell["num_seeds"] == 2
    kept = [json.loads((out / "scores" / f"ptsam-kvasir_seg-s{seed}.json").read_text()) for seed in range(2)]
    assert [score["num_images"] for score in kept] == [4, 4]
    ours = [score["values"]["iou_per_image"] for score in kept]
    assert cell["ours"] == pytest.approx(sum(ours) / 2)
    assert cell["ours_std_error"] == pytest.approx(abs(ours[0] - ours[1]) / 2)
    assert cells["PTSAM with encoder prompts", "kvasir_seg_iou"]["ours"] is None
    assert len(list(csv.DictReader((out / "reproduce.csv").read_text().splitlines()))) == len(cells)

    def never(*_: object, **__: object) -> None:
        raise AssertionError("nothing is left to do")

    monkeypatch.setattr(runner, "train", never)
    monkeypatch.setattr(runner, "evaluate", never)
    again = run(*words)
    assert again.json == first.json
    assert "2 seeds" in run(*words[:-1]).out


def test_a_run_that_was_done_is_only_scored_again(base: Path, data: Path, tmp_path: Path) -> None:
    plan = make_plan("ptsam", data, base=str(base), methods=["ptsam"])
    choices = RunSettings(1, "cpu", QUICK)
    first = run_plan(plan, tmp_path / "out", choices)
    history = (tmp_path / "out" / "runs" / "ptsam-kvasir_seg-s0" / "history.jsonl").stat().st_mtime_ns
    shutil.rmtree(tmp_path / "out" / "scores")
    assert run_plan(plan, tmp_path / "out", choices) == first
    assert (tmp_path / "out" / "runs" / "ptsam-kvasir_seg-s0" / "history.jsonl").stat().st_mtime_ns == history


def test_a_failing_cell_stops_nothing(base: Path, data: Path, tmp_path: Path) -> None:
    for folder in ("images", "segmaps"):
        (data / "emps" / folder).mkdir(parents=True)
        (data / "emps" / folder / "a.png").write_bytes(b"no image")
    plan = make_plan("ptsam", data, base=str(base), methods=["ptsam"])
    content = run_plan(plan, tmp_path / "out", RunSettings(1, "cpu", QUICK))
    cells = {cell["column"]: cell for cell in content["cells"] if cell["method"] == "ptsam"}
    assert cells["emps_iou"]["ours"] is None
    assert "a.png" in cells["emps_iou"]["errors"][0]
    assert cells["kvasir_seg_iou"]["ours"] is not None


def test_an_interruption_keeps_the_run_and_scores_nothing(
    base: Path, data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(runner, "train", lambda *_, **__: SimpleNamespace(stopped="interrupted"))
    plan = make_plan("ptsam", data, base=str(base), methods=["ptsam"])
    with pytest.raises(KeyboardInterrupt):
        run_plan(plan, tmp_path / "out", RunSettings(1, "cpu", QUICK))
    assert not (tmp_path / "out" / "scores").exists()
    monkeypatch.undo()
    content = run_plan(plan, tmp_path / "out", RunSettings(1, "cpu", QUICK))
    assert content["cells"][-4]["errors"] == []


def test_settings_that_the_table_decides_are_refused(base: Path, data: Path, tmp_path: Path) -> None:
    plan = make_plan("ptsam", data, base=str(base))
    for settings in ({"seed": 3}, {"upadtes": 3}):
        with pytest.raises(ConfigError, match="other than method, base and seed"):
            run_plan(plan, tmp_path / "out", RunSettings(1, "cpu", settings))
    with pytest.raises(ConfigError, match="conv-lora"):
        read_published("lora")
