from __future__ import annotations

import json
import os
import shutil
from pathlib import Path

import pytest

from samtune.errors import OutputError
from samtune.outputs import LIST_FILE, OutputFolder


def masks(path: Path, **options: object) -> OutputFolder:
    return OutputFolder(path, "predictions", **options)  # type: ignore[arg-type]


def test_own_files_are_replaced_and_foreign_ones_are_not(tmp_path: Path) -> None:
    out = tmp_path / "out"
    first = masks(out)
    first.claim(["a.png", "sub/b.png"])
    assert not out.exists()
    first.write_bytes("a.png", b"1")
    first.write_bytes("sub/b.png", b"1")
    (out / "c.png").write_bytes(b"the user's")
    again = masks(out)
    again.claim(["a.png", "sub/b.png"])
    again.write_bytes("a.png", b"2")
    with pytest.raises(OutputError, match=r"1 file.*`c\.png` \(not written there by samtune, or changed.*--overwrite"):
        again.write_bytes("c.png", b"3")
    assert again.foreign() == ["c.png"]
    (out / "a.png").write_bytes(b"4")  # of the size that is listed
    with pytest.raises(OutputError, match=r"`a\.png` \(not written"):
        masks(out).claim(["a.png", "sub/b.png"])
    masks(out, overwrite=True).write_bytes("a.png", b"5")
    masks(out).write_bytes("a.png", b"6")
    assert (out / "a.png").read_bytes() == b"6"


def test_another_kind_is_foreign_and_a_copied_folder_keeps_its_list(tmp_path: Path) -> None:
    masks(tmp_path / "out").write_bytes("report.html", b"1")
    with pytest.raises(OutputError, match="not written there by samtune"):
        OutputFolder(tmp_path / "out", "comparison").claim(["report.html"])
    shutil.copytree(tmp_path / "out", tmp_path / "copy", copy_function=shutil.copyfile)
    masks(tmp_path / "copy").write_bytes("report.html", b"2")


def test_a_file_that_appears_after_the_claim_stays(tmp_path: Path) -> None:
    folder = masks(tmp_path)
    folder.claim(["a.png"])
    (tmp_path / "a.png").write_bytes(b"the user's")
    with pytest.raises(OutputError, match="not written"):
        folder.write_bytes("a.png", b"1")
    assert (tmp_path / "a.png").read_bytes() == b"the user's"


@pytest.mark.parametrize("overwrite", [False, True])
@pytest.mark.parametrize(
    ("names", "reason"),
    [
        (["../x.png"], "outside that folder"),
        (["a/../../x.png"], "outside that folder"),
        (["/x.png"], "outside that folder"),
        ([""], "outside that folder"),
        (["link.png"], "a symbolic link"),
        (["dangling.png"], "a symbolic link"),
        (["linked/x.png"], "below one"),
        (["linked/new/x.png"], "below one"),
        (["folder"], "no regular file"),
        (["pipe"], "no regular file"),
        (["file/x.png"], "below one"),
        (["hard.png"], "also read by this command"),
        (["input.png"], "also read by this command"),
        (["INPUT.png"], "also read by this command"),
        (["new.png", "new.png"], "name of two outputs"),
        (["new.png", "NEW.png"], "name of two outputs"),
        (["\u00e9.png", "e\u0301.png"], "name of two outputs"),
        (["new.png", "new.png/x.png"], "name of two outputs"),
    ],
)
def test_what_is_never_written_to(tmp_path: Path, names: list[str], reason: str, overwrite: bool) -> None:
    out, foreign = tmp_path / "out", tmp_path / "foreign"
    out.mkdir()
    foreign.mkdir()
    (foreign / "x.png").write_bytes(b"foreign")
    (out / "folder").mkdir()
    os.mkfifo(out / "pipe")
    (out / "file").touch()
    (out / "input.png").write_bytes(b"input")
    os.link(out / "input.png", out / "hard.png")
    (out / "link.png").symlink_to(foreign / "x.png")
    (out / "dangling.png").symlink_to(foreign / "y.png")
    (out / "linked").symlink_to(foreign)
    before = sorted(os.listdir(out))
    with pytest.raises(OutputError, match=reason):
        masks(out, inputs=[out / "input.png"], overwrite=overwrite).claim(names)
    assert sorted(os.listdir(out)) == before
    assert [file.read_bytes() for file in foreign.iterdir()] == [b"foreign"]


def test_the_list_survives_being_cut_off_and_tells_when_it_is_not_samtunes(tmp_path: Path) -> None:
    masks(tmp_path).write_bytes("a.png", b"1")
    with (tmp_path / LIST_FILE).open("a") as file:
        file.write('{"file": "b.p')
    masks(tmp_path).write_bytes("b.png", b"1")
    masks(tmp_path).claim(["a.png", "b.png"])
    lines = (tmp_path / LIST_FILE).read_text().splitlines()
    assert json.loads(lines[1])["file"] == "a.png"
    masks(tmp_path).write_bytes("b.png", b"1")  # the same content needs no other line
    assert (tmp_path / LIST_FILE).read_text().splitlines() == lines
    (tmp_path / LIST_FILE).write_text("a diary\n")
    with pytest.raises(OutputError, match="Expected a list of samtune's outputs"):
        masks(tmp_path)
    (tmp_path / LIST_FILE).unlink()
    (tmp_path / LIST_FILE).symlink_to(tmp_path / "diary")
    with pytest.raises(OutputError, match="Expected a regular file"):
        masks(tmp_path)


def test_a_list_that_a_backup_shares_is_not_written_to(tmp_path: Path) -> None:
    masks(tmp_path / "out").write_bytes("a.png", b"1")
    shutil.copytree(tmp_path / "out", tmp_path / "backup", copy_function=os.link)
    before = (tmp_path / "backup" / LIST_FILE).read_bytes()
    masks(tmp_path / "out").write_bytes("a.png", b"2")
    assert (tmp_path / "backup" / LIST_FILE).read_bytes() == before
    assert (tmp_path / "backup" / "a.png").read_bytes() == b"1"


def test_clearing_leaves_what_is_foreign(tmp_path: Path) -> None:
    folder = masks(tmp_path)
    for name in ("a.png", "sub/deep/b.png", "sub/c.png"):
        folder.write_bytes(name, b"1")
    (tmp_path / "sub" / "notes.txt").write_text("the user's")
    (tmp_path / "sub" / "c.png").write_bytes(b"edited")
    folder = masks(tmp_path)
    assert folder.foreign() == ["sub/c.png", "sub/notes.txt"]
    folder.clear()
    left = sorted(path.relative_to(tmp_path).as_posix() for path in tmp_path.rglob("*"))
    assert left == [LIST_FILE, "sub", "sub/c.png", "sub/notes.txt"]


def test_a_failed_write_leaves_the_old_file(tmp_path: Path) -> None:
    folder = masks(tmp_path)
    folder.write_bytes("a.png", b"1")
    with pytest.raises(TypeError), folder.whole("a.png") as partial:
        partial.write_text(json.dumps(tmp_path))
    assert sorted(os.listdir(tmp_path)) == [LIST_FILE, "a.png"]
    masks(tmp_path).claim(["a.png"])


def test_a_page_without_a_list_is_known_by_its_generator(tmp_path: Path) -> None:
    (tmp_path / "own.html").write_text('<html><head><meta name="generator" content="samtune">')
    (tmp_path / "report.html").write_text("<html>the user's")
    OutputFolder(tmp_path, "run").claim(["own.html"])
    with pytest.raises(OutputError, match=r"`report\.html`"):
        OutputFolder(tmp_path, "run").claim(["report.html"])


def test_a_file_is_no_folder_to_write_to(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    (tmp_path / "link").symlink_to(tmp_path / "nowhere")
    for name in ("file", "link"):
        with pytest.raises(OutputError, match="Expected a folder"):
            masks(tmp_path / name)
