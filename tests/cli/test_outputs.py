"""Arrangements of inputs, links and outputs: whatever is asked for, no byte of a foreign file changes."""

from __future__ import annotations

import errno
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from samtune.cli import main
from samtune.data import make_samples
from samtune.outputs import LIST_FILE, OutputFolder
from samtune.run_folder import LOCK_FILE, RunFolder
from tests.cli.conftest import Run

Words = tuple[object, ...]


@dataclass(frozen=True)
class Place:
    """A folder with a data set in it: `d/images/a.png`, `b.png`, and masks of the same names, by hand."""

    root: Path

    @property
    def data(self) -> Path:
        return self.root / "d"

    @property
    def out(self) -> Path:
        """A folder that is made here."""
        (self.root / "out").mkdir(exist_ok=True)
        return self.root / "out"

    def foreign(self, name: str, content: bytes = b"foreign") -> Path:
        """A file of the user's."""
        file = self.root / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(content)
        return file

    def manifest(self, name: str, *lines: str) -> Path:
        """A manifest of pairs."""
        return self.foreign(name, "\n".join(["image,mask", *lines]).encode())


@pytest.fixture
def place(tmp_path: Path, pairs: Path) -> Place:
    shutil.copytree(pairs, tmp_path / "d")
    return Place(tmp_path)


@pytest.fixture(scope="module")
def pairs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("pairs")
    make_samples("cells", folder / "made", num=2, size_hw=(64, 64))
    for part in ("images", "masks"):
        (folder / part).mkdir()
        for name, letter in (("cells_000.png", "a"), ("cells_001.png", "b")):
            shutil.copyfile(folder / "made" / part / name, folder / part / f"{letter}.png")
    shutil.rmtree(folder / "made")
    return folder


def snapshot(root: Path) -> dict[str, object]:
    """What every path below a folder is: bytes of a file, target of a link, nothing of a folder or pipe."""
    found: dict[str, object] = {}
    for path in root.rglob("*"):
        if path.is_symlink():
            found[str(path)] = os.readlink(path)
        else:
            found[str(path)] = path.read_bytes() if path.is_file() else "folder" if path.is_dir() else "other"
    return found


def over_the_annotations(place: Place) -> Words:
    return place.data / "images", "--out", place.data / "masks"


def foreign_probabilities(place: Place) -> Words:
    place.foreign("out/b_prob.png")
    return place.data / "images", "--out", place.out, "--probabilities"


def foreign_overlay(place: Place) -> Words:
    place.foreign("out/a_overlay.jpg")
    return place.data / "images", "--out", place.out, "--overlay"


def link_to_an_annotation(place: Place) -> Words:
    (place.out / "a.png").symlink_to(place.data / "masks" / "a.png")
    return place.data / "images", "--out", place.out


def link_to_an_annotation_overwritten(place: Place) -> Words:
    return *link_to_an_annotation(place), "--overwrite"


def link_to_nothing(place: Place) -> Words:
    (place.out / "a.png").symlink_to(place.data / "masks" / "new.png")
    return place.data / "images", "--out", place.out, "--overwrite"


def linked_sub_folder(place: Place) -> Words:
    shutil.copytree(place.data / "images", place.root / "in" / "sub")
    (place.out / "sub").symlink_to(place.data / "masks")
    return place.root / "in", "--out", place.out, "--overwrite"


def hard_link_of_an_input(place: Place) -> Words:
    os.link(place.data / "images" / "a.png", place.out / "a.png")
    return place.data / "images", "--out", place.out, "--overwrite"


def hard_link_of_an_annotation(place: Place) -> Words:
    os.link(place.data / "masks" / "a.png", place.out / "a.png")
    return place.data / "images", "--out", place.out


def out_is_a_link_to_the_inputs(place: Place) -> Words:
    (place.root / "o").symlink_to(place.data / "images")
    return place.data / "images", "--out", place.root / "o", "--overwrite"


def inputs_are_links_into_out(place: Place) -> Words:
    (place.root / "in").mkdir()
    shutil.copyfile(place.data / "images" / "a.png", place.out / "a.png")
    (place.root / "in" / "a.png").symlink_to(place.out / "a.png")
    return place.root / "in", "--out", place.out, "--overwrite"


def inputs_in_a_sub_folder_of_out(place: Place) -> Words:
    place.foreign("d/a.png")
    return place.data / "images", "--out", place.data


def masks_below_the_inputs(place: Place) -> Words:
    shutil.copytree(place.data / "masks", place.data / "images" / "masks")
    return place.data / "images", "--out", place.data / "images" / "masks"


def single_files(place: Place) -> Words:
    return place.data / "images" / "a.png", place.data / "masks" / "b.png", "--out", place.data / "masks", "--overwrite"


def edited_prediction(place: Place) -> Words:
    OutputFolder(place.out, "predictions").write_bytes("a.png", b"written by samtune")
    place.foreign("out/a.png", b"edited by a user")
    return place.data / "images", "--out", place.out


def partial_files(place: Place) -> Words:
    place.foreign("out/a.png.partial")
    place.foreign(f"out/a.png.{os.getpid()}.partial")
    return place.data / "images", "--out", place.out


def list_is_a_link(place: Place) -> Words:
    (place.out / LIST_FILE).symlink_to(place.data / "masks" / "a.png")
    return place.data / "images", "--out", place.out, "--overwrite"


def list_is_a_users_file(place: Place) -> Words:
    place.foreign(f"out/{LIST_FILE}")
    return place.data / "images", "--out", place.out, "--overwrite"


def folder_in_the_way(place: Place) -> Words:
    place.foreign("out/a.png/diary.txt")
    return place.data / "images", "--out", place.out, "--overwrite"


def out_is_a_file(place: Place) -> Words:
    return place.data / "images", "--out", place.foreign("diary.txt"), "--overwrite"


def composed_and_decomposed(place: Place) -> Words:
    for name in ("\u00e9.png", "e\u0301.png"):
        shutil.copyfile(place.data / "images" / "a.png", place.root / name)
    place.foreign("out/\u00e9.png")
    return place.root / "\u00e9.png", place.root / "e\u0301.png", "--out", place.out


def manifest_that_leads_up(place: Place) -> Words:
    place.foreign("e/keep/a.png")
    place.foreign("e/images/a.png")
    place.foreign("keep/a.png")
    return place.manifest("d/deep/er/m.csv", "../../images/a.png,../../masks/a.png"), "--fix", place.root / "e" / "o"


def manifest_that_leads_to_foreign_names(place: Place) -> Words:
    """`OUT/images/../../../d/images/a.png` is an input itself."""
    return place.manifest("d/m.csv", "../d/images/a.png,../d/masks/a.png"), "--fix", place.root / "o"


def manifest_that_leads_far_up(place: Place) -> Words:
    up = "../" * 12
    line = f"{up}{place.data / 'images' / 'a.png'},{up}{place.data / 'masks' / 'a.png'}"
    return place.manifest("d/m.csv", line), "--fix", place.root / "o"


def manifest_with_absolute_paths(place: Place) -> Words:
    line = f"{place.data / 'images' / 'a.png'},{place.data / 'masks' / 'a.png'}"
    return place.manifest("d/m.csv", line), "--fix", place.root / "o"


def manifest_in_the_copys_folder(place: Place) -> Words:
    return place.manifest("out/m.csv", "../d/images/a.png,../d/masks/a.png"), "--fix", place.out


def copy_over_foreign_files(place: Place) -> Words:
    place.foreign("out/images/a.png")
    return place.data / "images", place.data / "masks", "--fix", place.out


def copy_into_a_linked_folder(place: Place) -> Words:
    place.foreign("elsewhere/a.png")
    (place.out / "images").symlink_to(place.root / "elsewhere")
    return place.data / "images", place.data / "masks", "--fix", place.out


def copy_into_the_data(place: Place) -> Words:
    return place.data / "images", place.data / "masks", "--fix", place.data / "masks" / "new"


def copy_through_a_link_into_the_data(place: Place) -> Words:
    (place.root / "o").symlink_to(place.data / "masks")
    return place.data / "images", place.data / "masks", "--fix", place.root / "o"


def copy_over_predictions(place: Place) -> Words:
    OutputFolder(place.out, "predictions").write_bytes("a.png", b"written by predict")
    return place.data / "images", place.data / "masks", "--fix", place.out


def cut_off_copy_with_a_users_file(place: Place) -> Words:
    OutputFolder(place.out, "mended copy").write_bytes(".samtune-unfinished", b"")
    place.foreign("out/images/diary.txt")
    return place.data / "images", place.data / "masks", "--fix", place.out


REFUSED, DONE = 2, 0

PREDICT: dict[Callable[[Place], Words], int] = {
    over_the_annotations: REFUSED,
    foreign_probabilities: REFUSED,
    foreign_overlay: REFUSED,
    link_to_an_annotation: REFUSED,
    link_to_an_annotation_overwritten: REFUSED,
    link_to_nothing: REFUSED,
    linked_sub_folder: REFUSED,
    hard_link_of_an_input: REFUSED,
    hard_link_of_an_annotation: REFUSED,
    out_is_a_link_to_the_inputs: REFUSED,
    inputs_are_links_into_out: REFUSED,
    inputs_in_a_sub_folder_of_out: REFUSED,
    masks_below_the_inputs: REFUSED,
    single_files: REFUSED,
    edited_prediction: REFUSED,
    partial_files: DONE,
    list_is_a_link: REFUSED,
    list_is_a_users_file: REFUSED,
    folder_in_the_way: REFUSED,
    out_is_a_file: REFUSED,
    composed_and_decomposed: REFUSED,
}
DOCTOR: dict[Callable[[Place], Words], int] = {
    manifest_that_leads_up: DONE,
    manifest_that_leads_to_foreign_names: DONE,
    manifest_that_leads_far_up: DONE,
    manifest_with_absolute_paths: DONE,
    manifest_in_the_copys_folder: REFUSED,
    copy_over_foreign_files: REFUSED,
    copy_into_a_linked_folder: REFUSED,
    copy_into_the_data: REFUSED,
    copy_through_a_link_into_the_data: REFUSED,
    copy_over_predictions: REFUSED,
    cut_off_copy_with_a_users_file: REFUSED,
}
"""Arrangement -> exit code."""


@pytest.mark.parametrize("arrange", [*PREDICT, *DOCTOR], ids=lambda arrange: arrange.__name__)
def test_no_byte_of_a_foreign_file_changes(
    run: Run, specialist: Path, place: Place, arrange: Callable[[Place], Words]
) -> None:
    words = arrange(place)
    before = snapshot(place.root)
    verb: Words = ("predict", specialist) if arrange in PREDICT else ("doctor",)
    answer = run(*verb, *words, *(("--device", "cpu", "--tta", "none") if arrange in PREDICT else ()))
    expected = PREDICT[arrange] if arrange in PREDICT else DOCTOR[arrange]
    assert answer.code == expected, answer.err
    after = snapshot(place.root)
    assert {path: after.get(path) for path in before} == before
    out = next(Path(str(words[index + 1])) for index, word in enumerate(words) if word in ("--out", "--fix"))
    new = [Path(path) for path in after.keys() - before.keys()]
    if expected == REFUSED:
        assert not new, "nothing is written by a command that is refused"
        assert answer.err.count("samtune: ") == 1
    else:
        assert new
        assert all(path.is_relative_to(out) for path in new)


def test_a_refusal_names_the_files_and_the_way_out(run: Run, specialist: Path, place: Place) -> None:
    words = ("predict", specialist, *over_the_annotations(place), "--device", "cpu", "--tta", "none")
    answer = run(*words)
    assert f"Cannot write 2 files in {place.data / 'masks'}: `a.png`, `b.png` (not written there" in answer.err
    assert "--overwrite" in answer.err
    replaced = run(*words, "--overwrite")
    assert replaced.code == 0, replaced.err
    again = run(*words)
    assert again.code == 0, again.err


def test_a_shared_list_is_copied_before_it_grows(run: Run, specialist: Path, place: Place) -> None:
    words = ("predict", specialist, place.data / "images" / "a.png", "--out", place.out, "--device", "cpu")
    assert run(*words, "--tta", "none").code == 0
    shutil.copytree(place.out, place.root / "backup", copy_function=os.link)
    before = snapshot(place.root / "backup")
    assert run(*words, "--tta", "none", "--overlay", "--probabilities").code == 0
    assert snapshot(place.root / "backup") == before


def test_a_copy_that_was_cut_off_is_begun_anew(run: Run, place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also where the data was changed in between."""
    words = ("doctor", place.data / "images", place.data / "masks", "--fix", place.root / "o")
    copies: list[str] = []

    def killed_at_the_second(source: Path, target: Path) -> None:
        copies.append(source.name)
        if len(copies) == 2:
            raise KeyboardInterrupt
        target.write_bytes(source.read_bytes())

    monkeypatch.setattr(shutil, "copyfile", killed_at_the_second)
    assert run(*words).code == 130
    assert copies == ["a.png", "b.png"]
    assert (place.root / "o" / "masks" / "b.png").is_file()
    monkeypatch.undo()
    monkeypatch.setenv("SAMTUNE_CACHE", str(place.root / "cache"))
    for part in ("images", "masks"):
        (place.data / part / "b.png").rename(place.data / part / "c.png")
    done = run(*words)
    assert done.code == 0, done.err
    names = [path.relative_to(place.root / "o").as_posix() for path in (place.root / "o").rglob("*.png")]
    assert sorted(names) == ["images/a.png", "images/c.png", "masks/a.png", "masks/c.png"]
    assert "new or empty folder" in run(*words).err


@pytest.fixture(scope="module")
def trained(pairs: Path, base: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run on the two pairs."""
    folder = tmp_path_factory.mktemp("trained") / "run"
    words = ["train", pairs / "images", pairs / "masks", "--base", base, "--out", folder, "--updates", 1]
    words += ["--set", "views=1", "--set", "tta=none", "--device", "cpu"]
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SAMTUNE_CACHE", str(folder.parent / "cache"))
        with pytest.raises(SystemExit) as stop:
            main(list(map(str, words)))
    assert not stop.value.code
    return folder


@pytest.fixture
def copied(trained: Path, place: Place) -> Path:
    shutil.copytree(trained, place.root / "run")
    return place.root / "run"


def evaluation(place: Place, *more: object) -> Words:
    return "evaluate", place.root / "run", place.data / "images", place.data / "masks", "--device", "cpu", *more


@pytest.mark.parametrize(
    ("name", "more"),
    [
        ("run/report.html", ()),
        ("scores.csv", ("--no-report", "--per-image", "scores.csv")),
        ("d/masks/a.png", ("--no-report", "--overwrite", "--per-image", "d/masks/a.png")),
        ("d/images/b.png", ("--no-report", "--overwrite", "--per-image", "link.csv")),
        ("new.csv", ("--no-report", "--overwrite", "--per-image", "dangling.csv")),
    ],
)
@pytest.mark.usefixtures("copied")
def test_evaluate_refuses_to_replace_before_it_computes(
    run: Run, place: Place, monkeypatch: pytest.MonkeyPatch, name: str, more: tuple[str, ...]
) -> None:
    file = place.root / name
    if not file.exists() or name.startswith("run"):
        place.foreign(name)
    (place.root / "link.csv").symlink_to(place.data / "images" / "b.png")
    (place.root / "dangling.csv").symlink_to(place.root / "nothing.csv")
    before = snapshot(place.root)
    monkeypatch.chdir(place.root)
    answer = run(*evaluation(place, *more))
    assert (answer.code, answer.out) == (2, ""), answer.err
    assert "Cannot write" in answer.err
    assert snapshot(place.root) == before


@pytest.mark.usefixtures("copied")
def test_evaluate_replaces_its_own_page_and_csv(run: Run, place: Place) -> None:
    words = evaluation(place, "--per-image", place.root / "scores.csv", "--json")
    for _ in range(2):
        answer = run(*words)
        assert answer.code == 0, answer.err
    place.foreign("run/report.html")
    assert run(*words).code == 2
    assert run(*words, "--overwrite").code == 0
    assert run(*words).code == 0


@pytest.mark.usefixtures("copied")
def test_scores_are_told_whatever_becomes_of_the_page(run: Run, place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    replace = os.replace

    def full(source: Path, target: Path) -> None:
        if target.suffix in (".html", ".csv", ".jsonl"):
            raise OSError(errno.ENOSPC, "No space left on device")
        replace(source, target)

    monkeypatch.setattr(os, "replace", full)
    for more in ((), ("--per-image", place.root / "scores.csv")):
        text = run(*evaluation(place, *more))
        assert text.code == 2
        assert text.err.count("samtune: Cannot write ") == 1
        assert "no space is left on the disk" in text.err
        assert "iou_per_image" in text.out
        assert "Report:" not in text.out
        content = run(*evaluation(place, *more, "--json"))
        assert content.code == 2
        assert "iou_per_image" in content.json["rows"]["specialist"]
        assert "report" not in content.json


COMPARE = ("--methods", "ptsam", "--shots", 1, "--seeds", 1, "--test", 1, "--updates", 1, "--device", "cpu")


def test_compare_refuses_a_run_and_foreign_files(run: Run, place: Place, copied: Path, base: Path) -> None:
    for name in ("c0/report.html", "c1/compare.csv", "c2/figures/costs.svg", "c3/suggestions.csv"):
        place.foreign(name)
    (place.root / "c4").mkdir()
    (place.root / "c4" / "figures").symlink_to(place.data / "images")
    before = snapshot(place.root)
    for out, reason in (
        (copied, "got the run folder"),
        *((place.root / f"c{i}", "Cannot write") for i in range(5)),
    ):
        words = ("compare", place.data / "images", place.data / "masks", "--out", out, "--base", base, *COMPARE)
        answer = run(*words)
        assert answer.code == 2
        assert reason in answer.err
    assert snapshot(place.root) == before


def test_a_run_knows_its_own_files_and_removes_no_others(copied: Path, place: Place) -> None:
    folder = RunFolder(copied)
    assert folder.foreign() == []
    (copied / "last").mkdir()
    for name in ("notes.txt", "figures/a.svg", "specialist/notes.txt", "last/notes.txt"):
        place.foreign(f"run/{name}")
    for name in ("report.html", "specialist/README.md"):
        with (copied / name).open("a") as file:
            file.write("a word of the user's")
    (copied / "split.json").rename(place.root / "split.json")
    (copied / "split.json").symlink_to(place.root / "split.json")
    mine = ["figures", "last/notes.txt", "notes.txt", "report.html", "specialist/README.md", "specialist/notes.txt",
            "split.json"]  # fmt: skip
    assert sorted(folder.foreign()) == mine
    folder.clear()
    left = [path.relative_to(copied).as_posix() for path in copied.rglob("*") if not path.is_dir()]
    assert sorted(left) == sorted([*mine[1:], "figures/a.svg"])
    assert (place.root / "split.json").is_file()


def training(place: Place, base: Path, *more: object) -> Words:
    return ("train", place.data / "images", place.data / "masks", "--base", base, "--out", place.root / "run",
            "--updates", 1, "--set", "views=1", "--set", "tta=none", "--device", "cpu", *more)  # fmt: skip


def test_the_same_command_goes_on_with_a_run_that_was_cut_off(
    run: Run, place: Place, base: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With a checkpoint, and with all but the page; other settings, and a run that is complete, are refused."""

    def full(*_: object, **__: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr("samtune.adapters.saving.save_file", full)
        answer = run(*training(place, base))
        assert (answer.code, "no space is left on the disk" in answer.err) == (2, True)
    other = run(*training(place, base, "--seed", 1))
    assert (other.code, "Expected a new or empty run folder" in other.err) == (2, True)
    with monkeypatch.context() as patch:
        patch.setattr("samtune.report.page.render", full)
        page = run(*training(place, base))
        assert page.code == 2
        assert "which was cut off" in page.err
        assert "1 updates on" in page.out
    done = run(*training(place, base))
    assert done.code == 0, done.err
    assert (place.root / "run" / "report.html").is_file()
    again = run(*training(place, base))
    assert (again.code, "Expected a new or empty run folder" in again.err) == (2, True)


@pytest.mark.parametrize("name", ["specialist/README.md", "specialist/adapter_model.safetensors"])
def test_training_looks_first_whether_the_specialist_can_be_written(
    run: Run, place: Place, base: Path, copied: Path, name: str
) -> None:
    (copied / "metrics.json").unlink()
    place.foreign(f"run/{name}")
    before = snapshot(copied)
    answer = run("train", "--resume", "--out", copied, "--device", "cpu")
    assert answer.code == 2
    assert f"`{Path(name).name}` (not written there by samtune" in answer.err
    assert snapshot(copied) == before


@pytest.mark.parametrize("kind", ["link", "file"])
def test_a_lock_is_never_written_over_a_users_file(run: Run, place: Place, base: Path, kind: str) -> None:
    (place.root / "run").mkdir()
    diary = place.foreign("diary.txt" if kind == "link" else f"run/{LOCK_FILE}")
    if kind == "link":
        (place.root / "run" / LOCK_FILE).symlink_to(diary)
    before = snapshot(place.root)
    answer = run(*training(place, base))
    assert answer.code == 2
    assert LOCK_FILE in answer.err
    assert {path: content for path, content in snapshot(place.root).items() if "/cache" not in path} == before


def test_a_full_disk_under_stdout_is_one_sentence(pairs: Path) -> None:
    """`> FILE` on a full disk; Python itself would print a traceback at exit."""
    words = [sys.executable, "-m", "samtune", "doctor", str(pairs / "images"), str(pairs / "masks")]
    with open("/dev/full", "w") as full:
        done = subprocess.run(words, stdout=full, stderr=subprocess.PIPE, text=True, check=False)
    assert done.returncode == 2
    assert done.stderr.count("\n") == 1
    assert "no space is left on the disk" in done.stderr


@pytest.mark.parametrize("link", [os.link, os.symlink])
def test_a_resumed_run_leaves_a_backup_that_shares_its_files(
    run: Run, place: Place, base: Path, monkeypatch: pytest.MonkeyPatch, link: Callable[[Path, Path], None]
) -> None:
    """Of hard links, as `cp -al` makes them, or with the run's files as links to it."""
    monkeypatch.setattr("samtune.adapters.saving.save_file", lambda *_: os.open("", 0))
    assert run(*training(place, base)).code == 2
    monkeypatch.undo()
    monkeypatch.setenv("SAMTUNE_CACHE", str(place.root / "cache"))
    (place.root / "run").rename(place.root / "backup")
    (place.root / "run" / "last").mkdir(parents=True)
    for file in (place.root / "backup").rglob("*"):
        if file.is_file():
            link(file, place.root / "run" / file.relative_to(place.root / "backup"))
    before = snapshot(place.root / "backup")
    assert "history.jsonl" in str(list(before))
    done = run(*training(place, base))
    assert done.code == 0, done.err
    assert snapshot(place.root / "backup") == before
