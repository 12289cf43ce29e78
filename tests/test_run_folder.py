"""The names of a run's and a comparison's files stand in one module each, and their records read back as written."""

from __future__ import annotations

import ast
import csv
import json
from pathlib import Path
from typing import Any

import pytest

import samtune
from samtune import comparison_folder, run_folder
from samtune.errors import DataError
from samtune.run_folder import RunFolder, run_of, specialist_folder

ROOT = Path(samtune.__file__).parent

FILES = (
    run_folder.CONFIG_FILE, run_folder.SPLIT_FILE, run_folder.HISTORY_FILE, run_folder.METRICS_FILE,
    run_folder.PROBE_FILE, run_folder.REPORT_FILE, run_folder.STATE_FILE, run_folder.LOCK_FILE,
    run_folder.SESSIONS_FILE, run_folder.SCORES_FILE,
    comparison_folder.CSV_FILE, comparison_folder.SUGGESTIONS_FILE, comparison_folder.FEATURES_FILE,
)  # fmt: skip
"""Names that no other string of the package contains."""

FOLDERS = (
    run_folder.SPECIALIST_FOLDER, run_folder.LAST_FOLDER, comparison_folder.CELLS_FOLDER,
    comparison_folder.FIGURES_FOLDER,
)  # fmt: skip
"""Names that are words too: no path is joined with them elsewhere."""


def spelled(source: str) -> list[tuple[int, str]]:
    """Line and name of each file or folder that a source spells, docstrings apart."""
    tree = ast.parse(source)
    docstrings = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)}
    joined = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Div):
            joined.add(id(node.right))
        elif isinstance(node, ast.Call) and ast.unparse(node.func).endswith(("Path", "joinpath", "with_name")):
            joined |= {id(argument) for argument in node.args}
    names = []
    for node in ast.walk(tree):
        if not isinstance(node, ast.Constant) or not isinstance(node.value, str) or id(node) in docstrings:
            continue
        names += [(node.lineno, name) for name in FILES if name in node.value]
        names += [
            (node.lineno, name)
            for name in FOLDERS
            if (id(node) in joined and name in node.value.split("/")) or node.value.startswith(f"{name}/")
        ]
    return names


def test_names_are_spelled_in_one_module() -> None:
    owners = {ROOT / "run_folder.py", ROOT / "comparison_folder.py"}
    owners |= {ROOT / "data" / "images" / "listing.py"}  # a data set may hold a split.json of its own
    elsewhere = [
        f"{path.relative_to(ROOT)}:{line}: {name}"
        for path in sorted(ROOT.rglob("*.py"))
        if path not in owners
        for line, name in spelled(path.read_text())
    ]
    assert not elsewhere, "\n" + "\n".join(elsewhere)


def test_the_walk_sees_every_spelling() -> None:
    source = '''
"""A docstring may name split.json."""
a = run / "split.json"
b = f"no metrics.json in {run}"
c = run / "specialist"
d = Path(run, "last")
e = f"figures/{name}.svg"
f = rows["specialist"]
'''
    assert spelled(source) == [
        (3, "split.json"), (4, "metrics.json"), (5, "specialist"), (6, "last"), (7, "figures"),
    ]  # fmt: skip


def test_the_history_reads_back_and_can_be_cut(tmp_path: Path) -> None:
    run = RunFolder(tmp_path)
    assert run.read_history() == []
    length, crc = run.append_history([{"step": 0, "loss": 0.5}])
    run.append_history([{"step": 1, "loss": 0.25}], crc)
    assert [row["loss"] for row in run.read_history()] == [0.5, 0.25]
    run.history.write_bytes(run.history.read_bytes() + b'{"step": 2, "lo')  # cut off by a kill
    assert len(run.read_history()) == 2
    assert run.cut_history(length, crc) == crc
    assert run.read_history() == [{"step": 0, "loss": 0.5}]
    with pytest.raises(DataError, match="is damaged"):
        run.cut_history(length, crc + 1)


def test_the_table_of_scores_follows_the_history(tmp_path: Path) -> None:
    run = RunFolder(tmp_path)
    length, crc = run.append_history([{"step": 1, "loss": 0.5}])
    assert not run.scores.exists()
    evaluated: list[dict[str, Any]] = [{"step": 2, "loss": 0.1 + 0.2, "val_iou": 1e-17}, {"step": 3}]
    length, crc = run.append_history(evaluated, crc)
    first = run.scores.read_bytes()
    run.append_history([{"step": 4, "val_iou": 0.5, "val_dice": 0.75}], crc)
    with run.scores.open(newline="") as stream:
        assert list(csv.DictReader(stream)) == [
            {"step": "2", "loss": "0.30000000000000004", "val_iou": "1e-17", "val_dice": ""},
            {"step": "4", "loss": "", "val_iou": "0.5", "val_dice": "0.75"},
        ]
    run.cut_history(length, crc)
    assert run.scores.read_bytes() == first
    assert run.foreign() == []
    run.cut_history(0)
    assert not run.scores.exists()


def test_the_table_of_scores_replaces_a_link_and_not_its_target(tmp_path: Path) -> None:
    run = RunFolder(tmp_path / "run")
    run.path.mkdir()
    (tmp_path / "theirs.csv").write_text("theirs")
    run.scores.symlink_to(tmp_path / "theirs.csv")
    run.append_history([{"step": 1, "val_iou": 0.5}])
    assert run.scores.read_bytes() == b"step,val_iou\r\n1,0.5\r\n"
    assert not run.scores.is_symlink()
    assert (tmp_path / "theirs.csv").read_text() == "theirs"


def test_sessions_are_added_until_the_run_begins_anew(tmp_path: Path) -> None:
    run = RunFolder(tmp_path)

    def stored() -> list[object]:
        return [json.loads(line) for line in run.sessions.read_text().splitlines()]

    run.add_session({"command": "train"}, is_first=False)  # of an earlier version, which wrote no sessions
    run.add_session({"command": "train --resume"}, is_first=False)
    assert stored() == [{"command": "train"}, {"command": "train --resume"}]
    run.sessions.write_text('{"command": "train"}')  # without its line break
    run.add_session({"command": "caf\udce9"}, is_first=False)  # an argument that is not UTF-8
    assert stored() == [{"command": "train"}, {"command": "caf\udce9"}]
    run.add_session({"command": "anew"}, is_first=True)
    assert stored() == [{"command": "anew"}]
    assert run.foreign() == []


def test_the_split_tells_which_images_were_seen(tmp_path: Path) -> None:
    run = RunFolder(tmp_path)
    rows = [{"stem": name, "content_id": name and f"id-{name}"} for name in ("a", "b", "")]
    run.split.write_text(json.dumps({"train": rows[:1], "val": rows[1:]}))
    assert run.seen_ids() == {"id-a", "id-b"}
    assert run.seen_ids(("val",)) == {"id-b"}
    run.split.write_text(json.dumps({"train": [{"stem": "a"}], "val": []}))
    with pytest.raises(DataError, match=r"split\.json is damaged"):
        run.seen_ids()


def test_a_run_and_its_specialist_are_found_from_each_other(tmp_path: Path) -> None:
    run = RunFolder(tmp_path / "run")
    run.specialist.mkdir(parents=True)
    assert specialist_folder(run.path) == specialist_folder(run.specialist) == run.specialist
    assert run_of(run.path) == run
    assert run_of(run.specialist) is None  # nothing says that a run lies around it
    run.split.write_text("{}")
    assert run_of(run.specialist) == run
    assert run_of(tmp_path) is None


def test_a_run_begins_with_more_than_its_settings(tmp_path: Path) -> None:
    run = RunFolder(tmp_path)
    run.config.write_text("")
    assert not run.holds_run()
    run.history.write_text("")
    assert run.holds_run()
    (tmp_path / "diary.txt").write_text("mine")
    assert run.foreign() == ["diary.txt"]
    run.clear()
    assert [entry.name for entry in tmp_path.iterdir()] == ["diary.txt"]
