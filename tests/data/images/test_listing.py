"""Folders are listed with their links, once, and what cannot be read is named."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from samtune.data import find_pairs, inspect, list_images, open_dataset
from samtune.errors import DataError
from samtune.predict import find_images
from tests.data.folders import disc, named_files, picture, save


def test_links_to_folders_are_followed_once(tmp_path: Path) -> None:
    images, masks = named_files(tmp_path, "a.png", "a.png|more/b.png")
    save(tmp_path / "elsewhere" / "b.png", picture(5))
    (images / "more").symlink_to(tmp_path / "elsewhere", target_is_directory=True)
    (images / "again").symlink_to(tmp_path / "elsewhere", target_is_directory=True)
    (images / "loop").symlink_to(images, target_is_directory=True)
    found = find_pairs(images, masks)
    assert sorted(pair.stem for pair in found.pairs) == ["a", "b"]
    assert not [problem for problem in found.problems if problem.stops_training]
    assert any("already listed" in note for note in found.notes)


def test_a_folder_that_cannot_be_read_is_a_problem_that_names_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    names = "|".join(f"shut/{number}.png" for number in range(10))
    images, masks = named_files(tmp_path, f"a.png|b.png|{names}", "a.png|b.png")
    scan = os.scandir

    def refuse(path: Any) -> Any:
        if Path(path).name == "shut":
            raise PermissionError(13, "Permission denied", str(path))
        return scan(path)

    monkeypatch.setattr(os, "scandir", refuse)
    findings = inspect(images, masks)
    assert [(p.kind, Path(p.file).name) for p in findings.problems if p.stops_training] == [("unreadable", "shut")]
    assert "Permission denied" in findings.problems[0].what
    with pytest.raises(DataError, match=r"shut: is a folder that cannot be read \(Permission denied\)"):
        open_dataset(images, masks)
    for look in (lambda: list_images(images), lambda: find_images([images])):
        with pytest.raises(DataError, match="shut"):
            look()


@pytest.mark.parametrize("name", ["more", "b.png"])
def test_a_link_to_nothing_is_a_problem(name: str, tmp_path: Path) -> None:
    images, masks = named_files(tmp_path, "a.png", "a.png")
    (images / name).symlink_to(tmp_path / "gone")
    with pytest.raises(DataError, match=f"{name}: is a link to .*gone, which does not exist"):
        open_dataset(images, masks)


def test_hidden_and_system_files_are_skipped(tmp_path: Path) -> None:
    images, masks = named_files(tmp_path, "a.png", "a.png")
    for name in (".a.png", "._a.png", "__MACOSX/a.png", ".ipynb_checkpoints/a-checkpoint.png", "@eaDir/a.png"):
        save(images / name, picture())
        save(masks / name, disc())
    (images / "Thumbs.db").write_text("x")
    found = find_pairs(images, masks)
    assert (len(found.pairs), found.problems, found.notes) == (1, (), ())
